"""The files of a database: identifying them, creating them, and moving stale ones away."""

from __future__ import annotations

import datetime as dt
import errno
import logging
import os
import stat
import threading
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from afnio_tellurio.errors import DatabaseError
from afnio_tellurio.file_systems import find_file_system, is_local
from afnio_tellurio.files import make_private_directory
from afnio_tellurio.interruptions import ignored, raise_foreign
from afnio_tellurio.logs import log

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The suffixes of SQLite's companion files: the write-ahead log, its index in shared memory, and
#: the rollback journal.
LOG = "-wal"
LOG_INDEX = "-shm"
JOURNAL = "-journal"

_creation = threading.RLock()


def creation_lock() -> threading.RLock:
    """Returns a lock to hold from checking whether a file exists until it is created.

    Creating a file closes a descriptor, which drops all locks of this process on the file. Without
    this lock, another thread's SQLite connection could hold such locks by then.
    """
    return _creation


def renew_creation_lock() -> None:
    """Replaces the lock in a forked child, where a thread that no longer exists may hold it."""
    global _creation  # noqa: PLW0603
    _creation = threading.RLock()


class Files(NamedTuple):
    """Device and inode of a database file and its companions; None for missing files."""

    database: tuple[int, int] | None = None
    log: tuple[int, int] | None = None
    log_index: tuple[int, int] | None = None

    @classmethod
    def at(cls, path: str) -> Files:
        """Returns the current files at a path."""
        # The companions first: if the database is missing, they can't belong to a database that
        # another process creates now.
        log, log_index = identity_of(path + LOG), identity_of(path + LOG_INDEX)
        return cls(identity_of(path), log, log_index)


def identity_of(path: str | Path) -> tuple[int, int] | None:
    """Returns device and inode of the file at a path, or None if it is missing."""
    try:
        status = os.stat(path)  # noqa: PTH116 - called for each transaction
    except (FileNotFoundError, NotADirectoryError) as error:
        raise_foreign(error)
        return None
    except OSError as error:
        raise_foreign(error)
        raise open_error(path, error.strerror or str(error)) from error
    return status.st_dev, status.st_ino


def size_of(path: str | Path) -> int:
    """Returns the size of a file in bytes; 0 if it is missing."""
    try:
        return os.stat(path).st_size  # noqa: PTH116
    except FileNotFoundError as error:
        raise_foreign(error)
        return 0


def size_and_time_of(path: str) -> tuple[int, int]:
    """Returns the size of a file in bytes, and when it was last changed, in nanoseconds."""
    status = os.stat(path)  # noqa: PTH116
    return status.st_size, status.st_mtime_ns


def set_aside(path: str, stale: Mapping[str, tuple[int, int] | None]) -> None:
    """Moves away companions of an earlier database, which SQLite would apply to the current one.

    Args:
        path: The database file.
        stale: The companions to move away, by suffix; None for nothing.
    """
    # The new name of a log is still the one that SQLite expects for a database at `aside`.
    aside = f"{path}.{dt.datetime.now():%Y%m%d-%H%M%S-%f}"  # noqa: DTZ005 - local time for people
    for suffix, identity in stale.items():
        # Another process may already have moved it away and created a new one.
        if identity is None or identity_of(path + suffix) != identity:
            continue
        try:
            if suffix == LOG_INDEX or not os.path.getsize(path + suffix):  # noqa: PTH202
                os.unlink(path + suffix)  # noqa: PTH108
                continue
            os.rename(path + suffix, aside + suffix)  # noqa: PTH104
        except OSError as error:
            raise_foreign(error)
            raise open_error(path + suffix, error.strerror or str(error)) from error
        log(
            logging.WARNING,
            f"{path} was removed or replaced without {path + suffix}, which contains the latest "
            f"data; moved it to {aside + suffix}",
        )


def remove_index_without_log(path: str) -> None:
    """Removes the index of a write-ahead log that was removed while a process used it.

    Otherwise SQLite would read a new log with the index of the old one.
    """
    # In this order: SQLite creates the log before its index, and removes it after its index.
    log_index = identity_of(path + LOG_INDEX)
    if log_index is not None and identity_of(path + LOG) is None:
        set_aside(path, {LOG_INDEX: log_index})


def create_private(path: str) -> None:
    """Creates the file and its folders, accessible to their owner only."""
    make_private_directory(Path(path).parent)
    # Another process may create it first.
    with ignored(FileExistsError):
        # SQLite's journals get the permissions of the database. This C code runs no signal handler
        # between open and close; a handler could use the database and lose its locks on close.
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR
        deque(map(os.close, map(os.open, (path,), (flags,), (0o600,))), maxlen=0)


def is_writable(path: str) -> bool:
    """Returns whether this user can write an existing database and its companions.

    Raises:
        OSError: It is not a regular file, or this user cannot read it.
    """
    # Without opening the file: closing it would drop the locks of this process on it.
    if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116
        raise OSError(errno.EISDIR, "it isn't a regular file")
    if not _is_allowed(path, os.R_OK):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))
    return _is_allowed(path, os.W_OK) and _is_allowed(os.path.dirname(path), os.W_OK)  # noqa: PTH120


def _is_allowed(path: str, mode: int) -> bool:
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def open_error(path: str | Path, reason: str) -> DatabaseError:
    """Returns the error for a database that cannot be opened."""
    return DatabaseError(
        f"the database {path} cannot be opened: {reason}; "
        "use a writable file, or another folder with TELLURIO_HOME"
    )


def read_only_error(path: str | Path, problem: str) -> DatabaseError:
    """Returns the error for a database that this user can only read."""
    return DatabaseError(
        f"the database {path} {problem}, because this user can only read it; copy its folder to "
        "a writable place, or use another folder with TELLURIO_HOME"
    )


def is_on_network(path: str) -> bool:
    """Returns whether the file is on a network file system; detected on Linux only."""
    file_system = find_file_system(path)
    if file_system is None or is_local(file_system):
        return False
    log(
        logging.WARNING,
        f"{path} is on {file_system}, where SQLite's write-ahead log may not work; using a "
        "rollback journal",
    )
    return True
