"""The folder of the points of one project: its files, and the index that names the valid ones.

A file appears in the index when it is complete, and is never changed. So a process that is killed
leaves files that no index names, and the index as it was.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from afnio_tellurio.artifacts.cache import POINTS
from afnio_tellurio.files import make_private_directory, replace_whole, synchronize_directory
from afnio_tellurio.interruptions import ignored, raise_foreign
from afnio_tellurio.locking import try_lock, unlock
from afnio_tellurio.scanning.point_files import PointFile  # noqa: TC001 - msgspec reads it
from afnio_tellurio.settings.limits import CACHE_IN_USE_TIME

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from pathlib import Path

#: The version of the format. Another one is made again.
_FORMAT = 1
_INDEX = "index.json"
_LOCK = "lock"
_FILE = re.compile(r"[0-9a-f]{32}\.parquet")
_UNFINISHED = re.compile(rf"\.{re.escape(_INDEX)}\..+")
#: Seconds between attempts to lock the folder, which another process brings up to date.
_LOCK_PAUSE = 0.05
#: What the system says of a folder that cannot be changed.
_READ_ONLY = {errno.EACCES, errno.EPERM, errno.EROFS}


class CachedSeries(msgspec.Struct, array_like=True):
    """What was read of a metric of a run.

    Attributes:
        count: The number of points, with those that are not numbers.
        last_step: The greatest step.
        at_last: The number of points at that step.
    """

    count: int
    last_step: int
    at_last: int


class CachedRun(msgspec.Struct):
    """What was read of a run.

    Attributes:
        name: Its name in the files.
        created: When it was created, in microseconds since 1970.
        state: The state in which all of it was read, from a backend that does not count points;
            otherwise, or while it runs, empty.
        series: What was read of its metrics, by name.
    """

    name: str
    created: int | None
    state: str
    series: dict[str, CachedSeries]


class Index(msgspec.Struct):
    """What the files of a folder contain."""

    format: int = _FORMAT
    files: list[PointFile] = []
    runs: dict[str, CachedRun] = {}


class _Record(msgspec.Struct):
    index: msgspec.Raw
    sha256: str


class PointCache:
    """The folder of the points of one project.

    Args:
        cache: The folder of all caches.
        key: The backend, the account, and the project.
    """

    def __init__(self, cache: Path, key: Iterable[str]) -> None:
        digest = hashlib.sha256(msgspec.json.encode(list(key))).hexdigest()
        self.folder = cache / f"{POINTS}-{digest}"
        #: Whether this user can only read the folder, as its lock says.
        self.is_read_only = False

    @contextmanager
    def locked(self) -> Generator[None]:
        """Excludes other processes and threads that bring the folder up to date.

        A folder that can only be read needs no lock: its index is replaced as a whole.

        Raises:
            OSError: The folder cannot be created.
        """
        fd = self._open_lock()
        if fd is None:
            yield
            return
        try:
            # Without locks, two at once both do the work, and the index of the last one stays.
            with ignored(OSError):
                while not try_lock(fd):
                    time.sleep(_LOCK_PAUSE)
            try:
                yield
            finally:
                # A process that was forked meanwhile would keep it.
                with ignored(OSError):
                    unlock(fd)
        finally:
            os.close(fd)

    def _open_lock(self) -> int | None:
        """Opens the lock; returns None if the folder can only be read."""
        try:
            make_private_directory(self.folder)
            return os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise_foreign(error)
            self.is_read_only = error.errno in _READ_ONLY
            if not self.is_read_only or not self.folder.is_dir():
                raise
            return None

    def load(self) -> tuple[Index, set[str]]:
        """Returns the index with the files that are whole, and the runs of the other ones.

        An index that is missing, damaged, or of another format is empty.
        """
        index = self._read()
        whole: list[PointFile] = []
        damaged: set[str] = set()
        for file in index.files:
            if file.is_whole(self.folder):
                whole.append(file)
            else:
                damaged.update(file.runs)
        index.files = whole
        return index, damaged

    def _read(self) -> Index:
        try:
            record = msgspec.json.decode((self.folder / _INDEX).read_bytes(), type=_Record)
            if hashlib.sha256(record.index).hexdigest() != record.sha256:
                return Index()
            index = msgspec.json.decode(record.index, type=Index)
        except (OSError, UnicodeDecodeError, msgspec.MsgspecError) as error:
            raise_foreign(error)
            return Index()
        # A name that comes from a file becomes a path.
        are_ours = all(_FILE.fullmatch(file.name) for file in index.files)
        return index if index.format == _FORMAT and are_ours else Index()

    def save(self, index: Index) -> None:
        """Replaces the index.

        Raises:
            OSError: The disk does not take it.
        """
        data = msgspec.json.encode(index)
        record = _Record(msgspec.Raw(data), hashlib.sha256(data).hexdigest())
        synchronize_directory(self.folder)
        with replace_whole(self.folder / _INDEX) as file:
            file.write(msgspec.json.encode(record))

    def release(self, files: Iterable[PointFile]) -> None:
        """Lets files go that the next index does not name: frames may read them for an hour."""
        for file in files:
            with ignored(OSError):
                os.utime(self.folder / file.name)

    def remove_unused(self, index: Index) -> None:
        """Removes the files that no index has named for an hour, and those of killed processes."""
        used = {file.name for file in index.files}
        oldest = time.time() - CACHE_IN_USE_TIME
        for entry in os.scandir(self.folder):
            is_ours = _FILE.fullmatch(entry.name) or _UNFINISHED.fullmatch(entry.name)
            # Another process may remove it too. On Windows, a frame may have it open.
            with ignored(OSError):
                if is_ours and entry.name not in used and _changed(self.folder, entry) < oldest:
                    (self.folder / entry.name).unlink()


def _changed(folder: Path, entry: os.DirEntry[str]) -> float:
    # Not of the entry: on Windows, that is not up to date.
    return (folder / entry.name).stat(follow_symlinks=False).st_mtime
