"""Patterns of paths, as in `.gitignore`."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class _Pattern(NamedTuple):
    """A pattern.

    Attributes:
        parts: What each part of a path must match; None stands for any number of parts.
        only_folders: Whether it matches no files.
    """

    parts: tuple[re.Pattern[str] | None, ...]
    only_folders: bool


class Patterns:
    """Patterns of paths.

    `*`, `?` and `[...]` match within one part of a path, and `**` any number of parts. A pattern
    with a `/` at its start or inside matches the whole path; any other matches a name in any
    folder. One that ends with `/` matches folders only. Case matters.

    Args:
        argument: The name of the argument that has the patterns, for messages.
        patterns: The patterns.

    Raises:
        TypeError: They are not strings, or are one string.
        ValueError: One is invalid.
    """

    def __init__(self, argument: str, patterns: Iterable[str]) -> None:
        if isinstance(patterns, str | bytes) or not isinstance(patterns, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"{argument} is {patterns!r}; it must be a list of patterns")
        self._patterns = [_compiled(argument, pattern) for pattern in patterns]

    def match(self, parts: Sequence[str], *, is_folder: bool) -> bool:
        """Returns whether a pattern matches a path, passed as its parts."""
        return any(
            _matches(pattern.parts, parts)
            for pattern in self._patterns
            if is_folder or not pattern.only_folders
        )

    def cover(self, path: str) -> bool:
        """Returns whether a pattern matches a file, or a folder that it is in."""
        parts = path.split("/")
        return self.match(parts, is_folder=False) or any(
            self.match(parts[:count], is_folder=True) for count in range(1, len(parts))
        )


def _compiled(argument: str, pattern: str) -> _Pattern:
    if not isinstance(pattern, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"{argument} contains {pattern!r}; a pattern must be a string")
    if pattern.startswith("!"):
        raise ValueError(
            f"{argument}: the pattern {pattern!r} starts with !, which is not supported"
        )
    if "\\" in pattern:
        raise ValueError(
            f"{argument}: the pattern {pattern!r} has a backslash; use / between parts"
        )
    names = pattern.strip("/").split("/")
    if not {"", ".", ".."}.isdisjoint(names):
        raise ValueError(
            f"{argument}: the pattern {pattern!r} has an empty part, or the part . or ..; "
            "it must be relative to the folder"
        )
    if "/" not in pattern.rstrip("/"):
        names.insert(0, "**")
    return _Pattern(
        tuple(None if name == "**" else re.compile(fnmatch.translate(name)) for name in names),
        pattern.endswith("/"),
    )


def _matches(pattern: Sequence[re.Pattern[str] | None], parts: Sequence[str]) -> bool:
    """Returns whether a pattern matches all parts of a path, in at most their product of steps."""
    at = taken = 0
    #: The last `**`, and how many parts the path has up to its end.
    star: int | None = None
    star_end = 0
    while taken < len(parts):
        test = pattern[at] if at < len(pattern) else None
        if test is not None and test.match(parts[taken]):
            at += 1
            taken += 1
        elif at < len(pattern) and test is None:
            star, star_end = at, taken
            at += 1
        elif star is not None:
            # It takes one part more.
            star_end += 1
            at, taken = star + 1, star_end
        else:
            return False
    return all(test is None for test in pattern[at:])
