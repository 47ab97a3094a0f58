"""Suggests names that are like one that does not exist."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Names that a message lists.
_LISTED = 20


def near_names(name: str, names: Iterable[str]) -> str:
    """Returns what to use in the place of an unknown name, for a message."""
    # Importing it takes a millisecond, and few programs need it.
    import difflib

    candidates = sorted(set(names))
    near = difflib.get_close_matches(name, candidates, n=3)
    if near:
        return f"did you mean {', '.join(map(repr, near))}?"
    listed = ", ".join(map(repr, candidates[:_LISTED]))
    more = f" and {len(candidates) - _LISTED} more" if len(candidates) > _LISTED else ""
    return f"it has {listed}{more}" if candidates else "it has none"
