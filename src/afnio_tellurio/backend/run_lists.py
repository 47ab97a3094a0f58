"""The operation that lists runs."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, NamedTuple

from afnio_tellurio.backend import structs
from afnio_tellurio.backend.requests import (
    Answer,
    Call,
    Refusal,
    current_time,
    cursor_of,
    integer_of,
    length_for,
    page_of,
    project_of,
    quoted,
    rows_for,
    time_of,
    uuid_of,
)
from afnio_tellurio.backend.runs import run_answer
from afnio_tellurio.backend.store.run_conditions import find_unknown
from afnio_tellurio.backend.store.run_lists import (
    ListedRun,
    Place,
    RunFilters,
    Selection,
)
from afnio_tellurio.backend.store.run_lists import (
    list_runs as list_stored_runs,
)
from afnio_tellurio.filters.conditions import terms_of
from afnio_tellurio.filters.lexing import FilterError
from afnio_tellurio.filters.names import near_names
from afnio_tellurio.filters.parsing import parse_filter, parse_sort

if TYPE_CHECKING:
    import sqlite3

    from afnio_tellurio.filters.conditions import Condition, Sort, Term

_MAX_RUNS = 1000


class _Cursor(NamedTuple):
    """The last run of a page."""

    created: structs.Step
    id: structs.Step


class _SortedCursor(NamedTuple):
    """The last run of a page in another order; a number is a text, which JSON keeps exactly."""

    rank: int
    key: str | None
    created: structs.Step
    id: structs.Step


def list_runs(call: Call) -> Answer:
    """Returns the runs of the project that match all filters."""
    limit = integer_of(call, "limit", 1, _MAX_RUNS)
    where, sort = _where_of(call), _sort_of(call)
    after = _place_of(call, sort)
    filters = _filters_of(call)
    with call.database.reading() as connection:
        project = project_of(connection, call)
        if after is None:
            _require_known(connection, project, where, sort)
        rows = list_stored_runs(
            connection,
            Selection(project, filters, where, sort, after, current_time()),
            limit=rows_for(limit),
            length=length_for(limit),
        )
    page, headers = page_of(
        rows, limit, lambda listed: _position(listed.place, sort), ListedRun.length
    )
    applied = [name for name, value in (("where", where), ("sort", sort)) if value is not None]
    if applied:
        headers.append(("Applied-Parameters", ", ".join(applied)))
    return Answer(200, structs.encode([run_answer(listed.row) for listed in page]), headers)


def _filters_of(call: Call) -> RunFilters:
    status = call.parameter("status")
    if status is not None and status not in list(structs.RunStatus):
        raise Refusal(400, {"status": [f"{quoted(status)} is not a valid choice."]})
    return RunFilters(
        status=status,
        name=call.parameter("name"),
        created_from=time_of(call, "created_after"),
        updated_from=time_of(call, "updated_after"),
        created_before=time_of(call, "created_before"),
        tag=call.parameter("tag"),
        group_name=call.parameter("group"),
        job_type=call.parameter("job_type"),
        parent_uuid=uuid_of(call, "parent_uuid"),
    )


def _where_of(call: Call) -> Condition | None:
    text = call.parameter("where")
    try:
        return None if text is None else parse_filter(text, dt.datetime.now(dt.UTC))
    except FilterError as error:
        raise Refusal(400, {"where": [_sentence(f"Invalid {error}")]}) from None


def _sort_of(call: Call) -> Sort | None:
    text = call.parameter("sort")
    try:
        return None if text is None else parse_sort(text)
    except FilterError as error:
        raise Refusal(400, {"sort": [_sentence(f"Invalid {error}")]}) from None


def _require_known(
    connection: sqlite3.Connection, project: int, where: Condition | None, sort: Sort | None
) -> None:
    """Refuses names of metrics and configs that no run has, but for a project without any."""
    named: list[tuple[str, Term]] = [] if sort is None else [("sort", sort.term)]
    if where is not None:
        named = [*(("where", term) for term in terms_of(where)), *named]
    for parameter, term in named:
        names = find_unknown(connection, project, term)
        if names is not None:
            detail = f"No run of the project has {term}; {near_names(term.searched, names)}"
            raise Refusal(400, {parameter: [_sentence(detail)]})


def _sentence(text: str) -> str:
    return text if text.endswith("?") else f"{text}."


def _place_of(call: Call, sort: Sort | None) -> Place | None:
    if sort is None:
        cursor = cursor_of(call, _Cursor)
        return None if cursor is None else Place(0, None, *cursor)
    place = cursor_of(call, _SortedCursor)
    if place is None:
        return None
    key: float | str | None = place.key
    if place.rank == 0 and place.key is not None:
        key = _number_of(place.key)
    return Place(place.rank, key, place.created, place.id)


def _number_of(text: str) -> float:
    try:
        return int(text) if text.lstrip("-").isdigit() else float(text)
    except ValueError:
        raise Refusal(400, {"cursor": ["It isn't a valid cursor of this list."]}) from None


def _position(place: Place, sort: Sort | None) -> _Cursor | _SortedCursor:
    if sort is None:
        return _Cursor(place.created, place.id)
    key = None if place.key is None else str(place.key)
    return _SortedCursor(place.rank, key, place.created, place.id)
