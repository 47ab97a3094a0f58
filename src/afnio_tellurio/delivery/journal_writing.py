"""Files of journals for the process that writes them: locked, and open for writing at their end.

They are not opened with O_APPEND: after another program has truncated such a file, as rotations of
logs do, writes still go where they would have gone. So all positions in it stay valid, and zeros
fill the gap.
"""

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING

from afnio_tellurio.files import CREATE, make_private_directory
from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.locking import try_lock
from afnio_tellurio.settings.limits import BATCH_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import FileIO
    from pathlib import Path

_LOCK_RETRY_DELAY = 0.001


def create_file(path: Path, content: bytes) -> FileIO:
    """Creates a file that does not exist yet.

    Raises:
        OSError: It cannot be created.
    """
    make_private_directory(path.parent)
    fd = os.open(path, CREATE | os.O_EXCL, 0o600)
    writer = open(fd, "wb", buffering=0)  # noqa: PTH123, SIM115
    try:
        _lock(fd)
        write_all(writer, content)
    except BaseException:  # raised again: an interrupted call must leave no file behind
        writer.close()
        path.unlink(missing_ok=True)
        raise
    return writer


def is_at(path: Path, file: FileIO) -> bool:
    """Whether an open file is at a path, as far as can be told."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise_foreign(error)
        return False
    except (OSError, ValueError) as error:
        raise_foreign(error)
        # Or another thread has just closed the file.
        return True


def write_copy(path: Path, read: Callable[[int, int], bytes]) -> FileIO:
    """Writes a locked copy of a journal to a path; returns it open for writing at its end."""
    make_private_directory(path.parent)
    unfinished = path.with_suffix(".new")
    fd = os.open(unfinished, CREATE | os.O_TRUNC, 0o600)
    writer = open(fd, "wb", buffering=0)  # noqa: PTH123, SIM115
    try:
        # Locked before it has its name: not `replace_whole`, which closes the file.
        _lock(fd)
        offset = 0
        while data := read(offset, BATCH_BYTES):
            write_all(writer, data)
            offset += len(data)
        unfinished.replace(path)
    except BaseException:  # raised again: an interrupted call must leave no file behind
        writer.close()
        unfinished.unlink(missing_ok=True)
        raise
    return writer


def _lock(fd: int) -> None:
    while not try_lock(fd):
        # A process that looks for orphans has just opened it, and releases it at once.
        time.sleep(_LOCK_RETRY_DELAY)


def write_all(writer: FileIO, data: bytes) -> None:
    """Writes data to a file.

    Raises:
        OSError: The disk has no room for all of it.
    """
    if writer.write(data) != len(data):
        raise disk_is_full()


def disk_is_full() -> OSError:
    """The error of a write that was cut short, for which the system has none."""
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
