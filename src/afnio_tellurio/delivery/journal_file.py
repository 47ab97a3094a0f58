"""The journal: an append-only file that holds logged metrics until a backend has them.

There is one file for each run and process: `journals/<run uuid>.<writer uuid>.ndjson` in
`TELLURIO_HOME`. Only its owner can read it, and its process locks it while it lives. The first two
or three lines are the header; each other line is a record:

    ["0b9f1d55","born",{"config":{"lr":0.1},"tags":["baseline"]}]
    ["1c291ca3",7,null,1763892930123456,"train/loss",0.25]
    ["4be2f0d1",8,["index"],1763892930123456,"candidates",{"index":0,"prompt":"Be brief."}]
    ["77e1a9c0","change","0a5ffb0c-...",1763892930123456,{"config_patch":{"lr":0.01}}]
    ["8a1f63c2","upload","4be1d0f2-...",1763892930123456,{"artifact":"model","type":"model"}]
    ["5d41402a","end","CRASHED",1763892930123456,{"kind":"signal","signal":"SIGTERM"}]

A record starts with the CRC-32 of the rest of the line. For a metric follow the number of metrics
before it, the step, the time in microseconds since 1970 (UTC), the name and the value, in which
`special_numbers` tells NaN and the infinities from the words for them. A row of a
table is a metric with a list in the place of the step: its key, if it has one. For a change of the
run follow its idempotency key, its time, and the body of `updateRun`; for an upload, see
`file_transfer`. What the run was born with
is for a backend that has lost the run. Each line is written with one write(2), so the operating
system has it when `log` returns.

**The sequence number of a metric is its position in the file.** Nothing in memory has to agree with
the file. So it does no harm if the application is interrupted between a write and the next
statement, or if a signal handler logs in the middle of `log`: two appends are two lines in some
order. The count in a line is what its writer knew, and may be behind. With the number of damaged
lines, it shows how many metrics were there, so that the metrics after them keep their numbers.

Next to the journal are `.ack`, the position up to which a backend has acknowledged, and
`.rejected`, the metrics that a backend rejected.
"""

from __future__ import annotations

import os
import re
from itertools import islice
from typing import TYPE_CHECKING, Any

from afnio_tellurio.delivery.journal_reading import read_at, read_header
from afnio_tellurio.delivery.metric_lines import read_metrics
from afnio_tellurio.delivery.records import (
    BORN,
    CHANGES,
    END,
    NUMBER,
    UNDELIVERABLE_SUFFIX,
    Batch,
    Change,
    End,
    Header,
    Metric,
    Metrics,
    Position,
    change_of,
    find_record,
    metrics_of,
    parsed_line,
    record_line,
)
from afnio_tellurio.delivery.rejected import METRIC_LINE, REFUSED, REJECTED_SUFFIX, RejectedFile
from afnio_tellurio.files import CREATE
from afnio_tellurio.interruptions import ignored, raise_foreign
from afnio_tellurio.settings.limits import BATCH_BYTES, BATCH_METRICS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import FileIO
    from pathlib import Path

_START = Position(0, 0, 0)
_PREFIX_BYTES = 64
#: More than the record of an end takes.
_END_BYTES = 256 * 1024
#: The start of the line of a metric: enough of it to tell it from a header with changed bytes.
_METRIC_START = re.compile(rb'\["[0-9a-f]{8}",\d+,(?:(?:null|\d+),\d+,"|\[["\]])')
#: The header, and a few records.
_LINES_AT_START = 10
#: More than a checksum and five numbers ever need.
_ACK_BYTES = 128


class JournalFile:
    """A journal for delivery: what waits, and how far it is acknowledged.

    One thread at a time reads it.

    Attributes:
        path: The file.
        header: The header in its first lines.
        position: How far it is acknowledged.
        missing: The number of metrics before the position that could not be read: their lines are
            damaged.
    """

    header: Header

    def __init__(self, path: Path, header: Header, file: FileIO | None) -> None:
        self.path = path
        self.header = header
        self.missing = 0
        # Not the writer's file: on Windows a reader would move its position.
        self._file: FileIO | None = file
        self._ack_path = path.with_suffix(".ack")
        self._rejected = RejectedFile(path.with_suffix(REJECTED_SUFFIX))
        self._ack_file: FileIO | None = None
        # The offset after the last metric that was ever read to be sent, and the next number: a
        # backend may have all before it, even if they are damaged or cut off since.
        self._read_until = (0, 0)
        # The changes that a backend has; the position passes only those that it starts with.
        self._delivered_changes: set[str] = set()
        self.position = self._read_position()

    @classmethod
    def open(cls, path: Path) -> JournalFile:
        """Opens the journal of another process.

        Raises:
            OSError: It cannot be read.
            ValueError: Its header is damaged, or has a newer version.
        """
        file = path.open("rb", buffering=0)
        try:
            return cls(path, read_header(path, file), file)
        except BaseException:  # raised again: an interrupted call must leave no file open
            file.close()
            raise

    def _read_position(self) -> Position:
        try:
            fields = parsed_line(self._ack_path.read_bytes().rstrip())
        except OSError as error:
            raise_foreign(error)
            fields = None
        # Missing or torn: delivery starts again, and the backend skips what it has.
        return Position(*fields) if fields else _START

    @property
    def size(self) -> int:
        """The size of the file in bytes."""
        file = self._file
        try:
            return 0 if file is None else os.fstat(file.fileno()).st_size
        except (OSError, ValueError) as error:
            raise_foreign(error)
            # Another thread has just closed it.
            return 0

    def whole_size(self, size: int) -> int:
        """The number of bytes, of the first `size`, without an incomplete last line."""
        end = size
        while end > 0:
            start = max(0, end - BATCH_BYTES)
            newline = self._read(start, end - start).rfind(b"\n")
            if newline >= 0:
                return start + newline + 1
            end = start
        return 0

    def count_metrics(self, offset: int) -> int:
        """The number of metrics from an offset on, without reading them."""
        count, beginning = 0, b""
        while data := self._read(offset, BATCH_BYTES):
            offset += len(data)
            whole, newline, rest = data.rpartition(b"\n")
            if newline:
                count += len(METRIC_LINE.findall(beginning + whole))
                beginning = b""
            # Enough of an incomplete line to tell what it is.
            beginning = (beginning + rest)[:_PREFIX_BYTES]
        return count

    @property
    def is_empty(self) -> bool:
        """Whether nothing was logged to it."""
        return all(
            fields is not None and (isinstance(fields[0], dict) or fields[0] == BORN)
            for fields, *_ in self._records(0)
        )

    @property
    def has_only_rejected(self) -> bool:
        """Whether it was a `.rejected` file: its metrics were refused before, one by one."""
        first = (fields for fields, *_ in islice(self._records(0), _LINES_AT_START))
        return any(fields is not None and fields[0] == REFUSED for fields in first)

    @property
    def lost(self) -> int:
        """The number of metrics that were logged and cannot be delivered."""
        return self.missing

    def batch(self, limit: int = BATCH_METRICS) -> Batch | None:
        """The next metrics, up to a limit, or the next change, to send; None if nothing waits."""
        metrics = self._intact_metrics(limit)
        if metrics is None:
            batch = self._next_entries(limit)
        else:
            batch = Batch(metrics, self.position.segment)
        if batch is not None and batch.change is None:
            after = batch.metrics.afters[-1], batch.metrics.following
            self._read_until = max(self._read_until, after)
        return batch

    def _intact_metrics(self, limit: int) -> Metrics | None:
        """The next metrics, if no line with anything else is among them."""
        offset, number = self.position.offset, self.position.number
        *lines, _rest = self._read(offset, BATCH_BYTES).split(b"\n", limit)
        return read_metrics(lines, number=number, offset=offset) if lines else None

    def _next_entries(self, limit: int) -> Batch | None:
        metrics: list[Metric] = []
        segment, missing_before = self.position.segment, 0
        for line, missing, change in self._entries(self.position):
            if change is not None:
                if change.key in self._delivered_changes:
                    continue
                if metrics:
                    break
                return Batch(Metrics.of([]), segment, change=change)
            if metrics:
                is_large = line[-1].after - self.position.offset > BATCH_BYTES
                is_apart = line[0].number != metrics[-1].number + 1
                if is_large or is_apart or len(metrics) + len(line) > limit:
                    break
            elif missing:
                segment, missing_before = line[0].number, missing
            metrics += line
        return Batch(Metrics.of(metrics), segment, missing_before) if metrics else None

    def _metrics(self, position: Position) -> Iterator[tuple[list[Metric], int]]:
        """The metrics of each line from a position on, and the number missing before them."""
        for metrics, missing, change in self._entries(position):
            if change is None:
                yield metrics, missing

    def _entries(self, position: Position) -> Iterator[tuple[list[Metric], int, Change | None]]:
        """The metrics of each line, with the number missing before them, and the changes."""
        number, lag = position.number, position.lag
        is_damaged, damaged_lines = False, 0
        for fields, is_intact, start, end in self._records(position.offset):
            is_damaged |= not is_intact
            if fields is None:
                damaged_lines += bool(_METRIC_START.match(self._read(start, _PREFIX_BYTES)))
                continue
            if fields[0] == NUMBER:
                number = max(number, fields[1])
            elif fields[0] in CHANGES:
                # Damaged lines count when the next metric is read, and so does its number.
                is_next = not is_damaged and number == position.number
                yield [], 0, change_of(fields, end, is_next=is_next)
            if not isinstance(fields[0], int):
                continue
            missing = max(0, fields[0] + lag - number) if is_damaged else 0
            if damaged_lines >= max(1, fields[0] - number):
                # Exact, while counts may be behind: another thread wrote a line just before.
                missing = damaged_lines
            if is_damaged and end > self._read_until[0]:
                # Counts are behind, and the metrics before this one were cut off.
                missing = max(missing, self._read_until[1] - number)
            metrics = metrics_of(fields, number + missing, start, end)
            if len(metrics) > 1:
                # From an earlier version, whose counts are exact; part may be acknowledged.
                metrics = [
                    metric
                    for metric in metrics_of(fields, fields[0] + lag, start, end)
                    if metric.number >= number
                ]
            yield metrics, missing, None
            number = metrics[-1].number + 1
            lag = metrics[-1].number - metrics[-1].count
            is_damaged, damaged_lines = False, 0

    def _records(self, offset: int) -> Iterator[tuple[list[Any] | None, bool, int, int]]:
        """Each complete line from an offset on: its fields, whether it is intact, and its offsets.

        The fields are None if no record of the line is readable.
        """
        # The parts of the last line so far: joined once, since damage may be as long as the file.
        parts: list[bytes] = []
        at = offset
        while data := self._read(at, BATCH_BYTES):
            at += len(data)
            *lines, rest = data.split(b"\n")
            for line in lines:
                whole = b"".join((*parts, line))
                parts.clear()
                end = offset + len(whole) + 1
                fields, start = find_record(whole)
                yield fields, start == 0, offset, end
                offset = end
            parts.append(rest)

    def _read(self, offset: int, length: int) -> bytes:
        file = self._file
        return b"" if file is None else read_at(file, offset, length)

    def acknowledge(self, batch: Batch, following: int) -> None:
        """Moves the position past the metrics that a backend has of a batch's segment.

        Args:
            batch: The metrics that were sent.
            following: The sequence number that the backend expects next; it may be past the end of
                the batch, if an earlier answer was lost.
        """
        self.missing += batch.missing
        metrics = batch.metrics
        last = min(following, metrics.following) - metrics.number - 1
        position = self._position_after_part(metrics, last, batch.segment)
        if following > position.number:
            position = self._advance(position, following)._replace(number=following)
        self._store(position)

    def _position_after(self, metric: Metric, segment: int) -> Position:
        number, lag = metric.number + 1, metric.number - metric.count
        return Position(metric.after, number, segment, lag, self.position.floor)

    def _position_after_part(self, metrics: Metrics, index: int, segment: int) -> Position:
        number = metrics.number + index
        after, lag = metrics.afters[index], number - metrics.counts[index]
        return Position(after, number + 1, segment, lag, self.position.floor)

    def _advance(self, position: Position, number: int) -> Position:
        """The position of the first line with a metric of at least this number."""
        for metrics, _missing in self._metrics(position):
            if metrics[-1].number >= number:
                break
            position = self._position_after(metrics[-1], position.segment)
        return position

    def acknowledge_change(self, batch: Batch, change: Change) -> None:  # noqa: ARG002
        """Notes that a backend has a change, or refuses it."""
        if change.is_next:
            self._store(self.position._replace(offset=change.after))
        else:
            self._delivered_changes.add(change.key)

    def acknowledge_single(self, batch: Batch) -> None:
        """Moves the position past the first metric of a batch, which was delivered by itself.

        The backend does not know its number. So the next metrics start a new segment, and this
        metric must not be sent again.
        """
        self._skip_first(batch)
        number = self.position.number
        self._store(self.position._replace(floor=number))

    def reject(self, batch: Batch, message: str) -> None:
        """Moves the first metric of a batch to the `.rejected` file, with the backend's message.

        Raises:
            OSError: It cannot be written to the disk.
        """
        self._rejected.append(self.header, batch.metrics, message)
        self._skip_first(batch)

    def _skip_first(self, batch: Batch) -> None:
        """Starts a segment after the first metric: the backend will never have its number."""
        self.missing += batch.missing
        position = self._position_after_part(batch.metrics, 0, batch.segment)
        self._store(position._replace(segment=position.number))

    def rewind(self, number: int) -> int:
        """Goes back to a sequence number of the present segment, or to the floor if that is later.

        The backend has lost the metrics from there on.

        Returns:
            The number of rejected metrics that are sent again.
        """
        floor = self.position.floor
        return self._go_back(max(number, floor), self.position.segment if number > floor else floor)

    def rewind_to_start(self) -> int:
        """Starts again: the backend has lost everything, even metrics that were sent one by one.

        Returns:
            The number of rejected metrics that are sent again.
        """
        self.position = self.position._replace(floor=0)
        return self._go_back(0, 0)

    def _go_back(self, number: int, segment: int) -> int:
        self.missing = 0
        self._delivered_changes.clear()
        position = _START._replace(floor=self.position.floor)
        for metrics, missing in self._metrics(position):
            if metrics[-1].number >= number:
                if metrics[0].number - missing > number:
                    # Those in between were delivered from memory, and no copy exists.
                    self.missing += metrics[0].number - missing - number
                    number = segment = metrics[0].number - missing
                break
            self.missing += missing
            position = self._position_after(metrics[-1], segment)
        position = position._replace(number=number, segment=segment)
        # First: if this process dies in between, the backend again expects an earlier number.
        retracted = self._retract_rejected(position)
        self._store(position)
        return retracted

    def retract_rejected(self) -> None:
        """Removes the metrics from the `.rejected` file that are still to be sent.

        The process died after it had rejected them, or the position is lost.

        Raises:
            OSError: The file cannot be written.
        """
        self._retract_rejected(self.position)

    def _retract_rejected(self, position: Position) -> int:
        """Removes the metrics from the `.rejected` file that are sent again from a position on."""
        rejected = self._rejected.numbers()
        if rejected:
            rejected &= {
                metric.number for metrics, _missing in self._metrics(position) for metric in metrics
            }
        if rejected:
            self._rejected.remove(rejected)
        return len(rejected)

    def _store(self, position: Position) -> None:
        """Writes the position to the `.ack` file, and moves it."""
        self._write_position(position)
        # Last: a thread that waits for it may close and remove the journal at once.
        self.position = position

    def _write_position(self, position: Position) -> None:
        try:
            if self._ack_file is None:
                fd = os.open(self._ack_path, CREATE, 0o600)
                self._ack_file = open(fd, "wb", buffering=0)  # noqa: PTH123, SIM115
            # In place, with a fixed length: a rename for each batch would cost milliseconds.
            self._ack_file.seek(0)
            self._ack_file.write(record_line(*position)[:-1].ljust(_ACK_BYTES))
        except OSError as error:
            # The disk is full: a later process sends some metrics again; the backend skips them.
            raise_foreign(error)

    def may_be_expected(self, number: int) -> bool:  # noqa: ARG002
        """Whether a backend may expect this sequence number next, past the end of a batch.

        It may have more than the file: metrics that were delivered from memory, or whose lines have
        been damaged since.
        """
        return True

    def birth(self) -> dict[str, Any]:
        """What the run was created with beside its name, as the body of `createRun`."""
        first = islice(self._records(0), _LINES_AT_START)
        births = [fields[1] for fields, *_ in first if fields is not None and fields[0] == BORN]
        return births[0] if births else {}

    def end_record(self) -> End | None:
        """The end of the run as the process recorded it, or None."""
        end: End | None = None
        for fields, *_ in self._records(0):
            if fields is not None and fields[0] == END:
                # A newer version may add fields.
                end = End(*fields[1:4])
        return end

    def last_time(self) -> int | None:
        """When the process last logged something, in microseconds since 1970; None if it did not.

        Several threads may have logged: the latest time counts.
        """
        tail = max(0, self.whole_size(self.size) - BATCH_BYTES)
        return self._last_time(tail) or (self._last_time(0) if tail else None)

    def _last_time(self, offset: int) -> int | None:
        times: list[int] = []
        for fields, *_ in self._records(offset):
            if fields is not None and (isinstance(fields[0], int) or fields[0] in CHANGES):
                times.append(fields[2])
        return max(times, default=None)

    @property
    def has_ended(self) -> bool:
        """Whether the process ended the run, and logged nothing after that."""
        # The last line alone, however long the journal is; a damaged one ends nothing.
        end = self.whole_size(self.size)
        line = self._read(max(0, end - _END_BYTES), min(end, _END_BYTES)).splitlines()[-1:]
        fields = find_record(line[0])[0] if line else None
        return fields is not None and fields[0] == END

    def close(self) -> None:
        """Closes the files."""
        for file in (self._file, self._ack_file):
            if file is not None:
                file.close()
        self._file = self._ack_file = None

    def set_aside(self) -> None:
        """Renames the file, so that no later process tries to deliver it: the run is gone."""
        aside = self.path.with_suffix(UNDELIVERABLE_SUFFIX)
        # Windows renames no open file: the next process tries again.
        with ignored(OSError):
            self.path.rename(aside)
            self.path = aside
