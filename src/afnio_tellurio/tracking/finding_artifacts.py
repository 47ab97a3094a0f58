"""Finds versions of artifacts that a backend has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from afnio_tellurio.api import artifact_operations as operations
from afnio_tellurio.api.artifact_entities import read_version
from afnio_tellurio.delivery.senders import settle_project
from afnio_tellurio.tracking.artifact import Artifact, artifact_of
from afnio_tellurio.tracking.artifact_arguments import Reference, parse_reference

if TYPE_CHECKING:
    from afnio_tellurio.api.calling import RunPath
    from afnio_tellurio.api.connection import Connection


def find_artifact(
    connection: Connection,
    call: str,
    text: str,
    project: operations.ProjectPath | None,
    *,
    type: str | None = None,  # noqa: A002 - the name of the argument
    user: RunPath | None = None,
) -> Artifact:
    """Finds the version that a text refers to.

    Args:
        connection: The backend.
        call: The function that is called.
        text: The text.
        project: The project that it is in if the text does not name one.
        type: The type that it must have, or None.
        user: The path of the run that uses it, or None.

    Raises:
        LookupError: It does not exist.
        ValueError: The text is invalid, or the artifact has another type.
        TellurioError: The request failed.
    """
    reference = parse_reference(call, text)
    place = place_of(call, text, reference, project)
    settle_project(connection, call, *place)
    name = reference.name
    if name is None:
        digest = reference.version.partition(":")[2]
        artifacts = operations.list_artifacts(connection, place, digest=digest)
        if not artifacts:
            raise LookupError(f"{call}: {'/'.join(place)} has no artifact with the digest {digest}")
        name = str(artifacts[0].name)
    path = operations.VersionPath(*place, name, reference.version)
    model = operations.get_artifact_version(connection, path)
    record = read_version(model, "getArtifactVersion")
    if type is not None and record.type != type:
        raise ValueError(
            f"{call}: artifact {record.artifact!r} is of type {record.type!r}, not {type!r}"
        )
    if user is not None and place == project:
        operations.use_artifact(connection, user, record.artifact, record.version)
    return artifact_of(connection, place, record)


def place_of(
    call: str, text: str, reference: Reference, project: operations.ProjectPath | None
) -> operations.ProjectPath:
    """The project that a reference is in.

    Args:
        call: The function that is called.
        text: The text of the reference.
        reference: The reference.
        project: The project that it is in if it does not name one.

    Raises:
        ValueError: It does not name one, and no project was passed.
    """
    namespace = reference.namespace_slug or (project.namespace_slug if project else None)
    slug = reference.project_slug or (project.project_slug if project else None)
    if namespace is None or slug is None:
        raise ValueError(
            f"{call}: artifact is {text!r}, and no run is active whose project it could be in; "
            "pass NAMESPACE/PROJECT/NAME"
        )
    return operations.ProjectPath(namespace, slug)
