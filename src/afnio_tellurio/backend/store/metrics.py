"""The points of a run's metrics: recording them exactly once, and reading them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from afnio_tellurio.backend.store import sampling
from afnio_tellurio.backend.store.chunks import MAX_STEP, NO_POINTS, Points
from afnio_tellurio.backend.store.packing import Layout, Packer, Tail
from afnio_tellurio.backend.store.points import read_points
from afnio_tellurio.backend.store.values import bounds_of, column_value, number_and_text

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from afnio_tellurio.backend.store.chunks import Value
    from afnio_tellurio.backend.store.values import Stored

_SERIES_COLUMNS = (
    "s.id, s.count, s.first_step, s.last_step, s.last_value, s.last_json, s.last_timestamp, "
    "s.minimum, s.maximum, s.tile_width, s.chunked, s.chunked_step, s.loose_step, s.tail, "
    "l.count, l.form, length(l.data)"
)


class SeriesWriter:
    """The row of one series, and the points that a transaction adds to it."""

    def __init__(self, row: tuple[Any, ...]) -> None:
        self._id: int = row[0]
        self._count: int = row[1]
        self._first: int = row[2]
        self._last: int = row[3]
        self._last_point: tuple[Any, ...] = row[4:7]
        self._low: float | None = row[7]
        self._high: float | None = row[8]
        self._before = sampling.Extent(row[0], row[1], row[9], row[2], row[3])
        self._tile_width = self._before.tile_width
        self._layout = Layout._make(row[10:14])
        self._tail = Tail._make(row[14:17])
        self._steps: list[int] = []
        self._values: list[Value] = []
        self._timestamps: list[int] = []
        self._ordered = NO_POINTS

    def add(self, wanted_step: int | None, value: Stored, timestamp: int) -> int:
        """Adds one point and returns its step.

        Args:
            wanted_step: The step; None for the one after the last step.
            value: The value.
            timestamp: Microseconds since 1970.

        Raises:
            OverflowError: The last step of the series is the maximum.
        """
        self.extend([wanted_step], [column_value(value)], [timestamp])
        return self._steps[-1]

    def extend(
        self,
        steps: Sequence[int | None] | None,
        values: Sequence[Value],
        timestamps: Sequence[int],
    ) -> None:
        """Adds points.

        Args:
            steps: Their steps; None for the one after the last step, as a step or for all.
            values: Their values.
            timestamps: Microseconds since 1970.

        Raises:
            OverflowError: The last step of the series is the maximum.
        """
        new_steps: Sequence[int]
        if steps is None:
            new_steps = range(self._last + 1, self._last + 1 + len(values))
        else:
            new_steps = self._with_next_steps(steps)
        last = max(new_steps, default=-1)
        if last > MAX_STEP:
            raise OverflowError("no step follows the last one")
        self._last = max(self._last, last)
        self._count += len(values)
        self._steps += new_steps
        self._values += values
        self._timestamps += timestamps

    def _with_next_steps(self, steps: Sequence[int | None]) -> list[int]:
        last = self._last
        found: list[int] = []
        for step in steps:
            found.append(last + 1 if step is None else step)
            last = max(last, found[-1])
        return found

    def pack(self, packer: Packer) -> None:
        """Adds the new points to the packer, and to the row of the series."""
        arrivals = range(self._before.points, self._count)
        points = Points(self._steps, arrivals, self._values, self._timestamps)
        ordered = self._ordered = points.sorted_by_step()
        if ordered.steps[-1] == self._last:
            self._last_point = (*number_and_text(ordered.values[-1]), ordered.timestamps[-1])
        if self._before.points == 0 or ordered.steps[0] < self._first:
            self._first = ordered.steps[0]
        low, high = bounds_of(self._values)
        if low is not None and (self._low is None or low < self._low):
            self._low = low
        if high is not None and (self._high is None or high > self._high):
            self._high = high
        self._layout = packer.add(self._id, self._layout, self._tail, points, ordered)

    def keep_tiles(self, connection: sqlite3.Connection) -> None:
        """Adds the points, which are already written, to the tiles of a long series."""
        if self._count > sampling.MAX_UNTILED_POINTS:
            self._tile_width = sampling.keep_tiles(
                connection, self._before, (self._first, self._last), self._ordered
            )

    @property
    def has_new_points(self) -> bool:
        """Whether points were added."""
        return self._count > self._before.points

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
            *self._layout,
            self._id,
        )


def open_series(
    connection: sqlite3.Connection, run: int, names: set[str]
) -> dict[str, SeriesWriter]:
    """Returns the series of these metrics; new ones are created."""
    series = _select_series(connection, run, names)
    missing = names - series.keys()
    if missing:
        connection.executemany(
            "INSERT INTO series (run, name, count, first_step, last_step, last_timestamp) "
            "VALUES (?, ?, 0, 0, -1, 0)",
            [(run, name) for name in sorted(missing)],
        )
        series |= _select_series(connection, run, missing)
    return series


def _select_series(
    connection: sqlite3.Connection, run: int, names: set[str]
) -> dict[str, SeriesWriter]:
    marks = ", ".join("?" * len(names))
    rows = connection.execute(
        f"SELECT s.name, {_SERIES_COLUMNS} FROM series s "  # noqa: S608 - placeholders only
        "LEFT JOIN loose l ON l.series = s.id AND l.arrival = s.tail "
        f"WHERE s.run = ? AND s.name IN ({marks})",
        (run, *names),
    )
    return {row[0]: SeriesWriter(row[1:]) for row in rows}


def write_series(connection: sqlite3.Connection, series: Sequence[SeriesWriter]) -> None:
    """Writes the new points of these series, and their rows."""
    changed = [each for each in series if each.has_new_points]
    packer = Packer(connection)
    for each in changed:
        each.pack(packer)
    packer.write()
    for each in changed:
        each.keep_tiles(connection)
    connection.executemany(
        "UPDATE series SET count = ?, first_step = ?, last_step = ?, last_value = ?, "
        "last_json = ?, last_timestamp = ?, minimum = ?, maximum = ?, tile_width = ?, "
        "chunked = ?, chunked_step = ?, loose_step = ?, tail = ? WHERE id = ?",
        [each.row() for each in changed],
    )


def next_sequence_number(connection: sqlite3.Connection, run: int, writer: str) -> int:
    """Returns the sequence number that a run expects next from a writer; 0 from a new one."""
    row = connection.execute(
        "SELECT next FROM writers WHERE run = ? AND writer = ?", (run, writer)
    ).fetchone()
    return row[0] if row else 0


def expect_sequence_number(
    connection: sqlite3.Connection, run: int, writer: str, number: int
) -> None:
    """Sets the sequence number that a run expects next from a writer."""
    connection.execute(
        "INSERT INTO writers VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET next = excluded.next",
        (run, writer, number),
    )


def list_series(connection: sqlite3.Connection, run: int, first_name: str) -> list[tuple[str, int]]:
    """Returns the names and ids of a run's series, sorted by name, from this name on."""
    return connection.execute(
        "SELECT name, id FROM series WHERE run = ? AND name >= ? ORDER BY name", (run, first_name)
    ).fetchall()


def list_points(
    connection: sqlite3.Connection,
    series: int,
    *,
    after: tuple[int, int],
    after_step: int,
    limit: int | None,
    length: int,
) -> tuple[list[tuple[Any, ...]], int]:
    """Returns points of a series, sorted by step and arrival.

    Args:
        connection: A connection in a transaction.
        series: The id of the series.
        after: The step and arrival of the point before the first one.
        after_step: The step before the first one.
        limit: The maximum number of points, or None.
        length: The characters of texts after which the list ends.

    Returns:
        The number, text, step, timestamp and arrival of each point, and the characters that are
        left: below 0 if the list ends because of them.
    """
    points, length = read_points(
        connection, series, after=after, after_step=after_step, limit=limit, length=length
    )
    # There may be millions, so numbers take the short way.
    rows = [
        (value, None, step, timestamp, arrival)
        if value.__class__ is not str and value == value  # noqa: PLR0124 - false for NaN
        else (*number_and_text(value), step, timestamp, arrival)
        for step, arrival, value, timestamp in zip(*points, strict=True)
    ]
    return rows, length
