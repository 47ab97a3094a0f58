"""Formats output: charts, dates, values, and names that may contain control characters."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import sys
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import afnio_tellurio as te
from afnio_tellurio.cli.layout import columns_of
from afnio_tellurio.notices import duration, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

_CHART_HEIGHT = 8
MAX_CHART_WIDTH = 80
#: plotext draws nothing in a narrower chart.
_MIN_CHART_WIDTH = 32
#: plotext fails if the range of the values is larger than this, or smaller but not 0.
_MAX_SPREAD, _MIN_SPREAD = 1e300, 1e-300
#: Characters shown of a value that isn't a number.
_VALUE_WIDTH = 60


def complain(text: str, end: str = "\n") -> None:
    """Prints a message to stderr, if possible."""
    if sys.stderr:
        # If stderr can't be written, the exit status still shows the failure.
        with suppress(OSError):
            print(text, end=end, file=sys.stderr, flush=True)


class Line(NamedTuple):
    """A line of a chart.

    Attributes:
        mark: The character, or the name of a plotext marker.
        steps: The steps, in ascending order.
        values: The value at each step; all are finite.
        color_number: Its number in the table of 256 colors, if it has one.
    """

    mark: str
    steps: list[int]
    values: list[float]
    color_number: int | None = None


def chart(title: str, steps: list[int], values: list[float], first_step: int | None = None) -> str:
    """Returns a chart of one line, or an empty string if nothing can be drawn."""
    return chart_of(title, [Line("braille", steps, values)], first_step)


def chart_of(title: str, lines: Sequence[Line], first_step: int | None = None) -> str:
    """Returns a chart of overlaid lines, or an empty string if nothing can be drawn.

    Args:
        title: What is drawn.
        lines: The lines.
        first_step: Where the axis starts; default at the first point. The points of a long metric
            are at the ends of ranges of steps.
    """
    lines = [line for line in lines if len(line.steps) > 1]
    if not lines or not _can_be_drawn(lines):
        return ""
    # Any: plotext has no type hints.
    plotext: Any = import_module("plotext")
    plotext.clear_figure()
    columns = shutil.get_terminal_size((MAX_CHART_WIDTH, 24)).columns
    columns = max(min(columns, MAX_CHART_WIDTH), _MIN_CHART_WIDTH)
    # Otherwise plotext omits everything that doesn't fit in a small terminal.
    plotext.limit_size(False, False)  # noqa: FBT003 - positional in plotext
    plotext.plot_size(columns, _CHART_HEIGHT)
    plotext.theme("clear")
    for line in lines:
        plotext.plot(line.steps, line.values, marker=line.mark, color=line.color_number)
    first = min(line.steps[0] for line in lines)
    first = first if first_step is None else min(first, first_step)
    last = max(line.steps[-1] for line in lines)
    plotext.xlim(first, last)
    plotext.xticks(sorted({first + (last - first) * tick // 4 for tick in range(5)}))
    plotext.yticks(*_value_ticks([value for line in lines for value in line.values]))
    drawing: str = plotext.build()
    if all(line.color_number is None for line in lines):
        drawing = plotext.uncolorize(drawing)
    # plotext's own title truncates long text and ignores wide characters.
    title = printable(title)
    heading = " " * ((columns - columns_of(title)) // 2) + title
    return "\n".join([heading, *(line.rstrip() for line in drawing.rstrip("\n").splitlines())])


def _value_ticks(numbers: Sequence[float]) -> tuple[list[float], list[str]]:
    """Returns tick positions and labels; plotext would print 1e-9 with all its zeros."""
    low, high = min(numbers), max(numbers)
    ticks = [low + (high - low) * row / 4 for row in range(5)] if low < high else [low]
    labels: list[str] = []
    # Use the fewest digits that make the labels distinct; 17 digits always do.
    for digits in range(3, 18):
        labels = [f"{tick:.{digits}g}" for tick in ticks]
        if len(set(labels)) == len(set(ticks)):
            break
    return ticks, labels


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


def short(value: Any, width: int = _VALUE_WIDTH) -> str:
    """Returns a float with six digits, and any other value as JSON of up to `width` characters."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    # Imported here: it takes 30 ms, and parsing arguments doesn't need it.
    from afnio_tellurio.validation import json_value

    return short_json(json_value(value), width)


def short_json(value: Any, width: int = _VALUE_WIDTH) -> str:
    """Returns JSON of up to `width` characters; unlike `short`, with all digits of a float."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= width else f"{text[: width - 3]}..."


def format_date(date: dt.datetime | None) -> str:
    """Returns a date in local time, or `-`."""
    return date.astimezone().strftime("%Y-%m-%d %H:%M:%S") if date else "-"


def run_duration(run: te.Run) -> str:
    """Returns how long a run took, or has taken until now if it is running, or `-`."""
    # Not every backend keeps when a run ended.
    ended = run.date_ended or run.date_updated
    if run.status == te.RunStatus.RUNNING:
        ended = dt.datetime.now(dt.UTC)
    if run.date_created is None or ended is None:
        return "-"
    return duration(max(0.0, (ended - run.date_created).total_seconds()))


def value_count(count: int) -> str:
    """Returns a number of values in words, such as `1 value`."""
    return "1 value" if count == 1 else f"{count} values"


def file_count(count: int) -> str:
    """Returns a number of files in words, such as `1 file`."""
    return "1 file" if count == 1 else f"{count:,} files"


def username(run: te.Run) -> str:
    """Returns the name of the user who created a run, or `-`."""
    return run.user.username if run.user else "-"


def run_facts(run: te.Run) -> dict[str, Any]:
    """Returns the fields of a run for JSON output, without those that a list of runs lacks."""
    because = run.ended_because
    return {
        "uuid": run.uuid,
        "name": run.name,
        "description": run.description,
        "status": run.status.value,
        "date_created": run.date_created and run.date_created.isoformat(),
        "date_updated": run.date_updated and run.date_updated.isoformat(),
        "date_ended": run.date_ended and run.date_ended.isoformat(),
        "ended_because": because
        and {
            "kind": because.kind,
            "type": because.type,
            "message": because.message,
            "signal": because.signal,
            "traceback": because.traceback,
        },
        "user": run.user and run.user.username,
        "tags": list(run.tags),
        "group": run.group,
        "job_type": run.job_type,
        "notes": run.notes,
        "parent_uuid": run.parent_uuid,
        "config": run.config,
    }


def metric_facts(metric: te.MetricSummary) -> dict[str, Any]:
    """Returns the summary of a metric for JSON output."""
    from afnio_tellurio.validation import json_value

    last = metric.last_timestamp
    return {
        "count": metric.count,
        "first_step": metric.first_step,
        "last_step": metric.last_step,
        "last": json_value(metric.last),
        "minimum": json_value(metric.minimum),
        "maximum": json_value(metric.maximum),
        "last_timestamp": last and last.isoformat(),
    }
