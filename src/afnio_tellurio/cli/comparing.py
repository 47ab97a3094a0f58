"""The command that compares runs."""

from __future__ import annotations

import json
import shutil
import string
import sys
from typing import TYPE_CHECKING

import afnio_tellurio as te
from afnio_tellurio.cli.arguments import Commands, metric_names, place_of
from afnio_tellurio.cli.printing import (
    MAX_CHART_WIDTH,
    Line,
    chart_of,
    columns_of,
    duration,
    metric_facts,
    run_facts,
    short,
    table,
    when,
)

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

#: What draws the line of each run.
_MARKS = string.ascii_lowercase
_PARTS = ("last", "minimum", "maximum")
#: Of a value that is no number, this many characters are shown.
_VALUE_WIDTH = 20


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
    legend = [
        [mark, run.name, run.status.value, when(run.date_created), duration(run)]
        for mark, run in zip(_MARKS, runs, strict=False)
    ]
    print(table(["", "RUN", "STATUS", "CREATED", "DURATION"], legend))
    _print_metrics(names, summaries)
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


def _print_metrics(
    names: Sequence[str], summaries: Sequence[Mapping[str, te.MetricSummary]]
) -> None:
    """Prints the metrics side by side: in a terminal, as many runs at once as fit."""
    headers = [[name if part == _PARTS[0] else "", part] for name in names for part in _PARTS]
    columns = [
        [mark]
        + [
            short(getattr(found[name], part), _VALUE_WIDTH) if name in found else "-"
            for name in names
            for part in _PARTS
        ]
        for mark, found in zip(_MARKS, summaries, strict=False)
    ]
    at_once = len(columns)
    if names and sys.stdout and sys.stdout.isatty():
        taken = max(columns_of(name) for name in ["METRIC", *names]) + len(f"  {_PARTS[1]}")
        widest = max(len(cell) for column in columns for cell in column) + 2
        at_once = max((shutil.get_terminal_size().columns - taken) // widest, 1)
    for start in range(0, len(columns), at_once):
        marks, *rows = zip(*columns[start : start + at_once], strict=True)
        lines = [header + list(row) for header, row in zip(headers, rows, strict=True)]
        print(f"\n{table(['METRIC', '', *marks], lines)}")
