"""What happens when the process forks, in one order.

A forked child has one thread, its parent's memory, and its parent's open files. A lock that another
thread held stays locked in it. So each room replaces its locks, and leaves the connections,
journals and runs of the parent to the parent.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from enum import IntEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager


class ForkStep(IntEnum):
    """The steps, in the order in which they run in the child, and after the fork in the parent."""

    DATABASE = 1
    """Before: waits until no thread is inside SQLite, then closes its connections, whose file
    locks a child does not get. After: the parent lets threads in again; the child makes new locks
    and pools."""
    CONNECTIONS = 2
    """Child: opens connection pools of its own; the parent goes on with its sockets."""
    SENDER = 3
    """Child: forgets the parent's journals, which the parent delivers."""
    RECORDINGS = 4
    """Child: logs to a run through a new journal, and leaves the end of the run to the parent."""
    DEFAULT_CLIENT = 5
    """Child: makes a new lock."""
    ACTIVE_RUN = 6
    """Child: makes a new lock; the active run stays active."""
    CONSOLE = 7
    """Child: makes new locks, and leaves unfinished lines of the console to the parent."""


#: Seconds that a fork waits for imports, at most: a file system may be slow.
_IMPORT_PATIENCE = 5.0
_importing = threading.RLock()

_before: dict[ForkStep, Callable[[], None]] = {}
_in_parent: dict[ForkStep, Callable[[], None]] = {}
_in_child: dict[ForkStep, Callable[[], None]] = {}


def at_fork(
    step: ForkStep,
    *,
    in_child: Callable[[], None],
    before: Callable[[], None] | None = None,
    in_parent: Callable[[], None] | None = None,
) -> None:
    """Registers what one room does at a fork.

    Args:
        step: Its place in the order.
        in_child: Called in the child.
        before: Called in the parent before the fork.
        in_parent: Called in the parent after the fork.
    """
    _in_child[step] = in_child
    if before is not None:
        _before[step] = before
    if in_parent is not None:
        _in_parent[step] = in_parent


def _run(steps: dict[ForkStep, Callable[[], None]]) -> None:
    for step in sorted(steps):
        steps[step]()


def importing() -> AbstractContextManager[Any]:
    """Held by a thread of ours while it imports, and by a fork.

    In a forked child, a module that another thread had begun to import can never be imported, by
    the application either.
    """
    return _importing


def _wait_for_imports() -> None:
    _importing.acquire(timeout=_IMPORT_PATIENCE)


def _allow_imports() -> None:
    # It is not held if the fork did not wait any longer.
    with suppress(RuntimeError):
        _importing.release()


def _renew_importing() -> None:
    global _importing  # noqa: PLW0603 - a lock of the parent's thread is never released here
    _importing = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lambda: _run(_before),
        after_in_parent=lambda: _run(_in_parent),
        after_in_child=lambda: _run(_in_child),
    )
    # Registered last, it is called first before a fork, and last after it.
    os.register_at_fork(
        before=_wait_for_imports,
        after_in_parent=_allow_imports,
        after_in_child=_renew_importing,
    )
