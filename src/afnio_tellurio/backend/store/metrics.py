"""The points of a run's metrics: recording them exactly once, and reading them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from afnio_tellurio.backend.store import sampling

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from afnio_tellurio.backend.store.values import Stored

#: The greatest integer of SQLite.
MAX_STEP = 2**63 - 1
_SERIES_COLUMNS = (
    "id, count, first_step, last_step, last_value, last_json, last_timestamp, minimum, maximum, "
    "tile_width"
)


class SeriesWriter:
    """The row of one series, and the points that a transaction adds to it."""

    def __init__(self, row: tuple[Any, ...]) -> None:
        self.points: list[tuple[Any, ...]] = []
        self._id: int = row[0]
        self._count: int = row[1]
        self._first: int = row[2]
        self._last: int = row[3]
        self._last_point: tuple[Any, ...] = row[4:7]
        self._low: float | None = row[7]
        self._high: float | None = row[8]
        self._before = sampling.Extent(row[0], row[1], row[9], row[2], row[3])
        self._tile_width = self._before.tile_width

    def add(self, wanted_step: int | None, value: Stored, timestamp: int) -> int:
        """Adds one point and returns its step.

        Args:
            wanted_step: The step; None for the one after the last step.
            value: The value.
            timestamp: Microseconds since 1970.

        Raises:
            OverflowError: The last step of the series is the maximum.
        """
        step = self._last + 1 if wanted_step is None else wanted_step
        if step > MAX_STEP:
            raise OverflowError("no step follows the last one")
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

    def extend(self, steps, values, timestamps):
        from afnio_tellurio.backend.store.values import Stored

        step = 0
        for s, v, when in zip(steps or [None] * len(values), values, timestamps):
            if isinstance(v, str):
                st = Stored(None, v)
            elif v != v:
                st = Stored(None, '"NaN"')
            else:
                st = Stored(v, None)
            step = self.add(s, st, when)
        return step

    def keep_tiles(self, connection: sqlite3.Connection) -> None:
        """Adds the points, which are already inserted, to the tiles of a long series."""
        if self._count > sampling.MAX_UNTILED_POINTS:
            self._tile_width = sampling.keep_tiles(
                connection, self._before, (self._first, self._last), self.points
            )

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
            self._id,
        )


def open_series(
    connection: sqlite3.Connection, run: int, names: set[str]
) -> dict[str, SeriesWriter]:
    """Returns the series of these metrics; new ones are created."""
    marks = ", ".join("?" * len(names))
    query = f"SELECT name, {_SERIES_COLUMNS} FROM series WHERE run = ? AND name IN ({marks})"  # noqa: S608
    rows = connection.execute(query, (run, *names))
    series = {row[0]: SeriesWriter(row[1:]) for row in rows}
    for name in names - series.keys():
        (identity,) = connection.execute(
            "INSERT INTO series (run, name, count, first_step, last_step, last_timestamp) "
            "VALUES (?, ?, 0, 0, -1, 0) RETURNING id",
            (run, name),
        ).fetchone()
        series[name] = SeriesWriter((identity, 0, 0, -1, None, None, 0, None, None, None))
    return series


def write_series(connection: sqlite3.Connection, series: Sequence[SeriesWriter]) -> None:
    """Writes the new points of these series, and their rows."""
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
    points: list[tuple[Any, ...]] = []
    for point in connection.execute(
        "SELECT value, json, step, timestamp, arrival FROM points "
        "WHERE series = ? AND (step, arrival) > (?, ?) AND step > ? "
        "ORDER BY step, arrival LIMIT ?",
        (series, *after, after_step, -1 if limit is None else limit),
    ):
        points.append(point)
        text = point[1]
        if text is not None:
            length -= len(text)
            if length < 0:
                break
    return points, length


from typing import NamedTuple


class Points(NamedTuple):
    steps: list
    arrivals: list
    values: list
    timestamps: list

    def first(self, count):
        return Points(*(c[:count] for c in self))


def read_points(connection, series, *, after, after_step, limit, length):
    rows, length = list_points(
        connection,
        series,
        after=after,
        after_step=after_step,
        limit=None if limit == -1 else limit,
        length=length,
    )
    return Points(
        [r[2] for r in rows],
        [r[4] for r in rows],
        [float("nan") if r[1] == '"NaN"' else r[0] if r[1] is None else r[1] for r in rows],
        [r[3] for r in rows],
    ), length
