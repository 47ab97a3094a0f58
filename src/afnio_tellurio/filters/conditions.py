"""What a filter asks of a run, and what a list of runs is sorted by.

A condition is either true or false for a run. A comparison with a value that the run lacks, or with
a value of another type, is false. `!=`, `!~`, and `not in` are the negations of `=`, `~`, and `in`.
"""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

from msgspec import Struct

from afnio_tellurio.filters.patterns import Pattern  # noqa: TC001 - msgspec reads it

#: A name that needs no quotes in a filter.
_WORD = re.compile(r"[^\W\d][\w-]*")
Value: TypeAlias = str | int | float | bool | None
Operator: TypeAlias = Literal["=", "<", "<=", ">", ">="]
Kind: TypeAlias = Literal["text", "status", "time", "seconds", "number", "any"]

#: The attributes of a run, and what their values are. Times are in microseconds since 1970.
ATTRIBUTES: dict[str, Kind] = {
    "name": "text",
    "status": "status",
    "user": "text",
    "group": "text",
    "job_type": "text",
    "description": "text",
    "notes": "text",
    "uuid": "text",
    "parent": "text",
    "created": "time",
    "updated": "time",
    "ended": "time",
    "duration": "seconds",
}
#: The parts of the summary of a metric, and what their values are.
METRIC_PARTS: dict[str, Kind] = {
    "last": "any",
    "min": "number",
    "max": "number",
    "count": "number",
    "first_step": "number",
    "last_step": "number",
}


def _quoted(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _quoted_unless_word(name: str) -> str:
    return name if _WORD.fullmatch(name) else _quoted(name)


class Attribute(Struct, frozen=True):
    """An attribute of a run: one of the keys of `ATTRIBUTES`."""

    name: str

    @property
    def kind(self) -> Kind:
        """What its values are."""
        return ATTRIBUTES[self.name]

    def __str__(self) -> str:
        return self.name

    @property
    def searched(self) -> str:
        """The name that another one may be near to."""
        return self.name


class ConfigValue(Struct, frozen=True):
    """A value of a run's config.

    Attributes:
        path: The names of the nested objects, and of the value. If the config does not have them,
            the value is the one whose name is the path, joined with dots.
    """

    path: tuple[str, ...]

    @property
    def kind(self) -> Kind:
        """What its values are."""
        return "any"

    @property
    def joined(self) -> str:
        """The path, joined with dots."""
        return ".".join(self.path)

    def __str__(self) -> str:
        return ".".join(["config", *map(_quoted_unless_word, self.path)])

    @property
    def searched(self) -> str:
        """The name that another one may be near to."""
        return str(self)


class MetricValue(Struct, frozen=True):
    """A part of the summary of a metric.

    Attributes:
        name: The name of the metric.
        part: One of the keys of `METRIC_PARTS`.
    """

    name: str
    part: str

    @property
    def kind(self) -> Kind:
        """What its values are."""
        return METRIC_PARTS[self.part]

    def __str__(self) -> str:
        return f"metric({_quoted(self.name)}).{self.part}"

    @property
    def searched(self) -> str:
        """The name that another one may be near to."""
        return self.name


Term: TypeAlias = Attribute | ConfigValue | MetricValue


class Comparison(Struct, frozen=True):
    """Compares a value of a run. `= None` is true if the run lacks it, or if it is null."""

    term: Term
    operator: Operator
    value: Value


class Match(Struct, frozen=True):
    """Whether a regular expression matches anywhere in a text."""

    term: Term
    pattern: Pattern


class HasTag(Struct, frozen=True):
    """Whether a run has a tag."""

    tag: str


class Not(Struct, frozen=True):
    """The negation of a condition."""

    condition: Condition


class AllOf(Struct, frozen=True):
    """Whether all conditions are true."""

    conditions: tuple[Condition, ...]


class AnyOf(Struct, frozen=True):
    """Whether one of the conditions is true."""

    conditions: tuple[Condition, ...]


Condition: TypeAlias = Comparison | Match | HasTag | Not | AllOf | AnyOf


class Sort(Struct, frozen=True):
    """What a list of runs is sorted by.

    Numbers come before texts, and runs without a value are last, in both directions. Runs with the
    same value are sorted by the time of their creation, newest first.
    """

    term: Term
    is_descending: bool


def terms_of(condition: Condition) -> list[Term]:
    """Returns what a condition asks of a run, each once, without its tags."""
    if isinstance(condition, Not):
        return terms_of(condition.condition)
    if isinstance(condition, AllOf | AnyOf):
        # In order, so that the first unknown one is always the one that is reported.
        terms = (term for part in condition.conditions for term in terms_of(part))
        return list(dict.fromkeys(terms))
    return [] if isinstance(condition, HasTag) else [condition.term]
