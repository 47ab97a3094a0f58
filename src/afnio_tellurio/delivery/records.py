"""The lines of a journal, and what they say."""

from __future__ import annotations

import uuid
from typing import Any, NamedTuple
from zlib import crc32

import msgspec

FORMAT = 1
SUFFIX = ".ndjson"
END = "end"
_MARK = b'["'
#: A record of one metric: number, step, time, name, value.
_FIELDS_OF_ONE = 5
_PREFIX = len(b'["00000000",')
encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What a later process must know to deliver a journal.

    Attributes:
        format: The version of the format.
        backend: The URL of the backend, or the path of the embedded backend's database: relative to
            the folder that holds the journals' folder where it lies in there.
        is_local: Whether it is the embedded backend.
        namespace_slug: The run's namespace.
        project_slug: The run's project.
        run_uuid: The run.
        run_name: Its name, for people.
        writer: The UUID under which the metrics are numbered.
        owns_run: Whether the run ends with the process.
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

    def file_name(self) -> str:
        """The name of the journal's file."""
        return f"{self.run_uuid}.{self.writer}{SUFFIX}"


class Position(NamedTuple):
    """How far a journal is acknowledged.

    Attributes:
        offset: Where in the file the first line starts that is not acknowledged whole.
        number: The sequence number of the first metric that is not acknowledged.
        segment: The sequence number with which the present segment starts.
    """

    offset: int
    number: int
    segment: int


class Metric(msgspec.Struct, frozen=True, gc=False):
    """One metric of a journal.

    Attributes:
        number: Its sequence number.
        name: Its name.
        value: Its value, as JSON has it.
        step: Its step, or None.
        time: When it was logged, in microseconds since 1970.
        after: The offset to go on from when it, and all before it, is acknowledged.
    """

    number: int
    name: str
    value: Any
    step: int | None
    time: int
    after: int


class Batch(NamedTuple):
    """Consecutive metrics of one segment, to be sent at once.

    Attributes:
        metrics: The metrics.
        segment: The sequence number with which the segment starts.
        is_held: Whether they are in memory only.
    """

    metrics: list[Metric]
    segment: int
    is_held: bool


def record_line(*fields: Any) -> bytes:
    """A record as it stands in the file."""
    body = encode(fields)[1:]
    return b'["%08x",%b\n' % (crc32(body), body)


def parsed_line(line: bytes) -> list[Any] | None:
    """The fields of a record without its checksum, or None where it is torn or damaged.

    A line that swallowed the end of the one before it, because the byte between them was damaged,
    is found again behind it.
    """
    start = 0
    while start >= 0:
        body = line[start + _PREFIX :]
        try:
            if crc32(body) == int(line[start + 2 : start + 10], 16):
                fields: list[Any] = _decode(b"[" + body)
                return fields
        except ValueError:
            # No checksum stands here.
            pass
        start = line.find(_MARK, start + 1)
    return None


def writer_of(writer: str, segment: int) -> uuid.UUID:
    """The writer that a backend knows a segment by.

    A backend takes a writer's metrics without a gap. Where some are missing, because their line is
    damaged or the backend refused them, a new segment starts behind them, with a writer of its own
    that every process derives alike, numbered from 0.
    """
    return uuid.uuid5(uuid.UUID(writer), str(segment)) if segment else uuid.UUID(writer)


def metrics_of(fields: list[Any], start: int, end: int) -> list[Metric]:
    """The metrics of a record.

    Args:
        fields: The record.
        start: Where in the file its line starts.
        end: Where the next one does.
    """
    if len(fields) == _FIELDS_OF_ONE:
        number, step, when, name, value = fields
        return [Metric(number, name, value, step, when, end)]
    number, step, when, *pairs = fields
    names, values = pairs[::2], pairs[1::2]
    last = len(names) - 1
    return [
        Metric(number + index, name, value, step, when, start if index < last else end)
        for index, (name, value) in enumerate(zip(names, values, strict=True))
    ]
