"""Metrics of many runs at once, read back in few requests."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import chain, product
from typing import TYPE_CHECKING, Any, TypeVar

from afnio_tellurio.api import operations
from afnio_tellurio.api.answers import AnswerFields, is_finite_number
from afnio_tellurio.api.calling import RunPath
from afnio_tellurio.api.metrics import (
    MetricCurve,
    MetricSummary,
    last_of_ranges,
    read_curve,
    read_summaries,
)
from afnio_tellurio.client import TellurioClient, connection_of
from afnio_tellurio.default_client import client_or_default
from afnio_tellurio.delivery.senders import settle
from afnio_tellurio.settings.limits import MAX_SAMPLED
from afnio_tellurio.tracking import finding
from afnio_tellurio.tracking.disabled import DisabledRun
from afnio_tellurio.tracking.reading import source_of
from afnio_tellurio.tracking.run import Run
from afnio_tellurio.validation import checked_buckets, checked_name, checked_slug, project_slug

if TYPE_CHECKING:
    from collections.abc import Sequence

    from afnio_tellurio.api.connection import Connection

#: Runs that one filter names.
_NAMED_IN_FILTER = 50


def list_metrics(
    namespace_slug: str, project: str, client: TellurioClient | None = None
) -> list[str]:
    """The names of the metrics of a project's runs, sorted.

    Args:
        namespace_slug: The slug of the namespace that owns the project.
        project: The project's slug or display name.
        client: The client to use; default the environment's.

    Raises:
        TypeError: A name is not a string.
        ValueError: A name is empty, too long or without a slug.
        NotFoundError: The project does not exist.
        TellurioError: The request failed.
    """
    namespace_slug = checked_slug("list_metrics", "namespace slug", namespace_slug)
    slug = project_slug("list_metrics", project)
    client = client_or_default(client)
    if client is None:
        return []
    names = operations.list_project_metrics(connection_of(client), namespace_slug, slug)
    if names is None:
        # One request for each run; this also raises for a project that does not exist.
        every_run = finding.runs(namespace_slug, slug, client)
        return sorted({name for run in every_run for name in run.summary()})
    return sorted(names)


def summaries(
    runs: Iterable[Run], *names: str, client: TellurioClient | None = None
) -> dict[str, dict[str, MetricSummary]]:
    """Summaries of the metrics of several runs.

    Args:
        runs: The runs.
        names: The metrics; default all.
        client: The client to use; default the one that each run was found with.

    Returns:
        The summaries of each run's metrics, by the run's UUID and the metric's name.

    Raises:
        TypeError: A name is not a string, or the runs are not runs.
        ValueError: A name is empty or too long.
        TellurioError: A request failed.
    """
    names = tuple(checked_name("summaries", "metric name", name) for name in names)
    every_run = checked_runs("summaries", runs)
    result: dict[str, dict[str, MetricSummary]] = {run.uuid: {} for run in every_run}
    groups = _group_by_project("summarizeProjectMetrics", every_run, client)
    for (connection, namespace_slug, slug), group in groups:
        for part in _split(group):
            columns = operations.summarize_project_metrics(
                connection,
                namespace_slug,
                slug,
                names=list(names),
                run_uuids=[run.uuid for run in part],
            )
            if columns is None:
                result |= {run.uuid: _select(run.summary(client), names) for run in part}
                continue
            field = AnswerFields("summarizeProjectMetrics")
            for column in columns:
                metric = field.text("name", column.name)
                for uuid, summary in read_summaries(column).items():
                    result.setdefault(uuid, {})[metric] = summary
    return result


def curves(
    runs: Iterable[Run], *names: str, buckets: int = 1000, client: TellurioClient | None = None
) -> list[MetricCurve]:
    """Metrics of several runs as lines to draw, however many values they have.

    Args:
        runs: The runs.
        names: The metrics; default all metrics with numbers, sorted by name.
        buckets: The maximum number of points of each line, 1 to 10,000.
        client: The client to use; default the one that each run was found with.

    Returns:
        One curve for each run and metric with numbers, in the order of the arguments.

    Raises:
        TypeError: A name is not a string, or the runs are not runs.
        ValueError: A name is empty or too long, or `buckets` is less than 1 or more than 10,000.
        TellurioError: A request failed.
    """
    names = tuple(checked_name("curves", "metric name", name) for name in names)
    checked_buckets("curves", buckets)
    every_run = checked_runs("curves", runs)
    if not names:
        metrics = summaries(every_run, client=client).values()
        names = tuple(sorted({name for summary in metrics for name in summary}))
    return read_curves(every_run, names, buckets, client=client)


def read_curves(
    runs: Sequence[Run],
    names: Sequence[str],
    buckets: int,
    steps: tuple[int, int] | None = None,
    client: TellurioClient | None = None,
) -> list[MetricCurve]:
    """The curves of runs and metrics that are checked; of the given first to last step, or all."""
    result: dict[tuple[str, str], MetricCurve] = {}
    groups = _group_by_project("sampleProjectMetrics", runs, client)
    for (connection, namespace_slug, slug), group in groups:
        for part, part_names in product(_split(group), _split(names)):
            sampled = operations.sample_project_metrics(
                connection,
                namespace_slug,
                slug,
                names=list(part_names),
                run_uuids=[run.uuid for run in part],
                buckets=buckets,
                steps=steps,
            )
            if sampled is None:
                read = [
                    _curve(run, name, buckets, steps, client)
                    for run, name in product(part, part_names)
                ]
            else:
                read = [read_curve(model) for model in sampled]
            result |= {(curve.run_uuid, curve.name): curve for curve in read if _has_numbers(curve)}
    keys = [(run.uuid, name) for run, name in product(runs, names)]
    return [result[key] for key in keys if key in result]


def check_existence(runs: Sequence[Run], client: TellurioClient | None = None) -> None:
    """Checks that runs exist: summaries and curves leave out those that were deleted.

    Args:
        runs: The runs.
        client: The client to use; default the one that each run was found with.

    Raises:
        NotFoundError: A run does not exist.
        TellurioError: A request failed.
    """
    for (connection, namespace_slug, slug), group in _group_by_project("listRuns", runs, client):
        for start in range(0, len(group), _NAMED_IN_FILTER):
            part = group[start : start + _NAMED_IN_FILTER]
            # A backend without filters lists all.
            where = f"uuid in ({', '.join(repr(run.uuid) for run in part)})"
            pages = operations.list_runs(connection, namespace_slug, slug, details={"where": where})
            found = {str(model.uuid) for model in chain.from_iterable(page.runs for page in pages)}
            for run in part:
                if run.uuid not in found:
                    # The answer tells where the run is.
                    operations.get_run(connection, RunPath(namespace_slug, slug, run.uuid))


def checked_runs(call: str, runs: Any) -> list[Run]:
    """Several runs, as a list.

    Raises:
        TypeError: They are not runs.
    """
    if isinstance(runs, str | bytes) or not isinstance(runs, Iterable):
        raise TypeError(
            f"{call}: {runs!r} must be a list of runs; runs() lists those of a project, "
            "and get_run() finds one by its name"
        )
    every_run: list[Any] = list(runs)  # pyright: ignore[reportUnknownArgumentType]
    for run in every_run:
        if not isinstance(run, Run):
            raise TypeError(f"{call}: {run!r} must be a run")
    return every_run


T = TypeVar("T")
_ProjectSource = tuple["Connection", str, str]


def _group_by_project(
    operation: str, runs: Sequence[Run], client: TellurioClient | None
) -> Iterable[tuple[_ProjectSource, list[Run]]]:
    """The runs of each project, once their backend has what was logged to them."""
    groups: dict[_ProjectSource, list[Run]] = {}
    for run in runs:
        if not isinstance(run, DisabledRun):
            connection, path = source_of(run, client)
            key = connection, path.namespace_slug, path.project_slug
            groups.setdefault(key, []).append(run)
            settle(connection, operation, run.uuid)
    return groups.items()


def _split(items: Sequence[T]) -> list[Sequence[T]]:
    """Parts that fit into one request."""
    return [items[start : start + MAX_SAMPLED] for start in range(0, len(items), MAX_SAMPLED)]


def _select(summaries: dict[str, MetricSummary], names: Sequence[str]) -> dict[str, MetricSummary]:
    return {name: summary for name, summary in summaries.items() if not names or name in names}


def _has_numbers(curve: MetricCurve) -> bool:
    return not all(math.isnan(value) for value in curve.values)


def _curve(
    run: Run,
    name: str,
    buckets: int,
    steps: tuple[int, int] | None,
    client: TellurioClient | None,
) -> MetricCurve:
    """The curve from a backend that samples one metric at a time, or does not sample."""
    if steps is None:
        places, values = run.curve(name, buckets, client)
    else:
        points = last_of_ranges(run.metrics(name, client), buckets, steps)
        numbers = [(step, float(value)) for step, value in points if is_finite_number(value)]
        places, values = [step for step, _ in numbers], [value for _, value in numbers]
    return MetricCurve(
        run.uuid, name, places, values, list(values), list(values), [None] * len(places)
    )
