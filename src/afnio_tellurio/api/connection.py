"""The connection to one backend: its pool and key, and the one funnel of its errors."""

from __future__ import annotations

import copy
import math
import time
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import httpx
from attrs import evolve
from tellurio_api.errors import InvalidResponse

from afnio_tellurio.api import auth
from afnio_tellurio.api.api_client import ApiClient, ReportedStream, operation_of
from afnio_tellurio.api.http_client import RAW, ErrorStatusError, extra_headers, raise_if_error
from afnio_tellurio.api.pool import Pool, may_use_proxies, proxy_variables
from afnio_tellurio.api.retries import RequestOptions, Retries
from afnio_tellurio.clock import monotonic
from afnio_tellurio.deadlines import has_passed, within
from afnio_tellurio.error_responses import forget_key
from afnio_tellurio.errors import (
    ApiError,
    BackendUnreachableError,
    InvalidResponseError,
    TellurioError,
    api_error,
)
from afnio_tellurio.files import real_path
from afnio_tellurio.interruptions import foreign_cause, raise_foreign
from afnio_tellurio.operation_names import failure_of
from afnio_tellurio.settings.limits import CONNECT_TIMEOUT, READ_TIMEOUT
from afnio_tellurio.settings.urls import is_this_machine

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
    from pathlib import Path

    import tellurio_api
    from tellurio_api.types import Response

    from afnio_tellurio.settings.settings import Settings

P = ParamSpec("P")
A = TypeVar("A")

#: The URL of the embedded backend in an error message; its name is never looked up.
_LOCAL_URL = "http://embedded"


class Connection:
    """A pool of connections to one backend, and every request that is sent to it.

    Threads may share it.

    Attributes:
        url: The backend's URL.
        database: The file of the embedded backend; `None` for a backend over HTTP.
        settings: The settings it was made with.
        key: The API key.
        options: How its requests are sent.
        origin: The connection that this one was made from with other options, or itself.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        database: Path | None = None,
        transport: httpx.BaseTransport | None = None,
        key: ApiKey | None = None,
        options: RequestOptions | None = None,
        only_reconnects: bool = False,
    ) -> None:
        """Opens the pool.

        Args:
            settings: The settings; they name the backend, if `database` is `None`.
            database: The file of the embedded backend.
            transport: The way to the backend; default the network.
            key: The API key; default the one that the settings name.
            options: How requests are sent.
            only_reconnects: Whether a failed request is sent again only if the connection broke:
                the caller has retries of its own.

        Raises:
            ValueError: A proxy or a certificate in the environment cannot be used, or the settings
                name plain HTTP to another machine.
        """
        if database is None:
            _require_encryption(settings)
        self.settings = settings
        self.database = database
        self.url = settings.url if database is None else _LOCAL_URL
        self.key = key or ApiKey(settings, is_needed=database is None)
        self.options = options or RequestOptions()
        self.origin = self
        self._pool = Pool(self.url, self.key, transport, is_local=database is not None)
        # That of `for_delivery`: threads that make one at once keep the same one, without a lock.
        self._delivery: dict[str, Connection] = {}
        #: Takes files of this process as blobs, if the backend is in this process; else None.
        self.adopt_blobs: Callable[[str, str, Sequence[tuple[Path, str, int]]], None] | None = None
        #: Whether the backend knows batches in columns; None before that is known.
        self.knows_columns: bool | None = None
        self._public_api: ApiClient | None = None
        # The embedded backend waits for others itself.
        self._only_reconnects = only_reconnects or database is not None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    def with_options(self, options: RequestOptions) -> Connection:
        """A connection that shares the pool and the key, and sends requests with other options."""
        other = copy.copy(self)
        other.options = options
        other._public_api = None  # noqa: SLF001 - it is an instance of this class
        return other

    @property
    def api(self) -> tellurio_api.Client:
        """The generated client of this backend."""
        return self._pool.api

    @property
    def public_api(self) -> ApiClient:
        """The generated client for programs: its errors are those of the SDK."""
        if self._public_api is None:
            self._public_api = ApiClient(
                base_url=self.url,
                timeout=httpx.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT),
                connection=self,
            )
        return self._public_api

    @property
    def headers(self) -> dict[str, str]:
        """The headers of each request, without the key."""
        return dict(self._pool.http.headers)

    def close(self) -> None:
        """Closes the pool."""
        self._pool.close()
        for connection in list(self._delivery.values()):
            connection.close()

    @property
    def for_delivery(self) -> Connection:
        """A connection to the same backend for a thread that delivers.

        It has a pool of its own: an exception that a signal handler raises during a call of the
        application may leave a lock of the pool locked.
        """
        if self.origin is not self:
            return self.origin.for_delivery
        if self.is_local or self._only_reconnects:
            return self
        known = self._delivery.get(self.url)
        if known is not None:
            return known
        made = Connection(
            self.settings,
            transport=self._pool.transport,
            key=self.key,
            options=evolve(self.options, timeout=None),
            only_reconnects=True,
        )
        kept = self._delivery.setdefault(self.url, made)
        if kept is not made or self.is_closed:
            made.close()
        return kept

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._pool.http.is_closed

    @property
    def is_local(self) -> bool:
        """Whether it leads to the embedded backend, in this process."""
        return self.database is not None

    @property
    def serves_page(self) -> bool:
        """Whether the backend's server has the page too, according to its answers."""
        return self._pool.http.serves_page

    @property
    def address(self) -> str:
        """The backend's URL, or the path of its database."""
        return self.url if self.database is None else str(real_path(self.database))

    @property
    def name_in_journals(self) -> str:
        """The name of the backend in the files of `TELLURIO_HOME`: its URL or database path.

        The path of a database in that folder is relative to it: the folder may be moved, or
        mounted elsewhere.
        """
        home = real_path(self.settings.home)
        if self.database is None or not real_path(self.database).is_relative_to(home):
            return self.address
        return real_path(self.database).relative_to(home).as_posix()

    def forward(self, request: httpx.Request, *, stream: bool) -> httpx.Response:
        """Sends a request of the generated client.

        Args:
            request: The request, without the key.
            stream: Whether the caller reads the answer itself.

        Raises:
            ApiError: The backend answered with an error status.
            BackendUnreachableError: The backend could not be reached.
            InvalidResponseError: The answer is too large, or its encoding is invalid.
        """
        operation = operation_of(request)
        self.key.find()
        try:
            response = self._reach(
                operation,
                lambda: self._pool.http.send(request, stream=stream),
                is_repeatable=_is_whole(request),
            )
        except ErrorStatusError as error:
            raise self._api_error(error, operation, request.extensions.get("path", {})) from None
        if not response.is_stream_consumed:
            response.stream = ReportedStream(
                request, response.stream, lambda error: self._unreachable(operation, error)
            )
        return response

    def send(self, method: str, endpoint: str, json: Any) -> httpx.Response:
        """Sends a request and returns the answer unchanged, also with an error status."""
        self.key.find()

        def request() -> httpx.Response:
            response = self._pool.http.request(method, endpoint, json=json, extensions=RAW)
            return raise_if_error(response)

        try:
            return self._reach(f"{method} {endpoint}", request)
        except ErrorStatusError as error:
            return error.response

    def call(
        self,
        answer: type[A],
        operation: Callable[P, Response[Any]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> A:
        """Runs one operation of the generated client; the one funnel of errors.

        Args:
            answer: The type of a successful answer.
            operation: A `sync_detailed` of `tellurio_api.api`.
            args: Positional arguments of the operation: the generated ones have none.
            kwargs: Its keyword arguments, among them `client=connection.api`.

        Raises:
            ApiError: The backend answered with an error status.
            BackendUnreachableError: The backend could not be reached.
            InvalidResponseError: The answer is invalid.
            TellurioError: The request cannot be encoded.
        """
        parsed, _headers = self.exchange(
            answer, operation_id(operation), lambda: operation(*args, **kwargs), kwargs
        )
        return parsed

    def exchange(
        self,
        answer: type[A],
        operation: str,
        request: Callable[[], Response[Any]],
        parameters: Mapping[str, Any],
    ) -> tuple[A, httpx.Headers]:
        """Does what `call` does, for a request that also needs the headers of the answer.

        Args:
            answer: The type of a successful answer.
            operation: The operation of the API, for example `listRuns`.
            request: Sends the request and parses the answer.
            parameters: The request's parameters, for the error message.
        """
        # Before the request: a problem with the key is not the backend's answer.
        self.key.find()
        self._pool.http.has_sent = False
        try:
            response = self._reach(operation, request)
        except ErrorStatusError as error:
            raise self._api_error(error, operation, parameters) from None
        except TellurioError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise_foreign(error)
            if not self._pool.http.has_sent:
                raise self.invalid_request(operation, error) from error
            # The generated parsers raise these for an answer that breaks the contract.
            raise self.invalid_response(operation, error) from error
        if not isinstance(response.parsed, answer):
            raise InvalidResponseError(
                f"{failure_of(operation)}: unexpected response from {self.url}: status "
                f"{response.status_code:d} and {response.content[:100]!r}",
                operation=operation,
            )
        return response.parsed, httpx.Headers(response.headers)

    def invalid_request(self, operation: str, error: Exception) -> TellurioError:
        """Makes the exception for a request that cannot be encoded."""
        return TellurioError(
            f"{failure_of(operation)}: the request to {self.url} cannot be encoded, and nothing "
            f"was sent: {error}"
        )

    def invalid_response(self, operation: str, error: Exception) -> InvalidResponseError:
        """Makes the exception for an answer that the generated client could not parse."""
        if isinstance(error, InvalidResponse) and error.__cause__ is not None:
            reason: BaseException = error.__cause__
        else:
            reason = error
        problem = (
            f"lacks the field {reason}" if isinstance(reason, KeyError) else f"is invalid: {reason}"
        )
        return InvalidResponseError(
            f"{failure_of(operation)}: the answer of {self.url} {problem}", operation=operation
        )

    def _api_error(
        self, error: ErrorStatusError, operation: str, parameters: Mapping[str, Any]
    ) -> ApiError:
        identifiers = {
            key: str(value) for key, value in parameters.items() if key.endswith(("_slug", "_uuid"))
        }
        return api_error(
            error.response,
            operation=operation,
            identifiers=identifiers,
            sign_in=self.sign_in_advice,
            had_lost_answer=error.had_lost_answer,
        )

    @property
    def sign_in_advice(self) -> str:
        """How to sign in to this backend."""
        # TELLURIO_API_KEY belongs to the backend that the settings name.
        variable = ", or set TELLURIO_API_KEY" if self.settings.is_named else ""
        return f"sign in with: {self.settings.sign_in_command}{variable}"

    def _reach(self, call: str, request: Callable[[], A], *, is_repeatable: bool = True) -> A:
        if self.is_closed:
            raise TellurioError(
                f"{failure_of(call)}: the client of {self.url} is closed; create a new one"
            )
        timeout = self.options.timeout
        with (
            within(math.inf if timeout is None else monotonic() + timeout),
            extra_headers(self.options.headers),
        ):
            if has_passed():
                raise BackendUnreachableError(
                    f"{failure_of(call)}: not enough time to reach the backend at {self.url}"
                )
            return self._retry(call, request, self.options.max_retries if is_repeatable else 0)

    def _retry(self, call: str, request: Callable[[], A], max_retries: int) -> A:
        retries = Retries(call, max_retries, only_of_connections=self._only_reconnects)
        while True:
            try:
                return self._request(request)
            except httpx.DecodingError as error:
                raise_foreign(error)
                forget_key(error)
                raise InvalidResponseError(
                    f"{failure_of(call)}: the answer of {self.url} is invalid: {error}",
                    operation=call,
                ) from error
            except ErrorStatusError as error:
                delay = retries.delay_after_status(error.response)
                if delay is None:
                    error.had_lost_answer = retries.had_lost_answer
                    raise
            except httpx.RequestError as error:
                raise_foreign(error)
                forget_key(error)
                delay = retries.delay_after_error(error)
                if delay is None:
                    raise self._unreachable(call, error) from error
            time.sleep(delay)

    def _unreachable(self, call: str, error: httpx.RequestError) -> BackendUnreachableError:
        """Makes the exception for an error of the network."""
        return BackendUnreachableError(
            f"{failure_of(call)}: the backend at {self.url} cannot be reached: "
            f"{_reason(error, self.url)}"
        )

    def _request(self, request: Callable[[], A]) -> A:
        try:
            return request()
        except BaseException as error:  # raised again, after the pool is replaced
            is_ours = isinstance(error, Exception) and foreign_cause(error) is None
            if not is_ours and not self.is_local and not self.is_closed:
                self._pool.replace()
            raise


class ApiKey(httpx.Auth):
    """Adds the API key to each request: the one that `find` found, unless a login set it.

    Attributes:
        value: The key, or `None` before it was found.
    """

    def __init__(self, settings: Settings, *, is_needed: bool) -> None:
        self._settings = settings
        self._is_needed = is_needed
        self.value: str | None = None

    def find(self) -> None:
        """Looks for the key, unless it is known."""
        if self._is_needed and self.value is None:
            credential = auth.find_credential(self._settings)
            self.value = credential.key if credential else None

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Adds the key; see `httpx.Auth`."""
        # Programs that use the generated client directly have not called `find`.
        self.find()
        if self.value:
            request.headers["Authorization"] = f"Api-Key {self.value}"
        yield request


def operation_id(operation: Callable[..., Any]) -> str:
    """The operationId of a `sync_detailed` of the generated client.

    The generator names a module after its operation: `tellurio_api.api.runs.create_run` is
    createRun.
    """
    first, *others = operation.__module__.rpartition(".")[2].split("_")
    return first + "".join(part.capitalize() for part in others)


def _is_whole(request: httpx.Request) -> bool:
    """Whether the body can be sent again: one that is read while it is sent cannot."""
    try:
        _ = request.content
    except httpx.RequestNotRead:
        return False
    return True


def _require_encryption(settings: Settings) -> None:
    host = httpx.URL(settings.url).host
    if settings.url.startswith("https:") or is_this_machine(host) or settings.allow_plain_http:
        return
    source = settings.sources["base_url"]
    raise ValueError(
        f"{source} is {settings.url!r}, and plain HTTP would send the API key unencrypted to "
        "another machine; use https, or set TELLURIO_ALLOW_PLAIN_HTTP=1"
    )


def _reason(error: httpx.RequestError, url: str) -> str:
    """The reason of an error of the network, and what to do."""
    reason = str(error) or type(error).__name__
    if "CERTIFICATE_VERIFY_FAILED" in reason:
        return f"{reason}; set SSL_CERT_FILE to the certificate of the authority"
    suspects = ["the network", *(proxy_variables() if may_use_proxies(url) else [])]
    return f"{reason}; check {', '.join(suspects)} and TELLURIO_BACKEND_HTTP_BASE_URL"
