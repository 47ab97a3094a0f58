"""The files of a version that a request creates: checks, limits, and the manifest."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec import UNSET

from afnio_tellurio.artifact_manifests import ManifestFile, decode_manifest, encode_manifest
from afnio_tellurio.artifact_paths import check_paths
from afnio_tellurio.backend.blob_answers import open_blob
from afnio_tellurio.backend.blob_structs import DIGEST_PATTERN, MissingBlobsError
from afnio_tellurio.backend.requests import Refusal, project_of, quoted
from afnio_tellurio.backend.store import blobs as stored_blobs

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Sequence

    from afnio_tellurio.backend.artifact_structs import ArtifactFile, ArtifactVersionCreate
    from afnio_tellurio.backend.requests import Call
    from afnio_tellurio.backend.store.artifact_changes import NewFile

MAX_MANIFEST_BYTES = 32 * 2**20
MAX_FILES = 100_000
#: Bytes of one version that the backend has, and with those that it does not have.
MAX_BYTES = 2**40
_MAX_TOTAL = 2**53
_MAX_REFERENCE = 8192
#: Digests in the answer to a request whose blobs are missing.
_MAX_MISSING = 1000
#: Digests for which one statement looks.
_SLICE = 10_000
_is_digest = re.compile(DIGEST_PATTERN).fullmatch


@dataclass(frozen=True)
class Contents:
    """The files of a version, checked.

    Attributes:
        files: The files.
        field_name: The field of the request that has them.
        digest: The SHA-256 of their manifest.
        size: Their bytes, with those that the backend does not have.
    """

    files: Sequence[ManifestFile]
    field_name: str
    digest: str
    size: int

    def stored_in(
        self, connection: sqlite3.Connection, project: int
    ) -> tuple[list[NewFile], set[int]]:
        """Returns the files as the store takes them, and the ids of their blobs.

        Raises:
            Refusal: The project does not have a blob, or has it with another size.
        """
        digests = {
            file.digest for file in self.files if file.reference is None and file.digest is not None
        }
        blobs = _find_blobs(connection, project, digests)
        if len(blobs) < len(digests):
            raise blobs_missing(digests - blobs.keys())
        files: list[NewFile] = []
        used: set[int] = set()
        for file in self.files:
            if file.reference is not None or file.digest is None:
                files.append(
                    (file.path, None, file.digest, file.size, file.executable, file.reference)
                )
                continue
            blob = blobs[file.digest]
            if blob.size != file.size:
                message = f"{quoted(file.path)} has {blob.size} bytes, not {file.size}."
                raise Refusal(400, {self.field_name: [message]})
            used.add(blob.id)
            files.append((file.path, blob.id, None, None, file.executable, None))
        return files, used


def contents_of(call: Call, body: ArtifactVersionCreate) -> Contents:
    """Returns the files of a request, or of the manifest that it names.

    Raises:
        Refusal: They are invalid, or the manifest is missing.
    """
    if (body.files is UNSET) == (body.manifest_digest is UNSET):
        raise Refusal(400, {"files": ["Pass files or manifest_digest, and not both."]})
    if body.manifest_digest is UNSET:
        files = [_manifest_file(file) for file in body.files or ()]
        manifest, field_name = encode_manifest(files), "files"
    else:
        field_name = "manifest_digest"
        manifest = _read_manifest(call, body.manifest_digest)
        try:
            files = decode_manifest(manifest)
        except ValueError as error:
            raise Refusal(400, {field_name: [f"The manifest is invalid: {error}."]}) from None
    try:
        size = _checked_size(files)
    except ValueError as error:
        raise Refusal(400, {field_name: [f"{error}."]}) from None
    return Contents(files, field_name, hashlib.sha256(manifest).hexdigest(), size)


def blobs_missing(digests: Collection[str]) -> Refusal:
    """Returns the refusal of a request whose blobs the project does not have."""
    count = len(digests)
    detail = "1 blob is missing." if count == 1 else f"{count} blobs are missing."
    return Refusal(409, MissingBlobsError(detail, sorted(digests)[:_MAX_MISSING]))


def _manifest_file(file: ArtifactFile) -> ManifestFile:
    return ManifestFile(
        file.path,
        digest=None if file.digest is UNSET else file.digest,
        size=None if file.size is UNSET else file.size,
        executable=file.executable,
        reference=None if file.reference is UNSET else file.reference,
    )


def _read_manifest(call: Call, digest: str) -> bytes:
    with call.database.reading() as connection:
        project = project_of(connection, call)
        blob = stored_blobs.find_blobs(connection, project, [digest]).get(digest)
    if blob is None:
        raise blobs_missing([digest])
    if blob.size > MAX_MANIFEST_BYTES:
        message = f"The manifest has {blob.size} bytes; it may have up to {MAX_MANIFEST_BYTES}."
        raise Refusal(400, {"manifest_digest": [message]})
    with open_blob(call, digest, blob.size, blob.id) as file:
        return file.read()


def _checked_size(files: Sequence[ManifestFile]) -> int:
    """Returns the bytes of all files.

    Raises:
        ValueError: The files are invalid.
    """
    if len(files) > MAX_FILES:
        raise ValueError(f"there are {len(files)} files; a version may have up to {MAX_FILES}")
    check_paths(file.path for file in files)
    stored = total = 0
    for file in files:
        problem = _problem_of(file)
        if problem is not None:
            raise ValueError(f"the file {quoted(file.path)} {problem}")
        total += file.size or 0
        if file.reference is None:
            stored += file.size or 0
    if stored > MAX_BYTES or total > _MAX_TOTAL:
        raise ValueError(f"the files have {total} bytes; a version may have up to {MAX_BYTES}")
    return total


def _problem_of(file: ManifestFile) -> str | None:
    if file.digest is not None and not _is_digest(file.digest):
        return "has an invalid digest"
    if file.size is not None and file.size < 0:
        return "has a negative size"
    if file.reference is None:
        if file.digest is None or file.size is None:
            return "has neither a reference nor a digest and a size"
        return None
    is_valid = 1 <= len(file.reference) <= _MAX_REFERENCE
    return None if is_valid else f"has a reference without 1 to {_MAX_REFERENCE} characters"


def _find_blobs(
    connection: sqlite3.Connection, project: int, digests: Collection[str]
) -> dict[str, stored_blobs.BlobRow]:
    wanted = list(digests)
    found: dict[str, stored_blobs.BlobRow] = {}
    for start in range(0, len(wanted), _SLICE):
        part = wanted[start : start + _SLICE]
        found.update(stored_blobs.find_blobs(connection, project, part))
    return found
