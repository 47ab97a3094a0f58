"""Versions of artifacts, and files, as backends return them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import attrs

from afnio_tellurio.api.answers import AnswerFields
from afnio_tellurio.errors import InvalidResponseError
from afnio_tellurio.operation_names import failure_of
from afnio_tellurio.settings.limits import MAX_ARTIFACT_NAME

if TYPE_CHECKING:
    import datetime as dt

    from tellurio_api import models

#: Names of artifacts and versions, and aliases.
ARTIFACT_NAME = re.compile(rf"[A-Za-z0-9_][A-Za-z0-9_.-]{{0,{MAX_ARTIFACT_NAME - 1}}}")


@attrs.frozen
class ArtifactFile:
    """A file of an artifact.

    Attributes:
        path: Its path in the artifact, with `/` between the parts.
        size: Its size in bytes; `None` if it is a reference whose size is unknown.
        digest: The SHA-256 of its bytes in hexadecimal; `None` for a reference without one.
        executable: Whether it can be executed.
        reference: Where its bytes are, if the backend does not have them; else `None`.
    """

    path: str
    size: int | None
    digest: str | None = attrs.field(repr=False)
    executable: bool = attrs.field(default=False, repr=False)
    reference: str | None = None


@attrs.frozen
class RunFile:
    """A file that was logged to a run.

    Attributes:
        path: Its path, with `/` between the parts; the name of the series if it has a step.
        kind: What it is: `"file"`, `"image"`, `"audio"`, `"text"`, or `"html"`, or another word
            of a newer version.
        step: Its step; `None` for a file.
        size: Its size in bytes.
        digest: The SHA-256 of its bytes in hexadecimal.
        content_type: The content type of its bytes; `None` if it is unknown.
        timestamp: When it was logged, with time zone.
    """

    path: str
    kind: str
    step: int | None
    size: int
    digest: str = attrs.field(repr=False)
    content_type: str | None
    timestamp: dt.datetime


@attrs.frozen
class ArtifactSummary:
    """An artifact in a list.

    Attributes:
        name: Its name, unique in the project.
        type: What its versions are, for example `"model"`.
        latest: Its newest version, for example `"v3"`, or `None`.
        version_count: The number of its versions.
        size: The size of all versions in bytes.
        date_created: When the first version was created, with time zone.
        date_updated: When the last version was created, with time zone.
    """

    name: str
    type: str
    latest: str | None
    version_count: int
    size: int
    date_created: dt.datetime
    date_updated: dt.datetime


@attrs.frozen
class ArtifactLink:
    """That a run created or used a version of an artifact.

    Attributes:
        direction: `"output"` if the run created it, `"input"` if the run used it.
        timestamp: When that was, with time zone.
        artifact: The name of the artifact.
        version: The version, for example `"v3"`.
        type: The type of the artifact.
        digest: The digest of the version.
        size: The size of its files in bytes.
        run_uuid: The UUID of the run.
        run_name: The name of the run; `None` in a list of one run's versions.
    """

    direction: str
    timestamp: dt.datetime
    artifact: str
    version: str
    type: str
    digest: str = attrs.field(repr=False)
    size: int
    run_uuid: str
    run_name: str | None = None


@attrs.frozen
class VersionRecord:
    """A version of an artifact, as a backend returns it; see `Artifact` for its attributes."""

    uuid: str
    artifact: str
    type: str
    version: str
    digest: str
    size: int
    file_count: int
    date_created: dt.datetime
    aliases: tuple[str, ...]
    description: str | None
    metadata: dict[str, Any]
    run_uuid: str | None


@attrs.frozen
class StartedUpload:
    """An upload of a blob in parts.

    Attributes:
        uuid: Its UUID.
        part_size: The size of each part in bytes, except for the last one.
        received: The numbers of the parts that the backend has; the first one is 1.
    """

    uuid: str
    part_size: int
    received: frozenset[int]


def read_upload(model: models.Upload, operation: str) -> StartedUpload:
    """The upload in an answer."""
    field = AnswerFields(operation)
    upload = StartedUpload(
        uuid=str(model.uuid),
        part_size=field.integer("part_size", model.part_size),
        received=field.integers("received", model.received),
    )
    if upload.part_size < 1:
        raise InvalidResponseError(
            f"{failure_of(operation)}: the backend answered with part_size "
            f"{upload.part_size}, which must be 1 or more",
            operation=operation,
        )
    return upload


def read_version(model: models.ArtifactVersion, operation: str) -> VersionRecord:
    """The version in an answer."""
    field = AnswerFields(operation)
    return VersionRecord(
        uuid=str(model.uuid),
        artifact=field.matching("artifact", model.artifact, ARTIFACT_NAME),
        type=field.text("type", model.type_),
        version=field.matching("version", model.version, ARTIFACT_NAME),
        digest=field.text("digest", model.digest),
        size=field.integer("size", model.size),
        file_count=field.integer("file_count", model.file_count),
        date_created=field.date("date_created", model.date_created),
        aliases=field.texts("aliases", model.aliases),
        description=field.optional_text("description", model.description),
        metadata=field.json_object("metadata", model.metadata),
        run_uuid=field.optional_text("run_uuid", model.run_uuid),
    )


def read_artifact_file(model: models.ArtifactFile) -> ArtifactFile:
    """A file in an answer to `listArtifactFiles`."""
    field = AnswerFields("listArtifactFiles")
    file = ArtifactFile(
        path=field.text("path", model.path),
        size=field.optional("size", model.size, int),
        digest=field.optional_text("digest", model.digest),
        executable=model.executable is True,
        reference=field.optional_text("reference", model.reference),
    )
    if file.reference is None and (file.digest is None or file.size is None):
        raise InvalidResponseError(
            f"Cannot list artifact files: the backend answered with the file {file.path!r}, which "
            "has neither a digest and a size nor a reference",
            operation="listArtifactFiles",
        )
    return file


def read_run_file(model: models.RunFile, operation: str) -> RunFile:
    """A file of a run in an answer."""
    field = AnswerFields(operation)
    return RunFile(
        path=field.text("path", model.path),
        kind=field.text("kind", model.kind),
        step=field.optional("step", model.step, int),
        size=field.integer("size", model.size),
        digest=field.text("digest", model.digest),
        content_type=field.optional_text("content_type", model.content_type),
        timestamp=field.date("timestamp", model.timestamp),
    )


def read_artifact(model: models.Artifact) -> ArtifactSummary:
    """An artifact in an answer to `listArtifacts`."""
    field = AnswerFields("listArtifacts")
    return ArtifactSummary(
        name=field.text("name", model.name),
        type=field.text("type", model.type_),
        latest=field.optional_text("latest", model.latest),
        version_count=field.integer("version_count", model.version_count),
        size=field.integer("size", model.size),
        date_created=field.date("date_created", model.date_created),
        date_updated=field.date("date_updated", model.date_updated),
    )


def read_run_artifact(model: models.RunArtifact, run_uuid: str) -> ArtifactLink:
    """A version of a run in an answer to `listRunArtifacts`."""
    field = AnswerFields("listRunArtifacts")
    return ArtifactLink(
        direction=field.text("direction", model.direction),
        timestamp=field.date("timestamp", model.timestamp),
        artifact=field.text("artifact", model.artifact),
        version=field.text("version", model.version),
        type=field.text("type", model.type_),
        digest=field.text("digest", model.digest),
        size=field.integer("size", model.size),
        run_uuid=run_uuid,
    )


def read_artifact_run(model: models.ArtifactRun, version: VersionRecord) -> ArtifactLink:
    """A run of a version in an answer to `listArtifactRuns`."""
    field = AnswerFields("listArtifactRuns")
    return ArtifactLink(
        direction=field.text("direction", model.direction),
        timestamp=field.date("timestamp", model.timestamp),
        artifact=version.artifact,
        version=version.version,
        type=version.type,
        digest=version.digest,
        size=version.size,
        run_uuid=str(model.run_uuid),
        run_name=field.text("run_name", model.run_name),
    )


for _kind in (ArtifactFile, ArtifactLink, ArtifactSummary, RunFile):
    # Tracebacks and reprs show a class as users import it; its module may change.
    _kind.__module__ = "afnio_tellurio"
