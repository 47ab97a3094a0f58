"""The points of a run's metrics: recording them exactly once, and reading them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from afnio_tellurio.backend.store import sampling
from afnio_tellurio.backend.store.chunks import MAX_STEP, NO_POINTS, Points
from afnio_tellurio.backend.store.packing import Layout, Packer
from afnio_tellurio.backend.store.values import bounds_of, number_and_text

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from afnio_tellurio.backend.store.chunks import Value

_SERIES_COLUMNS = (
    "id, count, first_step, last_step, last_value, last_json, last_timestamp, minimum, maximum, "
    "tile_width, chunked, chunked_step, loose_step"
)


class SeriesWriter:
    """The row of one series, and the points that a transaction adds to it.

    A batch may have thousands of names with one point each, so it copies little.
    """

    __slots__ = (
        "_count",
        "_first",
        "_last",
        "_layout",
        "_new_columns",
        "_ordered",
        "_row",
        "_steps",
        "_timestamps",
        "_values",
    )

    def __init__(self, row: tuple[Any, ...]) -> None:
        self._row = row
        self._count: int = row[1]
        self._last: int = row[3]
        self._steps: Sequence[int] = ()
        self._values: Sequence[Value] = ()
        self._timestamps: Sequence[int] = ()
        self._first: int = row[2]
        self._ordered = NO_POINTS
        self._new_columns: tuple[Any, ...] = ()
        self._layout: tuple[Any, ...] = ()

    def add(self, wanted_step: int | None, value: Value, timestamp: int) -> int:
        """Adds one point and returns its step.

        Args:
            wanted_step: The step; None for the one after the last step.
            value: The value.
            timestamp: Microseconds since 1970.

        Raises:
            OverflowError: The last step of the series is the maximum.
        """
        self.extend([wanted_step], [value], [timestamp])
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
            values: Their values. The columns must not change any more.
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
        if self._values:
            self._steps = [*self._steps, *new_steps]
            self._values = [*self._values, *values]
            self._timestamps = [*self._timestamps, *timestamps]
        else:
            self._steps, self._values, self._timestamps = new_steps, values, timestamps

    def _with_next_steps(self, steps: Sequence[int | None]) -> Sequence[int]:
        if None not in steps:
            return cast("Sequence[int]", steps)
        last = self._last
        found: list[int] = []
        for step in steps:
            found.append(last + 1 if step is None else step)
            last = max(last, found[-1])
        return found

    def pack(self, packer: Packer) -> None:
        """Adds the new points to the packer, and to the columns of the row."""
        row = self._row
        arrivals = range(row[1], self._count)
        points = Points(self._steps, arrivals, self._values, self._timestamps)
        ordered = self._ordered = points.sorted_by_step()
        last_point = row[4:7]
        if ordered.steps[-1] == self._last:
            last_point = (*number_and_text(ordered.values[-1]), ordered.timestamps[-1])
        if row[1] == 0 or ordered.steps[0] < self._first:
            self._first = ordered.steps[0]
        low, high = bounds_of(self._values)
        if low is None or (row[7] is not None and row[7] <= low):
            low = row[7]
        if high is None or (row[8] is not None and row[8] >= high):
            high = row[8]
        layout = packer.add(row[0], Layout._make(row[10:]), points, ordered)
        self._new_columns = (*last_point, low, high)
        self._layout = layout

    def keep_tiles(self, connection: sqlite3.Connection) -> int | None:
        """Adds the points, which are already written, to the tiles of a long series.

        Returns:
            The width of the finest tiles, or None if the series needs none.
        """
        row = self._row
        tile_width: int | None = row[9]
        if self._count <= sampling.MAX_UNTILED_POINTS:
            return tile_width
        before = sampling.Extent(row[0], row[1], tile_width, row[2], row[3])
        return sampling.keep_tiles(connection, before, (self._first, self._last), self._ordered)

    @property
    def has_new_points(self) -> bool:
        """Whether points were added."""
        return bool(self._values)

    def columns(self, tile_width: int | None) -> tuple[Any, ...]:
        """Returns the new values of the columns; the id comes last."""
        return (
            self._count,
            self._first,
            self._last,
            *self._new_columns,
            tile_width,
            *self._layout,
            self._row[0],
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
        f"SELECT name, {_SERIES_COLUMNS} FROM series WHERE run = ? AND name IN ({marks})",  # noqa: S608
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
    rows = [each.columns(each.keep_tiles(connection)) for each in changed]
    connection.executemany(
        "UPDATE series SET count = ?, first_step = ?, last_step = ?, last_value = ?, "
        "last_json = ?, last_timestamp = ?, minimum = ?, maximum = ?, tile_width = ?, "
        "chunked = ?, chunked_step = ?, loose_step = ? WHERE id = ?",
        rows,
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
        "INSERT INTO writers VALUES (?, ?, ?) "
        "ON CONFLICT (run, writer) DO UPDATE SET next = excluded.next",
        (run, writer, number),
    )


def list_series(connection: sqlite3.Connection, run: int, first_name: str) -> list[tuple[str, int]]:
    """Returns the names and ids of a run's series, sorted by name, from this name on."""
    return connection.execute(
        "SELECT name, id FROM series WHERE run = ? AND name >= ? ORDER BY name", (run, first_name)
    ).fetchall()
