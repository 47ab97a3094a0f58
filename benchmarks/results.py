"""Tables, targets, and the sections of RESULTS.md."""

from __future__ import annotations

import datetime as dt
import os
import platform
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from environments import version_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from environments import Tool

#: Figures from these on are shown without decimals, or with one.
WHOLE, TENTHS = 100, 10


@dataclass(frozen=True)
class Target:
    """A goal.

    Attributes:
        what: What is measured.
        limit: Its maximum.
        unit: Its unit.
    """

    what: str
    limit: float
    unit: str

    def verdict(self, measured: float) -> str:
        """One line: the target, the measured value, and whether the target is reached."""
        outcome = "reached" if measured <= self.limit else "**not reached**"
        limit = f"{self.limit:,g} {self.unit}".strip()
        return f"- {self.what} at most {limit}: {figure(measured)}, {outcome}"


def figure(number: float) -> str:
    """A number with about three digits."""
    if number >= WHOLE or number == int(number):
        return f"{number:,.0f}"
    return f"{number:.1f}" if number >= TENTHS else f"{number:.2f}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table: the first column is aligned left, the others right."""
    widths = [
        max(3, *(len(row[column]) for row in [header, *rows])) for column in range(len(header))
    ]

    def line(cells: Sequence[str]) -> str:
        first, *others = zip(cells, widths, strict=True)
        padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        return f"| {' | '.join(padded)} |"

    ruler = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([line(header), line(ruler), *map(line, rows)])


def write_section(path: Path, title: str, tools: Sequence[Tool], *paragraphs: str) -> None:
    """Prints a section, and replaces the one with the same title."""
    today = dt.datetime.now().astimezone().date()
    versions = ", ".join(f"{tool.name} {version_of(tool)}" for tool in tools)
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}"
    origin = f"{today}, {machine}, Python {platform.python_version()}; {versions}."
    section = "\n\n".join([f"## {title}", *paragraphs, origin])
    print(f"\n{section}\n")

    name = re.sub(r"\W+", "-", title.lower())
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    text = path.read_text("utf-8") if path.exists() else "# Results\n"
    before, mark, rest = text.partition(begin)
    after = rest.partition(end)[2] if mark else "\n"
    before = before if mark else f"{before}\n"
    path.write_text(f"{before}{begin}\n{section}\n{end}{after}", "utf-8")
