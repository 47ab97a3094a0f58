"""Calls operations of the generated client, which a backend may lack or answer page by page."""

from __future__ import annotations

import uuid
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypedDict, TypeVar

from afnio_tellurio.api.connection import operation_id
from afnio_tellurio.api.pages import list_pages
from afnio_tellurio.errors import ApiError
from afnio_tellurio.settings.limits import LIST_PAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import tellurio_api
    from tellurio_api.types import Response

    from afnio_tellurio.api.connection import Connection

P = ParamSpec("P")
A = TypeVar("A")

#: The statuses of a backend without an operation.
LACKING = (404, 405, 501)


class RunPath(NamedTuple):
    """The run in a request's path."""

    namespace_slug: str
    project_slug: str
    run_uuid: str


class RunParameters(TypedDict):
    """The arguments of a request for a run."""

    namespace_slug: str
    project_slug: str
    run_uuid: uuid.UUID
    client: tellurio_api.Client


def run_parameters(connection: Connection, path: RunPath) -> RunParameters:
    """The arguments of a request for a run."""
    return {
        "namespace_slug": path.namespace_slug,
        "project_slug": path.project_slug,
        "run_uuid": uuid.UUID(path.run_uuid),
        "client": connection.api,
    }


def call_if_known(
    connection: Connection,
    answer: type[A],
    operation: Callable[P, Response[Any]],
    *args: P.args,
    **kwargs: P.kwargs,
) -> A | None:
    """Calls an operation; returns `None` for a backend without it."""
    try:
        return connection.call(answer, operation, *args, **kwargs)
    except ApiError as error:
        if error.status_code not in LACKING:
            raise
        return None


def list_all(
    connection: Connection, operation: Callable[..., Response[Any]], query: Mapping[str, Any]
) -> list[Any]:
    """All items of a list; a backend may send it in parts."""
    parameters = {**query, "client": connection.api, "limit": LIST_PAGE}
    pages = list_pages(connection, operation_id(operation), operation, parameters)
    return list(chain.from_iterable(pages))


def list_all_if_known(
    connection: Connection, operation: Callable[..., Response[Any]], query: Mapping[str, Any]
) -> list[Any] | None:
    """Does what `list_all` does; returns `None` for a backend without the operation."""
    try:
        return list_all(connection, operation, query)
    except ApiError as error:
        if error.status_code not in LACKING:
            raise
        return None
