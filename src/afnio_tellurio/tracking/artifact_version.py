"""Versions of artifacts: what is known of them, and reading their files."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from afnio_tellurio.api import artifact_operations as operations
from afnio_tellurio.api.artifact_entities import (
    ArtifactFile,
    ArtifactLink,
    VersionRecord,
    read_artifact_file,
    read_artifact_run,
    read_version,
)
from afnio_tellurio.artifact_manifests import encode_manifest
from afnio_tellurio.artifacts.cache import cached_file
from afnio_tellurio.artifacts.patterns import Patterns
from afnio_tellurio.artifacts.remote_files import open_remote, pieces_of, streamed
from afnio_tellurio.artifacts.saving import DamagedFileError, FileToSave, save_below
from afnio_tellurio.delivery.senders import require_delivery
from afnio_tellurio.errors import TellurioError
from afnio_tellurio.special_numbers import restore
from afnio_tellurio.tracking.artifact_arguments import checked_flag
from afnio_tellurio.tracking.artifact_diff import whole_diff

if TYPE_CHECKING:
    import datetime as dt
    import os
    from collections.abc import Sequence

    from afnio_tellurio.api.connection import Connection
    from afnio_tellurio.artifact_manifests import ManifestFile
    from afnio_tellurio.artifacts.remote_files import Download
    from afnio_tellurio.delivery.file_outbox import FileOutbox
    from afnio_tellurio.delivery.file_transfer import UploadResult


class Pending:
    """A version that was logged and may not be at the backend yet.

    Attributes:
        outbox: The outbox that delivers it.
        files: Its files.
        digest: The digest of its manifest.
    """

    def __init__(self, outbox: FileOutbox, upload: UploadResult, files: list[ManifestFile]) -> None:
        self.outbox = outbox
        self.files = files
        self.digest = hashlib.sha256(encode_manifest(files)).hexdigest()
        # Of the upload and of its aliases, in the order of their delivery.
        self._results = [upload]
        self._seen = 0

    def result(self) -> object:
        """The version, or why it was refused; None while it is being uploaded."""
        return self._results[0].value

    def is_waiting(self) -> bool:
        """Whether it, or an alias of it, is being uploaded."""
        return self._seen < len(self._results)

    def newest(self) -> VersionRecord | None:
        """What the backend has returned since the last call, or None."""
        newest = None
        for number, result in enumerate(self._results[self._seen :], self._seen + 1):
            if result.value is None:
                break
            newest = result.value if isinstance(result.value, VersionRecord) else newest
            self._seen = number
        return newest

    def append_alias(self, artifact: str, alias: str) -> None:
        """Records an alias of it, for delivery after it."""
        self._results.append(self.outbox.log_alias(artifact, alias, f"sha256:{self.digest}"))


class ArtifactVersion:
    """What is known of an artifact, once it is logged or read.

    Attributes:
        name: The name of the artifact.
        type: What its versions are.
    """

    name: str
    type: str

    def __init__(self, description: str | None, metadata: dict[str, Any]) -> None:
        self._description = description
        self._metadata = metadata
        self._connection: Connection | None = None
        self._project = operations.ProjectPath("", "")
        self._record: VersionRecord | None = None
        self._pending: Pending | None = None
        self._files: list[ArtifactFile] | None = None
        # Whether it is not logged, because tracking is disabled.
        self._is_disabled = False

    def __repr__(self) -> str:
        version = self.version
        if version is not None:
            return f"Artifact({self.name}:{version}, type={self.type!r})"
        state = "not logged yet" if self._pending is None else "being uploaded"
        return f"Artifact({self.name}, type={self.type!r}, {state})"

    # What is known of it

    @property
    def version(self) -> str | None:
        """The version, for example `"v3"`; `None` until the backend has it, see `wait`."""
        record = self._known()
        return None if record is None else record.version

    @property
    def digest(self) -> str | None:
        """The digest of its files and their paths; `None` before it is logged."""
        record = self._known()
        if record is not None:
            return record.digest
        return None if self._pending is None else self._pending.digest

    @property
    def size(self) -> int | None:
        """The size of its files in bytes; `None` before it is logged."""
        record = self._known()
        if record is not None:
            return record.size
        return (
            None if self._pending is None else sum(file.size or 0 for file in self._pending.files)
        )

    @property
    def date_created(self) -> dt.datetime | None:
        """When the version was created, with time zone; `None` until the backend has it."""
        record = self._known()
        return None if record is None else record.date_created

    @property
    def aliases(self) -> tuple[str, ...]:
        """Its aliases, sorted, when they were last read; empty until the backend has it."""
        record = self._known()
        return () if record is None else record.aliases

    @property
    def description(self) -> str | None:
        """The description, or `None`."""
        record = self._known()
        return self._description if record is None else record.description

    @property
    def metadata(self) -> dict[str, Any]:
        """What is known of the version, by name; a copy."""
        record = self._known()
        metadata: dict[str, Any] = restore(
            self._metadata if record is None else dict(record.metadata)
        )
        return metadata

    @property
    def files(self) -> list[ArtifactFile]:
        """Its files, sorted by path; empty before it is logged.

        Raises:
            TellurioError: The request failed.
        """
        record = self._known()
        if record is None:
            files = [] if self._pending is None else self._pending.files
            return [
                ArtifactFile(file.path, file.size, file.digest, file.executable, file.reference)
                for file in files
            ]
        if self._files is None:
            models = operations.list_artifact_files(self._reachable(), self._path(record))
            self._files = [read_artifact_file(model) for model in models]
        return list(self._files)

    @property
    def producer(self) -> ArtifactLink | None:
        """The run that created the version, or `None`.

        Raises:
            TellurioError: The version is not at the backend, or the request failed.
        """
        return next((link for link in self._links() if link.direction == "output"), None)

    @property
    def consumers(self) -> list[ArtifactLink]:
        """The runs that used the version, in the order in which they did.

        Raises:
            TellurioError: The version is not at the backend, or the request failed.
        """
        return [link for link in self._links() if link.direction == "input"]

    def _links(self) -> list[ArtifactLink]:
        record = self._required("consumers")
        models = operations.list_artifact_runs(self._reachable(), self._path(record))
        return [read_artifact_run(model, record) for model in models]

    # Waiting for it

    def wait(self, timeout: float | None = None) -> Self:
        """Waits until the backend has the version.

        Args:
            timeout: The seconds to wait at most; default without limit.

        Raises:
            DeliveryError: It was not uploaded in that time, or delivery has stopped.
            TellurioError: The backend refused it, or a file was changed before it was uploaded.
        """
        if self._is_disabled:
            return self
        self._settle("wait", timeout)
        self._required("wait")
        return self

    def _settle(self, call: str, timeout: float | None) -> None:
        """Waits until the backend has the version and the aliases that were set meanwhile."""
        self._known()
        if self._pending is not None and self._pending.is_waiting():
            require_delivery(self._pending.outbox, call, timeout)

    def _known(self) -> VersionRecord | None:
        """The version if the backend has it."""
        if self._pending is not None:
            self._record = self._pending.newest() or self._record
        return self._record

    def _required(self, call: str) -> VersionRecord:
        """The version; waits for it up to the exit timeout."""
        record, pending = self._known(), self._pending
        if record is not None:
            return record
        if pending is None or self._connection is None:
            raise TellurioError(f"{call}: artifact {self.name!r} has not been logged; log it first")
        self._settle(call, self._connection.settings.exit_timeout)
        record, result = self._known(), pending.result()
        if record is not None:
            return record
        problem = f"{call}: artifact {self.name!r} was not recorded"
        raise TellurioError(f"{problem}: {result}") from (
            result if isinstance(result, Exception) else None
        )

    def _reachable(self) -> Connection:
        if self._connection is None:
            raise TellurioError(f"artifact {self.name!r} has not been logged; log it first")
        return self._connection

    def _path(self, record: VersionRecord) -> operations.VersionPath:
        return operations.VersionPath(*self._project, record.artifact, record.version)

    def _refreshed(self, call: str) -> VersionRecord:
        path = self._path(self._required(call))
        self._settle(call, self._reachable().settings.exit_timeout)
        model = operations.get_artifact_version(self._reachable(), path)
        self._record = read_version(model, "getArtifactVersion")
        return self._record

    # Reading its files

    def download(
        self,
        root: str | os.PathLike[str] | None = None,
        *,
        include: Sequence[str] | None = None,
        verify: bool = True,
    ) -> Path:
        """Downloads its files. Those that are there with the same bytes are left as they are.

        Args:
            root: The folder; default `artifacts/NAME-VERSION`. It is created if missing.
            include: Patterns of paths, as in `.gitignore`; default all files. References are
                left out.
            verify: Whether to compare the digests.

        Returns:
            The folder.

        Raises:
            OSError: The disk does not take a file.
            TellurioError: The request failed, a file is damaged, or a symbolic link is in the way.
            TypeError: An argument has the wrong type.
            ValueError: The backend answered with an unsafe path.
        """
        verify = checked_flag("download", "verify", verify)
        folder = self._default_folder() if root is None else Path(root)
        save_below(folder, self._files_to_save(include), verify=verify)
        return folder

    def _default_folder(self) -> Path:
        record = self._required("download")
        # The names in answers are checked: neither can be a path.
        return Path("artifacts", f"{record.artifact}-{record.version}")

    def _files_to_save(self, include: Sequence[str] | None) -> list[FileToSave]:
        """The files to download, without references."""
        self._required("download")
        patterns = None if include is None else Patterns("include", include)
        return [
            self._to_save(file)
            for file in self.files
            if file.reference is None and (patterns is None or patterns.cover(file.path))
        ]

    def _to_save(self, file: ArtifactFile) -> FileToSave:
        digest, size = _stored(file)
        download = self._downloader(file.path, size)
        return FileToSave(
            file.path, digest, size, file.executable, lambda: streamed(download, size)
        )

    def path(self, path: str) -> Path:
        """A copy of a file on this machine, which is downloaded unless the cache has it.

        Its name is its digest. Do not change it: other programs use it too. The cache keeps a file
        for an hour after its last use, and longer while there is room; `download` is for more.

        Args:
            path: Its path in the artifact.

        Raises:
            FileNotFoundError: The artifact does not have it.
            OSError: The disk does not take the file.
            TellurioError: The request failed, or the file is damaged.
            ValueError: It is a reference, whose bytes the backend does not have.
        """
        file = self._to_save(self._find(path))
        folder = self._reachable().settings.cache
        return cached_file(folder, file.digest, file.size, file.open_stream)

    def open(self, path: str) -> BinaryIO:
        """Opens a file for reading; only the parts that are read are downloaded.

        If you read it from its start to its end, its digest is compared at the end. A part that is
        read by itself cannot be verified.

        Args:
            path: Its path in the artifact.

        Raises:
            FileNotFoundError: The artifact does not have it.
            TellurioError: The request failed. Reading raises it too, or if the bytes are damaged.
            ValueError: It is a reference, whose bytes the backend does not have.
        """
        digest, size = _stored(self._find(path))
        return open_remote(self._downloader(path, size), size, digest, f"{path!r} of {self!r}")

    def read_bytes(self, path: str) -> bytes:
        """The bytes of a file, verified; see `open`.

        Raises:
            TellurioError: They are damaged.
        """
        digest, size = _stored(self._find(path))
        data = b"".join(pieces_of(self._downloader(path, size), size))
        if hashlib.sha256(data).hexdigest() != digest:
            raise DamagedFileError(
                f"{path!r} of {self!r}: the bytes are not those that were logged"
            )
        return data

    def read_text(self, path: str) -> str:
        """The text of a file in UTF-8; see `read_bytes`."""
        return self.read_bytes(path).decode()

    def diff(self, other: ArtifactVersion) -> str:
        """How the files of another version differ from those of this one, as a unified diff.

        Files of up to 1 MiB in UTF-8 are compared by their lines; of others, it names those that
        differ.

        Args:
            other: The newer version, perhaps of another artifact.

        Returns:
            The diff; empty if the files are the same.

        Raises:
            TellurioError: The request failed.
        """
        versions = self._required("diff").version, other._required("diff").version
        return whole_diff(self, other, f"{self.name}:{versions[0]}", f"{other.name}:{versions[1]}")

    def verify(self) -> None:
        """Downloads all files, keeps none, and compares their digests.

        Raises:
            TellurioError: The bytes of a file are not those that were logged, or cannot be read.
        """
        self._required("verify")
        for file in self.files:
            if file.reference is None:
                digest, size = _stored(file)
                found = hashlib.sha256()
                for piece in pieces_of(self._downloader(file.path, size), size):
                    found.update(piece)
                if found.hexdigest() != digest:
                    raise DamagedFileError(
                        f"{file.path!r} of {self!r}: the bytes are not those that were logged"
                    )

    def _find(self, path: str) -> ArtifactFile:
        self._required("open")
        for file in self.files:
            if file.path == path:
                return file
        raise FileNotFoundError(f"{self!r} has no file {path!r}; its attribute files lists them")

    def _downloader(self, path: str, size: int) -> Download:
        version = self._path(self._required("download"))
        connection = self._reachable()
        return lambda start, end: operations.download_artifact_file(
            connection, version, path, start, end, size
        )


def _stored(file: ArtifactFile) -> tuple[str, int]:
    """The digest and the size of a file whose bytes the backend has."""
    if file.reference is not None or file.digest is None or file.size is None:
        raise ValueError(
            f"{file.path!r} is a reference to {file.reference!r}; the backend does not have its "
            "bytes: open the address itself"
        )
    return file.digest, file.size
