"""The function `scan`."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from afnio_tellurio.api import operations
from afnio_tellurio.api.frames import imported
from afnio_tellurio.client import TellurioClient, connection_of
from afnio_tellurio.default_client import client_or_default
from afnio_tellurio.delivery.senders import settle_project
from afnio_tellurio.errors import TellurioError
from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.scanning.listing import list_counts, list_states
from afnio_tellurio.scanning.point_cache import PointCache
from afnio_tellurio.scanning.point_files import Arrow
from afnio_tellurio.scanning.updating import Updating
from afnio_tellurio.tracking.filtering import Query
from afnio_tellurio.validation import checked_name, checked_slug, project_slug

if TYPE_CHECKING:
    from afnio_tellurio.api.connection import Connection

_WHAT_TO_DO = (
    "this user can only read the folder, which lacks points: call scan once as its owner, or copy "
    "TELLURIO_HOME to a writable place"
)


def scan(
    namespace_slug: str,
    project: str,
    client: TellurioClient | None = None,
    *,
    where: str | None = None,
    metrics: Iterable[str] | None = None,
) -> Any:
    """All points of a project as a `polars.LazyFrame`, over Parquet files on this machine.

    The call reads the points that the backend has and the files lack. The frame reads the files
    when it is collected; those that a later call replaces stay for an hour. They are in the folder
    `cache` of `TELLURIO_HOME`.

    Args:
        namespace_slug: The slug of the namespace that owns the project.
        project: The project's slug or display name.
        client: The client to use; default the environment's.
        where: Only runs for which this filter is true, see `runs`.
        metrics: The metrics to read; default all.

    Returns:
        A frame with a row for each value that is a number, in no particular order, and the columns
        `run`, `run_uuid`, `name`, `step`, `value`, and `timestamp`. A value is a double; NaN and
        the infinities are kept. Lists, texts, and other values are left out.

    Raises:
        ImportError: polars or pyarrow is not installed.
        TypeError: An argument has the wrong type.
        ValueError: A name is empty, too long or without a slug, or the filter is invalid.
        NotFoundError: The project does not exist.
        OSError: Points are missing in the files, which cannot be written.
        TellurioError: A request failed.
    """
    polars, arrow = imported("scan", "polars"), Arrow.load("scan")
    namespace_slug = checked_slug("scan", "namespace slug", namespace_slug)
    slug = project_slug("scan", project)
    names = None if metrics is None else _names(metrics)
    query = Query("scan", where, None)
    client = client_or_default(client)
    if client is None:
        return _frame(polars, [])
    connection = connection_of(client)
    settle_project(connection, "scan", namespace_slug, slug, lane="metrics")
    cache = PointCache(connection.settings.cache, [*_place_of(connection), namespace_slug, slug])
    try:
        with cache.locked():
            listed = list_counts(client, namespace_slug, slug, query, names)
            if listed is None:
                listed = list_states(client, namespace_slug, slug, where)
            index = Updating(arrow, cache, connection, (namespace_slug, slug)).run(
                listed, are_all_runs=where is None, names=names
            )
    except OSError as error:
        raise_foreign(error)
        if isinstance(error, TellurioError):
            raise
        problem = f"scan: the points cannot be written ({error.strerror or error})"
        if cache.is_read_only:
            problem += f"; {_WHAT_TO_DO}"
        raise OSError(error.errno or errno.EIO, problem, str(cache.folder)) from error
    paths = [
        cache.folder / file.name
        for file in index.files
        if where is None or not listed.keys().isdisjoint(file.runs)
    ]
    frame = _frame(polars, paths)
    if where is not None:
        frame = frame.filter(polars.col("run_uuid").is_in(list(listed)))
    return frame if names is None else frame.filter(polars.col("name").is_in(names))


def _names(metrics: object) -> list[str]:
    if isinstance(metrics, str | bytes) or not isinstance(metrics, Iterable):
        raise TypeError(f"scan: metrics is {metrics!r}; it must be a list of names")
    names = [checked_name("scan", "metrics", name) for name in metrics]  # pyright: ignore[reportUnknownVariableType]
    return list(dict.fromkeys(names))


def _place_of(connection: Connection) -> list[str]:
    """The backend and the account, which may see other projects than another one."""
    if connection.is_local:
        return [connection.name_in_journals]
    return [connection.name_in_journals, operations.verify_api_key(connection)["username"]]


def _frame(polars: Any, paths: list[Any]) -> Any:
    if paths:
        return polars.scan_parquet(paths, glob=False, hive_partitioning=False)
    return polars.LazyFrame(
        schema={
            "run": polars.String,
            "run_uuid": polars.String,
            "name": polars.String,
            "step": polars.Int64,
            "value": polars.Float64,
            "timestamp": polars.Datetime("us", "UTC"),
        }
    )
