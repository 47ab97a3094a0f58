"""Puts a fork off while another thread is inside SQLite.

SQLite has locks of its own, which a child forked in that moment would find locked for ever. Nothing
here counts or locks, as a signal handler may raise between any two steps of it.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from afnio_tellurio.threads import other_threads_inside, own_frame, stack_holds

if TYPE_CHECKING:
    from types import CodeType

#: Seconds that a fork waits at most for other threads to leave SQLite.
TIMEOUT = 10.0
#: Seconds between two looks at what the other threads do.
_POLL_INTERVAL = 0.001


class ForkGate:
    """The gate of one function: while the gate is shut, threads wait in `pass_through`.

    Args:
        guarded: The code object of a plain function that calls `pass_through` before all else.
    """

    def __init__(self, guarded: CodeType) -> None:
        self._guarded = (guarded,)
        self._resting = (self._rest.__code__,)
        #: The threads that are about to fork, in order.
        self._forking: dict[int, None] = {}
        #: Opens the gate after a fork. Not a function in Python, which could be interrupted.
        self.open = self._forking.clear

    def pass_through(self, pause: float = 0.0) -> None:
        """Waits while another thread forks.

        Args:
            pause: Seconds to sleep in any case. A fork does not wait for a thread that sleeps here,
                so it must hold no connection.
        """
        if pause:
            self._rest(pause)
        # Looked at outside `_rest`: a fork that begins now may still see the thread there.
        while self._forking and self._rest(_POLL_INTERVAL, only_for_forks=True):
            pass

    def _rest(self, pause: float, *, only_for_forks: bool = False) -> bool:
        """Sleeps; returns whether it did."""
        if only_for_forks and not self._must_wait():
            return False
        time.sleep(pause)
        return True

    def _must_wait(self) -> bool:
        own = threading.get_ident()
        if all(thread == own for thread in list(self._forking)):
            return False
        # The fork waits for this thread where it was inside already, and a signal handler of it
        # comes here again.
        return not stack_holds(own_frame(), self._guarded, self._resting)

    def shut(self) -> bool:
        """Shuts the gate before a fork; returns whether no thread is inside."""
        deadline = time.monotonic() + TIMEOUT
        try:
            is_empty = self._wait_until_empty(deadline)
        except BaseException:
            # Python forks all the same, and shows the exception.
            self._wait_until_empty(deadline)
            raise
        return is_empty and not stack_holds(own_frame(), self._guarded)

    def _wait_until_empty(self, deadline: float) -> bool:
        own = threading.get_ident()
        while True:
            # Again each time: the end of another thread's fork opens the gate.
            self._forking.setdefault(own)
            is_next = next(iter(list(self._forking)), own) == own
            if is_next and not other_threads_inside(self._guarded, self._resting):
                return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_INTERVAL)
