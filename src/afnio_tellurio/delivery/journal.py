"""The journal for the process that writes it; `journal_file.py` describes the format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from afnio_tellurio.delivery.journal_appending import AppendedFile
from afnio_tellurio.delivery.journal_writing import (
    is_at,
    remove_journal,
    write_all,
    write_copy,
)
from afnio_tellurio.delivery.records import (
    END,
    Batch,
    Change,
    End,
    Header,
    record_line,
)
from afnio_tellurio.files import synchronize
from afnio_tellurio.interruptions import ignored, raise_foreign
from afnio_tellurio.locking import unlock
from afnio_tellurio.settings.limits import BATCH_METRICS

if TYPE_CHECKING:
    from io import FileIO
    from pathlib import Path


class Journal(AppendedFile):
    """A journal that this process writes and delivers. Threads may share it."""

    def __init__(self, folder: Path, header: Header) -> None:
        # Files that were removed, moved or replaced.
        self._replaced: list[FileIO] = []
        # The size of the file when nothing to send was found in it.
        self._searched_size = 0
        self._is_removed = False
        super().__init__(folder, header)

    @property
    def is_delivered(self) -> bool:
        """Whether nothing in it waits to be sent."""
        return self.is_delivered_until(self.size)

    def is_delivered_until(self, size: int) -> bool:
        """Whether nothing waits to be sent of its content when it had this size."""
        if self.held:
            return False
        # A torn line may have been cut off since. (0: another thread is just replacing the file.)
        size = min(size, self.size or size)
        return self._is_closed or size <= max(self.position.offset, self._searched_size)

    @property
    def lost(self) -> int:
        """The number of metrics that were logged and cannot be delivered.

        Their lines are damaged or were cut off, or neither the disk nor memory had room for them.
        """
        # In this order: metrics that are appended or delivered meanwhile are not lost.
        count, held = self.count, len(self.held)
        is_delivered = self.is_delivered
        position = self.position
        waiting = 0 if is_delivered else held + self.count_metrics(position.offset)
        vanished = max(0, count - position.number - waiting)
        return self.missing + self.held.dropped + vanished

    def next_batch(self, limit: int = BATCH_METRICS) -> Batch | None:
        """The next metrics to send, up to a limit: first from the file, then from memory."""
        if not self.held:
            return self._next_in_file(limit)
        # Else another thread could write the held lines to the file between the two looks.
        with self.held.reserved() as is_reserved:
            batch = self._next_in_file(limit)
            if batch is None and is_reserved:
                batch = self.held.batch(self.position, limit)
        return batch

    def _next_in_file(self, limit: int) -> Batch | None:
        size = self.size
        batch = self.batch(limit)
        if batch is None:
            self._searched_size = size
        return batch

    def acknowledge(self, batch: Batch, following: int) -> None:
        """Moves the position past the metrics that a backend has of a batch's segment."""
        if not batch.held:
            super().acknowledge(batch, following)
            return
        with self.held.reserved():
            before = self.position
            metrics = batch.metrics
            last = min(following - before.number, len(metrics)) - 1
            lag = metrics.number + last - metrics.counts[last]
            # Some may have been written to the file meanwhile.
            position = self._advance(before, following)
            self.held.drop_delivered(following - position.number)
            self._store(position._replace(number=following, lag=lag))

    def acknowledge_change(self, batch: Batch, change: Change) -> None:
        """Notes that a backend has a change, or refuses it."""
        super().acknowledge_change(batch, change)
        with self.held.reserved():
            for line in batch.held:
                self.held.drop_change(line)

    def _skip_first(self, batch: Batch) -> None:
        if not batch.held:
            super()._skip_first(batch)
            return
        with self.held.reserved():
            number = batch.metrics.number + 1
            position = self._advance(self.position, number)
            self.held.drop_delivered(number - position.number)
            self._store(position._replace(number=number, segment=number))

    def _go_back(self, number: int, segment: int) -> int:
        self._searched_size = 0
        return super()._go_back(number, segment)

    def may_be_expected(self, number: int) -> bool:
        """Whether a backend may expect this sequence number next, past the end of a batch."""
        end = self.position.number
        for metrics, _missing in self._metrics(self.position):
            end = metrics[-1].number + 1
        return number <= end + len(self.held)

    def waiting_count(self) -> int:
        """The number of metrics that are logged and not acknowledged."""
        if self.is_delivered:
            return 0
        return self.count_metrics(self.position.offset) + len(self.held)

    def in_memory_count(self) -> int:
        """The number of waiting metrics that would be lost with this process."""
        return self.waiting_count() if self._is_astray() else len(self.held)

    def _is_astray(self) -> bool:
        """Whether the file is not at the path where another process would look for it."""
        writer = self._writer
        return writer is not None and not self._is_closed and not is_at(self.path, writer)

    def stay_at_path(self) -> None:
        """Writes the file again at its path if it was removed, moved or replaced.

        If it was truncated, writes its header again, without which no other process can deliver it.
        """
        if self._is_astray():
            self._return_to_path()
        try:
            self._restore_beginning()
        except OSError as error:
            raise_foreign(error)
            self.held.note_trouble(error)

    def _return_to_path(self) -> None:
        if not self.held.lock.acquire(blocking=False):
            return
        try:
            if not self._is_closed:
                self._stop_direct()
                self._copy_to_path()
        except OSError as error:
            raise_foreign(error)
            self.held.note_trouble(error)
        finally:
            self.held.lock.release()
        self.write_held()

    def _restore_beginning(self) -> None:
        is_intact = self._read(0, len(self._beginning)) == self._beginning
        if is_intact or self._is_closed or self._is_astray():
            return
        # Not the writer, whose position other threads use.
        with self.path.open("r+b", buffering=0) as file:
            write_all(file, self._beginning)

    def _copy_to_path(self) -> None:
        writer = write_copy(self.path, self._read)
        former = self._writer
        # Another thread may be using these.
        self._replaced += [file for file in (self._file, self._ack_file) if file is not None]
        self._use(writer)
        self._ack_file = None
        self._write_position(self.position)
        if former is not None:
            former.close()

    def synchronize(self) -> None:
        """Calls fsync on the file.

        Raises:
            OSError: It fails.
        """
        self.stay_at_path()
        try:
            if self._writer is not None:
                synchronize(self._writer.fileno())
        except (OSError, ValueError) as error:
            raise_foreign(error)
            # If another thread has just closed it, there is nothing left to do.
            if not self._is_closed:
                raise

    def name_run(self, run_name: str) -> None:
        """Records the name of the run, which the backend may have chosen."""
        if run_name == self.header.run_name:
            return
        self.header: Header = replace(self.header, run_name=run_name)
        line = record_line(self.header)
        self._head = line * 2
        if self._writer is not None:
            # It is for people only.
            with ignored(OSError, ValueError):
                self._writer.write(line)
            beginning = self._beginning + line
            if self._read(0, len(beginning)) == beginning:
                self._beginning = beginning

    def end(self, end: End) -> None:
        """Records the end of the run, for a later process."""
        self.stay_at_path()
        self._end_line = record_line(END, *end)
        self.write_held()
        with ignored(OSError):
            self.synchronize()

    def forget(self) -> None:
        """In a forked child: closes the file, whose lock must end with the parent."""
        self.held.replace_lock()
        self._close_files()

    def remove(self) -> None:
        """Removes the journal and its `.ack` file; rejected metrics stay.

        Raises:
            OSError: It cannot be removed.
        """
        was_written = self._writer is not None or self._ack_file is not None
        self.close()
        # It may never have existed, if the folder is not writable.
        if was_written and not self._is_removed:
            try:
                remove_journal(self.path)
            except OSError as error:
                raise_foreign(error)
                # Another thread may have removed it, and the folder may be inaccessible since.
                if not self._is_removed:
                    raise
            self._is_removed = True

    def close(self) -> None:
        """Closes the file, which releases its lock."""
        self._is_direct = False
        self._is_closed = True
        self._wait_for_appends()
        with self.held.reserved():
            # Not where files are closed: a forked child must not release its parent's lock.
            if self._writer is not None:
                with ignored(OSError, ValueError):
                    unlock(self._writer.fileno())
            self._close_files()

    def _close_files(self) -> None:
        self._is_direct = False
        self._is_closed = True
        super().close()
        for file in (self._writer, *self._replaced):
            if file is not None:
                file.close()
