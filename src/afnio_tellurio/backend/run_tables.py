"""The operation that compares runs in a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from afnio_tellurio.backend import structs
from afnio_tellurio.backend.requests import (
    Answer,
    Call,
    Refusal,
    current_time,
    integer_of,
    project_of,
    rfc3339,
)
from afnio_tellurio.backend.run_queries import RunQuery, sentence
from afnio_tellurio.backend.store import values
from afnio_tellurio.backend.store.run_lists import Selection
from afnio_tellurio.backend.store.series import read_parts
from afnio_tellurio.filters.conditions import Attribute, ConfigValue, MetricValue
from afnio_tellurio.filters.lexing import FilterError
from afnio_tellurio.filters.matching import columns_of, value_in
from afnio_tellurio.filters.parsing import parse_term

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from afnio_tellurio.backend.store.runs import RunRow
    from afnio_tellurio.filters.conditions import Term

#: A term, or one of the names below.
_Column: TypeAlias = "Term | str"

_MAX_RUNS = 1000
_TAGS, _CONFIG, _METRICS = "tags", "config.*", "metric(*)"
_SHOWN = ("name", "status", "created", "ended", "user", "group", "job_type")
_DEFAULT: list[_Column] = [*map(Attribute, _SHOWN), _TAGS, _CONFIG, _METRICS]
_MAX_COLUMNS = 1000
#: Cells of a page of several runs.
_MAX_CELLS = 1_000_000

_config = msgspec.json.Decoder(dict[str, Any])
_tags = msgspec.json.Decoder(list[str])


def tabulate_runs(call: Call) -> Answer:
    """Returns a row for each run that matches, as columns."""
    limit = integer_of(call, "limit", 1, _MAX_RUNS) or _MAX_RUNS
    query, columns = RunQuery.of(call), _columns_of(call)
    now = current_time()
    with call.database.reading() as connection:
        project = project_of(connection, call)
        query.require_known(connection, project)
        page, headers = query.read_page(connection, Selection(project, *query, now), limit)
        ids = [listed.place.id for listed in page]
        metrics = _Metrics(connection, ids, columns)
    table = _Table([listed.row for listed in page], metrics, now)
    answer = structs.RunTable(
        run_uuid=[row.uuid for row in table.rows],
        columns=[each for column in columns for each in table.columns(column)],
    )
    cells = len(answer.columns) * len(page)
    if cells > _MAX_CELLS and len(page) > 1:
        problem = f"{len(answer.columns):,} columns of {len(page):,} runs are too many cells; "
        raise Refusal(400, {"column": [f"{problem}name the columns, or lower the limit."]})
    return Answer(200, structs.encode(answer), headers)


def _columns_of(call: Call) -> list[_Column]:
    texts = call.parameters("column")
    if len(texts) > _MAX_COLUMNS:
        raise Refusal(400, {"column": [f"There may be up to {_MAX_COLUMNS} columns."]})
    try:
        return [
            text if text in {_TAGS, _CONFIG, _METRICS} else parse_term(text) for text in texts
        ] or _DEFAULT
    except FilterError as error:
        raise Refusal(400, {"column": [sentence(f"Invalid column {error}")]}) from None


class _Metrics:
    """What columns show of the metrics of runs.

    Args:
        connection: A connection in a transaction.
        runs: The ids of the runs.
        columns: The columns.
    """

    def __init__(
        self, connection: sqlite3.Connection, runs: Sequence[int], columns: Sequence[_Column]
    ) -> None:
        self._nothing: list[Any] = [None] * len(runs)
        shows_all = _METRICS in columns
        names: dict[str, list[str]] = {"last": []} if shows_all else {}
        for column in columns:
            if isinstance(column, MetricValue):
                names.setdefault(column.part, []).append(column.name)
        self._cells = {
            part: self._read(
                read_parts(connection, runs, part, None if shows_all and part == "last" else some)
            )
            for part, some in names.items()
        }

    def _read(
        self, rows: Iterable[tuple[int, str, float | None, str | None]]
    ) -> dict[str, list[Any]]:
        columns: dict[str, list[Any]] = {}
        for place, name, number, text in rows:
            column = columns.get(name)
            if column is None:
                column = columns[name] = self._nothing.copy()
            if text is not None:
                column[place] = values.raw(None, text)
            # The encoder would write the infinities as null.
            elif number is not None and number - number != 0:
                column[place] = values.raw_number(number)
            else:
                column[place] = number
        return columns

    def names(self) -> list[str]:
        """Returns the names of all metrics, sorted."""
        return sorted(self._cells["last"])

    def cells(self, column: MetricValue) -> list[Any]:
        """Returns the cells of a column, as the encoder takes them."""
        return self._cells[column.part].get(column.name, self._nothing)


class _Table:
    """The runs of a page, and what is known of them.

    Args:
        rows: The runs.
        metrics: What the columns show of their metrics.
        now: The end of runs that go on, in microseconds since 1970.
    """

    def __init__(self, rows: Sequence[RunRow], metrics: _Metrics, now: int) -> None:
        self.rows = rows
        self._now = now
        self._configs = [_config.decode(row.config) for row in rows]
        self._metrics = metrics

    def columns(self, column: _Column) -> Iterator[structs.RunColumn]:
        """Returns the columns that a column of the request stands for."""
        if column == _CONFIG:
            for path, cells in columns_of(self._configs).items():
                yield structs.RunColumn(str(ConfigValue(path)), cells)
        elif column == _METRICS:
            for name in self._metrics.names():
                yield from self.columns(MetricValue(name, "last"))
        elif column == _TAGS:
            tags = [sorted(_tags.decode(row.tags)) for row in self.rows]
            yield structs.RunColumn(_TAGS, tags)
        elif isinstance(column, MetricValue):
            yield structs.RunColumn(str(column), self._metrics.cells(column))
        elif isinstance(column, ConfigValue):
            cells = [value_in(config, column.path) for config in self._configs]
            yield structs.RunColumn(str(column), cells)
        elif isinstance(column, Attribute):
            read = _ATTRIBUTES[column.name]
            yield structs.RunColumn(str(column), [read(row, self._now) for row in self.rows])


def _time(microseconds: int | None) -> str | None:
    return None if microseconds is None else rfc3339(microseconds)


def _duration(row: RunRow, now: int) -> float:
    end = row.ended
    if end is None:
        end = now if row.status == structs.RunStatus.RUNNING else row.updated
    return (end - row.created) / 1e6


_ATTRIBUTES: dict[str, Callable[[RunRow, int], object]] = {
    "name": lambda row, _now: row.name,
    "status": lambda row, _now: row.status,
    "user": lambda row, _now: row.username,
    "group": lambda row, _now: row.group_name,
    "job_type": lambda row, _now: row.job_type,
    "description": lambda row, _now: row.description,
    "notes": lambda row, _now: row.notes,
    "uuid": lambda row, _now: row.uuid,
    "parent": lambda row, _now: row.parent_uuid,
    "created": lambda row, _now: _time(row.created),
    "updated": lambda row, _now: _time(row.updated),
    "ended": lambda row, _now: _time(row.ended),
    "duration": _duration,
}
