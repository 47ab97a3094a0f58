"""What a folder of captured files contains.

The folder is its owner's alone. Blobs of up to `PACKED_BYTES` are in the file `pack`, each after a
line `<SHA-256> <size>`; a larger one is a file of its own, named by its SHA-256. The file `index`
is written last: a folder without it is unfinished.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

import msgspec

from afnio_tellurio.artifact_manifests import ManifestFile  # noqa: TC001 - msgspec reads it
from afnio_tellurio.files import replace_whole, synchronize
from afnio_tellurio.interruptions import ignored

if TYPE_CHECKING:
    from pathlib import Path

INDEX = "index"
PACK = "pack"
_64_BITS = 2**64 - 1


class FileIdentity(msgspec.Struct, frozen=True):
    """What changes when a file on the disk is replaced or written to.

    Attributes:
        device: The number of its file system.
        inode: Its number there.
        mtime_ns: When it was written to, in nanoseconds since 1970.
        size: Its size in bytes.
    """

    device: int
    inode: int
    mtime_ns: int
    size: int

    def is_unchanged(self, status: os.stat_result) -> bool:
        """Returns whether a file with this status is the same, possibly after a restart.

        A restart of the machine may change the numbers of file systems.
        """
        now = identify(status)
        return (now.inode, now.mtime_ns, now.size) == (self.inode, self.mtime_ns, self.size)


class CapturedBlob(msgspec.Struct, omit_defaults=True):
    """The bytes of one or several files.

    Attributes:
        digest: Their SHA-256 in hexadecimal.
        size: Their number.
        at: Where they are: `"pack:<offset>"`, `"file"`, or `"path:<absolute path>"` for a file that
            was not copied.
        identity: Of a file that was not copied.
    """

    digest: str
    size: int
    at: str
    identity: FileIdentity | None = None

    @property
    def is_in_place(self) -> bool:
        """Whether the file was not copied."""
        return self.identity is not None


class Index(msgspec.Struct):
    """The content of a folder of captured files.

    Attributes:
        files: The files, sorted by path.
        blobs: The bytes of all files without a reference, each once.
        version: The version of the format.
    """

    files: list[ManifestFile]
    blobs: list[CapturedBlob]
    version: Literal[1] = 1


def identify(status: os.stat_result) -> FileIdentity:
    """Returns the identity of a file with this status."""
    # Windows has numbers of 128 bits, which JSON's decoder does not.
    return FileIdentity(
        status.st_dev & _64_BITS, status.st_ino & _64_BITS, status.st_mtime_ns, status.st_size
    )


def write_index(folder: Path, index: Index) -> None:
    """Writes the index of a folder whose other files are on the disk.

    Raises:
        OSError: The disk does not take it.
    """
    with replace_whole(folder / INDEX) as file:
        file.write(msgspec.json.encode(index))
    for changed in (folder, folder.parent):
        synchronize_folder(changed)


def read_index(folder: Path) -> Index:
    """Reads the index of a folder of captured files.

    Raises:
        FileNotFoundError: The folder, or its index, does not exist.
        OSError: It cannot be read.
        ValueError: It is damaged.
    """
    path = folder / INDEX
    content = path.read_bytes()
    try:
        return msgspec.json.decode(content, type=Index)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is damaged ({error})") from error


def remove_captured(folder: Path) -> None:
    """Removes a folder of captured files, if it exists.

    Raises:
        OSError: It cannot be removed.
    """
    with ignored(FileNotFoundError):
        # First: if this is interrupted, what remains is unfinished.
        (folder / INDEX).unlink()
    try:
        names = os.listdir(folder)  # noqa: PTH208
    except FileNotFoundError:
        return
    for name in names:
        with ignored(FileNotFoundError):
            (folder / name).unlink()
    with ignored(FileNotFoundError):
        folder.rmdir()


def synchronize_folder(folder: Path) -> None:
    """Returns when the disk has the names of the files in a folder.

    Raises:
        OSError: It fails.
    """
    if os.name == "nt":
        # Windows opens no folders, and writes their names with the files.
        return
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        synchronize(fd)
    finally:
        os.close(fd)
