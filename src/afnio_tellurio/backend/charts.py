"""The operations that sample and summarize metrics, named after their operationIds."""

from __future__ import annotations

import logging
import re
import sqlite3
from typing import TYPE_CHECKING, Any, NamedTuple

from afnio_tellurio.backend import structs
from afnio_tellurio.backend.requests import (
    Answer,
    Call,
    Refusal,
    cursor_of,
    decode_cursor,
    encode_cursor,
    integer_of,
    page_of,
    project_of,
    quoted,
    required_parameter,
    rfc3339,
    rows_for,
    run_of,
)
from afnio_tellurio.backend.store import points, sampling, values
from afnio_tellurio.backend.store import series as stored_series
from afnio_tellurio.errors import DatabaseError
from afnio_tellurio.logs import log

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_MAX_BUCKETS = 10_000
#: The maximum number of metrics in a page of a list.
_MAX_METRICS = 1000
#: The maximum number of runs, and of metric names, in one request.
_MAX_REPETITIONS = 100
#: If a series has more new points than this since the last response, it is returned in full.
_MAX_NEW_POINTS = 10_000
_UUID = re.compile(structs.UUID_PATTERN)


def sample_metric(call: Call) -> Answer:
    """Returns each range of steps that contains at least one value."""
    name = required_parameter(call, "name")
    buckets = _buckets(call)
    bounds = _step_bounds(call)
    with call.database.reading() as connection:
        extent = stored_series.find_series(connection, run_of(connection, call), name)
        if extent is None:
            return Answer(200, b"[]")
        stale: list[int] = []
        extent = _without_stale_tiles(connection, extent, stale)
        steps = _limit(bounds, extent)
        width = sampling.width_for(connection, extent, steps, buckets)
        ranges = sampling.ranges_of(connection, extent, steps, width)
    _repair(call, stale)
    response = [
        structs.MetricBucket(
            max(index * width, steps[0]),
            min((index + 1) * width - 1, steps[1]),
            values.raw_number(low),
            values.raw_number(high),
            values.raw(number, text),
            count,
        )
        for index, count, _step, _arrival, number, text, _timestamp, low, high in ranges
    ]
    return Answer(200, structs.encode(response))


def list_project_metrics(call: Call) -> Answer:
    """Returns each metric name of the project's runs, sorted by name."""
    _limit_repetitions(call, "run")
    limit, after = integer_of(call, "limit", 1, _MAX_METRICS), cursor_of(call, str)
    with call.database.reading() as connection:
        selection = _selection(connection, call)._replace(after=after or "")
        rows = stored_series.summarize_names(connection, selection, rows_for(limit))
    page, headers = page_of(rows, limit, lambda row: row[0])
    metrics = [
        structs.ProjectMetric(name, runs, bool(is_numeric), rfc3339(timestamp))
        for name, runs, is_numeric, timestamp in page
    ]
    return Answer(200, structs.encode(metrics), headers)


def summarize_project_metrics(call: Call) -> Answer:
    """Returns, for each metric, the summaries of the runs that have it, as columns."""
    limit, after = integer_of(call, "limit", 1, _MAX_METRICS), cursor_of(call, str)
    headers: list[tuple[str, str]] = []
    with call.database.reading() as connection:
        selection = _selection(connection, call)._replace(after=after or "")
        if limit is not None:
            names = stored_series.list_names(connection, selection, rows_for(limit))
            page, headers = page_of(names, limit, lambda name: name)
            selection = selection._replace(last=page[-1] if page else "")
        rows = stored_series.summarize_project(connection, selection)
    columns: dict[str, structs.SummaryColumns] = {}
    for name, run, count, first, last_step, number, text, low, high, timestamp in rows:
        column = columns.get(name)
        if column is None:
            column = columns[name] = structs.SummaryColumns(name, *_lists(8))
        column.run_uuid.append(run)
        column.count.append(count)
        column.first_step.append(first)
        column.last_step.append(last_step)
        column.last.append(values.raw(number, text))
        column.minimum.append(_encodable(low))
        column.maximum.append(_encodable(high))
        column.last_timestamp.append(rfc3339(timestamp))
    return Answer(200, structs.encode(list(columns.values())), headers)


class _Resolution(NamedTuple):
    """The number of ranges and the optional step bounds in the request."""

    buckets: int
    first: int | None
    last: int | None

    def steps_of(self, extent: sampling.Extent) -> tuple[int, int]:
        return _limit((self.first, self.last), extent)


class _CursorEntry(NamedTuple):
    """State of a series in the client's cursor."""

    points: structs.Step
    last: structs.Step
    width: int
    ranges: int = 0


def sample_project_metrics(call: Call) -> Answer:
    """Returns metrics of several runs in ranges of steps, or the changes since a cursor."""
    for name in ("run", "name"):
        required_parameter(call, name)
        _limit_repetitions(call, name)
    resolution = _Resolution(_buckets(call), *_step_bounds(call))
    cursor = _cursor(call)
    if cursor is None:
        return _samples(call, {}, resolution)
    if not call.pace.allows():
        with call.database.reading() as connection:
            _selection(connection, call)
        # Reports no changes; the next poll catches up.
        return _samples_answer(cursor, [])
    with call.pace.spending():
        return _samples(call, cursor, resolution)


def _samples(call: Call, cursor: Mapping[str, _CursorEntry], resolution: _Resolution) -> Answer:
    with call.database.reading() as connection:
        rows = stored_series.select_series(connection, _selection(connection, call))
        answer, stale = _sample_all(connection, rows, cursor, resolution)
    _repair(call, stale)
    return answer


def _without_stale_tiles(
    connection: sqlite3.Connection, extent: sampling.Extent, stale: list[int]
) -> sampling.Extent:
    """Returns the extent; if its tiles lack points, without tiles, and adds its id to `stale`."""
    if sampling.has_whole_tiles(connection, extent):
        return extent
    stale.append(extent.series)
    return extent._replace(tile_width=None)


def _repair(call: Call, stale: Iterable[int]) -> None:
    """Builds tiles again that do not hold all points; this response was made without them."""
    if not stale or call.database.is_read_only:
        return
    try:
        with call.database.writing() as connection:
            for series in stale:
                stored_series.repair_tiles(connection, series)
    except (sqlite3.Error, DatabaseError) as error:
        # The response is complete, and the next one tries again.
        log(logging.WARNING, f"charts of long metrics are slow: {error}")


def _sample_all(
    connection: sqlite3.Connection,
    rows: Iterable[stored_series.SeriesRow],
    cursor: Mapping[str, _CursorEntry],
    resolution: _Resolution,
) -> tuple[Answer, list[int]]:
    """Samples what has changed; also returns the ids of series whose tiles lack points."""
    changes: list[structs.SampledSeries] = []
    new_cursor: dict[str, _CursorEntry] = {}
    stale: list[int] = []
    for row in rows:
        identity = str(row.extent.series)
        before = cursor.get(identity)
        if before is not None and before.points == row.extent.points:
            new_cursor[identity] = before
            continue
        series = row._replace(extent=_without_stale_tiles(connection, row.extent, stale))
        sample = _appended(connection, series, before, resolution) or _whole(
            connection, series, resolution
        )
        new_cursor[identity] = _CursorEntry(
            series.extent.points, series.extent.last, sample.width, sample.total
        )
        changes.append(_as_columns(series, sample))
    return _samples_answer(new_cursor, changes), stale


def _samples_answer(
    cursor: Mapping[str, _CursorEntry], series: list[structs.SampledSeries]
) -> Answer:
    return Answer(200, structs.encode(structs.MetricSamples(encode_cursor(cursor), series)))


class _Sample(NamedTuple):
    """Ranges of a series, the step from which they replace earlier ones, and the new total."""

    width: int
    start: int
    ranges: list[sampling.Range]
    total: int


def _appended(
    connection: sqlite3.Connection,
    series: stored_series.SeriesRow,
    before: _CursorEntry | None,
    resolution: _Resolution,
) -> _Sample | None:
    """Returns the last ranges if few points were appended, and None if the whole is to be sent."""
    if before is None or not 0 < series.extent.points - before.points <= _MAX_NEW_POINTS:
        return None
    after_last = points.count_points_after(connection, series.extent.series, before.last)
    if after_last != series.extent.points - before.points:
        # Some new points have earlier steps.
        return None
    first, last = resolution.steps_of(series.extent)
    start = before.last // before.width * before.width
    ranges = sampling.ranges_of(connection, series.extent, (max(start, first), last), before.width)
    replaced = 1 if first <= before.last <= last else len(ranges)
    total = before.ranges - replaced + len(ranges)
    if total >= 2 * resolution.buckets:
        return None
    return _Sample(before.width, start, ranges, total)


def _whole(
    connection: sqlite3.Connection, series: stored_series.SeriesRow, resolution: _Resolution
) -> _Sample:
    steps = resolution.steps_of(series.extent)
    width = sampling.width_for(connection, series.extent, steps, resolution.buckets)
    ranges = sampling.ranges_of(connection, series.extent, steps, width)
    return _Sample(width, 0, ranges, len(ranges))


def _as_columns(series: stored_series.SeriesRow, sample: _Sample) -> structs.SampledSeries:
    columns = structs.SampledSeries(series.run, series.name, sample.width, sample.start, *_lists(6))
    for _index, count, step, _arrival, number, text, timestamp, low, high in sample.ranges:
        columns.step.append(step)
        columns.timestamp.append(timestamp / 1_000_000)
        columns.minimum.append(_encodable(low))
        columns.maximum.append(_encodable(high))
        columns.last.append(_number(number, text))
        columns.count.append(count)
    return columns


def _selection(connection: sqlite3.Connection, call: Call) -> stored_series.Selection:
    """Returns the series of the runs and metric names in the request, or of all."""
    runs = [run.lower() for run in call.parameters("run")]
    for run in runs:
        if not _UUID.fullmatch(run):
            raise Refusal(400, {"run": [f"{quoted(run)} is not a UUID."]})
    return stored_series.Selection(project_of(connection, call), call.parameters("name"), runs)


def _limit_repetitions(call: Call, name: str) -> None:
    # Duplicates count too.
    if sum(key == name for key, _value in call.query) > _MAX_REPETITIONS:
        raise Refusal(400, {name: [f"Must have at most {_MAX_REPETITIONS} values."]})


def _cursor(call: Call) -> dict[str, _CursorEntry] | None:
    text = call.parameter("cursor")
    if text is None:
        return None
    try:
        cursor = decode_cursor(text, dict[str, _CursorEntry])
    except ValueError:
        cursor = None
    if cursor is None or not all(_is_power_of_two(entry.width) for entry in cursor.values()):
        message = f"{quoted(text)} isn't a valid cursor of these metrics."
        raise Refusal(400, {"cursor": [message]})
    return cursor


def _is_power_of_two(width: int) -> bool:
    # One range may hold all steps.
    return 0 < width <= structs.MAX_STEP + 1 and width & (width - 1) == 0


def _buckets(call: Call) -> int:
    required_parameter(call, "buckets")
    return integer_of(call, "buckets", 1, _MAX_BUCKETS) or 1


def _step_bounds(call: Call) -> tuple[int | None, int | None]:
    return (
        integer_of(call, "from_step", 0, structs.MAX_STEP),
        integer_of(call, "to_step", 0, structs.MAX_STEP),
    )


def _limit(bounds: Sequence[int | None], extent: sampling.Extent) -> tuple[int, int]:
    start, end = bounds
    return extent.first if start is None else start, extent.last if end is None else end


def _lists(count: int) -> list[list[Any]]:
    return [[] for _ in range(count)]


def _encodable(number: float | None) -> Any:
    """Prepares a number or None for the encoder, which would write the infinities as null."""
    return number if number is None or number - number == 0 else values.raw_number(number)


def _number(number: float | None, text: str | None) -> Any:
    if text is None:
        return _encodable(number)
    if text == '"NaN"':
        return "NaN"
    return values.Stored(None, text).comparable()
