"""The command that compares runs."""

from __future__ import annotations

import json
import string
from typing import TYPE_CHECKING

import afnio_tellurio as te
from afnio_tellurio.cli.arguments import Commands, metric_names, place_of
from afnio_tellurio.cli.printing import (
    MAX_CHART_WIDTH,
    Line,
    chart_of,
    metric_facts,
    run_facts,
    short,
    table,
)

if TYPE_CHECKING:
    import argparse

#: What draws the line of each run.
_MARKS = string.ascii_lowercase


def add_commands(commands: Commands) -> None:
    """Adds `compare`."""
    compare = commands.add_parser(
        "compare",
        help="compare runs by their metrics",
        epilog="example: afnio-tellurio compare acme/digits/first acme/digits/second",
    )
    compare.add_argument(
        "runs", metavar="NAMESPACE/PROJECT/RUN", nargs="+", type=place_of(3), help="two or more"
    )
    compare.add_argument("--metrics", metavar="A,B", type=metric_names, help="only these metrics")
    compare.add_argument("--json", action="store_true", help="print JSON")
    compare.set_defaults(command=_compare, usage=compare)


def _compare(options: argparse.Namespace) -> int:
    if not 1 < len(options.runs) <= len(_MARKS):
        options.usage.error(f"give from two to {len(_MARKS)} runs")
    runs = [te.get_run(*place) for place in options.runs]
    summaries = [run.summary() for run in runs]
    there = sorted({name for summary in summaries for name in summary})
    names = there if options.metrics is None else options.metrics
    missing = [name for name in names if name not in there]
    if missing:
        raise LookupError(f"no run has the metric {missing[0]!r}")
    if options.json:
        facts = [
            run_facts(run) | {"metrics": {n: metric_facts(found[n]) for n in names if n in found}}
            for run, found in zip(runs, summaries, strict=True)
        ]
        print(json.dumps(facts, indent=2))
        return 0
    rows = [["status", "", *(run.status.value for run in runs)]]
    for name in names:
        for position, part in enumerate(("last", "minimum", "maximum")):
            cells = [
                short(getattr(found[name], part)) if name in found else "-" for found in summaries
            ]
            rows.append([name if position == 0 else "", part, *cells])
    headings = [f"{mark}: {run.name}" for mark, run in zip(_MARKS, runs, strict=False)]
    print(table(["METRIC", "", *headings], rows))
    for name in names:
        lines = [
            Line(mark, *run.curve(name, MAX_CHART_WIDTH * 2))
            for mark, run, found in zip(_MARKS, runs, summaries, strict=False)
            if name in found and found[name].minimum is not None
        ]
        drawn = chart_of(name, lines)
        if drawn:
            print(f"\n{drawn}")
    return 0
