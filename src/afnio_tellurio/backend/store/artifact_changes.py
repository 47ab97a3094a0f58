"""Artifacts, their versions, and aliases: what changes them."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, NamedTuple

from afnio_tellurio.backend.store import trash

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable


class NewVersion(NamedTuple):
    """A version to create.

    Attributes:
        digest: The SHA-256 of its manifest.
        size: The bytes of its files.
        file_count: The number of its files.
        created: Microseconds since 1970.
        run: The id of the run that creates it, or None.
        description: Its description, or None.
        metadata: A JSON object, or None.
    """

    digest: str
    size: int
    file_count: int
    created: int
    run: int | None
    description: str | None
    metadata: str | None


#: The path, the id of the blob, the digest and the size without a blob, whether it can be executed,
#: and the reference of a file.
NewFile = tuple[str, int | None, str | None, int | None, bool, str | None]


def add_artifact(
    connection: sqlite3.Connection, project: int, name: str, type_: str, now: int
) -> tuple[int, str]:
    """Creates an artifact if none has this name. One without versions can get another type.

    Returns:
        Its id, and its type.
    """
    artifact, actual_type = connection.execute(
        "INSERT INTO artifacts (project, name, type, created, next_version) VALUES (?, ?, ?, ?, 0) "
        "ON CONFLICT (project, name) DO UPDATE SET created = CASE WHEN EXISTS "
        "(SELECT 1 FROM artifact_versions v WHERE v.artifact = artifacts.id) "
        "THEN created ELSE excluded.created END, type = CASE WHEN EXISTS "
        "(SELECT 1 FROM artifact_versions v WHERE v.artifact = artifacts.id "
        "AND (v.deleted IS NULL OR v.deleted > ?)) "
        "THEN type ELSE excluded.type END RETURNING id, type",
        (project, name, type_, now, trash.expired()),
    ).fetchone()
    return artifact, actual_type


def insert_version(
    connection: sqlite3.Connection, artifact: int, version: NewVersion, files: Iterable[NewFile]
) -> int:
    """Creates the next version of an artifact and returns its id."""
    (number,) = connection.execute(
        "UPDATE artifacts SET next_version = next_version + 1 WHERE id = ? "
        "RETURNING next_version - 1",
        (artifact,),
    ).fetchone()
    (identity,) = connection.execute(
        "INSERT INTO artifact_versions (uuid, artifact, number, digest, size, file_count, created, "
        "run, description, metadata) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
        (str(uuid.uuid4()), artifact, number, *version),
    ).fetchone()
    connection.executemany(
        "INSERT INTO artifact_files (version, path, blob, digest, size, executable, reference) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(identity, *file) for file in files],
    )
    return int(identity)


def find_request(connection: sqlite3.Connection, project: int, key: str) -> int | None:
    """Returns the id of the version that the request with this key recorded, or None."""
    row = connection.execute(
        "SELECT version FROM artifact_requests WHERE project = ? AND idempotency_key = ?",
        (project, key),
    ).fetchone()
    return None if row is None else row[0]


def add_request(connection: sqlite3.Connection, project: int, key: str, version: int) -> None:
    """Records which version the request with a key recorded."""
    connection.execute("INSERT INTO artifact_requests VALUES (?, ?, ?)", (project, key, version))


def set_aliases(connection: sqlite3.Connection, version: int, aliases: Iterable[str]) -> None:
    """Makes aliases name a version, instead of those that they named before."""
    connection.executemany(
        "INSERT INTO artifact_aliases SELECT artifact, ?, id FROM artifact_versions WHERE id = ? "
        "ON CONFLICT (artifact, alias) DO UPDATE SET version = excluded.version",
        [(alias, version) for alias in aliases],
    )


def delete_alias(connection: sqlite3.Connection, artifact: int, alias: str) -> bool:
    """Removes an alias.

    Returns:
        Whether there was one.
    """
    removed = connection.execute(
        "DELETE FROM artifact_aliases WHERE artifact = ? AND alias = ?", (artifact, alias)
    )
    return removed.rowcount > 0


def keep_newest(connection: sqlite3.Connection, version: int, count: int) -> None:
    """Marks all but the newest versions for `removal` that have no alias, and are not this one.

    Args:
        connection: A connection in a write transaction.
        version: The id of a version of the artifact, which stays.
        count: How many versions without an alias to keep, possibly this one too.
    """
    connection.execute(
        """
        WITH free AS (
          SELECT v.id, v.number FROM artifact_versions v
          WHERE v.artifact = (SELECT artifact FROM artifact_versions WHERE id = :version)
            AND v.deleted IS NULL
            AND NOT EXISTS (SELECT 1 FROM artifact_aliases l WHERE l.version = v.id)
        )
        UPDATE artifact_versions SET deleted = 0 WHERE id <> :version
          AND id IN (SELECT id FROM free ORDER BY number DESC LIMIT -1 OFFSET :count)
        """,
        {"version": version, "count": count},
    )


def trash_version(connection: sqlite3.Connection, version: int, *, is_purge: bool) -> None:
    """Moves a version to the trash, or marks it for `removal`; it loses its aliases."""
    connection.execute(
        "UPDATE artifact_versions SET deleted = ? WHERE id = ?",
        (0 if is_purge else time.time_ns() // 1000, version),
    )
    connection.execute("DELETE FROM artifact_aliases WHERE version = ?", (version,))


def restore_version(connection: sqlite3.Connection, version: int) -> None:
    """Moves a version back from the trash, if it is there."""
    connection.execute("UPDATE artifact_versions SET deleted = NULL WHERE id = ?", (version,))
