"""The deadline of the call in progress: whatever waits on its behalf stops waiting then.

It belongs to the thread, so that it reaches requests, SQLite and recovery through every layer.
"""

from __future__ import annotations

import math
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from afnio_tellurio.clock import monotonic

if TYPE_CHECKING:
    from collections.abc import Generator


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
