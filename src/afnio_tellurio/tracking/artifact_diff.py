"""How the files of two versions of artifacts differ."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, NamedTuple, Protocol

from afnio_tellurio.notices import printable

if TYPE_CHECKING:
    from afnio_tellurio.api.artifact_entities import ArtifactFile

#: Bytes of the largest file whose lines are compared.
_MAX_TEXT = 2**20
#: Other ends of lines are part of a line.
_LINE = re.compile(r"[^\n]*\n|[^\n]+")


class Version(Protocol):
    """A version of an artifact."""

    @property
    def files(self) -> list[ArtifactFile]:
        """Its files."""
        ...

    def read_bytes(self, path: str) -> bytes:
        """The bytes of a file."""
        ...


class FileChange(NamedTuple):
    """A file that two versions do not both have with the same bytes.

    Attributes:
        path: Its path.
        kind: `added`, `removed`, or `changed`.
        old: The file in the old version, if that has it.
        new: The file in the new version, if that has it.
    """

    path: str
    kind: str
    old: ArtifactFile | None
    new: ArtifactFile | None


def changes_between(old: Version, new: Version) -> list[FileChange]:
    """The differences, sorted by path.

    Raises:
        TellurioError: The request failed.
    """
    before = {file.path: file for file in old.files}
    after = {file.path: file for file in new.files}
    changes: list[FileChange] = []
    for path in sorted(before.keys() | after.keys()):
        first, second = before.get(path), after.get(path)
        if first is None or second is None:
            kind = "added" if first is None else "removed"
            changes.append(FileChange(path, kind, first, second))
        elif _content(first) != _content(second):
            changes.append(FileChange(path, "changed", first, second))
    return changes


def whole_diff(old: Version, new: Version, old_label: str, new_label: str) -> str:
    """The differences of all files as one text; see `text_diff`.

    Raises:
        TellurioError: A request failed.
    """
    parts: list[str] = []
    for change in changes_between(old, new):
        diff = text_diff(old, new, change, old_label, new_label)
        # An empty file that was added has no lines.
        if not diff:
            before, after = (printable(name) for name in _names(change, old_label, new_label))
            diff = f"Files {before} and {after} differ\n"
        parts.append(diff)
    return "".join(parts)


def text_diff(
    old: Version, new: Version, change: FileChange, old_label: str, new_label: str
) -> str | None:
    """The lines that differ, as a unified diff; None if the bytes are the same, or not text.

    Args:
        old: The old version.
        new: The new version.
        change: The file.
        old_label: What to call the old version.
        new_label: What to call the new one.

    Raises:
        TellurioError: A request failed.
    """
    if change.old and change.new and change.old.digest == change.new.digest:
        return None
    before, after = _lines(old, change.old), _lines(new, change.new)
    if before is None or after is None:
        return None
    old_name, new_name = _names(change, old_label, new_label)
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
        for line in difflib.unified_diff(before, after, printable(old_name), printable(new_name))
    )


def _names(change: FileChange, old_label: str, new_label: str) -> tuple[str, str]:
    return (
        "/dev/null" if change.old is None else f"{old_label}/{change.path}",
        "/dev/null" if change.new is None else f"{new_label}/{change.path}",
    )


def _content(file: ArtifactFile) -> tuple[str | None, str | None, bool]:
    return file.digest, file.reference, file.executable


def _lines(version: Version, file: ArtifactFile | None) -> list[str] | None:
    """The lines of a file, which may be missing; None if it is not text."""
    if file is None:
        return []
    if file.reference is not None or file.size is None or file.size > _MAX_TEXT:
        return None
    data = version.read_bytes(file.path)
    if b"\0" in data:
        return None
    try:
        return _LINE.findall(data.decode())
    except UnicodeDecodeError:
        # It is not text.
        return None
