"""Runs, their users, and the UUIDs of deleted runs."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

from afnio_tellurio.backend.store.schema import UNKNOWN_DELETED_RUNS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping


class RunRow(NamedTuple):
    """A run, its project and its user. Times are in microseconds since 1970.

    Attributes:
        config: A JSON object.
        tags: A JSON array, in no order.
        ended_because: A JSON object, or None.
        environment: A JSON object, or None; always None in a list.
    """

    id: int
    uuid: str
    name: str
    description: str | None
    status: str
    created: int
    updated: int
    group_name: str | None
    job_type: str | None
    parent_uuid: str | None
    ended: int | None
    ended_because: str | None
    notes: str | None
    config: str
    tags: str
    environment: str | None
    project_uuid: str
    project_display_name: str
    project_slug: str
    user_uuid: str
    username: str
    user_slug: str

    def length(self) -> int:
        """Returns about how many characters it has in a response."""
        texts = (self.description, self.ended_because, self.notes, self.config, self.tags)
        return sum(len(text) for text in texts if text is not None)


#: The columns of a `RunRow` up to its environment, and after it.
_FIRST = """
r.id, r.uuid, r.name, r.description, r.status, r.created, r.updated,
  r.group_name, r.job_type, r.parent_uuid, r.ended, r.ended_because, r.notes, r.config,
  (SELECT json_group_array(t.tag) FROM run_tags t WHERE t.run = r.id)"""
_LAST = "p.uuid, p.display_name, p.slug, u.uuid, u.username, u.slug"
#: The columns in a list.
COLUMNS_IN_LIST = f"{_FIRST}, NULL, {_LAST}"
#: Joins the tables of these columns to `runs r`.
JOINS = "JOIN projects p ON p.id = r.project JOIN users u ON u.id = r.user"


def read_run(connection: sqlite3.Connection, run: int) -> RunRow:
    """Returns the run with this id."""
    query = f"SELECT {_FIRST}, r.environment, {_LAST} FROM runs r {JOINS} WHERE r.id = ?"  # noqa: S608 - constant
    return RunRow._make(connection.execute(query, (run,)).fetchone())


def find_run(connection: sqlite3.Connection, project: int, run_uuid: str) -> int | None:
    """Returns the id of the project's run with this UUID, or None if it does not exist."""
    row = connection.execute(
        "SELECT id FROM runs WHERE project = ? AND uuid = ?", (project, run_uuid)
    ).fetchone()
    return None if row is None else row[0]


def find_in_any_project(connection: sqlite3.Connection, run_uuid: str) -> tuple[int, int] | None:
    """Returns the ids of the run with this UUID and of its project, or None if it is missing."""
    row: tuple[int, int] | None = connection.execute(
        "SELECT r.id, p.id FROM runs r JOIN projects p ON p.id = r.project "
        "WHERE r.uuid = ? AND p.namespace IS NOT NULL",
        (run_uuid,),
    ).fetchone()
    return row


def find_by_idempotency_key(
    connection: sqlite3.Connection, project: int, key: str | None
) -> tuple[int, str] | None:
    """Returns the id and the UUID of the run that was created with this key, or None."""
    row: tuple[int, str] | None = connection.execute(
        "SELECT id, uuid FROM runs WHERE project = ? AND idempotency_key = ?", (project, key)
    ).fetchone()
    return row


def is_name_taken(connection: sqlite3.Connection, project: int, name: str, run: int) -> bool:
    """Returns whether a run of the project other than this one has the name."""
    row = connection.execute(
        "SELECT 1 FROM runs WHERE project = ? AND name = ? AND id <> ?", (project, name, run)
    ).fetchone()
    return row is not None


def insert_run(
    connection: sqlite3.Connection,
    project: int,
    *,
    run_uuid: str,
    user: int,
    name: str,
    description: str | None,
    status: str,
    created: int,
    updated: int,
    ended: int | None,
    idempotency_key: str | None,
    group_name: str | None,
    job_type: str | None,
    parent_uuid: str | None,
    notes: str | None,
    config: str,
) -> int:
    """Creates a run and returns its id."""
    (run,) = connection.execute(
        "INSERT INTO runs (uuid, project, user, name, description, status, created, updated, "
        "idempotency_key, ended, group_name, job_type, parent_uuid, notes, config) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
        (
            *(run_uuid, project, user, name, description, status, created, updated),
            *(idempotency_key, ended, group_name, job_type, parent_uuid, notes, config),
        ),
    ).fetchone()
    return int(run)


def update_run(connection: sqlite3.Connection, run: int, changes: Mapping[str, Any]) -> None:
    """Changes a run. The keys of the changes are names of columns."""
    columns = ", ".join(f"{column} = ?" for column in changes)
    connection.execute(
        f"UPDATE runs SET {columns} WHERE id = ?",  # noqa: S608 - constant column names
        (*changes.values(), run),
    )


def is_deleted(connection: sqlite3.Connection, run_uuid: str) -> bool:
    """Returns whether a run with this UUID was deleted; it may be in the trash."""
    row = connection.execute(
        "SELECT 1 FROM deleted_runs WHERE uuid = ? UNION ALL "
        "SELECT 1 FROM runs r LEFT JOIN projects p ON p.id = r.project "
        "WHERE r.uuid = ? AND p.namespace IS NULL",
        (run_uuid, run_uuid),
    ).fetchone()
    return row is not None


def has_unknown_deletions(connection: sqlite3.Connection) -> bool:
    """Returns whether runs were deleted before the database recorded their UUIDs."""
    return is_deleted(connection, UNKNOWN_DELETED_RUNS)


def add_user(connection: sqlite3.Connection, username: str, slug: str) -> int:
    """Creates a user if no user has this name, and returns the id of the user."""
    connection.execute(
        "INSERT INTO users (uuid, username, slug) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        (str(uuid.uuid4()), username, slug),
    )
    (user,) = connection.execute("SELECT id FROM users WHERE username = ?", (username,)).fetchone()
    return int(user)
