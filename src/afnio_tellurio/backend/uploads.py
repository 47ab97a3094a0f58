"""The operations on uploads: one function per operationId, named after it.

Who writes or verifies the file of an upload holds its lock. A part that is recorded is never
written again, so that what was verified stays.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from afnio_tellurio.backend import blob_structs, structs
from afnio_tellurio.backend.blobs import exactly, stream_of
from afnio_tellurio.backend.requests import (
    Answer,
    Call,
    Refusal,
    current_time,
    not_found,
    project_of,
)
from afnio_tellurio.backend.store import uploads as stored_uploads
from afnio_tellurio.backend.store.blob_files import (
    BlobFolder,
    discard,
    read_range,
    reporting_disk,
    write_all,
)
from afnio_tellurio.backend.store.blob_writing import BlobWriter
from afnio_tellurio.backend.store.connections import gate
from afnio_tellurio.backend.structs import ErrorCode
from afnio_tellurio.clock import monotonic
from afnio_tellurio.errors import DatabaseError
from afnio_tellurio.files import CREATE, synchronize, synchronize_directory
from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.locking import try_lock, unlock

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Generator

    from afnio_tellurio.backend.store.uploads import UploadRow

#: Bytes of the largest blob, of a part unless that makes too many, and the number of parts.
MAX_BLOB_BYTES = 2**40
PART_BYTES = 16 * 2**20
MAX_PARTS = 10_000
#: Part sizes are multiples of it.
_PART_STEP = 2**20
MAX_PART_BYTES = -(-MAX_BLOB_BYTES // (MAX_PARTS * _PART_STEP)) * _PART_STEP
#: Seconds that one request verifies, and that it waits for others that use the file.
VERIFY_SECONDS = 5.0
_LOCK_SECONDS = 30.0
_LOCK_PAUSE = 0.005

_upload_create = msgspec.json.Decoder(blob_structs.UploadCreate)
_CONTENT_DIGEST = re.compile("sha-256=:([A-Za-z0-9+/]{43}=):")


def create_upload(call: Call) -> Answer:
    """Starts an upload, or returns the one of the blob that has begun."""
    body = call.decode_body(_upload_create)
    if body.size > MAX_BLOB_BYTES:
        raise Refusal(400, {"size": [f"A blob has up to {MAX_BLOB_BYTES} bytes."]})
    folder, now = BlobFolder(call.database.path), current_time()
    new = stored_uploads.UploadRow(
        0, str(uuid.uuid4()), body.digest, body.size, part_size_of(body.size), now
    )
    useless = None
    with call.database.writing() as connection:
        project = project_of(connection, call)
        upload = stored_uploads.find_upload_of(connection, project, body.digest)
        if upload is not None:
            is_usable = upload.size == body.size and upload.updated > now - stored_uploads.KEPT
            if is_usable and stored_uploads.path_of(folder, upload.uuid).exists():
                return Answer(200, _upload_body(connection, upload))
            stored_uploads.remove_upload(connection, upload.uuid)
            useless = stored_uploads.path_of(folder, upload.uuid)
        with reporting_disk(folder):
            _create_file(folder, new.uuid)
        stored_uploads.insert_upload(connection, project, new)
    if useless is not None:
        discard(useless)
    answer = blob_structs.Upload(new.uuid, new.digest, new.size, new.part_size, [])
    return Answer(201, structs.encode(answer))


def part_size_of(size: int) -> int:
    """Returns the size of the parts of a blob."""
    return max(PART_BYTES, -(-size // (MAX_PARTS * _PART_STEP)) * _PART_STEP)


def _create_file(folder: BlobFolder, upload_uuid: str) -> None:
    folder.make()
    path = stored_uploads.path_of(folder, upload_uuid)
    os.close(os.open(path, CREATE | os.O_EXCL, 0o600))
    synchronize_directory(folder.parts)


def get_upload(call: Call) -> Answer:
    """Returns the upload."""
    with call.database.reading() as connection:
        return Answer(200, _upload_body(connection, _upload_of(connection, call)))


def abort_upload(call: Call) -> Answer:
    """Removes the upload."""
    with call.database.writing() as connection:
        upload = _upload_of(connection, call)
        stored_uploads.remove_upload(connection, upload.uuid)
    stored_uploads.forget_verification(upload.uuid)
    discard(stored_uploads.path_of(BlobFolder(call.database.path), upload.uuid))
    return Answer(204)


def put_upload_part(call: Call) -> Answer:
    """Stores a part of the upload."""
    match = _CONTENT_DIGEST.fullmatch(call.headers.get("content-digest", ""))
    if match is None:
        raise Refusal(400, {"Content-Digest": ["Must be sha-256=:<Base64>: of the part."]})
    digest, number = base64.b64decode(match[1]), int(call.path["part_number"])
    with call.database.reading() as connection:
        upload = _upload_of(connection, call)
        is_there = stored_uploads.has_part(connection, upload.id, number)
    if number > upload.part_count:
        message = f"The upload has {upload.part_count} parts."
        raise Refusal(400, {"part_number": [message]})
    if is_there:
        _receive(call, upload.size_of(number), digest, None)
        return Answer(204)
    folder = BlobFolder(call.database.path)
    with reporting_disk(folder), _open(call, folder, upload, to_write=True) as file:
        if not _lock(file, _LOCK_SECONDS):
            raise DatabaseError("other requests use the file of the upload; try again")
        with call.database.reading() as connection:
            # Another request may have stored it, and a third one verified it.
            is_there = stored_uploads.has_part(connection, _upload_of(connection, call).id, number)
        file.seek(upload.offset_of(number))
        _receive(call, upload.size_of(number), digest, None if is_there else file)
        synchronize(file.fileno())
        with call.database.writing() as connection:
            upload = _upload_of(connection, call)
            stored_uploads.record_part(connection, upload.id, number, current_time())
    return Answer(204)


def _receive(call: Call, size: int, digest: bytes, file: BinaryIO | None) -> None:
    """Reads a part, and writes it if there is a file; refuses one that is invalid."""
    wrong_size = Refusal(400, {"body": [f"The part must have {size} bytes."]})
    if call.body.length not in {None, size}:
        raise wrong_size
    stream, content = stream_of(call), hashlib.sha256()
    for piece in exactly(size, stream, "The part"):
        content.update(piece)
        if file is not None:
            write_all(file, piece)
    if stream.read(1):
        raise wrong_size
    if content.digest() != digest:
        raise Refusal(400, {"Content-Digest": ["The part has another SHA-256."]})


def complete_upload(call: Call) -> Answer:
    """Makes a blob of the upload when all of its bytes are verified."""
    folder = BlobFolder(call.database.path)
    with call.database.reading() as connection:
        upload = _upload_of(connection, call)
        _require_parts(connection, upload)
    with reporting_disk(folder), _open(call, folder, upload) as file:
        if not _lock(file, VERIFY_SECONDS):
            return _unfinished(call)
        # Another request may have completed or aborted it.
        with call.database.reading() as connection:
            _upload_of(connection, call)
        digest = _verify(file, upload)
        if digest is None:
            return _unfinished(call)
        stored_uploads.forget_verification(upload.uuid)
        if digest != upload.digest:
            _forget(call, folder, upload)
            raise Refusal(400, {"digest": [f"The parts have the SHA-256 {digest}."]})
        with BlobWriter(call.database) as writer:
            # Another name of it, so that the upload is whole until the blob is recorded.
            writer.add_upload(stored_uploads.path_of(folder, upload.uuid), digest, upload.size)
            writer.place()
            with call.database.writing() as connection:
                _upload_of(connection, call)
                writer.record(connection, project_of(connection, call))
                stored_uploads.remove_upload(connection, upload.uuid)
    discard(stored_uploads.path_of(folder, upload.uuid))
    return Answer(204)


def _unfinished(call: Call) -> Answer:
    with call.database.reading() as connection:
        return Answer(202, _upload_body(connection, _upload_of(connection, call)))


def _require_parts(connection: sqlite3.Connection, upload: UploadRow) -> None:
    missing = upload.part_count - len(stored_uploads.received_parts(connection, upload.id))
    if missing:
        detail = f"The upload lacks {missing} of {upload.part_count} parts."
        raise Refusal(409, {"detail": detail}, code=ErrorCode.UPLOAD_INCOMPLETE)


def _verify(file: BinaryIO, upload: UploadRow) -> str | None:
    """Reads on; returns the SHA-256 of the whole, or None if the next request has to go on."""
    verification = stored_uploads.verification_of(upload.uuid)
    give_up_at = monotonic() + VERIFY_SECONDS
    start = verification.position
    for piece in read_range(file, start, upload.size - start):
        verification.update(piece)
        # A fork does not have to wait for this.
        gate.pass_through()
        if monotonic() >= give_up_at and verification.position < upload.size:
            return None
    return verification.hexdigest()


@contextmanager
def _open(
    call: Call, folder: BlobFolder, upload: UploadRow, *, to_write: bool = False
) -> Generator[BinaryIO, None, None]:
    try:
        path = stored_uploads.path_of(folder, upload.uuid)
        fd = os.open(path, (os.O_RDWR if to_write else os.O_RDONLY) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError as error:
        raise_foreign(error)
        # Removed by another request, or the folder was not restored with the database.
        _forget(call, folder, upload)
        raise not_found(f"Upload {upload.uuid}") from None
    with os.fdopen(fd, "r+b" if to_write else "rb", buffering=0) as file:
        try:
            yield file
        finally:
            # A process that was forked meanwhile would keep it.
            unlock(file.fileno())


def _lock(file: BinaryIO, seconds: float) -> bool:
    """Locks the file of an upload; returns False if others keep it locked."""
    give_up_at = monotonic() + seconds
    while not try_lock(file.fileno()):
        if monotonic() >= give_up_at:
            return False
        gate.pass_through(_LOCK_PAUSE)
    return True


def _forget(call: Call, folder: BlobFolder, upload: UploadRow) -> None:
    with call.database.writing() as connection:
        stored_uploads.remove_upload(connection, upload.uuid)
    discard(stored_uploads.path_of(folder, upload.uuid))


def _upload_of(connection: sqlite3.Connection, call: Call) -> UploadRow:
    """Returns the path's upload."""
    upload_uuid = call.path["upload_uuid"].lower()
    project = project_of(connection, call)
    upload = stored_uploads.find_upload(connection, project, upload_uuid, current_time())
    if upload is None:
        raise not_found(f"Upload {upload_uuid}")
    return upload


def _upload_body(connection: sqlite3.Connection, upload: UploadRow) -> bytes:
    return structs.encode(
        blob_structs.Upload(
            uuid=upload.uuid,
            digest=upload.digest,
            size=upload.size,
            part_size=upload.part_size,
            received=stored_uploads.received_parts(connection, upload.id),
        )
    )
