"""Writes points: into chunks, which stay in order, or as loose points, which are merged later.

Few points of a series in a batch are added to its loose rows, since chunks of few points are slow
to read. So are points with earlier steps than those in chunks: for each, its chunk would be written
again.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_left
from typing import TYPE_CHECKING, Any, NamedTuple

from afnio_tellurio.backend.store import chunks
from afnio_tellurio.backend.store.chunks import ANY, NUMBERS, joined, pieces
from afnio_tellurio.backend.store.points import decode, read_loose

if TYPE_CHECKING:
    from afnio_tellurio.backend.store.chunks import Points

#: Loose points of a series that become chunks, and points of one batch that do at once.
LOOSE_POINTS = 128
CHUNK_AT_ONCE = 64
#: If loose points come before points in chunks, more of them are merged at once, since it takes as
#: long as writing all chunks that they belong to: this fraction of the series, up to a maximum,
#: which is smaller for texts, since they are held in memory.
LATE_FRACTION = 8
MAX_LATE_POINTS = {NUMBERS: 65_536, ANY: 1024}
#: Characters of texts in a batch that become chunks at once.
LOOSE_LENGTH = 16 * 1024
#: Rows of chunks that are written at once.
_CHUNK_ROWS = 32


class Layout(NamedTuple):
    """Where the points of a series are.

    Attributes:
        chunked: The number of its points in chunks; they arrived before the loose ones.
        chunked_step: The greatest step in chunks; -1 without chunks.
        loose_step: The least step of the loose points, or None without.
    """

    chunked: int
    chunked_step: int
    loose_step: int | None


class Packer:
    """Writes points of many series in one transaction.

    Args:
        connection: A connection in a write transaction.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._new_chunks: list[tuple[Any, ...]] = []
        self._new_loose: list[tuple[Any, ...]] = []
        self._merged: list[tuple[int]] = []

    def add(self, series: int, layout: Layout, points: Points, ordered: Points) -> Layout:
        """Adds points to a series, which `write` writes.

        Args:
            series: The id of the series.
            layout: Where its points are.
            points: The new points, in order of arrival.
            ordered: The same points, sorted by step.

        Returns:
            Where its points are with the new ones.
        """
        chunked, chunked_step, loose_step = layout
        arrival, first = points.arrivals[0], ordered.steps[0]
        if loose_step is None or first < loose_step:
            loose_step = first
        form = chunks.form_of(points.values)
        is_late = loose_step < chunked_step
        if not _must_merge(arrival - chunked, points, form, is_late=is_late):
            data = chunks.encode_loose(points, form)
            self._new_loose.append((series, arrival, points.size, form, data))
            return Layout(chunked, chunked_step, loose_step)
        if arrival > chunked:
            ordered = joined((read_loose(self._connection, series), points)).sorted_by_step()
            self._merged.append((series,))
        last = ordered.steps[-1]
        if is_late:
            ordered = self._merge_late(series, chunked_step, ordered)
        self._add_chunks(series, ordered)
        return Layout(arrival + points.size, max(chunked_step, last), None)

    def _merge_late(self, series: int, chunked_step: int, points: Points) -> Points:
        """Merges sorted points with the chunks; returns those that come after all chunks."""
        end = bisect_left(points.steps, chunked_step)
        late, after = points.part(0, end), points.part(end, points.size)
        while late.size:
            step, arrival, data, next_step = self._chunk_of(series, late.steps[0])
            end = late.size if next_step is None else bisect_left(late.steps, next_step)
            chunk = decode(data, series, step)
            self._connection.execute(
                "DELETE FROM chunks WHERE series = ? AND step = ? AND arrival = ?",
                (series, step, arrival),
            )
            self._add_chunks(series, joined((chunk, late.part(0, end))).sorted_by_step())
            late = late.part(end, late.size)
        return after

    def _chunk_of(self, series: int, step: int) -> tuple[int, int, bytes, int | None]:
        """Returns the chunk that a late point belongs to, and the first step of the next one."""
        # A late point comes after all points of the same step.
        row = self._connection.execute(
            "SELECT step, arrival, data FROM chunks WHERE series = ? AND step <= ? "
            "ORDER BY step DESC, arrival DESC LIMIT 1",
            (series, step),
        ).fetchone()
        if row is None:
            row = self._connection.execute(
                "SELECT step, arrival, data FROM chunks WHERE series = ? "
                "ORDER BY step, arrival LIMIT 1",
                (series,),
            ).fetchone()
            if row is None:
                raise sqlite3.DatabaseError(
                    f"the chunks of the metric with id {series} are missing"
                )
        following = self._connection.execute(
            "SELECT step FROM chunks WHERE series = ? AND (step, arrival) > (?, ?) "
            "ORDER BY step, arrival LIMIT 1",
            (series, row[0], row[1]),
        ).fetchone()
        return (*row, following[0] if following else None)

    def _add_chunks(self, series: int, points: Points) -> None:
        if not points.size:
            return
        self._new_chunks += (chunk_row(series, piece) for piece in pieces(points))
        if len(self._new_chunks) >= _CHUNK_ROWS:
            self._write_chunks()

    def _write_chunks(self) -> None:
        self._connection.executemany(
            "INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?)", self._new_chunks
        )
        self._new_chunks.clear()

    def write(self) -> None:
        """Writes what was added."""
        self._write_chunks()
        executemany = self._connection.executemany
        executemany("DELETE FROM loose WHERE series = ?", self._merged)
        executemany("INSERT INTO loose VALUES (?, ?, ?, ?, ?)", self._new_loose)


def _must_merge(loose: int, points: Points, form: int, *, is_late: bool) -> bool:
    """Returns whether the loose points of a series and the new ones must become chunks."""
    size = points.size
    if form == ANY and sum(map(len, _texts(points))) > LOOSE_LENGTH:
        return True
    if not is_late:
        return size >= CHUNK_AT_ONCE or loose + size >= LOOSE_POINTS
    count = points.arrivals[0] + size
    limit = min(count // LATE_FRACTION, MAX_LATE_POINTS[form])
    return loose + size >= max(limit, LOOSE_POINTS)


def chunk_row(series: int, points: Points) -> tuple[Any, ...]:
    """Returns the columns of a new chunk."""
    steps = points.steps
    data = chunks.encode(points)
    return series, steps[0], points.arrivals[0], steps[-1], points.size, data


def _texts(points: Points) -> list[str]:
    return [value for value in points.values if isinstance(value, str)]
