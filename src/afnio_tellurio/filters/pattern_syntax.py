r"""The syntax of regular expressions in filters.

A subset of that of RE2, which means the same as in `re`:

- literals, `.` (all but a newline), `[...]`, `\d \D \w \W \s \S`, as Unicode defines them
- `\n`, `\t`, `\xHH`, `\uHHHH`, and a backslash before other ASCII characters
- `^` (the start of the text), `$` (its end, or before a newline at its end)
- `|`, `(...)`, `(?:...)`, `* + ?`, `{m}`, `{m,}`, `{m,n}`, and their lazy forms
- `(?i)` at the start: upper and lower case are the same, as for `re.IGNORECASE`

Whatever else `re` has is refused, so no pattern means something else here than there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from typing import NoReturn

#: Characters of a pattern. People write far fewer.
MAX_SOURCE = 500
#: Groups inside each other. Reading the tree takes up to five calls for each, and Python has 1,000.
MAX_NESTING = 30
#: What braces may contain. A repeat is stored as this many copies.
MAX_REPEATS = 100

_IGNORE_CASE = "(?i)"
_CLASS_ESCAPES = "dDwWsS"
_CONTROL_ESCAPES = {"n": "\n", "t": "\t"}
_HEX_ESCAPES = {"x": 2, "u": 4}
_BRACES = re.compile(r"\{([0-9]+)(?:(,)([0-9]*))?\}", re.ASCII)
_UNSUPPORTED_ESCAPES = {
    "A": ("the anchor", "use ^"),
    "Z": ("the anchor", "use $"),
    "z": ("the anchor", "use $"),
    "b": ("the word boundary", r"match the characters around it, as in (?:^|\W)"),
    "B": ("the word boundary", r"match the characters around it, as in \w"),
    "0": ("the octal escape", r"use \xHH"),
    **dict.fromkeys("123456789", ("the backreference", "write out what it repeats")),
}
#: The first one that the source continues with is the construct.
_UNSUPPORTED_GROUPS = (
    ("(?=", "the lookahead", "match the text itself"),
    ("(?!", "the negative lookahead", "combine two filters instead"),
    ("(?<=", "the lookbehind", "match the text itself"),
    ("(?<!", "the negative lookbehind", "combine two filters instead"),
    ("(?P=", "the backreference", "write out what it repeats"),
    ("(?P<", "the named group", "use (...)"),
    ("(?<", "the named group", "use (...)"),
    ("(?>", "the atomic group", "use (?:...)"),
    ("(?#", "the comment", "remove it"),
    ("(?(", "the conditional group", "use |"),
    ("(?i)", "the flag", "move it to the start of the pattern"),
    ("(?", "the group", "use (...), (?:...), or (?i) at the start"),
)
_NOTHING = "nothing to repeat"
_REPEATED = "a repeat of a repeat"


@dataclass(frozen=True, slots=True)
class Characters:
    """One character of a set.

    Attributes:
        expression: The set in the syntax of `re`.
        literal: The only character of the set, without `(?i)`.
    """

    expression: str
    literal: str | None = None


@dataclass(frozen=True, slots=True)
class Anchor:
    """A condition on the position: `^` or `$`."""

    symbol: str


@dataclass(frozen=True, slots=True)
class Sequence:
    """One item after the other."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several options."""

    options: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """An item, at least `minimum` times. Without `maximum`, any number of times more."""

    item: Node
    minimum: int
    maximum: int | None


Node: TypeAlias = Characters | Anchor | Sequence | Choice | Repeat


@dataclass(slots=True)
class _Group:
    """A group of which the end has not been read."""

    start: int
    options: list[Node] = field(default_factory=list["Node"])
    items: list[Node] = field(default_factory=list["Node"])

    def end_option(self) -> None:
        items, self.items = self.items, []
        self.options.append(items[0] if len(items) == 1 else Sequence(tuple(items)))

    def end(self) -> Node:
        self.end_option()
        return self.options[0] if len(self.options) == 1 else Choice(tuple(self.options))


def parse_pattern(source: str) -> tuple[Node, bool]:
    """Parses a pattern.

    Returns:
        The tree, and whether upper and lower case are the same.

    Raises:
        ValueError: It is invalid, or not supported. The message names the place.
    """
    if len(source) > MAX_SOURCE:
        raise ValueError(
            f"invalid pattern: it has {len(source):,} characters; use up to {MAX_SOURCE}"
        )
    ignores_case = source.startswith(_IGNORE_CASE)
    return _Parser(source, len(_IGNORE_CASE) if ignores_case else 0).parse(), ignores_case


class _Parser:
    """Reads a pattern from left to right. Groups are on a stack, so it does not recurse."""

    def __init__(self, source: str, start: int) -> None:
        self._source = source
        self._position = start
        self._groups = [_Group(start)]
        # Why a repeat would be invalid here.
        self._no_repeat: str | None = _NOTHING

    def parse(self) -> Node:
        while self._position < len(self._source):
            self._read()
        if len(self._groups) > 1:
            self._fail("unclosed group", self._groups[-1].start, r"add ), or write \( for a (")
        return self._groups[0].end()

    def _read(self) -> None:
        character = self._source[self._position]
        if character == "(":
            self._open_group()
        elif character == ")":
            self._close_group()
        elif character == "|":
            self._position += 1
            self._groups[-1].end_option()
            self._no_repeat = _NOTHING
        elif character in "*+?{":
            self._read_repeat(character)
        elif character in "^$":
            self._position += 1
            self._add(Anchor(character), _NOTHING)
        elif character == "[":
            self._add(self._read_set())
        elif character == ".":
            self._position += 1
            self._add(Characters("."))
        else:
            self._add(self._read_character())

    def _add(self, node: Node, no_repeat: str | None = None) -> None:
        self._groups[-1].items.append(node)
        self._no_repeat = no_repeat

    def _open_group(self) -> None:
        start = self._position
        if self._source.startswith("(?:", start):
            self._position += 3
        else:
            for opening, name, advice in _UNSUPPORTED_GROUPS:
                if self._source.startswith(opening, start):
                    self._refuse(name, opening, start, advice)
            self._position += 1
        if len(self._groups) > MAX_NESTING:
            self._fail("too many groups inside each other", start, f"use up to {MAX_NESTING}")
        self._groups.append(_Group(start))
        self._no_repeat = _NOTHING

    def _close_group(self) -> None:
        if len(self._groups) == 1:
            self._fail("no group to close", self._position, r"add (, or write \) for a )")
        self._position += 1
        self._add(self._groups.pop().end())

    def _read_repeat(self, character: str) -> None:
        start = self._position
        if self._no_repeat == _REPEATED and character == "+":
            self._refuse("the possessive repeat", "+", start, "remove the +")
        minimum, maximum = self._read_bounds(character)
        if self._no_repeat is not None:
            self._fail(self._no_repeat, start, f"add what to repeat, or write \\{character}")
        # Lazy repeats match the same texts.
        if self._source.startswith("?", self._position):
            self._position += 1
        self._add(Repeat(self._groups[-1].items.pop(), minimum, maximum), _REPEATED)

    def _read_bounds(self, character: str) -> tuple[int, int | None]:
        start = self._position
        if character != "{":
            self._position += 1
            return int(character == "+"), 1 if character == "?" else None
        braces = _BRACES.match(self._source, start)
        if braces is None:
            self._fail("invalid repeat", start, r"use {m}, {m,}, or {m,n}, or write \{ for a {")
        self._position = braces.end()
        minimum = int(braces[1])
        maximum = minimum if braces[2] is None else int(braces[3]) if braces[3] else None
        if max(minimum, maximum or 0) > MAX_REPEATS:
            self._fail("too many repeats", start, f"use up to {MAX_REPEATS}")
        if maximum is not None and maximum < minimum:
            self._fail("bounds in the wrong order", start, f"write {{{maximum},{minimum}}}")
        return minimum, maximum

    def _read_set(self) -> Characters:
        start = self._position
        negated = self._source.startswith("^", start + 1)
        first = self._position = start + 1 + negated
        parts: list[str] = []
        while True:
            if self._position >= len(self._source):
                self._fail("unclosed set", start, r"add ], or write \[ for a [")
            # A ] at the start is a literal.
            if self._source[self._position] == "]" and self._position > first:
                self._position += 1
                return Characters(f"[{'^' * negated}{''.join(parts)}]")
            parts.append(self._read_range())

    def _read_range(self) -> str:
        start = self._position
        if self._source.startswith("[:", start):
            self._refuse("the POSIX class", "[:", start, r"use \d, \w, or \s, or write \[ for a [")
        low = self._read_character()
        after = self._source[self._position : self._position + 2]
        # A - at the end of a set is a literal.
        if len(after) < len("-x") or after[0] != "-" or after[1] == "]":
            # With (?i), `re` does not find capital letters beyond 16 bits in a set, but in a range.
            is_wide = low.literal is not None and low.literal > "\uffff"
            return f"{low.expression}-{low.expression}" if is_wide else low.expression
        self._position += 1
        high = self._read_character()
        if low.literal is None or high.literal is None or low.literal > high.literal:
            self._fail("invalid range", start, r"write the lower character first, or \- for a -")
        return f"{low.expression}-{high.expression}"

    def _read_character(self) -> Characters:
        start = self._position
        self._position += 1
        if self._source[start] != "\\":
            return _literal(self._source[start])
        if self._position == len(self._source):
            self._fail("a backslash at the end", start, r"write \\ for a backslash")
        name = self._source[self._position]
        self._position += 1
        if name in _CLASS_ESCAPES:
            return Characters(f"\\{name}")
        if name in _CONTROL_ESCAPES:
            return _literal(_CONTROL_ESCAPES[name])
        if name in _HEX_ESCAPES:
            return self._read_code(start, name)
        if name in _UNSUPPORTED_ESCAPES:
            what, advice = _UNSUPPORTED_ESCAPES[name]
            self._refuse(what, f"\\{name}", start, advice)
        # What `re.escape` returns is valid.
        if name.isalnum() or not name.isascii():
            self._refuse("the escape", f"\\{name}", start, "remove the backslash")
        return _literal(name)

    def _read_code(self, start: int, name: str) -> Characters:
        digits = self._source[self._position : self._position + _HEX_ESCAPES[name]]
        if not re.fullmatch(f"[0-9A-Fa-f]{{{_HEX_ESCAPES[name]}}}", digits):
            self._fail(
                f"invalid escape \\{name}",
                start,
                f"write \\{name} and {_HEX_ESCAPES[name]} hexadecimal digits",
            )
        self._position += _HEX_ESCAPES[name]
        return _literal(chr(int(digits, 16)))

    def _refuse(self, what: str, written: str, position: int, advice: str) -> NoReturn:
        quoted = written if written.isprintable() else repr(written)
        raise ValueError(
            f"invalid pattern: {what} {quoted} at character {position + 1} is not supported;"
            f" {advice}"
        )

    def _fail(self, problem: str, position: int, advice: str) -> NoReturn:
        raise ValueError(f"invalid pattern: {problem} at character {position + 1}; {advice}")


def _literal(character: str) -> Characters:
    # An escape has no other meaning, whatever the character.
    return Characters(f"\\U{ord(character):08x}", character)
