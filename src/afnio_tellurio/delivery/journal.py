"""The journal as the process that writes it sees it: `journal_file.py` says what is in it."""

from __future__ import annotations

import errno
import os
import re
import threading
import time
from collections import deque
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from zlib import crc32

from afnio_tellurio.delivery.journal_file import JournalFile, remove_journal
from afnio_tellurio.delivery.records import (
    END,
    NUMBER,
    Batch,
    Header,
    encode,
    metrics_of,
    parsed_line,
    record_line,
)
from afnio_tellurio.files import CREATE, make_private_directory
from afnio_tellurio.locking import try_lock
from afnio_tellurio.settings.limits import (
    APPEND_TIMEOUT,
    BATCH_BYTES,
    BATCH_METRICS,
    HELD_BYTES,
    WRITE_RETRY_DELAY,
)
from afnio_tellurio.threads import wait_until_left

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from io import FileIO
    from pathlib import Path

_LOCK_RETRY_DELAY = 0.001
#: Seconds that `log` waits at most for the last lines that were held to be written.
_SWITCH_TIMEOUT = 0.1
#: Seconds that the sender waits for another thread that writes what is held in memory.
_HELD_TIMEOUT = 1.0
_METRIC_LINE = re.compile(rb'^\["[0-9a-f]{8}",\d', re.MULTILINE)


class JournalSealedError(Exception):
    """Nothing can be appended any more: the run is being ended."""


class Journal(JournalFile):
    """A journal as the process that writes it sees it. Threads may share it.

    Where the disk takes no more, lines are held in memory, at most `HELD_BYTES` of them, delivered
    from there, and written when there is room. While lines are held, the deliverer alone writes.

    Attributes:
        count: How many metrics were appended, as far as memory knows: it may be behind.
    """

    def __init__(self, folder: Path, header: Header) -> None:
        # Twice, for without it a journal that is damaged there could not be delivered at all.
        self._head = record_line(header) * 2
        super().__init__(folder / header.file_name(), header, None)
        self.count = 0
        self._writer: FileIO | None = None
        self._is_sealed = False
        self._is_closed = False
        self._is_removed = False
        # Whether a line goes straight to the file: nothing is held, and the file is open.
        self._is_direct = False
        self._dropped = 0
        self._held: deque[bytes] = deque()
        self._held_bytes = 0
        self._end_line: bytes | None = None
        # The held lines that are being written.
        self._moving: list[bytes] = []
        # Whether lines go to the file again as soon as the last held one is written.
        self._is_switching = False
        # Held by the thread that writes what is held, or takes from it.
        self._held_lock = threading.Lock()
        # Whether held lines were delivered that the file has not, so that it must tell the number.
        self._is_number_due = False
        # The size of the file when nothing was found in it to send.
        self._searched_size = 0
        self._write_again_at = 0.0
        self._trouble: OSError | None = None
        self._is_trouble_told = False
        try:
            self._open()
            self._is_direct = True
        except OSError as error:
            self._note(error)

    def _open(self) -> None:
        make_private_directory(self.path.parent)
        fd = os.open(self.path, CREATE | os.O_EXCL | os.O_APPEND, 0o600)
        writer = open(fd, "ab", buffering=0)  # noqa: PTH123, SIM115
        try:
            _lock(fd)
            _write_all(writer, self._head)
            self._use(writer)
        except BaseException:
            writer.close()
            self.path.unlink(missing_ok=True)
            raise

    def _use(self, writer: FileIO) -> None:
        self._file = self.path.open("rb", buffering=0)
        # Not os.write: once the file is closed, its number may be that of another file.
        self._write = writer.write
        self._writer = writer

    @property
    def size(self) -> int:
        """How many bytes the file has."""
        file = self._file
        try:
            return 0 if file is None else os.fstat(file.fileno()).st_size
        except (OSError, ValueError):
            # Another thread has just closed it.
            return 0

    @property
    def is_delivered(self) -> bool:
        """Whether nothing in it waits to be sent."""
        return self.is_delivered_until(self.size)

    def is_delivered_until(self, size: int) -> bool:
        """Whether nothing waits to be sent of what it was when it had this size."""
        if self._held:
            return False
        return self._is_closed or size <= max(self.position.offset, self._searched_size)

    @property
    def lost(self) -> int:
        """How many metrics were logged and cannot be delivered.

        Their lines are damaged, or neither the disk nor memory took them.
        """
        # The count first: what is appended meanwhile is not lost.
        count = self.count
        vanished = max(0, count - self.position.number) if self.is_delivered else 0
        return self.missing + self._dropped + vanished

    def append(self, step: int | None, name: str, value: Any) -> None:
        """Writes one metric; when it returns, it is in the system's hands.

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
            self._require_own(error)
            written = 0
        if written == len(line):
            # Behind for a moment, and for ever where an exception arrives just now.
            self.count = count + 1
            return
        self._hold_rest([line], written)

    def append_all(self, step: int | None, pairs: Sequence[tuple[str, Any]]) -> None:
        """Writes name and value of several metrics at once.

        Raises:
            JournalSealedError: The run is being ended.
        """
        now = time.time_ns() // 1000
        lines = [
            record_line(count, step, now, name, value)
            for count, (name, value) in enumerate(pairs, self.count)
        ]
        written = 0
        if self._is_direct:
            written = self._try_to_write(lines)
            if written < 0:
                return
        self._hold_rest(lines, written)

    def _try_to_write(self, lines: Sequence[bytes]) -> int:
        """Writes lines to the file; returns how many bytes it took, -1 if all."""
        data, written = b"".join(lines), 0
        try:
            written = self._write(data)
        except (OSError, ValueError) as error:
            self._require_own(error)
        if written < len(data):
            return written
        self.count += len(lines)
        return -1

    def _require_own(self, error: Exception) -> None:
        """Notes that the file cannot be written; raises what is not the file's."""
        cause = error.__traceback__
        is_raised_elsewhere = cause is None or cause.tb_next is not None
        if isinstance(error, OSError) and error.errno is not None and not is_raised_elsewhere:
            self._note(error)
        elif self._is_closed and not is_raised_elsewhere:
            raise JournalSealedError from None
        else:
            # A signal handler's, that arrived during the write.
            raise error

    def _hold_rest(self, lines: Sequence[bytes], written: int) -> None:
        """Holds in memory what the file did not take of these lines: all behind some bytes."""
        if not written and self._is_direct_soon():
            written = self._try_to_write(lines)
            if written < 0:
                return
        if self._is_sealed or self._is_closed:
            raise JournalSealedError
        if written:
            self._note(_disk_is_full())
        for line in lines:
            written -= len(line)
            if written >= 0:
                # It is in the file whole.
                self.count += 1
            elif self._held_bytes + len(line) > HELD_BYTES:
                self._dropped += 1
            else:
                self._is_direct = False
                self._held_bytes += len(line)
                self._held.append(line)
                self.count += 1

    def _is_direct_soon(self) -> bool:
        """Waits while the last held lines are written, which takes a moment."""
        give_up_at = time.monotonic() + _SWITCH_TIMEOUT
        is_switching = self._is_switching
        while self._is_switching and time.monotonic() < give_up_at:
            time.sleep(_LOCK_RETRY_DELAY)
        return is_switching and self._is_direct

    def _note(self, error: OSError) -> None:
        self._trouble = error
        self._write_again_at = time.monotonic() + WRITE_RETRY_DELAY

    def take_trouble(self) -> OSError | None:
        """The reason why the journal cannot be written, once for each time that it happens."""
        if self._trouble is None or self._is_trouble_told:
            return None
        self._is_trouble_told = True
        return self._trouble

    def held_is_due(self) -> float | None:
        """When to write what is held in memory, on the monotonic clock; None if nothing is."""
        return self._write_again_at if self._held else None

    def write_held_in_time(self) -> None:
        """Writes what is held in memory, if the last attempt is long enough ago."""
        if self._held and time.monotonic() >= self._write_again_at:
            self.write_held()

    def write_held(self) -> None:
        """Writes what is held in memory, where there is room again."""
        if not self._held_lock.acquire(blocking=False):
            return
        try:
            if not self._is_closed:
                self._write_held()
        except OSError as error:
            self._note(error)
        finally:
            self._is_switching = False
            self._held_lock.release()

    def _write_held(self) -> None:
        self._stop_direct()
        if self._writer is None:
            self._open()
        self._cut_torn_line()
        if self._is_number_due:
            self._write_whole(record_line(NUMBER, self.position.number))
            self._is_number_due = False
        self._move_held()
        # What other threads log without a pause would be held for ever.
        self._is_switching = True
        self._move_held()
        self._held_bytes = 0
        if self._end_line is not None:
            self._write_whole(self._end_line)
            self._end_line = None
        self._resume_direct()

    def _move_held(self) -> None:
        """Writes the lines that are held now, many at once."""
        count = len(self._held)
        while count > 0:
            if not self._moving:
                self._moving = self._first_held(count)
            lines, data = self._moving, b"".join(self._moving)
            # It is there already where an exception arrived before it was taken from memory.
            is_there = self._read(self.size - len(data), len(data)) == data
            written = len(data) if is_there else self._write(data)
            for line in lines:
                written -= len(line)
                if written < 0:
                    break
                if self._held and self._held[0] is line:
                    self._held_bytes -= len(self._held.popleft())
            self._moving = []
            count -= len(lines)
            if written < 0:
                self._cut_torn_line()
                raise _disk_is_full()

    def _first_held(self, count: int) -> list[bytes]:
        lines: list[bytes] = []
        size = 0
        # By index: other threads append meanwhile.
        for index in range(min(count, BATCH_METRICS, len(self._held))):
            lines.append(self._held[index])
            size += len(lines[-1])
            if size > BATCH_BYTES:
                break
        return lines

    def _write_whole(self, line: bytes) -> None:
        if self._write(line) != len(line):
            self._cut_torn_line()
            raise _disk_is_full()

    def _stop_direct(self) -> None:
        """Has whatever is appended be held in memory, from this moment on.

        Raises:
            OSError: A thread stands still in the middle of a write.
        """
        self._is_direct = False
        if not wait_until_left(_APPENDING, APPEND_TIMEOUT):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    def _resume_direct(self) -> None:
        if self._writer is not None and not self._is_sealed and not self._is_closed:
            self._trouble = None
            self._is_trouble_told = False
            self._is_direct = True

    def _cut_torn_line(self) -> None:
        """Removes the part of a line for which there was no room; nobody else writes meanwhile."""
        size = end = self.size
        while end > 0:
            start = max(0, end - BATCH_BYTES)
            place = self._read(start, end - start).rfind(b"\n")
            if place >= 0:
                end = start + place + 1
                break
            end = start
        if self._writer is not None and end < size:
            self._writer.truncate(end)

    def next_batch(self) -> Batch | None:
        """The next metrics to send, from the file and then from memory."""
        size = self.size
        batch = self.batch()
        if batch is None:
            self._searched_size = size
            batch = self._held_batch() if self._held else None
        return batch

    def _held_batch(self) -> Batch | None:
        with self._taking_held() as is_mine:
            lines = self._first_held(BATCH_METRICS) if is_mine else []
        if not lines:
            return None
        number, here = self.position.number, self.position.offset
        metrics = [
            metric
            for index, line in enumerate(lines)
            for metric in metrics_of(parsed_line(line[:-1]) or [], number + index, here, here)
        ]
        return Batch(metrics, self.position.segment, held=lines)

    def acknowledge(self, batch: Batch, following: int) -> None:
        """Moves the position behind what a backend has of a batch's segment, and keeps it."""
        if not batch.held:
            super().acknowledge(batch, following)
            return
        with self._taking_held():
            before = self.position
            last = batch.metrics[min(following - before.number, len(batch.metrics)) - 1]
            # Some may have come to the file meanwhile.
            position = self._walk(before, following)
            self._forget_held(following - position.number)
            self._keep(position._replace(number=following, lag=last.number - last.count))

    def _pass_over(self, batch: Batch) -> None:
        if not batch.held:
            super()._pass_over(batch)
            return
        with self._taking_held():
            number = batch.metrics[0].number + 1
            position = self._walk(self.position, number)
            self._forget_held(number - position.number)
            self._keep(position._replace(number=number, segment=number))

    @contextmanager
    def _taking_held(self) -> Generator[bool, None, None]:
        """Keeps another thread from writing what is held; yields whether it does."""
        is_mine = self._held_lock.acquire(timeout=_HELD_TIMEOUT)
        try:
            yield is_mine
        finally:
            if is_mine:
                self._held_lock.release()

    def _forget_held(self, count: int) -> None:
        for _ in range(min(count, len(self._held))):
            self._held_bytes -= len(self._held.popleft())
            self._is_number_due = True

    def _go_back(self, number: int, segment: int) -> None:
        self._searched_size = 0
        super()._go_back(number, segment)

    def may_be_expected(self, number: int) -> bool:
        """Whether a backend may expect this sequence number next, behind what it was sent."""
        end = self.position.number
        for metrics, _missing in self._metrics(self.position):
            end = metrics[-1].number + 1
        return number <= end + len(self._held)

    def waiting_count(self) -> int:
        """How many metrics are logged and not acknowledged."""
        if self.is_delivered:
            return 0
        return self._count_metrics(self.position.offset) + len(self._held)

    def in_memory_count(self) -> int:
        """How many of those that wait would be gone with this process."""
        return self.waiting_count() if self._is_astray() else len(self._held)

    def _count_metrics(self, offset: int) -> int:
        count, torn = 0, b""
        while data := self._read(offset + len(torn), BATCH_BYTES):
            whole, newline, rest = (torn + data).rpartition(b"\n")
            count += len(_METRIC_LINE.findall(whole))
            offset += len(whole) + len(newline)
            torn = rest
        return count

    def _is_astray(self) -> bool:
        """Whether the file is not where another process would look for it."""
        writer = self._writer
        if writer is None or self._is_closed:
            return False
        try:
            there = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:
            return False
        return not os.path.samestat(there, os.fstat(writer.fileno()))

    def stay_at_path(self) -> None:
        """Writes the file again at its path where somebody has removed, moved or replaced it."""
        if not self._is_astray() or not self._held_lock.acquire(blocking=False):
            return
        try:
            if not self._is_closed:
                self._stop_direct()
                self._copy_to_path()
        except OSError as error:
            self._note(error)
        finally:
            self._held_lock.release()
        self.write_held()

    def _copy_to_path(self) -> None:
        make_private_directory(self.path.parent)
        unfinished = self.path.with_suffix(".new")
        fd = os.open(unfinished, CREATE | os.O_TRUNC | os.O_APPEND, 0o600)
        writer = open(fd, "ab", buffering=0)  # noqa: PTH123, SIM115
        try:
            _lock(fd)
            offset = 0
            while data := self._read(offset, BATCH_BYTES):
                _write_all(writer, data)
                offset += len(data)
            unfinished.replace(self.path)
        except BaseException:
            writer.close()
            unfinished.unlink(missing_ok=True)
            raise
        former = (self._writer, self._file, self._ack_file)
        self._use(writer)
        self._ack_file = None
        self._keep(self.position)
        for file in former:
            if file is not None:
                file.close()

    def synchronize(self) -> None:
        """Has the operating system write the file to the disk itself.

        Raises:
            OSError: It cannot.
        """
        self.stay_at_path()
        try:
            if self._writer is not None:
                os.fsync(self._writer.fileno())
        except (OSError, ValueError):
            # Where another thread has just closed it, there is nothing left to do.
            if not self._is_closed:
                raise

    def seal(self) -> None:
        """Takes no more metrics: the run is being ended. What other threads append is in it."""
        self._is_sealed = True
        self._is_direct = False
        wait_until_left(_APPENDING, APPEND_TIMEOUT)

    def unseal(self) -> None:
        """Takes metrics again: the run could not be ended."""
        self._is_sealed = False
        if not self._held and not self._is_direct:
            self.write_held()

    def end(self, status: str) -> None:
        """Records how the run ended, for a later process."""
        self.stay_at_path()
        self._end_line = record_line(END, status)
        self.write_held()
        with suppress(OSError):
            self.synchronize()

    def forget(self) -> None:
        """In a forked child: lets go of the file, whose lock must end with the parent."""
        self._held_lock = threading.Lock()
        self._close_files()

    def remove(self) -> None:
        """Removes the journal and what lies beside it, but for what was rejected.

        Raises:
            OSError: It cannot be removed.
        """
        was_written = self._writer is not None or self._ack_file is not None
        self.close()
        # There may never have been one: the folder cannot be written.
        if was_written and not self._is_removed:
            try:
                remove_journal(self.path)
            except OSError:
                # Another thread may have been faster, in a folder that is closed to us since.
                if not self._is_removed:
                    raise
            self._is_removed = True

    def close(self) -> None:
        """Closes the file, and frees its lock."""
        self._is_direct = False
        self._is_closed = True
        wait_until_left(_APPENDING, APPEND_TIMEOUT)
        with self._taking_held():
            self._close_files()

    def _close_files(self) -> None:
        self._is_direct = False
        self._is_closed = True
        super().close()
        if self._writer is not None:
            self._writer.close()


#: Where a thread may be about to write to the file of a journal.
_APPENDING = (Journal.append.__code__, Journal.append_all.__code__)


def _lock(fd: int) -> None:
    while not try_lock(fd):
        # A process that looks for orphans has just come upon it, and lets go at once.
        time.sleep(_LOCK_RETRY_DELAY)


def _write_all(writer: FileIO, data: bytes) -> None:
    if writer.write(data) != len(data):
        raise _disk_is_full()


def _disk_is_full() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
