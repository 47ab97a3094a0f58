"""The rows of series: what charts and summaries know of a metric without reading its points."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from afnio_tellurio.backend.store import sampling
from afnio_tellurio.backend.store.sampling import Extent

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence


class SeriesRow(NamedTuple):
    """A series to sample.

    Attributes:
        run: The UUID of its run.
        name: The name of its metric.
        extent: Its id, its number of points and its steps.
    """

    run: str
    name: str
    extent: Extent


class Selection(NamedTuple):
    """Series of a project.

    Attributes:
        project: The id of the project.
        names: The names of the metrics; all if empty.
        runs: The UUIDs of the runs; all if empty.
        after: Only names after this one.
        last: Only names up to this one; all if it is None.
    """

    project: int
    names: Sequence[str]
    runs: Sequence[str]
    after: str = ""
    last: str | None = None


_EXTENT = "id, count, tile_width, first_step, last_step"


def find_series(connection: sqlite3.Connection, run: int, name: str) -> Extent | None:
    """Returns the run's series of this metric, or None if it does not exist."""
    row = connection.execute(
        f"SELECT {_EXTENT} FROM series WHERE run = ? AND name = ?",  # noqa: S608 - constant names
        (run, name),
    ).fetchone()
    return None if row is None else Extent._make(row)


def select_series(connection: sqlite3.Connection, selection: Selection) -> list[SeriesRow]:
    """Returns the selected series, sorted by name and by the age of their runs."""
    columns = "r.uuid, s.name, s.id, s.count, s.tile_width, s.first_step, s.last_step"
    return [
        SeriesRow(run, name, Extent._make(extent))
        for run, name, *extent in _select(connection, selection, columns)
    ]


def repair_tiles(connection: sqlite3.Connection, series: int) -> None:
    """Builds the tiles of a series again, unless another process has done it."""
    row = connection.execute(f"SELECT {_EXTENT} FROM series WHERE id = ?", (series,)).fetchone()  # noqa: S608 - constant names
    if row is not None and not sampling.has_whole_tiles(connection, Extent._make(row)):
        _build_tiles(connection, Extent._make(row))


def build_missing_tiles(connection: sqlite3.Connection) -> None:
    """Builds the tiles of long series that have none."""
    rows = connection.execute(
        f"SELECT {_EXTENT} FROM series WHERE count > ? AND tile_width IS NULL",  # noqa: S608 - constant names
        (sampling.MAX_UNTILED_POINTS,),
    ).fetchall()
    for row in rows:
        _build_tiles(connection, Extent._make(row))


def _build_tiles(connection: sqlite3.Connection, extent: Extent) -> None:
    width = sampling.build_tiles(connection, extent.series, (extent.first, extent.last))
    connection.execute("UPDATE series SET tile_width = ? WHERE id = ?", (width, extent.series))


def summarize_run(connection: sqlite3.Connection, run: int) -> list[tuple[Any, ...]]:
    """Returns a summary of each series of a run, sorted by name.

    Returns:
        The name, count, first step, last step, last number, last text, minimum, maximum and last
        timestamp of each series.
    """
    return connection.execute(
        "SELECT name, count, first_step, last_step, last_value, last_json, minimum, maximum, "
        "last_timestamp FROM series WHERE run = ? ORDER BY name",
        (run,),
    ).fetchall()


#: The columns of the parts of a summary: a number, or the text of any other value.
_PARTS = {
    "last": "s.last_value, s.last_json",
    "min": "s.minimum, NULL",
    "max": "s.maximum, NULL",
    "count": "s.count, NULL",
    "first_step": "s.first_step, NULL",
    "last_step": "s.last_step, NULL",
}


def read_parts(
    connection: sqlite3.Connection, runs: Sequence[int], part: str, names: Sequence[str] | None
) -> sqlite3.Cursor:
    """Returns a part of the summary of each metric of runs.

    Args:
        connection: A connection in a transaction.
        runs: The ids of the runs.
        part: `last`, `min`, `max`, `count`, `first_step`, or `last_step`.
        names: The metrics; None for all.

    Returns:
        For each, the place of its run in `runs`, its name, and the part: a number, or None and the
        JSON of any other value. The minimum and the maximum may be neither.
    """
    of_names = "" if names is None else "AND s.name IN (SELECT value FROM json_each(?))"
    return connection.execute(
        f"SELECT r.key, s.name, {_PARTS[part]} "  # noqa: S608 - constant
        f"FROM json_each(?) r JOIN series s ON s.run = r.value {of_names}",
        [json.dumps(list(each)) for each in (runs, names) if each is not None],
    )


def summarize_project(
    connection: sqlite3.Connection, selection: Selection
) -> list[tuple[Any, ...]]:
    """Returns a summary of each selected series, sorted by name and by the age of their runs.

    Returns:
        The name, run UUID, count, first step, last step, last number, last text, minimum, maximum
        and last timestamp of each series.
    """
    columns = (
        "s.name, r.uuid, s.count, s.first_step, s.last_step, s.last_value, s.last_json, "
        "s.minimum, s.maximum, s.last_timestamp"
    )
    return _select(connection, selection, columns).fetchall()


def list_names(connection: sqlite3.Connection, selection: Selection, limit: int) -> list[str]:
    """Returns the metric names of the selected series, sorted, up to the limit."""
    rows = _select(connection, selection, "DISTINCT s.name", "ORDER BY s.name LIMIT ?", limit)
    return [name for (name,) in rows]


def summarize_names(
    connection: sqlite3.Connection, selection: Selection, limit: int
) -> list[tuple[str, int, int, int]]:
    """Returns each metric name of the selected series, sorted, up to the limit; all if it is -1.

    Returns:
        The name, the number of its runs, whether a value is a number or NaN (0 or 1), and its
        last timestamp.
    """
    is_numeric = """max(s.minimum IS NOT NULL OR s.last_json IS '"NaN"')"""
    columns = f"s.name, count(*), {is_numeric}, max(s.last_timestamp)"
    order = "GROUP BY s.name ORDER BY s.name LIMIT ?"
    return _select(connection, selection, columns, order, limit).fetchall()


def _select(
    connection: sqlite3.Connection,
    selection: Selection,
    columns: str,
    order: str = "ORDER BY s.name, r.id",
    *parameters_of_order: int,
) -> sqlite3.Cursor:
    project, names, runs, after, last = selection
    conditions = [
        f"{column} IN ({', '.join('?' * len(parameters))})"
        for column, parameters in (("s.name", names), ("r.uuid", runs))
        if parameters
    ]
    bounds = [after] if last is None else [after, last]
    conditions += ["s.name > ?", "s.name <= ?"][: len(bounds)]
    # Without the plus, SQLite would search for a few runs among all runs of the project.
    where = " AND ".join(["+r.project = ?" if runs else "r.project = ?", *conditions])
    return connection.execute(
        f"SELECT {columns} FROM runs r JOIN series s ON s.run = r.id "  # noqa: S608 - placeholders only
        f"WHERE {where} {order}",
        (project, *names, *runs, *bounds, *parameters_of_order),
    )
