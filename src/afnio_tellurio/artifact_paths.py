"""The paths that files of artifacts and runs may have, so that they unpack on every system."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Bytes of a path, and of one of its parts, in UTF-8.
MAX_PATH = 1_024
MAX_PART = 255

#: Characters in an error message.
_MAX_QUOTED = 100
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
#: They change the order in which a terminal or a page shows other characters.
_DIRECTION = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_DRIVE = re.compile(r"[A-Za-z]:")
#: Windows refuses them.
_RESERVED = re.compile(r'[<>:"|?*]')
_SURROGATE = re.compile("[\ud800-\udfff]")
#: Devices on Windows, whatever follows a dot.
_DEVICE = re.compile(
    "(?:con|prn|aux|nul|conin[$]|conout[$]|(?:com|lpt)[0-9\u00b9\u00b2\u00b3]) *(?:[.].*)?",
    re.IGNORECASE | re.DOTALL,
)
#: Most paths consist of these alone, and need no other check of their characters.
_PLAIN = re.compile(r"[A-Za-z0-9_/ .,=@+()-]*")


def check_path(path: str) -> None:
    """Checks a path, which has `/` between its parts.

    Raises:
        ValueError: It is invalid. The message names it.
    """
    problem = _problem_of(path)
    if problem is not None:
        raise ValueError(f"the path {_quoted(path)} {problem}")


def check_paths(paths: Iterable[str]) -> None:
    """Checks the paths of files that are to be in one folder.

    Raises:
        ValueError: One is invalid, or two cannot both exist on some system, for example since only
            the case of their letters differs.
    """
    seen: dict[str, str] = {}
    folders: dict[str, str] = {}
    for path in paths:
        check_path(path)
        key = _key_of(path)
        if key in seen:
            raise ValueError(_collision(path, seen[key]))
        seen[key] = path
        folder = key.rpartition("/")[0]
        while folder and folder not in folders:
            folders[folder] = path
            folder = folder.rpartition("/")[0]
    for key, path in seen.items():
        if key in folders:
            raise ValueError(
                f"the path {_quoted(path)} is also a folder of {_quoted(folders[key])}"
            )


def _problem_of(path: str) -> str | None:
    if not path:
        return "is empty"
    if not _PLAIN.fullmatch(path):
        problem = _problem_of_characters(path)
        if problem is not None:
            return problem
    if len(path.encode()) > MAX_PATH:
        return f"has more than {MAX_PATH:,} bytes"
    if path[0] == "/":
        return "is absolute"
    problems = map(_problem_of_part, path.split("/"))
    return next((problem for problem in problems if problem is not None), None)


def _problem_of_characters(path: str) -> str | None:
    if _SURROGATE.search(path):
        return "is not valid Unicode"
    if _CONTROL.search(path):
        return "has a control character"
    if _DIRECTION.search(path):
        return "has a character that changes the direction of text"
    if "\\" in path:
        return "has a backslash; use / between the parts"
    if _DRIVE.match(path):
        return "has a drive letter"
    reserved = _RESERVED.search(path)
    return f"has {reserved[0]!r}, which Windows does not allow" if reserved else None


def _problem_of_part(part: str) -> str | None:
    if not part:
        return "has an empty part"
    if part in {".", ".."}:
        return f"has the part {part!r}"
    if part[-1] in ". ":
        return "has a part that ends with a dot or a space"
    # A character takes up to 4 bytes.
    if 4 * len(part) > MAX_PART and len(part.encode()) > MAX_PART:
        return f"has a part with more than {MAX_PART} bytes"
    if _DEVICE.fullmatch(part):
        return f"has the part {part!r}, which is a device on Windows"
    return None


def _key_of(path: str) -> str:
    """Returns what a path has in common with those that are the same file on some system."""
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def _collision(path: str, other: str) -> str:
    if path == other:
        return f"two files have the path {_quoted(path)}"
    return f"the paths {_quoted(other)} and {_quoted(path)} are the same on some systems"


def _quoted(path: str) -> str:
    """Returns the beginning of a path for an error message."""
    return repr(path) if len(path) <= _MAX_QUOTED else f"{path[:_MAX_QUOTED]!r}..."
