"""Finding, deleting and restoring runs."""

from __future__ import annotations

import datetime as dt
import sys
import uuid
from collections.abc import Iterator
from itertools import chain, islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from afnio_tellurio.api import operations
from afnio_tellurio.api.calling import RunPath
from afnio_tellurio.api.entities import RunStatus, read_run
from afnio_tellurio.client import TellurioClient, connection_of
from afnio_tellurio.default_client import client_or_default
from afnio_tellurio.delivery.senders import settle
from afnio_tellurio.errors import NotFoundError
from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.tracking.active import open_runs
from afnio_tellurio.tracking.details import checked_filters, has_details
from afnio_tellurio.tracking.disabled import DisabledRun
from afnio_tellurio.tracking.filtering import Query
from afnio_tellurio.tracking.reading import client_of, source_of
from afnio_tellurio.tracking.run import Run, bind_run
from afnio_tellurio.tracking.statuses import checked_status
from afnio_tellurio.validation import check_limit, checked_name, checked_slug, project_slug

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from afnio_tellurio.api.entities import RunRecord


def runs(
    namespace_slug: str,
    project: str,
    client: TellurioClient | None = None,
    *,
    status: RunStatus | str | None = None,
    created_after: dt.datetime | None = None,
    created_before: dt.datetime | None = None,
    tag: str | None = None,
    group: str | None = None,
    job_type: str | None = None,
    parent: RunRecord | str | None = None,
    where: str | None = None,
    sort: str | None = None,
    limit: int | None = None,
) -> Iterator[Run]:
    """The runs of a project that match all filters, newest first, or in the order of `sort`.

    The first page is requested at once, each further one when it is needed.

    Args:
        namespace_slug: The slug of the namespace that owns the project.
        project: The project's slug or display name.
        client: The client to use; default the environment's.
        status: Only runs with this status, a `RunStatus` or its word.
        created_after: Only runs created at this time, which must have a time zone, or later.
        created_before: Only runs created before this time, which must have a time zone.
        tag: Only runs with this tag.
        group: Only runs of this group.
        job_type: Only runs with this job type.
        parent: Only the children of this run, or of the run with this UUID.
        where: Only runs for which this filter is true, such as
            `'status = COMPLETED and config.lr < 1e-3 and metric("val/acc").max > 0.8'`; see the
            page about filters. A backend without filters sends all runs, which are filtered here.
        sort: What to sort by, such as `"created"`, `"config.lr"`, or `'metric("loss").min'`, the
            smallest first; with `-` in front, the greatest. Runs without the value are last.
        limit: The maximum number of runs, the first ones; default all.

    Returns:
        An iterator over the runs. It raises the errors of this call if a later page fails.

    Raises:
        TypeError: A name or the status is not a string, a time is not a `datetime`, or the limit is
            not an integer.
        ValueError: A name is empty, too long or without a slug, there is no such status, a time has
            no time zone, the parent is not a UUID, the filter or the order is invalid or names a
            metric or a name of the config that no run has, or the limit is less than 1.
        NotFoundError: The project does not exist.
        TellurioError: The request failed.
    """
    namespace_slug = checked_slug("runs", "namespace slug", namespace_slug)
    slug = project_slug("runs", project)
    if status is not None:
        status = checked_status("runs", status)
    for name, time in (("created_after", created_after), ("created_before", created_before)):
        _check_time("runs", name, time)
    check_limit("runs", limit)
    # What `islice` accepts.
    limit = limit and min(limit, sys.maxsize)
    details = checked_filters("runs", tag=tag, group=group, job_type=job_type, parent=parent)
    query = Query("runs", where, sort)
    client = client_or_default(client)
    if client is None:
        return RunIterator(f"{namespace_slug}/{slug}", iter(()))
    matching = list_matching(
        client,
        namespace_slug,
        slug,
        query,
        status=status,
        created_after=created_after,
        created_before=created_before,
        details=details,
        limit=limit,
    )
    return RunIterator(f"{namespace_slug}/{slug}", matching)


class RunIterator(Iterator[Run]):
    """The runs that `runs` has found; its repr, which a notebook shows, says how to see them."""

    def __init__(self, project: str, runs: Iterator[Run]) -> None:
        self._project = project
        self._runs = runs

    def __next__(self) -> Run:
        return next(self._runs)

    def __repr__(self) -> str:
        return f"<iterator over runs of {self._project}; list() reads them, table() shows them>"


def list_matching(
    client: TellurioClient,
    namespace_slug: str,
    slug: str,
    query: Query,
    *,
    status: str | None = None,
    created_after: dt.datetime | None = None,
    created_before: dt.datetime | None = None,
    details: Mapping[str, str] = MappingProxyType({}),
    limit: int | None = None,
) -> Iterator[Run]:
    """Lists the runs of a project for the call of `query`, whose arguments are checked.

    The first page is requested at once, each further one when it is needed.

    Raises:
        ValueError: The filter or the order is invalid or names what no run has.
        NotFoundError: The project does not exist.
        TellurioError: The request failed.
    """
    pages = operations.list_runs(
        connection_of(client),
        namespace_slug,
        slug,
        status=status,
        created_after=created_after,
        created_before=created_before,
        details={**details, **query.parameters},
        limit=limit,
    )

    def matching(page: operations.RunsPage) -> list[Run]:
        # A backend without the filters returns all runs, perhaps in another order.
        matches = [
            run
            for run in _read_runs(client, namespace_slug, slug, page.runs)
            if (status is None or run.status == status)
            and _is_between(run.date_created, created_after, created_before)
            and has_details(run, details)
        ]
        return matches if "sort" in page.applied else _newest_first(matches)

    # Here, so that the call itself raises.
    with query.reported():
        page = next(pages)
    first = matching(page)
    if not page.applied.issuperset(query.parameters):
        every_run = chain(first, chain.from_iterable(map(matching, pages)))
        return islice(query.apply(_newest_first(every_run)), limit)
    return islice(chain(first, chain.from_iterable(map(matching, pages))), limit)


def get_run(
    namespace_slug: str, project: str, run: str, client: TellurioClient | None = None
) -> Run:
    """Finds a run.

    Args:
        namespace_slug: The slug of the namespace that owns the project.
        project: The project's slug or display name.
        run: The run's UUID or name.
        client: The client to use; default the environment's.

    Raises:
        TypeError: A name is not a string.
        ValueError: A name is empty, too long or without a slug.
        NotFoundError: The project does not exist.
        LookupError: The project has no such run; a `NotFoundError` if the backend answered so.
        TellurioError: The request failed.
    """
    namespace_slug = checked_slug("get_run", "namespace slug", namespace_slug)
    slug = project_slug("get_run", project)
    run = checked_name("get_run", "run", run)
    client = client_or_default(client)
    if client is None:
        return DisabledRun(str(uuid.UUID(int=0)), run, None, RunStatus.RUNNING)
    run_uuid = _as_uuid(run)
    if run_uuid is None:
        by_name = _find_by_name("get_run", client, namespace_slug, slug, run)
        # Lists leave out the environment.
        path = RunPath(namespace_slug, slug, by_name.uuid)
        model = operations.get_run_if_known(connection_of(client), path)
        if model is None:
            return by_name
        (found,) = _read_runs(client, namespace_slug, slug, [model], "getRun")
        return found
    try:
        path = RunPath(namespace_slug, slug, run_uuid)
        model = operations.get_run(connection_of(client), path)
    except LookupError as error:
        raise_foreign(error)
        # A name may look like a UUID. If it is not one, the answer is about the UUID.
        named = runs_named(client, namespace_slug, slug, run)
        if not named:
            raise
        return named[0]
    (found,) = _read_runs(client, namespace_slug, slug, [model], "getRun")
    return found


def reread(run: Run) -> Run:
    """The run as its backend has it now.

    Raises:
        LookupError: It was deleted.
        TellurioError: The request failed.
    """
    connection, path = source_of(run, None)
    model = operations.get_run(connection, path)
    (found,) = _read_runs(client_of(run), *path[:2], [model], "getRun")
    return found


def delete_run(
    namespace_slug: str,
    project: str,
    run: str,
    client: TellurioClient | None = None,
    *,
    purge: bool = False,
) -> None:
    """Deletes a run and its metrics.

    It stays in the trash for 30 days, and `restore_run` restores it. A backend without a trash
    deletes it for good.

    Args:
        namespace_slug: The slug of the namespace that owns the project.
        project: The project's slug or display name.
        run: The run's UUID or name.
        client: The client to use; default the environment's.
        purge: Whether to delete it for good at once. If the project has no such run, this is the
            one in the trash that was deleted last.

    Raises:
        TypeError: A name is not a string.
        ValueError: A name is empty, too long or without a slug, or the run is the active one of
            this process.
        NotFoundError: The project does not exist.
        LookupError: The project has no such run; a `NotFoundError` if the backend answered so.
        DeliveryError: Metrics that were logged to the run could not be delivered.
        TellurioError: The request failed.
    """
    namespace_slug = checked_slug("delete_run", "namespace slug", namespace_slug)
    slug = project_slug("delete_run", project)
    run = checked_name("delete_run", "run", run)
    client = client_or_default(client)
    if client is None:
        return
    run_uuid = _as_uuid(run)
    if run_uuid is None:
        run_uuid = _find_to_delete(client, namespace_slug, slug, run, purge=purge)
    try:
        _delete(client, RunPath(namespace_slug, slug, run_uuid), purge=purge)
    except NotFoundError:
        named = runs_named(client, namespace_slug, slug, run)
        if not named:
            raise
        _delete(client, RunPath(namespace_slug, slug, named[0].uuid), purge=purge)


def _find_to_delete(
    client: TellurioClient, namespace_slug: str, slug: str, name: str, *, purge: bool
) -> str:
    """The UUID of the run with this name, which may be in the trash if it is to be purged."""
    try:
        return _find_by_name("delete_run", client, namespace_slug, slug, name).uuid
    except LookupError as error:
        raise_foreign(error)
        trashed = _find_trashed(client, namespace_slug, slug, name) if purge else None
        if trashed is None:
            raise
        return trashed


def _find_trashed(client: TellurioClient, namespace_slug: str, slug: str, name: str) -> str | None:
    """The UUID of the run with this name in the trash that was deleted last, if there is one."""
    for item in operations.list_trash(connection_of(client), namespace_slug) or ():
        if item.kind == "run" and (item.project_slug, item.name) == (slug, name):
            return str(item.uuid)
    return None


def restore_run(
    namespace_slug: str, project: str, run: str, client: TellurioClient | None = None
) -> Run:
    """Restores a deleted run and its metrics from the trash.

    If another run of the project has its name now, `_1`, `_2`, ... is appended.

    Args:
        namespace_slug: The slug of the namespace that owns the project.
        project: The project's slug or display name.
        run: The run's UUID or name. If several with the name were deleted, this is the last one.
        client: The client to use; default the environment's.

    Raises:
        TypeError: A name is not a string.
        ValueError: A name is empty, too long or without a slug.
        NotFoundError: The project does not exist; `restore_project` restores a deleted one.
        LookupError: No such run is in the trash; a `NotFoundError` if the backend answered so.
        TellurioError: The request failed, or the backend has no trash.
    """
    namespace_slug = checked_slug("restore_run", "namespace slug", namespace_slug)
    slug = project_slug("restore_run", project)
    run = checked_name("restore_run", "run", run)
    client = client_or_default(client)
    if client is None:
        return DisabledRun(str(uuid.UUID(int=0)), run, None, RunStatus.RUNNING)
    connection = connection_of(client)
    # A name may look like a UUID.
    run_uuid = _find_trashed(client, namespace_slug, slug, run) or _as_uuid(run)
    if run_uuid is None:
        if operations.list_trash(connection, namespace_slug) is None:
            raise operations.no_trash_error("restore_run", connection, namespace_slug)
        raise LookupError(
            f"restore_run: the trash of {namespace_slug}/{slug} has no run named {run!r}"
        )
    model = operations.restore_run(connection, RunPath(namespace_slug, slug, run_uuid))
    if model is None:
        raise operations.no_trash_error("restore_run", connection, namespace_slug)
    (restored,) = _read_runs(client, namespace_slug, slug, [model], "restoreRun")
    return restored


def _delete(client: TellurioClient, path: RunPath, *, purge: bool) -> None:
    for run in open_runs():
        if run.uuid == path.run_uuid:
            raise ValueError(
                f"delete_run: run {run.name!r} is active in this process; finish it first"
            )
    connection = connection_of(client)
    # Metrics on their way would find the run gone, and would be reported.
    settle(connection, "deleteRun", path.run_uuid)
    operations.delete_run(connection, path, purge=purge)


def _as_uuid(run: str) -> str | None:
    try:
        return str(uuid.UUID(run))
    except ValueError as error:
        raise_foreign(error)
        return None


def _find_by_name(
    call: str, client: TellurioClient, namespace_slug: str, slug: str, name: str
) -> Run:
    named = runs_named(client, namespace_slug, slug, name)
    if not named:
        raise LookupError(f"{call}: {namespace_slug}/{slug} has no run named {name!r}")
    return named[0]


def runs_named(client: TellurioClient, namespace_slug: str, slug: str, name: str) -> list[Run]:
    """The runs with this name, newest first."""
    pages = operations.list_runs(connection_of(client), namespace_slug, slug, name=name)
    models = list(chain.from_iterable(page.runs for page in pages))
    return _newest_first(_read_runs(client, namespace_slug, slug, models))


def _read_runs(
    client: TellurioClient,
    namespace_slug: str,
    slug: str,
    models: list[Any],
    operation: str = "listRuns",
) -> list[Run]:
    read = [read_run(Run, model, operation, namespace_slug) for model in models]
    for run in read:
        bind_run(run, client, slug)
    return read


def _newest_first(runs: Iterable[Run]) -> list[Run]:
    oldest = dt.datetime.min.replace(tzinfo=dt.UTC)
    return sorted(runs, key=lambda run: run.date_created or oldest, reverse=True)


def _check_time(call: str, name: str, time: Any) -> None:
    if time is not None and not isinstance(time, dt.datetime):
        raise TypeError(f"{call}: {name} is {time!r}; it must be a datetime")
    if time is not None and time.tzinfo is None:
        raise ValueError(
            f"{call}: {name} is {time.isoformat()}, which has no time zone; "
            "add one, with .astimezone() for local time"
        )


def _is_between(
    created: dt.datetime | None, earliest: dt.datetime | None, end: dt.datetime | None
) -> bool:
    if created is None:
        return earliest is None and end is None
    return (earliest is None or created >= earliest) and (end is None or created < end)
