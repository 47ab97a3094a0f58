"""The connections of this process to database files: who uses which, and what a fork needs."""

from __future__ import annotations

import functools
import sqlite3
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from afnio_tellurio.backend.store.database_files import Files, renew_creation_lock
from afnio_tellurio.backend.store.fork_gate import ForkGate
from afnio_tellurio.forks import ForkStep, at_fork
from afnio_tellurio.threads import frames_below, newest_frames, own_frame

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from afnio_tellurio.backend.store.database import Database

P = ParamSpec("P")
T = TypeVar("T")


class Connection(sqlite3.Connection):
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
    pool: Pool
    files: Files = Files()
    user: FrameType | None = None
    is_inherited: bool = False

    @property
    def is_open(self) -> bool:
        """Whether it is registered and not discarded."""
        return id(self) in _connections

    def register(self) -> None:
        """Adds it to the open connections."""
        _connections[id(self)] = weakref.ref(self)

    def discard(self) -> None:
        """Closes it, which rolls back what was not committed."""
        _connections.pop(id(self), None)
        if not self.is_inherited:
            self.close()


class Pool:
    """What this process has open of one database file.

    Attributes:
        idle: Connections that no thread uses.
        databases: The databases that use it; idle connections are closed with the last one.
        uses_log: Whether SQLite's write-ahead log works here.
        size: The bytes that the file had when it was last found whole.
    """

    def __init__(self, *, uses_log: bool) -> None:
        self.idle: list[Connection] = []
        self.databases: weakref.WeakSet[Database] = weakref.WeakSet()
        self.uses_log = uses_log
        self.size = 0

    def leave(self, database: Database) -> None:
        """Ends the use of the file by one database."""
        self.databases.discard(database)
        self.close_if_unused()

    def close_if_unused(self) -> None:
        """Closes idle connections, unless a database uses the file."""
        if not self.databases:
            for identity, pool in list(pools.items()):
                if pool is self:
                    pools.pop(identity, None)
            self.close_idle()

    def close_idle(self) -> None:
        """Closes idle connections."""
        while self.idle:
            # Another thread may be faster.
            with suppress(IndexError):
                self.idle.pop().discard()


#: By device and inode, so that all paths of a file share one.
pools: dict[tuple[int, int], Pool] = {}
#: Every open connection.
_connections: dict[int, weakref.ref[Connection]] = {}
#: Connections in use when this process was forked, kept so that nothing closes them.
_inherited: list[Connection] = []


def works_in_sqlite(function: Callable[P, T]) -> Callable[P, T]:
    """Decorates a function that uses SQLite.

    Forks wait until it has ended, and it leaves no transaction open, however it ends.
    """

    @functools.wraps(function)
    def working(*arguments: P.args, **keywords: P.kwargs) -> T:
        return _work(functools.partial(function, *arguments, **keywords))

    return working


def _work(function: Callable[[], T]) -> T:
    gate.pass_through()
    try:
        return function()
    finally:
        # A signal handler that raised may have kept it from being given back.
        for connection in open_connections():
            if connection.user is own_frame():
                connection.discard()


gate = ForkGate(_work.__code__)


def is_in_use_by_parent(identity: tuple[int, int] | None) -> bool:
    """Whether a file was in use when this process was forked, so that only its parent may use it.

    SQLite here would take locks that the parent holds for locks of this process.
    """
    return identity is not None and identity in {each.files.database for each in _inherited}


def open_connections() -> list[Connection]:
    """Every connection that is open."""
    references = list(_connections.values())
    return [connection for each in references if (connection := each()) is not None]


def discard_abandoned() -> None:
    """Closes connections of calls that have ended, as where signal handlers raised repeatedly."""
    used = [(connection, connection.user) for connection in open_connections()]
    if all(user is None for _connection, user in used):
        return
    running = {id(frame) for newest in newest_frames() for frame in frames_below(newest)}
    for connection, user in used:
        if user is not None and id(user) not in running and connection.user is user:
            connection.discard()


def _prepare_fork() -> None:
    # SQLite in the child would take locks that the parent holds for the child's own, so the parent
    # closes what it has open. It opens it again when it needs it.
    nobody_works = gate.shut()
    for pool in list(pools.values()):
        pool.close_idle()
    for connection in open_connections() if nobody_works else ():
        if connection.user is not None or not connection.in_transaction:
            connection.discard()


def _renew_in_child() -> None:
    gate.open()
    renew_creation_lock()
    for connection in open_connections():
        connection.is_inherited = True
        _inherited.append(connection)
    _connections.clear()
    pools.clear()


at_fork(ForkStep.DATABASE, before=_prepare_fork, in_parent=gate.open, in_child=_renew_in_child)


def current_work() -> FrameType | None:
    """The innermost call of `_work` in this thread."""
    frames = frames_below(own_frame())
    return next((frame for frame in frames if frame.f_code is _work.__code__), None)


def give_back(connection: Connection) -> None:
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
