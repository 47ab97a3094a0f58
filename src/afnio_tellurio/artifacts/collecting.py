"""Lists the files of an artifact, before any of them is read."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from afnio_tellurio.artifact_paths import check_path, check_paths
from afnio_tellurio.artifacts.opening import check_regular, is_link, quoted, unreadable
from afnio_tellurio.artifacts.patterns import Patterns
from afnio_tellurio.artifacts.sources import Source
from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.settings.limits import MAX_ARTIFACT_BYTES, MAX_ARTIFACT_FILES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def collect_file(path: str | os.PathLike[str], name: str | None = None) -> list[Source]:
    """Lists one file. If the path is a symbolic link, that is followed.

    Args:
        path: The file.
        name: Its path in the artifact; by default the name of the file.

    Raises:
        OSError: The file does not exist.
        ValueError: It is not a regular file, it is too large, or its path in the artifact is
            invalid.
    """
    given = Path(path)
    real = Path(_real_path(given))
    status = real.lstat()
    check_regular(given, status)
    _check_bytes(given, status.st_size)
    path_in_artifact = given.name if name is None else name
    try:
        check_path(path_in_artifact)
    except ValueError as error:
        remedy = "; log it under another name" if name is None else ""
        raise ValueError(f"{quoted(given)}: {error}{remedy}") from error
    return [Source(path_in_artifact, real, _is_executable(status))]


def collect_directory(
    path: str | os.PathLike[str],
    name: str | None = None,
    include: Sequence[str] | None = None,
    exclude: Sequence[str] | None = None,
    symlinks: Literal["inside", "refuse"] = "inside",
    *,
    left_out: str | None = None,
) -> list[Source]:
    """Lists the files of a folder and of its subfolders, sorted by their paths.

    `include` and `exclude` are patterns as in `.gitignore`, for paths relative to the folder:

    - `*`, `?` and `[...]` match within one part of a path, and `**` any number of parts.
    - `*.pt` matches in any subfolder; `runs/*.pt` and `/*.pt` match the whole path.
    - A pattern that matches a subfolder covers everything in it. With a `/` at its end, it matches
      subfolders only.
    - What both match is excluded. An excluded subfolder or link is not looked at.

    Args:
        path: The folder. If it is a symbolic link, that is followed.
        name: The folder in the artifact that the files are in; by default they are at its top.
        include: Patterns of the files to list; by default all.
        exclude: Patterns of the files to leave out.
        symlinks: `"inside"` follows links that stay within the folder. `"refuse"` refuses each.
        left_out: The path of a folder that is left out wherever it is met, without links.

    Raises:
        OSError: The folder or a subfolder cannot be read.
        ValueError: It has no files to list, or too many, or a file that is not regular, or a path
            that not every system can have; a link leads out of it, to a folder that contains it,
            or to nothing; or a pattern is invalid.
    """
    if symlinks not in ("inside", "refuse"):
        raise ValueError(f'symlinks is {symlinks!r}; it must be "inside" or "refuse"')
    root = _real_path(path)
    if not os.path.isdir(root):  # noqa: PTH112
        raise NotADirectoryError(errno.ENOTDIR, f"{quoted(path)} is not a folder")
    walk = _Walk(
        root,
        None if include is None else Patterns("include", include),
        Patterns("exclude", () if exclude is None else exclude),
        follows=symlinks == "inside",
        left_out=left_out,
    )
    prefix = f"{name}/" if name else ""
    found = sorted(
        Source(prefix + relative, file, executable) for relative, file, executable in walk.files()
    )
    if not found:
        hint = "" if include is None and not exclude else "; check include and exclude"
        raise ValueError(f"{quoted(path)} has no files to log{hint}")
    try:
        check_paths(source.path_in_artifact for source in found)
    except ValueError as error:
        raise ValueError(f"{quoted(path)}: {error}; rename it, or exclude it") from error
    return found


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder on the way.

    Attributes:
        real: Its path without symbolic links.
        parts: The parts of its path relative to the root.
        parent: The folder that it, or the link to it, is in.
        is_included: Whether a pattern includes all of it.
    """

    real: str
    parts: tuple[str, ...]
    parent: _Folder | None
    is_included: bool


class _Walk:
    def __init__(
        self,
        root: str,
        include: Patterns | None,
        exclude: Patterns,
        *,
        follows: bool,
        left_out: str | None,
    ) -> None:
        self._root = root
        self._left_out = left_out
        self._include = include
        self._exclude = exclude
        self._follows = follows
        self._count = 0
        self._bytes = 0

    def files(self) -> Iterator[Source]:
        """Lists the files, in the order of the disk."""
        # Not recursive: a path may have more parts than Python's stack has frames.
        waiting = [_Folder(self._root, (), None, self._include is None)]
        folders = 0
        while waiting:
            folder = waiting.pop()
            if folder.real == self._left_out:
                continue
            folders += 1
            if folders > MAX_ARTIFACT_FILES:
                # Links to links can multiply without a cycle.
                raise ValueError(
                    f"{quoted(self._root)} has more than {MAX_ARTIFACT_FILES:,} folders, "
                    "with those that links lead to; exclude some"
                )
            for entry in _entries(folder.real):
                found = self._looked_at(folder, entry)
                if isinstance(found, _Folder):
                    waiting.append(found)
                elif found is not None:
                    yield found

    def _looked_at(self, folder: _Folder, entry: os.DirEntry[str]) -> _Folder | Source | None:
        """Returns what an entry is, or None if it is left out."""
        parts = (*folder.parts, entry.name)
        status = entry.stat(follow_symlinks=False)
        leads_on = is_link(status)
        is_folder = os.path.isdir(entry.path) if leads_on else stat.S_ISDIR(status.st_mode)  # noqa: PTH112
        if self._exclude.match(parts, is_folder=is_folder):
            return None
        is_included = (
            folder.is_included
            or self._include is None
            or self._include.match(parts, is_folder=is_folder)
        )
        if not is_folder and not is_included:
            return None
        real = entry.path
        if leads_on:
            real = self._followed(entry)
            status = os.lstat(real)
        if is_folder:
            if leads_on:
                _check_cycle(folder, entry, real)
            return _Folder(real, parts, folder, is_included)
        check_regular(entry.path, status)
        self._count_file(status.st_size)
        return Source("/".join(parts), Path(real), _is_executable(status))

    def _followed(self, link: os.DirEntry[str]) -> str:
        """Returns the real path that a link leads to, within the root."""
        what = f"the symbolic link {quoted(link)}"
        if not self._follows:
            raise ValueError(f'{what} is refused; exclude it, or use symlinks="inside"')
        try:
            real = os.path.realpath(link.path, strict=True)
        except OSError as error:
            raise_foreign(error)
            if error.errno == errno.ELOOP:
                raise ValueError(f"{what} leads to itself; exclude it") from error
            raise ValueError(
                f"{what} leads to nothing that can be read ({error.strerror}); exclude it"
            ) from error
        if not _is_within(self._root, real):
            raise ValueError(
                f"{what} leads out of {quoted(self._root)}, to {quoted(real)}; exclude it, or log "
                "that in its place"
            )
        return real

    def _count_file(self, size: int) -> None:
        self._count += 1
        self._bytes += size
        if self._count > MAX_ARTIFACT_FILES:
            raise ValueError(
                f"{quoted(self._root)} has more than {MAX_ARTIFACT_FILES:,} files; exclude some, "
                "or log an archive"
            )
        _check_bytes(self._root, self._bytes)


def _real_path(path: str | os.PathLike[str]) -> str:
    try:
        return os.path.realpath(path, strict=True)
    except OSError as error:
        raise_foreign(error)
        # Its own message names the folder on the way that is missing.
        raise unreadable(path, error) from error


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise_foreign(error)
        raise unreadable(folder, error) from error


def _is_within(root: str, real: str) -> bool:
    try:
        return os.path.commonpath([root, real]) == root
    except ValueError as error:
        raise_foreign(error)
        # Another drive of Windows.
        return False


def _check_cycle(folder: _Folder, link: os.DirEntry[str], real: str) -> None:
    outer: _Folder | None = folder
    while outer is not None:
        if outer.real == real:
            raise ValueError(
                f"the symbolic link {quoted(link)} leads to {quoted(real)}, which contains it; "
                "exclude it"
            )
        outer = outer.parent


def _check_bytes(path: str | os.PathLike[str], size: int) -> None:
    if size > MAX_ARTIFACT_BYTES:
        raise ValueError(
            f"{quoted(path)} has more than {MAX_ARTIFACT_BYTES:,} bytes; log a part of it, or a "
            "reference"
        )


def _is_executable(status: os.stat_result) -> bool:
    # On Windows, the bit depends on the name of the file.
    return os.name != "nt" and bool(status.st_mode & stat.S_IXUSR)
