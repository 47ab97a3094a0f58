"""The command that compares runs."""

from __future__ import annotations

import json
import shutil
import string
import sys
from typing import TYPE_CHECKING, Any

from afnio_tellurio.cli.arguments import (
    QUOTING_HELP,
    Commands,
    metric_names,
    path_type,
    require_metrics,
)
from afnio_tellurio.cli.finding import find_run
from afnio_tellurio.cli.layout import columns_of, table
from afnio_tellurio.cli.paging import add_pager_option, paged
from afnio_tellurio.cli.printing import (
    MAX_CHART_WIDTH,
    Line,
    chart_of,
    format_date,
    metric_facts,
    run_duration,
    run_facts,
    short,
    short_json,
)
from afnio_tellurio.notices import shows_colors

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    import afnio_tellurio as te

    Summaries = Sequence[Mapping[str, te.MetricSummary]]

#: The letter that marks each run in tables and charts.
_MARKS = string.ascii_lowercase
#: The colors of lines in charts, from the table of 256 colors. More are hard to tell apart.
_COLORS = (6, 3, 5, 2, 4, 1)
_STATISTICS = ("last", "minimum", "maximum")
#: Characters shown of a value that isn't a number.
_VALUE_WIDTH = 20


def add_commands(commands: Commands) -> None:
    """Adds `compare`."""
    compare = commands.add_parser(
        "compare",
        help="compare runs by their config and their metrics",
        epilog="example: afnio-tellurio compare acme/digits/first acme/digits/second",
    )
    compare.add_argument(
        "runs", metavar="NAMESPACE/PROJECT/RUN", nargs="+", type=path_type(3), help="two or more"
    )
    compare.add_argument(
        "--metrics", metavar="A,B", type=metric_names, help=f"only these metrics; {QUOTING_HELP}"
    )
    compare.add_argument("--no-charts", dest="charts", action="store_false", help="draw no charts")
    add_pager_option(compare)
    compare.add_argument("--json", action="store_true", help="print JSON")
    compare.set_defaults(command=_compare)


def _compare(options: argparse.Namespace) -> int:
    if not 1 < len(options.runs) <= len(_MARKS):
        options.usage.error(f"compare takes 2 to {len(_MARKS)} runs")
    runs = [find_run(path) for path in options.runs]
    summaries = [run.summary() for run in runs]
    names = _selected_names(summaries, options.metrics)
    if options.json:
        facts = [
            run_facts(run)
            | {"environment": run.environment}
            | {"metrics": {n: metric_facts(metrics[n]) for n in names if n in metrics}}
            for run, metrics in zip(runs, summaries, strict=True)
        ]
        print(json.dumps(facts, indent=2))
        return 0
    with paged(options):
        print(_legend(options.runs, runs))
        _print_config(runs)
        _print_metrics(names, summaries)
        if options.charts:
            _print_charts(names, runs, summaries)
    return 0


def _selected_names(summaries: Summaries, selected: list[str] | None) -> list[str]:
    logged = sorted({name for metrics in summaries for name in metrics})
    names = logged if selected is None else selected
    require_metrics(names, logged, "None of the runs has the metric")
    return names


def _legend(paths: Sequence[Sequence[str]], runs: Sequence[te.Run]) -> str:
    is_one_project = len({(namespace, project) for namespace, project, _name in paths}) == 1
    rows = [
        [
            mark,
            run.name if is_one_project else "/".join([*path[:2], run.name]),
            run.status.value,
            format_date(run.date_created),
            run_duration(run),
        ]
        for mark, path, run in zip(_MARKS, paths, runs, strict=False)
    ]
    marks = {
        mark: f"38;5;{color}"
        for mark, color in zip(_MARKS, _chart_colors(len(runs)), strict=False)
        if color is not None
    }
    return table(
        ["", "RUN", "STATUS", "CREATED", "DURATION"],
        rows,
        numbers={"DURATION"},
        optional=("DURATION", "CREATED"),
        colors={"": marks},
    )


def _chart_colors(count: int) -> Sequence[int | None]:
    """The color of each run in charts; None if its letter marks it."""
    if count > len(_COLORS) or not shows_colors(sys.stdout):
        return [None] * count
    return _COLORS[:count]


def _print_charts(names: Sequence[str], runs: Sequence[te.Run], summaries: Summaries) -> None:
    colors = _chart_colors(len(runs))
    for name in names:
        lines = [
            # Dots of two lines may share a character, which has one color.
            Line(
                mark if color is None else "braille",
                *run.curve(name, MAX_CHART_WIDTH * 2),
                color_number=color,
            )
            for mark, color, run, metrics in zip(_MARKS, colors, runs, summaries, strict=False)
            if name in metrics and metrics[name].minimum is not None
        ]
        first = min(metrics[name].first_step for metrics in summaries if name in metrics)
        drawing = chart_of(name, lines, first)
        if drawing:
            print(f"\n{drawing}")


def _print_config(runs: Sequence[te.Run]) -> None:
    """Prints the values of the configs that differ side by side."""
    # Imported here: it takes 30 ms, and parsing arguments doesn't need it.
    from afnio_tellurio.tracking.configuration import flattened

    configs = [flattened(run.config) for run in runs]
    paths = dict.fromkeys(path for config in configs for path in config)
    differing = [path for path in paths if _differs(path, configs)]
    if differing:
        columns = [
            [
                short_json(config[path], _VALUE_WIDTH) if path in config else "-"
                for path in differing
            ]
            for config in configs
        ]
        _print_side_by_side(["CONFIG"], [[path] for path in differing], columns)


def _differs(path: str, configs: Sequence[Mapping[str, Any]]) -> bool:
    # As JSON, where 1 and true are different.
    texts = {json.dumps(config[path], sort_keys=True) for config in configs if path in config}
    return len(texts) > 1 or any(path not in config for config in configs)


def _print_metrics(names: Sequence[str], summaries: Summaries) -> None:
    """Prints the metrics side by side."""
    cells = [
        (name, statistic)
        for name in names
        for statistic in _STATISTICS
        # A metric without numbers has neither a minimum nor a maximum.
        if statistic == _STATISTICS[0]
        or any(metrics[name].minimum is not None for metrics in summaries if name in metrics)
    ]
    headers = [[name if part == _STATISTICS[0] else "", part] for name, part in cells]
    columns = [
        [
            short(getattr(metrics[name], part), _VALUE_WIDTH) if name in metrics else "-"
            for name, part in cells
        ]
        for metrics in summaries
    ]
    if headers:
        _print_side_by_side(["METRIC", ""], headers, columns)


def _print_side_by_side(
    title: list[str], headers: Sequence[list[str]], columns: Sequence[list[str]]
) -> None:
    """Prints one column for each run; in a terminal, as many per table as fit.

    Args:
        title: The header of the first columns.
        headers: The first cells of each row.
        columns: The other cells of each run.
    """
    marked = [[mark, *column] for mark, column in zip(_MARKS, columns, strict=False)]
    columns_per_table = len(marked)
    if sys.stdout and sys.stdout.isatty():
        parts = zip(title, *headers, strict=True)
        header_width = sum(max(map(columns_of, part)) + 2 for part in parts) - 2
        column_width = max(columns_of(cell) for column in marked for cell in column) + 2
        free_width = shutil.get_terminal_size().columns - header_width
        columns_per_table = max(free_width // column_width, 1)
    for start in range(0, len(marked), columns_per_table):
        marks, *rows = zip(*marked[start : start + columns_per_table], strict=True)
        lines = [header + list(row) for header, row in zip(headers, rows, strict=True)]
        print(f"\n{table([*title, *marks], lines, numbers=marks)}")
