"""The operations on blobs: one function per operationId, named after it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from afnio_tellurio.backend import blob_structs, structs
from afnio_tellurio.backend.requests import Answer, Call, Refusal, project_of, too_large
from afnio_tellurio.backend.store import blobs as stored_blobs
from afnio_tellurio.backend.store.blob_files import (
    MAX_IN_ROW,
    PIECE,
    BlobFolder,
    reporting_disk,
)
from afnio_tellurio.backend.store.blob_writing import BlobWriter, WrongDigestError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from wsgiref.types import InputStream

#: The content type of several blobs in one body.
FRAMES = "application/vnd.tellurio.blobs"
#: Bytes of the blobs in one request.
MAX_BYTES = 16 * 2**20

_FRAME = re.compile(rb"([0-9a-f]{64}) (0|[1-9][0-9]{0,17})\n")
#: Bytes of the longest line before a blob.
_MAX_LINE = 64 + 1 + 18 + 1
_blob_check = msgspec.json.Decoder(blob_structs.BlobCheck)


def check_blobs(call: Call) -> Answer:
    """Returns which blobs the project does not have."""
    wanted = {blob.digest: blob.size for blob in call.decode_body(_blob_check).blobs}
    if max(wanted.values()) > structs.MAX_STEP:
        raise Refusal(400, {"blobs": ["A size does not fit into 64 bits."]})
    with call.database.reading() as connection:
        known = stored_blobs.find_blobs(connection, project_of(connection, call), wanted)
    folder = BlobFolder(call.database.path)
    with reporting_disk(folder):
        missing = [
            digest
            for digest, size in wanted.items()
            if digest not in known
            or known[digest].size != size
            or (size > MAX_IN_ROW and not folder.has(digest, size))
        ]
    return Answer(200, structs.encode(blob_structs.MissingBlobs(missing)))


def put_blob(call: Call) -> Answer:
    """Stores a blob."""
    _require_project(call)
    if (call.body.length or 0) > MAX_BYTES:
        raise too_large(MAX_BYTES)
    with BlobWriter(call.database) as writer:
        try:
            writer.add(call.path["digest"], _up_to(MAX_BYTES, stream_of(call)))
        except WrongDigestError:
            raise Refusal(400, {"digest": ["The bytes have another SHA-256."]}) from None
        _record(call, writer)
    return Answer(204)


def put_blobs(call: Call) -> Answer:
    """Stores several blobs."""
    _require_project(call)
    stream, room, index = stream_of(call), MAX_BYTES, 0
    with BlobWriter(call.database) as writer:
        while line := stream.readline(_MAX_LINE):
            match = _FRAME.fullmatch(line)
            if match is None:
                message = f"[{index}]: Does not begin with a SHA-256, a space, a size, a newline."
                raise Refusal(400, {"body": [message]})
            digest, size = match[1].decode("ascii"), int(match[2])
            room, index = room - size, index + 1
            if room < 0:
                raise too_large(MAX_BYTES)
            if index > blob_structs.MAX_BLOBS:
                detail = f"The request has more than {blob_structs.MAX_BLOBS} blobs."
                raise Refusal(413, {"detail": detail})
            try:
                writer.add(digest, exactly(size, stream, f"[{index - 1}]: The blob"))
            except WrongDigestError:
                message = f"[{index - 1}]: The bytes have another SHA-256."
                raise Refusal(400, {"digest": [message]}) from None
        if not index:
            raise Refusal(400, {"body": ["Must have a blob."]})
        _record(call, writer)
    return Answer(204)


def stream_of(call: Call) -> InputStream:
    """Returns the body of a request that is not JSON."""
    assert call.body.stream is not None, "the contract has another content type"
    return call.body.stream


def exactly(size: int, stream: InputStream, what: str) -> Iterator[bytes]:
    """Yields the next bytes of a body in pieces.

    Raises:
        Refusal: The body ends before.
    """
    while size:
        piece = stream.read(min(PIECE, size))
        if not piece:
            raise Refusal(400, {"body": [f"{what} is shorter than its size."]})
        size -= len(piece)
        yield piece


def _up_to(limit: int, stream: InputStream) -> Iterator[bytes]:
    while piece := stream.read(PIECE):
        limit -= len(piece)
        if limit < 0:
            raise too_large(MAX_BYTES)
        yield piece


def _require_project(call: Call) -> None:
    """Refuses a request for a project that does not exist before anything is written."""
    with call.database.reading() as connection:
        project_of(connection, call)


def _record(call: Call, writer: BlobWriter) -> None:
    writer.place()
    with call.database.writing() as connection:
        writer.record(connection, project_of(connection, call))
