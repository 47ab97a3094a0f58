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

_CHART_HEIGHT = 9
MAX_CHART_WIDTH = 80
#: Of a value that is no number, this many characters are shown.
_VALUE_WIDTH = 60


def complain(text: str, end: str = "\n") -> None:
    """Says on standard error what is no output; where there is none, nobody."""
    if sys.stderr:
        # Where it takes nothing more there is nobody to tell, and the exit status says it.
        with suppress(OSError):
            print(text, end=end, file=sys.stderr, flush=True)


def table(header: list[str], rows: list[list[str]]) -> str:
    """Rows as columns as wide as their widest cell, under a header where there is one."""
    lines = [[printable(cell) for cell in line] for line in [header, *rows] if line]
    widths = [max(map(columns_of, column)) for column in zip(*lines, strict=True)]
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
    if not lines:
        return ""
    # Any: it has no types.
    plotext: Any = import_module("plotext")
    plotext.clear_figure()
    columns = shutil.get_terminal_size((MAX_CHART_WIDTH, 24)).columns
    plotext.plot_size(min(columns, MAX_CHART_WIDTH), _CHART_HEIGHT)
    plotext.theme("clear")
    plotext.title(printable(title))
    for line in lines:
        plotext.plot(line.steps, line.values, marker=line.mark)
    first = min(line.steps[0] for line in lines)
    last = max(line.steps[-1] for line in lines)
    plotext.xticks(sorted({first + (last - first) * tick // 4 for tick in range(5)}))
    drawn: str = plotext.uncolorize(plotext.build())
    return drawn.rstrip("\n")


def printable(text: str) -> str:
    """The text without what could steer a terminal: names are whatever somebody chose."""
    return "".join(
        "�" if unicodedata.category(mark) in {"Cc", "Cf", "Cs"} else mark for mark in text
    )


def columns_of(text: str) -> int:
    """How many columns of a terminal the text takes."""
    return sum(
        0 if unicodedata.combining(mark) else 2 if unicodedata.east_asian_width(mark) in "WF" else 1
        for mark in text
    )


def short(value: Any) -> str:
    """A value in few characters."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    # Not at the top: it takes 30 ms, and most of the parsing of arguments is done without.
    from afnio_tellurio.validation import encoded_value

    text = json.dumps(encoded_value(value), ensure_ascii=False)
    return text if len(text) <= _VALUE_WIDTH else f"{text[: _VALUE_WIDTH - 3]}..."


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
