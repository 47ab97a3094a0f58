"""Copies the artifacts and files of a run from one backend to another."""

from __future__ import annotations

import re
import uuid
from functools import partial
from typing import TYPE_CHECKING, Any

from afnio_tellurio.api import artifact_operations as operations
from afnio_tellurio.api.artifact_entities import (
    read_artifact_file,
    read_run_artifact,
    read_run_file,
    read_version,
)
from afnio_tellurio.api.calling import LACKING
from afnio_tellurio.artifact_uploads import deliver_files, reserved
from afnio_tellurio.artifacts.remote_files import streamed
from afnio_tellurio.artifacts.saving import FileToSave, save_below
from afnio_tellurio.artifacts.sources import Reference, Source
from afnio_tellurio.errors import ApiError, ConflictError, NotFoundError
from afnio_tellurio.notices import warn_once
from afnio_tellurio.settings.limits import MAX_ARTIFACT_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from afnio_tellurio.api.artifact_entities import (
        ArtifactFile,
        ArtifactLink,
        RunFile,
        VersionRecord,
    )
    from afnio_tellurio.api.calling import RunPath
    from afnio_tellurio.api.connection import Connection
    from afnio_tellurio.artifacts.sources import AnySource


class FilesDelivery:
    """Delivers artifacts and files to a run. Repeating it changes nothing.

    Args:
        target: The backend.
        there: The run.
        key: A UUID that is the same if it is repeated.
    """

    def __init__(self, target: Connection, there: RunPath, key: str) -> None:
        self._target = target
        self._there = there
        self._key = uuid.UUID(key)

    def add_version(
        self,
        artifact: str,
        fields: Mapping[str, Any],
        files: Sequence[ArtifactFile],
        open_stream: Callable[[ArtifactFile], AbstractContextManager[Iterable[bytes]]],
        name: str,
    ) -> int:
        """Records a version of an artifact as an output of the run.

        If the project has the artifact with another type, its name gets the type.

        Args:
            artifact: The name of the artifact.
            fields: The type, the description, the metadata and the aliases of the version.
            files: Its files.
            open_stream: Opens the bytes of one that is not a reference.
            name: What names the version among those of the run.

        Returns:
            The number of its files.
        """
        fields = {**fields, "run_uuid": self._there.run_uuid}
        upload = {
            "artifact": artifact,
            "version": {name: value for name, value in fields.items() if value},
        }
        with reserved(self._folder()) as place:
            saved = place.with_suffix(".files")
            own = [file for file in files if file.reference is None]
            save_below(saved, [_file_to_save(file, open_stream) for file in own])
            sources = [_source_of(file, saved) for file in files]
            try:
                self._deliver(sources, upload, f"version {name}")
            except ConflictError as error:
                if error.code != "type_taken":
                    raise
                other = upload["artifact"] = _name_with_type(artifact, fields["type"])
                project = f"{self._there.namespace_slug}/{self._there.project_slug}"
                warn_once(
                    f"{project} has the artifact {artifact!r} with another type than "
                    f"{fields['type']!r}; the copies of its versions are named {other!r}"
                )
                self._deliver(sources, upload, f"version {name}")
        return len(files)

    def add_file(
        self, file: RunFile, open_stream: Callable[[], AbstractContextManager[Iterable[bytes]]]
    ) -> None:
        """Records a file of the run, whose bytes are streamed."""
        with reserved(self._folder()) as place:
            saved = place.with_suffix(".files")
            name = file.digest
            save_below(saved, [FileToSave(name, name, file.size, False, open_stream)])  # noqa: FBT003 - a tuple
            self.add_local_file(file, saved / name)

    def add_local_file(self, file: RunFile, path: Path) -> None:
        """Records a file of the run, which is on this disk."""
        fields = {
            "path": file.path,
            "kind": file.kind,
            "step": file.step,
            "digest": file.digest,
            "content_type": file.content_type,
            "timestamp": file.timestamp.isoformat(),
        }
        upload = {"run_file": {name: value for name, value in fields.items() if value is not None}}
        source = Source(file.path, path, executable=False)
        self._deliver([source], upload, f"file {file.path} {file.step} {file.digest}")

    def add_input(self, artifact: str, digest: str) -> None:
        """Records a version as an input of the run, if the project has it."""
        version = f"sha256:{digest}"
        try:
            operations.use_artifact(self._target, self._there, artifact, version)
        except NotFoundError:
            # It may be of a run that is not copied, or its name has got the type.
            project = operations.ProjectPath(self._there.namespace_slug, self._there.project_slug)
            for copied in operations.list_artifacts(self._target, project, digest=digest):
                if copied.name == _name_with_type(artifact, copied.type_):
                    operations.use_artifact(self._target, self._there, copied.name, version)

    def _deliver(self, sources: Sequence[AnySource], upload: dict[str, Any], name: str) -> None:
        # The same again if it is repeated.
        key = uuid.uuid5(self._key, f"{self._there.run_uuid} {name}")
        deliver_files(self._target, self._there, sources, upload, str(key), _ignore)

    def _folder(self) -> Path:
        return self._target.settings.home / "uploads" / str(uuid.uuid4())


class ServedFiles:
    """The artifacts and files of one run at a backend.

    Args:
        source: The backend that has them.
        path: The run.
    """

    def __init__(self, source: Connection, path: RunPath) -> None:
        self._source = source
        self._path = path
        self._project = operations.ProjectPath(path.namespace_slug, path.project_slug)

    def links(self, direction: str) -> list[ArtifactLink]:
        """Returns which versions the run created (`output`) or used (`input`)."""
        models = _if_known(
            lambda: operations.list_run_artifacts(self._source, self._path, direction=direction)
        )
        return [read_run_artifact(model, self._path.run_uuid) for model in models]

    def version(self, link: ArtifactLink) -> tuple[VersionRecord, list[ArtifactFile]]:
        """Returns a version and its files."""
        path = self._version_path(link)
        model = operations.get_artifact_version(self._source, path)
        files = operations.list_artifact_files(self._source, path)
        return read_version(model, "getArtifactVersion"), list(map(read_artifact_file, files))

    def files(self) -> list[RunFile]:
        """Returns the files of the run."""
        models = _if_known(lambda: operations.list_run_files(self._source, self._path))
        return [read_run_file(model, "listRunFiles") for model in models]

    def open_version_file(
        self, link: ArtifactLink, file: ArtifactFile
    ) -> AbstractContextManager[Iterable[bytes]]:
        """Opens a file of a version as pieces."""
        size = file.size or 0
        download = partial(
            operations.download_artifact_file, self._source, self._version_path(link), file.path
        )
        return streamed(lambda start, end: download(start, end, size), size)

    def open_file(self, file: RunFile) -> AbstractContextManager[Iterable[bytes]]:
        """Opens a file of the run as pieces."""
        download = partial(
            operations.download_run_file, self._source, self._path, file.path, file.step
        )
        return streamed(lambda start, end: download(start, end, file.size), file.size)

    def _version_path(self, link: ArtifactLink) -> operations.VersionPath:
        return operations.VersionPath(*self._project, link.artifact, link.version)


def copy_files(source: ServedFiles, target: FilesDelivery) -> int:
    """Copies the artifacts and files of a run to a run at another backend.

    Returns:
        The number of files, those of versions included.

    Raises:
        TellurioError: A request failed, for example since the target has no artifacts.
        OSError: The disk does not take what is on its way.
    """
    count = 0
    for link in source.links("output"):
        version, files = source.version(link)
        fields = fields_of_version(version)
        stream = partial(source.open_version_file, link)
        count += target.add_version(version.artifact, fields, files, stream, version.uuid)
    for file in source.files():
        target.add_file(file, partial(source.open_file, file))
        count += 1
    for link in source.links("input"):
        target.add_input(link.artifact, link.digest)
    return count


def fields_of_version(version: VersionRecord) -> dict[str, Any]:
    """Returns what a version has beside its files, for a copy of it."""
    return {
        "type": version.type,
        "description": version.description,
        "metadata": version.metadata,
        "aliases": [alias for alias in version.aliases if alias != "latest"],
    }


def _name_with_type(artifact: str, type_: str) -> str:
    """Returns the same name each time, so that all versions of the artifact get it."""
    end = "-" + re.sub(r"[^A-Za-z0-9_.-]+", "-", type_)
    return artifact[: MAX_ARTIFACT_NAME - len(end)] + end


def _file_to_save(
    file: ArtifactFile,
    open_stream: Callable[[ArtifactFile], AbstractContextManager[Iterable[bytes]]],
) -> FileToSave:
    assert file.digest is not None
    assert file.size is not None
    return FileToSave(
        file.path, file.digest, file.size, file.executable, partial(open_stream, file)
    )


def _ignore(_sent: int, _size: int) -> None:
    """Shows no progress."""


def _if_known(request: Callable[[], list[Any]]) -> list[Any]:
    """The answer to a request; an empty list from a backend without artifacts."""
    try:
        return request()
    except ApiError as error:
        if error.status_code not in LACKING:
            raise
        return []


def _source_of(file: ArtifactFile, folder: Path) -> AnySource:
    if file.reference is not None:
        return Reference(file.path, file.reference, file.digest, file.size)
    return Source(file.path, folder / file.path, file.executable)
