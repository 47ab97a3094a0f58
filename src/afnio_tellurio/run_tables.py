"""Compares runs in a table, and finds the best one."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, overload

from afnio_tellurio.api.run_tables import RunTable, restored_numbers, tabulate_runs
from afnio_tellurio.client import TellurioClient, connection_of
from afnio_tellurio.default_client import client_or_default
from afnio_tellurio.filters.conditions import METRIC_PARTS, Attribute, ConfigValue, MetricValue
from afnio_tellurio.filters.lexing import FilterError
from afnio_tellurio.filters.matching import columns_of, value_in
from afnio_tellurio.filters.parsing import parse_term
from afnio_tellurio.overviews import check_existence, checked_runs, summaries
from afnio_tellurio.tracking import finding
from afnio_tellurio.tracking.filtering import Query
from afnio_tellurio.validation import check_limit, checked_name, checked_slug, project_slug

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from afnio_tellurio.api.metrics import MetricSummary
    from afnio_tellurio.tracking.run import Run

#: The parts of the summary of a metric: see `table`.
Metrics = Iterable[str] | Mapping[str, str] | None
_ATTRIBUTES = ("name", "status", "created", "ended", "duration", "user", "group", "job_type")
_TAGS, _ALL_CONFIG, _ALL_METRICS = "tags", "config.*", "metric(*)"


@overload
def table(
    runs: Iterable[Run],
    /,
    *,
    client: TellurioClient | None = None,
    metrics: Metrics = None,
    config: Iterable[str] | None = None,
) -> RunTable: ...


@overload
def table(
    namespace_slug: str,
    project: str,
    client: TellurioClient | None = None,
    *,
    where: str | None = None,
    sort: str | None = None,
    metrics: Metrics = None,
    config: Iterable[str] | None = None,
    limit: int | None = None,
) -> RunTable: ...


def table(
    namespace_slug: Iterable[Run] | str,
    project: str | None = None,
    client: TellurioClient | None = None,
    *,
    where: str | None = None,
    sort: str | None = None,
    metrics: Metrics = None,
    config: Iterable[str] | None = None,
    limit: int | None = None,
) -> RunTable:
    """Runs as rows of a table: a project's, or those that you pass in the place of the namespace.

    It takes one request for 1000 runs of a project.

    Args:
        namespace_slug: The slug of the namespace that owns the project, or runs.
        project: The project's slug or display name.
        client: The client to use; default the environment's, or the one that each run was found
            with.
        where: Only runs for which this filter is true, see `runs`.
        sort: What to sort by, see `runs`; default the newest first.
        metrics: The metrics whose last values are columns; default all. A mapping has the part of
            the summary for each: `{"loss": "min"}`, one of `last`, `min`, `max`, `count`,
            `first_step`, and `last_step`.
        config: The values of the config that are columns, such as `"optim.lr"`; default all.
        limit: The maximum number of runs, the first ones; default all.

    Raises:
        TypeError: An argument has the wrong type, or is for a project but runs were passed.
        ValueError: A name is empty, too long or without a slug, the filter or the order is invalid,
            or a part of a summary does not exist.
        NotFoundError: The project or a run does not exist.
        TellurioError: The request failed.
    """
    columns = _Columns(metrics, config)
    if not isinstance(namespace_slug, str):
        every_run = checked_runs("table", namespace_slug)
        of_projects = {"project": project, "where": where, "sort": sort, "limit": limit}
        for name, value in of_projects.items():
            if value is not None:
                raise TypeError(f"table: pass runs or {name}, not both; te.runs chooses runs")
        return columns.tabulate(every_run, client)
    if project is None:
        raise TypeError("table: project is missing; pass NAMESPACE and PROJECT, or runs")
    namespace_slug = checked_slug("table", "namespace slug", namespace_slug)
    slug = project_slug("table", project)
    query = Query("table", where, sort)
    check_limit("table", limit)
    client = client_or_default(client)
    if client is None:
        return columns.tabulate([], None)
    with query.reported():
        cells = tabulate_runs(
            connection_of(client),
            namespace_slug,
            slug,
            columns=columns.terms(),
            query=query.parameters,
            limit=limit,
        )
    if cells is None:
        matching = finding.list_matching(client, namespace_slug, slug, query, limit=limit)
        return columns.tabulate(list(matching), client)
    return _labelled(cells)


def best(
    namespace_slug: str,
    project: str,
    metric: str,
    mode: Literal["max", "min"],
    client: TellurioClient | None = None,
    *,
    part: Literal["last", "max", "min"] | None = None,
    where: str | None = None,
) -> Run:
    """The run with the greatest or smallest value of a metric.

    Args:
        namespace_slug: The slug of the namespace that owns the project.
        project: The project's slug or display name.
        metric: The name of the metric.
        mode: Whether the greatest (`"max"`) or the smallest (`"min"`) value is the best.
        client: The client to use; default the environment's.
        part: Which value of each run counts; default its own best one, as `mode`.
        where: Only runs for which this filter is true, see `runs`.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: A name is empty, too long or without a slug, `mode` or `part` is invalid, the
            filter is, or no run has such a metric.
        LookupError: No run has a number for the metric; a `NotFoundError` if the project does not
            exist.
        TellurioError: The request failed.
    """
    metric = checked_name("best", "metric name", metric)
    if mode not in {"max", "min"}:
        raise ValueError(f"best: mode is {mode!r}; it must be 'max' or 'min'")
    part = mode if part is None else part
    if part not in {"last", "max", "min"}:
        raise ValueError(f"best: part is {part!r}; it must be 'last', 'max', or 'min'")
    namespace_slug = checked_slug("best", "namespace slug", namespace_slug)
    slug = project_slug("best", project)
    # By itself, before it becomes a part of another filter.
    Query("best", where, None)
    term = MetricValue(metric, part)
    sort = f"-{term}" if mode == "max" else str(term)
    has_it = f"{term} != null" if where is None else f"{term} != null and ({where})"
    query = Query("best", has_it, sort)
    client = client_or_default(client)
    if client is not None:
        for run in finding.list_matching(client, namespace_slug, slug, query, limit=1):
            return run
    raise LookupError(f"best: no run of {namespace_slug}/{project} has a number for {metric!r}")


class _Columns:
    """The columns of a table: all, or those of the arguments of `table`."""

    def __init__(self, metrics: Metrics, config: Iterable[str] | None) -> None:
        self.config = None if config is None else list(map(_config_term, _names("config", config)))
        self.metrics = None if metrics is None else list(_metric_terms(metrics))

    def terms(self) -> list[str]:
        """Returns the columns as a request names them."""
        config = [_ALL_CONFIG] if self.config is None else map(str, self.config)
        metrics = [_ALL_METRICS] if self.metrics is None else map(str, self.metrics)
        return [*_ATTRIBUTES, _TAGS, *config, *metrics]

    def tabulate(self, runs: Sequence[Run], client: TellurioClient | None) -> RunTable:
        """Returns the table of runs, whose metrics are read."""
        cells: dict[str, list[Any]] = {"uuid": [run.uuid for run in runs]}
        cells |= {name: [read(run) for run in runs] for name, read in _READERS.items()}
        if self.config is None:
            for path, values in columns_of([run.config for run in runs]).items():
                cells[str(ConfigValue(path))] = values
        for term in self.config or ():
            cells[str(term)] = [value_in(run.config, term.path) for run in runs]
        metrics = self.metrics
        names = [] if metrics is None else list({term.name for term in metrics})
        read = {}
        if metrics != []:
            read = summaries(runs, *names, client=client)
            check_existence([run for run in runs if not read[run.uuid]], client)
        if metrics is None:
            logged = {name for summary in read.values() for name in summary}
            metrics = [MetricValue(name, "last") for name in sorted(logged)]
        for value in metrics:
            cells[str(value)] = [_part(read[run.uuid].get(value.name), value.part) for run in runs]
        return _labelled(cells)


def _names(argument: str, names: object) -> list[str]:
    if isinstance(names, str | bytes) or not isinstance(names, Iterable):
        raise TypeError(f"table: {argument} is {names!r}; it must be a list of names")
    return [checked_name("table", argument, name) for name in names]  # pyright: ignore[reportUnknownVariableType]


def _config_term(name: str) -> ConfigValue:
    return ConfigValue(tuple(name.removeprefix("config.").split(".")))


def _metric_terms(metrics: Iterable[str] | Mapping[str, str]) -> Iterator[MetricValue]:
    parts: dict[str, Any] = dict(metrics) if isinstance(metrics, Mapping) else {}  # pyright: ignore[reportUnknownArgumentType]
    for name in _names("metrics", metrics):  # pyright: ignore[reportUnknownArgumentType]
        part = parts.get(name, "last")
        if not isinstance(part, str) or part not in METRIC_PARTS:
            raise ValueError(
                f"table: the part of metric {name!r} is {part!r}; it must be one of "
                f"{', '.join(METRIC_PARTS)}"
            )
        yield MetricValue(name, part)


def _part(summary: MetricSummary | None, part: str) -> Any:
    names = {"min": "minimum", "max": "maximum"}
    return None if summary is None else getattr(summary, names.get(part, part))


def _labelled(cells: Mapping[str, list[Any]]) -> RunTable:
    """Returns the table of cells by their terms."""
    columns: dict[str, list[Any]] = {}
    for term, values in cells.items():
        label = _label(term)
        # A metric may have the name of an attribute.
        columns[term if label in columns else label] = restored_numbers(values)
    return RunTable(columns)


def _label(text: str) -> str:
    try:
        term = parse_term(text)
    except FilterError:
        # `uuid` and `tags`, and what a newer backend may add.
        return text
    if isinstance(term, MetricValue):
        return term.name if term.part == "last" else f"{term.name}.{term.part}"
    return term.name if isinstance(term, Attribute) else f"config.{term.joined}"


def _duration(run: Run) -> float | None:
    end = run.date_ended
    if end is None:
        end = dt.datetime.now(dt.UTC) if run.status == "RUNNING" else run.date_updated
    if end is None or run.date_created is None:
        return None
    return (end - run.date_created).total_seconds()


_READERS: dict[str, Callable[[Run], object]] = {
    "name": lambda run: run.name,
    "status": lambda run: str(run.status),
    "created": lambda run: run.date_created,
    "ended": lambda run: run.date_ended,
    "duration": _duration,
    "user": lambda run: None if run.user is None else run.user.username,
    "group": lambda run: run.group,
    "job_type": lambda run: run.job_type,
    "tags": lambda run: list(run.tags),
}
