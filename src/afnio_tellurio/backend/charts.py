"""The operations for looking at metrics of one run or many, named after their operationIds."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from afnio_tellurio.backend import sampling, structs, values
from afnio_tellurio.backend.requests import (
    Answer,
    Call,
    Refusal,
    integer_of,
    project_of,
    required_word,
    rfc3339,
    run_of,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping, Sequence

_MAX_BUCKETS = 10_000
#: Runs, and metric names, of one request for samples.
_MAX_NAMED = 100
#: With more new points than this since the last answer, a series is given whole.
_MAX_NEW_POINTS = 10_000
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def sample_metric(call: Call) -> Answer:
    """Describes each range of steps that holds at least one value."""
    name = required_word(call, "name")
    buckets = _buckets(call)
    asked = _asked_steps(call)
    with call.database.reading() as connection:
        row = connection.execute(
            "SELECT id, first_step, last_step, tile_width FROM series WHERE run = ? AND name = ?",
            (run_of(connection, call), name),
        ).fetchone()
        if row is None:
            return Answer(200, b"[]")
        series, first, last, tile_width = row
        steps = _within(asked, first, last)
        width = sampling.width_of(*steps, buckets)
        found = sampling.ranges_of(connection, series, tile_width, steps, width)
    sampled = [
        structs.MetricBucket(
            max(place * width, steps[0]),
            min((place + 1) * width - 1, steps[1]),
            values.raw_number(low),
            values.raw_number(high),
            values.raw(number, text),
            count,
        )
        for place, count, _step, _arrival, number, text, _timestamp, low, high in found
    ]
    return Answer(200, structs.encode(sampled))


def list_project_metrics(call: Call) -> Answer:
    """Each metric name of the project's runs, by name."""
    _refuse_many(call, "run")
    with call.database.reading() as connection:
        rows = _series_rows(
            connection,
            call,
            "s.name, count(*), max(s.minimum IS NOT NULL), max(s.last_timestamp)",
            "GROUP BY s.name ORDER BY s.name",
        ).fetchall()
    found = [
        structs.ProjectMetric(name, runs, bool(is_numeric), rfc3339(timestamp))
        for name, runs, is_numeric, timestamp in rows
    ]
    return Answer(200, structs.encode(found))


def summarize_project_metrics(call: Call) -> Answer:
    """For each metric, its summaries in the runs that have it, as columns."""
    with call.database.reading() as connection:
        rows = _series_rows(
            connection,
            call,
            "s.name, r.uuid, s.count, s.first_step, s.last_step, s.last_value, s.last_json, "
            "s.minimum, s.maximum, s.last_timestamp",
        ).fetchall()
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
    return Answer(200, structs.encode(list(columns.values())))


class _Series(NamedTuple):
    """A series that is asked for."""

    id: int
    run: str
    name: str
    points: int
    first: int
    last: int
    tile_width: int | None


class _Wanted(NamedTuple):
    """How finely series are asked for, and between which steps."""

    buckets: int
    first: int | None
    last: int | None

    def steps_of(self, series: _Series) -> tuple[int, int]:
        return _within((self.first, self.last), series.first, series.last)


class _Known(NamedTuple):
    """What an earlier answer told of a series."""

    points: int
    last: int
    width: int


def sample_project_metrics(call: Call) -> Answer:
    """Metrics of several runs in ranges of steps, or what has changed of them."""
    for name in ("run", "name"):
        required_word(call, name)
        _refuse_many(call, name)
    wanted = _Wanted(_buckets(call), *_asked_steps(call))
    known = _known(call)
    columns = "s.id, r.uuid, s.name, s.count, s.first_step, s.last_step, s.tile_width"
    with call.database.reading() as connection:
        every = list(map(_Series._make, _series_rows(connection, call, columns)))
        if known is None:
            return _samples(connection, every, {}, wanted)
        if not call.pace.allows():
            # As if nothing had changed yet.
            return _answered(known, [])
        with call.pace.spending():
            return _samples(connection, every, known, wanted)


def _samples(
    connection: sqlite3.Connection,
    every: Iterable[_Series],
    known: Mapping[str, _Known],
    wanted: _Wanted,
) -> Answer:
    found: list[structs.SampledSeries] = []
    told: dict[str, _Known] = {}
    for series in every:
        before = known.get(str(series.id))
        if before is not None and before.points == series.points:
            told[str(series.id)] = before
            continue
        steps = wanted.steps_of(series)
        start, width = _changed(connection, series, before, steps, wanted.buckets)
        ranges = sampling.ranges_of(
            connection, series.id, series.tile_width, (max(start, steps[0]), steps[1]), width
        )
        told[str(series.id)] = _Known(series.points, series.last, width)
        found.append(_sampled(series, ranges, width, start))
    return _answered(told, found)


def _answered(told: Mapping[str, _Known], found: list[structs.SampledSeries]) -> Answer:
    cursor = base64.urlsafe_b64encode(structs.encode(told)).decode("ascii")
    return Answer(200, structs.encode(structs.MetricSamples(cursor, found)))


def _changed(
    connection: sqlite3.Connection,
    series: _Series,
    before: _Known | None,
    steps: tuple[int, int],
    buckets: int,
) -> tuple[int, int]:
    """The step from which a series is given anew, and the width of its ranges."""
    first, last = steps
    if before is None or last // before.width - first // before.width >= 2 * buckets:
        return 0, sampling.width_of(first, last, buckets)
    grown = series.points - before.points
    if 0 < grown <= _MAX_NEW_POINTS:
        (behind,) = connection.execute(
            "SELECT count(*) FROM points WHERE series = ? AND step > ?", (series.id, before.last)
        ).fetchone()
        if behind == grown:
            return before.last // before.width * before.width, before.width
    # Some came in between.
    return 0, sampling.width_of(first, last, buckets)


def _sampled(
    series: _Series, ranges: Iterable[sampling.Range], width: int, start: int
) -> structs.SampledSeries:
    sampled = structs.SampledSeries(series.run, series.name, width, start, *_lists(6))
    for _place, count, step, _arrival, number, text, timestamp, low, high in ranges:
        sampled.step.append(step)
        sampled.timestamp.append(timestamp / 1_000_000)
        sampled.minimum.append(_encodable(low))
        sampled.maximum.append(_encodable(high))
        sampled.last.append(_number(number, text))
        sampled.count.append(count)
    return sampled


def _series_rows(
    connection: sqlite3.Connection, call: Call, columns: str, order: str = "ORDER BY s.name, r.id"
) -> sqlite3.Cursor:
    """The series of the runs and the metric names that a request names, or of all."""
    names, runs = call.words("name"), [run.lower() for run in call.words("run")]
    for run in runs:
        if not _UUID.fullmatch(run):
            raise Refusal(400, {"run": [f'"{run}" is not a UUID.']})
    conditions = [
        f"{column} IN ({', '.join('?' * len(words))})"
        for column, words in (("s.name", names), ("r.uuid", runs))
        if words
    ]
    where = " AND ".join(["r.project = ?", *conditions])
    return connection.execute(
        f"SELECT {columns} FROM runs r JOIN series s ON s.run = r.id "  # noqa: S608 - marks only
        f"WHERE {where} {order}",
        (project_of(connection, call), *names, *runs),
    )


def _refuse_many(call: Call, name: str) -> None:
    # Those that are the same count too.
    if sum(key == name for key, _word in call.query) > _MAX_NAMED:
        raise Refusal(400, {name: [f"Give at most {_MAX_NAMED}."]})


def _known(call: Call) -> dict[str, _Known] | None:
    """What the cursor tells, where there is one."""
    word = call.word("cursor")
    if word is None:
        return None
    try:
        known = msgspec.json.decode(base64.urlsafe_b64decode(word), type=dict[str, _Known])
    except (binascii.Error, msgspec.DecodeError, ValueError):
        known = None
    if known is None or not all(_is_power_of_two(one.width) for one in known.values()):
        raise Refusal(400, {"cursor": [f'"{word[:100]}" is no cursor of these metrics.']})
    return known


def _is_power_of_two(width: int) -> bool:
    return width > 0 and width & (width - 1) == 0


def _buckets(call: Call) -> int:
    required_word(call, "buckets")
    return integer_of(call, "buckets", 1, _MAX_BUCKETS) or 1


def _asked_steps(call: Call) -> tuple[int | None, int | None]:
    return (
        integer_of(call, "from_step", 0, structs.MAX_STEP),
        integer_of(call, "to_step", 0, structs.MAX_STEP),
    )


def _within(asked: Sequence[int | None], first: int, last: int) -> tuple[int, int]:
    start, end = asked
    return first if start is None else start, last if end is None else end


def _lists(count: int) -> list[list[Any]]:
    return [[] for _ in range(count)]


def _encodable(number: float | None) -> Any:
    """A number, or none, for the encoder, which writes the infinities as null."""
    return number if number is None or number - number == 0 else values.raw_number(number)


def _number(number: float | None, text: str | None) -> Any:
    if text is None:
        return _encodable(number)
    if text == '"NaN"':
        return "NaN"
    return values.Stored(None, text).comparable()
