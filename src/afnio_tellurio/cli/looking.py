"""The command that shows a run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import afnio_tellurio as te
from afnio_tellurio.cli.arguments import (
    QUOTING_HELP,
    Commands,
    metric_names,
    path_type,
    require_metrics,
)
from afnio_tellurio.cli.finding import find_run
from afnio_tellurio.cli.layout import table
from afnio_tellurio.cli.paging import add_pager_option, paged
from afnio_tellurio.cli.printing import (
    MAX_CHART_WIDTH,
    chart,
    format_date,
    metric_facts,
    run_duration,
    run_facts,
    short,
    short_json,
    username,
)
from afnio_tellurio.cli.tables import list_of_tables, table_facts
from afnio_tellurio.notices import printable, quoted_argument

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping, Sequence, Sized


#: Each chart is a request, and fills a part of the terminal.
_MAX_CHARTS = 20
#: Rows of a config or an environment; JSON has all.
_MAX_ROWS = 200
#: The levels of children below a run, and how many children in all: the children of each are a
#: request.
_MAX_LEVELS, _MAX_CHILDREN = 3, 100


class _Branch(NamedTuple):
    """A run and its children, newest first."""

    run: te.Run
    children: list[_Branch]


def add_commands(commands: Commands) -> None:
    """Adds `show`."""
    show = commands.add_parser(
        "show",
        help="show a run, its config and its metrics",
        epilog="example: afnio-tellurio show acme/digits/brave_pasta_123",
    )
    show.add_argument("run", metavar="NAMESPACE/PROJECT/RUN", type=path_type(3))
    show.add_argument(
        "--metrics",
        metavar="A,B",
        type=metric_names,
        help=f"only these metrics, with their charts; {QUOTING_HELP}",
    )
    show.add_argument("--no-charts", dest="charts", action="store_false", help="draw no charts")
    add_pager_option(show)
    show.add_argument("--json", action="store_true", help="print JSON")
    show.set_defaults(command=_show)


def _show(options: argparse.Namespace) -> int:
    run = find_run(options.run)
    summary = run.summary()
    if options.metrics is not None:
        require_metrics(options.metrics, summary, f"Run {run.name!r} has no metric")
        summary = {name: summary[name] for name in options.metrics}
    tables = run.tables()
    parent = _parent_of(options.run, run)
    children = _children_of(options.run, run)
    if options.json:
        facts = {
            **run_facts(run),
            "environment": run.environment,
            "parent": parent and parent.name,
            "children": [_branch_facts(child) for child in children],
            "metrics": {name: metric_facts(metric) for name, metric in summary.items()},
            "tables": {name: table_facts(each) for name, each in tables.items()},
        }
        print(json.dumps(facts, indent=2))
        return 0
    with paged(options):
        print(_facts(run, parent))
        _print_traceback(run)
        _print_children(options.run, run, children)
        _print_fields("CONFIG", run.config)
        _print_fields("ENVIRONMENT", _without_packages(run.environment or {}))
        _print_metrics(summary)
        if tables:
            print(f"\n{list_of_tables(tables)}")
        if options.charts:
            _print_charts(run, summary, are_chosen=options.metrics is not None)
    return 0


def _parent_of(path: Sequence[str], run: te.Run) -> te.Run | None:
    if run.parent_uuid is None:
        return None
    namespace, project, _name = path
    try:
        return te.get_run(namespace, project, run.parent_uuid)
    except LookupError:
        # It was deleted, or is a run of another project.
        return None


def _children_of(path: Sequence[str], run: te.Run) -> list[_Branch]:
    """The runs below a run, found level by level, up to both bounds."""
    namespace, project, _name = path
    top = _Branch(run, [])
    level = [top]
    # A program may have made a run its own ancestor.
    found = {run.uuid}
    for _ in range(_MAX_LEVELS):
        for branch in level:
            free = _MAX_CHILDREN + 1 - len(found)
            if free:
                runs = te.runs(namespace, project, parent=branch.run, limit=free)
                children = [child for child in runs if child.uuid not in found]
                found.update(child.uuid for child in children)
                branch.children.extend(_Branch(child, []) for child in children)
        level = [child for branch in level for child in branch.children]
    return top.children


def _branch_facts(branch: _Branch) -> dict[str, Any]:
    return {
        "uuid": branch.run.uuid,
        "name": branch.run.name,
        "status": branch.run.status.value,
        "children": [_branch_facts(child) for child in branch.children],
    }


def _facts(run: te.Run, parent: te.Run | None) -> str:
    facts = {
        "run": run.name,
        "uuid": run.uuid,
        "status": run.status.value,
        "ended because": str(run.ended_because or ""),
        "created": format_date(run.date_created),
        "duration": run_duration(run),
        "user": username(run),
        "tags": ", ".join(run.tags),
        "group": run.group or "",
        "job type": run.job_type or "",
        "parent": parent.name if parent else run.parent_uuid or "",
        "description": run.description or "",
        "notes": run.notes or "",
    }
    rows = [
        [label if number == 0 else "", line]
        for label, text in facts.items()
        if text
        for number, line in enumerate(text.split("\n"))
    ]
    return table([], rows)


def _print_traceback(run: te.Run) -> None:
    traceback = run.ended_because and run.ended_because.traceback
    if traceback:
        print("\nTRACEBACK")
        for line in traceback.rstrip("\n").split("\n"):
            print(printable(line.expandtabs()))


def _print_children(path: Sequence[str], run: te.Run, children: Sequence[_Branch]) -> None:
    if not children:
        return
    rows = [
        [f"{'  ' * level}{child.name}", child.status.value, format_date(child.date_created)]
        for level, child in _flattened(children)
    ]
    print(f"\n{table(['CHILDREN', 'STATUS', 'CREATED'], rows)}")
    if len(rows) == _MAX_CHILDREN:
        project = printable(quoted_argument("/".join(path[:2])))
        print(f"\nThere may be more; see afnio-tellurio runs --parent {run.uuid} {project}")


def _flattened(branches: Sequence[_Branch], level: int = 0) -> Iterator[tuple[int, te.Run]]:
    for branch in branches:
        yield level, branch.run
        yield from _flattened(branch.children, level + 1)


def _without_packages(environment: Mapping[str, Any]) -> dict[str, Any]:
    """The environment with the number of its packages in their place."""
    packages = environment.get("packages")
    if not isinstance(packages, dict | list):
        return dict(environment)
    return {**environment, "packages": len(cast("Sized", packages))}


def _print_fields(title: str, fields: Mapping[str, Any]) -> None:
    """Prints the values of nested fields by their dotted paths."""
    # Imported here: it takes 30 ms, and parsing arguments doesn't need it.
    from afnio_tellurio.tracking.configuration import flattened

    values = flattened(fields)
    rows = [[path, short_json(value)] for path, value in values.items()]
    if rows:
        print(f"\n{table([title, 'VALUE'], rows[:_MAX_ROWS])}")
    if len(rows) > _MAX_ROWS:
        print(f"\n{len(rows) - _MAX_ROWS} more values; --json prints all")


def _print_metrics(summary: Mapping[str, te.MetricSummary]) -> None:
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
    header = ["METRIC", "COUNT", "LAST", "MINIMUM", "MAXIMUM"]
    if rows:
        print(f"\n{table(header, rows, numbers=header[1:])}")


def _print_charts(
    run: te.Run, summary: Mapping[str, te.MetricSummary], *, are_chosen: bool
) -> None:
    with_numbers = [name for name, metric in summary.items() if metric.minimum is not None]
    drawn = with_numbers if are_chosen else with_numbers[:_MAX_CHARTS]
    for name in drawn:
        drawing = chart(name, *run.curve(name, MAX_CHART_WIDTH * 2), summary[name].first_step)
        if drawing:
            print(f"\n{drawing}")
    left = len(with_numbers) - len(drawn)
    if left:
        print(f"\n{left} more charts; choose some with --metrics A,B")
