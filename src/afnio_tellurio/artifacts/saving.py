"""Saves downloaded files below a folder, and nowhere else, whatever their paths are.

Where the system can, each folder is opened from the one that it is in, without following symbolic
links: a link that appears meanwhile leads nowhere either.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from afnio_tellurio.artifact_paths import check_paths
from afnio_tellurio.artifacts.opening import is_link, quoted
from afnio_tellurio.errors import TellurioError
from afnio_tellurio.files import CREATE
from afnio_tellurio.interruptions import ignored, raise_foreign
from afnio_tellurio.settings.limits import PIECE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

#: Windows has none: there, folders are checked before they are entered.
_HAS_DESCRIPTORS = os.open in os.supports_dir_fd and hasattr(os, "O_DIRECTORY")
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)
# Opening a pipe without O_NONBLOCK waits for a writer.
_READ = os.O_RDONLY | _NO_FOLLOW | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
#: Bytes of a file's name in the name of its part, which must not be too long.
_NAME_BYTES = 200


class UnsafePathError(TellurioError, ValueError):
    """A file cannot be saved: a symbolic link, or something else, is in its way."""


class DamagedFileError(TellurioError, ValueError):
    """The bytes of a downloaded file are not those that were logged."""


class FileToSave(NamedTuple):
    """A file to save.

    Attributes:
        path: Its path below the folder, with `/` between its parts.
        digest: The SHA-256 of its bytes in hexadecimal.
        size: Their number.
        executable: Whether it can be executed.
        open_stream: Starts the download; entered, the result is an iterable of pieces.
    """

    path: str
    digest: str
    size: int
    executable: bool
    open_stream: Callable[[], AbstractContextManager[Iterable[bytes]]]


def save_below(root: Path, files: Iterable[FileToSave], *, verify: bool = True) -> int:
    """Saves files below a folder, and returns how many were downloaded.

    A file that is there with the same bytes stays as it is and is not downloaded; one with other
    bytes is replaced when the download is complete.

    Args:
        root: The folder; it is created if missing. If it is a symbolic link, that is followed.
        files: The files. All paths are checked before the first file is saved.
        verify: Whether the digests of the downloaded bytes are compared.

    Raises:
        DamagedFileError: The digest or the size of a file is another. It was not saved.
        OSError: The disk does not take a file.
        UnsafePathError: A symbolic link, or another thing that is not a regular file or a folder,
            is at the path of a file or of its folders.
        ValueError: A path is invalid, or two are the same on some systems.
    """
    files = list(files)
    check_paths(file.path for file in files)
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise_foreign(error)
        # Its own message may name a folder on the way.
        problem = f"the folder {quoted(root)} cannot be created ({error.strerror})"
        raise OSError(error.errno, problem) from error
    top = _Folder(root, os.open(root, _FOLDER) if _HAS_DESCRIPTORS else None)
    try:
        return sum(_save(top, file, verify=verify) for file in files)
    finally:
        top.close()


class _Folder:
    """An open folder.

    Attributes:
        path: Its path, for messages, and where folders cannot be opened.
        fd: Its descriptor, or None there.
    """

    def __init__(self, path: Path, fd: int | None) -> None:
        self.path = path
        self.fd = fd

    def close(self) -> None:
        if self.fd is not None:
            os.close(self.fd)

    def place(self, name: str) -> str:
        """Returns the path of a file in the folder, relative to the descriptor."""
        return name if self.fd is not None else str(self.path / name)

    def status(self, name: str) -> os.stat_result | None:
        try:
            return os.stat(self.place(name), dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def enter(self, name: str) -> _Folder:
        """Opens a folder in this one, and creates it if it is missing."""
        path = self.path / name
        with ignored(FileExistsError):
            os.mkdir(self.place(name), dir_fd=self.fd)
        if self.fd is None:
            if not _is_plain_folder(path):
                raise _in_the_way(path)
            return _Folder(path, None)
        try:
            return _Folder(path, os.open(name, _FOLDER | _NO_FOLLOW, dir_fd=self.fd))
        except OSError as error:
            raise_foreign(error)
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                raise _in_the_way(path) from error
            raise

    def check_replaceable(self, name: str) -> None:
        """Checks that nothing but a regular file has a name."""
        status = self.status(name)
        if status is not None and not stat.S_ISREG(status.st_mode):
            raise _in_the_way(self.path / name)


def _save(top: _Folder, file: FileToSave, *, verify: bool) -> bool:
    """Saves a file, and returns False if it is there."""
    *folders, name = file.path.split("/")
    with _entered(top, folders) as folder:
        folder.check_replaceable(name)
        if _is_saved(folder, name, file):
            return False
        shortened = name.encode()[:_NAME_BYTES].decode(errors="ignore")
        part = folder.place(f"{shortened}.{secrets.token_hex(8)}.part")
        mode = 0o755 if file.executable else 0o644
        fd = os.open(part, CREATE | os.O_EXCL | _NO_FOLLOW, mode, dir_fd=folder.fd)
        try:
            with open(fd, "wb", buffering=PIECE_BYTES) as target:  # noqa: PTH123
                # Not synchronized: a repeated download compares the digests.
                _receive(file, target.write, verify=verify)
            folder.check_replaceable(name)
            # A link that appears now is replaced, not followed.
            os.replace(part, folder.place(name), src_dir_fd=folder.fd, dst_dir_fd=folder.fd)
        except BaseException:  # raised again: an interrupted download must leave no part behind
            with ignored(OSError):
                os.unlink(part, dir_fd=folder.fd)
            raise
    return True


@contextmanager
def _entered(top: _Folder, names: Sequence[str]) -> Generator[_Folder, None, None]:
    folder = top
    try:
        for name in names:
            outer, folder = folder, folder.enter(name)
            if outer is not top:
                outer.close()
        yield folder
    finally:
        if folder is not top:
            folder.close()


def _receive(file: FileToSave, write: Callable[[bytes], object], *, verify: bool) -> None:
    hasher = hashlib.sha256()
    size = 0
    with file.open_stream() as pieces:
        for piece in pieces:
            size += len(piece)
            if size > file.size:
                break
            if verify:
                hasher.update(piece)
            write(piece)
    if size != file.size:
        found = f"more than {file.size:,}" if size > file.size else f"{size:,}"
        raise DamagedFileError(
            f"{file.path!r} was downloaded with {found} bytes, not {file.size:,}; it was not "
            "saved; download it again"
        )
    if verify and hasher.hexdigest() != file.digest:
        raise DamagedFileError(
            f"{file.path!r} was downloaded with the SHA-256 {hasher.hexdigest()}, not "
            f"{file.digest}; it was not saved; download it again"
        )


def _is_saved(folder: _Folder, name: str, file: FileToSave) -> bool:
    """Returns whether a regular file with the same bytes is there."""
    status = folder.status(name)
    if status is None or status.st_size != file.size:
        return False
    try:
        fd = os.open(folder.place(name), _READ, dir_fd=folder.fd)
    except OSError as error:
        raise_foreign(error)
        # It cannot be read, or has been replaced since: it is downloaded.
        return False
    with open(fd, "rb", buffering=0) as saved:  # noqa: PTH123
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return False
        return hashlib.file_digest(saved, "sha256").hexdigest() == file.digest


def _is_plain_folder(path: Path) -> bool:
    status = path.lstat()
    return stat.S_ISDIR(status.st_mode) and not is_link(status)


def _in_the_way(path: Path) -> UnsafePathError:
    return UnsafePathError(
        f"{quoted(path)} is a symbolic link, or not what the download needs there; move it away, "
        "or download into another folder"
    )
