"""The sender: one daemon thread of each process that takes its journals to the backends."""

from __future__ import annotations

import os
import threading
import time
import uuid
import weakref
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

import attrs

from afnio_tellurio.delivery.journal import Journal
from afnio_tellurio.delivery.journal_file import journals_folder
from afnio_tellurio.delivery.records import Header
from afnio_tellurio.delivery.transfer import Transfer
from afnio_tellurio.errors import DeliveryError, InvalidAPIKeyError, TellurioError
from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.notices import show_progress, warn, warn_once
from afnio_tellurio.settings import (
    BURST_DELAY,
    BURST_METRICS,
    FIRST_RETRY_DELAY,
    GATHER_DELAY,
    SYNCHRONIZE_INTERVAL,
    WAITING_RETRY_INTERVAL,
)

if TYPE_CHECKING:
    from afnio_tellurio.client import TellurioClient


@attrs.frozen
class DeliveryReceipt:
    """What became of the metrics that this process logged to a run.

    Attributes:
        accepted: How many the backend has.
        waiting: How many are in the journal and not acknowledged.
        rejected: How many the backend refused; they are in the `.rejected` file beside the journal.
    """

    accepted: int
    waiting: int
    rejected: int


class Outbox:
    """What one process logs to one run, on its way to the backend. Threads may share it.

    Attributes:
        journal: Where it is until the backend has it.
        append: Records one metric.
        append_all: Records several metrics of one call.
        transfer: What takes it there.
        wanted_status: The status to end the run with when everything is delivered, or None.
        is_released: Whether nobody can log to it any more.
    """

    def __init__(self, client: TellurioClient, journal: Journal) -> None:
        self.journal = journal
        # Whoever appends must then wake an idle sender; in one place more it would cost a call.
        self.append = journal.append
        self.append_all = journal.append_all
        self.transfer = Transfer(client, journal)
        self.wanted_status: str | None = None
        self.is_released = False
        self._synchronized_at = 0.0
        self._synchronized_size = 0
        self._is_stop_told = False

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do: all is acknowledged, and the run ended if it should be."""
        return self.is_done_until(self.journal.size)

    def is_done_until(self, size: int) -> bool:
        """Whether nothing is left to do for what the journal had when it had this size."""
        has_ended = self.wanted_status is None or self.transfer.ended is not None
        return has_ended and self.journal.is_delivered_until(size)

    def wait(self, timeout: float | None) -> bool:
        """Waits until all is delivered or delivery has ended; says whether all is."""
        return sender.wait_for(self, timeout)

    def require(self, call: str, timeout: float | None) -> None:
        """Waits until all is delivered.

        Raises:
            DeliveryError: It is not, in that time.
        """
        if not self.wait(timeout) or self.journal.lost:
            raise self.problem(call)

    def problem(self, call: str) -> DeliveryError:
        """What keeps the rest from being delivered."""
        reason = self.transfer.stopped or self.transfer.last_error or "there was no time"
        self.journal.stay_at_path()
        return DeliveryError(
            call,
            run_name=self.journal.header.run_name,
            waiting=self.journal.waiting_count(),
            in_memory=self.journal.in_memory_count(),
            lost=self.journal.lost,
            path=str(self.journal.path),
            reason=str(reason),
        )

    def receipt(self) -> DeliveryReceipt:
        """How much was logged, and what became of it."""
        rejected = self.transfer.rejected
        accepted = self.journal.position.number - self.journal.missing - rejected
        waiting = self.journal.waiting_count()
        return DeliveryReceipt(accepted=accepted, waiting=waiting, rejected=rejected)

    def resume(self) -> None:
        """Goes on where delivery had stopped."""
        self._is_stop_told = False
        self.transfer.hurry()

    def release(self) -> None:
        """Says that nobody can log to it any more: it is closed when all is delivered."""
        self.is_released = True
        sender.wake()

    def close(self) -> None:
        """Ends what this process does for it; a journal with something left in it stays."""
        sender.remove(self)
        # Before the look: what another thread appends in between would go with the file.
        self.journal.seal()
        try:
            if self.is_done and not self.journal.lost:
                self.journal.remove()
        except OSError as error:
            warn_once(
                f"the journal {self.journal.path} was delivered and cannot be removed: {error}"
            )
        finally:
            self.journal.close()

    @property
    def is_over(self) -> bool:
        """Whether it can be closed."""
        return self.is_done and (self.is_released or self.wanted_status is not None)

    def due(self) -> float | None:
        """When there is something to do, on the monotonic clock; None if there is not."""
        if self.is_over:
            return 0.0
        times: list[float] = []
        if not self.is_done and self.transfer.stopped is None:
            times.append(self.transfer.not_before)
        if self.journal.size != self._synchronized_size:
            times.append(self._synchronized_at + SYNCHRONIZE_INTERVAL)
        held = self.journal.held_is_due()
        if held is not None:
            times.append(held)
        return min(times, default=None)

    def step(self) -> bool:
        """Does the next thing there is to do; says whether to go on at once."""
        try:
            self._say_trouble()
            if self.transfer.stopped is not None or time.monotonic() < self.transfer.not_before:
                return False
            goes_on = self._send_next()
        except Exception as error:  # noqa: BLE001 - the other runs go on, and so does this one
            raise_foreign(error)
            warn_once(f"run {self.journal.header.run_name!r}: delivery failed: {error!r}")
            goes_on = self.transfer.failed(TellurioError(f"delivery failed: {error!r}"))
        self.tell_stop()
        return goes_on

    def tell_stop(self) -> bool:
        """Says that delivery has ended, if it has and that is not said yet; says whether it has."""
        if self.transfer.stopped is None:
            return False
        if not self._is_stop_told:
            self._is_stop_told = True
            warn(self._stop_message(self.transfer.stopped))
        return True

    def _stop_message(self, error: TellurioError) -> str:
        run, path = self.journal.header.run_name, self.journal.path
        self.journal.stay_at_path()
        in_memory = self.journal.in_memory_count()
        where = f"metrics stay in {path}"
        if in_memory:
            where += f", but for {in_memory} that it cannot take: they are in memory only"
        if isinstance(error, InvalidAPIKeyError):
            return (
                f"run {run!r}: delivery has ended: the backend refuses the API key, which has "
                f"expired or was revoked ({error.words}). Nothing is lost: {where}. "
                "Sign in again with: afnio-tellurio login (or set TELLURIO_API_KEY), "
                "then deliver them with: afnio-tellurio sync"
            )
        return (
            f"run {run!r}: delivery has ended: {error}; {where} and are delivered "
            "by: afnio-tellurio sync"
        )

    def _send_next(self) -> bool:
        batch = self.journal.next_batch()
        if batch is not None:
            return self.transfer.send(batch)
        if self.wanted_status is not None and self.transfer.ended is None:
            self.transfer.end(self.wanted_status)
        return False

    def synchronize(self) -> None:
        """Has the journal on the disk itself, at most once in `SYNCHRONIZE_INTERVAL`."""
        now, size = time.monotonic(), self.journal.size
        if size == self._synchronized_size or now - self._synchronized_at < SYNCHRONIZE_INTERVAL:
            return
        self._synchronized_at, self._synchronized_size = now, size
        try:
            self.journal.synchronize()
        except OSError as error:
            warn_once(f"the journal {self.journal.path} cannot be brought to the disk: {error}")

    def _say_trouble(self) -> None:
        self.journal.write_held_in_time()
        trouble = self.journal.take_trouble()
        if trouble is not None:
            warn(
                f"run {self.journal.header.run_name!r}: the journal {self.journal.path} cannot be "
                f"written ({trouble.strerror or trouble}); metrics are held in memory until it can"
            )


class Sender:
    """The thread, and what it has to deliver.

    The application's threads take no lock of it: an exception that a signal handler raises could
    leave it locked, and the thread would wait for ever.

    Attributes:
        is_idle: Whether it waits to be woken.
    """

    def __init__(self) -> None:
        self.is_idle = True
        # Of the standard library's queues the one that a signal handler may use at any time.
        self._bell: SimpleQueue[None] = SimpleQueue()
        # Who waits for delivery. Weakly: one that an exception interrupted waits no more.
        self._waiters: list[weakref.ref[SimpleQueue[None]]] = []
        self._outboxes: list[Outbox] = []
        # Locked by the thread for as long as it lives: of two that are started one ends at once.
        self._is_running = threading.Lock()

    def add(self, outbox: Outbox) -> None:
        """Takes over an outbox."""
        self._outboxes.append(outbox)
        self._start()

    def remove(self, outbox: Outbox) -> None:
        """Lets go of an outbox."""
        with suppress(ValueError):
            self._outboxes.remove(outbox)

    def outboxes(self, client: TellurioClient | None = None) -> list[Outbox]:
        """What it has taken over; only what goes through this client where one is given."""
        return [
            outbox
            for outbox in list(self._outboxes)
            if client is None or outbox.transfer.client is client
        ]

    def resume(self, client: TellurioClient) -> None:
        """Says that what stopped delivery through this client is mended."""
        found = self.outboxes(client)
        for outbox in found:
            outbox.resume()
        if found:
            self.wake()

    def inherited(self) -> list[Outbox]:
        """In a forked child: what its parent has to deliver, which the child must leave alone."""
        outboxes = self._outboxes
        self.__init__()  # type: ignore[misc]
        return outboxes

    def wake(self) -> None:
        """Says that there is something to do."""
        if self._bell.empty():
            self._bell.put(None)
        self._start()

    def _start(self) -> bool:
        """Starts the thread where it does not run; says whether it runs now."""
        if self._is_running.locked():
            return True
        try:
            threading.Thread(target=self._run, name="tellurio-sender", daemon=True).start()
        except RuntimeError:
            # The interpreter is ending and starts no thread; `wait_for` delivers itself.
            return False
        return True

    def wait_for(self, outbox: Outbox, timeout: float | None) -> bool:
        """Waits until what an outbox has now is delivered, and the run ended if it should be.

        Args:
            outbox: The outbox.
            timeout: How many seconds to wait at most; None is for ever.

        Returns:
            Whether it is: there was time, and delivery has not stopped.
        """
        size = outbox.journal.size
        deadline = None if timeout is None else time.monotonic() + timeout
        if outbox.is_done_until(size):
            return True
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
                except Exception as error:  # noqa: BLE001 - delivery goes on
                    warn_once(f"delivery failed: {error!r}")
                    time.sleep(FIRST_RETRY_DELAY)
        finally:
            self.is_idle = True
            self._is_running.release()

    def _turn(self) -> None:
        """Waits until there is something to do, and does it."""
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
                self._tell()
            self._tell()
            if outbox.is_over:
                outbox.close()

    def _gather(self) -> None:
        """Lets metrics gather unless somebody waits: a large request costs hardly more than one.

        While the application logs without a pause it has the processor to itself, for a while.
        """
        until = time.monotonic() + BURST_DELAY
        before = -BURST_METRICS
        while not self._waiting() and time.monotonic() < until:
            count = sum(outbox.journal.count for outbox in self.outboxes())
            if count - before < BURST_METRICS:
                return
            before = count
            with suppress(Empty):
                # Rung again by whoever waits.
                self._bell.get(timeout=GATHER_DELAY)

    def _waiting(self) -> list[SimpleQueue[None]]:
        """Who waits for delivery."""
        waiting = [progress for waiter in list(self._waiters) if (progress := waiter()) is not None]
        if len(waiting) < len(self._waiters):
            for waiter in [waiter for waiter in list(self._waiters) if waiter() is None]:
                self._waiters.remove(waiter)
        return waiting

    def _tell(self) -> None:
        for progress in self._waiting():
            if progress.empty():
                progress.put(None)

    def _pause(self) -> float | None:
        """How long there is nothing to do unless somebody says otherwise; None is for ever."""
        times = [due for due in map(Outbox.due, self.outboxes()) if due is not None]
        return max(0.0, min(times) - time.monotonic()) if times else None


sender = Sender()


def open_outbox(
    client: TellurioClient,
    *,
    namespace_slug: str,
    project_slug: str,
    run_uuid: str,
    run_name: str,
    owns_run: bool,
) -> Outbox:
    """Opens a journal for what this process logs to a run, and hands it to the sender.

    Args:
        client: The backend to deliver to.
        namespace_slug: The run's namespace.
        project_slug: The run's project.
        run_uuid: The run.
        run_name: Its name, for people.
        owns_run: Whether the run ends with this process.
    """
    header = Header(
        backend=client.name_in_journals,
        is_local=client.is_local,
        namespace_slug=namespace_slug,
        project_slug=project_slug,
        run_uuid=run_uuid,
        run_name=run_name,
        writer=str(uuid.uuid4()),
        owns_run=owns_run,
    )
    outbox = Outbox(client, Journal(journals_folder(), header))
    sender.add(outbox)
    return outbox


def wait_visibly(outbox: Outbox, deadline: float) -> bool:
    """Waits until an outbox is done, and shows on a terminal that it takes time."""
    shown = False
    try:
        while not outbox.wait(min(1.0, max(0.0, deadline - time.monotonic()))):
            if outbox.transfer.stopped is not None or time.monotonic() >= deadline:
                return False
            shown = show_progress(
                f"{outbox.journal.waiting_count()} metrics left to deliver; Ctrl-C leaves them for "
                "afnio-tellurio sync"
            )
    finally:
        if shown:
            show_progress("")
    return True


def wait_for_all(deadline: float) -> list[Outbox]:
    """Waits until every outbox of the process is done, and gives those that are not."""
    left: list[Outbox] = []
    for outbox in sender.outboxes():
        if not wait_visibly(outbox, deadline):
            left.append(outbox)
        elif not outbox.journal.header.owns_run:
            outbox.close()
    return left


def _forget_in_child() -> None:
    # The parent delivers what it logged. Its locks may be held by threads that the child has not.
    for outbox in sender.inherited():
        outbox.journal.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)


DeliveryReceipt.__module__ = "afnio_tellurio"
