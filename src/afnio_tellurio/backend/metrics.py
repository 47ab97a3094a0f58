"""The operations on the metrics of a run: one function per operationId, named after it."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, UnsetType

from afnio_tellurio.backend import sampling, structs, values
from afnio_tellurio.backend.requests import (
    Answer,
    Call,
    Refusal,
    current_time,
    cursor_of,
    integer_of,
    microseconds_of,
    next_cursor,
    rfc3339,
    run_of,
    second_of,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

_MAX_METRICS = 10_000

_metric_create = msgspec.json.Decoder(structs.MetricCreate)
_metric_batch = msgspec.json.Decoder(structs.MetricBatch)


_SERIES_COLUMNS = (
    "id, count, first_step, last_step, last_value, last_json, last_timestamp, minimum, maximum, "
    "tile_width"
)


class _SeriesWriter:
    """The row of one series, and the points that a transaction adds to it."""

    def __init__(self, row: tuple[Any, ...]) -> None:
        self.points: list[tuple[Any, ...]] = []
        self._id: int = row[0]
        self._count: int = row[1]
        self._first: int = row[2]
        self._last: int = row[3]
        self._last_point: tuple[Any, ...] = row[4:7]
        self._low: float | None = row[7]
        self._high: float | None = row[8]
        self._tile_width: int | None = row[9]

    def add(self, wanted_step: int | UnsetType, value: values.Stored, timestamp: int) -> int:
        """Adds one point and returns its step."""
        step = self._last + 1 if isinstance(wanted_step, UnsetType) else wanted_step
        if step > structs.MAX_STEP:
            raise Refusal(400, {"step": ["The last step is the maximum; pass a step."]})
        number, text = value.number, value.text
        self.points.append((self._id, step, self._count, number, text, timestamp))
        if step >= self._last:
            self._last = step
            self._last_point = (number, text, timestamp)
        if self._count == 0 or step < self._first:
            self._first = step
        self._count += 1
        if number is None:
            number = value.comparable()
            if number is None:
                return step
        if self._low is None or number < self._low:
            self._low = number
        if self._high is None or number > self._high:
            self._high = number
        return step

    def keep_tiles(self, connection: sqlite3.Connection) -> None:
        """Adds the points, which are already inserted, to the tiles of a long series."""
        if self._count > sampling.MAX_UNTILED_POINTS:
            self._tile_width = sampling.keep_tiles(
                connection, self._id, self._tile_width, (self._first, self._last), self.points
            )

    def row(self) -> tuple[Any, ...]:
        """Returns the new values of the columns; the id comes last."""
        return (
            self._count,
            self._first,
            self._last,
            *self._last_point,
            self._low,
            self._high,
            self._tile_width,
            self._id,
        )


def _series_of(
    connection: sqlite3.Connection, run: int, names: set[str]
) -> dict[str, _SeriesWriter]:
    """Returns the series of these metrics; new ones are created."""
    marks = ", ".join("?" * len(names))
    query = f"SELECT name, {_SERIES_COLUMNS} FROM series WHERE run = ? AND name IN ({marks})"  # noqa: S608
    rows = connection.execute(query, (run, *names))
    series = {row[0]: _SeriesWriter(row[1:]) for row in rows}
    for name in names - series.keys():
        (identity,) = connection.execute(
            "INSERT INTO series (run, name, count, first_step, last_step, last_timestamp) "
            "VALUES (?, ?, 0, 0, -1, 0) RETURNING id",
            (run, name),
        ).fetchone()
        series[name] = _SeriesWriter((identity, 0, 0, -1, None, None, 0, None, None, None))
    return series


def _write(connection: sqlite3.Connection, series: Sequence[_SeriesWriter]) -> None:
    """Writes the new points of these series, and their rows."""
    connection.executemany(
        "INSERT INTO points VALUES (?, ?, ?, ?, ?, ?)",
        itertools.chain.from_iterable(each.points for each in series),
    )
    for each in series:
        each.keep_tiles(connection)
    connection.executemany(
        "UPDATE series SET count = ?, first_step = ?, last_step = ?, last_value = ?, "
        "last_json = ?, last_timestamp = ?, minimum = ?, maximum = ?, tile_width = ? WHERE id = ?",
        [each.row() for each in series],
    )


def _stored(raw: msgspec.Raw, field_name: str, index: int | None = None) -> values.Stored:
    try:
        return values.stored(raw)
    except (ValueError, RecursionError) as error:
        location = "" if index is None else f"[{index}].value: "
        raise Refusal(400, {field_name: [f"{location}{error}."]}) from None


def _stored_all(metrics: Sequence[structs.MetricCreate]) -> list[values.Stored]:
    numbers = values.native_numbers([metric.value for metric in metrics])
    return [
        _stored(metric.value, "metrics", index) if number is None else values.Stored(number, None)
        for index, (metric, number) in enumerate(zip(metrics, numbers, strict=True))
    ]


def log_metric(call: Call) -> Answer:
    """Records one metric."""
    metric = call.decode_body(_metric_create)
    value = _stored(metric.value, "value")
    timestamp = current_time() if metric.timestamp is UNSET else microseconds_of(metric.timestamp)
    with call.database.writing() as connection:
        series = _series_of(connection, run_of(connection, call), {metric.name})[metric.name]
        step = series.add(metric.step, value, timestamp)
        _write(connection, [series])
    recorded = structs.Metric(
        metric.name, values.raw(value.number, value.text), step, rfc3339(timestamp)
    )
    return Answer(201, structs.encode(recorded))


def log_metric_batch(call: Call) -> Answer:
    """Records a writer's metrics, all or none; skips those that were recorded before."""
    batch = call.decode_body(_metric_batch)
    now = current_time()
    points = [
        (
            metric.name,
            metric.step,
            value,
            now if metric.timestamp is UNSET else microseconds_of(metric.timestamp),
        )
        for metric, value in zip(batch.metrics, _stored_all(batch.metrics), strict=True)
    ]
    writer, first = str(batch.writer), batch.first_sequence_number
    with call.database.writing() as connection:
        run = run_of(connection, call)
        row = connection.execute(
            "SELECT next FROM writers WHERE run = ? AND writer = ?", (run, writer)
        ).fetchone()
        expected: int = row[0] if row else 0
        if first > expected:
            detail = f"The next sequence number is {expected} and the batch starts at {first}."
            raise Refusal(409, structs.SequenceGapError(detail, expected))
        new_points = points[expected - first :]
        series = _series_of(connection, run, {point[0] for point in new_points})
        for name, step, value, timestamp in new_points:
            series[name].add(step, value, timestamp)
        _write(connection, list(series.values()))
        next_number = expected + len(new_points)
        connection.execute(
            "INSERT INTO writers VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET next = excluded.next",
            (run, writer, next_number),
        )
    return Answer(200, structs.encode(structs.MetricBatchReceipt(len(new_points), next_number)))


def list_metrics(call: Call) -> Answer:
    """Returns the metrics of the run, sorted by name, step and order of arrival."""
    limit = integer_of(call, "limit", 1, _MAX_METRICS)
    after_step = integer_of(call, "after_step", 0, structs.MAX_STEP)
    name = call.parameter("name")
    cursor = cursor_of(call, tuple[str, int, int])
    with call.database.reading() as connection:
        run = run_of(connection, call)
        series = connection.execute(
            "SELECT name, id FROM series WHERE run = ? AND name >= ? ORDER BY name",
            (run, cursor[0] if cursor else ""),
        ).fetchall()
        metrics: list[structs.Metric] = []
        for series_name, identity in series:
            if name is not None and series_name != name:
                continue
            after = cursor[1:] if cursor and series_name == cursor[0] else (-1, -1)
            remaining = None if limit is None else limit - len(metrics)
            rows = connection.execute(
                "SELECT value, json, step, timestamp, arrival FROM points "
                "WHERE series = ? AND (step, arrival) > (?, ?) AND step > ? "
                "ORDER BY step, arrival LIMIT ?",
                (
                    identity,
                    *after,
                    -1 if after_step is None else after_step,
                    -1 if remaining is None else remaining + 1,
                ),
            ).fetchall()
            metrics += _metric_answers(series_name, rows[:remaining])
            if remaining is not None and len(rows) > remaining:
                # The next page starts after the last row of this one, or with this series.
                *_value, step, _timestamp, arrival = rows[remaining - 1]
                position = (series_name, step, arrival) if remaining else (series_name, -1, -1)
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
        rows = connection.execute(
            "SELECT name, count, first_step, last_step, last_value, last_json, minimum, maximum, "
            "last_timestamp FROM series WHERE run = ? ORDER BY name",
            (run_of(connection, call),),
        ).fetchall()
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
