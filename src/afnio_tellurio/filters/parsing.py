"""Reads filters.

    status = RUNNING and (config.optim.lr < 1e-3 or "baseline" in tags)
        and metric("val/acc").max > 0.8 and created > -7d and not name ~ "^try"

The grammar, with the words in any case:

    filter     = all ("or" all)*
    all        = one ("and" one)*
    one        = "not" one | "(" filter ")" | comparison
    comparison = term ("=" | "!=" | "<" | "<=" | ">" | ">=" | "~" | "!~") value
               | term ["not"] "in" "(" value ("," value)* ")"
               | text ["not"] "in" "tags"
    term       = attribute | "config" ("." (word | text))+ | "metric" "(" text ")" ["." part]
    value      = text | number | time | span | word

Texts have quotes, which a word, such as `RUNNING`, does not need. A time is a day, or a moment
with a `T` or a space in it, in UTC or with an offset. A span, such as `-7d` or `90s`, is a time
before now, or a duration.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from typing import TYPE_CHECKING

from afnio_tellurio.filters.conditions import (
    ATTRIBUTES,
    METRIC_PARTS,
    AllOf,
    AnyOf,
    Attribute,
    Comparison,
    ConfigValue,
    HasTag,
    Match,
    MetricValue,
    Not,
    Sort,
)
from afnio_tellurio.filters.lexing import FilterError, split_tokens
from afnio_tellurio.filters.names import near_names
from afnio_tellurio.filters.patterns import compile_pattern
from afnio_tellurio.filters.values import KEYWORDS, read_value

if TYPE_CHECKING:
    from collections.abc import Callable

    from afnio_tellurio.filters.conditions import Condition, Operator, Term
    from afnio_tellurio.filters.lexing import Token

#: Levels of parentheses and `not`: the conditions are read, and tested, by recursion.
MAX_DEPTH = 30
#: Comparisons, which SQLite combines in one statement.
MAX_COMPARISONS = 100
_OPERATORS: dict[str, Operator] = {"=": "=", "==": "=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
#: What a path of SQLite's JSON functions cannot name.
_UNNAMEABLE = re.compile(r'["\\\x00-\x1f]')
_UNITS = frozenset("smhdw")
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def parse_filter(text: str, now: dt.datetime) -> Condition:
    """Reads a filter.

    Args:
        text: The filter.
        now: The time that spans are relative to.

    Raises:
        FilterError: The filter is invalid.
    """
    parser = _Parser(text, now)
    condition = parser.read_filter()
    parser.require_end()
    return condition


def parse_sort(text: str) -> Sort:
    """Reads what to sort by: a term, with `-` in front of it for the greatest value first.

    Raises:
        FilterError: It is invalid.
    """
    stripped = text.lstrip()
    is_descending = stripped.startswith("-")
    return Sort(parse_term(stripped[1:] if is_descending else stripped), is_descending)


def parse_term(text: str) -> Term:
    """Reads a value of a run, such as `config.lr`.

    Raises:
        FilterError: It is invalid.
    """
    parser = _Parser(text, _EPOCH)
    term = parser.read_term()
    parser.require_end("name one value to sort by, with - in front of it for the greatest first")
    return term


class _Parser:
    """Reads the tokens of one filter."""

    def __init__(self, text: str, now: dt.datetime) -> None:
        self._tokens = split_tokens(text)
        self._next = 0
        self._now = now
        self._depth = 0
        self._comparisons = 0

    @property
    def _token(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._token
        # The end stays.
        self._next = min(self._next + 1, len(self._tokens) - 1)
        return token

    def _takes(self, text: str) -> bool:
        """Takes the next token if it is this sign or word."""
        token = self._token
        if token.kind in {"sign", "word"} and token.text.lower() == text:
            self._take()
            return True
        return False

    def _require(self, sign: str, where: str) -> None:
        if not self._takes(sign):
            raise FilterError(f"{where} requires {sign!r} here, not {self._token}", self._position)

    @property
    def _position(self) -> int:
        return self._token.position

    def require_end(self, hint: str = 'combine comparisons with "and" or "or"') -> None:
        """Raises unless all was read.

        Args:
            hint: What to do otherwise.
        """
        token = self._token
        if token.kind == "end":
            return
        last = self._tokens[self._next - 1]
        if last.kind == "number" and token.text in _UNITS:
            hint = f"write a span without a space: {last.text}{token.text}"
        elif last.kind == "number" and token.text == ".":
            hint = f"write a number as {last.text} or {last.text}.0"
        raise FilterError(f"{token} is not expected here; {hint}", token.position)

    def read_filter(self) -> Condition:
        """Reads conditions of which one must be true."""
        conditions = [self._read_all()]
        while self._takes("or"):
            conditions.append(self._read_all())
        return conditions[0] if len(conditions) == 1 else AnyOf(tuple(conditions))

    def _read_all(self) -> Condition:
        conditions = [self._read_one()]
        while self._takes("and"):
            conditions.append(self._read_one())
        return conditions[0] if len(conditions) == 1 else AllOf(tuple(conditions))

    def _read_one(self) -> Condition:
        position = self._position
        if self._takes("not"):
            return self._nested(lambda: Not(self._read_one()), position)
        if self._takes("("):
            condition = self._nested(self.read_filter, position)
            self._require(")", "the open parenthesis")
            return condition
        self._comparisons += 1
        if self._comparisons > MAX_COMPARISONS:
            raise FilterError(f"a filter may have up to {MAX_COMPARISONS} comparisons", position)
        return self._read_comparison()

    def _nested(self, read: Callable[[], Condition], position: int) -> Condition:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise FilterError(f"a filter may have up to {MAX_DEPTH} levels", position)
        condition = read()
        self._depth -= 1
        return condition

    def _read_comparison(self) -> Condition:
        if self._starts_tag():
            return self._read_tag()
        term = self.read_term()
        position = self._position
        if self._takes("in"):
            return self._read_list(term)
        if self._takes("not"):
            self._require("in", '"not"')
            return Not(self._read_list(term))
        sign = self._take()
        if sign.kind == "sign" and sign.text in {"~", "!~"}:
            match = self._read_match(term, position)
            return Not(match) if sign.text == "!~" else match
        if sign.kind == "sign" and sign.text == "!=":
            return Not(self._compare(term, "=", self._take(), position))
        operator = _OPERATORS.get(sign.text) if sign.kind == "sign" else None
        if operator is None:
            raise FilterError(
                f"{term} must be compared, for example with =, <, ~, or in; not {sign}", position
            )
        return self._compare(term, operator, self._take(), position)

    def _starts_tag(self) -> bool:
        """Whether a value comes next that must be in the tags."""
        following = [
            token.text.lower() for token in self._tokens[self._next + 1 : self._next + 4]
            if token.kind == "word"
        ]  # fmt: skip
        return following[:2] == ["in", "tags"] or following[:3] == ["not", "in", "tags"]

    def _read_tag(self) -> Condition:
        token = self._take()
        if token.kind not in {"text", "word"}:
            raise FilterError("a tag is a text in quotes", token.position)
        is_negated = self._takes("not")
        self._takes("in")
        self._takes("tags")
        return Not(HasTag(token.text)) if is_negated else HasTag(token.text)

    def _read_list(self, term: Term) -> Condition:
        position = self._position
        self._require("(", '"in"')
        conditions = [self._compare(term, "=", self._take(), position)]
        while self._takes(","):
            self._comparisons += 1
            conditions.append(self._compare(term, "=", self._take(), position))
        self._require(")", "the list")
        if self._comparisons > MAX_COMPARISONS:
            raise FilterError(f"a filter may have up to {MAX_COMPARISONS} values", position)
        return AnyOf(tuple(conditions))

    def _read_match(self, term: Term, position: int) -> Match:
        if term.kind not in {"text", "any"}:
            raise FilterError(f"{term} is not a text, and cannot be matched", position)
        token = self._take()
        if token.kind != "text":
            raise FilterError("a regular expression must be in quotes", token.position)
        try:
            return Match(term, compile_pattern(token.text))
        except ValueError as error:
            raise FilterError(str(error), token.position) from error

    def read_term(self) -> Term:
        """Reads what is compared, or sorted by."""
        token = self._take()
        name = token.text
        if token.kind == "text":
            raise FilterError(
                "expected a name without quotes here, such as status, or a test of tags, such as "
                f'"baseline" in tags; not {token}',
                token.position,
            )
        if token.kind != "word" or name.lower() in KEYWORDS:
            raise FilterError(f"expected a name here, such as status, not {token}", token.position)
        if name == "config":
            return self._read_path(token.position)
        if name == "metric":
            return self._read_metric()
        if name in ATTRIBUTES:
            return Attribute(name)
        if name == "tags":
            raise FilterError('tags are tested with: "baseline" in tags', token.position)
        near = near_names(name, [*ATTRIBUTES, "config", "metric", "tags"])
        raise FilterError(
            f"a run has no attribute {name!r} (configs and metrics are written config.lr and "
            f'metric("loss").min); {near}',
            token.position,
        )

    def _read_path(self, position: int) -> ConfigValue:
        path: list[str] = []
        while self._takes("."):
            token = self._take()
            if token.kind not in {"word", "text"} and not token.text.isdigit():
                raise FilterError(
                    f"expected a name of the config here, not {token}; names with other "
                    'characters are in quotes: config."learning rate"',
                    token.position,
                )
            if _UNNAMEABLE.search(token.text):
                raise FilterError(
                    "a name of the config with quotes, backslashes, or control characters cannot "
                    "be compared",
                    token.position,
                )
            path.append(token.text)
        if not path:
            raise FilterError("config requires a name, such as config.lr", position)
        return ConfigValue(tuple(path))

    def _read_metric(self) -> MetricValue:
        self._require("(", "metric")
        token = self._take()
        if token.kind not in {"text", "word"}:
            raise FilterError('metric requires a name: metric("val/acc")', token.position)
        self._require(")", "metric")
        if not self._takes("."):
            return MetricValue(token.text, "last")
        part = self._take()
        if part.text not in METRIC_PARTS:
            near = near_names(part.text, METRIC_PARTS)
            raise FilterError(f"a metric has no {part.text!r}; {near}", part.position)
        return MetricValue(token.text, part.text)

    def _compare(self, term: Term, operator: Operator, token: Token, position: int) -> Comparison:
        value = read_value(term, token, self._now)
        is_ordered = isinstance(value, str | int | float) and not isinstance(value, bool)
        is_special = isinstance(value, float) and math.isnan(value)
        if operator != "=" and (not is_ordered or is_special or term.kind == "status"):
            raise FilterError(f"{term} can only be compared with = and != here", position)
        if operator == "=" and term.kind == "time" and value is not None:
            raise FilterError(f"{term} is a time: compare it with <, <=, >, or >=", position)
        return Comparison(term, operator, value)
