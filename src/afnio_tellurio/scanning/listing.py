"""The runs of a project, and how many points they have."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from afnio_tellurio.api import operations
from afnio_tellurio.api.entities import RunStatus
from afnio_tellurio.api.metric_lists import microseconds_of
from afnio_tellurio.api.run_tables import tabulate_runs
from afnio_tellurio.client import TellurioClient, connection_of
from afnio_tellurio.filters.conditions import MetricValue
from afnio_tellurio.settings.limits import MAX_SAMPLED
from afnio_tellurio.tracking import finding

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping, Sequence

    from afnio_tellurio.tracking.filtering import Query


class ListedRun(NamedTuple):
    """A run as the backend has it.

    Attributes:
        uuid: Its UUID.
        name: Its name.
        created: When it was created, in microseconds since 1970.
        counts: The numbers of points of its metrics, by name; None if the backend does not count.
        state: If it does not: what changes with each change of a run that has ended; empty while
            it runs.
    """

    uuid: str
    name: str
    created: int | None
    counts: Mapping[str, int] | None
    state: str


def list_counts(
    client: TellurioClient,
    namespace_slug: str,
    project_slug: str,
    query: Query,
    names: Sequence[str] | None,
) -> dict[str, ListedRun] | None:
    """Lists the runs that match with the counts of their metrics, by UUID.

    Args:
        client: The client.
        namespace_slug: The slug of the namespace that owns the project.
        project_slug: The project's slug.
        query: Which runs.
        names: The metrics; None for all.

    Returns:
        None for a backend that does not count.

    Raises:
        ValueError: The filter is invalid.
        TellurioError: A request failed.
    """
    connection = connection_of(client)
    if names is None:
        names = operations.list_project_metrics(connection, namespace_slug, project_slug)
        if names is None:
            return None
    counts: dict[str, dict[str, int]] = {}
    runs: dict[str, ListedRun] = {}
    # One request even if there are no metrics.
    for start in range(0, len(names) or 1, MAX_SAMPLED):
        terms = {str(MetricValue(name, "count")): name for name in names[start:][:MAX_SAMPLED]}
        with query.reported():
            cells = tabulate_runs(
                connection,
                namespace_slug,
                project_slug,
                columns=["name", "created", *terms],
                query=query.parameters,
                limit=None,
            )
        if cells is None:
            return None
        for index, uuid in enumerate(cells["uuid"]):
            counts_of_run = counts.setdefault(uuid, {})
            created = _microseconds(cells["created"][index])
            runs[uuid] = ListedRun(uuid, cells["name"][index], created, counts_of_run, "")
        for term, name in terms.items():
            for uuid, count in zip(cells["uuid"], cells.get(term, ()), strict=False):
                if count:
                    counts[uuid][name] = count
    return runs


def list_states(
    client: TellurioClient, namespace_slug: str, project_slug: str, where: str | None
) -> dict[str, ListedRun]:
    """Lists the runs that match, by UUID, from a backend that does not count their points.

    Args:
        client: The client.
        namespace_slug: The slug of the namespace that owns the project.
        project_slug: The project's slug.
        where: A filter, or None for all runs.

    Raises:
        TellurioError: A request failed.
    """
    runs: dict[str, ListedRun] = {}
    for run in finding.runs(namespace_slug, project_slug, client, where=where):
        updated = _microseconds(run.date_updated)
        state = (
            "" if run.status == RunStatus.RUNNING or updated is None else f"{run.status} {updated}"
        )
        created = _microseconds(run.date_created)
        runs[run.uuid] = ListedRun(run.uuid, run.name, created, None, state)
    return runs


def _microseconds(time: dt.datetime | None) -> int | None:
    return None if time is None else microseconds_of(time)
