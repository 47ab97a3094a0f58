"""The commands that look at runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import afnio_tellurio as te
from afnio_tellurio.cli.arguments import Commands, place_of
from afnio_tellurio.cli.printing import (
    MAX_CHART_WIDTH,
    chart,
    duration,
    short,
    table,
    username,
    when,
)
from afnio_tellurio.validation import encoded_value

if TYPE_CHECKING:
    import argparse


def add_commands(commands: Commands) -> None:
    """Adds `runs` and `show`."""
    runs = commands.add_parser(
        "runs", help="list the runs of a project", epilog="example: afnio-tellurio runs acme/digits"
    )
    runs.add_argument("project", metavar="NAMESPACE/PROJECT", type=place_of(2))
    runs.add_argument("--json", action="store_true", help="print JSON")
    runs.set_defaults(command=_runs)

    show = commands.add_parser(
        "show",
        help="show a run and its metrics",
        epilog="example: afnio-tellurio show acme/digits/brave_pasta_123",
    )
    show.add_argument("run", metavar="NAMESPACE/PROJECT/RUN", type=place_of(3))
    show.add_argument("--json", action="store_true", help="print JSON")
    show.set_defaults(command=_show)


def _runs(options: argparse.Namespace) -> int:
    found = te.runs(*options.project)
    if options.json:
        print(json.dumps([_run_facts(run) for run in found], indent=2))
        return 0
    rows = [
        [run.name, run.status.value, when(run.date_created), duration(run), username(run)]
        for run in found
    ]
    print(table(["RUN", "STATUS", "CREATED", "DURATION", "USER"], rows))
    return 0


def _show(options: argparse.Namespace) -> int:
    run = te.get_run(*options.run)
    summary = run.summary()
    if options.json:
        metrics = {name: _metric_facts(metric) for name, metric in summary.items()}
        print(json.dumps({**_run_facts(run), "metrics": metrics}, indent=2))
        return 0
    facts = [
        ["run", run.name],
        ["uuid", run.uuid],
        ["status", run.status.value],
        ["created", when(run.date_created)],
        ["duration", duration(run)],
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
    for name, metric in summary.items():
        if metric.minimum is not None:
            drawn = chart(name, *run.curve(name, MAX_CHART_WIDTH * 2))
            if drawn:
                print(f"\n{drawn}")
    return 0


def _run_facts(run: te.Run) -> dict[str, Any]:
    return {
        "uuid": run.uuid,
        "name": run.name,
        "description": run.description,
        "status": run.status.value,
        "date_created": run.date_created and run.date_created.isoformat(),
        "date_updated": run.date_updated and run.date_updated.isoformat(),
        "user": run.user and run.user.username,
    }


def _metric_facts(metric: te.MetricSummary) -> dict[str, Any]:
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
