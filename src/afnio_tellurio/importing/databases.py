"""SQLite databases of other trackers, opened to read."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from afnio_tellurio.interruptions import raise_foreign

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

START = b"SQLite format 3\0"


@contextmanager
def opened(path: Path) -> Generator[sqlite3.Connection]:
    """Opens a database; its rows have names.

    Raises:
        ValueError: It is not a database, or it is damaged.
    """
    try:
        database = _connected(path)
        try:
            database.row_factory = sqlite3.Row
            yield database
        finally:
            database.close()
    except sqlite3.Error as error:
        raise_foreign(error)
        raise ValueError(f"{path} cannot be read as a database: {error}") from error


def _connected(path: Path) -> sqlite3.Connection:
    address = f"{path.resolve().as_uri()}?mode=ro"
    database = sqlite3.connect(address, uri=True)
    try:
        database.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        database.close()
        log = path.resolve().with_name(f"{path.resolve().name}-wal")
        if log.exists() and log.stat().st_size:
            raise
        # In a folder that is read-only, SQLite cannot create the files of a write-ahead log. All is
        # in the database then, and nobody can change it.
        database = sqlite3.connect(f"{address}&immutable=1", uri=True)
    except BaseException:  # raised again: the connection must not stay open
        database.close()
        raise
    return database


def is_database(path: Path) -> bool:
    """Returns whether a file starts like a database."""
    with path.open("rb") as file:
        return file.read(len(START)) == START


def tables_of(database: sqlite3.Connection) -> set[str]:
    """Returns the names of the tables."""
    rows = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    return {str(name) for (name,) in rows}


def columns_of(database: sqlite3.Connection, table: str) -> set[str]:
    """Returns the names of the columns of a table."""
    rows = database.execute("SELECT name FROM pragma_table_info(?)", (table,))
    return {str(name) for (name,) in rows}


def count(database: sqlite3.Connection, query: str, *parameters: Any) -> int:
    """Returns the number that a query returns."""
    return int(database.execute(query, parameters).fetchone()[0])
