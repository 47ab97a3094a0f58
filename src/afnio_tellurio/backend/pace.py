"""Limits the time spent on polls, so that they don't slow down recording on this machine."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from afnio_tellurio.clock import monotonic

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

#: The share of time that may be spent on polls.
_SHARE = 0.1
#: Seconds that may be saved up for a burst of polls.
_MAX_SAVED = 1.0


class Pace:
    """The time budget for polls. Threads may share it.

    Args:
        clock: Returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._saved = _MAX_SAVED
        self._counted_at = clock()

    def allows(self) -> bool:
        """Returns whether the budget allows a poll now."""
        with self._lock:
            now = self._clock()
            earned = (now - self._counted_at) * _SHARE
            self._saved = min(_MAX_SAVED, self._saved + earned)
            self._counted_at = now
            return self._saved > 0

    @contextmanager
    def spending(self) -> Generator[None]:
        """Subtracts the time that a poll takes from the budget."""
        began = self._clock()
        try:
            yield
        finally:
            with self._lock:
                self._saved -= self._clock() - began
