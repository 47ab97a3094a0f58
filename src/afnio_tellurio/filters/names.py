"""Suggests names that are like one that does not exist."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Names that a message lists.
_LISTED = 20
_CONFIG = "config."


def near_names(name: str, names: Iterable[str]) -> str:
    """Returns what to use in the place of an unknown name, for a message."""
    candidates = sorted(set(names))
    near = similar_names(name, candidates)
    if near:
        return f"did you mean {', '.join(map(repr, near))}?"
    listed = ", ".join(map(repr, candidates[:_LISTED]))
    more = f" and {len(candidates) - _LISTED} more" if len(candidates) > _LISTED else ""
    return f"it has {listed}{more}" if candidates else "it has none"


def similar_names(name: str, names: Iterable[str], most: int = 3) -> list[str]:
    """Returns up to `most` names that are like another one, in any case, the most similar first."""
    # Importing it takes a millisecond, and few programs need it.
    import difflib

    # What all names of configs begin with makes them similar, whatever follows.
    start = _CONFIG if name.startswith(_CONFIG) else ""
    compared: dict[str, list[str]] = {}
    for each in names:
        compared.setdefault(each.removeprefix(start).casefold(), []).append(each)
    near = difflib.get_close_matches(name.removeprefix(start).casefold(), compared, most)
    return [each for key in near for each in compared[key]][:most]
