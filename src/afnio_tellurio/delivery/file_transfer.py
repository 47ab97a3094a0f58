"""Delivers the files of a journal: first their bytes, then what refers to them.

The record of an upload has one of these forms, with the number of its `files` and `bytes`:

    {"artifact":"model","version":{"type":"model","aliases":["best"]},"files":1,"bytes":1048576}
    {"run_file":{"path":"samples","kind":"image","digest":"6ae8..."},"files":1,"bytes":2048}
    {"artifact":"model","alias":"best","names":"sha256:9f86...","files":0,"bytes":0}
    {"artifact":"model","uses":"v3","files":0,"bytes":0}

The folder that is named after its key has the files, see `artifacts.capture`. It is removed when
the backend has all of it. So an upload that is interrupted starts again, and the backend knows what
it has.
"""

from __future__ import annotations

import hashlib
import io
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from afnio_tellurio.api import artifact_operations as operations
from afnio_tellurio.api.artifact_entities import read_run_file, read_version
from afnio_tellurio.api.artifact_operations import ProjectPath
from afnio_tellurio.artifact_manifests import encode_manifest
from afnio_tellurio.artifacts.index import INDEX, read_index, remove_captured
from afnio_tellurio.artifacts.opening import ChangedFileError, quoted
from afnio_tellurio.artifacts.reading import open_captured
from afnio_tellurio.delivery.records import FILES_SUFFIX, find_record
from afnio_tellurio.delivery.rejected_files import keep_upload
from afnio_tellurio.errors import (
    ApiError,
    BadRequestError,
    ConflictError,
    NotFoundError,
    TellurioError,
)
from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.notices import warn
from afnio_tellurio.settings.limits import BLOB_BYTES, BLOBS_BYTES, CHECKED_BLOBS, INLINE_FILES

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from afnio_tellurio.api.artifact_entities import RunFile, VersionRecord
    from afnio_tellurio.api.calling import RunPath
    from afnio_tellurio.api.connection import Connection
    from afnio_tellurio.artifact_manifests import ManifestFile
    from afnio_tellurio.delivery.journal_file import JournalFile
    from afnio_tellurio.delivery.records import Change, Header

#: How often the blobs are sent again that a backend says it lacks, although it took them before.
_ROUNDS = 3
#: Seconds between two requests while the backend still verifies a large file.
_VERIFYING_PAUSE = 0.5
#: Bytes that are read at once.
_READ_BYTES = 2**20


def files_folder(journal: Path) -> Path:
    """The folder with the files of a journal."""
    return journal.with_suffix(FILES_SUFFIX)


def count_lost(journal: JournalFile) -> int:
    """The number of files in a delivered journal whose records are damaged."""
    folder = files_folder(journal.path)
    # A folder without a record is of a call that did not return.
    if not folder.is_dir() or not _is_damaged(journal.path):
        return 0
    captured = [path for path in folder.iterdir() if (path / INDEX).exists()]
    return sum(len(read_index(path).files) for path in captured)


def _is_damaged(journal: Path) -> bool:
    *lines, _torn = journal.read_bytes().split(b"\n")
    return any(find_record(line)[0] is None for line in lines)


def lost_files(journal: JournalFile) -> str | None:
    """What a delivered journal has lost, for a message; None if it has lost nothing."""
    count = count_lost(journal)
    if not count:
        return None
    files = "1 file" if count == 1 else f"{count} files"
    return f"the record of {files} in {files_folder(journal.path)} is damaged; log them again"


def named_upload(upload: Change) -> str:
    """An upload, for a message."""
    fields = upload.fields
    if "alias" in fields:
        return f"the alias {fields['alias']!r} of artifact {fields['artifact']!r}"
    if "uses" in fields:
        return f"the input {fields['artifact']}:{fields['uses']}"
    if "artifact" in fields:
        return f"a version of artifact {fields['artifact']!r}"
    return f"the file {fields['run_file']['path']!r}"


class UploadResult:
    """What became of one upload, for a caller that keeps this object.

    Attributes:
        value: What the backend returned, or why it refused the upload; None while it waits.
    """

    def __init__(self) -> None:
        self.value: VersionRecord | RunFile | Exception | None = None


class FileTransfer:
    """Delivers uploads, one request at a time.

    Args:
        connection: The backend.
        path: The run.
        journal: The path of the journal whose folder has the files.
        in_thread: Whether a thread sends them, which tries again itself.

    Attributes:
        results: The results that callers keep, by the keys of the uploads.
        waiting: The numbers of files and bytes of each upload that waits, by key.
        files: The number of files that were delivered.
        bytes: The number of their bytes.
        rejected: The number of files that were not, because the backend refused them.
        sent: The number of bytes that were sent of the present upload.
    """

    def __init__(
        self, connection: Connection, path: RunPath, journal: Path, *, in_thread: bool = True
    ) -> None:
        # Weakly: a run may log files without end.
        self.results: WeakValueDictionary[str, UploadResult] = WeakValueDictionary()
        self.waiting: dict[str, tuple[int, int]] = {}
        self.files = 0
        self.bytes = 0
        self.rejected = 0
        self.sent = 0
        self._connection = connection
        # The thread tries again itself; another caller needs the retries of each request.
        self._in_thread = in_thread
        self._path = path
        self._project = ProjectPath(path.namespace_slug, path.project_slug)
        self._journal = journal
        self._key: str | None = None
        # The versions that kept what was logged with them.
        self._warned: set[tuple[str, str]] = set()
        self._requests: Generator[None, None, None] = _nothing()

    def step(self, change: Change) -> bool:
        """Sends the next request of an upload; returns True if it was the last one."""
        if self._key != change.key:
            self._key, self._requests = change.key, self._deliver(change)
            self.sent = 0
        try:
            next(self._requests)
        except StopIteration:
            self._key = None
            self.waiting.pop(change.key, None)
            self.files += change.fields.get("files", 0)
            self.bytes += change.fields.get("bytes", 0)
            return True
        except BaseException:  # raised again; the next step starts this upload again
            self._key = None
            raise
        return False

    def reject(self, header: Header, change: Change, error: Exception) -> str:
        """Notes that an upload cannot be delivered; returns the message of that.

        Args:
            header: The header of the journal.
            change: The upload.
            error: Why.
        """
        kept = keep_upload(self._journal, header, change)
        self._note(change.key, error)
        self.waiting.pop(change.key, None)
        self.rejected += change.fields.get("files", 0)
        self.sent = 0
        reason = error.words if isinstance(error, ApiError) else str(error)
        message = f"{named_upload(change)} was not recorded: {reason}"
        if kept is None:
            # The program may have removed them since it logged them.
            return message
        return (
            f"{message}; its files are kept in {kept}, as index describes them; when the backend "
            "may accept them, send them again with: afnio-tellurio sync --rejected"
        )

    def _note(self, key: str, value: VersionRecord | RunFile | Exception) -> None:
        result = self.results.get(key)
        if result is not None:
            result.value = value

    def remove_files(self, change: Change) -> None:
        """Removes the files of an upload, which the backend has, or refuses."""
        remove_captured(files_folder(self._journal) / change.key)

    @property
    def _sending(self) -> Connection:
        return self._connection.for_delivery if self._in_thread else self._connection

    def _deliver(self, change: Change) -> Generator[None, None, None]:
        fields = change.fields
        connection = self._sending
        if "alias" in fields:
            model = operations.set_artifact_alias(
                connection, self._project, fields["artifact"], fields["alias"], fields["names"]
            )
            self._note(change.key, read_version(model, "setArtifactAlias"))
            return
        if "uses" in fields:
            model = operations.use_artifact(
                connection, self._path, fields["artifact"], fields["uses"]
            )
            self._note(change.key, read_version(model, "useArtifact"))
            return
        upload = _Upload(connection, self._project, files_folder(self._journal) / change.key)
        if "artifact" in fields:
            body = {**fields["version"], **upload.take_manifest()}
        else:
            body = fields["run_file"]
        yield from self._counted(upload, upload.send_all())
        for _ in range(_ROUNDS):
            missing = self._record(change, body)
            if missing is None:
                return
            yield from self._counted(upload, upload.send(missing))
        raise TellurioError(f"{self._connection.url} does not keep the files that it accepts")

    def _record(self, change: Change, body: Mapping[str, Any]) -> list[str] | None:
        """Records what refers to the blobs; returns the missing ones, or None."""
        connection, fields = self._sending, change.fields
        try:
            if "artifact" in fields:
                version = operations.create_artifact_version(
                    connection, self._project, fields["artifact"], body, idempotency_key=change.key
                )
                record = read_version(version, "createArtifactVersion")
                self._note(change.key, record)
                self._warn_of_kept(record, body)
            else:
                file = operations.log_run_file(
                    connection, self._path, body, idempotency_key=change.key
                )
                self._note(change.key, read_run_file(file, "logRunFile"))
        except ConflictError as error:
            missing = operations.missing_blobs(error)
            if missing is None:
                raise
            return missing
        return None

    def _warn_of_kept(self, version: VersionRecord, body: Mapping[str, Any]) -> None:
        """Warns if a version that has the same files keeps another metadata or description."""
        there = {"metadata": version.metadata, "description": version.description}
        kept = [name for name in there if name in body and body[name] != there[name]]
        if not kept or (version.artifact, version.version) in self._warned:
            return
        self._warned.add((version.artifact, version.version))
        warn(
            f"artifact {version.artifact!r} has the same files already, as {version.version}; "
            f"that version was not changed, so the {' and the '.join(kept)} that you passed "
            f"{'is' if kept == ['description'] else 'are'} not recorded. To get a new version, "
            "log them in a file of the artifact"
        )

    def _counted(
        self, upload: _Upload, requests: Generator[None, None, None]
    ) -> Generator[None, None, None]:
        for _ in requests:
            self.sent = upload.sent
            yield


def _nothing() -> Generator[None, None, None]:
    yield from ()


class _Blob:
    """A blob to send: its name, its size, and how to read a part of it."""

    def __init__(
        self,
        digest: str,
        size: int,
        open_part: Callable[[int, int], BinaryIO | io.RawIOBase],
        path: Path | None,
        in_place: str | None = None,
    ) -> None:
        self.digest = digest
        self.size = size
        self.open_part = open_part
        #: A file of ours that has its bytes and nothing else, or None.
        self.path = path
        #: The path of the file if it was not copied, or None.
        self.in_place = in_place

    def check_unchanged(self) -> None:
        """Checks the bytes of a file that was not copied.

        Raises:
            ChangedFileError: They are others than those that were logged.
        """
        if self.in_place is not None:
            opener = _opener(self, 0, self.size)
            if _digest_of(opener).hex() != self.digest:
                raise ChangedFileError(
                    f"{quoted(self.in_place)} changed after it was logged, and before it was "
                    "delivered, with the same size and time; log it again"
                )


class _Upload:
    """The blobs of one upload.

    Attributes:
        sent: The number of bytes that the backend has.
    """

    def __init__(self, connection: Connection, project: ProjectPath, folder: Path) -> None:
        self.sent = 0
        self._connection = connection
        self._project = project
        self._folder = folder
        index = read_index(folder)
        # Many files take much memory: what is not needed to send them is not kept.
        self._captured = {blob.digest: blob for blob in index.blobs}
        self._files: Sequence[ManifestFile] = index.files
        self._manifest: _Blob | None = None

    def take_manifest(self) -> dict[str, Any]:
        """The files in the body of `createArtifactVersion`; many become a blob of their own."""
        files, self._files = self._files, ()
        if len(files) <= INLINE_FILES:
            return {"files": [_fields_of(file) for file in files]}
        manifest = encode_manifest(files)
        digest = hashlib.sha256(manifest).hexdigest()
        self._manifest = _Blob(
            digest, len(manifest), lambda start, end: io.BytesIO(manifest[start:end]), None
        )
        return {"manifest_digest": digest}

    def _find_all(self, digests: Iterable[str]) -> list[_Blob]:
        return [blob for digest in digests if (blob := self._find(digest)) is not None]

    def _find(self, digest: str) -> _Blob | None:
        if self._manifest is not None and self._manifest.digest == digest:
            return self._manifest
        captured = self._captured.get(digest)
        if captured is None:
            return None
        path = self._folder / digest if captured.at == "file" else None
        in_place = captured.at.partition(":")[2] if captured.is_in_place else None
        open_part = partial(open_captured, self._folder, captured)
        return _Blob(digest, captured.size, open_part, path, in_place)

    def send_all(self) -> Generator[None, None, None]:
        """Sends the blobs that the backend lacks."""
        digests = [*self._captured]
        if self._manifest is not None:
            digests.append(self._manifest.digest)
        for start in range(0, len(digests), CHECKED_BLOBS):
            blobs = self._find_all(digests[start : start + CHECKED_BLOBS])
            some = [(blob.digest, blob.size) for blob in blobs]
            missing = operations.check_blobs(self._connection, self._project, some)
            self.sent += sum(size for digest, size in some if digest not in set(missing))
            yield
            yield from self.send(missing)

    def send(self, digests: Sequence[str]) -> Generator[None, None, None]:
        """Sends blobs, the small ones many at once."""
        blobs = self._find_all(digests)
        adopted = self._adopt([blob for blob in blobs if blob.path is not None])
        yield
        batch: list[_Blob] = []
        size = 0
        for blob in blobs:
            if blob in adopted:
                self.sent += blob.size
            elif blob.size > BLOB_BYTES:
                yield from self._send_parts(blob)
            elif blob.size > BLOBS_BYTES:
                with _explained([blob]):
                    operations.put_blob(
                        self._connection, self._project, blob.digest, _opener(blob, 0, blob.size)
                    )
                self.sent += blob.size
                yield
            else:
                batch.append(blob)
                size += blob.size
                if len(batch) == CHECKED_BLOBS or size > BLOBS_BYTES:
                    yield from self._send_batch(batch)
                    batch, size = [], 0
        yield from self._send_batch(batch)

    def _adopt(self, blobs: Sequence[_Blob]) -> set[_Blob]:
        """Leaves files to a backend in this process, which does not copy them; returns those."""
        adopt = self._connection.adopt_blobs
        if adopt is None or not blobs:
            return set()
        files = [(blob.path, blob.digest, blob.size) for blob in blobs if blob.path is not None]
        try:
            adopt(*self._project, files)
        except LookupError as error:
            raise_foreign(error)
            # The project is gone; a request finds out what that means.
            return set()
        return set(blobs)

    def _send_batch(self, batch: Sequence[_Blob]) -> Generator[None, None, None]:
        if not batch:
            return
        body = io.BytesIO()
        for blob in batch:
            body.write(f"{blob.digest} {blob.size}\n".encode())
            with blob.open_part(0, blob.size) as file:
                body.write(file.read() or b"")
        content = body.getvalue()
        with _explained(batch):
            operations.put_blobs(self._connection, self._project, lambda: io.BytesIO(content))
        self.sent += sum(blob.size for blob in batch)
        yield

    def _send_parts(self, blob: _Blob) -> Generator[None, None, None]:
        try:
            with _explained([blob]):
                yield from self._upload(blob)
        except NotFoundError as error:
            # It is complete, and the answer was lost or went to another process; or it has expired.
            wanted = [(blob.digest, blob.size)]
            if operations.check_blobs(self._connection, self._project, wanted):
                raise TellurioError(f"the upload of a file is gone: {error}") from error

    def _upload(self, blob: _Blob) -> Generator[None, None, None]:
        upload = operations.create_upload(self._connection, self._project, blob.digest, blob.size)
        for number, start in enumerate(range(0, blob.size, upload.part_size), 1):
            end = min(start + upload.part_size, blob.size)
            if number not in upload.received:
                opener = _opener(blob, start, end)
                operations.put_upload_part(
                    self._connection,
                    self._project,
                    upload.uuid,
                    number,
                    _digest_of(opener),
                    opener,
                )
            self.sent += end - start
            yield
        while not operations.complete_upload(self._connection, self._project, upload.uuid):
            yield
            time.sleep(_VERIFYING_PAUSE)


@contextmanager
def _explained(blobs: Sequence[_Blob]) -> Generator[None, None, None]:
    """Names the file that changed, if a backend refuses blobs for that."""
    try:
        yield
    except BadRequestError:
        for blob in blobs:
            blob.check_unchanged()
        raise


def _opener(blob: _Blob, start: int, end: int) -> Callable[[], BinaryIO | io.RawIOBase]:
    return lambda: blob.open_part(start, end)


def _digest_of(open_part: Callable[[], BinaryIO | io.RawIOBase]) -> bytes:
    digest = hashlib.sha256()
    with open_part() as file:
        while data := file.read(_READ_BYTES):
            digest.update(data)
    return digest.digest()


def _fields_of(file: Any) -> dict[str, Any]:
    fields = {
        "path": file.path,
        "digest": file.digest,
        "size": file.size,
        "executable": file.executable or None,
        "reference": file.reference,
    }
    return {name: value for name, value in fields.items() if value is not None}
