"""Series in ranges of steps, for charts, without reading every point.

A long series is kept a second time, as tiles: what its points come to in ranges of steps. Their
width is a power of two that doubles as the series grows, so that there are never more than
`MAX_TILES`. A chart is made of tiles, and of points where it is finer than these.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

from afnio_tellurio.backend import values

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

#: A series with more points than this has tiles.
MAX_UNTILED_POINTS = 2048
#: More tiles than this are merged, two by two.
MAX_TILES = 2048

# What a range holds: its number, count, greatest step, the arrival, number, text and timestamp of
# the value there, minimum and maximum.
Range = list[Any]
_RANGE = 0


def width_of(first: int, last: int, ranges: int) -> int:
    """The smallest power of two by which steps fall into at most so many ranges."""
    width = 1
    while last // width - first // width >= ranges:
        width *= 2
    return width


def keep_tiles(
    connection: sqlite3.Connection,
    series: int,
    tile_width: int | None,
    steps: tuple[int, int],
    points: Sequence[tuple[Any, ...]],
) -> int | None:
    """Takes new points of a series, which are recorded already, into its tiles.

    Args:
        connection: In a transaction that writes.
        series: The series.
        tile_width: How wide its tiles are, or `None` where it has none yet.
        steps: Its first and last step, the new points among them.
        points: The new points.

    Returns:
        How wide its tiles are now.
    """
    width = width_of(*steps, MAX_TILES)
    if tile_width is None:
        rows = connection.execute(
            "SELECT series, step, arrival, value, json, timestamp FROM points WHERE series = ? "
            "ORDER BY step, arrival",
            (series,),
        )
        _insert(connection, series, _gathered(map(_of_point, rows), width))
    elif width > tile_width:
        held = _tiles(connection, series, 0, steps[1] // tile_width)
        connection.execute("DELETE FROM tiles WHERE series = ?", (series,))
        every = [*held, *map(_of_point, points)]
        _insert(connection, series, _gathered(every, width))
    else:
        width = tile_width
        _merge(connection, series, _gathered(map(_of_point, points), width))
    return width


def ranges_of(
    connection: sqlite3.Connection,
    series: int,
    tile_width: int | None,
    steps: tuple[int, int],
    width: int,
) -> list[Range]:
    """The ranges of so many steps that hold a value, between two steps, in order.

    A range at either end holds what lies between the steps only.
    """
    first, last = steps
    if tile_width is None or tile_width > width:
        return _gathered(map(_of_point, _points(connection, series, first, last)), width)
    # Whole tiles, and the points before and behind them.
    start, end = -(-first // tile_width), (last + 1) // tile_width
    if start >= end:
        return _gathered(map(_of_point, _points(connection, series, first, last)), width)
    found: list[Range] = []
    if first < start * tile_width:
        before = _points(connection, series, first, start * tile_width - 1)
        found += map(_of_point, before)
    found += _tiles(connection, series, start, end - 1)
    if last >= end * tile_width:
        found += map(_of_point, _points(connection, series, end * tile_width, last))
    return _gathered(found, width)


def _points(
    connection: sqlite3.Connection, series: int, first: int, last: int
) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT series, step, arrival, value, json, timestamp FROM points "
        "WHERE series = ? AND step BETWEEN ? AND ? ORDER BY step, arrival",
        (series, first, last),
    ).fetchall()


def _tiles(connection: sqlite3.Connection, series: int, first: int, last: int) -> list[Range]:
    rows = connection.execute(
        "SELECT tile, count, step, arrival, value, json, timestamp, minimum, maximum FROM tiles "
        "WHERE series = ? AND tile BETWEEN ? AND ? ORDER BY tile",
        (series, first, last),
    )
    return list(map(list, rows))


def _of_point(point: tuple[Any, ...]) -> Range:
    _series, step, arrival, number, text, timestamp = point
    low = values.Stored(number, text).comparable() if number is None else number
    return [0, 1, step, arrival, number, text, timestamp, low, low]


def _gathered(entries: Iterable[Range], width: int) -> list[Range]:
    """Points and smaller ranges, in any order, as ranges of so many steps, in order."""
    found: dict[int, Range] = {}
    for entry in entries:
        place = entry[2] // width
        held = found.get(place)
        if held is None:
            entry[0] = place
            found[place] = entry
            continue
        held[1] += entry[1]
        if entry[2] > held[2] or (entry[2] == held[2] and entry[3] > held[3]):
            held[2:7] = entry[2:7]
        low, high = entry[7], entry[8]
        if low is not None:
            if held[7] is None or low < held[7]:
                held[7] = low
            if held[8] is None or high > held[8]:
                held[8] = high
    return sorted(found.values(), key=itemgetter(_RANGE))


def _insert(connection: sqlite3.Connection, series: int, tiles: Iterable[Range]) -> None:
    connection.executemany(
        "INSERT INTO tiles VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [(series, *tile) for tile in tiles],
    )


def _merge(connection: sqlite3.Connection, series: int, tiles: Iterable[Range]) -> None:
    """Adds to tiles what came to them; what comes later has a greater arrival."""
    connection.executemany(
        "INSERT INTO tiles VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
        "count = count + excluded.count, "
        "arrival = iif(excluded.step >= step, excluded.arrival, arrival), "
        "value = iif(excluded.step >= step, excluded.value, value), "
        "json = iif(excluded.step >= step, excluded.json, json), "
        "timestamp = iif(excluded.step >= step, excluded.timestamp, timestamp), "
        "step = max(step, excluded.step), "
        "minimum = coalesce(min(minimum, excluded.minimum), minimum, excluded.minimum), "
        "maximum = coalesce(max(maximum, excluded.maximum), maximum, excluded.maximum)",
        [(series, *tile) for tile in tiles],
    )
