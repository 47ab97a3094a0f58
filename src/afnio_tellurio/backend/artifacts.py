"""The operations that read artifacts, their versions, and the files of those."""

from __future__ import annotations

import re
from typing import NamedTuple

from msgspec import UNSET

from afnio_tellurio.backend.artifact_structs import Artifact, ArtifactFile
from afnio_tellurio.backend.blob_answers import blob_answer
from afnio_tellurio.backend.blob_structs import DIGEST_PATTERN
from afnio_tellurio.backend.requests import (
    Answer,
    Call,
    Refusal,
    cursor_of,
    integer_of,
    length_for,
    not_found,
    page_of,
    project_of,
    quoted,
    required_parameter,
    rfc3339,
    rows_for,
)
from afnio_tellurio.backend.store import artifacts as stored_artifacts
from afnio_tellurio.backend.structs import Step, encode
from afnio_tellurio.backend.version_references import (
    artifact_of,
    version_answer,
    version_of,
    version_response,
)

_MAX_PAGE = 1000
_MAX_FILES = 10_000


class _NameCursor(NamedTuple):
    """The last artifact of a page."""

    name: str


class _VersionCursor(NamedTuple):
    """The last version of a page."""

    number: Step


class _PathCursor(NamedTuple):
    """The last file of a page."""

    path: str


def list_artifacts(call: Call) -> Answer:
    """Returns the artifacts of the project that have versions, sorted by name."""
    limit = integer_of(call, "limit", 1, _MAX_PAGE)
    cursor = cursor_of(call, _NameCursor)
    digest = call.parameter("digest")
    if digest is not None and not re.fullmatch(DIGEST_PATTERN, digest):
        raise Refusal(400, {"digest": [f"{quoted(digest)} is not a SHA-256 in hexadecimal."]})
    with call.database.reading() as connection:
        rows = stored_artifacts.list_artifacts(
            connection,
            project_of(connection, call),
            type_=call.parameter("type"),
            digest=digest,
            after="" if cursor is None else cursor.name,
            limit=rows_for(limit),
        )
    page, headers = page_of(rows, limit, lambda row: _NameCursor(row.name))
    artifacts = [
        Artifact(
            name=row.name,
            type=row.type,
            latest=f"v{row.latest}",
            version_count=row.version_count,
            size=row.size,
            date_created=rfc3339(row.created),
            date_updated=rfc3339(row.updated),
        )
        for row in page
    ]
    return Answer(200, encode(artifacts), headers)


def list_artifact_versions(call: Call) -> Answer:
    """Returns the versions of the artifact, the newest first; fewer than the limit if large."""
    limit = integer_of(call, "limit", 1, _MAX_PAGE)
    cursor = cursor_of(call, _VersionCursor)
    name = call.path["artifact_name"]
    with call.database.reading() as connection:
        artifact = artifact_of(connection, project_of(connection, call), name)
        if not stored_artifacts.has_versions(connection, artifact):
            raise not_found(f"Artifact {name}")
        rows = stored_artifacts.list_versions(
            connection,
            artifact,
            before=None if cursor is None else cursor.number,
            limit=rows_for(limit),
            length=length_for(limit),
        )
    page, headers = page_of(
        rows, limit, lambda row: _VersionCursor(row.number), stored_artifacts.VersionRow.length
    )
    return Answer(200, encode([version_answer(row) for row in page]), headers)


def get_artifact_version(call: Call) -> Answer:
    """Returns the version."""
    with call.database.reading() as connection:
        version = version_of(
            connection,
            project_of(connection, call),
            call.path["artifact_name"],
            call.path["version"],
        )
        return version_response(200, connection, version)


def list_artifact_files(call: Call) -> Answer:
    """Returns the files of the version, sorted by path; fewer than the limit if large."""
    limit = integer_of(call, "limit", 1, _MAX_FILES)
    cursor = cursor_of(call, _PathCursor)
    with call.database.reading() as connection:
        version = version_of(
            connection,
            project_of(connection, call),
            call.path["artifact_name"],
            call.path["version"],
        )
        rows = stored_artifacts.list_files(
            connection,
            version,
            prefix=call.parameter("prefix") or "",
            after="" if cursor is None else cursor.path,
            limit=rows_for(limit),
            length=length_for(limit),
        )
    page, headers = page_of(
        rows, limit, lambda row: _PathCursor(row.path), stored_artifacts.FileRow.length
    )
    files = [
        ArtifactFile(
            row.path,
            digest=UNSET if row.digest is None else row.digest,
            size=UNSET if row.size is None else row.size,
            executable=bool(row.executable),
            reference=UNSET if row.reference is None else row.reference,
        )
        for row in page
    ]
    return Answer(200, encode(files), headers)


def download_artifact_file(call: Call) -> Answer:
    """Returns a file of the version, or a part of it. Its path is only compared with others."""
    path = required_parameter(call, "path")
    name, reference = call.path["artifact_name"], call.path["version"]
    with call.database.reading() as connection:
        version = version_of(connection, project_of(connection, call), name, reference)
        file = stored_artifacts.find_file(connection, version, path)
    if file is None:
        raise not_found(f"File {quoted(path)} of version {reference} of the artifact {name}")
    if file.blob is None or file.digest is None or file.size is None:
        message = (
            f"The backend does not have the bytes of {quoted(path)}: it is a reference to "
            f"{quoted(file.reference or '')}."
        )
        raise Refusal(400, {"path": [message]})
    return blob_answer(call, digest=file.digest, size=file.size, blob=file.blob)
