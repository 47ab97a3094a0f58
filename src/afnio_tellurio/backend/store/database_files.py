"""The files of a database: which ones are at a path, creating them, setting stale ones aside."""

from __future__ import annotations

import datetime as dt
import errno
import logging
import os
import stat
import sys
import threading
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from afnio_tellurio.errors import DatabaseError
from afnio_tellurio.files import make_private_directory
from afnio_tellurio.logs import log

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The suffixes of the files that SQLite keeps beside a database: the write-ahead log, its index in
#: shared memory, and the rollback journal.
LOG = "-wal"
LOG_INDEX = "-shm"
JOURNAL = "-journal"
#: On these, processes of several machines would share WAL's memory-mapped index, which cannot work.
_NETWORK_FILE_SYSTEMS = {
    "nfs",
    "nfs4",
    "lustre",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "fuse.sshfs",
    "afs",
    "gpfs",
}

_creation = threading.RLock()


def creation_lock() -> threading.RLock:
    """A lock to hold from looking for a file until it is created.

    Creating it closes a descriptor, which drops all locks of this process on it: another thread
    could have had SQLite open it by then.
    """
    return _creation


def renew_creation_lock() -> None:
    """In a forked child: a thread that is not there may hold the lock."""
    global _creation  # noqa: PLW0603
    _creation = threading.RLock()


class Files(NamedTuple):
    """Device and inode of a database file and its companions, or None for each that is missing."""

    database: tuple[int, int] | None = None
    log: tuple[int, int] | None = None
    log_index: tuple[int, int] | None = None

    @classmethod
    def at(cls, path: str) -> Files:
        """The files that are at a path now."""
        # The companions first: those of a missing file are then not ones that another process
        # creates with the file just now.
        log, log_index = identity_of(path + LOG), identity_of(path + LOG_INDEX)
        return cls(identity_of(path), log, log_index)


def identity_of(path: str | Path) -> tuple[int, int] | None:
    """Device and inode of the file at a path, or None where there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116 - it is called for each transaction
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise not_openable(path, error.strerror or str(error)) from error
    return status.st_dev, status.st_ino


def size_of(path: str | Path) -> int:
    """The bytes of a file; 0 where there is none."""
    try:
        return os.stat(path).st_size  # noqa: PTH116
    except FileNotFoundError:
        return 0


def set_aside(path: str, stale: Mapping[str, tuple[int, int] | None]) -> None:
    """Takes companions of an earlier database away, which SQLite would apply to the one here.

    Args:
        path: The database file.
        stale: What to take away, by suffix; None for nothing.
    """
    # A log then has the name that belongs to a database with this name.
    aside = f"{path}.{dt.datetime.now():%Y%m%d-%H%M%S-%f}"  # noqa: DTZ005 - for people here
    for suffix, identity in stale.items():
        # Another process may have been faster, and have begun a new one.
        if identity is None or identity_of(path + suffix) != identity:
            continue
        try:
            if suffix == LOG_INDEX or not os.path.getsize(path + suffix):  # noqa: PTH202
                os.unlink(path + suffix)  # noqa: PTH108
                continue
            os.rename(path + suffix, aside + suffix)  # noqa: PTH104
        except OSError as error:
            raise not_openable(path + suffix, error.strerror or str(error)) from error
        log(
            logging.WARNING,
            f"{path} was removed or replaced without {path + suffix}, which holds what was "
            f"recorded last; it is {aside + suffix} now",
        )


def remove_index_without_log(path: str) -> None:
    """Removes the index of a write-ahead log that was removed while a process used it.

    A new log would be read by the index of the old one.
    """
    # In this order: SQLite creates the log before its index, and removes it after.
    log_index = identity_of(path + LOG_INDEX)
    if log_index is not None and identity_of(path + LOG) is None:
        set_aside(path, {LOG_INDEX: log_index})


def create_private(path: str) -> None:
    """Creates the file and its folders, for their owner's eyes only."""
    make_private_directory(Path(path).parent)
    # Another process may be faster.
    with suppress(FileExistsError):
        # SQLite gives its journals the permissions of the database. No signal handler can come
        # between opening and closing so, and open the database itself.
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR
        deque(map(os.close, map(os.open, (path,), (flags,), (0o600,))), maxlen=0)


def require_writable(path: str) -> None:
    """Raises an `OSError` unless the path is a regular file that this user can write."""
    # The file is not opened for it: to close it would drop the locks of this process on it.
    if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116
        raise OSError(errno.EISDIR, "it is not a regular file")
    if not os.access(path, os.R_OK | os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))


def not_openable(path: str | Path, reason: str) -> DatabaseError:
    """The error for a database that cannot be opened."""
    return DatabaseError(
        f"the database {path} cannot be opened: {reason}; "
        "name a file that can be written, or another folder with TELLURIO_HOME"
    )


def is_on_network(path: str) -> bool:
    """Whether the file is on a network file system; known on Linux only."""
    if sys.platform != "linux":
        return False
    try:
        with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as mounts:  # noqa: PTH123
            entries = [line.split() for line in mounts]
    except OSError:
        return False
    holding = [
        (len(folder), kind)
        for _device, folder, kind, *_rest in entries
        if os.path.commonpath([path, os.path.realpath(folder)]) == os.path.realpath(folder)
    ]
    kind = max(holding, default=(0, ""))[1]
    if kind in _NETWORK_FILE_SYSTEMS:
        log(
            logging.WARNING,
            f"{path} is on {kind}, where SQLite's write-ahead log does not work; using a rollback "
            "journal",
        )
        return True
    return False
