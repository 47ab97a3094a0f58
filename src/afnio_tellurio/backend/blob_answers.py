"""Answers with the bytes of a blob, or with a range of them."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from afnio_tellurio.backend.requests import Answer, Call, Refusal, not_found
from afnio_tellurio.backend.store import blobs as stored_blobs
from afnio_tellurio.backend.store.blob_files import (
    MAX_IN_ROW,
    BlobFolder,
    read_range,
    reporting_disk,
)
from afnio_tellurio.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Iterator

_RANGE = re.compile(r"bytes=[ \t]*(\d*)-(\d*)[ \t]*", re.ASCII | re.IGNORECASE)
#: Digits of a larger position than any blob has.
_MAX_DIGITS = 18
#: A browser must not run what a user stored, or take it for a part of a page.
_HEADERS = (
    ("Accept-Ranges", "bytes"),
    ("Content-Disposition", "attachment"),
    ("Content-Security-Policy", "sandbox; default-src 'none'"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("X-Content-Type-Options", "nosniff"),
)


def blob_answer(call: Call, *, digest: str, size: int, blob: int) -> Answer:
    """Returns the bytes of a blob, or the range that the request names.

    Call it outside a transaction.

    Args:
        call: The request.
        digest: The SHA-256 of the blob.
        size: Its size in bytes.
        blob: The id of its row.

    Raises:
        Refusal: The blob does not have the range, or is gone.
        DatabaseError: The file of the blob cannot be read.
    """
    part = _range_of(call, digest, size)
    start, end = part or _Range(0, size)
    headers = [("ETag", f'"{digest}"'), *_HEADERS, ("Content-Length", str(end - start))]
    if part is not None:
        headers.append(("Content-Range", f"bytes {start}-{end - 1}/{size}"))
    return Answer(
        200 if part is None else 206,
        _Bytes(open_blob(call, digest, size, blob), start, end - start),
        headers,
        "application/octet-stream",
    )


class _Range(NamedTuple):
    """The bytes from `start` up to `end`."""

    start: int
    end: int


def _range_of(call: Call, digest: str, size: int) -> _Range | None:
    """Returns the range that the request names, or None for the whole blob."""
    match = _RANGE.fullmatch(call.headers.get("range", ""))
    if match is None or call.headers.get("if-range", f'"{digest}"') != f'"{digest}"':
        return None
    first, last = match.groups()
    if not first and not last:
        return None
    low, high = _position(first), _position(last)
    if first and last and low > high:
        return None
    part = _Range(low, min(high + 1, size) if last else size)
    if not first:
        part = _Range(max(0, size - high), size)
    if part.start >= part.end:
        raise Refusal(
            416, {"detail": f"The file has {size} bytes."}, [("Content-Range", f"bytes */{size}")]
        )
    return part


def _position(text: str) -> int:
    # Python refuses to convert thousands of digits.
    digits = text.lstrip("0")
    return int(digits or "0") if len(digits) <= _MAX_DIGITS else 10**_MAX_DIGITS


def open_blob(call: Call, digest: str, size: int, blob: int) -> BinaryIO:
    """Opens the bytes of a blob. They stay when the blob is removed meanwhile.

    Raises:
        Refusal: The blob is gone.
        DatabaseError: Its file cannot be read.
    """
    if size <= MAX_IN_ROW:
        with call.database.reading() as connection:
            data = stored_blobs.read_data(connection, blob)
        if data is None:
            raise not_found(f"Blob {digest}")
        return io.BytesIO(data)
    folder = BlobFolder(call.database.path)
    with reporting_disk(folder):
        if not folder.has(digest, size):
            raise DatabaseError(
                f"the blob {digest} is missing in {folder.path} or damaged; restore the folder "
                "from a backup, or store the blob again"
            )
        return folder.open(digest)


class _Bytes:
    """The body of an answer: a range of an open file.

    Args:
        file: The file; it is closed with the body.
        start: The first byte of the range.
        length: The number of bytes.
    """

    def __init__(self, file: BinaryIO, start: int, length: int) -> None:
        self._file = file
        self._pieces = read_range(file, start, length)

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def close(self) -> None:
        """Closes the file: a WSGI server calls this at the end, also if the client went away."""
        self._file.close()
