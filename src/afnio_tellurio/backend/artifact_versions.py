"""The operations that create, delete and restore versions of artifacts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec
from msgspec import UnsetType

from afnio_tellurio.backend import configs
from afnio_tellurio.backend.artifact_contents import Contents, contents_of
from afnio_tellurio.backend.artifact_structs import ArtifactVersionCreate
from afnio_tellurio.backend.request_headers import idempotency_key_of
from afnio_tellurio.backend.requests import (
    Answer,
    Call,
    Refusal,
    boolean_of,
    current_time,
    project_of,
    run_of,
)
from afnio_tellurio.backend.store import artifact_changes, lineage
from afnio_tellurio.backend.store import artifacts as stored_artifacts
from afnio_tellurio.backend.store import blobs as stored_blobs
from afnio_tellurio.backend.structs import MAX_STEP, ErrorCode
from afnio_tellurio.backend.version_references import (
    LATEST,
    checked_alias,
    version_answer,
    version_of,
    version_response,
)

if TYPE_CHECKING:
    import sqlite3

    from afnio_tellurio.backend.structs import RawObject

MAX_METADATA_BYTES = 64 * 1024

_version_create = msgspec.json.Decoder(ArtifactVersionCreate)


@dataclass(frozen=True)
class _Request:
    """The body of createArtifactVersion, checked.

    Attributes:
        body: The body.
        contents: The files.
        metadata: A JSON object, or None.
    """

    body: ArtifactVersionCreate
    contents: Contents
    metadata: str | None

    @classmethod
    def of(cls, call: Call) -> _Request:
        body = call.decode_body(_version_create)
        for alias in body.aliases:
            checked_alias(alias, "aliases")
        if not isinstance(body.keep, UnsetType) and body.keep > MAX_STEP:
            raise Refusal(400, {"keep": ["It does not fit into 64 bits."]})
        metadata = _metadata_in(body.metadata)
        return cls(body, contents_of(call, body), metadata)


def _metadata_in(fields: RawObject | UnsetType) -> str | None:
    if isinstance(fields, UnsetType):
        return None
    metadata = configs.checked_object(fields, "metadata")
    size = len(metadata.encode())
    if size > MAX_METADATA_BYTES:
        message = f"It has {size} bytes; it may have up to {MAX_METADATA_BYTES}."
        raise Refusal(400, {"metadata": [message]})
    return metadata


def create_artifact_version(call: Call) -> Answer:
    """Creates a version of the artifact once per idempotency key and content."""
    key = idempotency_key_of(call)
    request = _Request.of(call)
    with call.database.writing() as connection:
        project = project_of(connection, call)
        known = None if key is None else artifact_changes.find_request(connection, project, key)
        if known is not None:
            return version_response(200, connection, known)
        now, run = current_time(), _run_in(connection, call, request.body)
        artifact = _artifact_in(connection, project, call, request.body, now)
        version = stored_artifacts.find_by_digest(connection, artifact, request.contents.digest)
        is_new = version is None
        if version is None:
            version = _insert(connection, project, artifact, request, run, now)
        artifact_changes.set_aliases(connection, version, request.body.aliases)
        if run is not None:
            lineage.add_use(connection, run, version, lineage.OUTPUT, now)
        if key is not None:
            artifact_changes.add_request(connection, project, key, version)
        if not isinstance(request.body.keep, UnsetType):
            artifact_changes.keep_newest(connection, version, request.body.keep)
        return version_response(201 if is_new else 200, connection, version)


def _run_in(connection: sqlite3.Connection, call: Call, body: ArtifactVersionCreate) -> int | None:
    if body.run_uuid is None:
        return None
    path = {**call.path, "run_uuid": str(body.run_uuid)}
    return run_of(connection, replace(call, path=path))


def _artifact_in(
    connection: sqlite3.Connection,
    project: int,
    call: Call,
    body: ArtifactVersionCreate,
    now: int,
) -> int:
    name = call.path["artifact_name"]
    artifact, type_ = artifact_changes.add_artifact(connection, project, name, body.type, now)
    if type_ != body.type:
        detail = f"The artifact {name} has the type {type_}."
        raise Refusal(409, {"detail": detail}, code=ErrorCode.TYPE_TAKEN)
    return artifact


def _insert(
    connection: sqlite3.Connection,
    project: int,
    artifact: int,
    request: _Request,
    run: int | None,
    now: int,
) -> int:
    files, blobs = request.contents.stored_in(connection, project)
    stored_blobs.mark_used(connection, blobs)
    new = artifact_changes.NewVersion(
        digest=request.contents.digest,
        size=request.contents.size,
        file_count=len(files),
        created=now,
        run=run,
        description=request.body.description,
        metadata=request.metadata,
    )
    return artifact_changes.insert_version(connection, artifact, new, files)


def delete_artifact_version(call: Call) -> Answer:
    """Moves the version to the trash, or purges it."""
    is_forced, is_purge = boolean_of(call, "force"), boolean_of(call, "purge")
    with call.database.writing() as connection:
        version = _version_in(connection, call, or_trashed=is_purge)
        if not is_forced:
            _require_no_alias(connection, version)
        artifact_changes.trash_version(connection, version, is_purge=is_purge)
    return Answer(204)


def _require_no_alias(connection: sqlite3.Connection, version: int) -> None:
    row = version_answer(stored_artifacts.read_version(connection, version))
    aliases = [alias for alias in row.aliases if alias != LATEST]
    if aliases:
        words = "the alias" if len(aliases) == 1 else "the aliases"
        detail = f"Version {row.version} of {row.artifact} has {words} {', '.join(aliases)}."
        raise Refusal(409, {"detail": detail}, code=ErrorCode.VERSION_ALIASED)


def restore_artifact_version(call: Call) -> Answer:
    """Moves the version back from the trash; one that is not there stays as it is."""
    with call.database.writing() as connection:
        version = _version_in(connection, call, or_trashed=True)
        artifact_changes.restore_version(connection, version)
        return version_response(200, connection, version)


def _version_in(connection: sqlite3.Connection, call: Call, *, or_trashed: bool) -> int:
    project = project_of(connection, call)
    name, reference = call.path["artifact_name"], call.path["version"]
    return version_of(connection, project, name, reference, or_trashed=or_trashed)
