"""The database file: opening it, its tables, its connections and transactions."""

from __future__ import annotations

import logging
import os
import sqlite3
import sys
import threading
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING

from afnio_tellurio.errors import DatabaseError
from afnio_tellurio.files import make_private_directory
from afnio_tellurio.local import sampling
from afnio_tellurio.logs import log

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

#: Marks a database as ours, and its tables as of this format.
APPLICATION_ID = 0x54454C55
FORMAT = 2
#: Seconds to wait for another writer; each holds the lock for milliseconds.
BUSY_TIMEOUT = 30.0
#: Seconds that a fork waits for transactions of other threads to end.
_FORK_TIMEOUT = 10.0
#: On these, processes of several machines would share WAL's memory-mapped index, which cannot work.
_NETWORK_FILE_SYSTEMS = {
    "nfs",
    "nfs4",
    "lustre",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "fuse.sshfs",
    "afs",
    "gpfs",
}

_TABLES = """
CREATE TABLE namespaces (
  id INTEGER PRIMARY KEY, uuid TEXT NOT NULL, slug TEXT NOT NULL UNIQUE, display_name TEXT NOT NULL
) STRICT;
CREATE TABLE users (
  id INTEGER PRIMARY KEY, uuid TEXT NOT NULL, username TEXT NOT NULL UNIQUE, slug TEXT NOT NULL
) STRICT;
CREATE TABLE projects (
  id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE,
  namespace INTEGER NOT NULL REFERENCES namespaces ON DELETE CASCADE,
  slug TEXT NOT NULL, display_name TEXT NOT NULL, visibility TEXT NOT NULL, created INTEGER NOT
  NULL, UNIQUE (namespace, slug)
) STRICT;
CREATE TABLE runs (
  id INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT NOT NULL UNIQUE,
  project INTEGER NOT NULL REFERENCES projects ON DELETE CASCADE,
  user INTEGER NOT NULL REFERENCES users,
  name TEXT NOT NULL, description TEXT, status TEXT NOT NULL,
  created INTEGER NOT NULL, updated INTEGER NOT NULL, idempotency_key TEXT,
  UNIQUE (project, name), UNIQUE (project, idempotency_key)
) STRICT;
CREATE TABLE series (
  id INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE, name TEXT NOT
  NULL, count INTEGER NOT NULL, first_step INTEGER NOT NULL, last_step INTEGER NOT NULL, last_value,
  last_json TEXT, last_timestamp INTEGER NOT NULL, minimum, maximum, tile_width INTEGER,
  UNIQUE (run, name)
);
CREATE TABLE points (
  series INTEGER NOT NULL REFERENCES series ON DELETE CASCADE, step INTEGER NOT NULL, arrival
  INTEGER NOT NULL, value, json TEXT, timestamp INTEGER NOT NULL, PRIMARY KEY (series, step,
  arrival)
) WITHOUT ROWID;
CREATE TABLE tiles (
  series INTEGER NOT NULL REFERENCES series ON DELETE CASCADE, tile INTEGER NOT NULL, count INTEGER
  NOT NULL, step INTEGER NOT NULL, arrival INTEGER NOT NULL, value, json TEXT, timestamp INTEGER NOT
  NULL, minimum, maximum, PRIMARY KEY (series, tile)
) WITHOUT ROWID;
CREATE TABLE writers (
  run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE, writer TEXT NOT NULL, next INTEGER NOT
  NULL, PRIMARY KEY (run, writer)
) STRICT, WITHOUT ROWID;
"""


class _ForkGate:
    """Puts a fork off while a thread is inside SQLite.

    SQLite has locks of its own, which a child forked in that moment would find locked for ever.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._forking = 0

    def __enter__(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._forking)
            self._inside += 1

    def __exit__(self, *_exception: object) -> None:
        with self._changed:
            self._inside -= 1
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._forking += 1
            # Not for ever: a transaction may wait for another process.
            self._changed.wait_for(lambda: not self._inside, timeout=_FORK_TIMEOUT)

    def open(self) -> None:
        with self._changed:
            self._forking -= 1
            self._changed.notify_all()

    def renew(self) -> None:
        self.__init__()  # type: ignore[misc]


_fork_gate = _ForkGate()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_fork_gate.close,
        after_in_parent=_fork_gate.open,
        after_in_child=_fork_gate.renew,
    )


class Database:
    """One database file. Threads and processes may share it, also after a fork."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._forget_connections()
        _create_private(path)
        self._wal = not _is_on_network(path)
        with _fork_gate:
            connection: sqlite3.Connection | None = None
            try:
                connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None)
                _prepare(connection, path)
            except sqlite3.Error as error:
                raise _unusable(path, error) from error
            finally:
                if connection is not None:
                    connection.close()
            self._release(self._acquire())
        if hasattr(os, "register_at_fork"):
            # Weakly: what is registered there stays for as long as the process lives.
            forget = weakref.WeakMethod(self._forget_connections)
            os.register_at_fork(after_in_child=lambda: _call_if_alive(forget))

    def _forget_connections(self) -> None:
        # SQLite forbids a child even to close what its parent opened; so they stay, untouched.
        self._inherited = getattr(self, "_idle", [])
        self._idle: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._closed = False

    def _acquire(self) -> sqlite3.Connection:
        with self._lock:
            if self._closed:
                raise sqlite3.ProgrammingError("the database is closed")
            if self._idle:
                return self._idle.pop()
        connection = sqlite3.connect(
            self.path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
        )
        mode = "WAL" if self._wal else "DELETE"
        (got,) = connection.execute(f"PRAGMA journal_mode={mode}").fetchone()
        if self._wal and got != "wal":
            self._wal = False
            log(
                logging.WARNING,
                f"{self.path}: SQLite's write-ahead log does not work here; "
                "using a rollback journal",
            )
        # FULL: what a request was answered for is on the disk, also after a loss of power.
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        return connection

    def _release(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(connection)
                return
        connection.close()

    @contextmanager
    def reading(self) -> Generator[sqlite3.Connection, None, None]:
        """A transaction that sees one state of the database."""
        with _fork_gate:
            yield from self._transaction("BEGIN")

    @contextmanager
    def writing(self) -> Generator[sqlite3.Connection, None, None]:
        """A transaction that no other writer can come between."""
        # IMMEDIATE: one that reads first and then wants to write fails, whatever the timeout.
        with _fork_gate:
            yield from self._transaction("BEGIN IMMEDIATE")

    def _transaction(self, begin: str) -> Generator[sqlite3.Connection, None, None]:
        connection = self._acquire()
        try:
            connection.execute(begin)
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        finally:
            self._release(connection)

    def close(self) -> None:
        """Closes the connections."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        with _fork_gate:
            for connection in idle:
                connection.close()


def _call_if_alive(method: weakref.WeakMethod[Callable[[], None]]) -> None:
    called = method()
    if called is not None:
        called()


def _create_private(path: Path) -> None:
    """Makes the folder and the file, for their owner's eyes only, where they do not exist."""
    try:
        make_private_directory(path.parent)
        # SQLite gives its journals the permissions of the database.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise DatabaseError(
            f"the database {path} cannot be opened: {error.strerror}; "
            "name a file that can be written, or another folder with TELLURIO_HOME"
        ) from error


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Makes the tables in an empty file, upgrades older ones, refuses a file that is not ours."""
    # Not IMMEDIATE at once: a file that is not ours must stay as it is, to the byte.
    if _format_of(connection, path) == FORMAT:
        return
    connection.execute("BEGIN IMMEDIATE")
    # Another process may have been faster.
    found = _format_of(connection, path)
    if found == 0:
        for statement in _TABLES.split(";\n"):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    else:
        for older in range(found, FORMAT):
            _UPGRADES[older](connection)
    connection.execute(f"PRAGMA user_version={FORMAT}")
    connection.execute("COMMIT")


def _add_tiles(connection: sqlite3.Connection) -> None:
    """Keeps the tiles of long series, for sampling them."""
    connection.execute("ALTER TABLE series ADD COLUMN tile_width INTEGER")
    for statement in _TABLES.split(";\n"):
        if "CREATE TABLE tiles" in statement:
            connection.execute(statement)
    long = connection.execute(
        "SELECT id, first_step, last_step FROM series WHERE count > ?",
        (sampling.MAX_UNTILED_POINTS,),
    ).fetchall()
    for series, *steps in long:
        width = sampling.keep_tiles(connection, series, None, (steps[0], steps[1]), [])
        connection.execute("UPDATE series SET tile_width = ? WHERE id = ?", (width, series))


#: What makes of a database of each older format one of the next.
_UPGRADES = {1: _add_tiles}


def _format_of(connection: sqlite3.Connection, path: Path) -> int:
    """The format of a database of ours; 0 for an empty file."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application == APPLICATION_ID:
        if version > FORMAT:
            raise DatabaseError(
                f"the database {path} has format {version}, and this afnio-tellurio knows formats "
                f"up to {FORMAT}; upgrade afnio-tellurio, or name another file"
            )
        return int(version)
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application or tables:
        raise DatabaseError(
            f"the database {path} belongs to another program; name another file, "
            "or another folder with TELLURIO_HOME"
        )
    return 0


def _unusable(path: Path, error: sqlite3.Error) -> DatabaseError:
    if "not a database" in str(error):
        return DatabaseError(
            f"{path} is not a database; move it away, or name another file, "
            "or another folder with TELLURIO_HOME"
        )
    return DatabaseError(f"the database {path} cannot be used: {error}")


def _is_on_network(path: Path) -> bool:
    """Whether the file is on a network file system; known on Linux only."""
    if sys.platform != "linux":
        return False
    try:
        with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as mounts:  # noqa: PTH123
            entries = [line.split() for line in mounts]
    except OSError:
        return False
    place = os.path.realpath(path)
    holding = [
        (len(folder), kind)
        for _device, folder, kind, *_rest in entries
        if os.path.commonpath([place, os.path.realpath(folder)]) == os.path.realpath(folder)
    ]
    kind = max(holding, default=(0, ""))[1]
    if kind in _NETWORK_FILE_SYSTEMS:
        log(
            logging.WARNING,
            f"{path} is on {kind}, where SQLite's write-ahead log does not work; "
            "using a rollback journal",
        )
        return True
    return False
