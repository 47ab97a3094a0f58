"""The least that a process can do to keep metrics; `points.py` runs it in an empty environment.

python benchmarks/floor.py COUNT
"""

from __future__ import annotations

import os
import sqlite3
import sys

#: The length of a line of 70 bytes that a common metric takes in a journal.
LINE = b"m" * 69 + b"\n"
#: The lines of a transaction.
BATCH = 1000


def main() -> None:
    """Writes each line with a call of its own, and a row for each line of a batch at once."""
    count = int(sys.argv[1])
    journal = os.open("journal", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND)
    database = sqlite3.connect("floor.db", isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("CREATE TABLE points (step INTEGER, value REAL, time INTEGER)")
    for first in range(0, count, BATCH):
        steps = range(first, min(count, first + BATCH))
        for _ in steps:
            os.write(journal, LINE)
        database.execute("BEGIN")
        database.executemany(
            "INSERT INTO points VALUES (?, ?, ?)",
            ((step, 1 / (step + 1), 1_700_000_000_000_000 + step) for step in steps),
        )
        database.execute("COMMIT")
    database.close()
    os.close(journal)


if __name__ == "__main__":
    main()
