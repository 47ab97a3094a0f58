"""The command that shows a run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import afnio_tellurio as te
from afnio_tellurio.cli.arguments import Commands, metric_names, path_type, require_metrics
from afnio_tellurio.cli.printing import (
    MAX_CHART_WIDTH,
    chart,
    format_date,
    metric_facts,
    run_duration,
    run_facts,
    short,
    table,
    username,
)

if TYPE_CHECKING:
    import argparse


#: Each chart is a request, and fills a part of the terminal.
_MAX_CHARTS = 20


def add_commands(commands: Commands) -> None:
    """Adds `show`."""
    show = commands.add_parser(
        "show",
        help="show a run and its metrics",
        epilog="example: afnio-tellurio show acme/digits/brave_pasta_123",
    )
    show.add_argument("run", metavar="NAMESPACE/PROJECT/RUN", type=path_type(3))
    show.add_argument(
        "--metrics", metavar="A,B", type=metric_names, help="only these metrics, with their charts"
    )
    show.add_argument("--json", action="store_true", help="print JSON")
    show.set_defaults(command=_show)


def _show(options: argparse.Namespace) -> int:
    run = te.get_run(*options.run)
    summary = run.summary()
    if options.metrics is not None:
        require_metrics(options.metrics, summary, f"Run {run.name!r} has no metric")
        summary = {name: summary[name] for name in options.metrics}
    if options.json:
        metrics = {name: metric_facts(metric) for name, metric in summary.items()}
        print(json.dumps({**run_facts(run), "metrics": metrics}, indent=2))
        return 0
    facts = [
        ["run", run.name],
        ["uuid", run.uuid],
        ["status", run.status.value],
        ["created", format_date(run.date_created)],
        ["duration", run_duration(run)],
        ["user", username(run)],
        ["description", run.description or ""],
    ]
    print(table([], [fact for fact in facts if fact[1]]))
    rows = [
        [
            name,
            str(metric.count),
            short(metric.last),
            short(metric.minimum),
            short(metric.maximum),
        ]
        for name, metric in summary.items()
    ]
    print()
    print(table(["METRIC", "COUNT", "LAST", "MINIMUM", "MAXIMUM"], rows))
    with_numbers = [name for name, metric in summary.items() if metric.minimum is not None]
    drawn = with_numbers if options.metrics is not None else with_numbers[:_MAX_CHARTS]
    for name in drawn:
        drawing = chart(name, *run.curve(name, MAX_CHART_WIDTH * 2))
        if drawing:
            print(f"\n{drawing}")
    left = len(with_numbers) - len(drawn)
    if left:
        print(f"\n{left} more charts; choose some with --metrics A,B")
    return 0
