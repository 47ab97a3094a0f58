"""The database: its files, connections and transactions."""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

from afnio_tellurio.backend.store.connections import (
    Connection,
    Pool,
    current_work,
    discard_abandoned,
    gate,
    give_back,
    is_in_use_by_parent,
    open_connections,
    pools,
    works_in_sqlite,
)
from afnio_tellurio.backend.store.database_files import (
    JOURNAL,
    LOG,
    LOG_INDEX,
    Files,
    create_private,
    creation_lock,
    identity_of,
    is_on_network,
    is_writable,
    open_error,
    read_only_error,
    remove_index_without_log,
    set_aside,
    size_and_time_of,
    size_of,
)
from afnio_tellurio.backend.store.moving import announce, move_slice
from afnio_tellurio.backend.store.schema import (
    FORMAT,
    prepare,
    require_current,
    require_unchanged,
)
from afnio_tellurio.clock import monotonic
from afnio_tellurio.deadlines import seconds_left
from afnio_tellurio.errors import DatabaseError
from afnio_tellurio.files import real_path
from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.logs import log

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

T = TypeVar("T")

#: Seconds to wait for another writer, which usually holds the lock for milliseconds.
BUSY_TIMEOUT = 30.0
#: Seconds of one attempt inside SQLite, and between two attempts.
_BUSY_SLICE = 0.05
_BUSY_PAUSE = 0.005
#: Bytes of the write-ahead log that stay on the disk; a long reader makes it larger for a while.
_LOG_SIZE_LIMIT = 4 * 2**20


class Database:
    """A database file. Threads and processes may share it, also after a fork.

    Each transaction uses the current file at the path: if it was replaced, the new one is opened;
    if it was removed, it is created again.

    Args:
        path: The file.
        create: Whether to create the file if it does not exist.

    Raises:
        DatabaseError: The file does not exist or cannot be used.
    """

    def __init__(self, path: Path, *, create: bool = True) -> None:
        try:
            self.path = path.absolute()
        except OSError as error:
            raise_foreign(error)
            raise open_error(path, "the working directory no longer exists") from error
        self._pool: Pool | None = None
        self._is_closed = False
        self._open(create=create)

    @works_in_sqlite
    def _open(self, *, create: bool) -> None:
        try:
            _retry_while_busy(lambda: self._pool_of_file(create=create))
        except sqlite3.Error as error:
            raise _database_error(self.path, error) from error

    @property
    def is_read_only(self) -> bool:
        """Whether this user can only read the database."""
        return self._pool is not None and self._pool.is_read_only

    @contextmanager
    def reading(self) -> Generator[Connection, None, None]:
        """Opens a read transaction, which sees a single state of the database."""
        connection = _retry_while_busy(lambda: self._begin("BEGIN"))
        try:
            yield connection
            if connection.immutable_since and not self._is_in_place(connection):
                raise sqlite3.OperationalError(
                    f"{self.path} was changed while it was read; try again"
                )
        finally:
            give_back(connection)

    @contextmanager
    def writing(self) -> Generator[sqlite3.Connection, None, None]:
        """Opens a write transaction, which excludes other writers."""
        # IMMEDIATE: upgrading a read transaction may fail at once, regardless of the timeout.
        connection = _retry_while_busy(lambda: self._begin("BEGIN IMMEDIATE", to_write=True))
        try:
            yield connection
            self._require_in_place(connection)
            _commit(connection)
            # Data written to a file that was removed must not be acknowledged.
            self._require_in_place(connection)
        finally:
            give_back(connection)

    def _begin(self, statement: str, *, to_write: bool = False) -> Connection:
        connection = self._acquire()
        try:
            if to_write:
                self._require_writable(connection)
            connection.execute(statement)
            # Within the transaction: a newer version may have upgraded the database meanwhile. This
            # also takes the read lock, so that no later statement finds the database locked.
            require_unchanged(connection, self.path)
        except BaseException:  # raised again: an interrupted call must not keep the connection
            give_back(connection)
            raise
        return connection

    def _require_writable(self, connection: Connection) -> None:
        if connection.pool.is_read_only:
            raise read_only_error(self.path, "cannot be changed")

    def _acquire(self) -> Connection:
        if self._is_closed:
            raise sqlite3.ProgrammingError("the database is closed")
        discard_abandoned()
        pool = self._pool_of_file(create=True)
        if pool.size and not size_of(self.path):
            # A new connection would treat it as a new database.
            raise self._truncation_error()
        connection = None
        while connection is None:
            try:
                connection = pool.idle.pop()
            except IndexError:
                connection = self._connect(pool)
                break
            if connection.in_transaction or not self._is_in_place(connection):
                connection.discard()
                connection = None
        connection.user = current_work()
        try:
            self._require_complete(connection)
        except BaseException:  # raised again: an interrupted call must not keep the connection
            give_back(connection)
            raise
        return connection

    def _require_complete(self, connection: Connection) -> None:
        # Read in this order: another thread may record a larger size at any time.
        known_size = connection.pool.size
        size = size_of(connection.real_path)
        # Only VACUUM shrinks a database, and this package never runs it.
        if size < known_size and not _is_intact(connection):
            raise self._truncation_error()
        connection.pool.size = size

    def _truncation_error(self) -> sqlite3.DatabaseError:
        return sqlite3.DatabaseError(
            f"{self.path} was truncated while it was in use; restore it from a backup, or move it "
            "away"
        )

    def _pool_of_file(self, *, create: bool) -> Pool:
        """Returns the pool of the current file at the path; creates the file if it is missing."""
        identity = identity_of(self.path)
        pool = None if identity is None else pools.get(identity)
        if pool is None:
            pool = self._new_pool(create=create)
        previous, self._pool = self._pool, pool
        pool.databases.add(self)
        if previous is not None and previous is not pool:
            previous.leave(self)
        return pool

    def _new_pool(self, *, create: bool) -> Pool:
        path = str(real_path(self.path))
        try:
            with creation_lock():
                can_write = self._make_ready(path, create=create)
        except OSError as error:
            raise_foreign(error)
            raise open_error(self.path, error.strerror or str(error)) from error
        uses_log = can_write and not is_on_network(path)
        pool = Pool(uses_log=uses_log, is_read_only=not can_write)
        connection = self._connect(pool)
        assert connection.files.database is not None
        # Another thread may have created the pool first.
        connection.pool = pools.setdefault(connection.files.database, pool)
        connection.pool.idle.append(connection)
        return connection.pool

    def _make_ready(self, path: str, *, create: bool) -> bool:
        """Creates a missing file, and moves stale companions away.

        Returns:
            Whether this user can write the file.
        """
        journal = identity_of(path + JOURNAL)
        files = Files.at(path)
        if files.database is None:
            if not create:
                raise DatabaseError(
                    f"the database {self.path} does not exist; use an existing file"
                )
            set_aside(path, {LOG: files.log, LOG_INDEX: files.log_index, JOURNAL: journal})
            create_private(path)
            return True
        if not is_writable(path):
            return False
        for earlier in self._open_on_other_file(files):
            log = earlier.log if files.log == earlier.log else None
            log_index = earlier.log_index if files.log_index == earlier.log_index else None
            set_aside(path, {LOG: log, LOG_INDEX: log_index})
        return True

    def _open_on_other_file(self, files: Files) -> list[Files]:
        """Returns the files that were at the path before and are still open in this process."""
        return [
            each.files
            for each in open_connections()
            if each.pool is self._pool and each.files.database != files.database
        ]

    def _connect(self, pool: Pool) -> Connection:
        """Opens a new connection."""
        # A second attempt: an overlay file system replaces a file when it is first opened to write.
        connection = self._connect_unless_replaced(pool) or self._connect_unless_replaced(pool)
        if connection is None:
            raise sqlite3.OperationalError(f"{self.path} was replaced while it was opened")
        return connection

    def _connect_unless_replaced(self, pool: Pool) -> Connection | None:
        path = str(real_path(self.path))
        opened = [(each, each.files) for each in open_connections()]
        before = Files.at(path)
        self._require_usable(before, opened)
        if not pool.is_read_only:
            remove_index_without_log(path)
            # A file that SQLite creates would be readable by others.
            connection = self._open_file(pool, path, "mode=rw")
        else:
            connection = self._open_to_read(pool, path)
        if connection.files.database == before.database:
            return connection
        connection.discard()
        return None

    def _open_to_read(self, pool: Pool, path: str) -> Connection:
        try:
            return self._open_file(pool, path, "mode=ro")
        except sqlite3.OperationalError as error:
            # SQLite can't create the index of a write-ahead log in a folder that it can't write.
            if error.sqlite_errorcode & 0xFF not in {
                sqlite3.SQLITE_CANTOPEN,
                sqlite3.SQLITE_READONLY,
            }:
                raise
            problems = {
                LOG: "has data in its write-ahead log that cannot be read",
                JOURNAL: "has an unfinished transaction that cannot be rolled back",
            }
            for suffix, problem in problems.items():
                if size_of(path + suffix):
                    raise read_only_error(self.path, problem) from error
        # Nobody has it open now. Whether it stays unchanged is checked with each transaction.
        return self._open_file(pool, path, "immutable=1")

    def _open_file(self, pool: Pool, path: str, mode: str) -> Connection:
        connection = sqlite3.connect(
            f"file:{quote(os.fsencode('//' + _uri_path(path)))}?{mode}",
            uri=True,
            factory=Connection,
            timeout=_BUSY_SLICE,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.pool, connection.real_path = pool, path
        connection.register()
        try:
            if mode == "immutable=1":
                connection.immutable_since = size_and_time_of(path)
            if pool.is_read_only:
                require_current(connection, self.path)
            else:
                prepare(connection, self.path)
                self._configure(connection, pool)
                announce(connection, self.path)
                # Each slice may have to wait for one of another process.
                while _retry_while_busy(lambda: move_slice(connection, FORMAT)):
                    pass
            # Makes SQLite open the write-ahead log.
            connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()
            connection.files = Files.at(path)
        except BaseException:  # raised again: an interrupted call must not keep the connection
            connection.discard()
            raise
        return connection

    def _require_usable(self, current: Files, opened: Sequence[tuple[Connection, Files]]) -> None:
        if is_in_use_by_parent(current.database):
            raise sqlite3.OperationalError(
                f"{self.path} was in use when this process was forked, so only its parent can "
                "use it"
            )
        for connection, files in opened:
            if connection.immutable_since or not connection.is_open:
                continue
            if files.database == current.database and files != current:
                raise sqlite3.OperationalError(
                    f"the write-ahead log of {self.path} was removed while it was in use"
                )

    def _configure(self, connection: Connection, pool: Pool) -> None:
        mode = "WAL" if pool.uses_log else "DELETE"
        (actual_mode,) = connection.execute(f"PRAGMA journal_mode={mode}").fetchone()
        if pool.uses_log and actual_mode != "wal":
            pool.uses_log = False
            log(
                logging.WARNING,
                f"{self.path}: SQLite's write-ahead log does not work here; using a rollback "
                "journal",
            )
        connection.execute(f"PRAGMA journal_size_limit={_LOG_SIZE_LIMIT}")
        # FULL: acknowledged data survives a power failure.
        connection.execute("PRAGMA synchronous=FULL")
        # On macOS, fsync alone leaves the data in the cache of the disk.
        connection.execute("PRAGMA fullfsync=ON")
        connection.execute("PRAGMA foreign_keys=ON")

    def _is_in_place(self, connection: Connection) -> bool:
        """Returns whether the file of a connection is still at the path."""
        files = Files.at(connection.real_path)
        if files != connection.files:
            return False
        unchanged = connection.immutable_since
        if unchanged is not None and size_and_time_of(connection.real_path) != unchanged:
            return False
        return connection.real_path == str(self.path) or identity_of(self.path) == files.database

    def _require_in_place(self, connection: Connection) -> None:
        if connection.is_inherited:
            raise sqlite3.OperationalError("the process was forked within a transaction")
        if not self._is_in_place(connection):
            raise sqlite3.OperationalError(
                f"{self.path} was removed or replaced while it was in use"
            )
        if connection.pool.size > size_of(connection.real_path):
            raise self._truncation_error()

    @works_in_sqlite
    def close(self) -> None:
        """Closes the connections unless another `Database` of this process uses the file."""
        self._is_closed = True
        if self._pool is not None:
            self._pool.leave(self)


def _retry_while_busy(action: Callable[[], T]) -> T:
    """Repeats an action that needs a database lock until the lock is free."""
    give_up_at = monotonic() + seconds_left(BUSY_TIMEOUT)
    while True:
        try:
            return action()
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or monotonic() >= give_up_at:
                raise
        # Waits outside SQLite, so that forks don't have to wait.
        gate.pass_through(_BUSY_PAUSE)


def _commit(connection: Connection) -> None:
    give_up_at = monotonic() + seconds_left(BUSY_TIMEOUT)
    while True:
        try:
            connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            # Without a write-ahead log, a commit waits for readers.
            if not _is_busy(error) or monotonic() >= give_up_at:
                raise
        else:
            return


def _uri_path(path: str) -> str:
    path = path.replace(os.sep, "/")
    return path if path.startswith("/") else f"/{path}"


def _is_intact(connection: Connection) -> bool:
    # Clears the cache, which would hide missing pages of the file.
    connection.execute("PRAGMA shrink_memory")
    rows: list[tuple[str]] = connection.execute("PRAGMA quick_check(1)").fetchall()
    return rows == [("ok",)]


def _is_busy(error: sqlite3.Error) -> bool:
    # The higher bits contain the extended error code.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def _database_error(path: Path, error: sqlite3.Error) -> DatabaseError:
    if "not a database" in str(error):
        return DatabaseError(
            f"{path} is not a database; move it away, or use another file, "
            "or another folder with TELLURIO_HOME"
        )
    return DatabaseError(f"the database {path} cannot be used: {error}")
