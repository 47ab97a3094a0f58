"""Every exception of the SDK, and the one place that makes an exception from an HTTP error.

TellurioError
├── RunFinishedError            also a RuntimeError
├── DatabaseError
├── CredentialsError
├── DeliveryError               also a ValueError
├── BackendUnreachableError     also a ConnectionError and a ValueError
├── InvalidResponseError        also a ValueError
└── ApiError                    also an httpx.HTTPStatusError
    ├── BadRequestError         400, also a ValueError
    ├── InvalidAPIKeyError      401
    ├── PermissionDeniedError   403
    ├── NotFoundError           404, also a LookupError
    ├── ConflictError           409
    ├── RunChangedError         412
    ├── PayloadTooLargeError    413, also a ValueError
    ├── RateLimitError          429
    └── BackendFailureError     5xx
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

from afnio_tellurio.error_responses import code_of, fields_of, message_of, without_key
from afnio_tellurio.operation_names import failure_of

if TYPE_CHECKING:
    from collections.abc import Mapping


class TellurioError(Exception):
    """The base class of every exception that is specific to this SDK."""


class RunFinishedError(TellurioError, RuntimeError):
    """A metric was logged to a finished run."""


class DatabaseError(TellurioError):
    """The embedded backend cannot use its database file."""


class CredentialsError(TellurioError):
    """The credentials file is unusable: others can read it, it is damaged, or not writable."""


class BackendUnreachableError(TellurioError, ConnectionError, ValueError):
    """The backend could not be reached, or did not answer in time.

    It is a `ConnectionError`. It is also a `ValueError` because `afnio.tellurio` raised that here.
    """


class DeliveryError(TellurioError, ValueError):
    """Logged data could not be delivered within the timeout; it stays on the disk.

    It is also a `ValueError` because `afnio.tellurio` raised that for a network error. If the
    backend answered with an error status, it is a `RefusedDeliveryError`.

    Attributes:
        waiting: The number of metrics that wait to be delivered.
        in_memory: How many of them could not be written to the journal: they are lost when this
            process ends.
        lost: The number of metrics that can no longer be delivered: the disk and the memory buffer
            were full, or the journal is damaged.
        path: The journal that holds the waiting data.
        reason: Why it could not be delivered.
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
        content: str | None = None,
    ) -> None:
        parts: list[str] = []
        if content is not None:
            verb = "waits" if content.startswith(("1 ", "an ")) else "wait"
            parts.append(f"{content} {verb} in {path}")
        elif waiting > in_memory or not waiting:
            subject = counted_metrics(waiting - in_memory) if waiting else "its end or a change"
            parts.append(f"{subject} {'wait' if waiting - in_memory > 1 else 'waits'} in {path}")
        if in_memory:
            are_lost = "waits in memory and is" if in_memory == 1 else "wait in memory and are"
            subject = counted_metrics(in_memory) if content is None else counted_uploads(in_memory)
            parts.append(
                f"{subject} {are_lost} lost when this process ends, because "
                f"{path} cannot be written"
            )
        if lost:
            parts.append(f"{lost} are lost: the journal could not store them")
        # The run of a journal that was set aside is gone, and `sync` leaves it alone.
        remedy = "" if path.endswith(".undeliverable") else "; deliver with: afnio-tellurio sync"
        super().__init__(f"{call}: run {run_name!r}: {', and '.join(parts)} ({reason}){remedy}")
        self._arguments = (call, run_name, waiting, lost, path, reason, in_memory, content)
        self.waiting = waiting
        self.lost = lost
        self.path = path
        self.reason = reason
        self.in_memory = in_memory

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_delivery_error, (self._arguments, None)


class RefusedDeliveryError(DeliveryError, httpx.HTTPStatusError):
    """Logged data was not delivered: the backend answered with an error status.

    It is also an `httpx.HTTPStatusError`, as in `afnio.tellurio`.

    Attributes:
        request: The last request, an `httpx.Request`, without the API key.
        response: The response, an `httpx.Response`, without the API key.
    """

    response: httpx.Response

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_delivery_error, (self._arguments, self.response)


class InvalidResponseError(TellurioError, ValueError):
    """The backend's response is invalid: not JSON, or a field is missing or malformed.

    It is also a `ValueError` because `afnio.tellurio` raised that for an answer that is not JSON.

    Attributes:
        operation: The API operation, for example `createRun`.
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
        operation: The API operation, for example `createRun`.
        identifiers: The subject of the request, for example `{"namespace_slug": "acme"}`.
        request_id: The ID of this request (its `X-Request-ID` header), or `None`: the backend's if
            it answers with one, else the one that was sent.
        words: The error message in the response.
        code: The word for programs in the response, for example `"slug_taken"`, or `None`: not
            every backend has one. New words may be added; treat an unknown one like the status.
        request: The request, an `httpx.Request`, without the API key.
        response: The response, an `httpx.Response`, without the API key.
    """

    def __init__(
        self, response: httpx.Response, *, operation: str, identifiers: Mapping[str, str]
    ) -> None:
        response = without_key(response)
        self.status_code = response.status_code
        self.operation = operation
        self.identifiers = dict(identifiers)
        self.request_id: str | None = response.headers.get(
            "x-request-id", response.request.headers.get("x-request-id")
        )
        self.words = message_of(response)
        self.code: str | None = code_of(response)
        # The path that the user knows: namespace, project, run.
        subject = "/".join(self.identifiers.values())
        message = self.words
        # The embedded backend has no address, and keeps no log to search for a request.
        if "x-request-id" in response.request.headers:
            url = response.request.url
            reason = f" {response.reason_phrase}" if response.reason_phrase else ""
            host = f"{url.scheme}://{url.netloc.decode('ascii')}"
            message = f"{host} answered {self.status_code}{reason}: {message}"
            if self.request_id:
                message += f" [request {self.request_id}]"
        failure = f"{failure_of(operation)}{f' ({subject})' if subject else ''}"
        super().__init__(f"{failure}: {message}", request=response.request, response=response)

    def __reduce__(self) -> tuple[Any, ...]:
        # An exception of a worker process must reach its parent, and pickle passes only positional
        # arguments. The message stays as the raising process made it, whatever the settings here.
        arguments = (type(self), self.response, self.operation, self.identifiers)
        return _rebuild_api_error, arguments, {"args": self.args}


class BadRequestError(ApiError, ValueError):
    """400: the request is invalid."""


class InvalidAPIKeyError(ApiError):
    """401: the API key is missing or rejected."""


class PermissionDeniedError(ApiError):
    """403: the API key lacks the permission."""


class NotFoundError(ApiError, LookupError):
    """404: the namespace, project or run does not exist, or the backend lacks the operation."""


class ConflictError(ApiError):
    """409: the thing to create already exists, or a batch of metrics leaves a gap."""


class RunChangedError(ApiError):
    """412: the run was changed since it was read; see `Run.update`."""

    # Whether an earlier attempt of the request may be what changed the run: its answer was lost.
    _may_be_own_change = False


class PayloadTooLargeError(ApiError, ValueError):
    """413: the request is larger than the backend accepts."""


class RateLimitError(ApiError):
    """429: too many requests; try again later."""


class BackendFailureError(ApiError):
    """5xx: the backend, or a proxy in front of it, failed."""


_ERROR_OF_STATUS: dict[int, type[ApiError]] = {
    400: BadRequestError,
    401: InvalidAPIKeyError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    412: RunChangedError,
    413: PayloadTooLargeError,
    429: RateLimitError,
}
_FIRST_SERVER_STATUS = 500


def api_error(
    response: httpx.Response,
    *,
    operation: str,
    identifiers: Mapping[str, str],
    sign_in: str,
    had_lost_answer: bool = False,
) -> ApiError:
    """Makes the exception for a response with an error status.

    Args:
        response: The response, read.
        operation: The API operation, for example `createRun`.
        identifiers: The parameters of the request that identify its subject, by name.
        sign_in: How to sign in, for a response that rejects the key.
        had_lost_answer: Whether the backend may have carried out an earlier attempt.
    """
    fallback = BackendFailureError if response.status_code >= _FIRST_SERVER_STATUS else ApiError
    kind = _ERROR_OF_STATUS.get(response.status_code, fallback)
    error = kind(response, operation=operation, identifiers=identifiers)
    if isinstance(error, RunChangedError):
        error._may_be_own_change = had_lost_answer  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    if kind is InvalidAPIKeyError:
        error.args = (f"{error} ({sign_in})",)
    return error


def delivery_error(response: httpx.Response | None, call: str, **state: Any) -> DeliveryError:
    """Makes the exception for data that was not delivered.

    Args:
        response: The last response with an error status, or `None`.
        call: The call that needs the data delivered.
        state: The keyword arguments of `DeliveryError`.
    """
    if response is None:
        return DeliveryError(call, **state)
    error = RefusedDeliveryError(call, **state)
    error.request, error.response = response.request, response
    return error


def refused_key(error: ApiError, *, relogin: bool, sign_in: str) -> InvalidAPIKeyError:
    """Makes the exception of a login whose key the backend refuses, with 401 or 403.

    The message starts with the words of `afnio.tellurio`, which programs may look for.

    Args:
        error: The error of the request.
        relogin: Whether a new key was required.
        sign_in: How to sign in.
    """
    refused = InvalidAPIKeyError(
        error.response, operation=error.operation, identifiers=error.identifiers
    )
    login = "Re-login" if relogin else "Login"
    refused.args = (f"{login} failed due to invalid API key. {refused} ({sign_in})",)
    return refused


def may_have_arrived(error: BaseException) -> bool:
    """Whether the backend may have carried out a request that failed with this error."""
    if isinstance(error, ApiError):
        return error.status_code >= _FIRST_SERVER_STATUS
    if isinstance(error, BackendUnreachableError):
        not_sent = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
        return error.__cause__ is not None and not isinstance(error.__cause__, not_sent)
    return True


def may_be_own_change(error: RunChangedError) -> bool:
    """Whether an earlier attempt, whose answer was lost, may be what changed the run."""
    return error._may_be_own_change  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


def never_had_run(error: ApiError) -> bool:
    """Whether the backend answered that it never had the run; not every backend reports it.

    Args:
        error: The error from a request for the run.
    """
    return fields_of(error.response).get("deleted") is False


def was_deleted(error: ApiError) -> bool:
    """Whether the backend answered that the run was deleted; not every backend reports it.

    Args:
        error: The error from a request for the run.
    """
    return fields_of(error.response).get("deleted") is True


def is_gone(error: ApiError) -> bool:
    """Whether the backend itself answered that a run or its project does not exist.

    A proxy, or anything else at the backend's address, may answer 404 too.

    Args:
        error: The error from a request for the run.
    """
    return isinstance(error, NotFoundError) and "detail" in fields_of(error.response)


def counted_metrics(count: int) -> str:
    """A number of metrics, for a message."""
    return f"{count} metric{'' if count == 1 else 's'}"


def counted_uploads(count: int) -> str:
    """A number of uploads of files, for a message."""
    return f"{count} upload{'' if count == 1 else 's'}"


def _rebuild_api_error(
    kind: type[ApiError], response: httpx.Response, operation: str, identifiers: dict[str, str]
) -> ApiError:
    return kind(response, operation=operation, identifiers=identifiers)


def _rebuild_delivery_error(
    arguments: tuple[Any, ...], response: httpx.Response | None
) -> DeliveryError:
    names = ("run_name", "waiting", "lost", "path", "reason", "in_memory", "content")
    call, state = arguments[0], dict(zip(names, arguments[1:], strict=True))
    return delivery_error(response, call, **state)


def _rebuild_invalid_response(message: str, operation: str) -> InvalidResponseError:
    return InvalidResponseError(message, operation=operation)


for _kind in [value for value in globals().values() if isinstance(value, type)]:
    if issubclass(_kind, TellurioError):
        # Tracebacks show an exception as users import it; its module may change.
        _kind.__module__ = "afnio_tellurio"
