"""The trash: what was deleted and can be restored, until `removal` removes it.

A run in the trash has a `former_project` in the place of its project, and a project in the trash a
`former_namespace`. These, and versions of artifacts, have the time of their deletion; it is 0 if
they are to be removed at once.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import sqlite3

#: Microseconds that the trash keeps a project or run.
KEPT = 30 * 24 * 60 * 60 * 1_000_000
#: Bytes in the database of a run with its index entries, of a series, of a point without its text,
#: with its share of the tiles, and of a row of a table without its text; measured.
_RUN_BYTES, _SERIES_BYTES, _POINT_BYTES, _ROW_BYTES = 300, 120, 16, 20


class TrashedRow(NamedTuple):
    """A project or run in the trash.

    Attributes:
        deleted: When it was deleted, in microseconds since 1970.
        kind: "project" or "run".
        id: Its id.
        uuid: Its UUID.
        name: The display name of the project, or the name of the run.
        project_slug: The slug of the project, or of the project that had the run.
    """

    deleted: int
    kind: str
    id: int
    uuid: str
    name: str
    project_slug: str


_TRASH = """
SELECT deleted, 'project' AS kind, id, uuid, display_name, slug FROM projects
WHERE former_namespace = :namespace AND deleted > :expired
UNION ALL
SELECT r.deleted, 'run' AS kind, r.id, r.uuid, r.name, p.slug
FROM projects p JOIN runs r ON r.former_project = p.id
WHERE p.namespace = :namespace AND r.deleted > :expired
"""
#: An estimate: the last text of a series stands for all of its texts.
_BYTES = """
WITH chosen AS (
  SELECT id FROM runs WHERE id = :run UNION ALL
  SELECT id FROM runs WHERE project = :project UNION ALL
  SELECT id FROM runs WHERE former_project = :project AND deleted IS NOT NULL
)
SELECT
  (SELECT coalesce(sum(:run_bytes + length(CAST(config AS BLOB))
    + coalesce(length(CAST(environment AS BLOB)), 0)
    + coalesce(length(CAST(notes AS BLOB)), 0)
    + coalesce(length(CAST(description AS BLOB)), 0)), 0)
    FROM chosen JOIN runs USING (id))
  + (SELECT coalesce(sum(:series_bytes
    + count * (:point_bytes + coalesce(length(CAST(last_json AS BLOB)), 0))), 0)
    FROM chosen JOIN series ON run = chosen.id)
  + (SELECT coalesce(sum(bytes + count * :row_bytes), 0)
    FROM chosen JOIN tables ON run = chosen.id)
  + (SELECT coalesce(sum(length(CAST(config_patch AS BLOB))), 0)
    FROM chosen JOIN run_changes ON run = chosen.id)
  + (SELECT coalesce(sum(b.size), 0) FROM run_files f JOIN blobs b ON b.id = f.blob
    WHERE f.run = :run)
  + (SELECT coalesce(sum(size), 0) FROM blobs WHERE project = :project)
"""


def expired() -> int:
    """Returns the time at which, and before which, what was deleted is not kept any more."""
    return time.time_ns() // 1000 - KEPT


def list_trash(
    connection: sqlite3.Connection,
    namespace: int | None,
    *,
    after: tuple[int, str, int] | None,
    limit: int,
) -> list[TrashedRow]:
    """Returns what is in the trash of a namespace, deleted last first, up to the limit.

    Args:
        connection: A connection in a transaction.
        namespace: The namespace; None has no trash.
        after: The time, the kind and the id of the item that they follow in the list; or None.
        limit: The maximum number; -1 for all.
    """
    condition = "" if after is None else "WHERE (deleted, kind, id) < (:deleted, :kind, :id)"
    deleted, kind, identity = after or (0, "", 0)
    rows = connection.execute(
        f"SELECT * FROM ({_TRASH}) {condition} ORDER BY deleted DESC, kind DESC, id DESC "  # noqa: S608 - constants
        "LIMIT :limit",
        {
            "namespace": namespace,
            "expired": expired(),
            "deleted": deleted,
            "kind": kind,
            "id": identity,
            "limit": limit,
        },
    )
    return list(map(TrashedRow._make, rows))


def bytes_of(connection: sqlite3.Connection, kind: str, identity: int) -> int:
    """Returns about how many bytes a run, or a project with all that it has, takes on the disk."""
    (number,) = connection.execute(
        _BYTES,
        {
            "run": identity if kind == "run" else None,
            "project": identity if kind == "project" else None,
            "run_bytes": _RUN_BYTES,
            "series_bytes": _SERIES_BYTES,
            "point_bytes": _POINT_BYTES,
            "row_bytes": _ROW_BYTES,
        },
    ).fetchone()
    return int(number)


def trash_run(connection: sqlite3.Connection, run: int) -> None:
    """Moves a run to the trash."""
    connection.execute(
        "UPDATE runs SET former_project = project, project = NULL, deleted = ? WHERE id = ?",
        (time.time_ns() // 1000, run),
    )


def trash_project(connection: sqlite3.Connection, project: int) -> None:
    """Moves a project and its runs to the trash."""
    connection.execute(
        "UPDATE projects SET former_namespace = namespace, namespace = NULL, deleted = ? "
        "WHERE id = ?",
        (time.time_ns() // 1000, project),
    )


def purge_run(connection: sqlite3.Connection, run: int) -> None:
    """Marks a run, which may be in the trash, for `removal`."""
    connection.execute(
        "UPDATE runs SET former_project = coalesce(project, former_project), project = NULL, "
        "deleted = 0 WHERE id = ?",
        (run,),
    )


def purge_project(connection: sqlite3.Connection, project: int) -> None:
    """Marks a project, which may be in the trash, and its runs for `removal`."""
    connection.execute(
        "UPDATE projects SET former_namespace = coalesce(namespace, former_namespace), "
        "namespace = NULL, deleted = 0 WHERE id = ?",
        (project,),
    )


def find_run(connection: sqlite3.Connection, project: int, run_uuid: str) -> int | None:
    """Returns the id of the run in the trash of the project, or None if it is not there."""
    row = connection.execute(
        "SELECT id FROM runs WHERE uuid = ? AND former_project = ? AND deleted > ?",
        (run_uuid, project, expired()),
    ).fetchone()
    return None if row is None else row[0]


def find_project(connection: sqlite3.Connection, namespace: int | None, slug: str) -> int | None:
    """Returns the id of the project with this UUID, or of the last one with this slug, or None."""
    row = connection.execute(
        "SELECT id FROM projects WHERE former_namespace = ? AND ? IN (slug, uuid) AND deleted > ? "
        "ORDER BY uuid = ? DESC, deleted DESC, id DESC LIMIT 1",
        (namespace, slug, expired(), slug),
    ).fetchone()
    return None if row is None else row[0]


def slug_of_project(connection: sqlite3.Connection, project: int) -> str:
    """Returns the slug of a project in the trash."""
    (slug,) = connection.execute("SELECT slug FROM projects WHERE id = ?", (project,)).fetchone()
    return str(slug)


def name_of_run(connection: sqlite3.Connection, run: int) -> str | None:
    """Returns the name of a run in the trash, or None if the run is not there."""
    row = connection.execute(
        "SELECT name FROM runs WHERE id = ? AND deleted IS NOT NULL", (run,)
    ).fetchone()
    return None if row is None else row[0]


def restore_run(connection: sqlite3.Connection, run: int, *, name: str, now: int) -> None:
    """Moves a run back to its project, with this name; another name is an update at this time."""
    connection.execute(
        "UPDATE runs SET name = :name, updated = max(:now, updated + 1) "
        "WHERE id = :run AND name <> :name",
        {"name": name, "now": now, "run": run},
    )
    connection.execute(
        "UPDATE runs SET idempotency_key = NULL WHERE id = ? AND EXISTS (SELECT 1 FROM runs other "
        "WHERE other.project = runs.former_project "
        "AND other.idempotency_key = runs.idempotency_key)",
        (run,),
    )
    connection.execute(
        "UPDATE runs SET project = former_project, former_project = NULL, deleted = NULL "
        "WHERE id = ?",
        (run,),
    )


def restore_project(connection: sqlite3.Connection, project: int) -> None:
    """Moves a project back to its namespace."""
    connection.execute(
        "UPDATE projects SET namespace = former_namespace, former_namespace = NULL, "
        "deleted = NULL WHERE id = ?",
        (project,),
    )


def purge_expired(connection: sqlite3.Connection) -> None:
    """Marks what is not kept any more for `removal`."""
    for table in ("runs", "projects", "artifact_versions"):
        connection.execute(
            f"UPDATE {table} SET deleted = 0 WHERE deleted > 0 AND deleted <= ?",  # noqa: S608 - constants
            (expired(),),
        )


def is_anything_expired(connection: sqlite3.Connection) -> bool:
    """Returns whether `removal` has something to remove."""
    (has_work,) = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM runs WHERE deleted <= :expired) "
        "OR EXISTS (SELECT 1 FROM projects WHERE deleted <= :expired) "
        "OR EXISTS (SELECT 1 FROM artifact_versions WHERE deleted <= :expired)",
        {"expired": expired()},
    ).fetchone()
    return bool(has_work)
