"""The operations on blobs, artifacts, and files of runs: one function for each."""

from __future__ import annotations

import base64
import uuid
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict, cast

from tellurio_api import models
from tellurio_api.api.artifacts import abort_upload as abort_upload_operation
from tellurio_api.api.artifacts import check_blobs as check_blobs_operation
from tellurio_api.api.artifacts import complete_upload as complete_upload_operation
from tellurio_api.api.artifacts import create_artifact_version as create_artifact_version_operation
from tellurio_api.api.artifacts import create_upload as create_upload_operation
from tellurio_api.api.artifacts import delete_artifact_alias as delete_artifact_alias_operation
from tellurio_api.api.artifacts import delete_artifact_version as delete_artifact_version_operation
from tellurio_api.api.artifacts import download_artifact_file as download_artifact_file_operation
from tellurio_api.api.artifacts import download_run_file as download_run_file_operation
from tellurio_api.api.artifacts import get_artifact_version as get_artifact_version_operation
from tellurio_api.api.artifacts import get_upload as get_upload_operation
from tellurio_api.api.artifacts import list_artifact_files as list_artifact_files_operation
from tellurio_api.api.artifacts import list_artifact_runs as list_artifact_runs_operation
from tellurio_api.api.artifacts import list_artifact_versions as list_artifact_versions_operation
from tellurio_api.api.artifacts import list_artifacts as list_artifacts_operation
from tellurio_api.api.artifacts import list_run_artifacts as list_run_artifacts_operation
from tellurio_api.api.artifacts import list_run_files as list_run_files_operation
from tellurio_api.api.artifacts import log_run_file as log_run_file_operation
from tellurio_api.api.artifacts import put_blob as put_blob_operation
from tellurio_api.api.artifacts import put_blobs as put_blobs_operation
from tellurio_api.api.artifacts import put_upload_part as put_upload_part_operation
from tellurio_api.api.artifacts import (
    restore_artifact_version as restore_artifact_version_operation,
)
from tellurio_api.api.artifacts import set_artifact_alias as set_artifact_alias_operation
from tellurio_api.api.artifacts import use_artifact as use_artifact_operation
from tellurio_api.types import UNSET, File

from afnio_tellurio.api.answers import AnswerFields
from afnio_tellurio.api.artifact_entities import read_upload
from afnio_tellurio.api.calling import RunPath, list_all, run_parameters
from afnio_tellurio.api.connection import operation_id
from afnio_tellurio.errors import InvalidResponseError
from afnio_tellurio.interruptions import raise_foreign

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Mapping, Sequence
    from typing import BinaryIO

    import tellurio_api
    from tellurio_api.types import Response

    from afnio_tellurio.api.artifact_entities import StartedUpload
    from afnio_tellurio.api.connection import Connection
    from afnio_tellurio.errors import ConflictError

    #: Opens the body of a request: once for each attempt.
    OpenBody = Callable[[], BinaryIO | io.RawIOBase]


class ProjectPath(NamedTuple):
    """The project in a request's path."""

    namespace_slug: str
    project_slug: str


class VersionPath(NamedTuple):
    """The version of an artifact in a request's path: `v3`, an alias, or `sha256:` and a digest."""

    namespace_slug: str
    project_slug: str
    artifact_name: str
    version: str


class _Client(TypedDict):
    client: tellurio_api.Client


def _client(connection: Connection) -> _Client:
    return {"client": connection.api}


# blobs


def check_blobs(
    connection: Connection, project: ProjectPath, blobs: Sequence[tuple[str, int]]
) -> list[str]:
    """Returns the digests of the blobs that the project lacks, of up to 1000."""
    body = models.BlobCheck([models.BlobReference(digest, size) for digest, size in blobs])
    answer = connection.call(
        models.MissingBlobs,
        check_blobs_operation.sync_detailed,
        **project._asdict(),
        **_client(connection),
        body=body,
    )
    return list(AnswerFields("checkBlobs").texts("missing", answer.missing))


def put_blob(connection: Connection, project: ProjectPath, digest: str, body: OpenBody) -> None:
    """Stores a blob of up to 16 MiB."""
    parameters = {**project._asdict(), "digest": digest}
    _send(connection, put_blob_operation.sync_detailed, parameters, body)


def put_blobs(connection: Connection, project: ProjectPath, body: OpenBody) -> None:
    """Stores many small blobs, one after another in the body, each after a line about it."""
    _send(connection, put_blobs_operation.sync_detailed, project._asdict(), body)


def _send(
    connection: Connection,
    operation: Callable[..., Response[Any]],
    parameters: Mapping[str, Any],
    body: OpenBody,
) -> None:
    """Sends a body, which is opened again for each attempt."""

    def request() -> Response[Any]:
        with body() as stream:
            body_file = File(cast("BinaryIO", stream))
            return operation(**parameters, **_client(connection), body=body_file)

    connection.exchange(type(None), operation_id(operation), request, parameters)


def create_upload(
    connection: Connection, project: ProjectPath, digest: str, size: int
) -> StartedUpload:
    """Starts an upload, or returns the one of this blob that has begun."""
    model = connection.call(
        models.Upload,
        create_upload_operation.sync_detailed,
        **project._asdict(),
        **_client(connection),
        body=models.UploadCreate(digest=digest, size=size),
    )
    return read_upload(model, "createUpload")


def get_upload(connection: Connection, project: ProjectPath, upload_uuid: str) -> StartedUpload:
    """An upload."""
    model = connection.call(
        models.Upload,
        get_upload_operation.sync_detailed,
        **project._asdict(),
        **_client(connection),
        upload_uuid=uuid.UUID(upload_uuid),
    )
    return read_upload(model, "getUpload")


def put_upload_part(
    connection: Connection,
    project: ProjectPath,
    upload_uuid: str,
    number: int,
    sha256: bytes,
    body: OpenBody,
) -> None:
    """Sends a part of an upload; the first one has the number 1."""
    parameters = {
        **project._asdict(),
        "upload_uuid": uuid.UUID(upload_uuid),
        "part_number": number,
        "content_digest": f"sha-256=:{base64.b64encode(sha256).decode()}:",
    }
    _send(connection, put_upload_part_operation.sync_detailed, parameters, body)


def complete_upload(connection: Connection, project: ProjectPath, upload_uuid: str) -> bool:
    """Makes a blob of the parts; returns False if the backend still reads them: call it again."""
    parameters = {**project._asdict(), "upload_uuid": uuid.UUID(upload_uuid)}
    request = partial(complete_upload_operation.sync_detailed, **parameters, **_client(connection))
    answer: Any
    answer, _headers = connection.exchange(object, "completeUpload", request, parameters)
    return not isinstance(answer, models.Upload)


def abort_upload(connection: Connection, project: ProjectPath, upload_uuid: str) -> None:
    """Removes an upload."""
    connection.call(
        type(None),
        abort_upload_operation.sync_detailed,
        **project._asdict(),
        **_client(connection),
        upload_uuid=uuid.UUID(upload_uuid),
    )


# artifacts


def list_artifacts(
    connection: Connection,
    project: ProjectPath,
    *,
    type: str | None = None,  # noqa: A002 - the name in the contract
    digest: str | None = None,
) -> list[models.Artifact]:
    """The artifacts of a project."""
    query = {
        **project._asdict(),
        "type_": UNSET if type is None else type,
        "digest": UNSET if digest is None else digest,
    }
    return list_all(connection, list_artifacts_operation.sync_detailed, query)


def create_artifact_version(
    connection: Connection,
    project: ProjectPath,
    artifact_name: str,
    fields: Mapping[str, Any],
    *,
    idempotency_key: str,
) -> models.ArtifactVersion:
    """Records a version, or returns the one that has the same files.

    Args:
        connection: The backend.
        project: The project.
        artifact_name: The name of the artifact.
        fields: The body of the request.
        idempotency_key: The key of the request.

    Raises:
        ConflictError: Blobs are missing, see `missing_blobs`.
    """
    return connection.call(
        models.ArtifactVersion,
        create_artifact_version_operation.sync_detailed,
        **project._asdict(),
        **_client(connection),
        artifact_name=artifact_name,
        idempotency_key=idempotency_key,
        body=models.ArtifactVersionCreate.from_dict(fields),
    )


def missing_blobs(error: ConflictError) -> list[str] | None:
    """The digests of the missing blobs, if that is what an error is about; else None."""
    if error.code != "blobs_missing":
        return None
    try:
        body: Any = error.response.json()
    except (ValueError, RecursionError) as problem:
        raise_foreign(problem)
        return []
    missing: Any = body.get("missing") if isinstance(body, dict) else None  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    if not isinstance(missing, list):
        return []
    return [digest for digest in missing if isinstance(digest, str)]  # pyright: ignore[reportUnknownVariableType]


def list_artifact_versions(
    connection: Connection, project: ProjectPath, artifact_name: str
) -> list[models.ArtifactVersion]:
    """The versions of an artifact, the newest first."""
    query = {**project._asdict(), "artifact_name": artifact_name}
    return list_all(connection, list_artifact_versions_operation.sync_detailed, query)


def get_artifact_version(connection: Connection, path: VersionPath) -> models.ArtifactVersion:
    """A version."""
    return connection.call(
        models.ArtifactVersion,
        get_artifact_version_operation.sync_detailed,
        **path._asdict(),
        **_client(connection),
    )


def delete_artifact_version(
    connection: Connection, path: VersionPath, *, force: bool = False, purge: bool = False
) -> None:
    """Deletes a version, to the trash or for good; one with aliases only by force."""
    connection.call(
        type(None),
        delete_artifact_version_operation.sync_detailed,
        **path._asdict(),
        **_client(connection),
        force=force or UNSET,
        purge=purge or UNSET,
    )


def restore_artifact_version(connection: Connection, path: VersionPath) -> models.ArtifactVersion:
    """Restores a version from the trash."""
    return connection.call(
        models.ArtifactVersion,
        restore_artifact_version_operation.sync_detailed,
        **path._asdict(),
        **_client(connection),
    )


def list_artifact_files(
    connection: Connection, path: VersionPath, *, prefix: str | None = None
) -> list[models.ArtifactFile]:
    """The files of a version, sorted by path."""
    query = {**path._asdict(), "prefix": UNSET if prefix is None else prefix}
    return list_all(connection, list_artifact_files_operation.sync_detailed, query)


def list_artifact_runs(connection: Connection, path: VersionPath) -> list[models.ArtifactRun]:
    """The runs that created and used a version."""
    return list_all(connection, list_artifact_runs_operation.sync_detailed, path._asdict())


def set_artifact_alias(
    connection: Connection,
    project: ProjectPath,
    artifact_name: str,
    alias: str,
    version: str,
    *,
    if_match: str | None = None,
) -> models.ArtifactVersion:
    """Makes an alias name a version; with `if_match`, only if it names that version."""
    return connection.call(
        models.ArtifactVersion,
        set_artifact_alias_operation.sync_detailed,
        **project._asdict(),
        **_client(connection),
        artifact_name=artifact_name,
        alias=alias,
        if_match=UNSET if if_match is None else f'"{if_match}"',
        body=models.AliasSet(version=version),
    )


def delete_artifact_alias(
    connection: Connection, project: ProjectPath, artifact_name: str, alias: str
) -> None:
    """Removes an alias."""
    connection.call(
        type(None),
        delete_artifact_alias_operation.sync_detailed,
        **project._asdict(),
        **_client(connection),
        artifact_name=artifact_name,
        alias=alias,
    )


# runs


def use_artifact(
    connection: Connection, path: RunPath, artifact_name: str, version: str
) -> models.ArtifactVersion:
    """Records a version as an input of a run."""
    return connection.call(
        models.ArtifactVersion,
        use_artifact_operation.sync_detailed,
        **run_parameters(connection, path),
        body=models.ArtifactUse(artifact=artifact_name, version=version),
    )


def list_run_artifacts(
    connection: Connection, path: RunPath, *, direction: str | None = None
) -> list[models.RunArtifact]:
    """The versions that a run created (`output`) and used (`input`)."""
    query = {
        **run_parameters(connection, path),
        "direction": UNSET if direction is None else models.ArtifactDirection(direction),
    }
    return list_all(connection, list_run_artifacts_operation.sync_detailed, query)


def log_run_file(
    connection: Connection, path: RunPath, fields: Mapping[str, Any], *, idempotency_key: str
) -> models.RunFile:
    """Records a file of a run.

    Raises:
        ConflictError: Its blob is missing.
    """
    return connection.call(
        models.RunFile,
        log_run_file_operation.sync_detailed,
        **run_parameters(connection, path),
        idempotency_key=idempotency_key,
        body=models.RunFileCreate.from_dict(fields),
    )


def list_run_files(
    connection: Connection, path: RunPath, *, prefix: str | None = None, kind: str | None = None
) -> list[models.RunFile]:
    """The files of a run, sorted by path and step."""
    query = {
        **run_parameters(connection, path),
        "prefix": UNSET if prefix is None else prefix,
        "kind": UNSET if kind is None else kind,
    }
    return list_all(connection, list_run_files_operation.sync_detailed, query)


# downloads


def download_artifact_file(
    connection: Connection, path: VersionPath, file: str, start: int, end: int, size: int
) -> bytes:
    """A part of a file of a version with this size, from one offset to another; up to a few MiB."""
    query = {**path._asdict(), "path": file}
    return _download(
        connection, download_artifact_file_operation.sync_detailed, query, start, end, size
    )


def download_run_file(
    connection: Connection,
    path: RunPath,
    file: str,
    step: int | None,
    start: int,
    end: int,
    size: int,
) -> bytes:
    """A part of a file of a run with this size, from one offset to another; up to a few MiB."""
    query = {
        **run_parameters(connection, path),
        "path": file,
        "step": UNSET if step is None else step,
    }
    return _download(connection, download_run_file_operation.sync_detailed, query, start, end, size)


def _download(
    connection: Connection,
    operation: Callable[..., Response[Any]],
    query: Mapping[str, Any],
    start: int,
    end: int,
    size: int,
) -> bytes:
    if start >= end:
        return b""
    name = operation_id(operation)
    parameters = {**query, **_client(connection), "range_": f"bytes={start}-{end - 1}"}
    file, headers = connection.exchange(File, name, partial(operation, **parameters), parameters)
    content = file.payload.read()
    # A backend that ignores the range returns the whole file.
    is_whole = "content-range" not in headers
    expected = size if is_whole else end - start
    if len(content) != expected:
        raise InvalidResponseError(
            f"{name}: the answer of {connection.url} has {len(content)} bytes of "
            f"{query['path']!r}, not {expected}",
            operation=name,
        )
    return content[start:end] if is_whole else content
