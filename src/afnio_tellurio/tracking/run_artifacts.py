"""The artifacts that a run creates and uses."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import attrs

from afnio_tellurio.api import artifact_operations as operations
from afnio_tellurio.api.artifact_entities import ArtifactLink, read_run_artifact
from afnio_tellurio.artifacts.collecting import collect_directory, collect_file
from afnio_tellurio.artifacts.sources import BytesSource
from afnio_tellurio.delivery.journal_appending import JournalSealedError
from afnio_tellurio.delivery.senders import settle
from afnio_tellurio.files import real_path
from afnio_tellurio.tracking.artifact import Artifact, mark_logged, named_artifact, sources_of
from afnio_tellurio.tracking.artifact_arguments import (
    checked_aliases,
    checked_artifact_name,
    checked_flag,
    checked_keep,
)
from afnio_tellurio.tracking.finding_artifacts import find_artifact
from afnio_tellurio.tracking.prompts import prompt_artifact, resolved_parents
from afnio_tellurio.tracking.run_files import RunWithFiles
from afnio_tellurio.tracking.statuses import ENDED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import TypeAlias

    from afnio_tellurio.artifacts.sources import AnySource
    from afnio_tellurio.client import TellurioClient
    from afnio_tellurio.tracking.prompts import PromptContent

    AnyPath: TypeAlias = str | os.PathLike[str]
    ArtifactSource: TypeAlias = AnyPath | Sequence[AnyPath] | bytes | Artifact


@attrs.define(eq=False, slots=False)
class RunWithArtifacts(RunWithFiles):
    """A run that creates and uses artifacts."""

    def log_artifact(
        self,
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
        """Logs files as a version of an artifact.

        When it returns, the files are captured: they may be changed or removed, and what was
        captured survives the end of the process. A thread uploads them.

        If a version has the same files already, the artifact is that version: it gets the aliases,
        but keeps its number, its metadata and its description. A warning says so if you passed
        others.

        Args:
            source: A file, a folder, a list of them, bytes, or an `Artifact` that was built by
                hand.
            name: The name of the artifact, 1 to 128 letters, digits, underscores, dots, or dashes;
                default the name of the file or folder. Required for bytes and lists.
            type: What the versions of the artifact are, for example `"model"`.
            aliases: Names that this version gets, for example `["best"]`; an alias names one
                version at a time. `latest` names the newest one by itself.
            metadata: What is known of the version: values of JSON by name, up to 64 KiB in all.
            description: A description of the version.
            include: Patterns of paths in a folder, as in `.gitignore`; default all files.
            exclude: Patterns of paths to leave out.
            symlinks: `"inside"` follows symbolic links that stay in the folder and refuses others;
                `"refuse"` refuses all.
            keep: How many of the newest versions without an alias to keep; older ones are deleted
                for good. Default all.
            capture: `"copy"` copies each file, or shares its blocks where the file system can.
                `"in-place"` copies none: they must not change until they are uploaded. `"auto"`
                copies files of up to 1 GiB, and all if the backend is in this process.
            wait: Whether to wait until the backend has the version.
            client: The client to use; default the one that the run was started with.

        Returns:
            The artifact; its `version` is known once the backend has it.

        Raises:
            OSError: A file cannot be read, or the disk does not take its copy.
            RunFinishedError: The run is finished.
            TypeError: An argument has the wrong type.
            ValueError: An argument is invalid, a file is not regular, changes while it is read, or
                has a path that some systems do not allow. Nothing is recorded.
            TellurioError: The disk has no room for the copies. Nothing is recorded.
        """
        call = "log_artifact"
        wait = checked_flag(call, "wait", wait)
        artifact = source if isinstance(source, Artifact) else None
        if artifact is None:
            home = str(real_path(self._settings(client).home))
            sources, default_name = _collected(source, name, include, exclude, symlinks, home)
            artifact = named_artifact(call, default_name, type, description, metadata)
        else:
            sources = sources_of(artifact)
            _check_unused(
                "an Artifact; pass it to Artifact, or to its methods, instead",
                metadata=metadata,
                description=description,
                include=include,
                exclude=exclude,
            )
            if name is not None and name != artifact.name:
                raise ValueError(
                    f"log_artifact: name is {name!r}, but the artifact has the name "
                    f"{artifact.name!r}; leave it out"
                )
        if not sources:
            raise ValueError(
                f"log_artifact: artifact {artifact.name!r} has no files to log; "
                "make a new one, and add files to it"
            )
        self._log_version(call, artifact, sources, aliases, keep, client, capture)
        return artifact.wait() if wait else artifact

    def _log_version(
        self,
        call: str,
        artifact: Artifact,
        sources: Sequence[AnySource],
        aliases: Iterable[str],
        keep: int | None,
        client: TellurioClient | None,
        capture: str = "auto",
    ) -> None:
        version = {
            "type": artifact.type,
            "description": artifact.description,
            "metadata": artifact._metadata,  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
            "aliases": checked_aliases(call, aliases),
            "keep": checked_keep(call, keep),
            "run_uuid": self.uuid,
        }
        version = {field: value for field, value in version.items() if value}
        upload = self._capture_files(
            call,
            sources,
            lambda _captured: {"artifact": artifact.name, "version": version},
            client,
            capture=capture,
        )
        if upload is not None:
            path = self._path()
            project = operations.ProjectPath(path.namespace_slug, path.project_slug)
            mark_logged(artifact, self._connection_for(client), project, *upload)

    def log_prompt(
        self,
        name: str,
        prompt: PromptContent,
        *,
        aliases: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None,
        description: str | None = None,
        parents: Iterable[str | Artifact] = (),
        keep: int | None = None,
        wait: bool = False,
        client: TellurioClient | None = None,
    ) -> Artifact:
        """Logs a prompt as a version of an artifact of type `prompt`; `get_prompt` reads it.

        If a version has the same prompt already, the artifact is that version: it gets the
        aliases, but keeps its metadata, with its parents, and its description. A warning says so
        if you passed others.

        Args:
            name: The name of the artifact, 1 to 128 letters, digits, underscores, dots, or dashes.
            prompt: A text, or a list of messages with `role`, `content`, and perhaps more fields.
            aliases: Names that this version gets, for example `["production"]`.
            metadata: What is known of the version, for example its score: values of JSON by name.
            description: A description of the version.
            parents: The versions that it was made from: artifacts, or references such as
                `"name:v3"`. They are recorded in the metadata, under `parents`, and as inputs of
                the run if they are in its project. What `"name"` or an alias refers to is looked
                up at once.
            keep: How many of the newest versions without an alias to keep; older ones are deleted
                for good. Default all.
            wait: Whether to wait until the backend has the version.
            client: The client to use; default the one that the run was started with.

        Returns:
            The artifact; its `version` is known once the backend has it.

        Raises:
            OSError: The disk does not take the prompt.
            RunFinishedError: The run is finished.
            TypeError: An argument has the wrong type.
            ValueError: An argument is invalid. Nothing is recorded.
            TellurioError: What a parent refers to cannot be looked up. Nothing is recorded.
        """
        call = "log_prompt"
        aliases, keep = checked_aliases(call, aliases), checked_keep(call, keep)
        wait = checked_flag(call, "wait", wait)
        path = self._path()
        project = operations.ProjectPath(path.namespace_slug, path.project_slug)
        resolved = resolved_parents(
            call,
            parents,
            project,
            lambda text: find_artifact(self._connection_for(client), call, text, project),
        )
        references = [parent.reference_from(project) for parent in resolved]
        artifact = prompt_artifact(call, name, prompt, description, metadata, references)
        self._log_version(call, artifact, sources_of(artifact), aliases, keep, client)
        for parent in resolved:
            if parent.project == project:
                self._log_use(parent.name, parent.version, client)
        return artifact.wait() if wait else artifact

    def _log_use(self, artifact: str, version: str, client: TellurioClient | None) -> None:
        """Records a version as an input of the run, in the background."""
        if self.status in ENDED:
            raise self._finished_error("log_prompt")
        try:
            self._file_outbox_for(client).log_use(artifact, version)
        except JournalSealedError:
            raise self._finished_error("log_prompt") from None

    def use_artifact(
        self,
        artifact: str | Artifact,
        *,
        type: str | None = None,  # noqa: A002 - the name that users of trackers know
        client: TellurioClient | None = None,
    ) -> Artifact:
        """Finds a version of an artifact, and records it as an input of the run.

        Args:
            artifact: `"name"` for the newest version, `"name:v3"`, `"name:alias"`, or
                `"sha256:DIGEST"`; after `"PROJECT/"` or `"NAMESPACE/PROJECT/"` if it is in another
                project, which is not recorded. Or an `Artifact`.
            type: The type that it must have; default any.
            client: The client to use; default the one that the run was started with.

        Raises:
            LookupError: The artifact does not exist, or does not have the version; a
                `NotFoundError` if the backend answered so.
            TypeError: An argument has the wrong type.
            ValueError: The text does not refer to an artifact, or it has another type.
            TellurioError: The request failed.
        """
        connection, path = self._connection_for(client), self._path()
        if isinstance(artifact, Artifact):
            version = artifact.wait().version
            artifact = f"{artifact.name}:{version}"
        return find_artifact(
            connection,
            "use_artifact",
            artifact,
            operations.ProjectPath(path.namespace_slug, path.project_slug),
            type=type,
            user=None if self.status in ENDED else path,
        )

    def outputs(self, client: TellurioClient | None = None) -> list[ArtifactLink]:
        """The versions of artifacts that the run created, in the order in which it did.

        Raises:
            TellurioError: The request failed.
        """
        return self._artifacts("output", client)

    def inputs(self, client: TellurioClient | None = None) -> list[ArtifactLink]:
        """The versions of artifacts that the run used, in the order in which it did.

        Raises:
            TellurioError: The request failed.
        """
        return self._artifacts("input", client)

    def _artifacts(self, direction: str, client: TellurioClient | None) -> list[ArtifactLink]:
        connection = self._connection_for(client)
        settle(connection, "listRunArtifacts", self.uuid, lane="files")
        links = operations.list_run_artifacts(connection, self._path(), direction=direction)
        return [read_run_artifact(link, self.uuid) for link in links]


def _collected(
    source: Any,
    name: str | None,
    include: Sequence[str] | None,
    exclude: Sequence[str] | None,
    symlinks: Literal["inside", "refuse"],
    home: str,
) -> tuple[list[AnySource], str]:
    """The files of a source, except for those in our own folder, and the name of their artifact."""
    if isinstance(source, bytes | bytearray | memoryview):
        _check_unused("bytes", include=include, exclude=exclude)
        if name is None:
            raise ValueError("log_artifact: bytes have no name of their own; pass name")
        return [BytesSource(checked_artifact_name("log_artifact", name), bytes(source))], name  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(source, list | tuple):
        if name is None:
            raise ValueError("log_artifact: a list of files has no name of its own; pass name")
        sources: list[AnySource] = []
        for path in source:  # pyright: ignore[reportUnknownVariableType]
            sources += _collected_path(path, include, exclude, symlinks, home, in_folder=True)
        return sources, name
    collected = _collected_path(source, include, exclude, symlinks, home, in_folder=False)
    return collected, _default_name(source) if name is None else name


def _default_name(path: AnyPath) -> str:
    try:
        return checked_artifact_name("log_artifact", Path(path).resolve().name)
    except ValueError as error:
        raise ValueError(f"{error}; pass name") from None


def _collected_path(
    path: Any,
    include: Sequence[str] | None,
    exclude: Sequence[str] | None,
    symlinks: Literal["inside", "refuse"],
    home: str,
    *,
    in_folder: bool,
) -> list[AnySource]:
    if not isinstance(path, str | os.PathLike):
        raise TypeError(
            f"log_artifact: source is of type {type(path).__name__}; it must be a path, a list of "
            "paths, bytes, or an Artifact"
        )
    if not os.fspath(path):  # pyright: ignore[reportUnknownArgumentType]
        raise ValueError("log_artifact: source is an empty path; the current folder is '.'")
    folder = Path(path)  # pyright: ignore[reportUnknownArgumentType]
    if folder.is_dir():
        inner = folder.resolve().name if in_folder else None
        return [*collect_directory(folder, inner, include, exclude, symlinks, left_out=home)]
    if not in_folder:
        _check_unused("a file", include=include, exclude=exclude)
    return [*collect_file(folder)]


def _check_unused(subject: str, **arguments: object) -> None:
    """Refuses arguments that a source does not use.

    Raises:
        ValueError: One was passed.
    """
    for name, value in arguments.items():
        if value is not None:
            raise ValueError(f"log_artifact: {name} cannot be passed with {subject}")
