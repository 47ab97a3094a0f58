"""Curves in a notebook: SVG, which needs no script, no network and no server."""

from __future__ import annotations

import importlib
import math
import sys
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING, Any

from afnio_tellurio.notices import printable
from afnio_tellurio.overviews import curves, summaries
from afnio_tellurio.tracking.run import Run
from afnio_tellurio.validation import checked_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from afnio_tellurio.api.metrics import MetricCurve

#: Points of one line, and the size of one chart in units of the drawing.
_BUCKETS = 400
_WIDTH, _HEIGHT = 380, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 370, 26, 186
_TICKS = 5
#: Hues that everyone can tell apart, color-blind or not, on white and on black; then dash patterns.
_HUES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#7b61d1", "#9a7d0a", "#2a9dc9", "#7a7f87")
_DASHES = ("none", "7 4", "2 3", "10 3 2 3")


def show(run: Run | Iterable[Run], *names: str) -> None:
    """Displays the curves of one run, or the overlaid curves of several, in a notebook.

    The picture is SVG: it stays in the notebook when you share it, and needs no server.

    Args:
        run: The run, or several.
        names: The metrics to draw; default: all that have numbers.

    Raises:
        TypeError: A name is not a string.
        ValueError: A name is empty or too long, there are no runs, or no run has such a metric.
        RuntimeError: The code does not run in a notebook.
        ApiError: The backend answered with an error.
        BackendUnreachableError: The backend could not be reached.
        InvalidResponseError: The backend's response is invalid.
    """
    names = tuple(checked_name("show", "metric name", name) for name in names)
    display = _find_display()
    runs = _runs_of(run)
    drawing = draw_curves(runs, names)
    display({"text/html": drawing, "text/plain": f"<curves of {_names(runs)}>"}, raw=True)


def _find_display() -> Any:
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None or not hasattr(shell, "kernel"):
        raise RuntimeError("show: this is not a notebook; in a terminal, use: afnio-tellurio show")
    return importlib.import_module("IPython.display").display


def _runs_of(run: Run | Iterable[Run]) -> list[Run]:
    runs = [run] if isinstance(run, Run) else list(run)
    if not runs:
        raise ValueError("show: no runs; pass one run or several")
    return runs


def _names(runs: Sequence[Run]) -> str:
    return printable(", ".join(run.name for run in runs))


def draw_curves(runs: Sequence[Run], names: Sequence[str]) -> str:
    """Draws the curves as HTML: one chart for each metric, and a legend of the runs.

    Raises:
        ValueError: No run has a metric of such a name.
    """
    by_run = summaries(runs).values()
    logged = sorted({name for metrics in by_run for name in metrics})
    missing = [name for name in names if name not in logged]
    if missing:
        raise ValueError(
            f"show: no metric {missing[0]!r}; logged metrics: {', '.join(logged) or 'none'}"
        )
    shown = names or [
        name
        for name in logged
        if any(name in metrics and metrics[name].minimum is not None for metrics in by_run)
    ]
    lines: dict[str, dict[int, MetricCurve]] = {name: {} for name in shown}
    indexes = {run.uuid: index for index, run in enumerate(runs)}
    for curve in curves(runs, *shown, buckets=_BUCKETS):
        lines[curve.name][indexes[curve.run_uuid]] = curve
    charts = [_draw_chart(name, lines[name]) for name in shown]
    legend = "".join(
        f'<span style="margin-right:1.2em"><svg width="26" height="8" aria-hidden="true">'
        f'<line x1="0" y1="4" x2="26" y2="4" {_stroke(index)}/></svg> '
        f"<bdi>{escape(printable(run.name))}</bdi> {escape(run.status.value.lower())}</span>"
        for index, run in enumerate(runs)
    )
    body = "".join(charts) or "<p>No numeric metrics yet.</p>"
    return (
        f'<div style="display:flex;flex-wrap:wrap;gap:8px">{body}</div>'
        f'<div style="font:12px system-ui,sans-serif">{legend}</div>'
    )


def _stroke(index: int) -> str:
    dash = _DASHES[(index + index // len(_HUES)) % len(_DASHES)]
    hue = _HUES[index % len(_HUES)]
    return f'fill="none" stroke="{hue}" stroke-width="1.5" stroke-dasharray="{dash}"'


def _draw_chart(name: str, lines: Mapping[int, MetricCurve]) -> str:
    finite = [value for line in lines.values() for value in line.values if math.isfinite(value)]
    across = _Scale([step for line in lines.values() for step in line.steps], _LEFT, _RIGHT)
    up = _Scale(finite, _BOTTOM, _TOP)
    grid = "".join(
        f'<line x1="{_LEFT}" x2="{_RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#8883"/>'
        f'<text x="{_LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{tick:.5g}</text>'
        for tick in up.ticks()
        for y in [up(tick)]
    ) + "".join(
        f'<text x="{across(tick):.1f}" y="{_HEIGHT - 8}" text-anchor="middle">{tick:.7g}</text>'
        for tick in across.ticks()
    )
    polylines = "".join(
        f'<polyline points="{points}" {_stroke(index)}/>'
        for index, line in lines.items()
        for points in _parts(line, across, up)
    )
    title = escape(printable(name))
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" role="img" '
        f'style="font:11px system-ui,sans-serif;fill:currentColor"><title>{title}</title>'
        f'<text x="{_LEFT}" y="14" font-weight="bold">{title}</text>{grid}{polylines}</svg>'
    )


def _parts(line: MetricCurve, across: _Scale, up: _Scale) -> Iterator[str]:
    """The points of a line, split where a value is NaN or infinite."""
    pairs = zip(line.steps, line.values, strict=True)
    for is_finite, group in groupby(pairs, key=lambda pair: math.isfinite(pair[1])):
        if is_finite:
            points = [f"{across(step):.1f},{up(value):.1f}" for step, value in group]
            # A polyline of one point is invisible.
            yield " ".join(points * 2 if len(points) == 1 else points)


class _Scale:
    """Maps values to coordinates on an axis."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        self._low = float(min(values, default=0.0))
        self._high = float(max(values, default=1.0))
        if self._low == self._high:
            # A single value needs a range around it.
            room = abs(self._low) / 2 or 1.0
            self._low, self._high = self._low - room, self._high + room
        self._start, self._end = start, end

    def __call__(self, value: float) -> float:
        # Halved before the subtraction: the difference of two doubles can overflow.
        share = (value / 2 - self._low / 2) / (self._high / 2 - self._low / 2)
        return self._start + share * (self._end - self._start)

    def ticks(self) -> list[float]:
        """About five round numbers."""
        width = self._high / _TICKS - self._low / _TICKS
        if not math.isfinite(width) or width <= 0:
            return [self._low, self._high]
        magnitude = 10.0 ** math.floor(math.log10(width))
        if not magnitude:
            return [self._low, self._high]
        step = magnitude * next(
            digit for digit in (1, 2, 5, 10) if width <= digit * magnitude * 1.0001
        )
        first = math.ceil(self._low / step)
        last = math.floor(self._high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]
