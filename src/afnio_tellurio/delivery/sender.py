"""The sender: a daemon thread for each backend that delivers this process's journals to it."""

from __future__ import annotations

import math
import time
import weakref
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from afnio_tellurio.clock import monotonic
from afnio_tellurio.deadlines import within
from afnio_tellurio.delivery.outbox import Outbox
from afnio_tellurio.delivery.worker import Worker
from afnio_tellurio.settings.limits import (
    BURST_DELAY,
    BURST_METRICS,
    GATHER_DELAY,
    WAITING_RETRY_INTERVAL,
)

if TYPE_CHECKING:
    from collections.abc import Callable


class Sender(Worker):
    """The thread of one backend, and the outboxes that it delivers, in turns: a batch of each.

    Args:
        on_work: Called when the thread begins to work.
    """

    def __init__(self, on_work: Callable[[], None]) -> None:
        super().__init__("tellurio-sender")
        self._on_work = on_work
        # The callers that wait for delivery. Weakly: an exception may end a call.
        self._waiters: list[weakref.ref[SimpleQueue[None]]] = []
        self._outboxes: list[Outbox] = []
        # Whether an outbox had more to send after its last step.
        self._is_draining = False

    def add(self, outbox: Outbox) -> None:
        """Adds an outbox to deliver."""
        outbox.waker = self
        self._outboxes.append(outbox)
        self.wake()

    def close(self, outbox: Outbox) -> None:
        """Removes an outbox and closes it."""
        self.forget(outbox)
        outbox.close()

    def forget(self, outbox: Outbox) -> None:
        """Removes an outbox."""
        with suppress(ValueError):
            self._outboxes.remove(outbox)

    def outboxes(self) -> list[Outbox]:
        """The outboxes to deliver."""
        return list(self._outboxes)

    def wait_for(self, outbox: Outbox, timeout: float | None) -> bool:
        """Waits until the present content of an outbox is delivered, and its run ended.

        Args:
            outbox: The outbox.
            timeout: Seconds to wait, at most; None means forever.

        Returns:
            True if all was delivered in time.
        """
        size = outbox.journal.size
        deadline = None if timeout is None else monotonic() + timeout
        if outbox.is_done_until(size):
            return True
        if outbox.is_set_aside:
            return False
        outbox.transfer.hurry()
        progress: SimpleQueue[None] = SimpleQueue()
        self._waiters.append(weakref.ref(progress))
        self.wake()
        while not outbox.is_done_until(size):
            left = None if deadline is None else deadline - monotonic()
            if outbox.is_stuck or (left is not None and left <= 0):
                return False
            if not self._start():
                # The interpreter is shutting down; the caller delivers by itself.
                with within(math.inf if deadline is None else deadline):
                    outbox.keep_on_disk()
                    is_due = outbox.step()
                if not is_due:
                    time.sleep(min(GATHER_DELAY, left or GATHER_DELAY))
                continue
            pause = WAITING_RETRY_INTERVAL if left is None else min(left, WAITING_RETRY_INTERVAL)
            try:
                progress.get(timeout=pause)
            except Empty:
                outbox.transfer.hurry()
                self.wake()
        return True

    def _turn(self) -> None:
        """Does one step of each outbox: runs that log without a pause must not hold up others."""
        self._empty_bell()
        self._on_work()
        if not self._is_draining:
            self._gather()
        self._is_draining = False
        for outbox in self.outboxes():
            if outbox.step():
                self._is_draining = True
            self._notify()
            if outbox.is_over:
                self.close(outbox)
            elif outbox.is_set_aside:
                self.forget(outbox)

    def _gather(self) -> None:
        """Waits while metrics gather, unless a caller waits: large requests are more efficient.

        If the application logs without a pause, it has the processor to itself for a while.
        """
        until = monotonic() + BURST_DELAY
        before = -BURST_METRICS
        while not self._waiting() and monotonic() < until:
            count = sum(outbox.journal.count for outbox in self.outboxes())
            if count - before < BURST_METRICS:
                return
            before = count
            with suppress(Empty):
                # A caller that waits rings the bell again.
                self._bell.get(timeout=GATHER_DELAY)

    def _waiting(self) -> list[SimpleQueue[None]]:
        """The callers that wait for delivery."""
        waiting = [progress for waiter in list(self._waiters) if (progress := waiter()) is not None]
        if len(waiting) < len(self._waiters):
            for waiter in [waiter for waiter in list(self._waiters) if waiter() is None]:
                self._waiters.remove(waiter)
        return waiting

    def _notify(self) -> None:
        for progress in self._waiting():
            if progress.empty():
                progress.put(None)

    def _pause(self) -> float | None:
        if self._is_draining:
            return 0.0
        times = [due for due in map(Outbox.due, self.outboxes()) if due is not None]
        return max(0.0, min(times) - monotonic()) if times else None

    def _has_work(self) -> bool:
        return bool(self._outboxes)
