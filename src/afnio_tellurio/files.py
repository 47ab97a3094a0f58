"""Files and folders that only their owner can read, written whole or not at all."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from afnio_tellurio.interruptions import ignored, raise_foreign

if TYPE_CHECKING:
    from collections.abc import Generator

#: On Windows a file is otherwise not written byte by byte.
CREATE = os.O_CREAT | os.O_WRONLY | getattr(os, "O_BINARY", 0)


def synchronize(fd: int) -> None:
    """Returns when the disk has the content of an open file.

    Raises:
        OSError: It fails.
    """
    if sys.platform == "darwin":
        import fcntl

        # There, fsync alone leaves the data in the cache of the disk.
        try:
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
        except OSError as error:
            raise_foreign(error)
            # Some file systems do not support it.
            os.fsync(fd)
    else:
        os.fsync(fd)


def synchronize_directory(path: Path) -> None:
    """Returns when the disk has the names in a folder.

    Raises:
        OSError: It fails.
    """
    if sys.platform == "win32":
        # It cannot open a folder, and writes names to its own journal.
        return
    fd = os.open(path, os.O_RDONLY)
    try:
        synchronize(fd)
    finally:
        os.close(fd)


def real_path(path: str | Path) -> Path:
    """The absolute path without symbolic links; the file may be missing."""
    try:
        return Path(os.path.realpath(path, strict=True))
    except OSError as error:
        raise_foreign(error)
    # Not at once: it ignores every `OSError`, also one that a signal handler raised.
    return Path(os.path.realpath(path))


def make_private_directory(path: Path) -> None:
    """Creates a folder, and its missing parents, for their owner only.

    Raises:
        OSError: It cannot be created.
    """
    if path.is_dir():
        return
    if path.parent != path:
        make_private_directory(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)


@contextmanager
def replace_whole(path: Path) -> Generator[IO[bytes], None, None]:
    """Writes a file that only its owner can read: it replaces `path` when it is complete.

    Raises:
        OSError: The disk does not take it; the file at `path` is unchanged.
    """
    fd, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(fd, "wb") as file:
            yield file
            file.flush()
            synchronize(fd)
        Path(name).replace(path)
    except BaseException:  # raised again: an interrupted call must leave no file behind
        with ignored(OSError):
            Path(name).unlink()
        raise
