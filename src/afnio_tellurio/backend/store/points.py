"""Reads the points of a series, which are in chunks and loose rows.

The chunks of a series are in the order of its points, which is by step and arrival. Loose points
came later than all points in chunks. They are merged with the chunks while these are read.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_left
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

from afnio_tellurio.backend.store import chunks
from afnio_tellurio.backend.store.chunks import MAX_STEP, NO_POINTS, Points, joined

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The position before all points: a step and an arrival.
START = (-1, -1)


def read_blocks(
    connection: sqlite3.Connection,
    series: int,
    *,
    after: tuple[int, int] = START,
    last_step: int = MAX_STEP,
) -> Iterator[Points]:
    """Yields the points of a series in order, one chunk at a time.

    Args:
        connection: A connection in a transaction.
        series: The id of the series.
        after: The step and arrival of the point before the first one.
        last_step: The greatest step.
    """
    loose = read_loose(connection, series).sorted_by_step().after(*after).up_to(last_step)
    owner = connection.execute(
        "SELECT step, arrival FROM chunks WHERE series = ? AND (step, arrival) <= (?, ?) "
        "ORDER BY step DESC, arrival DESC LIMIT 1",
        (series, *after),
    ).fetchone()
    rows = connection.execute(
        "SELECT step, data FROM chunks "
        "WHERE series = ? AND (step, arrival) >= (?, ?) AND step <= ? ORDER BY step, arrival",
        (series, *(owner or START), last_step),
    )
    used = 0
    is_first = True
    for step, data in rows:
        block = decode(data, series, step)
        if is_first:
            block, is_first = block.after(*after), False
        if block.size and block.steps[-1] > last_step:
            block = block.up_to(last_step)
        if not block.size:
            continue
        # A loose point of the last step comes after those that the next chunk may have.
        end = bisect_left(loose.steps, block.steps[-1], used)
        if end > used:
            block = joined((block, loose.part(used, end))).sorted_by_step()
            used = end
        yield block
    if used < loose.size:
        yield loose.part(used, loose.size)


def read_loose(connection: sqlite3.Connection, series: int) -> Points:
    """Returns the loose points of a series in order of arrival."""
    rows = connection.execute(
        "SELECT arrival, form, data FROM loose WHERE series = ? ORDER BY arrival", (series,)
    ).fetchall()
    try:
        blocks = list(_decode_loose(rows))
    except ValueError as error:
        raise _damage(series, error) from error
    return joined(blocks) if blocks else NO_POINTS


def _decode_loose(rows: list[tuple[int, int, bytes]]) -> Iterator[Points]:
    # Rows follow one another without a gap.
    for form, group in groupby(rows, itemgetter(1)):
        arrivals, _forms, records = zip(*group, strict=True)
        yield chunks.decode_loose(b"".join(records), form, arrivals[0])


def decode(data: bytes, series: int, step: int) -> Points:
    """Returns the points of the chunk that starts with this step."""
    try:
        return chunks.decode(data)
    except ValueError as error:
        raise _damage(series, f"step {step}: {error}") from error


def _damage(series: int, problem: object) -> sqlite3.DatabaseError:
    return sqlite3.DatabaseError(f"points of the metric with id {series} are damaged: {problem}")


def read_points(
    connection: sqlite3.Connection,
    series: int,
    *,
    after: tuple[int, int],
    after_step: int,
    limit: int | None,
    length: int,
) -> tuple[Points, int]:
    """Returns points of a series, sorted by step and arrival, as columns.

    Args:
        connection: A connection in a transaction.
        series: The id of the series.
        after: The step and arrival of the point before the first one.
        after_step: The step before the first one.
        limit: The maximum number of points, or None.
        length: The characters of texts after which the list ends.

    Returns:
        The points, and the characters that are left: below 0 if the list ends because of them.
    """
    blocks: list[Points] = []
    remaining = MAX_STEP if limit is None else limit
    start = max(after, (after_step, MAX_STEP))
    for found in read_blocks(connection, series, after=start):
        block = found.part(0, remaining)
        if str in set(map(type, block.values)):
            end, length = _index_after(block, length)
            block = block.part(0, end)
        blocks.append(block)
        remaining -= block.size
        if remaining == 0 or length < 0:
            break
    return joined(blocks) if blocks else NO_POINTS, length


def _index_after(points: Points, length: int) -> tuple[int, int]:
    """Returns the index after the text that exceeds the length, and the length that is left."""
    for index, value in enumerate(points.values):
        if isinstance(value, str):
            length -= len(value)
            if length < 0:
                return index + 1, length
    return points.size, length


def count_points_after(connection: sqlite3.Connection, series: int, step: int) -> int:
    """Returns the number of points of a series after a step."""
    (count,) = connection.execute(
        "SELECT coalesce(sum(count), 0) FROM chunks WHERE series = ? AND step > ?", (series, step)
    ).fetchone()
    last = connection.execute(
        "SELECT step, last_step, data FROM chunks WHERE series = ? AND step <= ? "
        "ORDER BY step DESC, arrival DESC LIMIT 1",
        (series, step),
    ).fetchone()
    if last is not None and last[1] > step:
        count += decode(last[2], series, last[0]).after(step, MAX_STEP).size
    loose = read_loose(connection, series).steps
    return int(count) + sum(each > step for each in loose)
