"""Copies the artifacts and files of a run from one backend to another."""

from __future__ import annotations

import uuid
from contextlib import suppress
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
from afnio_tellurio.errors import ApiError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from afnio_tellurio.api.artifact_entities import ArtifactFile, ArtifactLink, RunFile
    from afnio_tellurio.api.calling import RunPath
    from afnio_tellurio.api.connection import Connection
    from afnio_tellurio.artifacts.sources import AnySource


class FilesCopy:
    """A copy of the artifacts and files of one run. Repeating it changes nothing.

    Args:
        source: The backend that has them.
        target: The backend to copy them to.
        path: The run at the source.
        there: The run at the target.
    """

    def __init__(
        self, source: Connection, target: Connection, path: RunPath, there: RunPath
    ) -> None:
        self._source = source
        self._target = target
        self._path = path
        self._there = there
        self._project = operations.ProjectPath(path.namespace_slug, path.project_slug)

    def copy(self) -> int:
        """Copies all; returns the number of files, those of versions included.

        Raises:
            TellurioError: A request failed, for example since the target has no artifacts.
            OSError: The disk does not take what is on its way.
        """
        count = 0
        for link in self._links("output"):
            count += self._copy_version(link)
        for model in _if_known(lambda: operations.list_run_files(self._source, self._path)):
            self._copy_run_file(read_run_file(model, "listRunFiles"))
            count += 1
        for link in self._links("input"):
            # Its version may be of a run that is not copied.
            with suppress(NotFoundError):
                operations.use_artifact(
                    self._target, self._there, link.artifact, f"sha256:{link.digest}"
                )
        return count

    def _links(self, direction: str) -> list[ArtifactLink]:
        models = _if_known(
            lambda: operations.list_run_artifacts(self._source, self._path, direction=direction)
        )
        return [read_run_artifact(model, self._path.run_uuid) for model in models]

    def _copy_version(self, link: ArtifactLink) -> int:
        path = operations.VersionPath(*self._project, link.artifact, link.version)
        model = operations.get_artifact_version(self._source, path)
        version = read_version(model, "getArtifactVersion")
        files = [
            read_artifact_file(file) for file in operations.list_artifact_files(self._source, path)
        ]
        fields = {
            "type": version.type,
            "description": version.description,
            "metadata": version.metadata,
            "aliases": [alias for alias in version.aliases if alias != "latest"],
            "run_uuid": self._there.run_uuid,
        }
        upload = {
            "artifact": version.artifact,
            "version": {name: value for name, value in fields.items() if value},
        }
        with reserved(self._folder()) as place:
            saved = place.with_suffix(".files")
            save_below(
                saved, [self._version_file(path, file) for file in files if file.reference is None]
            )
            sources = [_source_of(file, saved) for file in files]
            self._deliver(sources, upload, f"version {version.uuid}")
        return len(files)

    def _version_file(self, path: operations.VersionPath, file: ArtifactFile) -> FileToSave:
        assert file.digest is not None
        assert file.size is not None
        size = file.size

        def download(start: int, end: int) -> bytes:
            return operations.download_artifact_file(
                self._source, path, file.path, start, end, size
            )

        return FileToSave(
            file.path, file.digest, size, file.executable, lambda: streamed(download, size)
        )

    def _copy_run_file(self, file: RunFile) -> None:
        def download(start: int, end: int) -> bytes:
            return operations.download_run_file(
                self._source, self._path, file.path, file.step, start, end, file.size
            )

        fields = {
            "path": file.path,
            "kind": file.kind,
            "step": file.step,
            "digest": file.digest,
            "content_type": file.content_type,
            "timestamp": file.timestamp.isoformat(),
        }
        upload = {"run_file": {name: value for name, value in fields.items() if value is not None}}
        with reserved(self._folder()) as place:
            saved = place.with_suffix(".files")
            name = file.digest
            save_below(
                saved,
                [FileToSave(name, name, file.size, False, lambda: streamed(download, file.size))],  # noqa: FBT003 - a tuple
            )
            source = Source(file.path, saved / name, executable=False)
            self._deliver([source], upload, f"file {file.path} {file.step} {file.digest}")

    def _deliver(self, sources: Sequence[AnySource], upload: dict[str, Any], name: str) -> None:
        # The same again if the copy is repeated.
        key = uuid.uuid5(uuid.UUID(self._path.run_uuid), f"{self._there.run_uuid} {name}")
        deliver_files(self._target, self._there, sources, upload, str(key), _ignore)

    def _folder(self) -> Path:
        return self._target.settings.home / "uploads" / str(uuid.uuid4())


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
