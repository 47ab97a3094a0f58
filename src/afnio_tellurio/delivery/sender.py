"""The sender: one daemon thread of each process that takes its journals to the backends."""

from __future__ import annotations

import os
import threading
import time
import uuid
from typing import TYPE_CHECKING

import attrs

from afnio_tellurio.delivery.journal import Journal, journals_folder
from afnio_tellurio.delivery.records import Header
from afnio_tellurio.delivery.transfer import Transfer
from afnio_tellurio.errors import DeliveryError, InvalidAPIKeyError, TellurioError
from afnio_tellurio.notices import show_progress, warn, warn_once
from afnio_tellurio.settings import (
    BURST_DELAY,
    BURST_METRICS,
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
        append: Records the step, and name and value of each metric, of one call.
        transfer: What takes it there.
        wanted_status: The status to end the run with when everything is delivered, or None.
        is_released: Whether nobody can log to it any more.
    """

    def __init__(self, client: TellurioClient, journal: Journal) -> None:
        self.journal = journal
        # Whoever appends must then wake an idle sender; in one place more it would cost a call.
        self.append = journal.append
        self.transfer = Transfer(client, journal)
        self.wanted_status: str | None = None
        self.is_released = False
        self._synchronized_at = 0.0
        self._synchronized_size = 0
        self._is_stop_told = False

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do: all is acknowledged, and the run ended if it should be."""
        if self.journal.waiting_count() > 0:
            return False
        return self.wanted_status is None or self.transfer.ended is not None

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
        return DeliveryError(
            call,
            run_name=self.journal.header.run_name,
            waiting=self.journal.waiting_count(),
            lost=self.journal.lost,
            path=str(self.journal.path),
            reason=str(reason),
        )

    def receipt(self) -> DeliveryReceipt:
        """How much was logged, and what became of it."""
        waiting, rejected = self.journal.waiting_count(), self.transfer.rejected
        accepted = self.journal.count - waiting - rejected
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
        if isinstance(error, InvalidAPIKeyError):
            return (
                f"run {run!r}: delivery has ended: the backend refuses the API key, which has "
                f"expired or was revoked ({error.words}). Nothing is lost: metrics stay in {path}. "
                "Sign in again with: afnio-tellurio login (or set TELLURIO_API_KEY), "
                "then deliver them with: afnio-tellurio sync"
            )
        return (
            f"run {run!r}: delivery has ended: {error}; metrics stay in {path} and are delivered "
            "by: afnio-tellurio sync"
        )

    def _send_next(self) -> bool:
        batch = self.journal.next_batch()
        if batch is not None:
            try:
                return self.transfer.send(batch)
            finally:
                self.journal.done_with(batch)
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

    Attributes:
        is_idle: Whether it waits to be woken.
        progress: Notified whenever something was delivered, or failed.
    """

    def __init__(self) -> None:
        self.progress = threading.Condition()
        self.is_idle = True
        self._is_awaited = False
        self._outboxes: list[Outbox] = []
        self._thread: threading.Thread | None = None

    def add(self, outbox: Outbox) -> None:
        """Takes over an outbox."""
        with self.progress:
            self._outboxes.append(outbox)

    def remove(self, outbox: Outbox) -> None:
        """Lets go of an outbox."""
        with self.progress:
            if outbox in self._outboxes:
                self._outboxes.remove(outbox)

    def outboxes(self, client: TellurioClient | None = None) -> list[Outbox]:
        """What it has taken over; only what goes through this client where one is given."""
        with self.progress:
            return [
                outbox
                for outbox in self._outboxes
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
        with self.progress:
            self.is_idle = False
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="tellurio-sender", daemon=True)
                try:
                    thread.start()
                except RuntimeError:
                    # The interpreter is ending and starts no thread; `wait_for` delivers itself.
                    return
                self._thread = thread
            self.progress.notify_all()

    def wait_for(self, outbox: Outbox, timeout: float | None) -> bool:
        """Waits until an outbox is done, or stopped, at most so many seconds; says which."""
        if outbox.is_done:
            return True
        deadline = None if timeout is None else time.monotonic() + timeout
        outbox.transfer.hurry()
        self._is_awaited = True
        self.wake()
        while not outbox.is_done and outbox.transfer.stopped is None:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                break
            if self._thread is None or not self._thread.is_alive():
                if not outbox.step():
                    time.sleep(min(GATHER_DELAY, left or GATHER_DELAY))
                continue
            pause = WAITING_RETRY_INTERVAL if left is None else min(left, WAITING_RETRY_INTERVAL)
            with self.progress:
                if outbox.is_done or outbox.transfer.stopped is not None:
                    break
                if not self.progress.wait(pause):
                    outbox.transfer.hurry()
                    self.progress.notify_all()
        return outbox.is_done

    def _run(self) -> None:
        while True:
            with self.progress:
                self.is_idle = True
                pause = self._pause()
                if pause is None or pause > 0:
                    self.progress.wait(pause)
                self.is_idle = False
                self._gather()
                self._is_awaited = False
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
        while not self._is_awaited and time.monotonic() < until:
            count = sum(outbox.journal.count for outbox in self._outboxes)
            if count - before < BURST_METRICS:
                return
            before = count
            self.progress.wait(GATHER_DELAY)

    def _tell(self) -> None:
        with self.progress:
            self.progress.notify_all()

    def _pause(self) -> float | None:
        """How long there is nothing to do unless somebody says otherwise; None is for ever."""
        times = [due for due in map(Outbox.due, self._outboxes) if due is not None]
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
