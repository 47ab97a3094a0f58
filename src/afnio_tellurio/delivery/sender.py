"""The sender: a daemon thread in each process that delivers its journals to the backends."""

from __future__ import annotations

import threading
import time
import uuid
import weakref
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from afnio_tellurio.delivery.journal import Journal
from afnio_tellurio.delivery.outbox import Outbox
from afnio_tellurio.delivery.records import Header
from afnio_tellurio.errors import counted_metrics
from afnio_tellurio.forks import ForkStep, at_fork
from afnio_tellurio.notices import show_progress, warn_once
from afnio_tellurio.settings.limits import (
    BURST_DELAY,
    BURST_METRICS,
    FIRST_RETRY_DELAY,
    GATHER_DELAY,
    WAITING_RETRY_INTERVAL,
)

if TYPE_CHECKING:
    from afnio_tellurio.api.connection import Connection
    from afnio_tellurio.api.operations import RunPath


class Sender:
    """The thread, and the outboxes that it delivers.

    Threads of the application never take a lock that the sender needs: an exception of a signal
    handler could leave it locked, and the sender would wait forever.

    Attributes:
        is_idle: Whether the thread waits to be woken.
    """

    def __init__(self) -> None:
        self.is_idle = True
        # The only queue of the standard library that a signal handler may use at any time.
        self._bell: SimpleQueue[None] = SimpleQueue()
        # The callers that wait for delivery. Weakly: an exception may end a call.
        self._waiters: list[weakref.ref[SimpleQueue[None]]] = []
        self._outboxes: list[Outbox] = []
        # Locked by the thread while it lives: if two are started, one ends at once.
        self._is_running = threading.Lock()

    def add(self, outbox: Outbox) -> None:
        """Adds an outbox to deliver."""
        self._outboxes.append(outbox)
        self._start()

    def close(self, outbox: Outbox) -> None:
        """Removes an outbox and closes it."""
        self._forget(outbox)
        outbox.close()

    def _forget(self, outbox: Outbox) -> None:
        with suppress(ValueError):
            self._outboxes.remove(outbox)

    def release(self, outbox: Outbox) -> None:
        """Closes an outbox as soon as all is delivered: nothing can be logged to it anymore."""
        outbox.is_released = True
        self.wake()

    def outboxes(self, connection: Connection | None = None) -> list[Outbox]:
        """The outboxes to deliver: all, or those of one connection."""
        return [
            outbox
            for outbox in list(self._outboxes)
            if connection is None or outbox.transfer.connection is connection
        ]

    def resume(self, connection: Connection) -> None:
        """Resumes delivery through a connection after its problem is fixed."""
        outboxes = self.outboxes(connection)
        for outbox in outboxes:
            outbox.resume()
        if outboxes:
            self.wake()

    def reset_after_fork(self) -> None:
        """In a forked child: starts empty, without the journals that the parent delivers."""
        outboxes = self._outboxes
        # The locks may be held by threads that do not exist in the child.
        self.__init__()  # type: ignore[misc]
        for outbox in outboxes:
            outbox.journal.forget()

    def wake(self) -> None:
        """Wakes the thread: a step is due."""
        if self._bell.empty():
            self._bell.put(None)
        self._start()

    def _start(self) -> bool:
        """Starts the thread unless it runs; returns True if it runs now."""
        if self._is_running.locked():
            return True
        try:
            threading.Thread(target=self._run, name="tellurio-sender", daemon=True).start()
        except RuntimeError:
            # The interpreter is shutting down and starts no threads; `wait_for` delivers itself.
            return False
        return True

    def wait_for(self, outbox: Outbox, timeout: float | None) -> bool:
        """Waits until the present content of an outbox is delivered, and its run ended.

        Args:
            outbox: The outbox.
            timeout: Seconds to wait, at most; None means forever.

        Returns:
            True if all was delivered in time.
        """
        size = outbox.journal.size
        deadline = None if timeout is None else time.monotonic() + timeout
        if outbox.is_done_until(size):
            return True
        if outbox.is_set_aside:
            return False
        outbox.transfer.hurry()
        progress: SimpleQueue[None] = SimpleQueue()
        self._waiters.append(weakref.ref(progress))
        self.wake()
        while not outbox.is_done_until(size):
            left = None if deadline is None else deadline - time.monotonic()
            if outbox.transfer.stopped is not None or (left is not None and left <= 0):
                return False
            if not self._start():
                if not outbox.step():
                    time.sleep(min(GATHER_DELAY, left or GATHER_DELAY))
                continue
            pause = WAITING_RETRY_INTERVAL if left is None else min(left, WAITING_RETRY_INTERVAL)
            try:
                progress.get(timeout=pause)
            except Empty:
                outbox.transfer.hurry()
                self.wake()
        return True

    def _run(self) -> None:
        if not self._is_running.acquire(blocking=False):
            return
        try:
            while True:
                try:
                    self._turn()
                except Exception as error:  # noqa: BLE001 - delivery continues
                    warn_once(f"delivery failed: {error!r}")
                    time.sleep(FIRST_RETRY_DELAY)
        finally:
            self.is_idle = True
            self._is_running.release()

    def _turn(self) -> None:
        """Waits until a step is due, then does the steps of all outboxes."""
        self.is_idle = True
        pause = self._pause()
        if pause is None or pause > 0:
            with suppress(Empty):
                self._bell.get(timeout=pause)
        self.is_idle = False
        with suppress(Empty):
            self._bell.get(block=False)
        self._gather()
        for outbox in self.outboxes():
            outbox.synchronize()
            while outbox.step():
                self._notify()
            self._notify()
            if outbox.is_over:
                self.close(outbox)
            elif outbox.is_set_aside:
                self._forget(outbox)

    def _gather(self) -> None:
        """Waits while metrics gather, unless a caller waits: large requests are more efficient.

        If the application logs without a pause, it has the processor to itself for a while.
        """
        until = time.monotonic() + BURST_DELAY
        before = -BURST_METRICS
        while not self._waiting() and time.monotonic() < until:
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
        """The seconds until a step is due; None if the thread must be woken."""
        times = [due for due in map(Outbox.due, self.outboxes()) if due is not None]
        return max(0.0, min(times) - time.monotonic()) if times else None


sender = Sender()


def open_outbox(connection: Connection, path: RunPath, *, run_name: str, owns_run: bool) -> Outbox:
    """Opens a journal for metrics of this process, and passes it to the sender.

    Args:
        connection: The backend to deliver to.
        path: The run.
        run_name: Its name, for messages.
        owns_run: Whether the run ends with this process.
    """
    header = Header(
        backend=connection.name_in_journals,
        is_local=connection.is_local,
        namespace_slug=path.namespace_slug,
        project_slug=path.project_slug,
        run_uuid=path.run_uuid,
        run_name=run_name,
        writer=str(uuid.uuid4()),
        owns_run=owns_run,
    )
    outbox = Outbox(connection, Journal(connection.settings.journals, header))
    sender.add(outbox)
    return outbox


def require_delivery(outbox: Outbox, call: str, timeout: float | None) -> None:
    """Waits until all is delivered.

    Raises:
        DeliveryError: It was not delivered within `timeout` seconds.
    """
    if not sender.wait_for(outbox, timeout) or outbox.journal.lost:
        raise outbox.problem(call)


def settle(connection: Connection, call: str, run_uuid: str) -> None:
    """Waits until the logged metrics of a run can be read from a backend.

    Raises:
        DeliveryError: They cannot be delivered within `TELLURIO_EXIT_TIMEOUT`.
    """
    for outbox in _outboxes_to(connection):
        if outbox.journal.header.run_uuid == run_uuid:
            require_delivery(outbox, call, connection.settings.exit_timeout)


def settle_all(connection: Connection, call: str) -> None:
    """Waits until logged metrics can be read from a backend.

    Trouble with a run that the call does not name is not the call's.

    Args:
        connection: The backend.
        call: The method and path of a request.

    Raises:
        DeliveryError: Those of a run that the path names cannot be delivered within
            `TELLURIO_EXIT_TIMEOUT`.
    """
    timeout = connection.settings.exit_timeout
    deadline = time.monotonic() + timeout
    for outbox in _outboxes_to(connection):
        if outbox.journal.header.run_uuid in call.lower():
            require_delivery(outbox, call, timeout)
        elif outbox.transfer.stopped is None:
            sender.wait_for(outbox, max(0.0, deadline - time.monotonic()))


def _outboxes_to(connection: Connection) -> list[Outbox]:
    connections = [(outbox, outbox.transfer.connection) for outbox in sender.outboxes()]
    return [
        outbox
        for outbox, other in connections
        if other.address == connection.address and not other.is_closed
    ]


def wait_visibly(outbox: Outbox, deadline: float) -> bool:
    """Waits until an outbox is done, with progress on a terminal; returns False at the deadline."""
    is_shown = False
    try:
        while not sender.wait_for(outbox, min(1.0, max(0.0, deadline - time.monotonic()))):
            if outbox.transfer.stopped is not None or time.monotonic() >= deadline:
                return False
            left = counted_metrics(outbox.journal.waiting_count())
            is_shown = show_progress(
                f"{left} left to deliver; Ctrl-C leaves them for afnio-tellurio sync"
            )
    finally:
        if is_shown:
            show_progress("")
    return True


def wait_for_all(deadline: float) -> list[Outbox]:
    """Waits until every outbox of the process is done; returns those that are not."""
    undelivered: list[Outbox] = []
    for outbox in sender.outboxes():
        if not wait_visibly(outbox, deadline):
            undelivered.append(outbox)
        elif not outbox.journal.header.owns_run:
            sender.close(outbox)
    return undelivered


at_fork(ForkStep.SENDER, in_child=sender.reset_after_fork)
