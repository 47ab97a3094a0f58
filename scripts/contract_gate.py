"""The report of what changed, and whether the contract may be committed like that."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from contract_documents import ContractError
from contract_kinds import Change, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_FILE = "openapi/accepted-changes.txt"
_BREAKING = [kind for kind in Kind if kind.is_breaking]


class Accepted(NamedTuple):
    """A line of openapi/accepted-changes.txt: a break, and the reason why it is accepted."""

    number: int
    kind: str
    change: str
    reason: str

    def matches(self, change: Change) -> bool:
        return (self.kind, self.change) == (change.kind, f"{change.place}: {change.text}")


def read_accepted(text: str) -> list[Accepted]:
    """Reads the lines of openapi/accepted-changes.txt.

    Raises:
        ContractError: A line is not a break and a reason.
    """
    accepted: list[Accepted] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        kind, *rest = line.split(" | ")
        if kind not in _BREAKING or len(rest) < 2 or not rest[-1].strip():  # noqa: PLR2004
            raise ContractError(
                f"line {number} of {_FILE} is invalid; write the heading and the line of the "
                f"report, and the reason: '{_BREAKING[0]} | PLACE: CHANGE | REASON'"
            )
        accepted.append(Accepted(number, kind, " | ".join(rest[:-1]), rest[-1].strip()))
    return accepted


class Gate:
    """Judges changes by what is accepted.

    Args:
        changes: All changes.
        accepted: The breaks that are accepted.
    """

    def __init__(self, changes: list[Change], accepted: list[Accepted]) -> None:
        self._changes = changes
        self._lines = accepted
        self._reasons = {
            change: line.reason for line in accepted for change in changes if line.matches(change)
        }

    def report(self, title: str) -> str:
        """The changes as text, by kind and with what to do; `title` names the two documents."""
        if not self._changes:
            return f"{title}: no change"
        headings = [*Kind, "accepted"]
        groups = {heading: [c for c in self._changes if self._heading(c) == heading]
                  for heading in headings}  # fmt: skip
        counts = [f"{len(groups[name])} {name}" for name in headings if groups[name]]
        lines = [f"{title}: " + ", ".join(counts)]
        for kind in Kind:
            if groups[kind]:
                lines += [f"  {kind}", *_lines_of(groups[kind])]
        if groups["accepted"]:
            lines.append("  accepted")
            for change in groups["accepted"]:
                lines.append(f"    {change.kind}: {change.place}: {change.text}")
                lines.append(f"      because: {self._reasons[change]}")
        return "\n".join(lines)

    def problems(self) -> list[str]:
        """The breaks that are not accepted, as the lines that would accept them."""
        breaks = [change for change in self._changes if self._heading(change) in _BREAKING]
        if not breaks:
            return []
        subject = "1 break is" if len(breaks) == 1 else f"{len(breaks)} breaks are"
        text = f"{subject} not accepted: do what the report says next, or accept it in {_FILE}"
        lines = (f"  {each.kind} | {each.place}: {each.text} | REASON" for each in breaks)
        return ["\n".join([f"{text}, with the reason:", *lines])]

    def stale_lines(self) -> list[str]:
        """Accepted lines that match no change: the change is released, or was undone."""
        return [
            f"line {line.number} of {_FILE} matches no change since the last release; delete it"
            for line in self._lines
            if not any(line.matches(change) for change in self._changes)
        ]

    def version_problems(self, old: str, new: str) -> list[str]:
        """A line if something changed since the release, and the version did not move."""
        if not self._changes or _numbers(new) > _numbers(old):
            return []
        text = f"info.version is {new}, and that of the last release is {old}"
        return [f"{text}: raise it, and add what changed to openapi/CHANGELOG.md"]

    def _heading(self, change: Change) -> str:
        return "accepted" if change in self._reasons else change.kind


def _lines_of(changes: Iterable[Change]) -> Iterator[str]:
    """A line for each change; those that need the same next step stand above it together."""
    groups: dict[str, list[Change]] = {}
    for change in changes:
        groups.setdefault(change.advice, []).append(change)
    for next_step, group in groups.items():
        yield from (f"    {change.place}: {change.text}" for change in group)
        yield f"      next: {next_step}"


def _numbers(version: str) -> tuple[int, ...]:
    if not re.fullmatch(r"\d+(\.\d+)*", version):
        raise ContractError(f"info.version is {version!r}; write numbers, such as '1.2.0'")
    return tuple(map(int, version.split(".")))
