"""Lists of runs: filters, order, and pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from afnio_tellurio.backend.store.pages import rows_within
from afnio_tellurio.backend.store.run_conditions import Conditions, Sql, searching
from afnio_tellurio.backend.store.runs import COLUMNS_IN_LIST, JOINS, RunRow
from afnio_tellurio.filters.matching import SORTED_CHARACTERS

if TYPE_CHECKING:
    import sqlite3

    from afnio_tellurio.filters.conditions import Condition, Sort


class RunFilters(NamedTuple):
    """What listed runs must match. None matches every run.

    Attributes:
        status: Their status.
        name: Their name.
        created_from: The earliest time of their creation.
        updated_from: The earliest time of their last update.
        created_before: The time before which they were created.
        tag: One of their tags.
        group_name: Their group.
        job_type: Their type of job.
        parent_uuid: The UUID of the run that they are a part of.
    """

    status: str | None
    name: str | None
    created_from: int | None
    updated_from: int | None
    created_before: int | None
    tag: str | None
    group_name: str | None
    job_type: str | None
    parent_uuid: str | None


#: The condition of each filter, in the order of the fields.
_CONDITIONS = (
    "r.status = ?",
    "r.name = ?",
    "r.created >= ?",
    "r.updated >= ?",
    "r.created < ?",
    "r.id IN (SELECT t.run FROM run_tags t WHERE t.tag = ?)",
    "r.group_name = ?",
    "r.job_type = ?",
    "r.parent_uuid = ?",
)


class Place(NamedTuple):
    """The place of a run in a list, which the next page starts after.

    Attributes:
        rank: 0 if the run is sorted by a number, 1 if by a text, 2 without a value; 0 in a list
            that is sorted by the time of creation alone.
        key: The number or text that it is sorted by, or None.
        created: When it was created, in microseconds since 1970.
        id: Its id.
    """

    rank: int
    key: float | str | None
    created: int
    id: int


class Selection(NamedTuple):
    """What to list.

    Attributes:
        project: The id of the project.
        where: What must be true for the runs, or None.
        sort: Their order; None for the time of their creation, newest first.
        after: The run that they follow in the list, or None.
        now: The end of runs that go on, in microseconds since 1970.
        filters: What they must match.
    """

    project: int
    where: Condition | None
    sort: Sort | None
    after: Place | None
    now: int
    filters: RunFilters | None = None


class ListedRun(NamedTuple):
    """A run in a list, and its place there."""

    row: RunRow
    place: Place

    def length(self) -> int:
        """Returns about how many characters it has in a response."""
        return self.row.length()


def list_runs(
    connection: sqlite3.Connection, selection: Selection, *, limit: int, length: int
) -> list[ListedRun]:
    """Returns the runs of a project that match all filters.

    Args:
        connection: A connection in a transaction.
        selection: What to list.
        limit: The maximum number of runs; -1 for all.
        length: The characters after which a list of several runs ends.

    Raises:
        SlowFilterError: The regular expressions of the filter take too long.
    """
    made = Conditions(selection.now)
    condition = _condition(selection, made)
    if selection.sort is None:
        listing = _newest(selection, condition, limit)
    else:
        listing = _sorted(selection, selection.sort, made, condition, limit)
    with searching(connection):
        rows = connection.execute(*listing)
        listed = (
            ListedRun(row, Place(rank, key, row.created, row.id))
            for rank, key, row in ((rank, key, RunRow._make(row)) for rank, key, *row in rows)
        )
        return rows_within(listed, length, ListedRun.length)


def _condition(selection: Selection, made: Conditions) -> Sql:
    """Returns the SQL of what the runs must match."""
    conditions = [Sql("r.project = ?", (selection.project,))]
    conditions += [
        Sql(condition, (value,))
        for condition, value in zip(_CONDITIONS, selection.filters or (), strict=False)
        if value is not None
    ]
    if selection.where is not None:
        conditions.append(made.condition(selection.where))
    return Sql(
        " AND ".join(part.text for part in conditions),
        tuple(value for part in conditions for value in part.parameters),
    )


def _newest(selection: Selection, condition: Sql, limit: int) -> Sql:
    """Returns the SQL that lists the newest runs first, which an index does without sorting."""
    newer = Sql("1") if selection.after is None else _following("r", selection.after)
    return Sql(
        f"SELECT 0, NULL, {COLUMNS_IN_LIST} FROM runs r {JOINS} WHERE {condition.text} "  # noqa: S608 - constant
        f"AND {newer.text} ORDER BY r.created DESC, r.id DESC LIMIT ?",
        (*condition.parameters, *newer.parameters, limit),
    )


def _sorted(selection: Selection, sort: Sort, made: Conditions, condition: Sql, limit: int) -> Sql:
    """Returns the SQL that lists runs in another order."""
    value = made.value(sort.term)
    page = Sql("1") if selection.after is None else _after(selection.after, sort)
    direction = "DESC" if sort.is_descending else "ASC"
    order = f"c.rank, c.key {direction}, c.created DESC, c.id DESC"
    # Materialized: each value is computed once. The long columns are those of the page alone.
    return Sql(
        f"WITH matching AS MATERIALIZED (SELECT r.id AS id, r.created AS created, {value.text} "  # noqa: S608 - constant
        f"AS value FROM runs r WHERE {condition.text}), page AS (SELECT * FROM (SELECT "
        "CASE typeof(value) WHEN 'text' THEN 1 WHEN 'null' THEN 2 ELSE 0 END AS rank, "
        f"CASE typeof(value) WHEN 'text' THEN substr(value, 1, {SORTED_CHARACTERS}) "
        f"ELSE value END AS key, id, created FROM matching) c WHERE {page.text} "
        f"ORDER BY {order} LIMIT ?) SELECT c.rank, c.key, {COLUMNS_IN_LIST} FROM page c "
        f"JOIN runs r ON r.id = c.id {JOINS} ORDER BY {order}",
        (*value.parameters, *condition.parameters, *page.parameters, limit),
    )


def _after(place: Place, sort: Sort) -> Sql:
    newer = _following("c", place)
    operator = "<" if sort.is_descending else ">"
    return Sql(
        f"(c.rank > ? OR c.rank = ? AND (c.key {operator} ? OR c.key IS ? AND {newer.text}))",
        (place.rank, place.rank, place.key, place.key, *newer.parameters),
    )


def _following(table: str, place: Place) -> Sql:
    return Sql(f"({table}.created, {table}.id) < (?, ?)", (place.created, place.id))
