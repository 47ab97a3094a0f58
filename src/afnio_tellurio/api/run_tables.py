"""Runs as rows of a table."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import attrs
from tellurio_api import models
from tellurio_api.api.runs import tabulate_runs as tabulate_runs_operation

from afnio_tellurio.api.answers import AnswerFields, as_numbers, check_lengths, is_numeric
from afnio_tellurio.api.calling import LACKING
from afnio_tellurio.api.frames import Tabular
from afnio_tellurio.api.html_tables import render_table
from afnio_tellurio.api.pages import list_pages_with_headers
from afnio_tellurio.errors import ApiError, InvalidResponseError
from afnio_tellurio.operation_names import failure_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from afnio_tellurio.api.connection import Connection

_TIMES = frozenset({"created", "ended", "updated"})
_OPERATION = "tabulateRuns"
#: The types of values that contain no words for numbers.
_PLAIN = frozenset({int, float, bool, type(None)})
#: Runs in one response, the bound of the contract.
_PAGE = 1000


@attrs.frozen
class RunTable(Tabular):
    """Runs as rows of a table, from `table`.

    Attributes:
        columns: The values of each column, `None` where a run lacks it. `uuid` is the first column.
            A value of a config is in `config.` and its path, the last value of a metric in the
            metric's name, and another part of its summary in the name and the part, such as
            `loss.min`.
    """

    columns: dict[str, list[Any]] = attrs.field(repr=False)

    def __len__(self) -> int:
        return len(self.columns["uuid"])

    def __repr__(self) -> str:
        return f"RunTable({len(self)} runs, {len(self.columns)} columns)"

    def _repr_html_(self) -> str:
        # Nobody reads UUIDs beside names, or columns without values.
        shown = {
            name: values
            for name, values in self.columns.items()
            if name != "uuid" and any(value is not None and value != [] for value in values)
        }
        count = len(self)
        return render_table(shown or self.columns, count, f"{count:,} run{'s' * (count != 1)}")

    def _columns(self) -> dict[str, list[Any]]:
        return self.columns


RunTable.__module__ = "afnio_tellurio"


def tabulate_runs(
    connection: Connection,
    namespace_slug: str,
    project_slug: str,
    *,
    columns: Sequence[str],
    query: Mapping[str, str],
    limit: int | None,
) -> dict[str, list[Any]] | None:
    """The cells of each column, by its term, and the UUIDs as `uuid`.

    Args:
        connection: The backend.
        namespace_slug: The slug of the namespace that owns the project.
        project_slug: The project's slug.
        columns: The terms of the columns.
        query: The `where` and `sort` of the request.
        limit: The maximum number of runs; None for all.

    Returns:
        None for a backend without the operation.
    """
    parameters = {
        "namespace_slug": namespace_slug,
        "project_slug": project_slug,
        "client": connection.api,
        "column": list(columns),
        "limit": min(limit or _PAGE, _PAGE),
        **query,
    }
    cells: dict[str, list[Any]] = {"uuid": []}
    try:
        for model, _headers in list_pages_with_headers(
            connection,
            _OPERATION,
            tabulate_runs_operation.sync_detailed,
            parameters,
            models.RunTable,
        ):
            _append(cells, model)
            if limit is not None and len(cells["uuid"]) >= limit:
                break
    except ApiError as error:
        if error.status_code not in LACKING:
            raise
        return None
    return {term: values[:limit] for term, values in cells.items()}


def _append(cells: dict[str, list[Any]], model: models.RunTable) -> None:
    """Adds the rows of a page, which may lack columns of other pages, and have others."""
    before, rows = len(cells["uuid"]), len(model.run_uuid)
    page = {"uuid": list(map(str, model.run_uuid))} | dict(_columns_of(model))
    for term in page:
        cells.setdefault(term, [None] * before)
    for term, values in cells.items():
        values.extend(page.get(term) or [None] * rows)


def _columns_of(model: models.RunTable) -> Iterator[tuple[str, list[Any]]]:
    field = AnswerFields(_OPERATION)
    for column in model.columns:
        term = field.text("term", column.term)
        check_lengths(_OPERATION, model.run_uuid, column.cells)
        cells = column.cells
        yield term, [_time(field, cell) for cell in cells] if term in _TIMES else cells


def _time(field: AnswerFields, cell: object) -> dt.datetime | None:
    if cell is None:
        return None
    try:
        return field.date("cells", dt.datetime.fromisoformat(field.text("cells", cell)))
    except ValueError as error:
        raise InvalidResponseError(
            f"{failure_of(_OPERATION)}: {cell!r} is not a time", operation=_OPERATION
        ) from error


def restored_numbers(values: list[Any]) -> list[Any]:
    """The values of a column with NaN and the infinities, if all others are numbers."""
    if set(map(type, values)) <= _PLAIN:
        return values
    known = [value for value in values if value is not None]
    if not all(map(is_numeric, known)):
        return values
    return [value if value is None else as_numbers(value) for value in values]
