"""The files of large blobs, in a folder beside the database.

Their names are digests that this process computed or checked: no name from a client is a path. They
never change, so that several projects share them. A file is written under another name in `.part`
and moved to its place when the disk has it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import sys
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from afnio_tellurio.errors import DatabaseError
from afnio_tellurio.files import (
    CREATE,
    make_private_directory,
    real_path,
    synchronize,
    synchronize_directory,
)
from afnio_tellurio.interruptions import ignored, raise_foreign

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from pathlib import Path

#: Bytes of the largest blob that is in its row. A file of its own would take as much room.
MAX_IN_ROW = 16 * 1024
#: Bytes that are read or written at once.
PIECE = 256 * 1024
#: The mode of a blob: its content never changes.
_READ_ONLY = 0o400
_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


class WrittenBlob(NamedTuple):
    """A blob that was written under a temporary name.

    Attributes:
        path: The temporary file.
        digest: Its SHA-256.
        size: Its size in bytes.
    """

    path: Path
    digest: str
    size: int


class BlobFolder:
    """The folder of the blobs of one database.

    Args:
        database: The database file.
    """

    def __init__(self, database: Path) -> None:
        path = real_path(database)
        # Two databases must not share a folder: each removes what it does not know.
        name = f"{path.stem}.blobs" if path.suffix == ".db" else f"{path.name}-blobs"
        self.path = path.with_name(name)
        self.parts = self.path / ".part"

    def path_of(self, digest: str) -> Path:
        """Returns the path of a blob, which may be missing."""
        return self.path / digest[:2] / digest

    def has(self, digest: str, size: int) -> bool:
        """Returns whether the file of a blob is there, with this size."""
        try:
            return self.path_of(digest).stat().st_size == size
        except FileNotFoundError as error:
            raise_foreign(error)
            return False

    def open(self, digest: str) -> BinaryIO:
        """Opens a blob to read it.

        Raises:
            FileNotFoundError: It is missing.
        """
        return os.fdopen(os.open(self.path_of(digest), _READ), "rb", buffering=0)

    def make(self) -> None:
        """Creates the folder if it is missing; the disk knows it when this returns."""
        if not self.parts.is_dir():
            make_private_directory(self.parts)
            synchronize_directory(self.path.parent)

    def new_part(self, suffix: str = "tmp") -> Path:
        """Returns a new path for a file that is not complete; creates the folder if needed."""
        self.make()
        return self.parts / f"{uuid.uuid4()}.{suffix}"

    def write(self, pieces: Iterable[bytes]) -> WrittenBlob:
        """Writes a temporary file; the disk has it when this returns."""
        path = self.new_part()
        digest, size = hashlib.sha256(), 0
        try:
            with os.fdopen(os.open(path, CREATE | os.O_EXCL, 0o600), "wb", buffering=0) as file:
                for piece in pieces:
                    write_all(file, piece)
                    digest.update(piece)
                    size += len(piece)
                finish(file)
        except BaseException:  # raised again: what is not complete must not stay
            discard(path)
            raise
        return WrittenBlob(path, digest.hexdigest(), size)

    def place(self, paths: dict[str, Path]) -> None:
        """Moves complete files to the places of their digests; the disk knows when this returns.

        A file that is already there is replaced: it has the same content, or is damaged.
        """
        folders: set[Path] = set()
        for digest, path in paths.items():
            target = self.path_of(digest)
            make_private_directory(target.parent)
            path.replace(target)
            # Renaming does nothing if both are names of one file.
            discard(path)
            folders.add(target.parent)
        for folder in sorted(folders):
            synchronize_directory(folder)
        if folders:
            synchronize_directory(self.path)


def finish(file: BinaryIO) -> None:
    """Makes a complete file unchangeable, and waits until the disk has it."""
    if hasattr(os, "fchmod"):
        os.fchmod(file.fileno(), _READ_ONLY)
    synchronize(file.fileno())


def make_unchangeable(path: Path) -> None:
    """Makes a complete file unchangeable, and waits until the disk has it."""
    # Windows flushes only what is open to be written.
    with path.open("r+b" if sys.platform == "win32" else "rb") as file:
        finish(file)


def pieces_of(file: BinaryIO) -> Iterator[bytes]:
    """Yields the rest of a file in pieces."""
    return iter(lambda: file.read(PIECE), b"")


def write_all(file: BinaryIO, data: bytes | memoryview) -> None:
    """Writes all bytes to an unbuffered file, which may take a part of them."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def discard(path: Path) -> None:
    """Removes a temporary file, if it is there."""
    # It is removed later, see `blob_removal`.
    with ignored(OSError):
        path.unlink(missing_ok=True)


def read_range(file: BinaryIO, start: int, length: int) -> Iterator[bytes]:
    """Yields a range of an open file in pieces.

    Raises:
        OSError: The file ends before the range.
    """
    file.seek(start)
    while length:
        piece = file.read(min(PIECE, length))
        if not piece:
            raise OSError(errno.EIO, "the file of a blob is too short")
        length -= len(piece)
        yield piece


@contextmanager
def reporting_disk(folder: BlobFolder) -> Generator[None, None, None]:
    """Raises a `DatabaseError` for what the disk refuses."""
    try:
        yield
    except OSError as error:
        raise_foreign(error)
        reason = error.strerror or str(error)
        raise DatabaseError(f"the blobs in {folder.path} cannot be used: {reason}") from error
