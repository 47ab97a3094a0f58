"""Makes the golden homes: a database and a journal of each format, written by the code of its time.

    python tests/golden/make.py            makes all
    tests/golden/make.py 2 3        makes those of these formats

It needs the history of the repository. Each home is recorded by `record.py` in the code of the last
commit with that format. A new format gets a line in `COMMITS` when it is no longer the newest.
"""

from __future__ import annotations

import lzma
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
from contextlib import closing
from io import BytesIO
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
#: The last commit with each format of the database.
COMMITS = {
    1: "a717e4c",
    2: "6ef84f8",
    3: "6b95e5f",
    4: "3e19393",
    5: "8d21c3f",
    6: "78a18c1",
    7: "a06962c",
    8: "6ad4c7a",
}


def make(number: int) -> None:
    """Makes the golden home of one format."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        archive = subprocess.run(
            ["git", "archive", COMMITS[number], "src", "generated"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
        with tarfile.open(fileobj=BytesIO(archive)) as sources:
            sources.extractall(folder, filter="data")
        home = folder / "home"
        variables = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join([str(folder / "src"), str(folder / "generated")]),
            "TELLURIO_HOME": str(home),
            "TELLURIO_MODE": "local",
            "LOGNAME": "ada",
            # Nothing of the machine that this happens to run on.
            "TELLURIO_CAPTURE": "0",
        }
        subprocess.run([sys.executable, HERE / "record.py"], env=variables, check=True)
        _pack(home, HERE / f"format-{number}")


def _pack(home: Path, target: Path) -> None:
    with closing(sqlite3.connect(home / "tellurio.db", isolation_level=None)) as connection:
        # The killed process left it in the write-ahead log.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.rmtree(target, ignore_errors=True)
    (target / "journals").mkdir(parents=True)
    data = (home / "tellurio.db").read_bytes()
    (target / "tellurio.db.xz").write_bytes(lzma.compress(data))
    for path in (home / "journals").iterdir():
        shutil.copy(path, target / "journals")


if __name__ == "__main__":
    for each in map(int, sys.argv[1:] or COMMITS):
        make(each)
