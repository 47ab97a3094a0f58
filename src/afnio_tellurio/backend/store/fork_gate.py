"""Delays a fork while another thread is inside SQLite.

Otherwise SQLite's own locks could stay locked forever in the child. Nothing here counts or locks,
because a signal handler may raise between any two instructions.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from afnio_tellurio.clock import monotonic
from afnio_tellurio.threads import other_threads_inside, own_frame, stack_holds

if TYPE_CHECKING:
    from types import CodeType

#: Maximum seconds that a fork waits for other threads to leave SQLite.
TIMEOUT = 10.0
#: Seconds between two checks of the other threads.
_POLL_INTERVAL = 0.001


class ForkGate:
    """The gate of one function. While it is shut, threads wait in `pass_through`.

    Args:
        guarded: The code object of a plain function that calls `pass_through` first.
    """

    def __init__(self, guarded: CodeType) -> None:
        self._guarded = (guarded,)
        self._resting = (self._rest.__code__,)
        #: The threads that are about to fork, in order.
        self._forking: dict[int, None] = {}
        #: Opens the gate after a fork. A C function, because a signal can't interrupt it.
        self.open = self._forking.clear

    def pass_through(self, pause: float = 0.0) -> None:
        """Waits while another thread forks.

        Args:
            pause: Seconds to sleep in any case. A fork does not wait for a thread that sleeps here,
                so the thread must not use a connection.
        """
        if pause:
            self._rest(pause)
        # Checked outside `_rest`: a fork that starts now may still see the thread inside it.
        while self._forking and self._rest(_POLL_INTERVAL, only_for_forks=True):
            pass

    def _rest(self, pause: float, *, only_for_forks: bool = False) -> bool:
        """Sleeps; returns False if there was no need to."""
        if only_for_forks and not self._must_wait():
            return False
        time.sleep(pause)
        return True

    def _must_wait(self) -> bool:
        own = threading.get_ident()
        if all(thread == own for thread in list(self._forking)):
            return False
        # If this is a signal handler of a thread that is inside, the fork waits for this thread, so
        # it must not wait for the fork.
        return not stack_holds(own_frame(), self._guarded, self._resting)

    def shut(self) -> bool:
        """Shuts the gate before a fork; returns whether no thread is inside."""
        deadline = monotonic() + TIMEOUT
        try:
            is_empty = self._wait_until_empty(deadline)
        except BaseException:  # raised again, after the wait has ended
            # Python prints the exception and forks anyway.
            self._wait_until_empty(deadline)
            raise
        return is_empty and not stack_holds(own_frame(), self._guarded)

    def _wait_until_empty(self, deadline: float) -> bool:
        own = threading.get_ident()
        while True:
            # Repeated, because the end of another thread's fork opens the gate.
            self._forking.setdefault(own)
            is_next = next(iter(list(self._forking)), own) == own
            if is_next and not other_threads_inside(self._guarded, self._resting):
                return True
            if monotonic() >= deadline:
                return False
            time.sleep(_POLL_INTERVAL)
