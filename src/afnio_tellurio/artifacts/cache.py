"""Keeps downloaded files, each in a file that is named after its digest.

Processes share the folder, without locks: a file appears there whole, and may be removed at any
moment by another process. Those that were used last stay.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from afnio_tellurio.artifacts.saving import FileToSave, save_below
from afnio_tellurio.files import make_private_directory
from afnio_tellurio.interruptions import ignored, raise_foreign
from afnio_tellurio.settings.limits import (
    CACHE_BYTES,
    CACHE_IN_USE_TIME,
    CACHE_PRUNE_SHARE,
    CACHE_SHARE,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

#: The folder of prompts that were read, see `fetched_prompts`.
PROMPTS = "prompts"
#: The start of the names of folders with the points of projects, see `scanning`.
POINTS = "points"
#: The mode of a file: nothing may change it. Windows can neither replace nor remove such a file.
_MODE = 0o600 if sys.platform == "win32" else 0o400
_DIGEST = re.compile(r"[0-9a-f]{64}")
#: The names of folders.
_OF_BLOBS = re.compile(r"[0-9a-f]{2}")
_OF_ALL = re.compile(rf"{_OF_BLOBS.pattern}|{PROMPTS}|{POINTS}-{_DIGEST.pattern}")
#: Downloads of a file that another process may remove at once.
_ATTEMPTS = 3

#: Bytes that this process has added to each folder since it last removed others.
_added: dict[Path, int] = {}


class Emptied(NamedTuple):
    """What was removed from a cache."""

    files: int
    bytes: int


class _CachedFile(NamedTuple):
    used: float
    size: int
    path: Path

    @property
    def is_part(self) -> bool:
        """Whether it is not complete: a process writes it, or died while it did."""
        return self.path.suffix == ".part" or self.path.name.startswith(".")

    def is_in_use(self, now: float) -> bool:
        """Whether a program may read or write it."""
        return now - self.used < CACHE_IN_USE_TIME


def cached_file(
    folder: Path,
    digest: str,
    size: int,
    open_stream: Callable[[], AbstractContextManager[Iterable[bytes]]],
) -> Path:
    """Returns the path of a file with these bytes, and downloads it if it is missing or damaged.

    Args:
        folder: The folder of the cache; it is created if missing.
        digest: The SHA-256 of the bytes in hexadecimal.
        size: Their number.
        open_stream: Starts the download, as for `FileToSave`.

    Raises:
        DamagedFileError: The digest or the size of the download is another.
        OSError: The disk does not take the file.
        UnsafePathError: A symbolic link, or another thing, is at its path.
        ValueError: The digest is not one. It comes from a backend, and becomes a path.
    """
    if not _DIGEST.fullmatch(digest):
        raise ValueError(f"the backend answered with the digest {digest!r}, which is not a SHA-256")
    path = folder / digest[:2] / digest
    file = FileToSave(
        f"{digest[:2]}/{digest}", digest, size, executable=False, open_stream=open_stream
    )
    if _keep(folder, file, path):
        limit = size_limit(folder)
        # The first one looks too: a process may be short.
        _added[folder] = _added.get(folder, limit) + size
        if _added[folder] > limit * CACHE_PRUNE_SHARE:
            _added[folder] = 0
            prune(folder, limit)
    return path


def _keep(folder: Path, file: FileToSave, path: Path) -> bool:
    """Puts a file there, and returns False if it was there."""
    attempt = 1
    while True:
        make_private_directory(path.parent)
        with ignored(FileNotFoundError):
            # First, so that no other process removes it while it is compared.
            os.utime(path)
        try:
            is_new = save_below(folder, [file]) > 0
            path.chmod(_MODE)
        except FileNotFoundError as error:
            raise_foreign(error)
            # Another process removed it meanwhile.
            if attempt == _ATTEMPTS:
                raise
            attempt += 1
        else:
            return is_new


def size_limit(folder: Path) -> int:
    """Returns the number of bytes that a cache may take of its disk."""
    return min(CACHE_BYTES, int(shutil.disk_usage(folder).total * CACHE_SHARE))


def prune(folder: Path, limit: int) -> None:
    """Removes files from a cache, the least recently used first, until the others fit.

    Those that were used in the last hour stay, whatever their size.

    Args:
        folder: The folder of the cache; it may be missing.
        limit: The number of bytes that may stay.
    """
    now = time.time()
    files = sorted(_files_of(folder, _OF_BLOBS))
    total = sum(file.size for file in files)
    for file in files:
        if file.is_in_use(now) or (total <= limit and not file.is_part):
            continue
        _remove(file)
        total -= file.size


def empty_cache(folder: Path, *, dry_run: bool = False) -> Emptied:
    """Removes all files from a cache, also those in use, except for downloads in progress.

    Args:
        folder: The folder of the cache; it may be missing.
        dry_run: Whether to only count them.
    """
    now = time.time()
    count = size = 0
    for file in _files_of(folder, _OF_ALL):
        if file.is_part and file.is_in_use(now):
            continue
        if dry_run or _remove(file):
            count += 1
            size += file.size
    return Emptied(count, size)


def _files_of(folder: Path, names: re.Pattern[str]) -> Iterator[_CachedFile]:
    # Another process may remove any of it meanwhile.
    with ignored(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if names.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                yield from _files_in(folder / entry.name)


def _files_in(folder: Path) -> Iterator[_CachedFile]:
    with ignored(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            with ignored(FileNotFoundError):
                # Not of the entry: on Windows, that is not up to date.
                path = folder / entry.name
                status = path.stat(follow_symlinks=False)
                yield _CachedFile(status.st_mtime, status.st_size, path)


def _remove(file: _CachedFile) -> bool:
    """Removes a file, unless another process has used or removed it since, or has it open."""
    # Windows refuses to remove an open file.
    with ignored(FileNotFoundError, PermissionError):
        if file.path.stat(follow_symlinks=False).st_mtime == file.used:
            file.path.unlink()
            return True
    return False
