"""Every exception of the SDK, and the one place where an HTTP error becomes one."""

from __future__ import annotations

import json
import re
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Of an answer that is not ours (a proxy's page, say), this much is quoted.
_QUOTED_CHARACTERS = 500


class TellurioError(Exception):
    """The base of every exception that only this SDK raises."""


class RunFinishedError(TellurioError, RuntimeError):
    """A metric was logged to a run that is finished."""


class DatabaseError(TellurioError):
    """The embedded backend cannot use its database file."""


class CredentialsError(TellurioError):
    """The credentials file cannot be used: others can read it, it is damaged, or not writable."""


class BackendUnreachableError(TellurioError, ConnectionError, ValueError):
    """The backend could not be reached, or did not answer in time.

    It is a `ConnectionError`, and a `ValueError` too because that is what `afnio.tellurio` raised
    here.
    """


class DeliveryError(TellurioError):
    """What was logged could not be delivered, in the time there was; it stays on the disk.

    Attributes:
        waiting: How many metrics wait to be delivered.
        in_memory: How many of these the journal could not take: they end with this process.
        lost: How many cannot be delivered any more: neither the disk nor memory took them, or the
            journal is damaged.
        path: The journal that holds what waits.
        reason: What keeps it from being delivered.
    """

    def __init__(
        self,
        call: str,
        *,
        run_name: str,
        waiting: int,
        lost: int,
        path: str,
        reason: str,
        in_memory: int = 0,
    ) -> None:
        parts: list[str] = []
        if waiting > in_memory or not waiting:
            what = f"{waiting - in_memory} metrics wait" if waiting else "its end waits"
            parts.append(f"{what} in {path}")
        if in_memory:
            parts.append(
                f"{in_memory} metrics wait in memory and are lost when this process ends, for "
                f"{path} cannot be written"
            )
        if lost:
            parts.append(f"{lost} are lost: the journal could not keep them")
        super().__init__(
            f"{call}: run {run_name!r}: {', and '.join(parts)} ({reason}); "
            "deliver with: afnio-tellurio sync"
        )
        self._arguments = (call, run_name, waiting, lost, path, reason, in_memory)
        self.waiting = waiting
        self.lost = lost
        self.path = path
        self.reason = reason
        self.in_memory = in_memory

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_delivery_error, self._arguments


class InvalidResponseError(TellurioError):
    """The backend's answer does not make sense: not JSON, or a field is missing or malformed.

    Attributes:
        operation: The operation of the API, for example `createRun`.
    """

    def __init__(self, message: str, *, operation: str) -> None:
        super().__init__(message)
        self.operation = operation

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_invalid_response, (str(self), self.operation)


class ApiError(TellurioError, httpx.HTTPStatusError):
    """The backend answered with an error status.

    Attributes:
        status_code: The HTTP status, for example 404.
        operation: The operation of the API, for example `createRun`.
        identifiers: What the request was about, for example `{"namespace_slug": "acme"}`.
        request_id: What the backend calls this request (its `X-Request-ID` header), or `None`.
        words: What the backend said, in its own words.
        request: The request, an `httpx.Request`, without the API key.
        response: The answer, an `httpx.Response`, without the API key.
    """

    def __init__(
        self, response: httpx.Response, *, operation: str, identifiers: Mapping[str, str]
    ) -> None:
        response = _without_key(response)
        self.status_code = response.status_code
        self.operation = operation
        self.identifiers = dict(identifiers)
        self.request_id: str | None = response.headers.get("x-request-id")
        self.words = words_of(response)
        about = ", ".join(f"{name}={value!r}" for name, value in self.identifiers.items())
        url = response.request.url
        host = f"{url.scheme}://{url.netloc.decode('ascii')}"
        message = (
            f"{operation}{f' ({about})' if about else ''}: {host} answered {self.status_code}"
            f"{f' {response.reason_phrase}' if response.reason_phrase else ''}: {self.words}"
        )
        if self.request_id:
            message += f" [request {self.request_id}]"
        super().__init__(message, request=response.request, response=response)

    def __reduce__(self) -> tuple[Any, ...]:
        # An exception of a worker process must reach its parent: pickle calls with positions only.
        # The message is that of the process where it was raised, whatever the settings are here.
        arguments = (type(self), self.response, self.operation, self.identifiers)
        return _rebuild_api_error, arguments, {"args": self.args}


class BadRequestError(ApiError, ValueError):
    """400: the backend cannot carry out the request as it stands."""


class InvalidAPIKeyError(ApiError):
    """401: the API key is missing or the backend refuses it."""


class PermissionDeniedError(ApiError):
    """403: the API key may not do this."""


class NotFoundError(ApiError, LookupError):
    """404: the namespace, project or run does not exist, or the backend lacks the operation."""


class ConflictError(ApiError):
    """409: what is to be created exists, or a batch leaves a gap."""


class PayloadTooLargeError(ApiError, ValueError):
    """413: the request is larger than the backend takes."""


class RateLimitError(ApiError):
    """429: too many requests; the backend asks to wait."""


class BackendFailureError(ApiError):
    """5xx: the backend, or a proxy before it, failed."""


_ERROR_OF_STATUS: dict[int, type[ApiError]] = {
    400: BadRequestError,
    401: InvalidAPIKeyError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    413: PayloadTooLargeError,
    429: RateLimitError,
}
_FIRST_SERVER_STATUS = 500


def api_error(
    response: httpx.Response, *, operation: str, identifiers: Mapping[str, str], sign_in: str
) -> ApiError:
    """The exception for an answer with an error status.

    Args:
        response: The answer, read.
        operation: The operation of the API, for example `createRun`.
        identifiers: The parameters of the request that identify its subject, by name.
        sign_in: How to sign in, for an answer that refuses the key.
    """
    fallback = BackendFailureError if response.status_code >= _FIRST_SERVER_STATUS else ApiError
    kind = _ERROR_OF_STATUS.get(response.status_code, fallback)
    error = kind(response, operation=operation, identifiers=identifiers)
    if kind is InvalidAPIKeyError:
        error.args = (f"{error} ({sign_in})",)
    return error


def never_had_run(error: ApiError) -> bool:
    """Whether the backend answered that it never had the run; not every backend tells.

    Args:
        error: The answer to a request for the run.
    """
    try:
        body: Any = error.response.json()
    except (ValueError, RecursionError):
        # A proxy may answer 404 with anything.
        return False
    return isinstance(body, dict) and body.get("deleted") is False  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]


def words_of(response: httpx.Response) -> str:
    """What an error answer says: its `detail`, its field errors, or the text of whatever it is."""
    try:
        said = response.json()
    except (ValueError, RecursionError):
        said = None
    if isinstance(said, dict) and said:
        parts = [_field_words(str(name), what) for name, what in said.items()]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        text = "; ".join(parts)
    else:
        text = re.sub(r"(?s)<(style|script).*?</\1>|<[^>]*>", " ", response.text)
    text = " ".join(text.split())
    if len(text) > _QUOTED_CHARACTERS:
        text = f"{text[:_QUOTED_CHARACTERS]}..."
    return text or "(nothing)"


def _without_key(response: httpx.Response) -> httpx.Response:
    """A copy of an answer and its request that can be pickled and printed: it holds no API key."""
    key = response.request.headers.get("Authorization", "").removeprefix("Api-Key ")
    content = response.content
    for written in {key, json.dumps(key)[1:-1]} - {""}:
        # Some backends repeat what they were sent.
        content = content.replace(written.encode(), b"***")
    # The content is decoded, and as long as it is.
    headers = [
        (name, value.replace(key.encode(), b"***") if key else value)
        for name, value in response.headers.raw
        if name.lower() not in {b"content-encoding", b"content-length", b"transfer-encoding"}
    ]
    copy = httpx.Response(
        response.status_code,
        headers=headers,
        content=content,
        request=_request_without_key(response.request),
        extensions={
            name: response.extensions[name]
            for name in ("http_version", "reason_phrase")
            if name in response.extensions
        },
    )
    with suppress(RuntimeError):
        # One that a program made by itself took no time.
        copy.elapsed = response.elapsed
    return copy


def _request_without_key(request: httpx.Request) -> httpx.Request:
    headers = [
        (name, value)
        for name, value in request.headers.raw
        if name.lower() not in {b"authorization", b"cookie"}
    ]
    return httpx.Request(request.method, request.url, headers=headers, content=request.content)


def forget_key(error: BaseException | None) -> None:
    """Removes the API key from the exceptions of httpx that an exception was made from.

    They hold their request, and their tracebacks the headers as they were sent.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, httpx.RequestError):
            error.request = _request_without_key(error.request)
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _field_words(name: str, what: Any) -> str:
    if isinstance(what, list):
        what = " ".join(str(item) for item in what)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return str(what) if name == "detail" else f"{name}: {what}"


def _rebuild_api_error(
    kind: type[ApiError], response: httpx.Response, operation: str, identifiers: dict[str, str]
) -> ApiError:
    return kind(response, operation=operation, identifiers=identifiers)


def _rebuild_delivery_error(*arguments: Any) -> DeliveryError:
    names = ("run_name", "waiting", "lost", "path", "reason", "in_memory")
    return DeliveryError(arguments[0], **dict(zip(names, arguments[1:], strict=True)))


def _rebuild_invalid_response(message: str, operation: str) -> InvalidResponseError:
    return InvalidResponseError(message, operation=operation)


for _kind in [value for value in globals().values() if isinstance(value, type)]:
    if issubclass(_kind, TellurioError):
        # Tracebacks name an exception as users import it; which module holds it may change.
        _kind.__module__ = "afnio_tellurio"
