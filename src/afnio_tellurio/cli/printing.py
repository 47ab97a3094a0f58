"""How things are printed: tables, charts, times, and names that nobody has vetted."""

from __future__ import annotations

import json
import shutil
import sys
import unicodedata
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import afnio_tellurio as te

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

_CHART_HEIGHT = 8
MAX_CHART_WIDTH = 80
#: What draws charts shows nothing in less.
_MIN_CHART_WIDTH = 24
#: And it fails at numbers that lie further apart than this, or, where they differ, closer.
_MAX_SPREAD, _MIN_SPREAD = 1e300, 1e-300
#: Of a value that is no number, this many characters are shown.
_VALUE_WIDTH = 60
#: A longer cell moves the rest of its own line, and no other.
_CELL_WIDTH = 40
#: Persian words and family emoji are written with them, and they steer nothing.
_JOINERS = "\u200c\u200d"


def complain(text: str, end: str = "\n") -> None:
    """Says on standard error what is no output; where there is none, nobody."""
    if sys.stderr:
        # Where it takes nothing more there is nobody to tell, and the exit status says it.
        with suppress(OSError):
            print(text, end=end, file=sys.stderr, flush=True)


def table(header: list[str], rows: list[list[str]]) -> str:
    """Rows as columns as wide as their widest cell, up to a limit, under a header if any."""
    lines = [[printable(cell) for cell in line] for line in [header, *rows] if line]
    widths = [min(max(map(columns_of, column)), _CELL_WIDTH) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell + " " * (width - columns_of(cell))
            for cell, width in zip(line, widths, strict=True)
        ).rstrip()
        for line in lines
    )


class Line(NamedTuple):
    """What a chart draws with one mark.

    Attributes:
        mark: The character, or what plotext calls a marker.
        steps: The steps, in order.
        values: The finite values at them.
    """

    mark: str
    steps: list[int]
    values: list[float]


def chart(title: str, steps: list[int], values: list[float]) -> str:
    """A line drawn with characters; nothing where there is none to draw."""
    return chart_of(title, [Line("braille", steps, values)])


def chart_of(title: str, lines: Sequence[Line]) -> str:
    """Lines over each other, drawn with characters; nothing where there is none to draw."""
    lines = [line for line in lines if len(line.steps) > 1]
    if not lines or not _can_be_drawn(lines):
        return ""
    # Any: it has no types.
    plotext: Any = import_module("plotext")
    plotext.clear_figure()
    columns = shutil.get_terminal_size((MAX_CHART_WIDTH, 24)).columns
    columns = max(min(columns, MAX_CHART_WIDTH), _MIN_CHART_WIDTH)
    plotext.plot_size(columns, _CHART_HEIGHT)
    plotext.theme("clear")
    for line in lines:
        plotext.plot(line.steps, line.values, marker=line.mark)
    first = min(line.steps[0] for line in lines)
    last = max(line.steps[-1] for line in lines)
    plotext.xticks(sorted({first + (last - first) * tick // 4 for tick in range(5)}))
    drawn: str = plotext.uncolorize(plotext.build())
    # Not as plotext does it, which cuts a title that is too long and knows no wide characters.
    title = printable(title)
    heading = " " * ((columns - columns_of(title)) // 2) + title
    return "\n".join([heading, *(line.rstrip() for line in drawn.rstrip("\n").splitlines())])


def _can_be_drawn(lines: Sequence[Line]) -> bool:
    numbers = [value for line in lines for value in line.values]
    spread = max(numbers) - min(numbers)
    if not (spread == 0 or _MIN_SPREAD < spread < _MAX_SPREAD):
        return False
    try:
        "⣀┤".encode(sys.stdout.encoding if sys.stdout else "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def printable(text: str) -> str:
    """The text without what could steer a terminal: names are whatever somebody chose."""
    return "".join(
        "�"
        if unicodedata.category(mark) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and mark not in _JOINERS
        else mark
        for mark in text
    )


def columns_of(text: str) -> int:
    """How many columns of a terminal the text takes."""
    return sum(
        0
        if mark in _JOINERS or unicodedata.category(mark) in {"Mn", "Me"}
        else 2
        if unicodedata.east_asian_width(mark) in "WF"
        else 1
        for mark in text
    )


def short(value: Any, width: int = _VALUE_WIDTH) -> str:
    """A value in few characters: a number as it is, anything else in so many."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    # Not at the top: it takes 30 ms, and most of the parsing of arguments is done without.
    from afnio_tellurio.validation import encoded_value

    text = json.dumps(encoded_value(value), ensure_ascii=False)
    return text if len(text) <= width else f"{text[: width - 3]}..."


def when(date: dt.datetime | None) -> str:
    """A time as a person here writes it."""
    return date.astimezone().strftime("%Y-%m-%d %H:%M:%S") if date else "-"


def duration(run: te.Run) -> str:
    """How long a run took."""
    if run.date_created is None or run.date_updated is None or run.status == te.RunStatus.RUNNING:
        return "-"
    seconds = (run.date_updated - run.date_created).total_seconds()
    if seconds < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def username(run: te.Run) -> str:
    """Who created a run."""
    return run.user.username if run.user else "-"


def run_facts(run: te.Run) -> dict[str, Any]:
    """A run as JSON has it."""
    return {
        "uuid": run.uuid,
        "name": run.name,
        "description": run.description,
        "status": run.status.value,
        "date_created": run.date_created and run.date_created.isoformat(),
        "date_updated": run.date_updated and run.date_updated.isoformat(),
        "user": run.user and run.user.username,
    }


def metric_facts(metric: te.MetricSummary) -> dict[str, Any]:
    """A metric in short as JSON has it."""
    from afnio_tellurio.validation import encoded_value

    last = metric.last_timestamp
    return {
        "count": metric.count,
        "first_step": metric.first_step,
        "last_step": metric.last_step,
        "last": encoded_value(metric.last),
        "minimum": encoded_value(metric.minimum),
        "maximum": encoded_value(metric.maximum),
        "last_timestamp": last and last.isoformat(),
    }
