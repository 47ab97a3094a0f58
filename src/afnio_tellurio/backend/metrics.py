"""The operations on the metrics of a run: one function per operationId, named after it."""

from __future__ import annotations

import sys
from array import array
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, cast

import msgspec
from msgspec import UNSET

from afnio_tellurio.backend import structs
from afnio_tellurio.backend.batches import (
    COLUMNS,
    decode_batch,
    row_of,
    timestamp_of,
    value_of,
)
from afnio_tellurio.backend.requests import (
    MAX_PAGE_LENGTH,
    Answer,
    Call,
    Refusal,
    current_time,
    cursor_of,
    integer_of,
    next_cursor,
    rfc3339,
    run_of,
    second_of,
)
from afnio_tellurio.backend.store import metrics as stored_metrics
from afnio_tellurio.backend.store import series as stored_series
from afnio_tellurio.backend.store import values
from afnio_tellurio.backend.store.points import read_points
from afnio_tellurio.backend.store.tables import append_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from afnio_tellurio.backend.store.chunks import Points, Value
    from afnio_tellurio.backend.store.tables import NewRow

_MAX_METRICS = 10_000
#: Numbers of a column that are packed.
_PACKED_FROM = 100
_PACKED_KINDS = {"q": "int64", "d": "float64"}

_Position = Annotated[int, msgspec.Meta(ge=-1, le=structs.MAX_STEP)]

_metric_create = msgspec.json.Decoder(structs.MetricCreate)


class _Cursor(NamedTuple):
    """The last metric of a page; -1 if the next page starts with this name."""

    name: str
    step: _Position
    arrival: _Position


def log_metric(call: Call) -> Answer:
    """Records one metric."""
    metric = call.decode_body(_metric_create)
    timestamp = timestamp_of(metric, current_time(), "timestamp")
    if metric.is_row:
        return _log_row(call, row_of(metric, timestamp))
    value = value_of(metric.value, "value")
    with call.database.writing() as connection:
        run = run_of(connection, call)
        series = stored_metrics.open_series(connection, run, {metric.name})[metric.name]
        wanted_step = None if metric.step is UNSET else metric.step
        try:
            step = series.add(wanted_step, value, timestamp)
        except OverflowError:
            raise _no_next_step() from None
        stored_metrics.write_series(connection, [series])
    recorded = structs.Metric(metric.name, values.raw_value(value), step, rfc3339(timestamp))
    return Answer(201, structs.encode(recorded))


def _log_row(call: Call, row: NewRow) -> Answer:
    with call.database.writing() as connection:
        number = append_rows(connection, run_of(connection, call), [row])
    value = msgspec.Raw(row.json.encode())
    recorded = structs.Metric(row.table, value, number, rfc3339(row.timestamp))
    return Answer(201, structs.encode(recorded))


def log_metric_batch(call: Call) -> Answer:
    """Records a writer's metrics, all or none; skips those that were recorded before."""
    batch = decode_batch(call)
    writer, first, end = batch.writer, batch.first, batch.first + len(batch.name)
    with call.database.writing() as connection:
        run = run_of(connection, call)
        expected = stored_metrics.next_sequence_number(connection, run, writer)
        if first > expected:
            detail = f"The next sequence number is {expected} and the batch starts at {first}."
            raise Refusal(409, structs.SequenceGapError(detail, expected))
        start = min(expected - first, len(batch.name))
        append_rows(connection, run, batch.rows_from(start))
        new_points = batch.series(start)
        series = stored_metrics.open_series(connection, run, set(new_points))
        try:
            for name, points in new_points.items():
                series[name].extend(*points)
        except OverflowError:
            raise _no_next_step() from None
        stored_metrics.write_series(connection, list(series.values()))
        next_number = max(expected, end)
        stored_metrics.expect_sequence_number(connection, run, writer, next_number)
    receipt = structs.MetricBatchReceipt(next_number - expected, next_number)
    return Answer(200, structs.encode(receipt))


def _no_next_step() -> Refusal:
    return Refusal(400, {"step": ["The last step is the maximum; pass a step."]})


def list_metrics(call: Call) -> Answer:
    """Returns the metrics of the run, sorted by name, step and order of arrival."""
    limit = integer_of(call, "limit", 1, _MAX_METRICS)
    after_step = integer_of(call, "after_step", 0, structs.MAX_STEP)
    name = call.parameter("name")
    cursor = cursor_of(call, _Cursor)
    remaining, length = limit, sys.maxsize if limit is None else MAX_PAGE_LENGTH
    page: list[tuple[str, Points]] = []
    headers: list[tuple[str, str]] = []
    with call.database.reading() as connection:
        run = run_of(connection, call)
        series = stored_metrics.list_series(connection, run, cursor[0] if cursor else "")
        for series_name, identity in series:
            if name is not None and series_name != name:
                continue
            if remaining == 0:
                headers = [next_cursor((series_name, -1, -1))]
                break
            points, length = read_points(
                connection,
                identity,
                after=cursor[1:] if cursor and series_name == cursor[0] else (-1, -1),
                after_step=-1 if after_step is None else after_step,
                limit=None if remaining is None else remaining + 1,
                length=length,
            )
            is_cut = remaining is not None and len(points.steps) > remaining
            points = points.part(0, remaining or 0) if is_cut else points
            page.append((series_name, points))
            # Large values end a page too.
            if is_cut or length < 0:
                headers = [next_cursor((series_name, points.steps[-1], points.arrivals[-1]))]
                break
            if remaining is not None:
                remaining -= len(points.steps)
    return _metrics_answer(call, page, headers)


def _metrics_answer(
    call: Call, page: list[tuple[str, Points]], headers: list[tuple[str, str]]
) -> Answer:
    if COLUMNS in call.headers.get("accept", ""):
        columns = [
            structs.MetricColumns(
                name, _column(points.steps), _column(points.values), _column(points.timestamps)
            )
            for name, points in page
            if points.steps
        ]
        return Answer(200, structs.encode(columns), headers, content_type=COLUMNS)
    metrics: list[structs.Metric] = []
    for name, points in page:
        metrics += _metric_answers(name, points)
    return Answer(200, structs.encode(metrics), headers)


def _column(numbers: Sequence[Value]) -> list[Any] | structs.PackedNumbers:
    """Packs a column, unless a list is shorter, or it has anything else than numbers."""
    code = "q" if isinstance(numbers, range) else getattr(numbers, "typecode", None)
    if code is None:
        kinds = set(map(type, numbers))
        code = "d" if kinds == {float} else "q" if kinds == {int} else None
    if code is None or len(numbers) < _PACKED_FROM:
        return values.encodable(numbers)
    packed = array(code, cast("Sequence[float]", numbers))
    if sys.byteorder == "big":
        packed.byteswap()
    # The encoder writes bytes in Base64.
    return structs.PackedNumbers(_PACKED_KINDS[code], packed.tobytes())


def _metric_answers(name: str, points: Points) -> list[structs.Metric]:
    # There may be millions of rows, so this avoids function calls. The encoder writes finite
    # numbers exactly as `values.raw_value` does.
    return [
        structs.Metric(
            name,
            value
            if value.__class__ is not str and value - value == 0  # type: ignore[operator]
            else values.raw_value(value),
            step,
            f"{second_of(timestamp // 1_000_000)}.{timestamp % 1_000_000:06d}Z",
        )
        for step, value, timestamp in zip(
            points.steps, points.values, points.timestamps, strict=True
        )
    ]


def summarize_metrics(call: Call) -> Answer:
    """Returns a summary of each metric of the run."""
    with call.database.reading() as connection:
        rows = stored_series.summarize_run(connection, run_of(connection, call))
    summaries = {
        name: structs.MetricSummary(
            count,
            first,
            last_step,
            values.raw(number, text),
            values.raw_number(low),
            values.raw_number(high),
            rfc3339(timestamp),
        )
        for name, count, first, last_step, number, text, low, high, timestamp in rows
    }
    return Answer(200, structs.encode(summaries))
