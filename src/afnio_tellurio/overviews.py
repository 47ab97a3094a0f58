"""Metrics of many runs at once, read back in few requests."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, TypeVar

from afnio_tellurio.client import TellurioClient, default_client
from afnio_tellurio.entities import MetricCurve, MetricSummary
from afnio_tellurio.run import Run, place_of, runs
from afnio_tellurio.settings import MAX_BUCKETS, MAX_SAMPLED, is_disabled
from afnio_tellurio.validation import checked_name, checked_slug, project_slug

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def list_metrics(
    namespace_slug: str, project: str, client: TellurioClient | None = None
) -> list[str]:
    """The metric names that the runs of a project have, in order.

    Args:
        namespace_slug: The slug of the namespace that owns the project.
        project: The project's slug or display name.
        client: The client to use; default the environment's.

    Raises:
        TypeError: A name is no string.
        ValueError: A name is empty, too long or has no slug.
        NotFoundError: The project does not exist.
        ApiError: The backend answered with another error.
        BackendUnreachableError: The backend could not be reached.
        InvalidResponseError: The backend's answer makes no sense.
    """
    checked_slug("list_metrics", "namespace slug", namespace_slug)
    slug = project_slug("list_metrics", project)
    if client is None and is_disabled():
        return []
    client = client or default_client()
    found = client.list_project_metrics(namespace_slug, slug)
    if found is not None:
        return sorted(str(one.name) for one in found)
    # As many requests as there are runs; a project that does not exist is found here too.
    return sorted({name for run in runs(namespace_slug, slug, client) for name in run.summary()})


def summaries(
    given: Iterable[Run], *names: str, client: TellurioClient | None = None
) -> dict[str, dict[str, MetricSummary]]:
    """Metrics of several runs in short.

    Args:
        given: The runs.
        names: The metrics; default all.
        client: The client to use; default the one that each run was found with.

    Returns:
        By each run's UUID its summaries by name, of those metrics that it has.

    Raises:
        TypeError: A name is no string.
        ValueError: A name is empty or too long.
        ApiError: The backend answered with an error.
        BackendUnreachableError: The backend could not be reached.
        InvalidResponseError: The backend's answer makes no sense.
    """
    for name in names:
        checked_name("summaries", "metric name", name)
    every = list(given)
    found: dict[str, dict[str, MetricSummary]] = {run.uuid: {} for run in every}
    for (of_runs, namespace_slug, slug), group in _by_project(every, client):
        for some in _parts(group):
            columns = of_runs.summarize_project_metrics(
                namespace_slug, slug, names=list(names), run_uuids=[run.uuid for run in some]
            )
            if columns is None:
                found |= {run.uuid: _only(run.summary(of_runs), names) for run in some}
                continue
            for column in columns:
                for uuid, summary in MetricSummary.from_columns(column).items():
                    found.setdefault(uuid, {})[column.name] = summary
    return found


def curves(
    given: Iterable[Run], *names: str, buckets: int = 1000, client: TellurioClient | None = None
) -> list[MetricCurve]:
    """Metrics of several runs as lines to draw, however many values they have.

    Args:
        given: The runs.
        names: The metrics.
        buckets: At most so many points of each line, 1 to 10,000.
        client: The client to use; default the one that each run was found with.

    Returns:
        One curve for each run and metric that it has numbers in, in the order given.

    Raises:
        TypeError: A name is no string.
        ValueError: A name is empty or too long, or the buckets are no number from 1 to 10,000.
        ApiError: The backend answered with an error.
        BackendUnreachableError: The backend could not be reached.
        InvalidResponseError: The backend's answer makes no sense.
    """
    for name in names:
        checked_name("curves", "metric name", name)
    if buckets not in range(1, MAX_BUCKETS + 1):
        raise ValueError(f"curves: buckets is {buckets!r}; give a number from 1 to {MAX_BUCKETS}")
    every = list(given)
    found: dict[tuple[str, str], MetricCurve] = {}
    for (of_runs, namespace_slug, slug), group in _by_project(every, client):
        for some, some_names in product(_parts(group), _parts(names)):
            sampled = of_runs.sample_project_metrics(
                namespace_slug,
                slug,
                names=list(some_names),
                run_uuids=[run.uuid for run in some],
                buckets=buckets,
            )
            if sampled is None:
                made = [
                    _curve(run, name, buckets, of_runs) for run, name in product(some, some_names)
                ]
            else:
                made = [MetricCurve.from_model(model) for model in sampled]
            found |= {(curve.run_uuid, curve.name): curve for curve in made if _has_numbers(curve)}
    return [
        found[run.uuid, name] for run, name in product(every, names) if (run.uuid, name) in found
    ]


T = TypeVar("T")
_Place = tuple[TellurioClient, str, str]


def _by_project(
    every: Sequence[Run], client: TellurioClient | None
) -> Iterable[tuple[_Place, list[Run]]]:
    """The runs of each project together, and what is asked for them; what was logged is there."""
    groups: dict[_Place, list[Run]] = {}
    for run in every:
        place = place_of(run, client)
        if place is not None:
            groups.setdefault(place, []).append(run)
            place[0].settle("summarizeProjectMetrics", run.uuid)
    return groups.items()


def _parts(given: Sequence[T]) -> list[Sequence[T]]:
    return [given[start : start + MAX_SAMPLED] for start in range(0, len(given), MAX_SAMPLED)]


def _only(of_run: dict[str, MetricSummary], names: Sequence[str]) -> dict[str, MetricSummary]:
    return {name: one for name, one in of_run.items() if not names or name in names}


def _has_numbers(curve: MetricCurve) -> bool:
    return not all(math.isnan(value) for value in curve.values)


def _curve(run: Run, name: str, buckets: int, client: TellurioClient) -> MetricCurve:
    """The curve from a backend that samples one metric at a time, or none."""
    steps, values = run.curve(name, buckets, client)
    return MetricCurve(
        run.uuid, name, steps, values, list(values), list(values), [None] * len(steps)
    )
