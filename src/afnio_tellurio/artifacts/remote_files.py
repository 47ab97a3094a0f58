"""Reads files of artifacts and runs from a backend, a part at a time."""

from __future__ import annotations

import hashlib
import io
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from afnio_tellurio.artifacts.saving import DamagedFileError
from afnio_tellurio.settings.limits import DOWNLOADED_BYTES, READ_AHEAD_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from typing import BinaryIO

    from _typeshed import WriteableBuffer

    #: Downloads the bytes from one offset to another.
    Download = Callable[[int, int], bytes]


class RemoteFile(io.RawIOBase):
    """A file at a backend, open for reading at any position; each read is a request.

    Args:
        download: Downloads a range.
        size: The size of the file.
        digest: The SHA-256 of its bytes, which is compared once all are read in order.
        subject: The file, for messages.
    """

    def __init__(self, download: Download, size: int, digest: str, subject: str) -> None:
        super().__init__()
        self._download = download
        self._size = size
        self._position = 0
        self._digest = digest
        self._subject = subject
        self._hasher = hashlib.sha256()
        # How many bytes, from the first one on, the hasher has.
        self._hashed = 0

    def readable(self) -> bool:
        """Returns True."""
        return True

    def seekable(self) -> bool:
        """Returns True."""
        return True

    def tell(self) -> int:
        """Returns the position."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Moves to a position; see `io.IOBase.seek`.

        Raises:
            ValueError: It is before the start of the file.
        """
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"seek: the position {base + offset} is before the start of the file")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Reads bytes into a buffer, and returns their number; 0 at the end.

        Raises:
            DamagedFileError: All bytes were read, and are not those that were logged.
            TellurioError: The request failed.
        """
        view = memoryview(buffer).cast("B")
        end = min(self._size, self._position + min(len(view), DOWNLOADED_BYTES))
        if end <= self._position:
            return 0
        data = self._download(self._position, end)
        self._verify(data)
        view[: len(data)] = data
        self._position += len(data)
        return len(data)

    def readall(self) -> bytes:
        """Reads up to the end, in few requests; see `readinto`."""
        return b"".join(iter(lambda: self.read(DOWNLOADED_BYTES) or b"", b""))

    def _verify(self, data: bytes) -> None:
        """Hashes what follows the bytes that are hashed, and compares the digest at the end."""
        if not self._position <= self._hashed < self._position + len(data):
            return
        # A copy: if the last part is read again, it is not hashed twice.
        hasher = self._hasher.copy()
        hasher.update(data[self._hashed - self._position :])
        hashed = self._position + len(data)
        if hashed == self._size and hasher.hexdigest() != self._digest:
            raise DamagedFileError(f"{self._subject}: the bytes are not those that were logged")
        self._hasher, self._hashed = hasher, hashed


def open_remote(download: Download, size: int, digest: str, subject: str) -> BinaryIO:
    """Opens a file at a backend, with a buffer that reads ahead; see `RemoteFile`."""
    file = RemoteFile(download, size, digest, subject)
    return io.BufferedReader(file, max(1, min(size, READ_AHEAD_BYTES)))


def pieces_of(download: Download, size: int) -> Iterator[bytes]:
    """Downloads a whole file in pieces."""
    for start in range(0, size, DOWNLOADED_BYTES):
        yield download(start, min(size, start + DOWNLOADED_BYTES))


@contextmanager
def streamed(download: Download, size: int) -> Generator[Iterable[bytes]]:
    """The pieces of a file, as `save_below` takes them."""
    yield pieces_of(download, size)
