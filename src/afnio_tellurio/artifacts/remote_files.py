"""Reads files of artifacts and runs from a backend, a part at a time."""

from __future__ import annotations

import io
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

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
    """

    def __init__(self, download: Download, size: int) -> None:
        super().__init__()
        self._download = download
        self._size = size
        self._position = 0

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
            TellurioError: The request failed.
        """
        view = memoryview(buffer).cast("B")
        end = min(self._size, self._position + min(len(view), DOWNLOADED_BYTES))
        if end <= self._position:
            return 0
        data = self._download(self._position, end)
        view[: len(data)] = data
        self._position += len(data)
        return len(data)


def open_remote(download: Download, size: int) -> BinaryIO:
    """Opens a file at a backend, with a buffer that reads ahead."""
    return io.BufferedReader(RemoteFile(download, size), max(1, min(size, READ_AHEAD_BYTES)))


def pieces_of(download: Download, size: int) -> Iterator[bytes]:
    """Downloads a whole file in pieces."""
    for start in range(0, size, DOWNLOADED_BYTES):
        yield download(start, min(size, start + DOWNLOADED_BYTES))


@contextmanager
def streamed(download: Download, size: int) -> Generator[Iterable[bytes]]:
    """The pieces of a file, as `save_below` takes them."""
    yield pieces_of(download, size)
