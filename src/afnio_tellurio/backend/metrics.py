"""The operations on the metrics of a run: one function per operationId, named after it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec
from msgspec import UNSET

from afnio_tellurio.backend import structs
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
    storable_microseconds_of,
)
from afnio_tellurio.backend.store import metrics as stored_metrics
from afnio_tellurio.backend.store import series as stored_series
from afnio_tellurio.backend.store import values
from afnio_tellurio.backend.store.tables import NewRow, append_rows
from afnio_tellurio.backend.tables import new_row

if TYPE_CHECKING:
    from collections.abc import Iterable

    from afnio_tellurio.backend.store.chunks import Value

_MAX_METRICS = 10_000

_Position = Annotated[int, msgspec.Meta(ge=-1, le=structs.MAX_STEP)]

_Item = tuple[str, int | None, values.Stored, int] | NewRow

_NULL = msgspec.Raw(b"null")

_metric_create = msgspec.json.Decoder(structs.MetricCreate)
_metric_batch = msgspec.json.Decoder(structs.MetricBatch)


class _Cursor(NamedTuple):
    """The last metric of a page; -1 if the next page starts with this name."""

    name: str
    step: _Position
    arrival: _Position


def _stored(raw: msgspec.Raw, field_name: str, index: int | None = None) -> values.Stored:
    try:
        return values.stored(raw)
    except (ValueError, RecursionError) as error:
        location = "" if index is None else f"[{index}].value: "
        raise Refusal(400, {field_name: [f"{location}{error}."]}) from None


def _row(metric: structs.MetricCreate, timestamp: int, index: int | None = None) -> NewRow:
    try:
        return new_row(metric, timestamp)
    except (ValueError, RecursionError) as error:
        name, location = ("value", "") if index is None else ("metrics", f"[{index}].value: ")
        raise Refusal(400, {name: [f"{location}{error}."]}) from None


def _timestamp(
    metric: structs.MetricCreate, now: int, field_name: str, index: int | None = None
) -> int:
    if metric.timestamp is UNSET:
        return now
    try:
        return storable_microseconds_of(metric.timestamp)
    except ValueError as error:
        location = "" if index is None else f"[{index}].timestamp: "
        raise Refusal(400, {field_name: [f"{location}{error}."]}) from None


def log_metric(call: Call) -> Answer:
    """Records one metric."""
    metric = call.decode_body(_metric_create)
    timestamp = _timestamp(metric, current_time(), "timestamp")
    if metric.is_row:
        return _log_row(call, _row(metric, timestamp))
    value = _stored(metric.value, "value")
    with call.database.writing() as connection:
        run = run_of(connection, call)
        series = stored_metrics.open_series(connection, run, {metric.name})[metric.name]
        try:
            step = series.add(None if metric.step is UNSET else metric.step, value, timestamp)
        except OverflowError:
            raise _no_next_step() from None
        stored_metrics.write_series(connection, [series])
    recorded = structs.Metric(
        metric.name, values.raw(value.number, value.text), step, rfc3339(timestamp)
    )
    return Answer(201, structs.encode(recorded))


def _log_row(call: Call, row: NewRow) -> Answer:
    with call.database.writing() as connection:
        number = append_rows(connection, run_of(connection, call), [row])
    value = msgspec.Raw(row.json.encode())
    recorded = structs.Metric(row.table, value, number, rfc3339(row.timestamp))
    return Answer(201, structs.encode(recorded))


def _item(metric: structs.MetricCreate, now: int, number: float | None, index: int) -> _Item:
    """What a metric of a batch stands for: a point, or a row of a table."""
    timestamp = _timestamp(metric, now, "metrics", index)
    if metric.is_row:
        return _row(metric, timestamp, index)
    value = (
        _stored(metric.value, "metrics", index) if number is None else values.Stored(number, None)
    )
    return metric.name, None if metric.step is UNSET else metric.step, value, timestamp


def log_metric_batch(call: Call) -> Answer:
    """Records a writer's metrics, all or none; skips those that were recorded before."""
    batch = call.decode_body(_metric_batch)
    now = current_time()
    raws = [_NULL if metric.is_row else metric.value for metric in batch.metrics]
    numbers = values.native_numbers(raws)
    items = [
        _item(metric, now, number, index)
        for index, (metric, number) in enumerate(zip(batch.metrics, numbers, strict=True))
    ]
    writer, first = str(batch.writer), batch.first_sequence_number
    with call.database.writing() as connection:
        run = run_of(connection, call)
        expected = stored_metrics.next_sequence_number(connection, run, writer)
        if first > expected:
            detail = f"The next sequence number is {expected} and the batch starts at {first}."
            raise Refusal(409, structs.SequenceGapError(detail, expected))
        new_items = items[expected - first :]
        new_points = [item for item in new_items if not isinstance(item, NewRow)]
        append_rows(connection, run, [item for item in new_items if isinstance(item, NewRow)])
        series = stored_metrics.open_series(connection, run, {point[0] for point in new_points})
        columns: dict[str, tuple[list[int | None], list[Value], list[int]]] = {}
        for name, step, value, timestamp in new_points:
            steps, column, timestamps = columns.setdefault(name, ([], [], []))
            steps.append(step)
            column.append(values.column_value(value))
            timestamps.append(timestamp)
        try:
            for name, new_columns in columns.items():
                series[name].extend(*new_columns)
        except OverflowError:
            raise _no_next_step() from None
        stored_metrics.write_series(connection, list(series.values()))
        next_number = expected + len(new_items)
        stored_metrics.expect_sequence_number(connection, run, writer, next_number)
    return Answer(200, structs.encode(structs.MetricBatchReceipt(len(new_items), next_number)))


def _no_next_step() -> Refusal:
    return Refusal(400, {"step": ["The last step is the maximum; pass a step."]})


def list_metrics(call: Call) -> Answer:
    """Returns the metrics of the run, sorted by name, step and order of arrival."""
    limit = integer_of(call, "limit", 1, _MAX_METRICS)
    after_step = integer_of(call, "after_step", 0, structs.MAX_STEP)
    name = call.parameter("name")
    cursor = cursor_of(call, _Cursor)
    length = sys.maxsize if limit is None else MAX_PAGE_LENGTH
    with call.database.reading() as connection:
        run = run_of(connection, call)
        series = stored_metrics.list_series(connection, run, cursor[0] if cursor else "")
        metrics: list[structs.Metric] = []
        for series_name, identity in series:
            if name is not None and series_name != name:
                continue
            after = cursor[1:] if cursor and series_name == cursor[0] else (-1, -1)
            remaining = None if limit is None else limit - len(metrics)
            rows, length = stored_metrics.list_points(
                connection,
                identity,
                after=after,
                after_step=-1 if after_step is None else after_step,
                limit=None if remaining is None else remaining + 1,
                length=length,
            )
            kept = len(rows) if remaining is None else min(remaining, len(rows))
            metrics += _metric_answers(series_name, rows[:kept])
            # Large values end a page too.
            if kept < len(rows) or length < 0:
                # The next page starts after the last row of this one, or with this series.
                *_value, step, _timestamp, arrival = rows[kept - 1]
                position = (series_name, step, arrival) if kept else (series_name, -1, -1)
                return Answer(200, structs.encode(metrics), [next_cursor(position)])
    return Answer(200, structs.encode(metrics))


def _metric_answers(name: str, rows: Iterable[tuple[Any, ...]]) -> list[structs.Metric]:
    # There may be millions of rows, so this avoids function calls. The encoder writes finite
    # numbers exactly as `values.raw` does.
    return [
        structs.Metric(
            name,
            number if number is not None and number - number == 0 else values.raw(number, text),
            step,
            f"{second_of(timestamp // 1_000_000)}.{timestamp % 1_000_000:06d}Z",
        )
        for number, text, step, timestamp, _arrival in rows
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
