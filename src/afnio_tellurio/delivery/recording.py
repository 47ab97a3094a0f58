"""A recording: what this process logs to one run, and the end of the run."""

from __future__ import annotations

import threading
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING

import attrs

from afnio_tellurio.clock import monotonic
from afnio_tellurio.deadlines import within
from afnio_tellurio.delivery.file_outbox import FileOutbox
from afnio_tellurio.delivery.outbox import DeliveryReceipt, Outbox
from afnio_tellurio.delivery.recovery import deliver_orphans_of_run
from afnio_tellurio.delivery.senders import (
    close_outbox,
    forget_outbox,
    open_outbox,
    release_outbox,
    require_delivery,
    wait_visibly,
)
from afnio_tellurio.forks import ForkStep, at_fork

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from typing import Any

    from afnio_tellurio.api.calling import RunPath
    from afnio_tellurio.api.connection import Connection
    from afnio_tellurio.delivery.records import End
    from afnio_tellurio.delivery.transfer import RecordedEnd


class Recording:
    """The outboxes of one run in this process: one for each connection that it is logged through.

    Attributes:
        outbox: The outbox of the run's own connection, or None before the first metric.
        owns_run: Whether the run ends with this process: not if it was found or attached to.
        ended: The end of the run as the backend recorded it, or None.
    """

    def __init__(
        self, connection: Connection, path: RunPath, *, run_name: str, owns_run: bool
    ) -> None:
        """Opens the outbox of a run that this process owns at once.

        Then the journal of a process that died shows that its run has crashed.

        Args:
            connection: The connection that the run was started or found with.
            path: The run.
            run_name: Its name, for messages.
            owns_run: Whether the run ends with this process.
        """
        # Delivery does not depend on how the program's requests are sent.
        self.connection = connection.origin
        self.path = path
        self.run_name = run_name
        self.owns_run = owns_run
        self._ending = threading.RLock()
        # Apart from `_ending`, which is held for long: `log` must not wait for a backend.
        self._opening = threading.RLock()
        self._is_ending = False
        self.outbox: Outbox | None = None
        self.ended: RecordedEnd | None = None
        self._outboxes: dict[int, Outbox] = {}
        self._file_outboxes: dict[int, FileOutbox] = {}
        self._birth: Mapping[str, Any] | None = None
        if owns_run:
            self.open_outbox()

    def open_outbox(self, connection: Connection | None = None) -> Outbox:
        """The outbox of a connection, by default the run's own; opens it if necessary."""
        connection = self.connection if connection is None else connection.origin
        outbox = self._outboxes.get(id(connection))
        if outbox is None:
            with self._opening:
                outbox = self._outboxes.get(id(connection)) or self._open_outbox(connection)
        if connection is self.connection:
            self.outbox = outbox
        return outbox

    def _open_outbox(self, connection: Connection) -> Outbox:
        outbox = open_outbox(
            connection,
            self.path,
            run_name=self.run_name,
            owns_run=self.owns_run and not self._outboxes,
            kind=Outbox,
        )
        # A signal handler that logs may have been here meanwhile.
        outbox = self._outboxes.setdefault(id(connection), outbox)
        if not self.owns_run:
            weakref.finalize(self, release_outbox, outbox).atexit = False
        _recordings.add(self)
        if self._is_ending:
            outbox.journal.seal()
        return outbox

    def open_file_outbox(self, connection: Connection | None = None) -> FileOutbox:
        """The outbox for files of a connection, by default the run's own; opens it if necessary."""
        connection = self.connection if connection is None else connection.origin
        outbox = self._file_outboxes.get(id(connection))
        if outbox is None:
            with self._opening:
                outbox = self._file_outboxes.get(id(connection))
                if outbox is None:
                    outbox = self._open_file_outbox(connection)
        return outbox

    def _open_file_outbox(self, connection: Connection) -> FileOutbox:
        outbox = open_outbox(
            connection, self.path, run_name=self.run_name, owns_run=False, kind=FileOutbox
        )
        outbox = self._file_outboxes.setdefault(id(connection), outbox)
        if self._birth is not None:
            outbox.journal.record_birth(self._birth)
        if not self.owns_run:
            weakref.finalize(self, release_outbox, outbox).atexit = False
        _recordings.add(self)
        if self._is_ending:
            outbox.journal.seal()
        return outbox

    def _all_outboxes(self) -> list[Outbox]:
        """Those of metrics, then those of files."""
        return [*self._outboxes.values(), *self._file_outboxes.values()]

    @contextmanager
    def held_for_end(self, deadline: float) -> Generator[None]:
        """Keeps other threads from ending the run at the same time.

        Raises:
            DeliveryError: Another thread is still ending it at the deadline.
        """
        if not self._ending.acquire(timeout=max(0.0, deadline - monotonic())):
            raise self.open_outbox().problem("finish")
        try:
            yield
        finally:
            self._ending.release()

    def require(self, call: str, deadline: float | None) -> None:
        """Waits until the backend has everything that this process logged to the run.

        Raises:
            DeliveryError: It does not have it at the deadline, or delivery has stopped.
        """
        for outbox in self._all_outboxes():
            require_delivery(outbox, call, deadline and deadline - monotonic())

    def find_undelivered(self, deadline: float) -> Outbox | None:
        """Waits for delivery; returns an outbox that is not delivered at the deadline."""
        for outbox in self._all_outboxes():
            if not wait_visibly(outbox, deadline):
                return outbox
        return None

    def find_lost(self) -> Outbox | None:
        """Returns an outbox that has lost metrics."""
        return next((box for box in list(self._outboxes.values()) if box.journal.lost), None)

    def end(self, connection: Connection, end: End, deadline: float) -> Outbox | None:
        """Refuses further metrics, delivers all of them, then the end.

        Returns:
            The outbox that was not delivered at the deadline, or None.
        """
        last = self.open_outbox(connection)
        # Metrics logged from now on are refused: delivery must come to an end.
        self._is_ending = True
        for outbox in self._all_outboxes():
            outbox.journal.seal()
        for outbox in list(self._outboxes.values()):
            if outbox is not last and not wait_visibly(outbox, deadline):
                return outbox
        # Up to half of the time: the end must be possible without them.
        with within((monotonic() + deadline) / 2):
            deliver_orphans_of_run(connection, self.path.run_uuid)
        last.wanted_end = end
        if not wait_visibly(last, deadline):
            return last
        self.ended = last.transfer.ended
        return None

    def give_up(self, *, is_certain: bool) -> None:
        """Closes the outboxes of a run that could not be started.

        Args:
            is_certain: Whether the backend has not created it. Else the journals stay: a later
                process ends the run, if there is one.
        """
        for outbox in self._all_outboxes():
            forget_outbox(outbox)
            outbox.journal.seal()
            if is_certain:
                outbox.discard()
            else:
                outbox.journal.close()

    def name_run(self, run_name: str) -> None:
        """Records the name of the run, which the backend may have chosen."""
        self.run_name = run_name
        for outbox in self._all_outboxes():
            outbox.journal.name_run(run_name)

    def record_birth(self, details: Mapping[str, Any]) -> None:
        """Records what the run was created with, for a backend that loses it."""
        self._birth = details
        self.open_outbox().journal.record_birth(details)

    def reopen(self, connection: Connection) -> bool:
        """Accepts metrics again after `end` failed, unless the backend has recorded the end.

        Returns:
            True if the run is open again.
        """
        last = self.open_outbox(connection)
        last.wanted_end = None
        if last.transfer.ended is not None:
            return False
        self._is_ending = False
        for outbox in self._all_outboxes():
            outbox.journal.unseal()
        return True

    def leave_end(self, end: End) -> None:
        """Leaves the end to the sender, or to a later process if this one is gone."""
        outbox = self.open_outbox()
        outbox.journal.end(end)
        outbox.wanted_end = end

    def close(self) -> None:
        """Closes every outbox; those of files as soon as all is delivered."""
        for outbox in list(self._outboxes.values()):
            close_outbox(outbox)
        for outbox in list(self._file_outboxes.values()):
            if outbox.is_done:
                # Here: the process may end before its thread does it.
                close_outbox(outbox)
            else:
                release_outbox(outbox)

    def leave_to_parent(self) -> None:
        """In a forked child: logs through new journals, to a run that the parent ends."""
        self._ending = threading.RLock()
        self._opening = threading.RLock()
        self._is_ending = False
        self._outboxes = {}
        self._file_outboxes = {}
        self.outbox = None
        self.owns_run = False

    def receipt(self) -> DeliveryReceipt:
        """The number of metrics and files that this process logged, by their state."""
        receipts = [attrs.asdict(outbox.receipt()) for outbox in self._all_outboxes()]
        names = [field.name for field in attrs.fields(DeliveryReceipt)]
        return DeliveryReceipt(
            **{name: sum(receipt[name] for receipt in receipts) for name in names}
        )


_recordings: weakref.WeakSet[Recording] = weakref.WeakSet()


def _leave_recordings_to_parent() -> None:
    for recording in list(_recordings):
        recording.leave_to_parent()


at_fork(ForkStep.RECORDINGS, in_child=_leave_recordings_to_parent)
