"""The runs and curves of a view, within bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from afnio_tellurio.api.entities import RunStatus
from afnio_tellurio.filters.names import near_names
from afnio_tellurio.overviews import check_existence, read_curves, summaries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from afnio_tellurio.api.metrics import MetricCurve
    from afnio_tellurio.tracking.run import Run

#: Runs and metrics of one view, at most; and the points of all its lines, and of one of them.
MAX_RUNS = 50
MAX_METRICS = 24
_MAX_POINTS = 40_000
_BUCKETS = 400


@attrs.frozen
class ShownCurves:
    """What a view shows.

    Attributes:
        runs: The runs, as they are now.
        names: The metrics, one for each chart.
        lines: The lines of each chart, by the index of their run.
        hidden_runs: How many more runs there are.
        hidden_names: How many more metrics there are.
    """

    runs: list[Run]
    names: list[str]
    lines: dict[str, dict[int, MetricCurve]]
    hidden_runs: int
    hidden_names: int


def read_shown(
    runs: Sequence[Run], names: Sequence[str], *, are_required: bool = True
) -> ShownCurves:
    """Reads what a view shows.

    Args:
        runs: The runs.
        names: The metrics; empty for all that have numbers.
        are_required: Whether a run must have each of the names, once there are values.

    Raises:
        ValueError: No run has a metric of such a name.
        NotFoundError: A run does not exist, and metrics are required.
    """
    shown_runs = list(runs[:MAX_RUNS])
    summarized = summaries(shown_runs)
    if are_required:
        check_existence([run for run in shown_runs if not summarized[run.uuid]])
    by_run = summarized.values()
    logged = sorted({name for metrics in by_run for name in metrics})
    missing = [name for name in names if name not in logged]
    # A view may be opened before a run logs its first value.
    is_early = not logged and any(run.status == RunStatus.RUNNING for run in shown_runs)
    if missing and are_required and not is_early:
        near = near_names(missing[0], logged)
        raise ValueError(f"show: no metric {missing[0]!r}; {near}")
    wanted = list(dict.fromkeys(names)) or [
        name
        for name in logged
        if any(name in metrics and metrics[name].minimum is not None for metrics in by_run)
    ]
    shown = wanted[:MAX_METRICS]
    return ShownCurves(
        runs=shown_runs,
        names=shown,
        lines=_read_lines(shown_runs, shown),
        hidden_runs=len(runs) - len(shown_runs),
        hidden_names=len(wanted) - len(shown),
    )


def read_part(shown: ShownCurves, first: int, last: int) -> dict[str, dict[int, MetricCurve]]:
    """Reads the lines of a view from the first to the last step, with finer points.

    Returns:
        The lines of each chart, by the index of their run.
    """
    return _read_lines(shown.runs, shown.names, (first, last))


def _read_lines(
    runs: Sequence[Run], names: Sequence[str], steps: tuple[int, int] | None = None
) -> dict[str, dict[int, MetricCurve]]:
    lines: dict[str, dict[int, MetricCurve]] = {name: {} for name in names}
    if names:
        indexes = {run.uuid: index for index, run in enumerate(runs)}
        buckets = min(_BUCKETS, _MAX_POINTS // max(1, len(runs) * len(names)))
        for curve in read_curves(runs, names, buckets, steps):
            lines[curve.name][indexes[curve.run_uuid]] = curve
    return lines
