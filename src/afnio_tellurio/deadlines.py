"""The deadline of the call in progress: whatever waits on its behalf stops waiting then.

It belongs to the thread, so that it reaches requests, SQLite and recovery through every layer.
"""

from __future__ import annotations

import math
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from afnio_tellurio.clock import monotonic
from afnio_tellurio.interruptions import raise_foreign

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


class _Deadline(threading.local):
    #: On the monotonic clock.
    time: float = math.inf


_current = _Deadline()


@contextmanager
def within(deadline: float) -> Generator[None]:
    """Sets a deadline for this thread, unless an earlier one is set.

    Args:
        deadline: The time on the monotonic clock.
    """
    before = _current.time
    # A signal handler that raises meanwhile does no harm: the generator is closed at once.
    _current.time = min(before, deadline)
    try:
        yield
    finally:
        _current.time = before


def seconds_left(limit: float) -> float:
    """The seconds to wait: up to `limit`, and not past the deadline."""
    return min(limit, max(0.0, _current.time - monotonic()))


def has_passed() -> bool:
    """Whether the deadline has passed."""
    return monotonic() >= _current.time


def run_until_deadline(work: Callable[[], None]) -> None:
    """Runs work in a thread and waits for it until the deadline, even if it does not obey that.

    The system's resolver of host names, for one, cannot be interrupted.
    """
    deadline = _current.time

    def run() -> None:
        with within(deadline):
            work()

    thread = threading.Thread(target=run, name="tellurio-work", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise_foreign(error)
        # The interpreter is shutting down and starts no threads.
        work()
        return
    thread.join(None if math.isinf(deadline) else seconds_left(math.inf))
