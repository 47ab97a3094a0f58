"""Namespaces and projects."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import sqlite3


#: Days of which the new runs are counted.
ACTIVE_DAYS = 30
#: Microseconds.
_DAY = 86_400_000_000


class NamespaceRow(NamedTuple):
    """A namespace."""

    uuid: str
    slug: str
    display_name: str


class ProjectRow(NamedTuple):
    """A project and its namespace. Times are in microseconds since 1970."""

    id: int
    uuid: str
    display_name: str
    slug: str
    created: int
    last_run_created: int | None
    visibility: str
    namespace_uuid: str
    namespace_display_name: str
    namespace_slug: str


class Activity(NamedTuple):
    """What the runs of a project do.

    Attributes:
        counts: The number of runs by status.
        last: When a run was created or changed last, in microseconds since 1970, or None.
        days: The number of runs that were created on each of the last days; the last is today.
    """

    counts: dict[str, int]
    last: int | None
    days: list[int]


_PROJECT = """
SELECT p.id, p.uuid, p.display_name, p.slug, p.created,
(SELECT max(created) FROM runs WHERE project = p.id), p.visibility, n.uuid, n.display_name, n.slug
FROM projects p JOIN namespaces n ON n.id = p.namespace
"""


def list_namespaces(
    connection: sqlite3.Connection, *, after: str, limit: int
) -> list[NamespaceRow]:
    """Returns the namespaces after a slug, sorted by slug, up to the limit; all if it is -1."""
    rows = connection.execute(
        "SELECT uuid, slug, display_name FROM namespaces WHERE slug > ? ORDER BY slug LIMIT ?",
        (after, limit),
    )
    return list(map(NamespaceRow._make, rows))


def find_namespace(connection: sqlite3.Connection, slug: str) -> int | None:
    """Returns the id of the namespace with this slug, or None if it does not exist."""
    row = connection.execute("SELECT id FROM namespaces WHERE slug = ?", (slug,)).fetchone()
    return None if row is None else row[0]


def add_namespace(connection: sqlite3.Connection, slug: str) -> int:
    """Creates a namespace if no namespace has this slug, and returns its id."""
    connection.execute(
        "INSERT INTO namespaces (uuid, slug, display_name) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        (str(uuid.uuid4()), slug, slug),
    )
    namespace = find_namespace(connection, slug)
    assert namespace is not None
    return namespace


def list_projects(
    connection: sqlite3.Connection, namespace: int | None, *, after: str, limit: int
) -> list[ProjectRow]:
    """Returns the projects of a namespace after a slug, sorted by slug, up to the limit.

    The namespace None has no projects. A limit of -1 returns all.
    """
    rows = connection.execute(
        f"{_PROJECT} WHERE p.namespace = ? AND p.slug > ? ORDER BY p.slug LIMIT ?",
        (namespace, after, limit),
    )
    return list(map(ProjectRow._make, rows))


def find_project(connection: sqlite3.Connection, namespace: int | None, slug: str) -> int | None:
    """Returns the id of the project with this slug, or None if it does not exist."""
    row = connection.execute(
        "SELECT id FROM projects WHERE namespace = ? AND slug = ?", (namespace, slug)
    ).fetchone()
    return None if row is None else row[0]


def read_project(connection: sqlite3.Connection, project: int) -> ProjectRow:
    """Returns the project with this id."""
    row = connection.execute(f"{_PROJECT} WHERE p.id = ?", (project,)).fetchone()
    return ProjectRow._make(row)


def read_activity(connection: sqlite3.Connection, project: int, now: int) -> Activity:
    """Returns what the runs of a project do; indexes have all that it reads.

    Args:
        connection: A connection in a transaction.
        project: The id of the project.
        now: The current time, in microseconds since 1970.
    """
    rows = connection.execute(
        "SELECT status, count(*), max(updated) FROM runs WHERE project = ? AND deleted IS NULL "
        "GROUP BY status",
        (project,),
    ).fetchall()
    first = now // _DAY - ACTIVE_DAYS + 1
    days = [0] * ACTIVE_DAYS
    for day, count in connection.execute(
        "SELECT created / ? AS day, count(*) FROM runs WHERE project = ? AND created >= ? "
        "AND created < ? GROUP BY day",
        (_DAY, project, first * _DAY, (first + ACTIVE_DAYS) * _DAY),
    ):
        days[day - first] = count
    counts = {status: count for status, count, _updated in rows}
    return Activity(counts, max((updated for *_, updated in rows), default=None), days)


def insert_project(
    connection: sqlite3.Connection,
    namespace: int | None,
    *,
    slug: str,
    display_name: str,
    visibility: str,
    created: int,
) -> int | None:
    """Creates a project and returns its id, or None if a project has this slug."""
    row = connection.execute(
        "INSERT INTO projects (uuid, namespace, slug, display_name, visibility, created) "
        "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id",
        (str(uuid.uuid4()), namespace, slug, display_name, visibility, created),
    ).fetchone()
    return None if row is None else row[0]
