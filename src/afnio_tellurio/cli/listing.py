"""The commands that list projects and runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import afnio_tellurio as te
from afnio_tellurio.cli.arguments import (
    QUOTING_HELP,
    Commands,
    metric_names,
    path_type,
    positive_integer,
    require_metrics,
)
from afnio_tellurio.cli.dates import date_from, date_until
from afnio_tellurio.cli.printing import (
    format_date,
    run_duration,
    run_facts,
    short,
    table,
    username,
)
from afnio_tellurio.filters.values import STATUSES
from afnio_tellurio.notices import show_progress
from afnio_tellurio.settings.limits import MAX_SAMPLED

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence

    Summaries = Mapping[str, Mapping[str, te.MetricSummary]]


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
    runs.add_argument("project", metavar="NAMESPACE/PROJECT", type=path_type(2))
    _add_filters(runs)
    runs.add_argument(
        "--metrics",
        metavar="A,B",
        type=metric_names,
        default=[],
        help=f"show the last values of these metrics; {QUOTING_HELP}",
    )
    runs.add_argument(
        "--sort",
        metavar="VALUE",
        help="sort by the last value of a metric, or by what --where compares, such as duration, "
        "config.lr, or 'metric(\"val/acc\").max', smallest first; default: newest first, with runs "
        "indented below their parent",
    )
    runs.add_argument("--reverse", action="store_true", help="reverse the order")
    runs.add_argument("--limit", metavar="N", type=positive_integer, help="maximum number of runs")
    runs.add_argument("--json", action="store_true", help="print JSON")
    runs.set_defaults(command=_runs)


def _add_filters(runs: argparse.ArgumentParser) -> None:
    runs.add_argument(
        "--status", type=str.upper, choices=STATUSES, help="only runs with this status"
    )
    runs.add_argument(
        "--since",
        metavar="DATE",
        type=date_from,
        help="created on or after DATE (local time by default): '3 Nov 2026 10:00', 2026-11-03, "
        "yesterday, '2 weeks ago'",
    )
    runs.add_argument("--until", metavar="DATE", type=date_until, help="created on or before DATE")
    runs.add_argument(
        "--where",
        metavar="FILTER",
        help="only runs that match, such as 'status = CRASHED and created > -7d', "
        "'config.lr < 1e-3', '\"baseline\" in tags', or 'metric(\"val/acc\").max > 0.8'",
    )
    runs.add_argument("--tag", metavar="TAG", help="only runs with this tag")
    runs.add_argument("--group", metavar="GROUP", help="only runs of this group")
    runs.add_argument("--job-type", metavar="TYPE", help="only runs with this job type")
    runs.add_argument(
        "--parent", metavar="RUN-UUID", help="only the children of the run with this UUID"
    )


def _projects(options: argparse.Namespace) -> int:
    projects = te.list_projects(options.namespace)
    if options.json:
        print(json.dumps([_project_facts(project) for project in projects], indent=2))
        return 0
    rows = [
        [
            project.slug,
            project.display_name,
            project.visibility,
            format_date(project.last_run_date),
        ]
        for project in projects
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
    runs = list(
        te.runs(
            *options.project,
            status=te.RunStatus(options.status) if options.status else None,
            created_after=options.since,
            created_before=options.until,
            tag=options.tag,
            group=options.group,
            job_type=options.job_type,
            parent=options.parent,
            where=options.where,
            sort=_sort_of(options),
            limit=options.limit,
        )
    )
    names: list[str] = options.metrics
    summaries = _load_summaries(runs, names) if names else {}
    if runs and names:
        logged = {name for metrics in summaries.values() for name in metrics}
        # Only for a misspelled name, the names of the project are read.
        logged |= set(te.list_metrics(*options.project)) if set(names) - logged else set()
        require_metrics(names, logged, "None of the runs has the metric")
    nested = [(0, run) for run in runs] if options.sort else _below_parents(runs)
    if options.json:
        facts = [
            run_facts(run)
            | ({"metrics": _last_values(summaries[run.uuid], names)} if names else {})
            for _level, run in nested
        ]
        print(json.dumps(facts, indent=2))
        return 0
    labels = _shown_labels(runs)
    rows = [
        [
            f"{'  ' * level}{run.name}",
            run.status.value,
            format_date(run.date_created),
            run_duration(run),
            username(run),
            *(label_of(run) for label_of in labels.values()),
            *(_last_value(summaries[run.uuid].get(name)) for name in names),
        ]
        for level, run in nested
    ]
    print(table(["RUN", "STATUS", "CREATED", "DURATION", "USER", *labels, *names], rows))
    return 0


def _below_parents(runs: Sequence[te.Run]) -> list[tuple[int, te.Run]]:
    """Puts runs below their parent, if it is listed, each with the number of its ancestors."""
    listed = {run.uuid for run in runs}
    children: dict[str | None, list[te.Run]] = {}
    for run in runs:
        parent = run.parent_uuid if run.parent_uuid in listed else None
        children.setdefault(parent, []).append(run)
    nested: list[tuple[int, te.Run]] = []
    waiting = [(0, run) for run in reversed(children.get(None, []))]
    while waiting:
        level, run = waiting.pop()
        nested.append((level, run))
        waiting.extend((level + 1, child) for child in reversed(children.get(run.uuid, [])))
    # A program may have made a run its own ancestor.
    placed = {run.uuid for _level, run in nested}
    return nested + [(0, run) for run in runs if run.uuid not in placed]


def _shown_labels(runs: Sequence[te.Run]) -> dict[str, Callable[[te.Run], str]]:
    """The columns of tags and groups, without those that are empty."""
    labels: dict[str, Callable[[te.Run], str]] = {
        "TAGS": lambda run: ", ".join(run.tags) or "-",
        "GROUP": lambda run: run.group or "-",
    }
    return {
        header: label_of
        for header, label_of in labels.items()
        if any(label_of(run) != "-" for run in runs)
    }


def _load_summaries(
    runs: list[te.Run], names: Sequence[str]
) -> dict[str, dict[str, te.MetricSummary]]:
    """Loads these metrics of each run in parts and shows the progress."""
    summaries: dict[str, dict[str, te.MetricSummary]] = {}
    try:
        for start in range(0, len(runs), MAX_SAMPLED):
            show_progress(f"{start:,} of {len(runs):,} runs")
            summaries |= te.summaries(runs[start : start + MAX_SAMPLED], *names)
    finally:
        show_progress("")
    return summaries


def _sort_of(options: argparse.Namespace) -> str | None:
    """What to sort by, as `te.runs` takes it."""
    if options.sort is None:
        return "created" if options.reverse else None
    from afnio_tellurio.filters.lexing import FilterError
    from afnio_tellurio.filters.parsing import parse_sort

    try:
        sort = parse_sort(options.sort)
    except FilterError:
        # The name of a metric.
        quoted = options.sort.replace("\\", "\\\\").replace('"', '\\"')
        return f'{"-" if options.reverse else ""}metric("{quoted}")'
    text: str = options.sort.strip().removeprefix("-")
    return text if sort.is_descending == options.reverse else f"-{text}"


def _last_value(summary: te.MetricSummary | None) -> str:
    return "-" if summary is None else short(summary.last)


def _last_values(summaries: Mapping[str, te.MetricSummary], names: list[str]) -> dict[str, Any]:
    from afnio_tellurio.validation import json_value

    return {name: json_value(summaries[name].last) for name in names if name in summaries}
