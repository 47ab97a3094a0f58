"""Reads the bytes of captured files."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

from afnio_tellurio.artifacts.index import PACK, CapturedBlob, FileIdentity
from afnio_tellurio.artifacts.opening import ChangedFileError, open_regular, quoted
from afnio_tellurio.interruptions import raise_foreign

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class BlobReader(io.RawIOBase):
    """The bytes of a blob, or a range of them, as a file that is open for reading.

    A file that was not copied is checked at each read: the bytes that it returns were in the file
    when it was logged.

    Args:
        file: The path of the file that the bytes are in.
        offset: Where they start.
        count: Their number.
        identity: Of a file that was not copied.
    """

    def __init__(self, file: Path, offset: int, count: int, identity: FileIdentity | None) -> None:
        super().__init__()
        self._file = file
        self._identity = identity
        self._offset = offset
        self._count = count
        self._position = 0
        self._fd = _open_unchanged(file) if identity else open_regular(file)
        try:
            self._check_unchanged()
            self._reader = io.FileIO(self._fd, closefd=False)
            self._reader.seek(offset)
        except BaseException:  # raised again: the file must not stay open
            self.close()
            raise

    def readable(self) -> bool:
        """Returns True."""
        return True

    def seekable(self) -> bool:
        """Returns True."""
        return True

    def tell(self) -> int:
        """Returns the position in the range."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Moves to a position in the range; see `io.IOBase.seek`."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._count}[whence]
        self._position = min(max(0, base + offset), self._count)
        self._reader.seek(self._offset + self._position)
        return self._position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Reads bytes into a buffer, and returns their number; 0 at the end.

        Raises:
            ChangedFileError: The file changed after it was logged.
            OSError: It cannot be read, or ends early.
        """
        view = memoryview(buffer).cast("B")[: self._count - self._position]
        count = self._reader.readinto(view)
        self._check_unchanged()
        if len(view) and not count:
            raise OSError(f"{quoted(self._file)} ends early; its copy is damaged")
        self._position += count
        return count

    def close(self) -> None:
        """Closes the file."""
        if not self.closed:
            super().close()
            os.close(self._fd)

    def _check_unchanged(self) -> None:
        if self._identity is not None and not self._identity.is_unchanged(os.fstat(self._fd)):
            raise _changed(self._file)


def open_captured(
    folder: Path, blob: CapturedBlob, start: int = 0, end: int | None = None
) -> BlobReader:
    """Opens the bytes of a blob from `start` up to, and without, `end`.

    Args:
        folder: The folder of captured files.
        blob: A blob of its index.
        start: The number of the first byte.
        end: The number of the byte after the last one; by default the size of the blob.

    Raises:
        ChangedFileError: The file, which was not copied, changed after it was logged.
        OSError: It cannot be read.
        ValueError: The range is not within the blob.
    """
    end = blob.size if end is None else end
    if not 0 <= start <= end <= blob.size:
        raise ValueError(f"bytes {start} to {end} are not within a blob of {blob.size}")
    kind, _, place = blob.at.partition(":")
    if kind == "pack":
        return BlobReader(folder / PACK, int(place) + start, end - start, None)
    if kind == "file":
        return BlobReader(folder / blob.digest, start, end - start, None)
    return BlobReader(Path(place), start, end - start, blob.identity)


def _open_unchanged(file: Path) -> int:
    try:
        return open_regular(file)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise_foreign(error)
        raise _changed(file) from error


def _changed(file: Path) -> ChangedFileError:
    return ChangedFileError(
        f"{quoted(file)} was changed, moved or removed after it was logged, and before it was "
        "delivered; log it again"
    )
