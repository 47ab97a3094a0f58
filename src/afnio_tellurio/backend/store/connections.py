"""The connections of this process to database files: their users, and what a fork requires."""

from __future__ import annotations

import functools
import sqlite3
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from afnio_tellurio.backend.store.database_files import Files, renew_creation_lock
from afnio_tellurio.backend.store.fork_gate import ForkGate
from afnio_tellurio.forks import ForkStep, at_fork
from afnio_tellurio.threads import frames_below, own_frame

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

P = ParamSpec("P")
T = TypeVar("T")


class Connection(sqlite3.Connection):
    """A connection, used by one thread at a time.

    Attributes:
        real_path: The path without symbolic links; SQLite keeps its companion files next to it.
        files: The files that it has open.
        pool: The pool that it returns to after use.
        immutable_since: Size and time of the file if SQLite takes it for unchangeable, without
            locks; else None.
        user: The call of `_work` that uses it.
        is_inherited: Whether it was open when this process was forked; then only the parent may use
            or close it.
    """

    real_path: str
    pool: Pool
    files: Files = Files()
    immutable_since: tuple[int, int] | None = None
    user: FrameType | None = None
    is_inherited: bool = False

    @property
    def is_open(self) -> bool:
        """Whether it is registered and not yet discarded."""
        return id(self) in _connections

    def register(self) -> None:
        """Adds it to the open connections."""
        _connections[id(self)] = weakref.ref(self)

    def discard(self) -> None:
        """Closes it, which rolls back an uncommitted transaction."""
        _connections.pop(id(self), None)
        if not self.is_inherited:
            self.close()


class Pool:
    """The open connections of this process to one database file.

    Attributes:
        idle: Connections that are not in use.
        databases: The `Database` objects that use the file; closing the last one closes the idle
            connections.
        uses_log: Whether SQLite's write-ahead log works here.
        is_read_only: Whether this user can only read the file.
        size: The size of the file in bytes when it was last checked.
    """

    def __init__(self, *, uses_log: bool, is_read_only: bool) -> None:
        self.idle: list[Connection] = []
        self.databases: weakref.WeakSet[object] = weakref.WeakSet()
        self.uses_log = uses_log
        self.is_read_only = is_read_only
        self.size = 0

    def leave(self, database: object) -> None:
        """Ends the use of the file by one database."""
        self.databases.discard(database)
        self.close_if_unused()

    def close_if_unused(self) -> None:
        """Closes the idle connections if no database uses the file."""
        if not self.databases:
            for identity, pool in list(pools.items()):
                if pool is self:
                    pools.pop(identity, None)
            self.close_idle()

    def close_idle(self) -> None:
        """Closes the idle connections."""
        while self.idle:
            # Another thread may take the last one first.
            with suppress(IndexError):
                self.idle.pop().discard()


#: By device and inode, so that all paths to a file share one pool.
pools: dict[tuple[int, int], Pool] = {}
#: Every open connection.
_connections: dict[int, weakref.ref[Connection]] = {}
#: Connections that were open when this process was forked; the references keep them open.
_inherited: list[Connection] = []


def works_in_sqlite(function: Callable[P, T]) -> Callable[P, T]:
    """Decorates a function that uses SQLite.

    Forks wait until it returns, and it never leaves a transaction open.
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
        # A signal handler may have raised before the connection was given back.
        for connection in open_connections():
            if connection.user is own_frame():
                connection.discard()


gate = ForkGate(_work.__code__)


def is_in_use_by_parent(identity: tuple[int, int] | None) -> bool:
    """Returns whether a file was open when this process was forked; only the parent may use it.

    SQLite here would mistake the parent's locks for locks of this process.
    """
    return identity is not None and identity in {each.files.database for each in _inherited}


def open_connections() -> list[Connection]:
    """Returns every open connection."""
    references = list(_connections.values())
    return [connection for each in references if (connection := each()) is not None]


def discard_abandoned() -> None:
    """Closes connections whose calls have ended, after signal handlers raised repeatedly."""
    for connection in open_connections():
        user = connection.user
        if user is not None and not _is_running(user) and connection.user is user:
            connection.discard()


def _is_running(frame: FrameType) -> bool:
    """Whether the call of a frame has not ended.

    Not by a look at the threads' stacks: a thread that returns meanwhile hides its callers.
    """
    try:
        frame.clear()
    except RuntimeError:
        # Python clears no frame that is executing.
        return True
    return False


def _prepare_fork() -> None:
    # SQLite in the child would mistake the parent's locks for its own, so the parent closes its
    # connections and opens new ones later.
    is_empty = gate.shut()
    for pool in list(pools.values()):
        pool.close_idle()
    for connection in open_connections() if is_empty else ():
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
    """Returns the innermost call of `_work` in this thread."""
    frames = frames_below(own_frame())
    return next((frame for frame in frames if frame.f_code is _work.__code__), None)


def give_back(connection: Connection) -> None:
    """Returns a connection to its pool and rolls back an uncommitted transaction."""
    if connection.is_inherited:
        return
    try:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    except sqlite3.Error:
        # Closing it also rolls back.
        connection.discard()
        return
    connection.user = None
    connection.pool.idle.append(connection)
    connection.pool.close_if_unused()
