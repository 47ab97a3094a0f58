"""Finds the versions of artifacts that commands name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import afnio_tellurio as te
from afnio_tellurio.cli import finding
from afnio_tellurio.cli.arguments import path_type
from afnio_tellurio.filters.names import similar_names

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Sequence

#: Names in a message.
_MAX_NAMES = 10
PLACE = "NAMESPACE/PROJECT/NAME[:VERSION]"


def add_reference(parser: ArgumentParser, name: str = "artifact") -> None:
    """Adds the argument for a version of an artifact."""
    parser.add_argument(
        name,
        metavar=PLACE,
        type=path_type(3, last="NAME[:VERSION]"),
        help="VERSION is v3, an alias or sha256:DIGEST (default: latest)",
    )


def slug_of(project: str) -> str:
    """Returns the slug of a project, given its slug or its display name."""
    # Imported here: it takes 30 ms, and parsing arguments doesn't need it.
    from afnio_tellurio.validation import project_slug

    return project_slug("artifact", project)


def text_of(path: Sequence[str]) -> str:
    """Returns a reference as `te.get_artifact` takes it."""
    namespace, project, name = path
    return f"{namespace}/{slug_of(project)}/{name}"


def find_version(path: Sequence[str]) -> te.Artifact:
    """Finds a version.

    Raises:
        LookupError: It does not exist. The message names what does.
        TellurioError: The request failed.
    """
    try:
        return te.get_artifact(text_of(path))
    except te.NotFoundError as error:
        raise _missing(path, error) from error


def list_artifacts(namespace: str, project: str, kind: str | None) -> list[te.ArtifactSummary]:
    """Lists the artifacts of a project, see `te.list_artifacts`.

    Raises:
        LookupError: The project does not exist.
        TellurioError: The request failed.
    """
    try:
        return te.list_artifacts(namespace, project, type=kind)
    except te.NotFoundError as error:
        raise missing_project(namespace, project, error) from error


def list_versions(path: Sequence[str]) -> list[te.Artifact]:
    """Lists the versions of an artifact, the newest first.

    Raises:
        LookupError: It does not exist. The message names what does.
        TellurioError: The request failed.
    """
    namespace, project, name = path
    if ":" in name:
        name, _, version = name.partition(":")
        raise ValueError(
            f"{'/'.join(path)} is one version; pass {namespace}/{project}/{name} without "
            f":{version}, or use: afnio-tellurio artifact show"
        )
    try:
        return te.list_artifact_versions(namespace, project, name)
    except te.NotFoundError as error:
        raise _missing(path, error) from error


def _missing(path: Sequence[str], error: te.NotFoundError) -> LookupError:
    namespace, project, text = path
    name, _, version = text.partition(":")
    artifacts = [artifact.name for artifact in list_artifacts(namespace, project, None)]
    if name not in artifacts:
        if name == "sha256":
            return LookupError(f"{namespace}/{project} has no artifact with the digest {version}")
        return LookupError(
            f"{namespace}/{project} has no artifact {name!r}{_that_exist(name, artifacts)}"
        )
    versions = [
        f"{each.version} ({', '.join(each.aliases)})" if each.aliases else str(each.version)
        for each in te.list_artifact_versions(namespace, project, name)
    ]
    if version:
        return LookupError(
            f"artifact {name!r} has no version {version!r}{_that_exist('', versions)}"
        )
    return error


def missing_project(namespace: str, project: str, error: LookupError) -> LookupError:
    """Returns the error for a project that a backend does not find, or whose artifacts it lacks."""
    message = finding.missing_project(namespace, slug_of(project))
    if message is not None:
        return LookupError(message)
    if not isinstance(error, te.NotFoundError):
        return error
    return LookupError(f"This backend does not have artifacts: {error}")


def _that_exist(name: str, names: Sequence[str]) -> str:
    similar = similar_names(name, names)
    if similar:
        return f"; did you mean {' or '.join(similar)}?"
    if not names:
        return "; it has none"
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return f"; it has {', '.join(names[:_MAX_NAMES])}{more}"
