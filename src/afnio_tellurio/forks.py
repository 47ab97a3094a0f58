"""What happens when the process forks, in one order.

A forked child has one thread, its parent's memory, and its parent's open files. A lock that another
thread held stays locked in it. So each room replaces its locks, and leaves the connections,
journals and runs of the parent to the parent.
"""

from __future__ import annotations

import os
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


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


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lambda: _run(_before),
        after_in_parent=lambda: _run(_in_parent),
        after_in_child=lambda: _run(_in_child),
    )
