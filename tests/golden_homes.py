"""Homes as earlier versions left them: `golden/make.py` makes them with the code of their time.

Each has a run `kept`, which is `COMPLETED`, and a run `left`, whose process was killed: of its six
metrics, two are in the database and four in the journal. A third run, the last one, was deleted.
Since there are tables, there is a run `with tables`, and the journal has two rows as well.
"""

from __future__ import annotations

import lzma
import math
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

HERE = Path(__file__).parent / "golden"
#: The formats of the database that there is a golden home of.
FORMATS = sorted(int(folder.name.partition("-")[2]) for folder in HERE.glob("format-*"))
#: The first format in which `kept` has a config, a tag and a group.
FIRST_WITH_DETAILS = 5
#: The first format with the run `with tables`, and rows in the journal of `left`.
FIRST_WITH_TABLES = 6
#: Steps and values of each metric, without NaN and the infinities, which JSON has as strings.
KEPT = {
    "loss": (list(range(2100)), [step % 7 for step in range(2100)]),
    "values": (list(range(7)), [0.5, "NaN", "-Infinity", 10**30, "text", None, {"a": [1]}]),
    "steps": ([3, 7, 7], [3, 7, 7]),
}
DELIVERED = {"count": ([0, 1], [0, 1])}
#: Without the row that the third one replaces.
ROWS = [{"index": 0, "score": 10**30}, {"index": 1, "score": 0.5}]
LEFT = {"count": ([0, 1, 2, 9, 10], [0, 1, 2, 3, math.inf]), "note": ([9], [["a", None]])}


def unpack_database(number: int, path: Path) -> None:
    """Writes the golden database of a format to a path."""
    packed = (HERE / f"format-{number}" / "tellurio.db.xz").read_bytes()
    path.write_bytes(lzma.decompress(packed))


def unpack_home(number: int, home: Path) -> None:
    """Writes the golden home of a format to a folder: its database and its journal."""
    shutil.copytree(HERE / f"format-{number}" / "journals", home / "journals")
    unpack_database(number, home / "tellurio.db")


def uuids_of(path: Path) -> dict[str, str]:
    """The UUIDs of the runs in a golden database by their names."""
    with closing(sqlite3.connect(path)) as connection:
        return dict(connection.execute("SELECT name, uuid FROM runs").fetchall())
