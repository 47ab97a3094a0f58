"""The commands that list projects and runs."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import afnio_tellurio as te
from afnio_tellurio.cli.arguments import Commands, metric_names, place_of, positive
from afnio_tellurio.cli.dates import date_from, date_until
from afnio_tellurio.cli.printing import duration, run_facts, short, table, username, when
from afnio_tellurio.notices import show_progress

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

#: `te.RunStatus` takes long to import, and every command would wait for it.
_STATUSES = ("RUNNING", "COMPLETED", "CRASHED", "FAILED")


def add_commands(commands: Commands) -> None:
    """Adds `projects` and `runs`."""
    projects = commands.add_parser(
        "projects",
        help="list the projects of a namespace",
        epilog="example: afnio-tellurio projects acme",
    )
    projects.add_argument("namespace", metavar="NAMESPACE")
    projects.add_argument("--json", action="store_true", help="print JSON")
    projects.set_defaults(command=_projects)

    runs = commands.add_parser(
        "runs",
        help="list the runs of a project",
        epilog="example: afnio-tellurio runs acme/digits --since '3 Nov' --metrics val/loss "
        "--sort val/loss --limit 10",
    )
    runs.add_argument("project", metavar="NAMESPACE/PROJECT", type=place_of(2))
    runs.add_argument(
        "--status", type=str.upper, choices=_STATUSES, help="only runs with this status"
    )
    runs.add_argument(
        "--since",
        metavar="DATE",
        type=date_from,
        help="only runs created then or later: '3 Nov 2026 10:00', 2026-11-03, yesterday, "
        "'2 weeks ago'; without a zone in that of this machine",
    )
    runs.add_argument(
        "--until", metavar="DATE", type=date_until, help="only runs created by the end of it"
    )
    runs.add_argument(
        "--metrics",
        metavar="A,B",
        type=metric_names,
        default=[],
        help="show the last values of these metrics",
    )
    runs.add_argument(
        "--sort", metavar="METRIC", help="by the last value of this metric, the smallest first"
    )
    runs.add_argument("--reverse", action="store_true", help="the other way round")
    runs.add_argument("--limit", metavar="N", type=positive, help="at most so many")
    runs.add_argument("--json", action="store_true", help="print JSON")
    runs.set_defaults(command=_runs)


def _projects(options: argparse.Namespace) -> int:
    found = te.list_projects(options.namespace)
    if options.json:
        print(json.dumps([_project_facts(project) for project in found], indent=2))
        return 0
    rows = [
        [project.slug, project.display_name, project.visibility, when(project.last_run_date)]
        for project in found
    ]
    print(table(["PROJECT", "NAME", "VISIBILITY", "LAST RUN"], rows))
    return 0


def _project_facts(project: te.Project) -> dict[str, Any]:
    return {
        "uuid": project.uuid,
        "slug": project.slug,
        "display_name": project.display_name,
        "visibility": project.visibility,
        "date_created": project.date_created.isoformat(),
        "last_run_date": project.last_run_date and project.last_run_date.isoformat(),
    }


def _runs(options: argparse.Namespace) -> int:
    found = list(
        te.runs(
            *options.project,
            status=te.RunStatus(options.status) if options.status else None,
            created_after=options.since,
            created_before=options.until,
            # What is sorted by a metric must be known whole.
            limit=None if options.sort or options.reverse else options.limit,
        )
    )
    wanted: list[str] = options.metrics
    asked = _summaries(found) if wanted or options.sort else {}
    if options.sort:
        found = _sorted(found, asked, options.sort, is_reverse=options.reverse)
    elif options.reverse:
        found = found[::-1]
    found = found[: options.limit]
    if options.json:
        listed = [
            run_facts(run) | ({"metrics": _last(asked[run.uuid], wanted)} if wanted else {})
            for run in found
        ]
        print(json.dumps(listed, indent=2))
        return 0
    rows = [
        [run.name, run.status.value, when(run.date_created), duration(run), username(run)]
        + [short(asked[run.uuid][name].last) if name in asked[run.uuid] else "-" for name in wanted]
        for run in found
    ]
    print(table(["RUN", "STATUS", "CREATED", "DURATION", "USER", *wanted], rows))
    return 0


def _summaries(found: list[te.Run]) -> dict[str, dict[str, te.MetricSummary]]:
    """The metrics of each run, one request for each, which may take long over a network."""
    asked: dict[str, dict[str, te.MetricSummary]] = {}
    try:
        for number, run in enumerate(found):
            show_progress(f"{number:,} of {len(found):,} runs")
            asked[run.uuid] = run.summary()
    finally:
        show_progress("")
    return asked


def _sorted(
    found: list[te.Run],
    asked: Mapping[str, Mapping[str, te.MetricSummary]],
    metric: str,
    *,
    is_reverse: bool,
) -> list[te.Run]:
    """The runs by a metric; those without a number there come last, whichever way."""
    numbers: dict[str, float] = {}
    for run in found:
        summary = asked[run.uuid].get(metric)
        last = summary and summary.last
        if isinstance(last, int | float) and not isinstance(last, bool) and not math.isnan(last):
            numbers[run.uuid] = last
    named = [run for run in found if run.uuid in numbers]
    named.sort(key=lambda run: numbers[run.uuid], reverse=is_reverse)
    return named + [run for run in found if run.uuid not in numbers]


def _last(summaries: Mapping[str, te.MetricSummary], wanted: list[str]) -> dict[str, Any]:
    from afnio_tellurio.validation import encoded_value

    return {name: encoded_value(summaries[name].last) for name in wanted if name in summaries}
