"""The operations on the tables of a run, and the rows in the requests that log metrics."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import msgspec

from afnio_tellurio.backend import structs
from afnio_tellurio.backend.requests import (
    Answer,
    Call,
    cursor_of,
    integer_of,
    length_for,
    page_of,
    required_parameter,
    rfc3339,
    rows_for,
    run_of,
)
from afnio_tellurio.backend.store import tables as stored_tables
from afnio_tellurio.backend.store import values

_MAX_TABLES = 1_000
_MAX_ROWS = 10_000

_Number = Annotated[int, msgspec.Meta(ge=0, le=structs.MAX_STEP)]


class _TableCursor(NamedTuple):
    """The last table of a page."""

    name: str


class _RowCursor(NamedTuple):
    """The last row of a page."""

    number: _Number


def new_row(
    table: str, raw: msgspec.Raw, row_key: str | None, timestamp: int
) -> stored_tables.NewRow:
    """Returns the row that a request has in place of a metric.

    Args:
        table: The name of its table.
        raw: Its fields.
        row_key: The field that identifies it, or None.
        timestamp: Microseconds since 1970.

    Raises:
        ValueError: The value cannot be stored exactly, is not an object, or does not have the
            field that identifies the row.
    """
    text, fields = values.stored_object(raw)
    if row_key is not None and row_key not in fields:
        raise ValueError(f"must have the field {row_key!r}, because row_key names it")
    return stored_tables.NewRow(table, row_key, timestamp, text)


def list_tables(call: Call) -> Answer:
    """Returns the tables of the run, sorted by name."""
    limit = integer_of(call, "limit", 1, _MAX_TABLES)
    cursor = cursor_of(call, _TableCursor)
    with call.database.reading() as connection:
        tables = stored_tables.list_tables(
            connection,
            run_of(connection, call),
            after="" if cursor is None else cursor.name,
            limit=rows_for(limit),
        )
    page, headers = page_of(tables, limit, lambda table: _TableCursor(table.name))
    answers = [
        structs.Table(table.name, table.rows, table.row_key, rfc3339(table.last_timestamp))
        for table in page
    ]
    return Answer(200, structs.encode(answers), headers)


def list_rows(call: Call) -> Answer:
    """Returns the rows of a table in their order of arrival; fewer than the limit if large."""
    limit = integer_of(call, "limit", 1, _MAX_ROWS)
    name = required_parameter(call, "name")
    cursor = cursor_of(call, _RowCursor)
    with call.database.reading() as connection:
        rows = stored_tables.list_rows(
            connection,
            run_of(connection, call),
            name,
            after=-1 if cursor is None else cursor.number,
            limit=rows_for(limit),
            length=length_for(limit),
        )
    page, headers = page_of(
        rows, limit, lambda row: _RowCursor(row.number), stored_tables.StoredRow.length
    )
    answers = [
        structs.TableRow(row.number, msgspec.Raw(row.json.encode()), rfc3339(row.timestamp))
        for row in page
    ]
    return Answer(200, structs.encode(answers), headers)
