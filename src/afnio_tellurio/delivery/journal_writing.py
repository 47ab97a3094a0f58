"""Files of journals for the process that writes them: locked, and open for writing at their end.

They are not opened with O_APPEND: after another program has truncated such a file, as rotations of
logs do, writes still go where they would have gone. So all positions in it stay valid, and zeros
fill the gap.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from typing import TYPE_CHECKING, Any

from afnio_tellurio.delivery.records import CHANGE, END, FILES_SUFFIX, record_line
from afnio_tellurio.files import CREATE, make_private_directory, replace_whole
from afnio_tellurio.interruptions import ignored, raise_foreign
from afnio_tellurio.locking import try_lock
from afnio_tellurio.settings.limits import BATCH_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from io import FileIO
    from pathlib import Path

    from afnio_tellurio.api.metric_batches import Place
    from afnio_tellurio.delivery.records import End, Header

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


def write_journal(
    folder: Path,
    header: Header,
    metrics: Iterable[tuple[Place, int, str, Any]],
    changes: Iterable[tuple[str, int, Mapping[str, Any]]],
    end: End,
) -> Path:
    """Writes the journal of a run that has ended, as if its process had died before delivery.

    Args:
        folder: The folder of the journals.
        header: The header.
        metrics: Place, time in microseconds since 1970, name and value of each metric and row.
        changes: Idempotency key, time and body of `updateRun` of each change of the run.
        end: The end of the run.

    Raises:
        OSError: It cannot be written to the disk.
    """
    make_private_directory(folder)
    path = folder / header.file_name()
    with replace_whole(path) as file:
        file.write(record_line(header) * 2)
        file.writelines(record_line(CHANGE, *change) for change in changes)
        file.writelines(
            record_line(number, place, when, name, value)
            for number, (place, when, name, value) in enumerate(metrics)
        )
        file.write(record_line(END, *end))
    return path


def remove_journal(path: Path) -> None:
    """Removes a journal and its `.ack` file; rejected metrics stay.

    Raises:
        OSError: It cannot be removed.
    """
    shutil.rmtree(path.with_suffix(FILES_SUFFIX), ignore_errors=True)
    # The position last: if the journal stays, it must not be delivered again from the start.
    for file in (path, path.with_suffix(".ack")):
        with ignored(FileNotFoundError, NotADirectoryError):
            file.unlink()
