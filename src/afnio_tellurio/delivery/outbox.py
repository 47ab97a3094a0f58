"""The outbox: one run's journal and its delivery. It does not know the sender."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import attrs

from afnio_tellurio.clock import monotonic
from afnio_tellurio.delivery.transfer import Transfer
from afnio_tellurio.errors import (
    ApiError,
    DeliveryError,
    InvalidAPIKeyError,
    TellurioError,
    counted_metrics,
    delivery_error,
)
from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.notices import warn, warn_once
from afnio_tellurio.settings.limits import GATHERED_BYTES, SYNCHRONIZE_INTERVAL

if TYPE_CHECKING:
    from afnio_tellurio.api.connection import Connection
    from afnio_tellurio.delivery.journal import Journal
    from afnio_tellurio.delivery.records import End


@attrs.frozen
class DeliveryReceipt:
    """The state of the metrics and files that this process logged to a run.

    Attributes:
        accepted: The number of metrics that the backend has.
        waiting: The number of metrics in the journal that the backend has not acknowledged.
        rejected: The number of metrics that the backend rejected; they are in the `.rejected` file
            next to the journal.
        files: The number of files that the backend has.
        bytes: The number of their bytes.
        waiting_files: The number of files that wait to be uploaded.
        waiting_bytes: The number of their bytes.
        rejected_files: The number of files that the backend refused, or that were changed before
            they were uploaded.
    """

    accepted: int
    waiting: int
    rejected: int
    files: int = 0
    bytes: int = 0
    waiting_files: int = 0
    waiting_bytes: int = 0
    rejected_files: int = 0


class Waker(Protocol):
    """Wakes the thread that delivers an outbox."""

    is_idle: bool

    def wake(self) -> None:
        """Wakes it."""


class Outbox:
    """The metrics of this process for one run, on their way to the backend. Threads may share it.

    Attributes:
        journal: Stores them until the backend has them.
        append: Records one metric.
        append_all: Records several metrics of one call.
        append_change: Records a change of the run.
        transfer: The delivery to the backend.
        waker: Wakes the thread that delivers it, which is set when it is added to a sender.
        wanted_end: The end of the run, to be sent when everything is delivered, or None.
        is_released: Whether nothing can be logged to it anymore; it closes when all is delivered.
        is_reported: Whether the end of its run has told that the rest is not delivered.
        is_set_aside: Whether delivery has ended because the backend does not have the run anymore.
    """

    waker: Waker
    #: Outboxes of one backend and one lane share a thread.
    lane = "metrics"
    #: What it delivers, for messages.
    content = "metrics"

    def __init__(self, connection: Connection, journal: Journal) -> None:
        self.journal = journal
        # The caller then wakes an idle thread; waking it here would cost a function call.
        self.append = journal.append
        self.append_all = journal.append_all
        self.append_change = journal.append_change
        self.transfer = Transfer(connection, journal)
        self.wanted_end: End | None = None
        self.is_released = False
        self.is_set_aside = False
        self.is_reported = False
        self._synchronized_at = 0.0
        self._synchronized_size = 0
        self._has_warned_of_stop = False
        self._has_warned_of_hold = False

    @property
    def is_stuck(self) -> bool:
        """Whether waiting is of no use: delivery has stopped, or the backend refuses everything."""
        return self.transfer.stopped is not None or self.transfer.holding is not None

    @property
    def is_done(self) -> bool:
        """Whether all is acknowledged, and the run ended if a status is wanted."""
        return self.is_done_until(self.journal.size)

    def is_done_until(self, size: int) -> bool:
        """Whether all that was logged at this size is acknowledged, and the run ended."""
        has_ended = self.wanted_end is None or self.transfer.ended is not None
        return has_ended and self.journal.is_delivered_until(size)

    def problem(self, call: str) -> DeliveryError:
        """The error that explains why the rest is not delivered."""
        cause = self.transfer.stopped or self.transfer.last_error
        self.journal.stay_at_path()
        return delivery_error(
            cause.response if isinstance(cause, ApiError) else None,
            call,
            run_name=self.journal.header.run_name,
            waiting=self.journal.waiting_count(),
            in_memory=self.in_memory_count(),
            lost=self.journal.lost,
            path=str(self.journal.path),
            reason=self.transfer.problem or "not enough time",
            content=self.describe_waiting() if self.content == "files" else None,
        )

    def describe_waiting(self) -> str:
        """What waits, for a message."""
        return counted_metrics(self.journal.waiting_count())

    def in_memory_count(self) -> int:
        """The number of waiting metrics, or uploads, that would be lost with this process."""
        return self.journal.in_memory_count()

    def receipt(self) -> DeliveryReceipt:
        """The number of metrics that were logged, by their state."""
        rejected = self.transfer.rejected
        accepted = self.journal.position.number - self.journal.missing - rejected
        waiting = self.journal.waiting_count()
        return DeliveryReceipt(accepted=accepted, waiting=waiting, rejected=rejected)

    def resume(self) -> None:
        """Resumes delivery that had stopped."""
        self._has_warned_of_stop = False
        self.transfer.hurry()

    def close(self) -> None:
        """Closes the journal, and removes it unless it has undelivered metrics."""
        # Before the check: else another thread could append to the file that is being removed.
        self.journal.seal()
        if self.is_done and not self.journal.lost:
            self.discard()
        else:
            self.journal.close()

    def discard(self) -> None:
        """Closes the journal and removes it."""
        try:
            self.journal.remove()
        except OSError as error:
            raise_foreign(error)
            warn_once(
                f"the journal {self.journal.path} was delivered but cannot be removed: {error}"
            )
        finally:
            self.journal.close()

    @property
    def is_over(self) -> bool:
        """Whether it can be closed."""
        # Not `is_done`, which reads the status too: another thread may set it in between.
        has_ended = self.transfer.ended is not None or (
            self.is_released and self.wanted_end is None
        )
        return has_ended and self.journal.is_delivered

    def due(self) -> float | None:
        """When the next step is due, on the monotonic clock; None if nothing is due."""
        if self.is_over:
            return 0.0
        if self.is_done or self.transfer.stopped is not None:
            return None
        return self.transfer.not_before

    def disk_due(self) -> float | None:
        """When `keep_on_disk` is due, on the monotonic clock; None if nothing is due."""
        times: list[float] = []
        if self.journal.size != self._synchronized_size:
            times.append(self._synchronized_at + SYNCHRONIZE_INTERVAL)
        write_held_at = self.journal.held.due()
        if write_held_at is not None:
            times.append(write_held_at)
        return min(times, default=None)

    def keep_on_disk(self) -> None:
        """Brings what was logged to the disk, if that is due."""
        self._synchronize()
        self._write_held()

    def step(self) -> bool:
        """Does the next step; returns True if another one is due at once."""
        try:
            if self.transfer.stopped is not None or monotonic() < self.transfer.not_before:
                return False
            is_due = self._send_next()
        except Exception as error:  # noqa: BLE001 - delivery of this run and others continues
            raise_foreign(error)
            warn_once(f"run {self.journal.header.run_name!r}: delivery failed: {error!r}")
            is_due = self.transfer.put_off(TellurioError(f"delivery failed: {error!r}"))
        if self.transfer.is_gone and not self.is_set_aside:
            self.is_set_aside = True
            self.journal.set_aside()
        self.warn_of_stop()
        self._warn_of_hold()
        return is_due

    def _warn_of_hold(self) -> None:
        """Warns once if the backend refuses every metric. A refused end is reported by its call."""
        if self.transfer.holding is None or self.journal.is_delivered or self._has_warned_of_hold:
            return
        self._has_warned_of_hold = True
        warn(
            f"run {self.journal.header.run_name!r}: delivery holds, and tries again from time to "
            f"time: {self.transfer.holding}. Nothing is lost: {self.content} wait in "
            f"{self.journal.path}"
        )

    def warn_of_stop(self) -> bool:
        """Warns once if delivery has stopped; returns True if it has."""
        if self.transfer.stopped is None:
            return False
        if not self._has_warned_of_stop:
            self._has_warned_of_stop = True
            warn(self._stop_message(self.transfer.stopped))
        return True

    def _stop_message(self, error: TellurioError) -> str:
        run, path = self.journal.header.run_name, self.journal.path
        self.journal.stay_at_path()
        in_memory = self.in_memory_count()
        state = f"{self.content} stay in {path}"
        if in_memory:
            state += f", except {in_memory} that could not be written and are only in memory"
        if isinstance(error, InvalidAPIKeyError):
            settings = self.transfer.connection.settings
            variable = " (or set TELLURIO_API_KEY)" if settings.is_named else ""
            return (
                f"run {run!r}: delivery has stopped: the backend rejects the API key, which has "
                f"expired or was revoked ({error.words}). Nothing is lost: {state}. "
                f"Sign in again with: {settings.sign_in_command}{variable}, "
                "then deliver them with: afnio-tellurio sync"
            )
        if self.is_set_aside:
            return f"run {run!r}: delivery has ended, because the run is gone: {error}; {state}"
        return (
            f"run {run!r}: delivery has stopped: {error}; {state}; deliver them with: "
            "afnio-tellurio sync"
        )

    def _send_next(self) -> bool:
        journal = self.journal
        batch = journal.next_batch(self.transfer.batch_limit)
        if batch is not None:
            is_due = self.transfer.send(batch)
            if batch.change is not None:
                return is_due
            has_sent_all = journal.position.number == batch.metrics.following
            rest = journal.size - journal.position.offset
            return is_due and not (has_sent_all and rest < GATHERED_BYTES)
        if self.wanted_end is not None and self.transfer.ended is None:
            self.transfer.end(self.wanted_end)
        return False

    def _synchronize(self) -> None:
        """Calls fsync on the journal, at most once in `SYNCHRONIZE_INTERVAL`."""
        now, size = monotonic(), self.journal.size
        if size == self._synchronized_size or now - self._synchronized_at < SYNCHRONIZE_INTERVAL:
            return
        self._synchronized_at, self._synchronized_size = now, size
        try:
            self.journal.synchronize()
        except OSError as error:
            raise_foreign(error)
            warn_once(
                f"the journal {self.journal.path} cannot be synchronized to the disk: {error}"
            )

    def _write_held(self) -> None:
        """Writes lines that a full disk left in memory, if due; warns once of the trouble."""
        write_held_at = self.journal.held.due()
        if write_held_at is not None and monotonic() >= write_held_at:
            self.journal.write_held()
        trouble = self.journal.held.take_trouble()
        if trouble is not None:
            warn(
                f"run {self.journal.header.run_name!r}: the journal {self.journal.path} cannot be "
                f"written ({trouble.strerror or trouble}); buffering in memory until it can"
            )


DeliveryReceipt.__module__ = "afnio_tellurio"
