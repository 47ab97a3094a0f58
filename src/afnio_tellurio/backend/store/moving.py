"""Moves the points of a database of format 6 into chunks, in slices, after its upgrade to format 7.

The upgrade itself only renames their table, so that no process of an older version uses it any
more. What is moved stays moved if the process is killed. Every process that opens the database
moves what is left, also several at once, before it uses the database.
"""

from __future__ import annotations

import logging
import math
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from afnio_tellurio.backend.store.chunks import Points, encode, pieces
from afnio_tellurio.backend.store.series import build_missing_tiles
from afnio_tellurio.logs import log
from afnio_tellurio.special_numbers import add_backslashes

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

    from afnio_tellurio.backend.store.chunks import Value

#: Points that one transaction moves, and characters of their texts.
SLICE_POINTS = 50_000
SLICE_LENGTH = 16 * 2**20
#: From this number of points on, a message says that they are moved.
ANNOUNCED_POINTS = 500_000
#: Seconds that it takes to move one.
_TIME_OF_POINT = 4e-6


def is_unfinished(connection: sqlite3.Connection) -> bool:
    """Returns whether there are points, or their empty table, to move."""
    query = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'old_points'"
    (count,) = connection.execute(query).fetchone()
    return bool(count)


def announce(connection: sqlite3.Connection, path: Path) -> None:
    """Logs that points are moved if that takes long: a program seems to hang meanwhile."""
    if not is_unfinished(connection):
        return
    (count,) = connection.execute("SELECT coalesce(sum(count), 0) FROM series").fetchone()
    if count >= ANNOUNCED_POINTS:
        log(
            logging.WARNING,
            f"the database {path} is being upgraded once; moving {count:,} values takes about "
            f"{math.ceil(count * _TIME_OF_POINT)} s",
        )


def move_slice(connection: sqlite3.Connection, file_format: int) -> bool:
    """Moves the next points in a transaction of its own.

    Args:
        connection: A connection to a database of this format.
        file_format: The format; a process of a newer version may change it meanwhile.

    Returns:
        Whether there may be more to move.
    """
    if not is_unfinished(connection):
        return False
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have finished, or may be of a newer version.
        (current,) = connection.execute("PRAGMA user_version").fetchone()
        is_current: bool = current == file_format
        if is_current and is_unfinished(connection) and not _move_points(connection):
            connection.execute("DROP TABLE old_points")
            build_missing_tiles(connection)
        connection.execute("COMMIT")
    except BaseException:  # raised again: the next attempt must not start in a transaction
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return is_current


def _move_points(connection: sqlite3.Connection) -> bool:
    rows = _next_points(connection)
    if not rows:
        return False
    connection.executemany(
        "INSERT INTO chunks (series, step, arrival, last_step, count, data) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        _chunk_rows(rows),
    )
    connection.execute(
        "DELETE FROM old_points WHERE (series, step, arrival) <= (?, ?, ?)", rows[-1][:3]
    )
    return True


def _next_points(connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
    cursor = connection.execute(
        "SELECT series, step, arrival, value, json, timestamp FROM old_points "
        "ORDER BY series, step, arrival LIMIT ?",
        (SLICE_POINTS,),
    )
    rows: list[tuple[Any, ...]] = []
    length = 0
    for row in cursor:
        rows.append(row)
        length += len(row[4] or "")
        if length > SLICE_LENGTH:
            break
    cursor.close()
    return rows


def _chunk_rows(rows: list[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    for series, group in groupby(rows, itemgetter(0)):
        _series, steps, arrivals, numbers, texts, timestamps = zip(*group, strict=True)
        values = list(map(_value, numbers, texts))
        for piece in pieces(Points(steps, arrivals, values, timestamps)):
            key = piece.steps[0], piece.arrivals[0]
            yield series, *key, piece.steps[-1], piece.size, encode(piece)


def _value(number: float | None, text: str | None) -> Value:
    if number is not None:
        return number
    if text is None or text == '"NaN"':
        return math.nan
    # Formats before 7 had no backslash in front of words.
    return add_backslashes(text.encode()).decode()
