"""The operations on the metrics of a run, one function each, named after its operationId."""

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


_SERIES = (
    "id, count, first_step, last_step, last_value, last_json, last_timestamp, minimum, maximum, "
    "tile_width"
)


class _Series:
    """The series row of one metric of a run, and the points that come to it in a transaction."""

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

    def add(self, asked: int | UnsetType, value: values.Stored, timestamp: int) -> int:
        """Adds one point, and gives the step that it has."""
        step = self._last + 1 if isinstance(asked, UnsetType) else asked
        if step > structs.MAX_STEP:
            raise Refusal(400, {"step": ["There is no greater step left; give one."]})
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
        """Takes the points, which are recorded, into the tiles of a long series."""
        if self._count > sampling.MAX_UNTILED_POINTS:
            self._tile_width = sampling.keep_tiles(
                connection, self._id, self._tile_width, (self._first, self._last), self.points
            )

    def row(self) -> tuple[Any, ...]:
        """What becomes of the row: its columns but for the id, and then that."""
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


def _series_of(connection: sqlite3.Connection, run: int, names: set[str]) -> dict[str, _Series]:
    """The series of these metrics, made where they are new."""
    marks = ", ".join("?" * len(names))
    query = f"SELECT name, {_SERIES} FROM series WHERE run = ? AND name IN ({marks})"  # noqa: S608
    rows = connection.execute(query, (run, *names))
    found = {row[0]: _Series(row[1:]) for row in rows}
    for name in names - found.keys():
        (number,) = connection.execute(
            "INSERT INTO series (run, name, count, first_step, last_step, last_timestamp) "
            "VALUES (?, ?, 0, 0, -1, 0) RETURNING id",
            (run, name),
        ).fetchone()
        found[name] = _Series((number, 0, 0, -1, None, None, 0, None, None, None))
    return found


def _write(connection: sqlite3.Connection, found: Iterable[_Series]) -> None:
    """Writes the points that came to these series, and their rows."""
    series = list(found)
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
        place = "" if index is None else f"[{index}].value: "
        raise Refusal(400, {field_name: [f"{place}{error}."]}) from None


def _stored_all(metrics: Sequence[structs.MetricCreate]) -> list[values.Stored]:
    numbers = values.native_numbers([metric.value for metric in metrics])
    return [
        _stored(metric.value, "metrics", index) if number is None else values.Stored(number, None)
        for index, (metric, number) in enumerate(zip(metrics, numbers, strict=True))
    ]


def log_metric(call: Call) -> Answer:
    """Records one metric."""
    metric = call.decoded(_metric_create)
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
    """Records a writer's metrics, all or none, skipping those that it has recorded before."""
    batch = call.decoded(_metric_batch)
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
            words = f"The next sequence number is {expected} and the batch starts at {first}."
            raise Refusal(409, structs.SequenceGapError(words, expected))
        fresh = points[expected - first :]
        series = _series_of(connection, run, {point[0] for point in fresh})
        for name, step, value, timestamp in fresh:
            series[name].add(step, value, timestamp)
        _write(connection, series.values())
        following = expected + len(fresh)
        connection.execute(
            "INSERT INTO writers VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET next = excluded.next",
            (run, writer, following),
        )
    return Answer(200, structs.encode(structs.MetricBatchReceipt(len(fresh), following)))


def list_metrics(call: Call) -> Answer:
    """The metrics of the run by name, then by step, then in order of arrival."""
    limit = integer_of(call, "limit", 1, _MAX_METRICS)
    after_step = integer_of(call, "after_step", 0, structs.MAX_STEP)
    name = call.word("name")
    cursor = cursor_of(call, tuple[str, int, int])
    with call.database.reading() as connection:
        run = run_of(connection, call)
        series = connection.execute(
            "SELECT name, id FROM series WHERE run = ? AND name >= ? ORDER BY name",
            (run, cursor[0] if cursor else ""),
        ).fetchall()
        metrics: list[structs.Metric] = []
        for found, identity in series:
            if name is not None and found != name:
                continue
            after = cursor[1:] if cursor and found == cursor[0] else (-1, -1)
            left = None if limit is None else limit - len(metrics)
            rows = connection.execute(
                "SELECT value, json, step, timestamp, arrival FROM points "
                "WHERE series = ? AND (step, arrival) > (?, ?) AND step > ? "
                "ORDER BY step, arrival LIMIT ?",
                (
                    identity,
                    *after,
                    -1 if after_step is None else after_step,
                    -1 if left is None else left + 1,
                ),
            ).fetchall()
            metrics += _metric_answers(found, rows[:left])
            if left is not None and len(rows) > left:
                # Where the next page starts: behind the last that is shown, or at this name.
                place = (found, rows[left - 1][2], rows[left - 1][4]) if left else (found, -1, -1)
                return Answer(200, structs.encode(metrics), [next_cursor(place)])
    return Answer(200, structs.encode(metrics))


def _metric_answers(name: str, rows: Iterable[tuple[Any, ...]]) -> list[structs.Metric]:
    # Without a call for each where there need be none: there are millions of them. A number that
    # is finite is written by the encoder as `values.raw` writes it.
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
    """One summary for each metric name of the run."""
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
