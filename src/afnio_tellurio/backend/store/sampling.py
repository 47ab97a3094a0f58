"""Samples series in ranges of steps, for charts, without reading every point.

A long series is also stored as tiles: summaries of its points in ranges of steps. The width of
the tiles is a power of two that doubles as the series grows, so that a series never has more than
`MAX_TILES`. A chart is made of tiles, or of points where it needs finer ranges.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

from afnio_tellurio.backend.store import values

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

#: A series with more points than this has tiles.
MAX_UNTILED_POINTS = 2048
#: If a series would have more tiles than this, they are merged in pairs.
MAX_TILES = 2048

# A range: its index, count and greatest step; arrival, number, text and timestamp of the value at
# that step; minimum and maximum.
Range = list[Any]
_INDEX = 0


def width_of(first: int, last: int, ranges: int) -> int:
    """Returns the smallest power of two that splits the steps into up to `ranges` ranges."""
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
    """Adds new points of a series, which are already inserted, to its tiles.

    Args:
        connection: A connection in a write transaction.
        series: The id of the series.
        tile_width: The width of its tiles, or None if it has no tiles yet.
        steps: Its first and last step, including the new points.
        points: The new points.

    Returns:
        The new width of its tiles.
    """
    width = width_of(*steps, MAX_TILES)
    if tile_width is None:
        rows = connection.execute(
            "SELECT series, step, arrival, value, json, timestamp FROM points WHERE series = ? "
            "ORDER BY step, arrival",
            (series,),
        )
        _insert(connection, series, _gather(map(_range_of_point, rows), width))
    elif width > tile_width:
        tiles = _tiles(connection, series, 0, steps[1] // tile_width)
        connection.execute("DELETE FROM tiles WHERE series = ?", (series,))
        _insert(connection, series, _gather([*tiles, *map(_range_of_point, points)], width))
    else:
        width = tile_width
        _merge(connection, series, _gather(map(_range_of_point, points), width))
    return width


def ranges_of(
    connection: sqlite3.Connection,
    series: int,
    tile_width: int | None,
    steps: tuple[int, int],
    width: int,
) -> list[Range]:
    """Returns the ranges of `width` steps that contain a value, in order.

    The first and the last range contain only values between the two steps.
    """
    first, last = steps
    if tile_width is None or tile_width > width:
        return _gather(_points(connection, series, first, last), width)
    # Complete tiles, and the points before and after them.
    start, end = -(-first // tile_width), (last + 1) // tile_width
    if start >= end:
        return _gather(_points(connection, series, first, last), width)
    ranges: list[Range] = []
    if first < start * tile_width:
        ranges += _points(connection, series, first, start * tile_width - 1)
    ranges += _tiles(connection, series, start, end - 1)
    if last >= end * tile_width:
        ranges += _points(connection, series, end * tile_width, last)
    return _gather(ranges, width)


def _points(connection: sqlite3.Connection, series: int, first: int, last: int) -> Iterable[Range]:
    rows = connection.execute(
        "SELECT series, step, arrival, value, json, timestamp FROM points "
        "WHERE series = ? AND step BETWEEN ? AND ? ORDER BY step, arrival",
        (series, first, last),
    ).fetchall()
    return map(_range_of_point, rows)


def _tiles(connection: sqlite3.Connection, series: int, first: int, last: int) -> list[Range]:
    rows = connection.execute(
        "SELECT tile, count, step, arrival, value, json, timestamp, minimum, maximum FROM tiles "
        "WHERE series = ? AND tile BETWEEN ? AND ? ORDER BY tile",
        (series, first, last),
    )
    return list(map(list, rows))


def _range_of_point(point: tuple[Any, ...]) -> Range:
    _series, step, arrival, number, text, timestamp = point
    low = values.Stored(number, text).comparable() if number is None else number
    return [0, 1, step, arrival, number, text, timestamp, low, low]


def _gather(entries: Iterable[Range], width: int) -> list[Range]:
    """Merges points and smaller ranges, in any order, into ranges of `width` steps, in order."""
    ranges: dict[int, Range] = {}
    for entry in entries:
        index = entry[2] // width
        merged = ranges.get(index)
        if merged is None:
            entry[0] = index
            ranges[index] = entry
            continue
        merged[1] += entry[1]
        if entry[2] > merged[2] or (entry[2] == merged[2] and entry[3] > merged[3]):
            merged[2:7] = entry[2:7]
        low, high = entry[7], entry[8]
        if low is not None:
            if merged[7] is None or low < merged[7]:
                merged[7] = low
            if merged[8] is None or high > merged[8]:
                merged[8] = high
    return sorted(ranges.values(), key=itemgetter(_INDEX))


def _insert(connection: sqlite3.Connection, series: int, tiles: Iterable[Range]) -> None:
    connection.executemany(
        "INSERT INTO tiles VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [(series, *tile) for tile in tiles],
    )


def _merge(connection: sqlite3.Connection, series: int, tiles: Iterable[Range]) -> None:
    """Merges ranges into the stored tiles; new points always have a greater arrival."""
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
