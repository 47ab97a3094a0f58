"""The commands that list projects and runs."""

from __future__ import annotations

import datetime as dt
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import afnio_tellurio as te
from afnio_tellurio.cli.arguments import (
    QUOTING_HELP,
    Commands,
    listed_names,
    metric_names,
    namespace_slug,
    path_type,
    positive_integer,
    require_metrics,
    suggestion,
)
from afnio_tellurio.cli.filtering import (
    SortOption,
    add_filters,
    filters_of,
    has_filters,
    sort_of,
)
from afnio_tellurio.cli.finding import find_projects
from afnio_tellurio.cli.layout import table
from afnio_tellurio.cli.paging import add_pager_option, paged
from afnio_tellurio.cli.printing import (
    complain,
    format_date,
    run_duration,
    run_facts,
    short,
    username,
)
from afnio_tellurio.notices import quoted_argument, show_progress
from afnio_tellurio.settings.limits import MAX_SAMPLED

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence

    Summaries = Mapping[str, Mapping[str, te.MetricSummary]]

#: The runs of several projects that are listed without --limit.
_NEWEST = 20
#: The parts of NAMESPACE/PROJECT.
_PROJECT_PARTS = 2
_OLDEST = dt.datetime.min.replace(tzinfo=dt.UTC)


def add_commands(commands: Commands) -> None:
    """Adds `projects` and `runs`."""
    projects = commands.add_parser(
        "projects",
        help="list projects, of a namespace or of all",
        epilog="example: afnio-tellurio projects acme",
    )
    projects.add_argument(
        "namespace",
        metavar="NAMESPACE",
        nargs="?",
        type=namespace_slug,
        help="default: every namespace",
    )
    projects.add_argument("--json", action="store_true", help="print JSON")
    projects.set_defaults(command=_projects)

    runs = commands.add_parser(
        "runs",
        help="list runs, of a project, of a namespace, or of all",
        description="Lists runs, the newest first. Without PROJECT, it lists the "
        f"{_NEWEST} newest runs of all projects.",
        epilog="example: afnio-tellurio runs acme/digits --since '3 Nov' --metrics val/loss "
        "--sort val/loss --limit 10",
    )
    runs.add_argument(
        "path",
        metavar="NAMESPACE[/PROJECT]",
        nargs="?",
        type=path_type(1, 2),
        default=[],
        help="default: every namespace",
    )
    add_filters(runs)
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
    add_pager_option(runs)
    runs.add_argument("--json", action="store_true", help="print JSON")
    runs.set_defaults(command=_runs)


def _projects(options: argparse.Namespace) -> int:
    found = find_projects(options.namespace)
    if options.json:
        facts = [_project_facts(namespace, project) for namespace, project in found]
        print(json.dumps(facts, indent=2))
        return 0
    if not found:
        complain("No projects yet; init() creates one.")
        return 0
    rows = [
        [
            project.slug if options.namespace else f"{namespace}/{project.slug}",
            project.display_name,
            *_counts(project),
            project.visibility,
            format_date(project.last_activity or project.last_run_date),
        ]
        for namespace, project in found
    ]
    header = ["PROJECT", "NAME", "RUNS", "RUNNING", "CRASHED", "VISIBILITY", "LAST ACTIVITY"]
    print(
        table(
            header,
            rows,
            numbers={"RUNS", "RUNNING", "CRASHED"},
            optional=("VISIBILITY", "NAME", "CRASHED", "RUNNING"),
        )
    )
    return 0


def _counts(project: te.Project) -> list[str]:
    """Returns the number of all runs, of those that run, and of those that crashed."""
    counts = project.run_counts
    if counts is None:
        return ["-"] * 3
    numbers = [sum(counts.values()), *(counts.get(status, 0) for status in ("RUNNING", "CRASHED"))]
    return [f"{number:,}" for number in numbers]


def _project_facts(namespace: str, project: te.Project) -> dict[str, Any]:
    return {
        "uuid": project.uuid,
        "namespace": namespace,
        "slug": project.slug,
        "display_name": project.display_name,
        "visibility": project.visibility,
        "date_created": project.date_created.isoformat(),
        "last_run_date": project.last_run_date and project.last_run_date.isoformat(),
        "run_counts": project.run_counts,
        "last_activity": project.last_activity and project.last_activity.isoformat(),
        "runs_per_day": project.runs_per_day,
    }


def _runs(options: argparse.Namespace) -> int:
    runs = _find_runs(options)
    has_more = _has_default_limit(options) and len(runs) > _NEWEST
    if has_more:
        del runs[_NEWEST:]
    names: list[str] = options.metrics
    summaries = _load_summaries(runs, names) if names else {}
    if runs and names:
        _require_metrics(runs, names, summaries)
    nested = [(0, run) for run in runs] if options.sort else _below_parents(runs)
    if options.json:
        facts = [
            {"project": project_of(run)}
            | run_facts(run)
            | ({"metrics": _last_values(summaries[run.uuid], names)} if names else {})
            for _level, run in nested
        ]
        print(json.dumps(facts, indent=2))
    elif runs:
        has_projects = len(options.path) < _PROJECT_PARTS
        with paged(options):
            print(_table(nested, names, summaries, has_projects=has_projects))
    else:
        complain("No runs match." if has_filters(options) else "No runs yet; init() creates one.")
    if has_more:
        complain(f"These are the {_NEWEST} newest runs; --limit N shows more.")
    return 0


def _has_default_limit(options: argparse.Namespace) -> bool:
    return len(options.path) < _PROJECT_PARTS and options.limit is None


def _find_runs(options: argparse.Namespace) -> list[te.Run]:
    filters = filters_of(options)
    if len(options.path) == _PROJECT_PARTS:
        sort = sort_of(options)
        try:
            runs = te.runs(*options.path, **filters, sort=sort.text, limit=options.limit)
        except te.NotFoundError as error:
            path = "/".join(options.path)
            if "/" not in options.path[1]:
                raise
            raise LookupError(
                f"Project {path} not found. To show a run: "
                f"afnio-tellurio show {quoted_argument(path)}"
            ) from error
        except ValueError as error:
            if not isinstance(error, te.TellurioError):
                _require_sortable(options.path, sort)
            raise
        return list(runs)
    if options.sort or options.reverse:
        options.usage.error("--sort and --reverse require NAMESPACE/PROJECT")
    namespace = options.path[0] if options.path else None
    # One more shows that there are more.
    limit = _NEWEST + 1 if _has_default_limit(options) else options.limit
    return newest_runs(namespace, limit, **filters)


def _require_sortable(path: Sequence[str], sort: SortOption) -> None:
    """Raises a `LookupError` if a name to sort by is neither a metric nor an attribute."""
    name = sort.metric
    if name is None:
        return
    namespace, project = path
    logged = te.list_metrics(namespace, project)
    if name not in logged:
        # Imported here: it takes 10 ms, and parsing arguments doesn't need it.
        from afnio_tellurio.filters.conditions import ATTRIBUTES

        hint = (
            _config_suggestion(path, name)
            or suggestion(name, [*logged, *ATTRIBUTES])
            or listed_names(logged)
        )
        raise LookupError(
            f"Can't sort by {name!r}: the runs have no such metric or attribute{hint}"
        )


def _config_suggestion(path: Sequence[str], name: str) -> str:
    """The end of a message about a name to sort by, if a config of the newest runs has it."""
    from afnio_tellurio.filters.lexing import FilterError
    from afnio_tellurio.filters.parsing import parse_term
    from afnio_tellurio.tracking.configuration import flattened

    namespace, project = path
    runs = te.runs(namespace, project, limit=_NEWEST)
    keys = dict.fromkeys(key for run in runs for key in flattened(run.config))
    for key in keys:
        if key == name or key.endswith(f".{name}"):
            # Without a key that the language has only in quotes.
            with suppress(FilterError):
                parse_term(f"config.{key}")
                return f"; did you mean {f'config.{key}'!r}?"
    return ""


def newest_runs(namespace: str | None, limit: int, **filters: Any) -> list[te.Run]:
    """Returns the newest runs of a namespace, or of all.

    Raises:
        LookupError: The namespace does not exist.
        ValueError: No run matches, and a filter names what a project lacks.
        TellurioError: A request failed.
    """
    projects = find_projects(namespace)
    projects.sort(key=lambda found: found[1].last_run_date or _OLDEST, reverse=True)
    newest: list[te.Run] = []
    problem: ValueError | None = None
    for slug, project in projects:
        last = project.last_run_date
        if len(newest) == limit and last and last < (newest[-1].date_created or _OLDEST):
            break
        try:
            newest += te.runs(slug, project.slug, limit=limit, **filters)
        except ValueError as error:
            if isinstance(error, te.TellurioError) and not isinstance(error, te.BadRequestError):
                raise
            # A filter names a metric that only other projects have.
            problem = error
        newest.sort(key=lambda run: run.date_created or _OLDEST, reverse=True)
        del newest[limit:]
    if problem and not newest:
        raise problem
    return newest


def project_of(run: te.Run) -> str | None:
    """Returns NAMESPACE/PROJECT, or None if the backend does not answer it."""
    if run.organization is None or run.project is None:
        return None
    return f"{run.organization.slug}/{run.project.slug}"


def runs_table(runs: Sequence[te.Run]) -> str:
    """Returns a table of runs of several projects."""
    return _table([(0, run) for run in runs], [], {}, has_projects=True)


def _require_metrics(runs: Sequence[te.Run], names: Sequence[str], summaries: Summaries) -> None:
    """Raises a `LookupError` for a metric that no run of the projects has."""
    logged = {name for metrics in summaries.values() for name in metrics}
    # Only for a misspelled name, the names of the projects are read.
    if set(names) - logged:
        for path in dict.fromkeys(filter(None, map(project_of, runs))):
            namespace, _, project = path.partition("/")
            logged.update(te.list_metrics(namespace, project))
    require_metrics(names, logged, "None of the runs has the metric")


def _table(
    nested: Sequence[tuple[int, te.Run]],
    names: Sequence[str],
    summaries: Summaries,
    *,
    has_projects: bool,
) -> str:
    labels = _shown_labels([run for _level, run in nested])
    rows = [
        [
            *([project_of(run) or "-"] if has_projects else []),
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
    header = ["PROJECT"] if has_projects else []
    header += ["RUN", "STATUS", "CREATED", "DURATION", "USER", *labels, *names]
    return table(
        header,
        rows,
        numbers={"DURATION", *_with_numbers(names, summaries)},
        optional=("USER", "GROUP", "TAGS", "DURATION", "CREATED"),
    )


def _with_numbers(names: Sequence[str], summaries: Summaries) -> list[str]:
    """The metrics that are numbers in all runs."""
    return [
        name
        for name in names
        if all(
            isinstance(metrics[name].last, int | float)
            for metrics in summaries.values()
            if name in metrics
        )
    ]


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
    runs: Sequence[te.Run], names: Sequence[str]
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


def _last_value(summary: te.MetricSummary | None) -> str:
    return "-" if summary is None else short(summary.last)


def _last_values(summaries: Mapping[str, te.MetricSummary], names: list[str]) -> dict[str, Any]:
    from afnio_tellurio.validation import json_value

    return {name: json_value(summaries[name].last) for name in names if name in summaries}
