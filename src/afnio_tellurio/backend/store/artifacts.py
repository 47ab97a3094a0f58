"""Artifacts, their versions, and the files of those: what can be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from afnio_tellurio.backend.store import trash
from afnio_tellurio.backend.store.pages import rows_within

if TYPE_CHECKING:
    import sqlite3


class ArtifactRow(NamedTuple):
    """An artifact and its versions. Times are in microseconds since 1970.

    Attributes:
        name: Its name.
        type: Its type.
        latest: The number of its newest version.
        version_count: The number of its versions.
        size: The bytes of all versions.
        created: When it was created.
        updated: When the newest version was created.
    """

    name: str
    type: str
    latest: int
    version_count: int
    size: int
    created: int
    updated: int


class VersionRow(NamedTuple):
    """A version of an artifact.

    Attributes:
        created: Microseconds since 1970.
        aliases: A JSON array, in no order, without `latest`.
        is_latest: Whether it is the newest version; None if the artifact has none.
        run_uuid: The run that created it, unless it is deleted.
        metadata: A JSON object, or None.
    """

    id: int
    uuid: str
    artifact: str
    type: str
    number: int
    digest: str
    size: int
    file_count: int
    created: int
    aliases: str
    is_latest: int | None
    run_uuid: str | None
    description: str | None
    metadata: str | None

    def length(self) -> int:
        """Returns about how many characters it has in a response."""
        return sum(len(text) for text in (self.aliases, self.description, self.metadata) if text)


class FileRow(NamedTuple):
    """A file of a version.

    Attributes:
        path: Its path.
        blob: The id of its blob; None if the backend does not have the bytes.
        digest: The digest of its bytes, if known.
        size: Its size in bytes, if known.
        executable: 1 if it can be executed, else 0.
        reference: Where the bytes are, or None.
    """

    path: str
    blob: int | None
    digest: str | None
    size: int | None
    executable: int
    reference: str | None

    def length(self) -> int:
        """Returns about how many characters it has in a response."""
        return len(self.path) + len(self.reference or "")


#: The digests of blobs are not repeated in the rows of files.
_FILE = """
SELECT f.path, f.blob, coalesce(f.digest, b.digest), coalesce(f.size, b.size), f.executable,
  f.reference
FROM artifact_files f LEFT JOIN blobs b ON b.id = f.blob
WHERE f.version = ?
"""
_VERSION = """
SELECT v.id, v.uuid, a.name, a.type, v.number, v.digest, v.size, v.file_count, v.created,
  (SELECT json_group_array(l.alias) FROM artifact_aliases l WHERE l.version = v.id),
  v.deleted IS NULL AND v.number = (SELECT max(o.number) FROM artifact_versions o
    WHERE o.artifact = v.artifact AND o.deleted IS NULL),
  (SELECT r.uuid FROM runs r WHERE r.id = v.run AND r.project IS NOT NULL),
  v.description, v.metadata
FROM artifacts a JOIN artifact_versions v ON v.artifact = a.id
"""
#: The total is a float, which does not overflow.
_ARTIFACTS = """
SELECT a.name, a.type, max(v.number), count(*), CAST(total(v.size) AS INTEGER), a.created,
  max(v.created)
FROM artifacts a JOIN artifact_versions v ON v.artifact = a.id
WHERE a.project = :project AND a.name > :after AND v.deleted IS NULL
  AND (:type IS NULL OR a.type = :type)
  AND (:digest IS NULL OR EXISTS (SELECT 1 FROM artifact_versions o
    WHERE o.artifact = a.id AND o.digest = :digest AND o.deleted IS NULL))
GROUP BY a.project, a.name ORDER BY a.name LIMIT :limit
"""


def list_artifacts(
    connection: sqlite3.Connection,
    project: int,
    *,
    type_: str | None,
    digest: str | None,
    after: str,
    limit: int,
) -> list[ArtifactRow]:
    """Returns the artifacts of a project that have versions, sorted by name.

    Args:
        connection: A connection in a transaction.
        project: The id of the project.
        type_: Their type; None for all.
        digest: The digest of one of their versions; None for all.
        after: The name of the one before the first.
        limit: The maximum number; -1 for all.
    """
    rows = connection.execute(
        _ARTIFACTS,
        {"project": project, "after": after, "type": type_, "digest": digest, "limit": limit},
    )
    return list(map(ArtifactRow._make, rows))


def find_artifact(connection: sqlite3.Connection, project: int, name: str) -> int | None:
    """Returns the id of the artifact, which may have no version, or None if it never existed."""
    row = connection.execute(
        "SELECT id FROM artifacts WHERE project = ? AND name = ?", (project, name)
    ).fetchone()
    return None if row is None else row[0]


def has_versions(connection: sqlite3.Connection, artifact: int) -> bool:
    """Returns whether the artifact has a version that is not deleted."""
    return find_latest(connection, artifact) is not None


def list_versions(
    connection: sqlite3.Connection, artifact: int, *, before: int | None, limit: int, length: int
) -> list[VersionRow]:
    """Returns the versions of an artifact, the newest first.

    Args:
        connection: A connection in a transaction.
        artifact: The id of the artifact.
        before: The number of the version before the first one in the list, or None.
        limit: The maximum number; -1 for all.
        length: The characters after which a list of several versions ends.
    """
    cursor = connection.execute(
        f"{_VERSION} WHERE a.id = :artifact AND v.deleted IS NULL "
        "AND (:before IS NULL OR v.number < :before) ORDER BY v.number DESC LIMIT :limit",
        {"artifact": artifact, "before": before, "limit": limit},
    )
    return rows_within(map(VersionRow._make, cursor), length, VersionRow.length)


def read_version(connection: sqlite3.Connection, version: int) -> VersionRow:
    """Returns the version with this id, also a deleted one."""
    row = connection.execute(f"{_VERSION} WHERE v.id = ?", (version,)).fetchone()
    return VersionRow._make(row)


def find_latest(connection: sqlite3.Connection, artifact: int) -> int | None:
    """Returns the id of the newest version, or None."""
    row = connection.execute(
        "SELECT id FROM artifact_versions WHERE artifact = ? AND deleted IS NULL "
        "ORDER BY number DESC LIMIT 1",
        (artifact,),
    ).fetchone()
    return None if row is None else row[0]


def find_by_number(
    connection: sqlite3.Connection, artifact: int, number: int, *, or_trashed: bool
) -> int | None:
    """Returns the id of the version with this number, or None."""
    return _find(connection, artifact, "number = ?", number, or_trashed=or_trashed)


def find_by_digest(
    connection: sqlite3.Connection, artifact: int, digest: str, *, or_trashed: bool = False
) -> int | None:
    """Returns the id of the version with this digest, or None."""
    return _find(connection, artifact, "digest = ?", digest, or_trashed=or_trashed)


def _find(
    connection: sqlite3.Connection,
    artifact: int,
    condition: str,
    value: int | str,
    *,
    or_trashed: bool,
) -> int | None:
    """Returns the newest version that is not deleted, or if wanted, the newest in the trash."""
    row = connection.execute(
        f"SELECT id FROM artifact_versions WHERE artifact = ? AND {condition} "  # noqa: S608 - constants
        "AND (deleted IS NULL OR (? AND deleted > ?)) "
        "ORDER BY deleted IS NULL DESC, number DESC LIMIT 1",
        (artifact, value, or_trashed, trash.expired()),
    ).fetchone()
    return None if row is None else row[0]


def find_by_alias(connection: sqlite3.Connection, artifact: int, alias: str) -> int | None:
    """Returns the id of the version that a chosen alias names, or None."""
    row = connection.execute(
        "SELECT version FROM artifact_aliases WHERE artifact = ? AND alias = ?", (artifact, alias)
    ).fetchone()
    return None if row is None else row[0]


def list_files(
    connection: sqlite3.Connection,
    version: int,
    *,
    prefix: str,
    after: str,
    limit: int,
    length: int,
) -> list[FileRow]:
    """Returns the files of a version, sorted by path.

    Args:
        connection: A connection in a transaction.
        version: The id of the version.
        prefix: The text with which their paths start.
        after: The path of the file before the first one.
        limit: The maximum number; -1 for all.
        length: The characters after which a list of several files ends.
    """
    cursor = connection.execute(
        f"{_FILE} AND f.path > ? AND f.path >= ? AND substr(f.path, 1, ?) = ? "
        "ORDER BY f.path LIMIT ?",
        (version, after, prefix, len(prefix), prefix, limit),
    )
    return rows_within(map(FileRow._make, cursor), length, FileRow.length)


def find_file(connection: sqlite3.Connection, version: int, path: str) -> FileRow | None:
    """Returns the file of a version with exactly this path, or None."""
    row = connection.execute(f"{_FILE} AND f.path = ?", (version, path)).fetchone()
    return None if row is None else FileRow._make(row)
