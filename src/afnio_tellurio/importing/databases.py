"""SQLite databases of other trackers, opened to read; nothing is written beside them."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import weakref
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from afnio_tellurio.interruptions import raise_foreign

if TYPE_CHECKING:
    from collections.abc import Generator

START = b"SQLite format 3\0"
#: Where the header has the version of the format that a reader needs; 2 is a write-ahead log.
_READ_VERSION, _WITH_LOG = 19, 2
#: What a writer keeps beside its database, and what is in it only.
_LOG, _SHARED, _JOURNAL = "-wal", "-shm", "-journal"


@contextmanager
def opened(path: Path) -> Generator[sqlite3.Connection]:
    """Opens a database; its rows have names.

    Raises:
        ValueError: It is not a database, or it is damaged, or a program changed it meanwhile.
    """
    path = path.resolve()
    try:
        before = _state_of(path)
        database, is_watched = _connected(path)
        try:
            database.row_factory = sqlite3.Row
            yield database
        finally:
            database.close()
    except sqlite3.Error as error:
        raise_foreign(error)
        raise ValueError(f"{path} cannot be read as a database: {error}") from error
    if is_watched and _state_of(path) != before:
        raise ValueError(f"{path} was changed while it was read; repeat this")


def _connected(path: Path) -> tuple[sqlite3.Connection, bool]:
    """Returns a connection, and whether SQLite does not see that another program writes."""
    log = _beside(path, _LOG)
    if _has_log(path) and not (log.exists() and _beside(path, _SHARED).exists()):
        # No program has the database open. SQLite would create both files, and leave them.
        if _size_of(log):
            return _connected_to_copy(path), True
        return sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True), True
    database = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        database.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        database.close()
        if not _size_of(log) and not _size_of(_beside(path, _JOURNAL)):
            raise
        # A program died in a transaction, or the folder is read-only: SQLite has to write.
        return _connected_to_copy(path), True
    except BaseException:  # raised again: the connection must not stay open
        database.close()
        raise
    return database, False


def _connected_to_copy(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(_copy_of(path, _state_of(path)).path)


class _Copy:
    """A copy of a database in a temporary folder, which lives as long as this object."""

    def __init__(self, path: Path) -> None:
        folder = Path(tempfile.mkdtemp(prefix="afnio-tellurio-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.path = folder / path.name
        for suffix in ("", _LOG, _JOURNAL):
            source = _beside(path, suffix)
            if source.exists():
                shutil.copyfile(source, _beside(self.path, suffix))


@lru_cache(maxsize=1)
def _copy_of(path: Path, _state: tuple[object, ...]) -> _Copy:
    """Returns a copy; the same one as long as the database does not change."""
    return _Copy(path)


def _state_of(path: Path) -> tuple[object, ...]:
    """Returns what changes with each transaction of another program."""
    files = [_beside(path, suffix) for suffix in ("", _LOG, _JOURNAL)]
    stats = [file.stat() if file.exists() else None for file in files]
    return tuple(stat and (stat.st_size, stat.st_mtime_ns) for stat in stats)


def _has_log(path: Path) -> bool:
    with path.open("rb") as file:
        header = file.read(_READ_VERSION + 1)
    return len(header) > _READ_VERSION and header[_READ_VERSION] == _WITH_LOG


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(f"{path.name}{suffix}")


def _size_of(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


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
