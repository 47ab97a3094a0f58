"""Regular expressions that take linear time, whatever the pattern and the text.

`re` tries one way to match after the other, and some patterns have exponentially many. Here, a set
contains the positions in the pattern that all ways have reached, and each character of the text
changes it once. The sets that occur are kept as states, with the state that follows for each
character (a DFA, built as texts need it). `re` only tells which characters a set such as `[a-z]`
contains, one character at a time.
"""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING, Final

from afnio_tellurio.filters.automata import ACCEPT, AT_END, AT_START, INSIDE, Automaton
from afnio_tellurio.filters.pattern_syntax import Characters, Sequence, parse_pattern

if TYPE_CHECKING:
    from afnio_tellurio.filters.pattern_syntax import Node

#: What a pattern keeps of its states, about 3 MB at most. Beyond that, all are forgotten.
MAX_STATES = 1_000
MAX_TRANSITIONS = 10_000
#: Patterns that stay compiled: those of a few filters in use.
MAX_PATTERNS = 32


class Pattern:
    """A regular expression. Threads may share it.

    Attributes:
        source: The regular expression as it was written.
    """

    __slots__ = ("_literal", "_states", "source")

    def __init__(self, source: str) -> None:
        tree, ignores_case = parse_pattern(source)
        self.source: Final = source
        self._literal: Final = None if ignores_case else _literal_of(tree)
        self._states: Final = _States(Automaton(tree, ignores_case))

    def __repr__(self) -> str:
        return f"Pattern({self.source!r})"

    def search(self, text: str) -> bool:
        """Returns whether the pattern matches anywhere in a text."""
        if self._literal is not None:
            return self._literal in text
        before_newline = text.endswith("\n")
        state = self._states.start
        if state.result is not None:
            return state.result
        for character in text[:-1] if before_newline else text:
            state = state[character]
            if state.result is not None:
                return state.result
        return self._states.accepts_end(state, before_newline)


@functools.lru_cache(MAX_PATTERNS)
def compile_pattern(source: str) -> Pattern:
    """Compiles a regular expression, or returns the one compiled before.

    Raises:
        ValueError: It is invalid, too large, or not supported.
    """
    return Pattern(source)


def _literal_of(tree: Node) -> str | None:
    """Returns the only text that a tree matches, if it consists of characters alone."""
    items = tree.items if isinstance(tree, Sequence) else (tree,)
    characters = [item.literal for item in items if isinstance(item, Characters)]
    literal = "".join(character for character in characters if character is not None)
    return literal if len(literal) == len(items) else None


class _State(dict[str, "_State"]):
    """A set of positions that characters of a text have reached, and the states that follow.

    Attributes:
        positions: The positions that the last character matched.
        reach: The positions that the next character may match.
        result: Whether the pattern matches, if that does not depend on the next characters.
        at_end: Whether it matches if the text ends here, and before a last newline, once known.
    """

    __slots__ = ("_states", "at_end", "positions", "reach", "result")

    def __init__(self, states: _States, positions: int, reach: int, *, result: bool | None) -> None:
        super().__init__()
        self._states = states
        self.positions = positions
        self.reach = reach
        self.result = result
        self.at_end: tuple[bool, bool] | None = None

    def __missing__(self, character: str) -> _State:
        return self._states.follow(self, character)


class _States:
    """The states of a pattern that texts have led to.

    It has no lock: a state never changes but for what it remembers, and threads that build the same
    one build equals.
    """

    def __init__(self, automaton: Automaton) -> None:
        self._automaton = automaton
        self._built: dict[int, _State] = {}
        self._transitions = 0
        self.start = self._build(0, AT_START)

    def follow(self, state: _State, character: str) -> _State:
        """Returns the state after a character, and remembers it."""
        if len(self._built) >= MAX_STATES or self._transitions >= MAX_TRANSITIONS:
            self._forget()
        positions = state.reach & self._automaton.matching(character)
        following = self._built.get(positions)
        if following is None:
            following = self._built[positions] = self._build(positions)
        self._transitions += 1
        state[character] = following
        return following

    def accepts_end(self, state: _State, before_newline: bool) -> bool:
        """Returns whether the pattern matches a text that ends in a state, or in a newline more."""
        if state.at_end is None:
            flags = AT_END | (AT_START if state is self.start else INSIDE)
            reach = self._automaton.reach(state.positions, flags)
            here = bool(reach & ACCEPT)
            positions = reach & self._automaton.matching("\n")
            later = bool(self._automaton.reach(positions, AT_END) & ACCEPT)
            state.at_end = (here, here or later)
        return state.at_end[before_newline]

    def _build(self, positions: int, flags: int = INSIDE) -> _State:
        reach = self._automaton.reach(positions, flags)
        result = None
        if reach & ACCEPT:
            result = True
        elif not reach and not self._automaton.reach(positions, flags | AT_END):
            result = False
        return _State(self, positions, reach, result=result)

    def _forget(self) -> None:
        """Forgets all states. A search that has one goes on from there."""
        built, self._built = self._built, {}
        self._transitions = 0
        self.start.clear()
        # States refer to one another. Another thread may be here too, so only `popitem` tells.
        with contextlib.suppress(KeyError):
            while True:
                built.popitem()[1].clear()
