"""Which runs created and used which versions of artifacts."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import sqlite3

INPUT, OUTPUT = "input", "output"


class RunArtifactRow(NamedTuple):
    """A version that a run created or used.

    Attributes:
        id: The place in the order in which the run did.
        direction: `INPUT` or `OUTPUT`.
        artifact: The name of the artifact.
        number: The number of the version.
        type: The type of the artifact.
        digest: The digest of the version.
        size: Its bytes.
        time: When it was created or first used, in microseconds since 1970.
    """

    id: int
    direction: str
    artifact: str
    number: int
    type: str
    digest: str
    size: int
    time: int


class ArtifactRunRow(NamedTuple):
    """A run that created or used a version.

    Attributes:
        id: The place in the order in which they did.
        direction: `INPUT` or `OUTPUT`.
        run_uuid: The UUID of the run.
        run_name: Its name.
        time: When it created or first used the version, in microseconds since 1970.
    """

    id: int
    direction: str
    run_uuid: str
    run_name: str
    time: int


def add_use(
    connection: sqlite3.Connection, run: int, version: int, direction: str, time: int
) -> None:
    """Records that a run created or used a version, once."""
    connection.execute(
        "INSERT INTO artifact_uses (run, version, direction, time) VALUES (?, ?, ?, ?) "
        "ON CONFLICT DO NOTHING",
        (run, version, direction, time),
    )


def list_run_artifacts(
    connection: sqlite3.Connection, run: int, *, direction: str | None, after: int, limit: int
) -> list[RunArtifactRow]:
    """Returns the versions that a run created and used and that are not deleted, in order.

    Args:
        connection: A connection in a transaction.
        run: The id of the run.
        direction: `INPUT` or `OUTPUT`; None for both.
        after: The id of the row before the first one.
        limit: The maximum number; -1 for all.
    """
    rows = connection.execute(
        "SELECT u.id, u.direction, a.name, v.number, a.type, v.digest, v.size, u.time "
        "FROM artifact_uses u JOIN artifact_versions v ON v.id = u.version "
        "JOIN artifacts a ON a.id = v.artifact "
        "WHERE u.run = :run AND u.id > :after AND v.deleted IS NULL "
        "AND (:direction IS NULL OR u.direction = :direction) ORDER BY u.id LIMIT :limit",
        {"run": run, "after": after, "direction": direction, "limit": limit},
    )
    return list(map(RunArtifactRow._make, rows))


def list_artifact_runs(
    connection: sqlite3.Connection, version: int, *, after: int, limit: int
) -> list[ArtifactRunRow]:
    """Returns the runs that created and used a version and that are not deleted, in order.

    Args:
        connection: A connection in a transaction.
        version: The id of the version.
        after: The id of the row before the first one.
        limit: The maximum number; -1 for all.
    """
    rows = connection.execute(
        "SELECT u.id, u.direction, r.uuid, r.name, u.time "
        "FROM artifact_uses u JOIN runs r ON r.id = u.run "
        "WHERE u.version = ? AND u.id > ? AND r.project IS NOT NULL ORDER BY u.id LIMIT ?",
        (version, after, limit),
    )
    return list(map(ArtifactRunRow._make, rows))
