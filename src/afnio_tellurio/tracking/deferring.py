"""Records one thing at a time in each thread, although recording may be interrupted by another."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Deferrer:
    """Calls functions one after another in each thread.

    A call from within another one, as by a signal handler, is made when that has ended. What
    deferred calls cause in turn is dropped: recording a message may make a message.
    """

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forgets calls in progress: a forked child leaves them to its parent."""
        self._this_thread = threading.local()

    def call(self, function: Callable[[], None]) -> None:
        """Calls a function, or defers the call."""
        deferred: deque[Callable[[], None]] | None
        deferred = getattr(self._this_thread, "deferred", None)
        if deferred is not None:
            deferred.append(function)
            return
        self._this_thread.deferred = deferred = deque()
        try:
            function()
        finally:
            # Also if a signal handler raised: it may have recorded why.
            self._this_thread.deferred = deque(maxlen=0)
            try:
                for each in deferred:
                    each()
            finally:
                self._this_thread.deferred = None
