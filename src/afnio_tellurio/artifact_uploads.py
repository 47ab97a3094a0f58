"""Uploads a version of an artifact without a run, and waits for it."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from afnio_tellurio.api import operations
from afnio_tellurio.api.artifact_entities import VersionRecord
from afnio_tellurio.api.calling import RunPath
from afnio_tellurio.artifacts.capture import capture
from afnio_tellurio.artifacts.collecting import collect_directory, collect_file
from afnio_tellurio.artifacts.room import check_room
from afnio_tellurio.delivery.file_transfer import FileTransfer, UploadResult, files_folder
from afnio_tellurio.delivery.records import FILES_SUFFIX, UPLOAD, Change
from afnio_tellurio.errors import TellurioError
from afnio_tellurio.files import CREATE, make_private_directory
from afnio_tellurio.interruptions import ignored
from afnio_tellurio.locking import try_lock
from afnio_tellurio.settings.limits import PACKED_BYTES
from afnio_tellurio.tracking.artifact import artifact_of, named_artifact
from afnio_tellurio.tracking.artifact_arguments import checked_aliases, checked_keep

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping
    from pathlib import Path

    from afnio_tellurio.api.artifact_operations import ProjectPath
    from afnio_tellurio.api.connection import Connection
    from afnio_tellurio.artifacts.sources import AnySource
    from afnio_tellurio.tracking.artifact import Artifact

#: The suffix of a file that is locked while its process uploads.
_LOCK_SUFFIX = ".lock"
#: Seconds after which an unlocked file is of a process that died, and not of one that starts.
_STALE = 3600.0


def upload_artifact(
    connection: Connection,
    project: ProjectPath,
    path: Path,
    name: str | None = None,
    *,
    type: str = "file",  # noqa: A002 - the name that users of trackers know
    aliases: Iterable[str] = (),
    metadata: Mapping[str, Any] | None = None,
    description: str | None = None,
    keep: int | None = None,
    show: Callable[[int, int], None],
) -> Artifact:
    """Uploads a file or a folder as a version that no run created.

    Unlike `Run.log_artifact`, it returns when the backend has the version. If it fails, nothing is
    recorded and nothing is kept for later.

    Args:
        connection: The backend.
        project: The project, which exists.
        path: The file or the folder.
        name: The name of the artifact; default the name of the file or folder.
        type: What the versions of the artifact are.
        aliases: Names that this version gets.
        metadata: What is known of the version.
        description: A description of the version.
        keep: How many of the newest versions without an alias to keep; default all.
        show: Called with the number of bytes that were sent, and of all bytes.

    Raises:
        OSError: A file cannot be read, or the disk does not take its copy.
        TypeError: An argument has the wrong type.
        ValueError: An argument or a file is invalid.
        TellurioError: A request failed, or the disk has no room.
    """
    name = path.resolve().name if name is None else name
    artifact = named_artifact("upload", name, type, description, metadata)
    version = {
        "type": artifact.type,
        "description": artifact.description,
        "metadata": artifact._metadata,  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        "aliases": checked_aliases("upload", aliases),
        "keep": checked_keep("upload", keep),
    }
    version = {field: value for field, value in version.items() if value}
    sources = collect_directory(path) if path.is_dir() else collect_file(path)
    if operations.get_project(connection, *project) is None:
        raise LookupError(f"{project.namespace_slug} has no project {project.project_slug}")
    fields = {"artifact": artifact.name, "version": version}
    key = str(uuid.uuid4())
    record = deliver_files(connection, RunPath(*project, ""), sources, fields, key, show)
    if not isinstance(record, VersionRecord):
        raise TellurioError(f"artifact {artifact.name!r} was not recorded: {record}")
    return artifact_of(connection, project, record)


def deliver_files(
    connection: Connection,
    path: RunPath,
    sources: Iterable[AnySource],
    fields: Mapping[str, Any],
    key: str,
    show: Callable[[int, int], None],
) -> object:
    """Delivers files and what refers to them, and returns what the backend returned.

    Args:
        connection: The backend.
        path: The project, and the run if the files are those of a run.
        sources: The files.
        fields: The fields of an upload, see `delivery.file_transfer`.
        key: The idempotency key.
        show: Called with the number of bytes that were sent, and of all bytes.

    Raises:
        OSError: A file cannot be read, or the disk does not take its copy.
        ValueError: A file is invalid.
        TellurioError: A request failed, or the disk has no room.
    """
    with reserved(connection.settings.home / "uploads" / str(uuid.uuid4())) as journal:
        files = files_folder(journal)
        captured = capture(
            sources,
            files / key,
            # It is read again at once: a copy is only made where it becomes the blob.
            in_place_above=None if connection.is_local else PACKED_BYTES,
            check_room=lambda wanted: check_room(files.parent, wanted, 0),
        )
        size = sum(blob.size for blob in captured.index.blobs)
        transfer = FileTransfer(connection, path, journal, in_thread=False)
        transfer.results[key] = result = UploadResult()
        while not transfer.step(Change(UPLOAD, key, 0, dict(fields), -1, is_next=True)):
            # The list of many files is sent too.
            show(min(transfer.sent, size), size)
    return result.value


@contextmanager
def reserved(path: Path) -> Generator[Path]:
    """A path for files that are removed at the end, or by a later upload if this process dies."""
    make_private_directory(path.parent)
    _remove_stale(path.parent)
    lock = path.with_suffix(_LOCK_SUFFIX)
    fd = os.open(lock, CREATE | os.O_EXCL, 0o600)
    try:
        try_lock(fd)
        yield path
    finally:
        shutil.rmtree(path.with_suffix(FILES_SUFFIX), ignore_errors=True)
        os.close(fd)
        with ignored(FileNotFoundError):
            lock.unlink()


def _remove_stale(folder: Path) -> None:
    """Removes the files of uploads whose process died."""
    for lock in folder.glob(f"*{_LOCK_SUFFIX}"):
        # Another upload may remove it meanwhile.
        with ignored(FileNotFoundError):
            if time.time() - lock.stat().st_mtime < _STALE:
                continue
            fd = os.open(lock, os.O_RDWR)
            try:
                is_free = try_lock(fd)
            finally:
                os.close(fd)
            if is_free:
                shutil.rmtree(lock.with_suffix(FILES_SUFFIX), ignore_errors=True)
                lock.unlink()
