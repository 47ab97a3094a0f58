"""Samples series in ranges of steps, for charts, without reading every point.

A long series is also stored as tiles: summaries of its points in ranges of steps. Its finest tiles
hold some `FANOUT` points each. Above them are tiles of `FANOUT` times the width, and so on, until
few tiles cover the series. A range of a chart is made of the widest tiles that fit into it, and of
finer tiles and points at its ends, so what is read depends on the number of ranges only.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from afnio_tellurio.backend.store.chunks import MAX_STEP
from afnio_tellurio.backend.store.points import read_blocks
from afnio_tellurio.backend.store.values import bounds_of, number_and_text

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence

    from afnio_tellurio.backend.store.chunks import Points

#: A series with more points than this has tiles.
MAX_UNTILED_POINTS = 2048
#: Points in one of the finest tiles, and tiles in one of the next width.
FANOUT = 16
#: The number of bits of a step.
_STEP_BITS = 63

# A range: its index, count and greatest step; arrival, number, text and timestamp of the value at
# that step; minimum and maximum.
Range = list[Any]


class Extent(NamedTuple):
    """What is known of a series without reading its points or tiles.

    Attributes:
        series: Its id.
        points: The number of its points.
        tile_width: The width of its finest tiles, or None if it has no tiles.
        first: Its first step.
        last: Its last step.
    """

    series: int
    points: int
    tile_width: int | None
    first: int
    last: int

    def widths(self) -> list[int]:
        """Returns the widths of its tiles, the finest first."""
        if self.tile_width is None:
            return []
        return _widths(self.tile_width, self.first, self.last)


def _widths(tile_width: int, first: int, last: int) -> list[int]:
    widths = [tile_width]
    while last // widths[-1] - first // widths[-1] >= FANOUT:
        widths.append(widths[-1] * FANOUT)
    return widths


# Writing


def keep_tiles(
    connection: sqlite3.Connection,
    before: Extent,
    steps: tuple[int, int],
    points: Points,
) -> int:
    """Adds new points of a series, which are already written, to its tiles.

    Args:
        connection: A connection in a write transaction.
        before: The series without the new points.
        steps: Its first and last step, including the new points.
        points: The new points, sorted by step.

    Returns:
        The width of its finest tiles.
    """
    series, tile_width = before.series, before.tile_width
    if tile_width is None or not has_whole_tiles(connection, before):
        return build_tiles(connection, series, steps)
    stored_widths = before.widths()
    changed = list(_ranges_of_points(points, tile_width))
    for width in _widths(tile_width, *steps):
        if width not in stored_widths:
            _build_level(connection, series, width)
            continue
        changed = list(_gather(changed, width))
        _merge(connection, series, width, changed)
    return tile_width


def build_tiles(connection: sqlite3.Connection, series: int, steps: tuple[int, int]) -> int:
    """Stores all tiles of a series, and returns the width of the finest ones."""
    connection.execute("DELETE FROM tiles WHERE series = ?", (series,))
    tile_width = _finest_width(connection, series)
    points = _points(connection, series, *steps, tile_width)
    _insert(connection, series, tile_width, _gather(points, tile_width))
    for width in _widths(tile_width, *steps)[1:]:
        _build_level(connection, series, width)
    return tile_width


def _finest_width(connection: sqlite3.Connection, series: int) -> int:
    """Returns the smallest power of two for tiles that hold `FANOUT` points on average."""
    points = 0
    # Two steps are in the same tile of width 2**k if they differ in their last k bits only.
    lengths: Counter[int] = Counter()
    last = None
    for block in read_blocks(connection, series):
        points += block.size
        steps = block.steps
        if last is not None:
            lengths[(last ^ steps[0]).bit_length()] += 1
        last = steps[-1]
        differences = map(int.__xor__, steps, itertools.islice(steps, 1, None))
        lengths.update(map(int.bit_length, differences))
    power = _STEP_BITS - 1
    # Tiles beside the first one.
    tiles = lengths[_STEP_BITS]
    while power > 0 and (tiles + lengths[power]) * FANOUT <= points:
        tiles += lengths[power]
        power -= 1
    return 1 << power


def _build_level(connection: sqlite3.Connection, series: int, width: int) -> None:
    """Stores the tiles of this width, made of those of the next smaller width."""
    finer = connection.execute(
        f"SELECT {_TILE} FROM tiles WHERE series = ? AND width = ? ORDER BY tile",  # noqa: S608
        (series, width // FANOUT),
    )
    _insert(connection, series, width, _gather(map(list, finer), width))


def _insert(
    connection: sqlite3.Connection, series: int, width: int, tiles: Iterable[Range]
) -> None:
    connection.executemany(
        "INSERT INTO tiles VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        ((series, width, *tile) for tile in tiles),
    )


#: The columns of the point with the greatest step; of several, the one that arrived last.
_LATER_COLUMNS = ", ".join(
    f"{column} = CASE WHEN excluded.step >= tiles.step "
    f"THEN excluded.{column} ELSE tiles.{column} END"
    for column in ("step", "arrival", "value", "json", "timestamp")
)


def _merge(connection: sqlite3.Connection, series: int, width: int, tiles: Iterable[Range]) -> None:
    """Merges ranges into the stored tiles; new points always have a greater arrival."""
    connection.executemany(
        "INSERT INTO tiles VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "  # noqa: S608 - constant names
        "ON CONFLICT (series, width, tile) DO UPDATE SET "
        f"count = tiles.count + excluded.count, {_LATER_COLUMNS}, "
        "minimum = CASE WHEN tiles.minimum IS NULL OR excluded.minimum < tiles.minimum "
        "THEN excluded.minimum ELSE tiles.minimum END, "
        "maximum = CASE WHEN tiles.maximum IS NULL OR excluded.maximum > tiles.maximum "
        "THEN excluded.maximum ELSE tiles.maximum END",
        [(series, width, *tile) for tile in tiles],
    )


# Reading


def has_whole_tiles(connection: sqlite3.Connection, extent: Extent) -> bool:
    """Returns whether the tiles of a series hold all of its points; a short series needs none.

    They do not after a process of an early version, which knows no tiles and does not check the
    format, wrote to the database that a newer one had upgraded.
    """
    widths = extent.widths()
    if not widths:
        return extent.points <= MAX_UNTILED_POINTS
    # Few tiles have the greatest width, and each point is in one of them.
    (count,) = connection.execute(
        "SELECT sum(count) FROM tiles WHERE series = ? AND width = ?", (extent.series, widths[-1])
    ).fetchone()
    return bool(count == extent.points)


def width_for(
    connection: sqlite3.Connection, extent: Extent, steps: tuple[int, int], ranges: int
) -> int:
    """Returns a power of two so that up to `ranges` ranges contain a value between the two steps.

    It is the smallest one, so that a few outlying steps don't hide the others in a single range. A
    series whose values came closer together after its first ones may get a greater one: finding
    the smallest would take too long.
    """
    first, last = steps
    most = max(ranges * FANOUT, MAX_UNTILED_POINTS)
    unit = 1
    indexes: list[int] | None = None
    for width in reversed(extent.widths()):
        indexes, unit = _occupied(connection, extent.series, width, steps, most), width
        if len(indexes) > ranges:
            break
    else:
        if unit > 1 or indexes is None:
            # All of them if there are no tiles: those that the series had were stale.
            limit = None if extent.tile_width is None else most + 1
            occupied = _occupied_steps(connection, extent.series, first, last, limit)
            if len(occupied) <= most or extent.tile_width is None:
                indexes, unit = occupied, 1
    assert indexes is not None
    while len(indexes) > ranges:
        unit *= 2
        indexes = [index for index, _ in itertools.groupby(indexes, lambda index: index // 2)]
    return unit


def _occupied(
    connection: sqlite3.Connection, series: int, width: int, steps: tuple[int, int], most: int
) -> list[int]:
    """Returns the indexes of the first tiles of this width that are between the steps."""
    rows = connection.execute(
        "SELECT tile FROM tiles WHERE series = ? AND width = ? AND tile BETWEEN ? AND ? "
        "ORDER BY tile LIMIT ?",
        (series, width, steps[0] // width, steps[1] // width, most),
    )
    return [tile for (tile,) in rows]


def _occupied_steps(
    connection: sqlite3.Connection, series: int, first: int, last: int, limit: int | None
) -> list[int]:
    found: dict[int, None] = {}
    for block in read_blocks(connection, series, after=(first - 1, MAX_STEP), last_step=last):
        found.update(dict.fromkeys(block.steps))
        if limit is not None and len(found) >= limit:
            break
    return list(found)[:limit]


def ranges_of(
    connection: sqlite3.Connection, extent: Extent, steps: tuple[int, int], width: int
) -> list[Range]:
    """Returns the ranges of `width` steps that contain a value, in order.

    The first and the last range contain only values between the two steps.
    """
    widths = [tile_width for tile_width in extent.widths() if tile_width <= width]
    entries = _entries(connection, extent.series, [width, *widths], *steps)
    return list(_gather(entries, width))


def _entries(
    connection: sqlite3.Connection, series: int, widths: Sequence[int], first: int, last: int
) -> Iterator[Range]:
    """Yields complete tiles, the widest possible, and at both ends ranges of points.

    Args:
        connection: A connection in a transaction.
        series: The id of the series.
        widths: The width of the ranges of points, and those of the tiles.
        first: The first step.
        last: The last step.
    """
    if len(widths) == 1:
        yield from _points(connection, series, first, last, widths[0])
        return
    *finer, width = widths
    start, end = -(-first // width), (last + 1) // width
    if start >= end:
        yield from _entries(connection, series, finer, first, last)
        return
    if first < start * width:
        yield from _entries(connection, series, finer, first, start * width - 1)
    tiles = connection.execute(
        f"SELECT {_TILE} FROM tiles WHERE series = ? AND width = ? AND tile BETWEEN ? AND ? "  # noqa: S608
        "ORDER BY tile",
        (series, width, start, end - 1),
    )
    yield from map(list, tiles)
    if last >= end * width:
        yield from _entries(connection, series, finer, end * width, last)


#: The columns of a tile that make a range.
_TILE = "tile, count, step, arrival, value, json, timestamp, minimum, maximum"


def _points(
    connection: sqlite3.Connection, series: int, first: int, last: int, width: int
) -> Iterator[Range]:
    """Yields ranges of points in order; one of `width` steps may be several, one after another."""
    for block in read_blocks(connection, series, after=(first - 1, MAX_STEP), last_step=last):
        yield from _ranges_of_points(block, width)


def _ranges_of_points(points: Points, width: int) -> Iterator[Range]:
    """Yields the ranges of `width` steps of sorted points."""
    steps, arrivals, values, timestamps = points
    start = 0
    while start < len(steps):
        index = steps[start] // width
        end = bisect_left(steps, (index + 1) * width, start)
        last = end - 1
        low, high = bounds_of(values[start:end])
        yield [
            index,
            end - start,
            steps[last],
            arrivals[last],
            *number_and_text(values[last]),
            timestamps[last],
            low,
            high,
        ]
        start = end


def _gather(entries: Iterable[Range], width: int) -> Iterator[Range]:
    """Merges ranges, in order of their steps, into ranges of `width` steps."""
    merged: Range | None = None
    for entry in entries:
        index = entry[2] // width
        if merged is None or merged[0] != index:
            if merged is not None:
                yield merged
            entry[0] = index
            merged = entry
            continue
        merged[1] += entry[1]
        merged[2:7] = entry[2:7]
        low, high = entry[7], entry[8]
        if low is not None:
            if merged[7] is None or low < merged[7]:
                merged[7] = low
            if merged[8] is None or high > merged[8]:
                merged[8] = high
    if merged is not None:
        yield merged
