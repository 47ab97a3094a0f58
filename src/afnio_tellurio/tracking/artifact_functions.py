"""Functions on artifacts and files, for the active run and for projects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from afnio_tellurio.api import artifact_operations as operations
from afnio_tellurio.api.artifact_entities import ArtifactSummary, read_artifact, read_version
from afnio_tellurio.client import connection_of
from afnio_tellurio.default_client import client_or_default
from afnio_tellurio.delivery.senders import settle_project
from afnio_tellurio.errors import TellurioError
from afnio_tellurio.tracking.active import active_run
from afnio_tellurio.tracking.artifact import Artifact, artifact_of
from afnio_tellurio.tracking.artifact_arguments import checked_artifact_name, parse_reference
from afnio_tellurio.tracking.disabled import DisabledRun
from afnio_tellurio.tracking.finding_artifacts import find_artifact
from afnio_tellurio.tracking.functions import get_active_run
from afnio_tellurio.tracking.reading import source_of
from afnio_tellurio.validation import checked_slug, project_slug

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from afnio_tellurio.api.connection import Connection
    from afnio_tellurio.client import TellurioClient
    from afnio_tellurio.tracking.run import Run
    from afnio_tellurio.tracking.run_artifacts import AnyPath, ArtifactSource


def log_artifact(
    source: ArtifactSource,
    name: str | None = None,
    *,
    type: str = "file",  # noqa: A002 - the name that users of trackers know
    aliases: Iterable[str] = (),
    metadata: Mapping[str, Any] | None = None,
    description: str | None = None,
    include: Sequence[str] | None = None,
    exclude: Sequence[str] | None = None,
    symlinks: Literal["inside", "refuse"] = "inside",
    keep: int | None = None,
    capture: Literal["auto", "copy", "in-place"] = "auto",
    wait: bool = False,
    client: TellurioClient | None = None,
) -> Artifact:
    """Logs files as a version of an artifact of the active run; see `Run.log_artifact`.

    Raises:
        ValueError: No run is active.
    """
    return get_active_run().log_artifact(
        source,
        name,
        type=type,
        aliases=aliases,
        metadata=metadata,
        description=description,
        include=include,
        exclude=exclude,
        symlinks=symlinks,
        keep=keep,
        capture=capture,
        wait=wait,
        client=client,
    )


def use_artifact(
    artifact: str | Artifact,
    *,
    type: str | None = None,  # noqa: A002 - the name that users of trackers know
    client: TellurioClient | None = None,
) -> Artifact:
    """Finds a version of an artifact as an input of the active run; see `Run.use_artifact`.

    Raises:
        ValueError: No run is active. `get_artifact` needs none.
    """
    return get_active_run().use_artifact(artifact, type=type, client=client)


def get_artifact(artifact: str, client: TellurioClient | None = None) -> Artifact:
    """Finds a version of an artifact, and records nothing.

    Args:
        artifact: `"NAMESPACE/PROJECT/NAME"` for the newest version; a version or an alias follows
            a colon. With an active run, its namespace and project may be left out.
        client: The client to use; default the environment's.

    Raises:
        LookupError: The project or the artifact does not exist, or does not have the version; a
            `NotFoundError` if the backend answered so.
        ValueError: The text does not refer to an artifact, or the project is missing.
        TellurioError: The request failed.
    """
    run: Run | None = active_run()
    project = None
    if run is not None and not isinstance(run, DisabledRun):
        project = operations.ProjectPath(*source_of(run, None)[1][:2])
    return find_artifact(_connection("get_artifact", client), "get_artifact", artifact, project)


def restore_artifact(artifact: str, client: TellurioClient | None = None) -> Artifact:
    """Restores a deleted version of an artifact, without its aliases.

    Args:
        artifact: `"NAMESPACE/PROJECT/NAME:v3"`.
        client: The client to use; default the environment's.

    Raises:
        NotFoundError: The trash does not have it.
        ValueError: The text does not refer to a version of an artifact in a project.
        TellurioError: The request failed.
    """
    reference = parse_reference("restore_artifact", artifact)
    namespace, slug, name = reference[:3]
    has_version = ":" in artifact
    if namespace is None or slug is None or name is None or not has_version:
        raise ValueError(
            f"restore_artifact: artifact is {artifact!r}; pass NAMESPACE/PROJECT/NAME:VERSION"
        )
    connection = _connection("restore_artifact", client)
    path = operations.VersionPath(namespace, slug, name, reference.version)
    model = operations.restore_artifact_version(connection, path)
    record = read_version(model, "restoreArtifactVersion")
    return artifact_of(connection, operations.ProjectPath(namespace, slug), record)


def list_artifacts(
    namespace_slug: str,
    project: str,
    *,
    type: str | None = None,  # noqa: A002 - the name that users of trackers know
    client: TellurioClient | None = None,
) -> list[ArtifactSummary]:
    """Lists the artifacts of a project, sorted by name.

    Args:
        namespace_slug: The slug of the namespace that owns the project.
        project: The project's slug or display name.
        type: Only artifacts of this type.
        client: The client to use; default the environment's.

    Raises:
        NotFoundError: The project does not exist, or the backend does not have artifacts.
        TellurioError: The request failed.
    """
    path = _project("list_artifacts", namespace_slug, project)
    connection = _connection("list_artifacts", client)
    settle_project(connection, "listArtifacts", *path)
    return [
        read_artifact(model) for model in operations.list_artifacts(connection, path, type=type)
    ]


def list_artifact_versions(
    namespace_slug: str, project: str, name: str, client: TellurioClient | None = None
) -> list[Artifact]:
    """Lists the versions of an artifact, the newest first.

    Args:
        namespace_slug: The slug of the namespace that owns the project.
        project: The project's slug or display name.
        name: The name of the artifact.
        client: The client to use; default the environment's.

    Raises:
        NotFoundError: The project or the artifact does not exist.
        TellurioError: The request failed.
    """
    path = _project("list_artifact_versions", namespace_slug, project)
    name = checked_artifact_name("list_artifact_versions", name)
    connection = _connection("list_artifact_versions", client)
    settle_project(connection, "listArtifactVersions", *path)
    return [
        artifact_of(connection, path, read_version(model, "listArtifactVersions"))
        for model in operations.list_artifact_versions(connection, path, name)
    ]


def log_file(path: AnyPath, name: str | None = None, client: TellurioClient | None = None) -> None:
    """Logs a file of the active run; see `Run.log_file`.

    Raises:
        ValueError: No run is active.
    """
    get_active_run().log_file(path, name, client)


def log_image(
    name: str, image: Any, step: int | None = None, client: TellurioClient | None = None
) -> None:
    """Logs an image of a series of the active run; see `Run.log_image`.

    Raises:
        ValueError: No run is active.
    """
    get_active_run().log_image(name, image, step, client)


def log_audio(
    name: str,
    audio: Any,
    step: int | None = None,
    sample_rate: int | None = None,
    client: TellurioClient | None = None,
) -> None:
    """Logs a sound of a series of the active run; see `Run.log_audio`.

    Raises:
        ValueError: No run is active.
    """
    get_active_run().log_audio(name, audio, step, sample_rate, client)


def log_text(
    name: str, text: str, step: int | None = None, client: TellurioClient | None = None
) -> None:
    """Logs a text of a series of the active run; see `Run.log_text`.

    Raises:
        ValueError: No run is active.
    """
    get_active_run().log_text(name, text, step, client)


def log_html(
    name: str, html: str, step: int | None = None, client: TellurioClient | None = None
) -> None:
    """Logs a page of HTML of a series of the active run; see `Run.log_html`.

    Raises:
        ValueError: No run is active.
    """
    get_active_run().log_html(name, html, step, client)


def _project(call: str, namespace_slug: str, project: str) -> operations.ProjectPath:
    namespace_slug = checked_slug(call, "namespace slug", namespace_slug)
    return operations.ProjectPath(namespace_slug, project_slug(call, project))


def _connection(call: str, client: TellurioClient | None) -> Connection:
    client = client_or_default(client)
    if client is None:
        raise TellurioError(
            f"{call}: tracking is disabled, so no artifact can be read; see TELLURIO_MODE"
        )
    return connection_of(client)
