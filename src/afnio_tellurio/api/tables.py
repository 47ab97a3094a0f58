"""The tables of a run, read back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import msgspec

from afnio_tellurio.api.answers import AnswerFields, as_numbers, is_numeric
from afnio_tellurio.api.frames import Tabular
from afnio_tellurio.api.html_tables import MAX_SHOWN_ROWS, render_table
from afnio_tellurio.special_numbers import restore

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Iterator

    from tellurio_api import models

    from afnio_tellurio.api.metrics import MetricHistory


@attrs.frozen
class TableSummary:
    """A summary of one table of a run.

    Attributes:
        count: The number of logged rows, with those that later ones replace.
        key: The field that identifies a row, or `None`.
        last_timestamp: When the last row was logged, with time zone.
    """

    count: int
    key: str | None
    last_timestamp: dt.datetime | None


def read_table_summary(model: models.Table) -> tuple[str, TableSummary]:
    """The name and the summary of a table in an answer to `listTables`."""
    field = AnswerFields("listTables")
    return field.text("name", model.name), TableSummary(
        count=field.integer("count", model.count),
        key=field.optional_text("row_key", model.row_key),
        last_timestamp=field.date("last_timestamp", model.last_timestamp),
    )


@attrs.frozen
class TableRows(Tabular):
    """The rows of one table, in the order in which they were logged.

    Attributes:
        name: The table's name.
        key: The field that identifies a row, or `None`.
        rows: The rows.
        timestamps: When each row was logged, with time zone; `None` if the backend does not say.
    """

    name: str
    key: str | None
    rows: list[dict[str, Any]] = attrs.field(repr=False)
    timestamps: list[dt.datetime | None] = attrs.field(repr=False)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.rows[index]

    def _repr_html_(self) -> str:
        count = len(self.rows)
        # All rows have a part in which columns there are, but only the first ones are shown.
        columns = {
            name: [row.get(name) for row in self.rows[:MAX_SHOWN_ROWS]]
            for name in dict.fromkeys(name for row in self.rows for name in row)
        }
        return render_table(columns, count, f"{self.name}: {count:,} row{'s' * (count != 1)}")

    def _columns(self) -> dict[str, list[Any]]:
        names = dict.fromkeys(name for row in self.rows for name in row)
        return {name: [row.get(name) for row in self.rows] for name in names}


def read_rows(
    name: str, key: str | None, models: Iterable[models.TableRow], *, replaced: bool
) -> TableRows:
    """The rows of answers to `listRows`.

    Args:
        name: The table's name.
        key: Its key, or None.
        models: The rows of the answers.
        replaced: Whether to keep rows that later ones replace.
    """
    field = AnswerFields("listRows")
    newest: dict[Any, tuple[dict[str, Any], dt.datetime | None]] = {}
    for index, model in enumerate(models):
        row = restore(field.json_object("value", model.value))
        # A row from before the table had the key stays.
        place: Any = index
        if key is not None and key in row and not replaced:
            place = msgspec.json.encode(row[key])
        newest[place] = row, field.optional_date("timestamp", model.timestamp)
    rows = [row for row, _time in newest.values()]
    return TableRows(name, key, rows, [time for _row, time in newest.values()])


def rows_of_history(history: MetricHistory) -> TableRows:
    """The rows that a backend without tables has as the values of a metric."""
    rows: list[dict[str, Any]] = []
    timestamps: list[dt.datetime | None] = []
    for value, timestamp in zip(history.values, history.timestamps, strict=True):
        if isinstance(value, dict):
            rows.append(value)  # pyright: ignore[reportUnknownArgumentType]
            timestamps.append(timestamp)
    return TableRows(history.name, None, _with_numbers(rows), timestamps)


def _with_numbers(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with floats in place of the words for NaN and the infinities in numeric fields."""
    columns: dict[str, list[Any]] = {}
    for row in rows:
        for name, value in row.items():
            if value is not None:
                columns.setdefault(name, []).append(value)
    numeric = {
        name
        for name, values in columns.items()
        if {str, list} & set(map(type, values)) and all(map(is_numeric, values))
    }
    if not numeric:
        return rows
    return [
        {
            name: as_numbers(value) if name in numeric and value is not None else value
            for name, value in row.items()
        }
        for row in rows
    ]


for _kind in (TableRows, TableSummary):
    # Tracebacks and reprs show a class as users import it; its module may change.
    _kind.__module__ = "afnio_tellurio"
