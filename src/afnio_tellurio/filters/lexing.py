"""The tokens of a filter."""

from __future__ import annotations

import re
from typing import NamedTuple

#: Characters of a filter: a person reads it, and it is a part of an address.
MAX_CHARACTERS = 4000
_TOKENS = re.compile(
    r"""\s*(?:
    (?P<text>"(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*')
    | (?P<time>\d{4}-\d\d-\d\d[T ]\d\d:\d\d (?::\d\d(?:\.\d{1,6})?)? (?:Z|[+-]\d\d:\d\d)? (?![\w-])
        | \d{4}-\d\d-\d\d (?![\w-]))
    | (?P<span>-?\d+(?:\.\d+)? [smhdw] (?![\w-]))
    | (?P<number>[+-]?\d+(?:\.\d+)? (?:[eE][+-]?\d+)? (?![\w]))
    | (?P<word>-?[^\W\d][\w-]*)
    | (?P<sign><=|>=|!=|==|!~|[=<>~(),.])
    | (?P<end>\Z)
    )""",
    re.VERBOSE | re.DOTALL,
)
#: What text processors and web pages make of quotes.
_CURLY_QUOTES = "\u2018\u2019\u201a\u201c\u201d\u201e\xab\xbb"
#: What is wrong with what starts with one of these characters.
_PROBLEMS = {
    "\"'": "a quote is not closed",
    "&|": 'write "and" and "or" as words',
    _CURLY_QUOTES: "use straight quotes: \"text\" or 'text'",
    "[]{}": "write a list as (1, 2), and a name of the config as config.lr",
}
#: Others stay, so that regular expressions need no second backslash.
_ESCAPES = re.compile(r"\\([\"'\\])")


#: What Python and people write, and the language does not have.
_NEAR_NUMBER = re.compile(r"[+-]?\.?\d[^\s(),]*")
#: A name with slashes where a filter begins, as metrics have.
_PATH = re.compile(r"\s*-?([\w.-]+(?:/[\w.-]+)+)\s*(?:[=<>!~]|\Z)")


class FilterError(ValueError):
    """A filter is invalid.

    Args:
        problem: What is invalid, and what to do.
        position: The number of characters before it.
    """

    def __init__(self, problem: str, position: int) -> None:
        super().__init__(f"at character {position + 1}: {problem}")
        self.problem = problem
        self.position = position


class Token(NamedTuple):
    """A token.

    Attributes:
        kind: `text`, `time`, `span`, `number`, `word`, `sign`, or `end`.
        text: What it says: of a text, without quotes and backslashes.
        position: Where it starts in the filter.
    """

    kind: str
    text: str
    position: int

    def __str__(self) -> str:
        return "the end" if self.kind == "end" else repr(self.text)


def split_tokens(text: str) -> list[Token]:
    """Returns the tokens of a filter; the last one is its end.

    Raises:
        FilterError: The filter is too long, or has a character that starts no token.
    """
    if len(text) > MAX_CHARACTERS:
        raise FilterError(
            f"it has {len(text):,} characters; it may have up to {MAX_CHARACTERS:,}", 0
        )
    tokens: list[Token] = []
    position = 0
    while not tokens or tokens[-1].kind != "end":
        match = _TOKENS.match(text, position)
        if match is None:
            raise _invalid(text, position)
        kind = match.lastgroup or "end"
        token = match[kind]
        if kind == "text":
            token = _ESCAPES.sub(r"\1", token[1:-1])
        tokens.append(Token(kind, token, match.start(kind)))
        position = match.end()
    return tokens


def _invalid(text: str, position: int) -> FilterError:
    position += len(text[position:]) - len(text[position:].lstrip())
    rest = text[position:]
    for first, problem in _PROBLEMS.items():
        if rest[0] in first:
            return FilterError(problem, position)
    if rest[0] == ":" and text[:position][-1:].isdecimal():
        return FilterError("write a time as 2026-11-03 10:00 or 2026-11-03T10:00+01:00", position)
    if number := _NEAR_NUMBER.match(rest):
        return FilterError(
            f"{number[0]!r} is not a number; write one as 0.5, 1e-3, or 1000, and a text in quotes",
            position,
        )
    metric = f'; a metric is written metric("{name[1]}")' if (name := _PATH.match(text)) else ""
    return FilterError(
        f"{rest[:20]!r} is invalid here; put names and texts that have such characters in quotes"
        f"{metric}",
        position,
    )
