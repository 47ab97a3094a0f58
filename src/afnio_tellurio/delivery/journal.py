"""The journal: an append-only file that holds what a process logged until a backend has it.

One file for each run and process, `journals/<run uuid>.<writer uuid>.ndjson` in `TELLURIO_HOME`,
readable by its owner only and locked by its process for as long as that lives. The first two lines
are the header; each other line is a record, of metrics or of the run's end:

    ["1c291ca3",7,null,1763892930123456,"train/loss",0.25]
    ["5d41402a","end","COMPLETED"]

A record starts with the CRC-32 of what follows; then come the sequence number of its first metric,
the step, the time in microseconds since 1970 (UTC), and name and value of each metric. A line is
written with one write(2), and so is in the hands of the operating system when `log` returns. One
that is torn or damaged fails its checksum and is passed over. Beside the journal lie `.ack`, the
position up to which a backend has acknowledged, and `.rejected`, the metrics that a backend
refused.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from zlib import crc32

import msgspec

from afnio_tellurio.delivery.locking import try_lock
from afnio_tellurio.delivery.records import (
    END,
    FORMAT,
    Batch,
    Header,
    Metric,
    Position,
    encode,
    metrics_of,
    parsed_line,
    record_line,
)
from afnio_tellurio.files import make_private_directory
from afnio_tellurio.settings import (
    BATCH_BYTES,
    BATCH_METRICS,
    HELD_BYTES,
    WRITE_RETRY_DELAY,
    read_settings,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from io import FileIO
    from pathlib import Path


def journals_folder() -> Path:
    """Where the journals lie."""
    return read_settings().home / "journals"


_START = Position(0, 0, 0)
#: On Windows a file is not written byte by byte unless one says so.
CREATE = os.O_CREAT | os.O_WRONLY | getattr(os, "O_BINARY", 0)
_LOCK_RETRY_DELAY = 0.001
#: More than checksum and three numbers ever take.
_ACK_BYTES = 80


class JournalSealedError(Exception):
    """Nothing can be appended any more: the run is being ended."""


class JournalFile:
    """A journal as its deliverer sees it: what waits, and how far it is acknowledged.

    It is read by one thread at a time.

    Attributes:
        path: The file.
        header: What its first lines say.
        position: How far it is acknowledged.
        lost: How many metrics were logged and cannot be delivered: their lines are damaged, or
            neither the disk nor memory took them.
    """

    def __init__(self, path: Path, header: Header, file: FileIO | None) -> None:
        self.path = path
        self.header = header
        self.lost: int = 0
        # A file of its own: on Windows a reader would move the writer's position.
        self._file = file
        self._ack_path = path.with_suffix(".ack")
        self._ack_file: FileIO | None = None
        self.position = self._read_position()

    @classmethod
    def open(cls, path: Path) -> JournalFile:
        """Opens the journal of another process.

        Raises:
            OSError: It cannot be read.
            ValueError: Its header is damaged or of a newer version.
        """
        file = path.open("rb", buffering=0)
        try:
            return cls(path, _read_header(path, file), file)
        except BaseException:
            file.close()
            raise

    def _read_position(self) -> Position:
        try:
            fields = parsed_line(self._ack_path.read_bytes().rstrip())
        except OSError:
            fields = None
        # Without it, or with a torn one, delivery starts anew: a backend skips what it has.
        return Position(*fields) if fields else _START

    def batch(self, size: int | None = None) -> Batch | None:
        """The next metrics to send, or None when nothing waits.

        Args:
            size: Where in the file to end; default at its end.
        """
        metrics: list[Metric] = []
        expected, segment = self.position.number, self.position.segment
        total = 0
        for fields, start, end in self._records(self.position.offset, size):
            if not isinstance(fields[0], int):
                continue
            found = metrics_of(fields, start, end)
            if found[0].number < self.position.number:
                found = [metric for metric in found if metric.number >= self.position.number]
            if not found:
                continue
            total += end - start
            if metrics and (len(metrics) + len(found) > BATCH_METRICS or total > BATCH_BYTES):
                break
            if found[0].number != expected:
                if metrics:
                    break
                segment = found[0].number
            metrics += found
            expected = found[-1].number + 1
        return Batch(metrics, segment, is_held=False) if metrics else None

    def _records(self, offset: int, size: int | None) -> Iterator[tuple[list[Any], int, int]]:
        """The undamaged records from an offset on, with the offsets of their start and end."""
        torn = b""
        while data := self._read(offset + len(torn), size):
            *lines, torn = (torn + data).split(b"\n")
            for line in lines:
                end = offset + len(line) + 1
                fields = parsed_line(line)
                if fields is not None:
                    yield fields, offset, end
                offset = end

    def _read(self, offset: int, size: int | None) -> bytes:
        length = BATCH_BYTES if size is None else min(BATCH_BYTES, size - offset)
        if self._file is None or length <= 0:
            return b""
        self._file.seek(offset)
        return self._file.read(length)

    def acknowledge(self, batch: Batch, following: int) -> None:
        """Moves the position behind what a backend has of a batch's segment, and keeps it.

        Args:
            batch: What was sent.
            following: The sequence number that the backend expects next; it may lie behind the
                batch, where an answer had been lost.
        """
        self.lost += max(0, batch.metrics[0].number - self.position.number)
        known = [metric for metric in batch.metrics if metric.number < following]
        self._keep(Position(known[-1].after, following, batch.segment))

    def reject(self, batch: Batch, words: str) -> None:
        """Sets the only metric of a batch aside, with what the backend said.

        Raises:
            OSError: The disk does not take it.
        """
        (metric,) = batch.metrics
        line = record_line(
            metric.number, metric.step, metric.time, metric.name, metric.value, words
        )
        fd = os.open(self.path.with_suffix(".rejected"), CREATE | os.O_APPEND, 0o600)
        try:
            os.write(fd, line)
        finally:
            os.close(fd)
        # What follows is a segment of its own: the backend will never have this number.
        following = metric.number + 1
        self._keep(Position(metric.after, following, following))

    def rewind(self) -> None:
        """Starts anew: the backend has lost what it acknowledged, and skips what it has."""
        self._keep(_START)

    def _keep(self, position: Position) -> None:
        self.position = position
        try:
            if self._ack_file is None:
                fd = os.open(self._ack_path, CREATE, 0o600)
                self._ack_file = open(fd, "wb", buffering=0)  # noqa: PTH123, SIM115
            # In place, and always as long: a rename for each batch would cost milliseconds.
            self._ack_file.seek(0)
            self._ack_file.write(record_line(*position)[:-1].ljust(_ACK_BYTES))
        except OSError:
            # A full disk: a later process sends some metrics again, and the backend skips them.
            return

    def end_number(self) -> int:
        """One more than the greatest sequence number in it."""
        end = self.position.number
        for fields, _start, _end in self._records(self.position.offset, None):
            if isinstance(fields[0], int):
                end = fields[0] + (len(fields) - 3) // 2
        return end

    def end_status(self) -> str | None:
        """The status with which the process ended the run, if it did."""
        status: str | None = None
        for fields, _start, _end in self._records(0, None):
            if fields[0] == END:
                status = fields[1]
        return status

    def close(self) -> None:
        """Closes the files."""
        for file in (self._file, self._ack_file):
            if file is not None:
                file.close()
        self._file = self._ack_file = None

    def remove(self) -> None:
        """Removes the journal and what lies beside it, but for what was rejected.

        Raises:
            OSError: It cannot be removed.
        """
        self.close()
        remove_journal(self.path)


class Journal(JournalFile):
    """A journal as the process that writes it sees it. Threads may share it.

    Where the disk takes no more, lines are held in memory, at most `HELD_BYTES` of them, delivered
    from there, and written when there is room.

    Attributes:
        lock: Held while a line is written.
        count: How many metrics were appended.
        size: How many bytes of whole lines the file has.
    """

    def __init__(self, folder: Path, header: Header) -> None:
        # Twice, for without it a journal that is damaged there could not be delivered at all.
        self._head = record_line(header) * 2
        super().__init__(folder / header.file_name(), header, None)
        self.lock = threading.RLock()
        self.count = 0
        self.size = 0
        self._fd = -1
        self._is_sealed = False
        # Whether a line goes straight to the file: nothing is held, and the file is open.
        self._is_direct = False
        self._held: deque[bytes] = deque()
        self._held_bytes = 0
        self._held_is_on_its_way = False
        self._write_again_at = 0.0
        self._trouble: OSError | None = None
        self._is_trouble_told = False
        try:
            self._open()
        except OSError as error:
            self._note(error)

    def _open(self) -> None:
        make_private_directory(self.path.parent)
        fd = os.open(self.path, CREATE | os.O_EXCL | os.O_APPEND, 0o600)
        try:
            while not try_lock(fd):
                # A process that looks for orphans has just come upon it, and lets go at once.
                time.sleep(_LOCK_RETRY_DELAY)
            if os.write(fd, self._head) != len(self._head):
                raise _disk_is_full()
            self._file = self.path.open("rb", buffering=0)
        except OSError:
            os.close(fd)
            self.path.unlink()
            raise
        self._fd = fd
        self.size = len(self._head)
        self._is_direct = not self._held

    def append(self, step: int | None, *pairs: Any) -> None:
        """Writes the metrics of one call; when it returns, they are in the system's hands.

        Raises:
            JournalSealedError: The run is being ended.
        """
        with self.lock:
            body = encode((self.count, step, time.time_ns() // 1000, *pairs))[1:]
            line = b'["%08x",%b\n' % (crc32(body), body)
            if self._is_direct:
                try:
                    written = os.write(self._fd, line)
                except OSError as error:
                    self._note(error)
                else:
                    if written == len(line):
                        self.size += written
                        self.count += len(pairs) // 2
                        return
                    self._undo_part()
            self._hold(line, len(pairs) // 2)

    def _undo_part(self) -> None:
        try:
            os.ftruncate(self._fd, self.size)
        except OSError as error:
            self._note(error)
        else:
            self._note(_disk_is_full())

    def _note(self, error: OSError) -> None:
        self._trouble = error
        self._write_again_at = time.monotonic() + WRITE_RETRY_DELAY

    def take_trouble(self) -> OSError | None:
        """The reason why the journal cannot be written, once for each time that it happens."""
        if self._trouble is None or self._is_trouble_told:
            return None
        self._is_trouble_told = True
        return self._trouble

    def _hold(self, line: bytes, metrics: int) -> None:
        if self._is_sealed:
            raise JournalSealedError
        if self._held_bytes + len(line) > HELD_BYTES:
            self.lost += metrics
            return
        self._is_direct = False
        self._held.append(line)
        self._held_bytes += len(line)
        self.count += metrics
        self.write_held_in_time()

    def held_is_due(self) -> float | None:
        """When to write what is held in memory, on the monotonic clock; None if nothing is."""
        return self._write_again_at if self._held else None

    def write_held_in_time(self) -> None:
        """Writes what is held in memory, if the last attempt is long enough ago."""
        if self._held and time.monotonic() >= self._write_again_at:
            self.write_held()

    def write_held(self) -> None:
        """Writes what is held in memory, where there is room again."""
        with self.lock:
            if self._held_is_on_its_way or not self._held:
                return
            try:
                if self._fd < 0:
                    self._open()
                while self._held:
                    line = self._held[0]
                    if os.write(self._fd, line) != len(line):
                        self._undo_part()
                        return
                    self.size += len(line)
                    self._held_bytes -= len(self._held.popleft())
            except OSError as error:
                self._note(error)
            else:
                self._nothing_is_held()

    def _nothing_is_held(self) -> None:
        self._is_direct = self._fd >= 0 and not self._is_sealed
        if self._is_direct:
            self._trouble = None
            self._is_trouble_told = False

    def next_batch(self) -> Batch | None:
        """The next metrics to send, from the file and then from memory."""
        if self.position.offset < self.size:
            batch = self.batch(self.size)
            if batch is not None:
                return batch
        # Without the lock: the main thread may hold it, in a signal handler that waits for us.
        if not self._held:
            if self.position.offset < self.size and self.waiting_count():
                self._pass_over_damage()
            return None
        with self.lock:
            self._held_is_on_its_way = True
            lines = [line for line, _ in zip(self._held, range(BATCH_METRICS), strict=False)]
        return self._held_batch(lines)

    def _pass_over_damage(self) -> None:
        """Gives up what waits: none of its lines can be read, for somebody changed the file."""
        if self.batch(self.size) is None:
            self.lost += self.waiting_count()
            self._keep(Position(self.size, self.count, self.count))

    def _held_batch(self, lines: list[bytes]) -> Batch:
        here = self.position.offset
        metrics = [
            metric
            for line in lines
            for metric in metrics_of(parsed_line(line[:-1]) or [], here, here)
            if metric.number >= self.position.number
        ]
        return Batch(metrics[:BATCH_METRICS], self.position.segment, is_held=True)

    def acknowledge(self, batch: Batch, following: int) -> None:
        """Moves the position behind what a backend has of a batch's segment, and keeps it."""
        super().acknowledge(batch, following)
        if batch.is_held:
            self._forget_held()

    def reject(self, batch: Batch, words: str) -> None:
        """Sets the only metric of a batch aside, with what the backend said."""
        super().reject(batch, words)
        if batch.is_held:
            self._forget_held()

    def _forget_held(self) -> None:
        with self.lock:
            while self._held:
                fields = parsed_line(self._held[0][:-1]) or []
                if fields[0] + (len(fields) - 3) // 2 > self.position.number:
                    return
                self._held_bytes -= len(self._held.popleft())
            if time.monotonic() >= self._write_again_at:
                self._nothing_is_held()

    def done_with(self, batch: Batch) -> None:
        """Says that a batch is no longer on its way, whatever became of it."""
        if batch.is_held:
            with self.lock:
                self._held_is_on_its_way = False

    def end_number(self) -> int:
        """One more than the greatest sequence number in it."""
        return self.count

    def waiting_count(self) -> int:
        """How many metrics are logged and not acknowledged."""
        return max(0, self.count - self.position.number)

    def synchronize(self) -> None:
        """Has the operating system write the file to the disk itself.

        Raises:
            OSError: It cannot.
        """
        if self._fd >= 0:
            os.fsync(self._fd)

    def seal(self) -> None:
        """Takes no more metrics: the run is being ended."""
        with self.lock:
            self._is_sealed = True
            self._is_direct = False

    def unseal(self) -> None:
        """Takes metrics again: the run could not be ended."""
        with self.lock:
            self._is_sealed = False
            self._is_direct = self._fd >= 0 and not self._held

    def end(self, status: str) -> None:
        """Records how the run ended, for a later process.

        Raises:
            OSError: The disk does not take it.
        """
        with self.lock:
            self.write_held()
            if self._fd >= 0:
                os.write(self._fd, record_line(END, status))
                os.fsync(self._fd)

    def forget(self) -> None:
        """In a forked child: lets go of the file, whose lock must end with the parent."""
        self.lock = threading.RLock()
        self.close()

    def remove(self) -> None:
        """Removes the journal and what lies beside it, but for what was rejected.

        Raises:
            OSError: It cannot be removed.
        """
        if self.size or self._ack_file:
            super().remove()
        else:
            # There never was one: the folder cannot be written.
            self.close()

    def close(self) -> None:
        """Closes the file, and frees its lock."""
        with self.lock:
            self._is_direct = False
            self._is_sealed = True
            super().close()
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1


def remove_journal(path: Path) -> None:
    """Removes a journal and what lies beside it, but for what was rejected.

    Raises:
        OSError: It cannot be removed.
    """
    # The position last: without it a journal that stays would be delivered anew.
    for each in (path, path.with_suffix(".ack")):
        with suppress(FileNotFoundError, NotADirectoryError):
            each.unlink()


def write_journal(
    folder: Path,
    header: Header,
    metrics: Iterable[tuple[int | None, int, str, Any]],
    status: str,
) -> Path:
    """Writes the journal of a run that has ended, as if its process had died before delivery.

    Args:
        folder: Where to.
        header: The header.
        metrics: Step, time in microseconds since 1970, name and value of each metric.
        status: How the run ended.

    Raises:
        OSError: The disk does not take it.
    """
    make_private_directory(folder)
    path = folder / header.file_name()
    unfinished = path.with_suffix(".new")
    fd = os.open(unfinished, CREATE | os.O_TRUNC, 0o600)
    with open(fd, "wb") as file:  # noqa: PTH123 - the permissions
        file.write(record_line(header) * 2)
        file.writelines(
            record_line(number, step, when, name, value)
            for number, (step, when, name, value) in enumerate(metrics)
        )
        file.write(record_line(END, status))
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    return path


def _read_header(path: Path, file: FileIO) -> Header:
    for line in file.read(BATCH_BYTES).split(b"\n")[:2]:
        head: Any = (parsed_line(line) or [None])[0]
        version: Any = head.get("format") if hasattr(head, "get") else None
        if version is None:
            continue
        if not isinstance(version, int) or version > FORMAT:
            raise ValueError(
                f"the journal {path} has format {version}, and this afnio-tellurio knows formats "
                f"up to {FORMAT}; upgrade afnio-tellurio"
            )
        return msgspec.convert(head, Header)
    raise ValueError(f"the header of the journal {path} is damaged; no run can be told from it")


def _disk_is_full() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
