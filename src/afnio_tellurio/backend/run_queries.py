"""What requests say about which runs to list, in which order, and where a page starts."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, NamedTuple

from afnio_tellurio.backend import structs  # noqa: TC001 - msgspec reads it
from afnio_tellurio.backend.requests import (
    Call,
    Refusal,
    cursor_of,
    length_for,
    page_of,
    rows_for,
)
from afnio_tellurio.backend.store.run_conditions import SlowFilterError, find_unknown
from afnio_tellurio.backend.store.run_lists import ListedRun, Place, Selection, list_runs
from afnio_tellurio.filters.conditions import terms_of
from afnio_tellurio.filters.lexing import FilterError
from afnio_tellurio.filters.names import near_names
from afnio_tellurio.filters.parsing import parse_filter, parse_sort

if TYPE_CHECKING:
    import sqlite3

    from afnio_tellurio.filters.conditions import Condition, Sort, Term


#: The page shows it beside its filter.
_UNKNOWN = {
    "where": "No run of the project has {}",
    "sort": "Can't sort by {}: no run of the project has it",
}


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


class RunQuery(NamedTuple):
    """The filter, the order, and the page of a request.

    Attributes:
        where: What must be true for the runs, or None.
        sort: Their order; None for the newest first.
        after: The last run of the page before, or None.
    """

    where: Condition | None
    sort: Sort | None
    after: Place | None

    @classmethod
    def of(cls, call: Call) -> RunQuery:
        """Reads the query of a request."""
        where, sort = _where_of(call), _sort_of(call)
        return cls(where, sort, _place_of(call, sort))

    def require_known(self, connection: sqlite3.Connection, project: int) -> None:
        """Refuses names of metrics and configs that no run has, on the first page.

        A project without any has no unknown ones.
        """
        if self.after is not None:
            return
        named: list[tuple[str, Term]] = [] if self.sort is None else [("sort", self.sort.term)]
        if self.where is not None:
            named = [*(("where", term) for term in terms_of(self.where)), *named]
        for parameter, term in named:
            names = find_unknown(connection, project, term)
            if names is not None:
                detail = f"{_UNKNOWN[parameter].format(term)}; {near_names(term.searched, names)}"
                raise Refusal(400, {parameter: [sentence(detail)]})

    def read_page(
        self, connection: sqlite3.Connection, selection: Selection, limit: int | None
    ) -> tuple[list[ListedRun], list[tuple[str, str]]]:
        """Returns a page of runs, and the header with the cursor of the next page, if any."""
        try:
            rows = list_runs(connection, selection, limit=rows_for(limit), length=length_for(limit))
        except SlowFilterError:
            problem = "The regular expressions take too long; use simpler ones, or more conditions."
            raise Refusal(400, {"where": [problem]}) from None
        return page_of(rows, limit, lambda run: self._position(run.place), ListedRun.length)

    def _position(self, place: Place) -> NamedTuple:
        if self.sort is None:
            return _Cursor(place.created, place.id)
        key = None if place.key is None else str(place.key)
        return _SortedCursor(place.rank, key, place.created, place.id)


def _where_of(call: Call) -> Condition | None:
    text = call.parameter("where")
    try:
        return None if text is None else parse_filter(text, dt.datetime.now(dt.UTC))
    except FilterError as error:
        raise Refusal(400, {"where": [sentence(f"Invalid filter {error}")]}) from None


def _sort_of(call: Call) -> Sort | None:
    text = call.parameter("sort")
    try:
        return None if text is None else parse_sort(text)
    except FilterError as error:
        raise Refusal(400, {"sort": [sentence(f"Invalid sort {error}")]}) from None


def sentence(text: str) -> str:
    """Returns a text with a period, unless it is a question."""
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
