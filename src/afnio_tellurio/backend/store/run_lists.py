"""Lists of runs: filters, order, and pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from afnio_tellurio.backend.store.pages import rows_within
from afnio_tellurio.backend.store.run_conditions import Conditions, Sql, add_functions
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
    """
    add_functions(connection)
    chosen = _choose(selection, limit)
    # The long columns are read of the chosen runs only, and not sorted.
    rows = connection.execute(
        f"SELECT c.rank, c.key, {COLUMNS_IN_LIST} FROM ({chosen.text}) c "  # noqa: S608 - constant
        f"JOIN runs r ON r.id = c.id {JOINS} ORDER BY {_order(selection.sort)}",
        chosen.parameters,
    )
    listed = (
        ListedRun(row, Place(rank, key, row.created, row.id))
        for rank, key, row in ((rank, key, RunRow._make(row)) for rank, key, *row in rows)
    )
    return rows_within(listed, length, ListedRun.length)


def _choose(selection: Selection, limit: int) -> Sql:
    """Returns the SQL that selects the ids and places of the runs of a page."""
    conditions = [Sql("r.project = ?", (selection.project,))]
    conditions += [
        Sql(condition, (value,))
        for condition, value in zip(_CONDITIONS, selection.filters or (), strict=False)
        if value is not None
    ]
    made = Conditions(selection.now)
    if selection.where is not None:
        conditions.append(made.condition(selection.where))
    sort, after = selection.sort, selection.after
    value = Sql("NULL") if sort is None else made.value(sort.term)
    matching = Sql(
        f"SELECT r.id AS id, r.created AS created, {value.text} AS value FROM runs r "  # noqa: S608 - constant
        "WHERE " + " AND ".join(part.text for part in conditions),
        (*value.parameters, *(each for part in conditions for each in part.parameters)),
    )
    if sort is None:
        newer = Sql("1") if after is None else _following(after)
        return Sql(
            f"SELECT 0 AS rank, NULL AS key, id, created FROM ({matching.text}) c "  # noqa: S608 - constant
            f"WHERE {newer.text} ORDER BY {_order(None)} LIMIT ?",
            (*matching.parameters, *newer.parameters, limit),
        )
    page = Sql("1") if after is None else _after(after, sort)
    # Materialized: each value is computed once.
    return Sql(
        f"WITH matching AS MATERIALIZED ({matching.text}) SELECT * FROM (SELECT "  # noqa: S608 - constant
        "CASE typeof(value) WHEN 'text' THEN 1 WHEN 'null' THEN 2 ELSE 0 END AS rank, "
        f"CASE typeof(value) WHEN 'text' THEN substr(value, 1, {SORTED_CHARACTERS}) "
        "ELSE value END AS key, id, created FROM matching) c "
        f"WHERE {page.text} ORDER BY {_order(sort)} LIMIT ?",
        (*matching.parameters, *page.parameters, limit),
    )


def _order(sort: Sort | None) -> str:
    if sort is None:
        return "c.created DESC, c.id DESC"
    return f"c.rank, c.key {'DESC' if sort.is_descending else 'ASC'}, c.created DESC, c.id DESC"


def _after(place: Place, sort: Sort) -> Sql:
    newer = _following(place)
    operator = "<" if sort.is_descending else ">"
    return Sql(
        f"(c.rank > ? OR c.rank = ? AND (c.key {operator} ? OR c.key IS ? AND {newer.text}))",
        (place.rank, place.rank, place.key, place.key, *newer.parameters),
    )


def _following(place: Place) -> Sql:
    return Sql("(c.created, c.id) < (?, ?)", (place.created, place.id))
