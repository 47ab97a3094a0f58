"""Artifacts: files to log, or a version that a backend has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

from afnio_tellurio.api import artifact_operations as operations
from afnio_tellurio.api.artifact_entities import read_version
from afnio_tellurio.artifacts.collecting import collect_directory, collect_file
from afnio_tellurio.artifacts.sources import BytesSource, Reference
from afnio_tellurio.errors import TellurioError
from afnio_tellurio.tracking.artifact_arguments import (
    checked_aliases,
    checked_artifact_name,
    checked_description,
    checked_digest,
    checked_flag,
    checked_metadata,
    checked_path,
    checked_size,
    checked_type,
    checked_uri,
)
from afnio_tellurio.tracking.artifact_version import ArtifactVersion, Pending
from afnio_tellurio.validation import checked_text

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from afnio_tellurio.api.artifact_entities import VersionRecord
    from afnio_tellurio.api.connection import Connection
    from afnio_tellurio.artifact_manifests import ManifestFile
    from afnio_tellurio.artifacts.sources import AnySource
    from afnio_tellurio.delivery.file_outbox import FileOutbox
    from afnio_tellurio.delivery.file_transfer import UploadResult


class Artifact(ArtifactVersion):
    """Files under a name: built by hand to be logged, or a version that was logged or is used.

    A version never changes, except for its aliases. `run.log_artifact` returns when the files are
    captured, and a thread uploads them; `wait` waits for that.

    Args:
        name: The name, 1 to 128 letters, digits, underscores, dots, or dashes.
        type: What its versions are, 1 to 64 characters; the same for all versions of the name.
        description: A description of the version, up to 65,536 characters.
        metadata: What is known of the version: values of JSON by name, up to 64 KiB in all.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: An argument is invalid.
    """

    def __init__(
        self,
        name: str,
        type: str = "file",  # noqa: A002 - the name that users of trackers know
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self._describe("Artifact", name, type, description, metadata)

    def _describe(
        self,
        call: str,
        name: str,
        type_: str,
        description: str | None,
        metadata: Mapping[str, Any] | None,
    ) -> None:
        self.name = checked_artifact_name(call, name)
        self.type = checked_type(call, type_)
        super().__init__(checked_description(call, description), checked_metadata(call, metadata))
        self._sources: dict[str, AnySource] = {}

    # Building it

    def add_file(self, path: str | os.PathLike[str], name: str | None = None) -> Self:
        """Adds a file. It is read when the artifact is logged.

        Args:
            path: The file.
            name: Its path in the artifact; default the file's name.

        Raises:
            OSError: The file does not exist.
            TellurioError: The artifact has been logged.
            ValueError: It is not a regular file, or its path in the artifact is invalid, or that
                of another file.
        """
        name = None if name is None else checked_path("add_file", name)
        return self._add("add_file", collect_file(path, name))

    def add_dir(
        self,
        path: str | os.PathLike[str],
        name: str | None = None,
        *,
        include: Sequence[str] | None = None,
        exclude: Sequence[str] | None = None,
        symlinks: Literal["inside", "refuse"] = "inside",
    ) -> Self:
        """Adds the files of a folder and of its subfolders.

        Args:
            path: The folder.
            name: Where its files are in the artifact; default at the top.
            include: Patterns of paths in the folder, as in `.gitignore`; default all files.
            exclude: Patterns of paths to leave out.
            symlinks: `"inside"` follows symbolic links that stay in the folder and refuses others;
                `"refuse"` refuses all.

        Raises:
            OSError: The folder does not exist, or cannot be read.
            TellurioError: The artifact has been logged.
            ValueError: It has no files to log, a link that leaves it, a file that is not regular,
                or one with the path of another file.
        """
        name = None if name is None else checked_path("add_dir", name)
        return self._add("add_dir", collect_directory(path, name, include, exclude, symlinks))

    def add_bytes(self, data: bytes, name: str) -> Self:
        """Adds a file with these bytes.

        Raises:
            TellurioError: The artifact has been logged.
            TypeError: The data is not bytes.
            ValueError: The path is invalid, or the artifact has another file with it.
        """
        if not isinstance(data, bytes | bytearray | memoryview):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"add_bytes: data is of type {type(data).__name__}; it must be bytes")
        return self._add("add_bytes", [BytesSource(checked_path("add_bytes", name), bytes(data))])

    def add_text(self, text: str, name: str) -> Self:
        """Adds a file with this text in UTF-8; see `add_bytes`."""
        data = checked_text("add_text", "text", text).encode()
        return self._add("add_text", [BytesSource(checked_path("add_text", name), data)])

    def add_reference(
        self,
        uri: str,
        name: str | None = None,
        *,
        digest: str | None = None,
        size: int | None = None,
    ) -> Self:
        """Adds a file that stays where it is. Nothing opens the address.

        Args:
            uri: Where the file is, for example `s3://acme/data.parquet`.
            name: Its path in the artifact; default the end of the address, without its query.
            digest: The SHA-256 of its bytes in hexadecimal, if that is known.
            size: Its size in bytes, if that is known.

        Raises:
            TellurioError: The artifact has been logged.
            TypeError: An argument has the wrong type.
            ValueError: An argument is invalid.
        """
        call = "add_reference"
        uri = checked_uri(call, uri)
        path = _end_of(call, uri) if name is None else checked_path(call, name)
        reference = Reference(path, uri, checked_digest(call, digest), checked_size(call, size))
        return self._add(call, [reference])

    def _add(self, call: str, sources: Sequence[AnySource]) -> Self:
        if self._pending is not None or self._record is not None:
            raise TellurioError(
                f"artifact {self.name!r} has been logged and cannot change; make a new Artifact"
            )
        for source in sources:
            if self._sources.get(source.path_in_artifact, source) != source:
                raise ValueError(
                    f"{call}: artifact {self.name!r} has another file with the path "
                    f"{source.path_in_artifact!r}; pass another name"
                )
        self._sources.update((source.path_in_artifact, source) for source in sources)
        return self

    # Changing what names it

    def alias(self, *names: str) -> None:
        """Makes aliases name this version, instead of those that they named before.

        While the version is being uploaded, they are set after it; `wait` waits for that too.

        Raises:
            TypeError: An alias is not a string.
            ValueError: An alias is invalid, or reserved.
            TellurioError: The request failed.
        """
        checked = checked_aliases("alias", names)
        pending = self._pending
        self._known()
        if pending is not None and pending.is_waiting():
            for name in checked:
                pending.append_alias(self.name, name)
            return
        record = self._required("alias")
        for name in checked:
            model = operations.set_artifact_alias(
                self._reachable(), self._project, record.artifact, name, record.version
            )
            self._record = read_version(model, "setArtifactAlias")

    def unalias(self, *names: str) -> None:
        """Removes aliases of this version; those that name another version stay.

        Raises:
            TellurioError: The request failed.
        """
        checked = checked_aliases("unalias", names)
        record = self._refreshed("unalias")
        for name in checked:
            if name in record.aliases:
                operations.delete_artifact_alias(
                    self._reachable(), self._project, record.artifact, name
                )
        self._refreshed("unalias")

    def delete(self, *, force: bool = False, purge: bool = False) -> None:
        """Deletes the version. The trash keeps it for 30 days.

        Args:
            force: Whether to delete it although it has aliases.
            purge: Whether to delete it for good at once.

        Raises:
            TypeError: An argument is not a bool.
            ConflictError: It has aliases, and `force` is false.
            TellurioError: The request failed.
        """
        force = checked_flag("delete", "force", force)
        purge = checked_flag("delete", "purge", purge)
        path = self._path(self._required("delete"))
        operations.delete_artifact_version(self._reachable(), path, force=force, purge=purge)


def named_artifact(
    call: str,
    name: str,
    type_: str,
    description: str | None,
    metadata: Mapping[str, Any] | None,
) -> Artifact:
    """An artifact that a function makes of its arguments; errors name the function.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: An argument is invalid.
    """
    artifact = Artifact.__new__(Artifact)
    artifact._describe(call, name, type_, description, metadata)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    return artifact


def _end_of(call: str, uri: str) -> str:
    """The end of an address, without its query, as a path in an artifact.

    Raises:
        ValueError: It is not a path.
    """
    address = uri.partition("#")[0].partition("?")[0]
    try:
        return checked_path(call, address.rstrip("/").rpartition("/")[2])
    except ValueError as error:
        raise ValueError(f"{error}; pass name") from None


def sources_of(artifact: Artifact) -> list[AnySource]:
    """What an artifact that was built by hand consists of."""
    return list(artifact._sources.values())  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


def project_of(artifact: Artifact) -> operations.ProjectPath:
    """The project of an artifact that is logged or read."""
    return artifact._project  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


def mark_logged(
    artifact: Artifact,
    connection: Connection,
    project: operations.ProjectPath,
    outbox: FileOutbox,
    upload: UploadResult,
    files: list[ManifestFile],
) -> None:
    """Notes that an artifact was logged."""
    artifact._connection, artifact._project = connection, project  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    artifact._pending = Pending(outbox, upload, files)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    artifact._sources = {}  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


def disabled_artifact(artifact: Artifact) -> Artifact:
    """An artifact that is not logged, because tracking is disabled; nothing waits for it."""
    artifact._is_disabled = True  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    return artifact


def artifact_of(
    connection: Connection, project: operations.ProjectPath, record: VersionRecord
) -> Artifact:
    """An artifact that a backend has."""
    artifact = Artifact.__new__(Artifact)
    # Without the checks of the constructor: what a backend returns is not an argument.
    ArtifactVersion.__init__(artifact, record.description, record.metadata)
    artifact.name, artifact.type = record.artifact, record.type
    artifact._sources = {}  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    artifact._connection, artifact._project = connection, project  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    artifact._record = record  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    return artifact


Artifact.__module__ = "afnio_tellurio"
