"""The database file: opening it, its tables, its connections and transactions."""

from __future__ import annotations

import errno
import functools
import logging
import os
import sqlite3
import stat
import sys
import threading
import time
import weakref
from collections import deque
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, ParamSpec, TypeVar
from urllib.parse import quote

from afnio_tellurio.errors import DatabaseError
from afnio_tellurio.local import sampling
from afnio_tellurio.local.fork_gate import ForkGate
from afnio_tellurio.logs import log
from afnio_tellurio.threads import frames_below, newest_frames, own_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
    from types import FrameType

P = ParamSpec("P")
T = TypeVar("T")

#: Marks a database as ours, and its tables as of this format.
APPLICATION_ID = 0x54454C55
FORMAT = 3
#: Stands in `deleted_runs` for runs that were deleted while their UUIDs were not kept.
UNKNOWN_DELETED_RUNS = ""
#: Seconds to wait for another writer; each holds the lock for milliseconds.
BUSY_TIMEOUT = 30.0
#: Of these, seconds spent at a time within SQLite, and between two attempts.
_BUSY_SLICE = 0.05
_BUSY_PAUSE = 0.005
#: The suffixes of the files that SQLite keeps beside a database: the write-ahead log, its index in
#: shared memory, and the rollback journal.
_LOG = "-wal"
_LOG_INDEX = "-shm"
_JOURNAL = "-journal"
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
CREATE TABLE deleted_runs (uuid TEXT NOT NULL PRIMARY KEY) STRICT, WITHOUT ROWID;
"""


class _Files(NamedTuple):
    """Device and inode of a database file and its companions, or None for each that is missing."""

    database: tuple[int, int] | None = None
    log: tuple[int, int] | None = None
    log_index: tuple[int, int] | None = None

    @classmethod
    def at(cls, path: str) -> _Files:
        """The files that are at a path now."""
        # SQLite creates the log before its index, and removes it after.
        log_index = _identity(path + _LOG_INDEX)
        return cls(_identity(path), _identity(path + _LOG), log_index)


class _Connection(sqlite3.Connection):
    """A connection, used by one thread at a time.

    Attributes:
        real_path: The path without symbolic links: SQLite keeps the companions beside it.
        files: The files that it was opened on.
        pool: Where it waits for its next use.
        user: The call of `_work` that uses it.
        is_inherited: Whether it was open when this process was forked: only the parent may use it,
            or even close it.
    """

    real_path: str
    pool: _Pool
    files: _Files = _Files()
    user: FrameType | None = None
    is_inherited: bool = False

    def discard(self) -> None:
        """Closes it, which rolls back what was not committed."""
        _connections.pop(id(self), None)
        if not self.is_inherited:
            self.close()


class _Pool:
    """What this process has open of one database file.

    Attributes:
        idle: Connections that nobody uses.
        databases: Who use the file; what is idle is closed with the last.
        uses_log: Whether SQLite's write-ahead log works here.
        size: The bytes that the file had when it was last found whole.
    """

    def __init__(self, *, uses_log: bool) -> None:
        self.idle: list[_Connection] = []
        self.databases: weakref.WeakSet[Database] = weakref.WeakSet()
        self.uses_log = uses_log
        self.size = 0

    def leave(self, database: Database) -> None:
        """Lets go of the file for one of those who use it."""
        self.databases.discard(database)
        self.close_if_unused()

    def close_if_unused(self) -> None:
        """Closes what is idle, unless somebody uses the file."""
        if not self.databases:
            for identity, pool in list(_pools.items()):
                if pool is self:
                    _pools.pop(identity, None)
            self.close_idle()

    def close_idle(self) -> None:
        """Closes the connections that nobody uses."""
        while self.idle:
            # Another thread may be faster.
            with suppress(IndexError):
                self.idle.pop().discard()


#: By device and inode, so that all paths of a file share one.
_pools: dict[tuple[int, int], _Pool] = {}
#: Every open connection.
_connections: dict[int, weakref.ref[_Connection]] = {}
#: What was in use when this process was forked, kept so that nothing closes it.
_inherited: list[_Connection] = []
#: Held from the creation of a file until it is closed: that drops the locks of this process on it,
#: also those that SQLite has taken meanwhile for another thread.
_creation = threading.RLock()


def works_in_sqlite(function: Callable[P, T]) -> Callable[P, T]:
    """Has a function keep forks out, and leave no transaction open however it ends."""

    @functools.wraps(function)
    def working(*arguments: P.args, **keywords: P.kwargs) -> T:
        return _work(functools.partial(function, *arguments, **keywords))

    return working


def _work(function: Callable[[], T]) -> T:
    _fork_gate.pass_through()
    try:
        return function()
    finally:
        # A signal handler that raised may have kept it from being given back.
        for connection in _open_connections():
            if connection.user is own_frame():
                connection.discard()


_fork_gate = ForkGate(_work.__code__)


def _open_connections() -> list[_Connection]:
    references = list(_connections.values())
    return [connection for each in references if (connection := each()) is not None]


def _discard_abandoned() -> None:
    """Closes the connections of calls that have ended: signal handlers may raise twice and more."""
    used = [(connection, connection.user) for connection in _open_connections()]
    if all(user is None for _connection, user in used):
        return
    running = {id(frame) for newest in newest_frames() for frame in frames_below(newest)}
    for connection, user in used:
        if user is not None and id(user) not in running and connection.user is user:
            connection.discard()


def _prepare_fork() -> None:
    # SQLite in the child would take locks that the parent holds for the child's own, so the parent
    # closes what it has open. It opens it again when it needs it.
    nobody_works = _fork_gate.shut()
    for pool in list(_pools.values()):
        pool.close_idle()
    for connection in _open_connections() if nobody_works else ():
        if connection.user is not None or not connection.in_transaction:
            connection.discard()


def _renew_in_child() -> None:
    global _creation  # noqa: PLW0603
    _fork_gate.open()
    _creation = threading.RLock()
    for connection in _open_connections():
        connection.is_inherited = True
        _inherited.append(connection)
    _connections.clear()
    _pools.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_prepare_fork, after_in_parent=_fork_gate.open, after_in_child=_renew_in_child
    )


class Database:
    """One database file. Threads and processes may share it, also after a fork.

    Each transaction uses the file that is at the path by then: a file that was replaced is let go
    of, and one that was removed is created again.

    Args:
        path: The file.
        create: Whether to create it where it does not exist.

    Raises:
        DatabaseError: The file does not exist, or cannot be used.
    """

    def __init__(self, path: Path, *, create: bool = True) -> None:
        try:
            self.path = path.absolute()
        except OSError as error:
            raise _not_openable(path, "the working directory no longer exists") from error
        self._pool: _Pool | None = None
        self._is_closed = False
        self._open(create=create)

    @works_in_sqlite
    def _open(self, *, create: bool) -> None:
        try:
            _patiently(lambda: self._pool_of_file(create=create))
        except sqlite3.Error as error:
            raise _unusable(self.path, error) from error

    @contextmanager
    def reading(self) -> Generator[sqlite3.Connection, None, None]:
        """A transaction that sees one state of the database."""
        connection = _patiently(lambda: self._begin("BEGIN"))
        try:
            yield connection
        finally:
            _give_back(connection)

    @contextmanager
    def writing(self) -> Generator[sqlite3.Connection, None, None]:
        """A transaction that no other writer can come between."""
        # IMMEDIATE: one that reads first and then wants to write fails, whatever the timeout.
        connection = _patiently(lambda: self._begin("BEGIN IMMEDIATE"))
        try:
            yield connection
            self._require_in_place(connection)
            _commit(connection)
            # What went to a file that is gone must not be acknowledged.
            self._require_in_place(connection)
        finally:
            _give_back(connection)

    def _begin(self, statement: str) -> _Connection:
        connection = self._take()
        try:
            connection.execute(statement)
            # Locks also for reading, so that nothing later can find the database locked.
            connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()
        except BaseException:
            _give_back(connection)
            raise
        return connection

    def _take(self) -> _Connection:
        if self._is_closed:
            raise sqlite3.ProgrammingError("the database is closed")
        _discard_abandoned()
        pool = self._pool_of_file(create=True)
        if pool.size and not _size_of(self.path):
            # A new connection would take it for a new database.
            raise self._truncated()
        connection = None
        while connection is None:
            try:
                connection = pool.idle.pop()
            except IndexError:
                connection = self._connected(pool)
                break
            if connection.in_transaction or not self._is_in_place(connection):
                connection.discard()
                connection = None
        connection.user = _current_work()
        try:
            self._require_whole(connection)
        except BaseException:
            _give_back(connection)
            raise
        return connection

    def _require_whole(self, connection: _Connection) -> None:
        size = _size_of(connection.real_path)
        # Only VACUUM makes a database smaller, and nothing here does that.
        if size < connection.pool.size and not _is_sound(connection):
            raise self._truncated()
        connection.pool.size = size

    def _truncated(self) -> sqlite3.DatabaseError:
        return sqlite3.DatabaseError(
            f"{self.path} was truncated while it was in use; restore it from a backup, or move it "
            "away"
        )

    def _pool_of_file(self, *, create: bool) -> _Pool:
        """The pool of the file that is at the path, which is created where it is missing."""
        identity = _identity(self.path)
        pool = None if identity is None else _pools.get(identity)
        if pool is None:
            pool = self._new_pool(create=create)
        previous, self._pool = self._pool, pool
        pool.databases.add(self)
        if previous is not None and previous is not pool:
            previous.leave(self)
        return pool

    def _new_pool(self, *, create: bool) -> _Pool:
        path = os.path.realpath(self.path)
        try:
            with _creation:
                self._make_ready(path, create=create)
        except OSError as error:
            raise _not_openable(self.path, error.strerror or str(error)) from error
        pool = _Pool(uses_log=not _is_on_network(path))
        connection = self._connected(pool)
        assert connection.files.database is not None
        # Another thread may have been faster.
        connection.pool = _pools.setdefault(connection.files.database, pool)
        connection.pool.idle.append(connection)
        return connection.pool

    def _make_ready(self, path: str, *, create: bool) -> None:
        """Creates a missing file, and removes what SQLite would take for companions of the file."""
        journal = _identity(path + _JOURNAL)
        files = _Files.at(path)
        if files.database is None:
            if not create:
                raise DatabaseError(f"the database {self.path} does not exist; name one that does")
            _set_aside(path, {_LOG: files.log, _LOG_INDEX: files.log_index, _JOURNAL: journal})
            _create_private(path)
            return
        _require_writable(path)
        for earlier in self._open_on_other_file(files):
            log = earlier.log if files.log == earlier.log else None
            log_index = earlier.log_index if files.log_index == earlier.log_index else None
            _set_aside(path, {_LOG: log, _LOG_INDEX: log_index})

    def _open_on_other_file(self, files: _Files) -> list[_Files]:
        """The files that were at the path before, and are still open in this process."""
        return [
            each.files
            for each in _open_connections()
            if each.pool is self._pool and each.files.database != files.database
        ]

    def _connected(self, pool: _Pool) -> _Connection:
        """Opens a new connection."""
        # A layered file system copies a file when it is first opened for writing.
        connection = self._connected_unless_replaced(pool) or self._connected_unless_replaced(pool)
        if connection is None:
            raise sqlite3.OperationalError(f"{self.path} was replaced while it was opened")
        return connection

    def _connected_unless_replaced(self, pool: _Pool) -> _Connection | None:
        path = os.path.realpath(self.path)
        opened = [(each, each.files) for each in _open_connections()]
        before = _Files.at(path)
        self._require_usable(before, opened)
        if before.log is None:
            # It was removed while a process used it; its index speaks of what was in it.
            _set_aside(path, {_LOG_INDEX: before.log_index})
        # Never creates the file, which would be readable for others.
        connection = sqlite3.connect(
            f"file:{quote(os.fsencode('//' + _as_in_uri(path)))}?mode=rw",
            uri=True,
            factory=_Connection,
            timeout=_BUSY_SLICE,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.pool, connection.real_path = pool, path
        _connections[id(connection)] = weakref.ref(connection)
        try:
            _prepare(connection, self.path)
            self._configure(connection, pool)
            connection.files = _Files.at(path)
        except BaseException:
            connection.discard()
            raise
        if connection.files.database == before.database:
            return connection
        connection.discard()
        return None

    def _require_usable(
        self, current: _Files, opened: Sequence[tuple[_Connection, _Files]]
    ) -> None:
        inherited = [each.files.database for each in _inherited]
        if current.database is not None and current.database in inherited:
            raise sqlite3.OperationalError(
                f"{self.path} was in use when this process was forked, so only its parent can "
                "use it"
            )
        for connection, files in opened:
            is_open = id(connection) in _connections
            if is_open and files.database == current.database and files != current:
                raise sqlite3.OperationalError(
                    f"the write-ahead log of {self.path} was removed while it was in use"
                )

    def _configure(self, connection: _Connection, pool: _Pool) -> None:
        mode = "WAL" if pool.uses_log else "DELETE"
        (got,) = connection.execute(f"PRAGMA journal_mode={mode}").fetchone()
        if pool.uses_log and got != "wal":
            pool.uses_log = False
            log(
                logging.WARNING,
                f"{self.path}: SQLite's write-ahead log does not work here; "
                "using a rollback journal",
            )
        # FULL: what a request was answered for is on the disk, also after a loss of power.
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        # Has SQLite open the write-ahead log.
        connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()

    def _is_in_place(self, connection: _Connection) -> bool:
        """Whether the path still is the file that a connection was opened on."""
        files = _Files.at(connection.real_path)
        if files != connection.files:
            return False
        return connection.real_path == str(self.path) or _identity(self.path) == files.database

    def _require_in_place(self, connection: _Connection) -> None:
        if connection.is_inherited:
            raise sqlite3.OperationalError("the process was forked within a transaction")
        if not self._is_in_place(connection):
            raise sqlite3.OperationalError(
                f"{self.path} was removed or replaced while it was in use"
            )
        if _size_of(connection.real_path) < connection.pool.size:
            raise self._truncated()

    @works_in_sqlite
    def close(self) -> None:
        """Closes the connections, unless another `Database` of this process uses the file."""
        self._is_closed = True
        if self._pool is not None:
            self._pool.leave(self)


def _current_work() -> FrameType | None:
    """The innermost call of `_work` in this thread."""
    frames = frames_below(own_frame())
    return next((frame for frame in frames if frame.f_code is _work.__code__), None)


def _give_back(connection: _Connection) -> None:
    """Ends the use of a connection, and rolls back what was not committed."""
    if connection.is_inherited:
        return
    try:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    except sqlite3.Error:
        # Closing it rolls back too.
        connection.discard()
        return
    connection.user = None
    connection.pool.idle.append(connection)
    connection.pool.close_if_unused()


def _patiently(action: Callable[[], T]) -> T:
    """Does what needs a lock of the database, as soon as others have freed it."""
    give_up_at = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            return action()
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or time.monotonic() >= give_up_at:
                raise
        # Not in SQLite, where a fork would have to wait for it.
        _fork_gate.pass_through(_BUSY_PAUSE)


def _commit(connection: _Connection) -> None:
    give_up_at = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            # Without a write-ahead log, a commit waits for readers.
            if not _is_busy(error) or time.monotonic() >= give_up_at:
                raise
        else:
            return


def _is_sound(connection: _Connection) -> bool:
    # What is in memory would hide what is missing in the file.
    connection.execute("PRAGMA shrink_memory")
    rows: list[tuple[str]] = connection.execute("PRAGMA quick_check(1)").fetchall()
    return rows == [("ok",)]


def _is_busy(error: sqlite3.Error) -> bool:
    # The higher bits tell what is busy.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


# The files


def _identity(path: str | Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - it is called for each transaction
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _not_openable(path, error.strerror or str(error)) from error
    return status.st_dev, status.st_ino


def _size_of(path: str | Path) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116
    except FileNotFoundError:
        return 0


def _as_in_uri(path: str) -> str:
    path = path.replace(os.sep, "/")
    return path if path.startswith("/") else f"/{path}"


def _set_aside(path: str, stale: Mapping[str, tuple[int, int] | None]) -> None:
    """Takes companions of an earlier database away, which SQLite would apply to the one here.

    Args:
        path: The database file.
        stale: What to take away, by suffix; None for nothing.
    """
    # A log then has the name that belongs to a database with this name.
    aside = f"{path}.{time.strftime('%Y%m%d-%H%M%S')}"
    for suffix, identity in stale.items():
        # Another process may have been faster, and have begun a new one.
        if identity is None or _identity(path + suffix) != identity:
            continue
        try:
            if suffix == _LOG_INDEX or not os.path.getsize(path + suffix):  # noqa: PTH202
                os.unlink(path + suffix)  # noqa: PTH108
                continue
            os.rename(path + suffix, aside + suffix)  # noqa: PTH104
        except OSError as error:
            raise _not_openable(path + suffix, error.strerror or str(error)) from error
        log(
            logging.WARNING,
            f"{path} was removed or replaced without {path + suffix}, which holds what was "
            f"recorded last; it is {aside + suffix} now",
        )


def _create_private(path: str) -> None:
    """Creates the file and its folders, for their owner's eyes only."""
    missing: list[str] = []
    folder = os.path.dirname(path)  # noqa: PTH120
    while not os.path.isdir(folder) and folder not in missing:  # noqa: PTH112
        missing.append(folder)
        folder = os.path.dirname(folder)  # noqa: PTH120
    for each in reversed(missing):
        Path(each).mkdir(mode=0o700, exist_ok=True)
    # Another process may be faster.
    with suppress(FileExistsError):
        # SQLite gives its journals the permissions of the database. No signal handler can come
        # between opening and closing so, and open the database itself.
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR
        deque(map(os.close, map(os.open, (path,), (flags,), (0o600,))), maxlen=0)


def _require_writable(path: str) -> None:
    # The file is not opened for it: to close it would drop the locks of this process on it.
    if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116
        raise OSError(errno.EISDIR, "it is not a regular file")
    if not os.access(path, os.R_OK | os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))


def _not_openable(path: str | Path, reason: str) -> DatabaseError:
    return DatabaseError(
        f"the database {path} cannot be opened: {reason}; "
        "name a file that can be written, or another folder with TELLURIO_HOME"
    )


# The tables


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


def _add_deleted_runs(connection: sqlite3.Connection) -> None:
    """Keeps the UUIDs of deleted runs from now on."""
    for statement in _TABLES.split(";\n"):
        if "CREATE TABLE deleted_runs" in statement:
            connection.execute(statement)
    connection.execute(
        "INSERT INTO deleted_runs SELECT ? FROM sqlite_sequence "
        "WHERE name = 'runs' AND seq > (SELECT count(*) FROM runs)",
        (UNKNOWN_DELETED_RUNS,),
    )


#: What makes of a database of each older format one of the next.
_UPGRADES = {1: _add_tiles, 2: _add_deleted_runs}


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


def _is_on_network(path: str) -> bool:
    """Whether the file is on a network file system; known on Linux only."""
    if sys.platform != "linux":
        return False
    try:
        with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as mounts:  # noqa: PTH123
            entries = [line.split() for line in mounts]
    except OSError:
        return False
    holding = [
        (len(folder), kind)
        for _device, folder, kind, *_rest in entries
        if os.path.commonpath([path, os.path.realpath(folder)]) == os.path.realpath(folder)
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
