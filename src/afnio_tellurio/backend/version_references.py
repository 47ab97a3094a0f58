"""Versions that requests name, and versions in responses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from afnio_tellurio.backend.artifact_structs import NAME_PATTERN, ArtifactVersion
from afnio_tellurio.backend.requests import Answer, Refusal, not_found, rfc3339
from afnio_tellurio.backend.store import artifacts as stored_artifacts
from afnio_tellurio.backend.structs import encode

if TYPE_CHECKING:
    import sqlite3

#: The alias of the newest version.
LATEST = "latest"

_DIGEST_PREFIX = "sha256:"
_NUMBER = re.compile("v(0|[1-9][0-9]{0,17})")
_RESERVED = re.compile("latest|v[0-9]+")
_aliases = msgspec.json.Decoder(list[str])


def artifact_of(connection: sqlite3.Connection, project: int, name: str) -> int:
    """Returns the id of an artifact, also one whose versions are all deleted.

    Raises:
        Refusal: It never existed.
    """
    artifact = stored_artifacts.find_artifact(connection, project, name)
    if artifact is None:
        raise not_found(f"Artifact {name}")
    return artifact


def version_of(
    connection: sqlite3.Connection,
    project: int,
    name: str,
    reference: str,
    *,
    or_trashed: bool = False,
) -> int:
    """Returns the id of a version.

    Args:
        connection: A connection in a transaction.
        project: The id of the project.
        name: The name of the artifact.
        reference: The version, such as `v3`, an alias, or `sha256:` and the digest.
        or_trashed: Whether it may be in the trash, if no other has this number or digest.

    Raises:
        Refusal: It does not exist.
    """
    artifact = artifact_of(connection, project, name)
    number = _NUMBER.fullmatch(reference)
    if number:
        version = stored_artifacts.find_by_number(
            connection, artifact, int(number[1]), or_trashed=or_trashed
        )
    elif reference.startswith(_DIGEST_PREFIX):
        digest = reference.removeprefix(_DIGEST_PREFIX)
        version = stored_artifacts.find_by_digest(
            connection, artifact, digest, or_trashed=or_trashed
        )
    elif reference == LATEST:
        version = stored_artifacts.find_latest(connection, artifact)
    else:
        version = stored_artifacts.find_by_alias(connection, artifact, reference)
    if version is None:
        raise not_found(f"Version {reference} of the artifact {name}")
    return version


def checked_alias(alias: str, field_name: str) -> str:
    """Returns an alias that can be chosen.

    Raises:
        Refusal: It cannot.
    """
    if not re.fullmatch(NAME_PATTERN, alias):
        raise Refusal(400, {field_name: [f"{alias!r} is not a valid alias."]})
    if _RESERVED.fullmatch(alias):
        message = f"{alias} cannot be chosen; it names a version already, or will."
        raise Refusal(400, {field_name: [message]})
    return alias


def version_answer(row: stored_artifacts.VersionRow) -> ArtifactVersion:
    """Returns a version as responses have it."""
    aliases = _aliases.decode(row.aliases)
    if row.is_latest:
        aliases.append(LATEST)
    return ArtifactVersion(
        uuid=row.uuid,
        artifact=row.artifact,
        type=row.type,
        version=f"v{row.number}",
        digest=row.digest,
        size=row.size,
        file_count=row.file_count,
        date_created=rfc3339(row.created),
        aliases=sorted(aliases),
        description=row.description,
        metadata=msgspec.Raw((row.metadata or "{}").encode()),
        run_uuid=row.run_uuid,
    )


def version_response(status: int, connection: sqlite3.Connection, version: int) -> Answer:
    """Returns the response with a version."""
    row = stored_artifacts.read_version(connection, version)
    return Answer(status, encode(version_answer(row)))
