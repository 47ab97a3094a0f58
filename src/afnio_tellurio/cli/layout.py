"""Lays out tables: aligned, and on a terminal within its width and with colors."""

from __future__ import annotations

import shutil
import sys
import unicodedata
from types import MappingProxyType
from typing import TYPE_CHECKING

from afnio_tellurio.notices import JOINERS, printable, shows_colors

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

#: A longer cell shifts the rest of its own line only, where no width is given.
_CELL_WIDTH = 40
#: Columns are not shortened below the first of these while optional ones can be left out, and never
#: below the second; those that do not fit are left out.
_LEGIBLE_CELL_WIDTH, _MIN_CELL_WIDTH = 16, 8
_SPACE = 2
#: The first marks of JSON that isn't a number, as it is among the values of metrics.
_TEXT_STARTS = ('"', "[", "{")
#: Columns that are useless in part.
_WHOLE = {
    *("STATUS", "CREATED", "UPDATED", "LAST ACTIVITY", "DELETED", "KEPT UNTIL", "LOGGED", "KIND"),
}
_BOLD = "1"
_COLOR_OF_STATUS = {"RUNNING": "36", "COMPLETED": "32", "CRASHED": "31", "FAILED": "31"}


def table(
    header: list[str],
    rows: list[list[str]],
    *,
    numbers: Collection[str] = (),
    optional: Sequence[str] = (),
    colors: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
) -> str:
    """Returns aligned rows, below a header if it isn't empty.

    On a terminal, a table with a header is as wide as that at most: its widest texts are shortened,
    and if that is not enough, columns are left out.

    Args:
        header: The names of the columns.
        rows: The cells of each row.
        numbers: The names of the columns that are aligned at the right.
        optional: The names of the columns that are left out first, the first one first.
        colors: The colors of cells, by the name of their column and their text.
    """
    lines = [[printable(cell) for cell in line] for line in [header, *rows] if line]
    widths = [max(map(columns_of, column)) for column in zip(*lines, strict=True)]
    are_numbers = [title in numbers for title in header] or [False] * len(widths)
    if not (header and is_terminal()):
        widths = [min(width, _CELL_WIDTH) for width in widths]
        return "\n".join(_line(line, widths, are_numbers) for line in lines)
    kept = fit(
        widths,
        shutil.get_terminal_size().columns,
        least={
            number: _least_width(column)
            for number, column in enumerate(zip(*lines, strict=True))
            if header[number] in {*numbers, *_WHOLE}
        },
        optional=[header.index(title) for title in optional if title in header],
    )
    has_colors = shows_colors(sys.stdout)
    # Names of runs may be those of statuses.
    every_color = {"STATUS": _COLOR_OF_STATUS, **colors} if has_colors else {}
    shown = [
        _line(
            [shorten(line[column], width) for column, width in kept.items()],
            list(kept.values()),
            [are_numbers[column] for column in kept],
            [every_color.get(header[column], {}) for column in kept],
        )
        for line in lines
    ]
    shown[0] = colored(shown[0], _BOLD if has_colors else "")
    left_out = len(header) - len(kept)
    if left_out:
        columns = "column" if left_out == 1 else "columns"
        shown.append(f"({left_out} more {columns} in --json)")
    return "\n".join(shown)


def _least_width(column: Sequence[str]) -> int:
    """The width of what is useless in part: all but the texts among the values of metrics."""
    whole = [cell for cell in column if not cell.startswith(_TEXT_STARTS)]
    return max(map(columns_of, whole), default=0)


def _line(
    cells: Sequence[str],
    widths: Sequence[int],
    are_numbers: Sequence[bool],
    colors: Sequence[Mapping[str, str]] = (),
) -> str:
    parts: list[str] = []
    for column, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        space = " " * (width - columns_of(cell))
        shown = colored(cell, colors[column].get(cell, "")) if colors else cell
        parts.append(space + shown if are_numbers[column] else shown + space)
    return "  ".join(parts).rstrip()


def colored(text: str, color: str) -> str:
    """Returns text with the escape codes of a color, and without if that is empty."""
    return f"\x1b[{color}m{text}\x1b[0m" if color else text


def is_terminal() -> bool:
    """Returns whether stdout is a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()


def fit(
    widths: Sequence[int], free: int, *, least: Mapping[int, int], optional: Sequence[int]
) -> dict[int, int]:
    """Returns the widths of the columns that fit, by their numbers.

    Args:
        widths: The widths that the columns need.
        free: The columns of the terminal.
        least: The widths below which columns are not shortened, by their numbers.
        optional: The columns that are left out first, the first one first.
    """
    columns = list(range(len(widths)))
    leaving = [*optional, *(column for column in reversed(columns) if column not in optional)]

    def width_of(column: int, most: int) -> int:
        return min(widths[column], max(most, least.get(column, 0)))

    def total(most: int) -> int:
        return sum(width_of(each, most) for each in columns) + _SPACE * (len(columns) - 1)

    while len(columns) > 1 and leaving[0] in optional and total(_LEGIBLE_CELL_WIDTH) > free:
        columns.remove(leaving.pop(0))
    while len(columns) > 1 and total(_MIN_CELL_WIDTH) > free:
        columns.remove(leaving.pop(0))
    most = min(max(widths), max(free, _MIN_CELL_WIDTH))
    while most > _MIN_CELL_WIDTH and total(most) > free:
        most -= 1
    kept = {each: width_of(each, most) for each in columns}
    # Some texts get back what the last step freed.
    spare = free - total(most)
    for column, width in kept.items():
        if spare > 0 and width < widths[column]:
            kept[column] += 1
            spare -= 1
    return kept


def shorten(text: str, width: int) -> str:
    """Returns text of up to `width` columns, with an ellipsis in the middle if it is longer."""
    if columns_of(text) <= width:
        return text
    dots = ellipsis()
    free = width - len(dots)
    start = _prefix(text, (free + 1) // 2)
    end = _prefix(text[::-1], free - columns_of(start))[::-1]
    while end and columns_of(end[0]) == 0:
        # It would combine with the ellipsis.
        end = end[1:]
    return f"{start}{dots}{end}"


def ellipsis() -> str:
    """Returns an ellipsis that stdout can encode."""
    try:
        "…".encode((sys.stdout and sys.stdout.encoding) or "utf-8")
    except UnicodeEncodeError:
        return "..."
    return "…"


def _prefix(text: str, width: int) -> str:
    """The beginning of a text, of up to `width` columns."""
    used = 0
    for index, mark in enumerate(text):
        used += columns_of(mark)
        if used > width:
            return text[:index]
    return text


def columns_of(text: str) -> int:
    """Returns the width of the text in a terminal."""
    return sum(
        0
        if mark in JOINERS or unicodedata.category(mark) in {"Mn", "Me"}
        else 2
        if unicodedata.east_asian_width(mark) in "WF"
        else 1
        for mark in text
    )
