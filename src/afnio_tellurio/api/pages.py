"""Lists of the contract, page by page."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from tellurio_api.types import UNSET

from afnio_tellurio.errors import InvalidResponseError
from afnio_tellurio.operation_names import failure_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tellurio_api.types import Response

    from afnio_tellurio.api.connection import Connection

# Spelled out for type checkers: the items are those of the operation's generated parser.
ANY_LIST: type[list[Any]] = list


def list_pages(
    connection: Connection,
    operation: str,
    request: Callable[..., Response[Any]],
    query: Mapping[str, Any],
) -> Iterator[list[Any]]:
    """The pages of a list; see `list_pages_with_headers`."""
    for page, _headers in list_pages_with_headers(connection, operation, request, query):
        yield page


def list_pages_with_headers(
    connection: Connection,
    operation: str,
    request: Callable[..., Response[Any]],
    query: Mapping[str, Any],
    kind: type[Any] = ANY_LIST,
) -> Iterator[tuple[Any, Mapping[str, str]]]:
    """The pages of a list, and the headers of their answers; each is requested when it is needed.

    A backend may divide a list although the query has no limit, and may ignore a limit.

    Args:
        connection: The backend.
        operation: The operation, for example `listRuns`.
        request: Sends the request for a page and parses the answer.
        query: The keyword arguments of the request, without the cursor.
        kind: What a page is.

    Raises:
        InvalidResponseError: The answer is invalid, or its next page is itself.
        TellurioError: The request failed.
    """
    cursor = ""
    while True:
        parameters = {**query, "cursor": cursor or UNSET}
        page, headers = connection.exchange(
            kind, operation, partial(request, **parameters), parameters
        )
        yield page, headers
        following: str = headers.get("Next-Cursor", "")
        if not following:
            return
        if following == cursor:
            raise InvalidResponseError(
                f"{failure_of(operation)}: the backend answered with the cursor that it was asked "
                "for, so the list has no end",
                operation=operation,
            )
        cursor = following
