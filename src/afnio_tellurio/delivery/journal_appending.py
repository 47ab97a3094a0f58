"""Appending to a journal: to its file, or to memory while the file cannot be written."""

from __future__ import annotations

import errno
import os
import sys
import time
import uuid
from typing import TYPE_CHECKING, Any
from zlib import crc32

from afnio_tellurio.clock import monotonic
from afnio_tellurio.delivery.held import HeldLines
from afnio_tellurio.delivery.journal_file import JournalFile
from afnio_tellurio.delivery.journal_writing import (
    create_file,
    disk_is_full,
)
from afnio_tellurio.delivery.records import (
    BORN,
    CHANGE,
    NUMBER,
    Header,
    encode,
    record_line,
)
from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.settings.limits import APPEND_TIMEOUT
from afnio_tellurio.threads import wait_until_left

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from io import FileIO
    from pathlib import Path

    from afnio_tellurio.api.metric_batches import Place

_SWITCH_CHECK_DELAY = 0.001
#: Seconds that `log` waits, at most, while the last held lines are written.
_SWITCH_TIMEOUT = 0.1
#: As many lines are written in that time on a slow machine too.
_SWITCH_LINES = 2000


class JournalSealedError(Exception):
    """Nothing can be appended anymore: the run is being ended."""


class AppendedFile(JournalFile):
    """A journal that this process appends to. Threads may share it.

    While the file cannot be written, lines are held in memory and delivered from there, and written
    when there is room. While lines are held, only the thread that delivers writes to the file.

    Attributes:
        count: The number of metrics appended, as far as memory knows: it may be behind.
        held: The lines in memory.
    """

    def __init__(self, folder: Path, header: Header) -> None:
        # Twice: a journal whose only header is damaged could not be delivered at all.
        self._head = record_line(header) * 2
        # What the file starts with: another program may cut it off.
        self._beginning = b""
        super().__init__(folder / header.file_name(), header, None)
        self.count = 0
        self.held = HeldLines()
        self._writer: FileIO | None = None
        self._is_sealed = False
        self._is_closed = False
        # Whether lines go straight to the file: it is open, and no lines are held.
        self._is_direct = False
        # Whether lines go to the file again as soon as the last held one is written.
        self._is_switching = False
        # Records to write as soon as that is possible.
        self._birth_line: bytes | None = None
        self._end_line: bytes | None = None
        try:
            self._open()
            self._is_direct = True
        except OSError as error:
            raise_foreign(error)
            self.held.note_trouble(error)

    def _open(self) -> None:
        writer = create_file(self.path, self._head)
        try:
            self._beginning = self._head
            self._use(writer)
        except BaseException:  # raised again: an interrupted call must leave no file behind
            writer.close()
            self.path.unlink(missing_ok=True)
            raise

    def _use(self, writer: FileIO) -> None:
        self._file = self.path.open("rb", buffering=0)
        # Not os.write: once the file is closed, its number may be that of another file.
        self._write = writer.write
        self._writer = writer

    def append(self, step: int | None, name: str, value: Any) -> None:
        """Writes one metric; when it returns, the operating system has it.

        Raises:
            JournalSealedError: The run is being ended.
        """
        count = self.count
        body = encode((count, step, time.time_ns() // 1000, name, value))[1:]
        line = b'["%08x",%b\n' % (crc32(body), body)
        if not self._is_direct:
            self._hold_rest([line], 0)
            return
        try:
            written = self._write(line)
        except (OSError, ValueError) as error:
            self._handle_write_error(error)
            written = 0
        if written == len(line):
            # Behind for a moment, and from now on if an exception arrives right here.
            self.count = count + 1
            return
        self._hold_rest([line], written)

    def append_all(self, place: Place, pairs: Sequence[tuple[str, Any]]) -> None:
        """Writes several metrics, or rows of tables, at once: each a name and a value.

        Args:
            place: Their step, or None; for rows, a list with their key if they have one.
            pairs: The names and values.

        Raises:
            JournalSealedError: The run is being ended.
        """
        now = time.time_ns() // 1000
        lines = [
            record_line(count, place, now, name, value)
            for count, (name, value) in enumerate(pairs, self.count)
        ]
        written = 0
        if self._is_direct:
            written = self._try_to_write(lines)
            if written < 0:
                return
        self._hold_rest(lines, written)

    def record_birth(self, details: Mapping[str, Any]) -> None:
        """Writes what the run was created with, as the body of `createRun`."""
        line = record_line(BORN, details)
        if not self._is_direct or self._write_some(line) != len(line):
            self._birth_line = line

    def append_change(
        self, fields: Mapping[str, Any], *, kind: str = CHANGE, key: str | None = None
    ) -> None:
        """Writes a change of the run, or an upload; when it returns, the system has it.

        Args:
            fields: The fields of `Change`.
            kind: Its kind.
            key: Its key; default a new one.

        Raises:
            JournalSealedError: The run is being ended.
        """
        line = record_line(kind, key or str(uuid.uuid4()), time.time_ns() // 1000, fields)
        written = 0
        if self._is_direct or self._wait_until_direct():
            written = self._write_some(line)
        if written == len(line):
            return
        if self._is_sealed or self._is_closed:
            raise JournalSealedError
        if written:
            self.held.note_trouble(disk_is_full())
        if not self.held.has_room(line):
            self.held.dropped += 1
            return
        # Twice, as for metrics.
        self._is_direct = False
        self.held.append_change(line)
        self._is_direct = False

    def _write_some(self, data: bytes) -> int:
        """Writes to the file; returns the number of bytes written."""
        try:
            return self._write(data)
        except (OSError, ValueError) as error:
            self._handle_write_error(error)
        return 0

    def _try_to_write(self, lines: Sequence[bytes]) -> int:
        """Writes metrics to the file; returns the number of bytes written, or -1 for all."""
        data = b"".join(lines)
        written = self._write_some(data)
        if written < len(data):
            return written
        self.count += len(lines)
        return -1

    def _handle_write_error(self, error: Exception) -> None:
        """Notes that the file cannot be written; raises an error that is not the file's."""
        cause = error.__traceback__
        is_raised_elsewhere = cause is None or cause.tb_next is not None
        if isinstance(error, OSError) and error.errno is not None and not is_raised_elsewhere:
            self.held.note_trouble(error)
        elif self._is_closed and not is_raised_elsewhere:
            raise JournalSealedError from None
        else:
            # A signal handler raised it during the write.
            raise error

    def _hold_rest(self, lines: Sequence[bytes], written: int) -> None:
        """Holds in memory the lines that were not written: all after the first `written` bytes."""
        if not written and self._wait_until_direct():
            written = self._try_to_write(lines)
            if written < 0:
                return
        if self._is_sealed or self._is_closed:
            raise JournalSealedError
        if written:
            self.held.note_trouble(disk_is_full())
        for line in lines:
            written -= len(line)
            if written >= 0:
                # All of it is in the file.
                self.count += 1
            elif not self.held.has_room(line):
                self.held.dropped += 1
            else:
                self._is_direct = False
                self.held.append(line)
                # Again: the thread that wrote the lines before this one may have set it meanwhile.
                self._is_direct = False
                self.count += 1

    def _wait_until_direct(self) -> bool:
        """Waits while the last held lines are written, for a moment; returns True if they are."""
        give_up_at = monotonic() + _SWITCH_TIMEOUT
        is_switching = self._is_switching
        while self._is_switching and monotonic() < give_up_at:
            time.sleep(_SWITCH_CHECK_DELAY)
        return is_switching and self._is_direct

    def write_held(self) -> None:
        """Writes the held lines, if there is room again."""
        if not self.held.lock.acquire(blocking=False):
            return
        try:
            if not self._is_closed:
                self._write_held()
        except OSError as error:
            raise_foreign(error)
            self.held.note_trouble(error)
        finally:
            self._is_switching = False
            self.held.lock.release()

    def _write_held(self) -> None:
        self._stop_direct()
        if self._writer is None:
            self._open()
        self._cut_torn_line()
        if self.held.is_number_due:
            self._write_whole(record_line(NUMBER, self.position.number))
            self.held.is_number_due = False
        if self._birth_line is not None:
            self._write_whole(self._birth_line)
            self._birth_line = None
        for line in list(self.held.changes):
            self._write_whole(line)
            self.held.drop_change(line)
        self._move_held()
        before = sys.maxsize
        while _SWITCH_LINES < len(self.held) < before:
            before = len(self.held)
            self._move_held()
        # If other threads log without a pause, there would always be held lines.
        self._is_switching = True
        self._move_held()
        self.held.correct_size()
        if self._end_line is not None:
            self._write_whole(self._end_line)
            self._end_line = None
        if not self._is_sealed and not self._is_closed:
            self.held.end_trouble()
            # Not while a line is held that was logged just now: a later one must not overtake it.
            self._is_direct = not self.held
            if self.held:
                self._is_direct = False

    def _move_held(self) -> None:
        """Writes the lines that are held now, many at once."""
        count = len(self.held)
        while count > 0:
            lines = self.held.next_to_write(count)
            count -= len(lines)
            data = b"".join(lines)
            # The file has them already if an exception arrived before they were dropped.
            is_there = self._read(self.size - len(data), len(data)) == data
            if not self.held.drop_written(len(data) if is_there else self._write(data)):
                self._cut_torn_line()
                raise disk_is_full()

    def _write_whole(self, line: bytes) -> None:
        if self._write(line) != len(line):
            self._cut_torn_line()
            raise disk_is_full()

    def _stop_direct(self) -> None:
        """Makes every append hold its lines in memory from now on.

        Raises:
            OSError: A thread is stuck in the middle of a write.
        """
        self._is_direct = False
        if not self._wait_for_appends():
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    def _wait_for_appends(self) -> bool:
        """Waits until no thread is appending; returns False if one is stuck in a write."""
        return wait_until_left(_APPENDING, APPEND_TIMEOUT)

    def _cut_torn_line(self) -> None:
        """Removes an incomplete last line, which did not fit; no other thread writes meanwhile."""
        size = self.size
        end = self.whole_size(size)
        # If another program has truncated the file, the position is past its end and stays there.
        if self._writer is not None and end < size and self._writer.tell() == size:
            # First: if an exception arrives in between, the next line replaces the incomplete one.
            self._writer.seek(end)
            self._writer.truncate(end)

    def seal(self) -> None:
        """Refuses metrics from now on: the run is being ended. Appends in progress are included."""
        self._is_sealed = True
        self._is_direct = False
        self._wait_for_appends()

    def unseal(self) -> None:
        """Accepts metrics again: the run could not be ended."""
        self._is_sealed = False
        if not self.held and not self._is_direct:
            self.write_held()


#: The functions in which a thread may be about to write to the file of a journal.
_APPENDING = (
    AppendedFile.append.__code__,
    AppendedFile.append_all.__code__,
    AppendedFile.append_change.__code__,
    AppendedFile.record_birth.__code__,
)
