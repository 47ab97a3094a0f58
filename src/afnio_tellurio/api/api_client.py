"""The generated client that programs use directly: its requests go through the SDK's connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

import httpx
import tellurio_api
from attrs import define, field

from afnio_tellurio.api.http_client import encode_body
from afnio_tellurio.error_responses import forget_key
from afnio_tellurio.interruptions import raise_foreign

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from afnio_tellurio.errors import InvalidResponseError, TellurioError

T = TypeVar("T")


class Sender(Protocol):
    """What sends the requests: see `Connection`."""

    @property
    def headers(self) -> dict[str, str]:
        """The headers of each request."""
        ...

    def forward(self, request: httpx.Request, *, stream: bool) -> httpx.Response:
        """Sends a request."""
        ...

    def invalid_request(self, operation: str, error: Exception) -> TellurioError:
        """Makes the exception for a request that cannot be encoded."""
        ...

    def invalid_response(self, operation: str, error: Exception) -> InvalidResponseError:
        """Makes the exception for a body that cannot be parsed."""
        ...


@define
class ApiClient(tellurio_api.Client):
    """The generated client of a connection.

    Whatever form an operation is called in, and also after `with_headers` or `with_timeout`, its
    request has the key of the connection, its pool and its errors. A `with` block closes nothing:
    the connection belongs to the client of the SDK.
    """

    _connection: Sender = field(kw_only=True, alias="connection", repr=False)

    def get_httpx_client(self) -> httpx.Client:
        """Returns the client that passes requests to the connection."""
        with self._opening:
            if self._client is None:
                self._client = _BlockingClient(self._connection, self._options())
            return self._client

    def get_async_httpx_client(self) -> httpx.AsyncClient:
        """Returns the client that passes requests to the connection, in threads."""
        with self._opening:
            if self._async_client is None:
                self._async_client = _AsyncClient(self._connection, self._options())
            return self._async_client

    def _options(self) -> dict[str, Any]:
        return {
            "base_url": self._base_url,
            "cookies": self._cookies,
            "headers": {**self._connection.headers, **self._headers},
            "timeout": self._timeout,
            **self._httpx_args,
        }

    def invalid_response(self, response: httpx.Response, error: Exception) -> Exception:
        """Returns the SDK's exception for a body that does not match the contract."""
        raise_foreign(error)
        return self._connection.invalid_response(operation_of(response.request), error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        pass

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        pass


def operation_of(request: httpx.Request) -> str:
    """The operation of a request of the generated client; of another one, its method and path."""
    operation: str | None = request.extensions.get("operation")
    return operation or f"{request.method} {request.url.path}"


def _encode(connection: Sender, content: dict[str, Any]) -> dict[str, Any]:
    try:
        return encode_body(content)
    except (TypeError, ValueError, RecursionError) as error:
        raise_foreign(error)
        extensions: dict[str, Any] = content.get("extensions") or {}
        operation: str = extensions.get("operation", "request")
        raise connection.invalid_request(operation, error) from error


class _Unused(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """A transport that is never used: it keeps httpx from preparing one."""


class _BlockingClient(httpx.Client):
    def __init__(self, connection: Sender, options: dict[str, Any]) -> None:
        super().__init__(transport=_Unused(), trust_env=False, **options)
        self._connection = connection

    def build_request(self, method: str, url: httpx.URL | str, **content: Any) -> httpx.Request:
        return super().build_request(method, url, **_encode(self._connection, content))

    def send(
        self, request: httpx.Request, *, stream: bool = False, **_options: Any
    ) -> httpx.Response:
        return self._connection.forward(request, stream=stream)


class _AsyncClient(httpx.AsyncClient):
    """Sends in threads: so the pool, the retries and the search for the key are the same ones."""

    def __init__(self, connection: Sender, options: dict[str, Any]) -> None:
        super().__init__(transport=_Unused(), trust_env=False, **options)
        self._connection = connection

    def build_request(self, method: str, url: httpx.URL | str, **content: Any) -> httpx.Request:
        return super().build_request(method, url, **_encode(self._connection, content))

    async def send(
        self, request: httpx.Request, *, stream: bool = False, **_options: Any
    ) -> httpx.Response:
        if not isinstance(request.stream, httpx.SyncByteStream):
            request.stream = _BlockingStream(request.stream)
        response = await _in_thread(lambda: self._connection.forward(request, stream=stream))
        if stream:
            response.stream = _AsyncStream(response)
        return response


class ReportedStream(httpx.SyncByteStream):
    """An answer that is received in parts, whose errors are those of the SDK.

    Args:
        request: The request.
        stream: The body of the answer.
        report: Makes the SDK's exception for one of the network.
    """

    def __init__(
        self,
        request: httpx.Request,
        stream: Any,
        report: Callable[[httpx.RequestError], Exception],
    ) -> None:
        self._request = request
        self._stream = stream
        self._report = report

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._stream
        except httpx.RequestError as error:
            raise_foreign(error)
            error.request = self._request
            forget_key(error)
            raise self._report(error) from error

    def close(self) -> None:
        """Closes the answer."""
        self._stream.close()


class _BlockingStream(httpx.SyncByteStream):
    """The body of a request, which a thread gets from the event loop."""

    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        from anyio.from_thread import run

        parts = self._stream.__aiter__()

        async def next_part() -> bytes | None:
            return await anext(parts, None)

        while (part := run(next_part)) is not None:
            yield part


class _AsyncStream(httpx.AsyncByteStream):
    """The body of a response, which threads receive."""

    def __init__(self, response: httpx.Response) -> None:
        stream = response.stream
        assert isinstance(stream, httpx.SyncByteStream)
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        parts = iter(self._stream)
        while (part := await _in_thread(lambda: next(parts, None))) is not None:
            yield part

    async def aclose(self) -> None:
        await _in_thread(self._stream.close)


async def _in_thread(work: Callable[[], T]) -> T:
    from anyio.to_thread import run_sync

    # A canceled task does not wait for the backend.
    return await run_sync(work, abandon_on_cancel=True)
