"""The tables of a run: appending rows, and reading them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from afnio_tellurio.backend.store.pages import rows_within

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable


class NewRow(NamedTuple):
    """A row to append.

    Attributes:
        table: The name of its table.
        row_key: The field that identifies it, or None.
        timestamp: Microseconds since 1970.
        json: Its fields as JSON.
    """

    table: str
    row_key: str | None
    timestamp: int
    json: str


class StoredTable(NamedTuple):
    """A table of a run.

    Attributes:
        name: Its name.
        rows: The number of its rows.
        row_key: The field that identifies a row, or None.
        last_timestamp: The time of its last row, in microseconds since 1970.
    """

    name: str
    rows: int
    row_key: str | None
    last_timestamp: int


class StoredRow(NamedTuple):
    """A row of a table.

    Attributes:
        number: The number of rows before it.
        timestamp: Microseconds since 1970.
        json: Its fields as JSON.
    """

    number: int
    timestamp: int
    json: str

    def length(self) -> int:
        """Returns about how many characters it has in a response."""
        return len(self.json)


def append_rows(connection: sqlite3.Connection, run: int, rows: Iterable[NewRow]) -> int:
    """Appends rows to tables of a run; new tables are created.

    Returns:
        The number of the last row in its table.
    """
    by_table: dict[str, list[NewRow]] = {}
    for row in rows:
        by_table.setdefault(row.table, []).append(row)
    count = 0
    for name, new_rows in by_table.items():
        row_key = next((row.row_key for row in reversed(new_rows) if row.row_key), None)
        size = sum(len(row.json) for row in new_rows)
        table, count = connection.execute(
            "INSERT INTO tables (run, name, count, bytes, last_timestamp, row_key) "
            "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (run, name) DO UPDATE SET "
            "count = tables.count + excluded.count, bytes = tables.bytes + excluded.bytes, "
            "last_timestamp = excluded.last_timestamp, "
            "row_key = coalesce(excluded.row_key, tables.row_key) RETURNING id, count",
            (run, name, len(new_rows), size, new_rows[-1].timestamp, row_key),
        ).fetchone()
        first = count - len(new_rows)
        connection.executemany(
            "INSERT INTO table_rows VALUES (?, ?, ?, ?)",
            [(table, first + index, row.timestamp, row.json) for index, row in enumerate(new_rows)],
        )
    return count - 1


def list_tables(
    connection: sqlite3.Connection, run: int, *, after: str, limit: int
) -> list[StoredTable]:
    """Returns the tables of a run with greater names, sorted by name, up to the limit; -1: all."""
    rows = connection.execute(
        "SELECT name, count, row_key, last_timestamp FROM tables WHERE run = ? AND name > ? "
        "ORDER BY name LIMIT ?",
        (run, after, limit),
    )
    return list(map(StoredTable._make, rows))


def list_rows(
    connection: sqlite3.Connection, run: int, name: str, *, after: int, limit: int, length: int
) -> list[StoredRow]:
    """Returns the rows of a table with greater numbers, in order.

    Args:
        connection: A connection in a transaction.
        run: The id of the run.
        name: The name of the table.
        after: The number of the row before the first one.
        limit: The maximum number of rows; -1 for all.
        length: The characters after which a list of several rows ends.
    """
    cursor = connection.execute(
        "SELECT r.number, r.timestamp, r.json FROM tables t JOIN table_rows r ON r.table_id = t.id "
        "WHERE t.run = ? AND t.name = ? AND r.number > ? ORDER BY r.number LIMIT ?",
        (run, name, after, limit),
    )
    return rows_within(map(StoredRow._make, cursor), length, StoredRow.length)
