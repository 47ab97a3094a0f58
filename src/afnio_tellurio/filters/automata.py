"""The positions of a pattern, and which follow which (an NFA without empty steps).

Each character of a pattern is a position, with its repeats written out. Sets of positions are bits
of integers.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from afnio_tellurio.filters.pattern_syntax import Anchor, Characters, Choice, Repeat, Sequence

if TYPE_CHECKING:
    from collections.abc import Callable

    from afnio_tellurio.filters.pattern_syntax import Node

#: Positions of a pattern: as many as one without repeats may have. A character that leads to a new
#: state takes up to about 10 us with that many.
MAX_POSITIONS = 500
#: Characters of which the positions that they match are kept, about 2 MB at most.
MAX_CHARACTERS = 10_000

#: Where in the text a match has arrived: flags that tell which anchors hold.
INSIDE, AT_START, AT_END = 0, 1, 2
_ANCHOR_FLAGS = {"^": AT_START, "$": AT_END}
#: The position after the pattern.
ACCEPT = 1


class Automaton:
    """What follows each position of a pattern, and the characters that it matches.

    Raises:
        ValueError: The pattern is too large.
    """

    def __init__(self, tree: Node, ignores_case: bool) -> None:
        if _count_positions(tree) > MAX_POSITIONS:
            raise ValueError(
                "invalid pattern: it is too large with its repeats written out"
                f" (up to {MAX_POSITIONS:,} characters); repeat less"
            )
        sets: dict[Characters, int] = {}
        self._entries: list[int] = []
        self._followers: list[_Followers] = []
        for flags in (INSIDE, AT_START, AT_END, AT_START | AT_END):
            writer = _Writer(flags)
            root = writer.write(tree)
            self._entries.append(root.first | (ACCEPT if root.is_optional else 0))
            after: dict[int, int] = {}
            root.link(ACCEPT, after)
            self._followers.append(_Followers(after))
            sets = writer.sets
        flag = re.IGNORECASE if ignores_case else re.NOFLAG
        self._literals: dict[str, int] = {}
        self._sets: list[tuple[Callable[[str], object], int]] = []
        for characters, positions in sets.items():
            if characters.literal is not None and not ignores_case:
                self._literals[characters.literal] = positions
            else:
                self._sets.append((re.compile(characters.expression, flag).match, positions))
        self._matching: dict[str, int] = {}

    def reach(self, positions: int, flags: int) -> int:
        """Returns the positions after some positions, and the first ones: a match starts anywhere.

        Args:
            positions: The positions that the last character matched.
            flags: Which anchors hold here.
        """
        return self._entries[flags] | self._followers[flags].of(positions)

    def matching(self, character: str) -> int:
        """Returns the positions that match a character."""
        positions = self._matching.get(character)
        if positions is None:
            if len(self._matching) >= MAX_CHARACTERS:
                self._matching.clear()
            positions = self._literals.get(character, 0)
            for match, bits in self._sets:
                if match(character):
                    positions |= bits
            self._matching[character] = positions
        return positions


def _count_positions(node: Node) -> int:
    """Counts the positions of a tree, before repeats are written out. An empty item counts too."""
    if isinstance(node, Repeat):
        return _count_positions(node.item) * max(1, node.minimum, node.maximum or node.minimum + 1)
    if isinstance(node, Sequence):
        return max(1, sum(map(_count_positions, node.items)))
    if isinstance(node, Choice):
        return sum(map(_count_positions, node.options))
    return 1


class _Followers:
    """The positions after each position."""

    def __init__(self, after: dict[int, int]) -> None:
        # A table for each hexadecimal digit of a set: one step for four positions.
        self._tables = [_write_table(after, shift) for shift in range(0, len(after) + 1, 4)]

    def of(self, positions: int) -> int:
        found = 0
        for table, digit in zip(self._tables, reversed(f"{positions:x}"), strict=False):
            if digit != "0":
                found |= table[digit]
        return found


def _write_table(after: dict[int, int], shift: int) -> dict[str, int]:
    """Writes what follows each combination of four positions."""
    table = [0]
    for value in range(1, 16):
        lowest = value & -value
        table.append(table[value ^ lowest] | after.get(lowest << shift, 0))
    return {f"{value:x}": positions for value, positions in enumerate(table)}


class _Part:
    """A part of a pattern with its repeats written out: the empty text, or an anchor.

    Attributes:
        first: The positions that the first character may match.
        is_optional: Whether it matches the empty text here.
    """

    def __init__(self, first: int = 0, *, is_optional: bool) -> None:
        self.first = first
        self.is_optional = is_optional

    def link(self, next_positions: int, after: dict[int, int]) -> None:
        """Records what follows each position, if these positions follow the part."""


class _Position(_Part):
    """One character."""

    def __init__(self, bit: int) -> None:
        super().__init__(bit, is_optional=False)

    def link(self, next_positions: int, after: dict[int, int]) -> None:
        after[self.first] = next_positions


class _Chain(_Part):
    """One part after the other."""

    def __init__(self, parts: list[_Part]) -> None:
        first = 0
        for part in reversed(parts):
            first = part.first | (first if part.is_optional else 0)
        super().__init__(first, is_optional=all(part.is_optional for part in parts))
        self._parts = parts

    def link(self, next_positions: int, after: dict[int, int]) -> None:
        for part in reversed(self._parts):
            part.link(next_positions, after)
            next_positions = part.first | (next_positions if part.is_optional else 0)


class _Fork(_Part):
    """One of several parts."""

    def __init__(self, parts: list[_Part], *, is_optional: bool = False) -> None:
        first = functools.reduce(int.__or__, (part.first for part in parts))
        optional = is_optional or any(part.is_optional for part in parts)
        super().__init__(first, is_optional=optional)
        self._parts = parts

    def link(self, next_positions: int, after: dict[int, int]) -> None:
        for part in self._parts:
            part.link(next_positions, after)


class _Loop(_Part):
    """A part any number of times, also none."""

    def __init__(self, part: _Part) -> None:
        super().__init__(part.first, is_optional=True)
        self._part = part

    def link(self, next_positions: int, after: dict[int, int]) -> None:
        self._part.link(next_positions | self.first, after)


class _Writer:
    """Writes out a tree, for positions of the text where some anchors hold."""

    def __init__(self, flags: int) -> None:
        self._flags = flags
        self._next = ACCEPT << 1
        self.sets: dict[Characters, int] = {}

    def write(self, node: Node) -> _Part:
        if isinstance(node, Characters):
            bit, self._next = self._next, self._next << 1
            self.sets[node] = self.sets.get(node, 0) | bit
            return _Position(bit)
        if isinstance(node, Anchor):
            return _Part(is_optional=bool(self._flags & _ANCHOR_FLAGS[node.symbol]))
        if isinstance(node, Sequence):
            return _Chain(list(map(self.write, node.items)))
        if isinstance(node, Choice):
            return _Fork(list(map(self.write, node.options)))
        return self._repeat(node)

    def _repeat(self, node: Repeat) -> _Part:
        parts = [self.write(node.item) for _ in range(node.minimum)]
        if node.maximum is None:
            return _Chain([*parts, _Loop(self.write(node.item))])
        copies = range(node.maximum - node.minimum)
        options = [_Fork([self.write(node.item)], is_optional=True) for _ in copies]
        return _Chain([*parts, *options])
