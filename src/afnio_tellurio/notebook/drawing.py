"""Curves as SVG, which needs no script, no network and no server."""

from __future__ import annotations

import math
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING

from afnio_tellurio.notices import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from afnio_tellurio.api.metrics import MetricCurve
    from afnio_tellurio.notebook.shown_curves import ShownCurves

#: The size of one chart in units of the drawing.
_WIDTH, _HEIGHT = 380, 226
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 370, 26, 186
_TICKS = 5
#: Hues that everyone can tell apart, color-blind or not, on white and on black; then dash patterns.
_HUES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#7b61d1", "#9a7d0a", "#2a9dc9", "#7a7f87")
_DASHES = ("none", "7 4", "2 3", "10 3 2 3")


def draw_curves(shown: ShownCurves) -> str:
    """Draws curves as HTML: one chart for each metric, and a legend of the runs."""
    charts = [_draw_chart(name, shown.lines[name]) for name in shown.names]
    legend = "".join(
        f'<span style="margin-right:1.2em"><svg width="26" height="8" aria-hidden="true">'
        f'<line x1="0" y1="4" x2="26" y2="4" {_stroke(index)}/></svg> '
        f"<bdi>{escape(printable(run.name))}</bdi> {escape(run.status.value.lower())}</span>"
        for index, run in enumerate(shown.runs)
    )
    body = "".join(charts) or "<p>No numeric metrics yet.</p>"
    return (
        f'<div style="display:flex;flex-wrap:wrap;gap:8px">{body}</div>'
        f'<div style="font:12px system-ui,sans-serif">{legend}{describe_hidden(shown)}</div>'
    )


def describe_hidden(shown: ShownCurves) -> str:
    """How many runs and metrics a view leaves out, or nothing."""
    hidden = {"run": shown.hidden_runs, "metric": shown.hidden_names}
    counts = [f"{count} more {what}{'s' * (count > 1)}" for what, count in hidden.items() if count]
    return f"{' and '.join(counts)} not shown." if counts else ""


def _stroke(index: int) -> str:
    dash = _DASHES[(index + index // len(_HUES)) % len(_DASHES)]
    return f'fill="none" stroke="{_hue(index)}" stroke-width="1.5" stroke-dasharray="{dash}"'


def _hue(index: int) -> str:
    return _HUES[index % len(_HUES)]


def _draw_chart(name: str, lines: Mapping[int, MetricCurve]) -> str:
    finite = [value for line in lines.values() for value in line.values if math.isfinite(value)]
    across = _Scale([step for line in lines.values() for step in line.steps], _LEFT, _RIGHT)
    up = _Scale(finite, _BOTTOM, _TOP)
    axis = (
        f'<line x1="{_LEFT}" x2="{_RIGHT}" y1="{_BOTTOM}" y2="{_BOTTOM}" stroke="#888"/>'
        f'<text x="{(_LEFT + _RIGHT) / 2}" y="{_HEIGHT - 6}" text-anchor="middle">Step</text>'
    )
    grid = "".join(
        f'<line x1="{_LEFT}" x2="{_RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#8883"/>'
        f'<text x="{_LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{tick:.5g}</text>'
        for tick in up.ticks()
        for y in [up(tick)]
    ) + "".join(
        f'<text x="{across(tick):.1f}" y="{_BOTTOM + 16}" text-anchor="middle">{tick:.7g}</text>'
        for tick in across.ticks()
        if tick >= 0 and tick.is_integer()
    )
    parts = "".join(
        _draw_part(points, index)
        for index, line in lines.items()
        for points in _parts(line, across, up)
    )
    title = escape(printable(name))
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" role="img" '
        f'style="font:11px system-ui,sans-serif;fill:currentColor"><title>{title}</title>'
        f'<text x="{_LEFT}" y="14" font-weight="bold">{title}</text>{grid}{axis}{parts}</svg>'
    )


def _draw_part(points: Sequence[tuple[float, float]], index: int) -> str:
    if len(points) == 1:
        # A line of one point is invisible.
        ((x, y),) = points
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{_hue(index)}"/>'
    places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{places}" {_stroke(index)}/>'


def _parts(line: MetricCurve, across: _Scale, up: _Scale) -> Iterator[list[tuple[float, float]]]:
    """The points of a line, split where a value is NaN or infinite."""
    pairs = zip(line.steps, line.values, strict=True)
    for is_finite, group in groupby(pairs, key=lambda pair: math.isfinite(pair[1])):
        if is_finite:
            yield [(across(step), up(value)) for step, value in group]


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
