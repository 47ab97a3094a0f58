"""What a change of the contract breaks, and how changes are collected.

A *caller* was written for the old document and meets a backend that serves the new one; a
*backend* serves the old document and meets a caller written for the new one. So one rule decides
nearly everything: something that requests can no longer contain breaks callers, something new in
requests breaks backends; in answers it is reversed. Programs that import the generated client are
callers too: its names and types must stay.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import Enum, StrEnum
from typing import TYPE_CHECKING

import contract_advice as advice
from contract_documents import ContractError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from contract_documents import Node

EXTENSION = "x-tellurio-extension"
SUNSET = "x-sunset"
#: The keyword of an enum for the marks of its single values.
ENUM_VALUES = "x-enum-values"
#: Keywords that compare_marks compares.
MARKS = {EXTENSION, SUNSET, ENUM_VALUES, "deprecated"}
#: Keywords for people, which programs ignore.
DOCUMENTATION = {
    "$comment",
    "bearerFormat",
    "contact",
    "description",
    "example",
    "examples",
    "externalDocs",
    "license",
    # They describe how operations relate, and constrain no request or answer.
    "links",
    "summary",
    "termsOfService",
    "title",
    "version",
    "xml",
}


class Kind(StrEnum):
    """What a change breaks."""

    BREAKS_CALLERS = "breaking for callers"
    BREAKS_BACKENDS = "breaking for backends"
    COMPATIBLE = "compatible"
    DOCUMENTATION = "documentation"

    @property
    def is_breaking(self) -> bool:
        return self in {Kind.BREAKS_CALLERS, Kind.BREAKS_BACKENDS}


class Side(Enum):
    """Where a value travels, and the kinds of a change that allows less or more than before."""

    REQUEST = ("in requests", Kind.BREAKS_CALLERS, Kind.BREAKS_BACKENDS)
    ANSWER = ("in answers", Kind.BREAKS_BACKENDS, Kind.BREAKS_CALLERS)
    #: A schema that no operation uses: only its class in the generated client matters.
    MODEL = ("in the generated client", Kind.COMPATIBLE, Kind.COMPATIBLE)

    def __init__(self, text: str, less: Kind, more: Kind) -> None:
        self.text = text
        self.less = less
        self.more = more

    @property
    def hiding_keyword(self) -> str:
        """The keyword that keeps a field out of such values."""
        return {Side.REQUEST: "readOnly", Side.ANSWER: "writeOnly"}.get(self, "")


@dataclass(frozen=True)
class Change:
    """One change: what it breaks, where and how, and what to do next."""

    kind: Kind
    place: str
    text: str
    advice: str = field(default="", compare=False)


class Changes:
    """Collects changes.

    Args:
        today: The day on which removals are judged.
    """

    def __init__(self, today: date | None = None) -> None:
        self.all: list[Change] = []
        self._today = today or datetime.now(UTC).date()

    def add(self, kind: Kind, place: str, text: str, next_step: str = "") -> None:
        self.all.append(Change(kind, place, text, next_step or advice.BY_KIND[kind.name]))

    def add_addition(self, place: str, text: str, node: Node) -> None:
        """Something new in requests, which old backends do not know."""
        if node.get(EXTENSION) is True:
            self.add(Kind.COMPATIBLE, place, f"{text}, as an extension", advice.EXTENSION_ADDED)
        else:
            text = f"{text}, and not marked {EXTENSION}"
            self.add(Kind.BREAKS_BACKENDS, place, text, advice.UNMARKED_ADDITION)

    def add_removal(self, kinds: Iterable[Kind], place: str, text: str, node: Node) -> None:
        """A removal, which breaks nothing after the sunset of a thing that was deprecated."""
        sunset, is_deprecated = sunset_of(place, node), node.get("deprecated") is True
        if sunset and is_deprecated and sunset < self._today:
            text = f"{text}; it was deprecated, and its sunset {sunset} has passed"
            self.add(Kind.COMPATIBLE, place, text, advice.SUNSET_PASSED)
            return
        if sunset:
            text += f", before its sunset {sunset}" if is_deprecated else ", before its deprecation"
        elif is_deprecated:
            text += f", deprecated without a date in {SUNSET}"
        for kind in kinds:
            self.add(kind, place, text, advice.REMOVED)

    def compare_marks(self, place: str, old: Node, new: Node) -> None:
        """Compares whether something is an extension, or deprecated."""
        before, after = old.get(EXTENSION) is True, new.get(EXTENSION) is True
        if before and not after:
            text = "no longer an extension: every backend must have it"
            self.add(Kind.BREAKS_BACKENDS, place, text)
        if after and not before:
            text = "now an extension: a backend may lack it"
            self.add(Kind.BREAKS_CALLERS, place, text, advice.NOW_AN_EXTENSION)
        states = [(node.get("deprecated") is True, sunset_of(place, node)) for node in (old, new)]
        if states[0] == states[1]:
            return
        is_deprecated, sunset = states[1]
        text = "deprecated" if is_deprecated else "not deprecated"
        text += f", with the sunset {sunset}" if sunset else ", without a sunset date"
        next_step = advice.DEPRECATED if sunset else advice.DEPRECATED_WITHOUT_SUNSET
        self.add(Kind.COMPATIBLE, place, text, next_step if is_deprecated else "")

    def compare_required(self, place: str, side: Side, *, before: bool, after: bool) -> None:
        if after and not before:
            self.add(side.less, place, f"now required {side.text}", advice.NOW_REQUIRED)
        if before and not after:
            self.add(side.more, place, f"no longer required {side.text}", advice.NOT_REQUIRED)

    def compare_rest(self, place: str, old: Node, new: Node, handled: Iterable[str]) -> None:
        """All other differences: documentation, or a keyword without a rule."""
        for key in sorted((old.keys() | new.keys()) - set(handled) - MARKS):
            if old.get(key) == new.get(key):
                continue
            if key in DOCUMENTATION or key.startswith("x-"):
                self.add(Kind.DOCUMENTATION, place, f"{key} changed")
            else:
                text = f"{key} changed; there is no rule for what that breaks"
                self.add(Kind.BREAKS_CALLERS, place, text, advice.NO_RULE)
                self.add(Kind.BREAKS_BACKENDS, place, text, advice.NO_RULE)


def sunset_of(place: str, node: Node) -> date | None:
    """The date after which a deprecated thing may be removed.

    Raises:
        ContractError: It is not a date.
    """
    value = node.get(SUNSET)
    if value is None:
        return None
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise ContractError(
            f"{SUNSET} of {place} is {value!r}; write a date in quotes, such as '2027-01-31'"
        ) from error
