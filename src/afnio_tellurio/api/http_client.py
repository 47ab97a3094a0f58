"""The HTTP client of one connection: no answer is too large, takes forever, or reaches a log."""

from __future__ import annotations

import logging
import sys
import threading
import uuid
import zlib
from contextlib import contextmanager
from http.cookiejar import CookieJar
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import httpx
import msgspec

from afnio_tellurio.api.contract_version import check_contract_version
from afnio_tellurio.error_responses import copy_response
from afnio_tellurio.settings.limits import (
    ANSWER_BYTES,
    ERROR_BYTES,
    PAGE_HEADER,
    VERSION_HEADER,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping
    from types import FrameType

    from afnio_tellurio.api.network import Clock, Network

_encode = msgspec.json.Encoder().encode
#: Marks a request whose answer the program wants unchanged.
RAW = {"raw": True}
_FIRST_REDIRECT_STATUS = 300
_CHUNK_BYTES = 2**16
#: Of zlib: finds out by itself whether data is in the format of gzip or of zlib.
_ANY_FORMAT = zlib.MAX_WBITS | 32


class HttpClient(httpx.Client):
    """Encodes the bodies of the generated client with msgspec, bounds answers, and logs nothing.

    The standard library takes ten times as long to encode, while the application waits for the
    interpreter.
    """

    def __init__(self, *, identified: bool, **options: Any) -> None:
        """Makes a client.

        Args:
            identified: Whether each request has an ID.
            options: Those of `httpx.Client`.
        """
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(_log_filter)
        self._clock: Clock | None = None
        self._networks: list[Network] = []
        # The threads that send a request.
        self._users: dict[int, None] = {}
        # The answers that are received in parts.
        self._open_streams: set[_OpenStream] = set()
        self._is_identified = identified
        self._thread = threading.local()
        super().__init__(cookies=_NoCookies(), **options)
        # Not brotli or zstd: only zlib can stop before a small answer becomes a huge one.
        self.headers["Accept-Encoding"] = "gzip, deflate"
        self.serves_page = False
        # The version of the backend's contract, as the last answer named it.
        self._version = ""

    @property
    def has_sent(self) -> bool:
        """Whether this thread has sent a request since it last set this to False."""
        return getattr(self._thread, "has_sent", False)

    @has_sent.setter
    def has_sent(self, value: bool) -> None:
        self._thread.has_sent = value

    def send(
        self, request: httpx.Request, *, stream: bool = False, **options: Any
    ) -> httpx.Response:
        """Sends a request and reads the whole answer; see `httpx.Client.send`.

        Args:
            request: The request.
            stream: Whether to leave a successful answer for the caller to read, of any size.
            options: Those of httpx.

        Raises:
            ErrorStatusError: The answer has an error status, and the program does not want it raw.
        """
        request.headers.update(_extra.headers)
        if self._is_identified:
            request.headers.setdefault("X-Request-ID", uuid.uuid4().hex)
        self.has_sent = True
        if self._clock is not None:
            self._clock.start()
        user = threading.get_ident()
        self._users[user] = None
        try:
            response = self._send_and_read(request, stream, options)
        finally:
            self._users.pop(user, None)
        self.serves_page = PAGE_HEADER in response.headers
        version: str = response.headers.get(VERSION_HEADER, "")
        if version != self._version and self._is_identified:
            self._version = version
            check_contract_version(str(self.base_url).rstrip("/"), version)
        # Before the generated code parses it, which fails at an HTML page with a declared status,
        # and at a status unknown to Python.
        return response if request.extensions.get("raw") else raise_if_error(response)

    def _send_and_read(
        self, request: httpx.Request, stream: bool, options: dict[str, Any]
    ) -> httpx.Response:
        if stream:
            # Parts of a file are parts of the file itself, and no part becomes a huge one.
            request.headers["Accept-Encoding"] = "identity"
        response = super().send(request, stream=True, **options)
        if response.is_stream_consumed:
            # A transport that does not reach a network may return a whole answer.
            return response
        if stream and not _is_error(response):
            response.stream = _OpenStream(response.stream, self._open_streams)
            return response
        try:
            return _read(response)
        finally:
            response.close()

    def build_request(self, method: str, url: httpx.URL | str, **content: Any) -> httpx.Request:
        """Encodes the body; see `httpx.Client.build_request`."""
        return super().build_request(method, url, **encode_body(content))

    def _init_transport(self, *args: Any, **options: Any) -> httpx.BaseTransport:
        transport = super()._init_transport(*args, **options)
        # The embedded backend needs no network, and importing it takes time.
        if isinstance(transport, httpx.HTTPTransport):
            self._obey_clock(transport)
        return transport

    def _init_proxy_transport(self, *args: Any, **options: Any) -> httpx.BaseTransport:
        transport = super()._init_proxy_transport(*args, **options)
        self._obey_clock(transport)
        return transport

    def _obey_clock(self, transport: httpx.BaseTransport) -> None:
        from afnio_tellurio.api.network import clock, obey_clock

        network = obey_clock(transport)
        if network is not None:
            self._clock = clock
            self._networks.append(network)

    def close(self) -> None:
        """Closes the connections, also those that other threads are opening."""
        super().close()
        self.end()

    def end(self) -> None:
        """Closes the connections as `close` does, without the locks of the pool."""
        for network in self._networks:
            network.end()

    def abandon(self) -> bool:
        """Closes the connections, unless another thread is using them; returns whether it did.

        Like `end`, it needs no lock: a signal handler that raised may have left one locked.
        """
        if self._open_streams or set(self._users) - {threading.get_ident()}:
            return False
        for network in self._networks:
            network.close()
        return True


def encode_body(content: dict[str, Any]) -> dict[str, Any]:
    """Encodes a JSON body, among the arguments of a request, with msgspec."""
    json = content.pop("json", None)
    # A program's own body may contain values that JSON does not have, which msgspec accepts.
    if json is None or content.get("extensions") == RAW:
        return {**content, "json": json}
    headers: dict[str, str] = dict(content.pop("headers", None) or {})
    headers.setdefault("Content-Type", "application/json")
    return {**content, "content": _encode(json), "headers": headers}


class _OpenStream(httpx.SyncByteStream):
    """An answer that is received in parts; its pool stays open until it is closed."""

    def __init__(self, stream: Any, open_streams: set[_OpenStream]) -> None:
        self._stream = stream
        self._open_streams = open_streams
        open_streams.add(self)

    def __iter__(self) -> Iterator[bytes]:
        yield from self._stream

    def close(self) -> None:
        self._open_streams.discard(self)
        self._stream.close()


class _NoCookies(CookieJar):
    """Keeps no cookies, which the API does not use, and takes no lock.

    An exception of a signal handler could leave that lock locked, and delivery would wait forever.
    """

    def add_cookie_header(self, request: Any) -> None:
        """Adds nothing."""

    def extract_cookies(self, response: Any, request: Any) -> None:
        """Keeps nothing."""


class ErrorStatusError(Exception):
    """An answer with an error status.

    Attributes:
        response: The answer.
        had_lost_answer: Whether the backend may have carried out an earlier attempt of the request.
    """

    def __init__(self, response: httpx.Response) -> None:
        super().__init__(response.status_code)
        self.response = response
        self.had_lost_answer = False


def raise_if_error(response: httpx.Response) -> httpx.Response:
    """Returns a response.

    Raises:
        ErrorStatusError: It has an error status.
    """
    if _is_error(response):
        raise ErrorStatusError(response)
    return response


class _Extra(threading.local):
    headers: Mapping[str, str] = MappingProxyType({})


_extra = _Extra()


@contextmanager
def extra_headers(headers: Mapping[str, str]) -> Generator[None]:
    """Adds headers to the requests of this thread."""
    before = _extra.headers
    _extra.headers = headers
    try:
        yield
    finally:
        _extra.headers = before


# The size of an answer


def _is_error(response: httpx.Response) -> bool:
    return response.status_code >= _FIRST_REDIRECT_STATUS


def _read(response: httpx.Response) -> httpx.Response:
    """Reads an answer up to the limit; returns it with its decoded content.

    Raises:
        DecodingError: A successful answer is too large, or its encoding is invalid.
    """
    try:
        content = _read_content(response)
    except zlib.error as error:
        raise httpx.DecodingError(str(error), request=response.request) from error
    # It has taken as long as until now.
    response.close()
    return copy_response(response, content, response.headers.raw, response.request)


def _read_content(response: httpx.Response) -> bytes:
    is_error = _is_error(response)
    limit = ERROR_BYTES if is_error else ANSWER_BYTES
    content = bytearray()
    for part in _decoded(response, limit + 1):
        content += part
        if len(content) > limit:
            if is_error:
                break
            raise httpx.DecodingError(
                f"it has more than {ANSWER_BYTES // 2**20} MiB", request=response.request
            )
    return bytes(content[:limit])


def _decoded(response: httpx.Response, limit: int) -> Iterator[bytes]:
    """The parts of the decoded content, none of which is longer than the limit."""
    encoding = response.headers.get("content-encoding", "").strip().lower()
    parts = response.iter_raw(_CHUNK_BYTES)
    if encoding in {"", "identity"}:
        return parts
    if encoding in {"gzip", "x-gzip", "deflate"}:
        return _decompressed(parts, limit)
    raise httpx.DecodingError(
        f"it has the content encoding {encoding[:50]!r}, which was not asked for",
        request=response.request,
    )


def _decompressed(parts: Iterator[bytes], limit: int) -> Iterator[bytes]:
    decoder = zlib.decompressobj(_ANY_FORMAT)
    for part in parts:
        yield decoder.decompress(part, limit)
        if decoder.eof:
            # What follows is not content.
            return


# The logs of httpx


class _LogFilter(logging.Filter):
    """Drops the log lines of httpx and httpcore about requests of the SDK.

    A handler that logs to a run would turn the line of each delivery into a metric to deliver.
    """

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002
        # By the stack: a signal handler that raises could leave a mark behind.
        frame: FrameType | None = sys._getframe()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        while frame is not None:
            if isinstance(frame.f_locals.get("self"), HttpClient | _OpenStream):
                return False
            frame = frame.f_back
        return True


_log_filter = _LogFilter()
#: A filter applies to the very logger that it is added to.
_LOGGERS = (
    "httpx",
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.http2",
    "httpcore.proxy",
    "httpcore.socks",
)
