"""Removes deleted runs and projects in slices, so that no other writer has to wait for long.

Deleting only marks: a deleted project has no namespace, and a deleted run has no project. What is
marked is invisible. It is removed by the request that deletes, and if that ends early, by later
requests that write, also of other processes.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from afnio_tellurio.backend.store.connections import gate

if TYPE_CHECKING:
    import sqlite3

    from afnio_tellurio.backend.store.database import Database

#: Rows that one transaction removes, which takes some hundredths of a second.
SLICE_ROWS = 5_000
#: Seconds between two slices, in which other writers get their turn.
_PAUSE = 0.01

_DELETED_RUN = """
SELECT id FROM (SELECT id FROM runs WHERE project IS NULL LIMIT 1) UNION ALL
SELECT r.id FROM projects p JOIN runs r ON r.project = p.id WHERE p.namespace IS NULL LIMIT 1
"""


def remove_deleted(database: Database, *, seconds: float = 0.0) -> None:
    """Removes one slice of what was deleted, and more for up to this many seconds."""
    give_up_at = time.monotonic() + seconds
    while remove_slice(database) and time.monotonic() < give_up_at:
        # A fork does not have to wait for this pause.
        gate.pass_through(_PAUSE)


def remove_slice(database: Database) -> bool:
    """Removes up to `SLICE_ROWS` rows of deleted runs and projects.

    Returns:
        Whether there may be more to remove.
    """
    with database.reading() as connection:
        if not _is_marked(connection):
            return False
    with database.writing() as connection:
        return _remove(connection, SLICE_ROWS) == 0


# Each of the following functions gets the number of rows that it may remove, and returns how many
# of them remain.


def _is_marked(connection: sqlite3.Connection) -> bool:
    (is_marked,) = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM runs WHERE project IS NULL) "
        "OR EXISTS (SELECT 1 FROM projects WHERE namespace IS NULL)"
    ).fetchone()
    return bool(is_marked)


def _remove(connection: sqlite3.Connection, budget: int) -> int:
    while budget > 0:
        run = connection.execute(_DELETED_RUN).fetchone()
        if run is None:
            return _remove_projects(connection, budget)
        budget = _remove_run(connection, run[0], budget)
    return 0


def _remove_run(connection: sqlite3.Connection, run: int, budget: int) -> int:
    while budget > 0:
        series = connection.execute("SELECT id FROM series WHERE run = ?", (run,)).fetchone()
        if series is None:
            break
        budget = _remove_series(connection, series[0], budget)
    if budget > 0:
        budget -= _remove_rows(connection, "writers", "run", "writer", run, budget)
    if budget > 0:
        connection.execute(
            "INSERT INTO deleted_runs SELECT uuid FROM runs WHERE id = ? ON CONFLICT DO NOTHING",
            (run,),
        )
        connection.execute("DELETE FROM runs WHERE id = ?", (run,))
        budget -= 1
    return budget


def _remove_series(connection: sqlite3.Connection, series: int, budget: int) -> int:
    for table, key in (("points", "step, arrival"), ("tiles", "width, tile")):
        budget -= _remove_rows(connection, table, "series", key, series, budget)
        if budget <= 0:
            return 0
    connection.execute("DELETE FROM series WHERE id = ?", (series,))
    return budget - 1


def _remove_rows(
    connection: sqlite3.Connection, table: str, owner: str, key: str, identity: int, limit: int
) -> int:
    """Removes the first rows of a run or series by primary key, and returns their number."""
    last = connection.execute(
        f"SELECT {key} FROM {table} WHERE {owner} = ? ORDER BY {key} LIMIT 1 OFFSET ?",  # noqa: S608 - constant names
        (identity, limit - 1),
    ).fetchone()
    condition, bound = f"{owner} = ?", ()
    if last is not None:
        condition, bound = f"{condition} AND ({key}) <= ({', '.join('?' * len(last))})", last
    return connection.execute(f"DELETE FROM {table} WHERE {condition}", (identity, *bound)).rowcount  # noqa: S608


def _remove_projects(connection: sqlite3.Connection, budget: int) -> int:
    removed = connection.execute(
        "DELETE FROM projects WHERE id IN "
        "(SELECT id FROM projects WHERE namespace IS NULL LIMIT ?)",
        (budget,),
    )
    return budget - removed.rowcount
