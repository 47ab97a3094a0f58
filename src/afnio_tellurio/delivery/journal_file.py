"""The journal: an append-only file that holds what a process logged until a backend has it.

One file for each run and process, `journals/<run uuid>.<writer uuid>.ndjson` in `TELLURIO_HOME`,
readable by its owner only and locked by its process for as long as that lives. The first two lines
are the header; each other line is a record, of a metric or of the run's end:

    ["1c291ca3",7,null,1763892930123456,"train/loss",0.25]
    ["5d41402a","end","COMPLETED"]

A record starts with the CRC-32 of what follows; then come the number of metrics before it, the
step, the time in microseconds since 1970 (UTC), name and value. A line is written with one
write(2), and so is in the hands of the operating system when `log` returns.

**The sequence number of a metric is its place in the file.** Nothing in memory has to agree with
the file, so whatever interrupts the application between a write and the next statement, and
whatever a signal handler logs in the middle of `log`, costs nothing: two appends are two lines in
some order. The count in a line is what its writer knew, and may be behind: it tells only how many
metrics stood in lines that are damaged, so that the numbers behind them stay as they are.

Beside the journal lie `.ack`, the position up to which a backend has acknowledged, and `.rejected`,
the metrics that a backend refused.
"""

from __future__ import annotations

import errno
import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from afnio_tellurio.delivery.records import (
    END,
    FORMAT,
    NUMBER,
    Batch,
    Header,
    Metric,
    Position,
    find_record,
    metrics_of,
    parsed_line,
    record_line,
)
from afnio_tellurio.files import CREATE, make_private_directory, replace_whole
from afnio_tellurio.settings.limits import BATCH_BYTES, BATCH_METRICS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from io import FileIO
    from pathlib import Path


_START = Position(0, 0, 0)
#: More than checksum and five numbers ever take.
_ACK_BYTES = 128


class JournalFile:
    """A journal as its deliverer sees it: what waits, and how far it is acknowledged.

    It is read by one thread at a time.

    Attributes:
        path: The file.
        header: What its first lines say.
        position: How far it is acknowledged.
        missing: How many metrics before the position could not be read: their lines are damaged.
    """

    def __init__(self, path: Path, header: Header, file: FileIO | None) -> None:
        self.path = path
        self.header = header
        self.missing = 0
        # A file of its own: on Windows a reader would move the writer's position.
        self._file: FileIO | None = file
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
        # Without it, or with a torn one, delivery starts again: a backend skips what it has.
        return Position(*fields) if fields else _START

    @property
    def lost(self) -> int:
        """How many metrics were logged and cannot be delivered."""
        return self.missing

    def batch(self) -> Batch | None:
        """The next metrics to send, or None when nothing waits."""
        metrics: list[Metric] = []
        segment, missing_before = self.position.segment, 0
        for line, missing in self._metrics(self.position):
            if metrics:
                is_large = line[-1].after - self.position.offset > BATCH_BYTES
                is_apart = line[0].number != metrics[-1].number + 1
                if is_large or is_apart or len(metrics) + len(line) > BATCH_METRICS:
                    break
            elif missing:
                segment, missing_before = line[0].number, missing
            metrics += line
        return Batch(metrics, segment, missing_before) if metrics else None

    def _metrics(self, position: Position) -> Iterator[tuple[list[Metric], int]]:
        """The metrics of each line from a position on, and how many before them are missing."""
        number, lag = position.number, position.lag
        is_damaged = False
        for fields, is_intact, start, end in self._records(position.offset):
            is_damaged = is_damaged or not is_intact
            if fields is None:
                continue
            if fields[0] == NUMBER:
                number = max(number, fields[1])
            if not isinstance(fields[0], int):
                continue
            missing = max(0, fields[0] + lag - number) if is_damaged else 0
            metrics = metrics_of(fields, number + missing, start, end)
            if len(metrics) > 1:
                # An earlier version's, whose counts are exact: a part may be acknowledged.
                metrics = [
                    metric
                    for metric in metrics_of(fields, fields[0] + lag, start, end)
                    if metric.number >= number
                ]
            yield metrics, missing
            number = metrics[-1].number + 1
            lag = metrics[-1].number - metrics[-1].count
            is_damaged = False

    def _records(self, offset: int) -> Iterator[tuple[list[Any] | None, bool, int, int]]:
        """Each whole line from an offset on: its fields, whether all of it is sound, its offsets.

        The fields are None where nothing of the line can be read.
        """
        torn = b""
        while data := self._read(offset + len(torn), BATCH_BYTES):
            *lines, torn = (torn + data).split(b"\n")
            for line in lines:
                end = offset + len(line) + 1
                fields, place = find_record(line)
                yield fields, place == 0, offset, end
                offset = end

    def _read(self, offset: int, length: int) -> bytes:
        file = self._file
        return b"" if file is None else _read_at(file, offset, length)

    def acknowledge(self, batch: Batch, following: int) -> None:
        """Moves the position behind what a backend has of a batch's segment, and keeps it.

        Args:
            batch: What was sent.
            following: The sequence number that the backend expects next; it may lie behind the
                batch, where an answer had been lost.
        """
        self.missing += batch.missing
        known = [metric for metric in batch.metrics if metric.number < following]
        position = self._behind(known[-1], batch.segment)
        if following > position.number:
            position = self._walk(position, following)._replace(number=following)
        self._keep(position)

    def _behind(self, metric: Metric, segment: int) -> Position:
        number, lag = metric.number + 1, metric.number - metric.count
        return Position(metric.after, number, segment, lag, self.position.floor)

    def _walk(self, position: Position, number: int) -> Position:
        """Goes forward to the first line with a metric of at least this number."""
        for metrics, _missing in self._metrics(position):
            if metrics[-1].number >= number:
                break
            position = self._behind(metrics[-1], position.segment)
        return position

    def acknowledge_single(self, batch: Batch) -> None:
        """Moves the position behind the first metric of a batch, which was delivered by itself.

        The backend does not know its number, so what follows is a segment of its own, and it must
        not be sent again.
        """
        self._pass_over(batch)
        number = self.position.number
        self._keep(self.position._replace(floor=number))

    def reject(self, batch: Batch, words: str) -> None:
        """Sets the first metric of a batch aside, with what the backend said.

        Raises:
            OSError: The disk does not take it.
        """
        metric = batch.metrics[0]
        line = record_line(
            metric.number, metric.step, metric.time, metric.name, metric.value, words
        )
        fd = os.open(self.path.with_suffix(".rejected"), CREATE | os.O_APPEND, 0o600)
        try:
            size = os.fstat(fd).st_size
            if os.write(fd, line) != len(line):
                os.ftruncate(fd, size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(fd)
        self._pass_over(batch)

    def _pass_over(self, batch: Batch) -> None:
        """Starts a segment behind the first metric: the backend will never have its number."""
        self.missing += batch.missing
        position = self._behind(batch.metrics[0], batch.segment)
        self._keep(position._replace(segment=position.number))

    def rewind(self, number: int) -> None:
        """Goes back to a sequence number of the present segment, if it may: the backend lost it."""
        floor = self.position.floor
        self._go_back(max(number, floor), self.position.segment if number > floor else floor)

    def rewind_to_start(self) -> None:
        """Starts again: the backend has lost all of it, also what it was sent one by one."""
        self.position = self.position._replace(floor=0)
        self._go_back(0, 0)

    def _go_back(self, number: int, segment: int) -> None:
        self.missing = 0
        position = _START._replace(floor=self.position.floor)
        for metrics, missing in self._metrics(position):
            if metrics[-1].number >= number:
                if metrics[0].number - missing > number:
                    # Those in between were delivered from memory, and nobody has them any more.
                    self.missing += metrics[0].number - missing - number
                    number = segment = metrics[0].number - missing
                break
            self.missing += missing
            position = self._behind(metrics[-1], segment)
        self._keep(position._replace(number=number, segment=segment))

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

    def may_be_expected(self, number: int) -> bool:  # noqa: ARG002
        """Whether a backend may expect this sequence number next, behind what it was sent.

        It may have more than the file: what was delivered from memory, or is damaged since.
        """
        return True

    def end_status(self) -> str | None:
        """The status with which the process ended the run, if it did."""
        status: str | None = None
        for fields, _is_intact, _start, _end in self._records(0):
            if fields is not None and fields[0] == END:
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
    with replace_whole(path) as file:
        file.write(record_line(header) * 2)
        file.writelines(
            record_line(number, step, when, name, value)
            for number, (step, when, name, value) in enumerate(metrics)
        )
        file.write(record_line(END, status))
    return path


def _read_header(path: Path, file: FileIO) -> Header:
    # Two, of which a byte that was damaged may have made three.
    for line in file.read(BATCH_BYTES).split(b"\n")[:3]:
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


if hasattr(os, "pread"):

    def _read_at(file: FileIO, offset: int, length: int) -> bytes:
        try:
            return os.pread(file.fileno(), length, max(0, offset))
        except ValueError:
            # Another thread has just closed it.
            return b""
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            return b""

else:
    _reading = threading.Lock()

    def _read_at(file: FileIO, offset: int, length: int) -> bytes:
        with _reading:
            file.seek(max(0, offset))
            return file.read(length)
