"""The lines of a journal: how records are encoded, and what their fields mean."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from afnio_tellurio.api.metric_batches import Place

FORMAT = 5
#: The first format in which strings have backslashes, see `special_numbers`.
BACKSLASHES_FORMAT = 5
SUFFIX = ".ndjson"
#: Of the folder with the files of a journal.
FILES_SUFFIX = ".files"
#: Of the folder with those that a backend refused.
REJECTED_FILES_SUFFIX = ".rejected-files"
#: Of a journal whose run is gone.
UNDELIVERABLE_SUFFIX = ".undeliverable"
#: The first field of the record of the run's end.
END = "end"
#: The first field of a record with a change of the run itself.
CHANGE = "change"
#: The first field of a record with files, and what to do with them at the backend.
UPLOAD = "upload"
CHANGES = (CHANGE, UPLOAD)
#: The first field of the record with what the run was created with.
BORN = "born"
#: The first field of a record that holds the sequence number of the next metric.
NUMBER = "number"
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
_START = re.compile(rb'\["[0-9a-f]{8}",')
#: The places in a damaged line where a record may start that are checked.
_MAX_STARTS = 32
encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What a later process needs to deliver a journal.

    Attributes:
        format: The version of the format.
        backend: The URL of the backend, or the path of the embedded backend's database: relative to
            the parent of the journals' folder if it is inside that.
        is_local: Whether it is the embedded backend.
        namespace_slug: The run's namespace.
        project_slug: The run's project.
        run_uuid: The run.
        run_name: Its name, for people.
        writer: The UUID under which the metrics are numbered.
        owns_run: Whether the run ends with the process.
        host: The name of the process's machine, for people.
        machine: What identifies that machine, or None in journals of earlier versions.
        boot: What identifies the time since that machine started, or None if it is unknown.
    """

    format: int = FORMAT
    backend: str
    is_local: bool
    namespace_slug: str
    project_slug: str
    run_uuid: str
    run_name: str
    writer: str
    owns_run: bool
    host: str | None = None
    machine: str | None = None
    boot: str | None = None

    def file_name(self) -> str:
        """The name of the journal's file."""
        return f"{self.run_uuid}.{self.writer}{SUFFIX}"


class Position(NamedTuple):
    """How far a journal has been acknowledged.

    Attributes:
        offset: The offset in the file of the first line that is not acknowledged.
        number: The sequence number of the first metric that is not acknowledged.
        segment: The sequence number with which the present segment starts.
        lag: How far the count in the last line is behind the sequence number.
        floor: The sequence number after the last metric that was delivered without one. Metrics
            before it must not be sent again.
    """

    offset: int
    number: int
    segment: int
    lag: int = 0
    floor: int = 0


class Change(NamedTuple):
    """A change of the run itself, or files to upload.

    Attributes:
        kind: `CHANGE` or `UPLOAD`.
        key: Its idempotency key; for an upload, also the name of the folder with its files.
        time: When it was made, in microseconds since 1970.
        fields: The body of `updateRun`; for an upload, see `uploads`.
        after: The offset of the next line, or -1 if it is only in memory.
        is_next: Whether the position may move past it: nothing before it must be read again.
    """

    kind: str
    key: str
    time: int
    fields: dict[str, Any]
    after: int
    is_next: bool


class End(NamedTuple):
    """The end of a run, as its process recorded it.

    Attributes:
        status: The final status.
        time: When it ended, in microseconds since 1970; None in journals of earlier versions.
        because: Why it ended, as `EndReason` of the contract, or None.
    """

    status: str
    time: int | None = None
    because: dict[str, Any] | None = None


class Metric(msgspec.Struct, frozen=True, gc=False):
    """One metric, or one row of a table, of a line of a journal.

    Attributes:
        number: Its sequence number.
        count: The number of metrics before it, according to its line.
        name: Its name.
        value: Its value, in its JSON form.
        place: Its step, or None; for a row of a table, a list with its key if it has one.
        time: When it was logged, in microseconds since 1970.
        after: The offset to continue from when it, and all before it, are acknowledged.
    """

    number: int
    count: int
    name: str
    value: Any
    place: Place
    time: int
    after: int


@dataclass(slots=True)
class Metrics:
    """Consecutive metrics, and rows of tables, of a journal in columns.

    Attributes:
        number: The sequence number of the first one.
        names: Their names.
        values: Their values as JSON.
        places: Their steps or None; for rows, lists with their key if they have one.
        times: When they were logged, in microseconds since 1970.
        counts: The numbers of metrics before them, according to their lines.
        afters: The offsets to continue from when they, and all before them, are acknowledged.
    """

    number: int
    names: list[str]
    values: list[msgspec.Raw]
    places: list[Place]
    times: list[int]
    counts: list[int]
    afters: list[int]

    @classmethod
    def of(cls, metrics: Sequence[Metric]) -> Metrics:
        """Puts single metrics into columns."""
        return cls(
            metrics[0].number if metrics else 0,
            [metric.name for metric in metrics],
            [msgspec.Raw(encode(metric.value)) for metric in metrics],
            [metric.place for metric in metrics],
            [metric.time for metric in metrics],
            [metric.count for metric in metrics],
            [metric.after for metric in metrics],
        )

    def __len__(self) -> int:
        return len(self.names)

    @property
    def following(self) -> int:
        """The sequence number after the last one."""
        return self.number + len(self.names)

    def part(self, start: int, end: int) -> Metrics:
        """Returns the metrics from one index to another."""
        return Metrics(
            self.number + start,
            self.names[start:end],
            self.values[start:end],
            self.places[start:end],
            self.times[start:end],
            self.counts[start:end],
            self.afters[start:end],
        )


class Batch(NamedTuple):
    """Consecutive metrics of one segment, or a change of the run, to be sent in one request.

    Attributes:
        metrics: The metrics.
        segment: The sequence number with which the segment starts.
        missing: The number of metrics before them that cannot be read: their lines are damaged.
        held: The lines of the metrics or of the change, if they are only in memory.
        change: The change; there are no metrics then.
    """

    metrics: Metrics
    segment: int
    missing: int = 0
    held: Sequence[bytes] = ()
    change: Change | None = None


def microseconds_of(when: dt.datetime) -> int:
    """A time as records have it: in microseconds since 1970."""
    return (when - _EPOCH) // _MICROSECOND


def datetime_of(microseconds: int) -> dt.datetime:
    """The time of a record."""
    return _EPOCH + microseconds * _MICROSECOND


def record_line(*fields: Any) -> bytes:
    """Encodes a record as a line of the file."""
    body = encode(fields)[1:]
    return b'["%08x",%b\n' % (crc32(body), body)


def parsed_line(line: bytes) -> list[Any] | None:
    """The fields of a record without its checksum, or None if it is torn or damaged."""
    return find_record(line)[0]


def find_record(line: bytes) -> tuple[list[Any] | None, int]:
    """The fields of the record at the end of a line, and the offset where it starts in the line.

    The offset is not 0 if the line also contains the rest of the record before it: a write was cut
    short there, or the newline between them was damaged.
    """
    starts = list(_START.finditer(line))
    if len(starts) > _MAX_STARTS:
        # Values may look like the start of a record; to check each takes the square of the length.
        starts = starts[: _MAX_STARTS // 2] + starts[-_MAX_STARTS // 2 :]
    for start in starts:
        body = line[start.end() :]
        if crc32(body) == int(line[start.start() + 2 : start.end() - 2], 16):
            try:
                fields: list[Any] = _decode(b"[" + body)
            except (ValueError, msgspec.DecodeError):
                # Earlier versions of msgspec have errors of their own.
                continue
            return fields, start.start()
    return None, len(line)


def writer_of(writer: str, segment: int) -> uuid.UUID:
    """The writer ID of a segment in requests.

    A backend accepts a writer's metrics only without gaps. If some are missing, because their line
    is damaged or the backend rejected them, a new segment starts after them. It has its own writer
    ID, which every process derives in the same way, and its numbers start at 0.
    """
    return uuid.uuid5(uuid.UUID(writer), str(segment)) if segment else uuid.UUID(writer)


def change_of(fields: list[Any], end: int, *, is_next: bool) -> Change:
    """The change in a record, whose line ends at this offset of the file."""
    kind, key, when, changes = fields
    return Change(kind, key, when, changes, end, is_next)


def metrics_of(fields: list[Any], number: int, start: int, end: int) -> list[Metric]:
    """The metrics of a record. Earlier versions wrote several into one.

    Args:
        fields: The record.
        number: The sequence number of its first metric.
        start: The offset of its line in the file.
        end: The offset of the next line.
    """
    count, place, when, *pairs = fields
    names, values = pairs[::2], pairs[1::2]
    last = len(names) - 1
    return [
        Metric(
            number + index, count + index, name, value, place, when, start if index < last else end
        )
        for index, (name, value) in enumerate(zip(names, values, strict=True))
    ]
