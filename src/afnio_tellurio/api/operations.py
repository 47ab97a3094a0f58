"""The operations of the contract: one function for each, named after its operationId.

A function that returns `None` where its answer is expected met a backend without the operation.
"""

from __future__ import annotations

import datetime as dt
import uuid
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from tellurio_api import models
from tellurio_api.api.auth import verify_api_key as verify_api_key_operation
from tellurio_api.api.metrics import list_project_metrics as list_project_metrics_operation
from tellurio_api.api.metrics import sample_metric as sample_metric_operation
from tellurio_api.api.metrics import sample_project_metrics as sample_project_metrics_operation
from tellurio_api.api.metrics import summarize_metrics as summarize_metrics_operation
from tellurio_api.api.metrics import (
    summarize_project_metrics as summarize_project_metrics_operation,
)
from tellurio_api.api.projects import create_project as create_project_operation
from tellurio_api.api.projects import delete_project as delete_project_operation
from tellurio_api.api.projects import get_project as get_project_operation
from tellurio_api.api.projects import list_namespaces as list_namespaces_operation
from tellurio_api.api.projects import list_projects as list_projects_operation
from tellurio_api.api.projects import list_trash as list_trash_operation
from tellurio_api.api.projects import restore_project as restore_project_operation
from tellurio_api.api.runs import create_run as create_run_operation
from tellurio_api.api.runs import delete_run as delete_run_operation
from tellurio_api.api.runs import get_run as get_run_operation
from tellurio_api.api.runs import list_config_changes as list_config_changes_operation
from tellurio_api.api.runs import list_runs as list_runs_operation
from tellurio_api.api.runs import restore_run as restore_run_operation
from tellurio_api.api.runs import update_run as update_run_operation
from tellurio_api.api.tables import list_rows as list_rows_operation
from tellurio_api.api.tables import list_tables as list_tables_operation
from tellurio_api.types import UNSET

from afnio_tellurio.api.answers import AnswerFields
from afnio_tellurio.api.calling import (
    LACKING,
    RunPath,
    call_if_known,
    list_all,
    list_all_if_known,
    run_parameters,
)
from afnio_tellurio.api.pages import ANY_LIST, list_pages, list_pages_with_headers
from afnio_tellurio.errors import ApiError, NotFoundError, TellurioError
from afnio_tellurio.settings.limits import METRICS_PAGE, RUNS_PAGE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from afnio_tellurio.api.connection import Connection

# auth


def verify_api_key(connection: Connection) -> dict[str, str]:
    """The owner of the API key: `email` and `username`."""
    owner = connection.call(
        models.ApiKeyOwner, verify_api_key_operation.sync_detailed, client=connection.api
    )
    field = AnswerFields("verifyApiKey")
    return {
        "email": field.text("email", owner.email),
        "username": field.text("username", owner.username),
    }


# projects


def list_namespaces(connection: Connection) -> list[models.Namespace]:
    """The namespaces that the API key can see."""
    return list_all(connection, list_namespaces_operation.sync_detailed, {})


def list_projects(connection: Connection, namespace_slug: str) -> list[models.Project]:
    """The projects of a namespace."""
    query = {"namespace_slug": namespace_slug}
    return list_all(connection, list_projects_operation.sync_detailed, query)


def get_project(
    connection: Connection, namespace_slug: str, project_slug: str
) -> models.Project | None:
    """A project; `None` if it, or its namespace, does not exist."""
    try:
        return connection.call(
            models.Project,
            get_project_operation.sync_detailed,
            namespace_slug=namespace_slug,
            project_slug=project_slug,
            client=connection.api,
        )
    except NotFoundError:
        return None


def create_project(
    connection: Connection, namespace_slug: str, *, display_name: str, visibility: str
) -> models.Project:
    """Creates a project."""
    body = models.ProjectCreate(display_name=display_name)
    # As a field without a type: the backend may know more visibilities than the contract.
    body["visibility"] = visibility
    return connection.call(
        models.Project,
        create_project_operation.sync_detailed,
        namespace_slug=namespace_slug,
        client=connection.api,
        body=body,
    )


def delete_project(
    connection: Connection, namespace_slug: str, project_slug: str, *, purge: bool = False
) -> None:
    """Deletes a project, its runs and their metrics, for good or to the trash if there is one."""
    connection.call(
        type(None),
        delete_project_operation.sync_detailed,
        namespace_slug=namespace_slug,
        project_slug=project_slug,
        client=connection.api,
        purge=purge or UNSET,
    )


def restore_project(
    connection: Connection, namespace_slug: str, project_slug: str
) -> models.Project | None:
    """Restores a project from the trash."""
    try:
        return connection.call(
            models.Project,
            restore_project_operation.sync_detailed,
            namespace_slug=namespace_slug,
            project_slug=project_slug,
            client=connection.api,
        )
    except ApiError as error:
        _require_lacking_trash(connection, namespace_slug, error)
        return None


def list_trash(connection: Connection, namespace_slug: str) -> list[models.TrashedItem] | None:
    """What is in the trash of a namespace."""
    query = {"namespace_slug": namespace_slug}
    return list_all_if_known(connection, list_trash_operation.sync_detailed, query)


def no_trash_error(call: str, connection: Connection, namespace_slug: str) -> TellurioError:
    """Makes the error of a call that requires a trash, for a backend without one."""
    return TellurioError(f"{call}: {connection.address} has no trash of {namespace_slug}")


def _require_lacking_trash(connection: Connection, namespace_slug: str, error: ApiError) -> None:
    """Raises the error of an operation on the trash, unless the backend has no trash."""
    if error.status_code not in LACKING:
        raise error
    # The backend may have the operation, but not the run or project.
    if isinstance(error, NotFoundError) and list_trash(connection, namespace_slug) is not None:
        raise error


# runs


def create_run(
    connection: Connection,
    namespace_slug: str,
    project_slug: str,
    *,
    name: str | None,
    status: str,
    idempotency_key: str,
    run_uuid: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> models.Run:
    """Creates a run.

    The details are further fields of the request, such as a description or a config. A backend
    without the extensions ignores `run_uuid` and some of them.
    """
    body = models.RunCreate.from_dict(details or {})
    body.uuid = UNSET if run_uuid is None else uuid.UUID(run_uuid)
    body.name = UNSET if name is None else name
    body.status = models.RunStatus(status)
    return connection.call(
        models.Run,
        create_run_operation.sync_detailed,
        namespace_slug=namespace_slug,
        project_slug=project_slug,
        client=connection.api,
        body=body,
        idempotency_key=idempotency_key,
    )


class RunsPage(NamedTuple):
    """A page of a list of runs.

    Attributes:
        runs: The runs.
        applied: Which of `where` and `sort` the page follows.
    """

    runs: list[models.Run]
    applied: frozenset[str]


def list_runs(
    connection: Connection,
    namespace_slug: str,
    project_slug: str,
    *,
    name: str | None = None,
    status: str | None = None,
    created_after: dt.datetime | None = None,
    created_before: dt.datetime | None = None,
    details: Mapping[str, str] | None = None,
    limit: int | None = None,
) -> Iterator[RunsPage]:
    """The runs of a project, page by page. A backend may ignore all filters but the name.

    Args:
        connection: The backend.
        namespace_slug: The slug of the namespace that owns the project.
        project_slug: The project's slug.
        name: Only runs with this name.
        status: Only runs with this status.
        created_after: Only runs created at this time or later.
        created_before: Only runs created earlier.
        details: Only runs with this `tag`, `group`, `job_type`, or `parent_uuid`; also `where` and
            `sort`.
        limit: How many runs are wanted; pages need not be larger.
    """
    query: dict[str, Any] = {
        "namespace_slug": namespace_slug,
        "project_slug": project_slug,
        "client": connection.api,
        "name": UNSET if name is None else name,
        "status": UNSET if status is None else models.RunStatus(status),
        "created_after": UNSET if created_after is None else _in_utc(created_after),
        "created_before": UNSET if created_before is None else _in_utc(created_before),
        "limit": min(limit or RUNS_PAGE, RUNS_PAGE),
        **(details or {}),
    }
    if "parent_uuid" in query:
        query["parent_uuid"] = uuid.UUID(query["parent_uuid"])
    for page, headers in list_pages_with_headers(
        connection, "listRuns", list_runs_operation.sync_detailed, query
    ):
        runs: list[models.Run] = page
        applied = headers.get("Applied-Parameters", "").split(",")
        # A backend without the filter returns all of them.
        yield RunsPage(
            [run for run in runs if name is None or run.name == name],
            frozenset(parameter.strip() for parameter in applied),
        )


def get_run(connection: Connection, path: RunPath) -> models.Run:
    """A run, from a backend with or without the operation for it."""
    try:
        return connection.call(
            models.Run, get_run_operation.sync_detailed, **run_parameters(connection, path)
        )
    except ApiError as error:
        if error.status_code not in LACKING:
            raise
        pages = list_runs(connection, path.namespace_slug, path.project_slug)
        for run in chain.from_iterable(page.runs for page in pages):
            if str(run.uuid) == path.run_uuid:
                return run
        if isinstance(error, NotFoundError):
            raise
        raise LookupError(
            f"{path.namespace_slug}/{path.project_slug} has no run {path.run_uuid}"
        ) from None


def get_run_if_known(connection: Connection, path: RunPath) -> models.Run | None:
    """A run; `None` for a backend without the operation for it, or without the run."""
    return call_if_known(
        connection, models.Run, get_run_operation.sync_detailed, **run_parameters(connection, path)
    )


def update_run(
    connection: Connection,
    path: RunPath,
    fields: Mapping[str, Any],
    *,
    etag: str | None = None,
    idempotency_key: str | None = None,
) -> models.Run:
    """Changes a run; with an ETag, only if the run has it; with a key, only once.

    Args:
        connection: The backend.
        path: The run.
        fields: The body of the request.
        etag: The ETag, or None.
        idempotency_key: The key, or None.
    """
    return connection.call(
        models.Run,
        update_run_operation.sync_detailed,
        **run_parameters(connection, path),
        if_match=UNSET if etag is None else etag,
        idempotency_key=UNSET if idempotency_key is None else idempotency_key,
        body=models.RunUpdate.from_dict(fields),
    )


def list_config_changes(connection: Connection, path: RunPath) -> list[models.ConfigChange] | None:
    """The changes of a run's config."""
    return list_all_if_known(
        connection, list_config_changes_operation.sync_detailed, run_parameters(connection, path)
    )


def delete_run(connection: Connection, path: RunPath, *, purge: bool = False) -> None:
    """Deletes a run and its metrics, for good or to the trash if there is one."""
    connection.call(
        type(None),
        delete_run_operation.sync_detailed,
        **run_parameters(connection, path),
        purge=purge or UNSET,
    )


def restore_run(connection: Connection, path: RunPath) -> models.Run | None:
    """Restores a run from the trash."""
    try:
        return connection.call(
            models.Run, restore_run_operation.sync_detailed, **run_parameters(connection, path)
        )
    except ApiError as error:
        _require_lacking_trash(connection, path.namespace_slug, error)
        return None


# metrics and tables


def list_tables(connection: Connection, path: RunPath) -> list[models.Table] | None:
    """The tables of a run."""
    return list_all_if_known(
        connection, list_tables_operation.sync_detailed, run_parameters(connection, path)
    )


def list_rows(
    connection: Connection, path: RunPath, *, name: str
) -> Iterator[list[models.TableRow]]:
    """The rows of a table of a run, page by page."""
    query = {**run_parameters(connection, path), "name": name, "limit": METRICS_PAGE}
    return list_pages(connection, "listRows", list_rows_operation.sync_detailed, query)


def summarize_metrics(
    connection: Connection, path: RunPath
) -> dict[str, models.MetricSummary] | None:
    """The summaries of a run's metrics by name."""
    summaries = call_if_known(
        connection,
        models.MetricSummaries,
        summarize_metrics_operation.sync_detailed,
        **run_parameters(connection, path),
    )
    return None if summaries is None else summaries.additional_properties


def sample_metric(
    connection: Connection, path: RunPath, *, name: str, buckets: int
) -> list[models.MetricBucket] | None:
    """The values of one metric in ranges of steps."""
    return call_if_known(
        connection,
        ANY_LIST,
        sample_metric_operation.sync_detailed,
        **run_parameters(connection, path),
        name=name,
        buckets=buckets,
    )


def list_project_metrics(
    connection: Connection, namespace_slug: str, project_slug: str
) -> list[str] | None:
    """The metric names of a project."""
    query = {"namespace_slug": namespace_slug, "project_slug": project_slug}
    metrics: list[models.ProjectMetric] | None = list_all_if_known(
        connection, list_project_metrics_operation.sync_detailed, query
    )
    if metrics is None:
        return None
    field = AnswerFields("listProjectMetrics")
    return [field.text("name", metric.name) for metric in metrics]


def summarize_project_metrics(
    connection: Connection,
    namespace_slug: str,
    project_slug: str,
    *,
    names: list[str],
    run_uuids: list[str],
) -> list[models.SummaryColumns] | None:
    """Summaries of many runs; empty `names` mean all metrics."""
    query = {
        "namespace_slug": namespace_slug,
        "project_slug": project_slug,
        "name": names,
        "run": list(map(uuid.UUID, run_uuids)),
    }
    return list_all_if_known(connection, summarize_project_metrics_operation.sync_detailed, query)


def sample_project_metrics(
    connection: Connection,
    namespace_slug: str,
    project_slug: str,
    *,
    names: list[str],
    run_uuids: list[str],
    buckets: int,
    steps: tuple[int, int] | None = None,
) -> list[models.SampledSeries] | None:
    """Metrics of several runs in ranges of steps; of the given first to last step, or all."""
    samples = call_if_known(
        connection,
        models.MetricSamples,
        sample_project_metrics_operation.sync_detailed,
        namespace_slug=namespace_slug,
        project_slug=project_slug,
        client=connection.api,
        name=names,
        run=list(map(uuid.UUID, run_uuids)),
        buckets=buckets,
        from_step=UNSET if steps is None else steps[0],
        to_step=UNSET if steps is None else steps[1],
    )
    return None if samples is None else samples.series


def _in_utc(time: dt.datetime) -> dt.datetime:
    """A time in UTC: RFC 3339 has no seconds in an offset, and old zones have."""
    try:
        return time.astimezone(dt.UTC)
    except OverflowError:
        # Within a day of the first or the last time there is.
        limits = dt.datetime.min, dt.datetime.max  # noqa: DTZ901
        return min(limits, key=lambda limit: abs(limit.year - time.year)).replace(tzinfo=dt.UTC)
