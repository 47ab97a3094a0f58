"""The network below httpx: no request takes forever, and no signal handler's exception is lost."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any

import httpcore

from afnio_tellurio.clock import monotonic
from afnio_tellurio.deadlines import seconds_left
from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.settings.limits import COUNTED_BYTES, REQUEST_TIMEOUT, SLOWEST_RATE

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable

    import httpx

_CHUNK_BYTES = 2**16
_OUT_OF_TIME = "the answer is not complete in time"


class Clock(threading.local):
    """When the request of this thread must be over."""

    deadline: float = 0.0
    countable: int = 0

    def start(self) -> None:
        """Starts a request."""
        self.deadline = monotonic() + REQUEST_TIMEOUT
        self.countable = COUNTED_BYTES

    def count(self, size: int) -> None:
        """Allows the time that a slow network needs for bytes that have been transmitted."""
        counted = min(size, self.countable)
        self.countable -= counted
        self.deadline += counted / SLOWEST_RATE

    def limit(self, timeout: float | None) -> float:
        """The seconds that a step of the request may take; 0 if none are left."""
        left = seconds_left(self.deadline - monotonic())
        return max(0.0, left if timeout is None else min(timeout, left))


clock = Clock()


class Network(httpcore.NetworkBackend):
    """Opens connections that obey the clock."""

    def __init__(self, network: httpcore.NetworkBackend) -> None:
        self._network = network
        self._streams: weakref.WeakSet[_Stream] = weakref.WeakSet()
        self._has_ended = False

    def add(self, stream: _Stream) -> _Stream:
        """Remembers a connection, to close it.

        Raises:
            httpcore.ConnectError: The network ended while a thread was connecting. Nobody
                would close the connection.
        """
        self._streams.add(stream)
        if self._has_ended:
            stream.close()
            raise httpcore.ConnectError("the client is closed")
        return stream

    def close(self) -> None:
        """Closes every connection, without the locks of the pool."""
        for stream in list(self._streams):
            stream.close()

    def end(self) -> None:
        """Closes every connection, also those that other threads are opening."""
        self._has_ended = True
        self.close()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> _Stream:
        """Opens a connection; see `httpcore.NetworkBackend`."""
        left = clock.limit(timeout)
        if not left:
            raise httpcore.ConnectTimeout(_OUT_OF_TIME)
        try:
            stream = self._network.connect_tcp(host, port, left, local_address, socket_options)
        except BaseException as error:  # raised again: the application's exception, or httpcore's
            # The codec of host names raises another one in place of any exception.
            raise_foreign(error)
            raise
        return self.add(_Stream(stream, self))


class _Stream(httpcore.NetworkStream):
    """A connection that obeys the clock, and lets exceptions of signal handlers pass.

    httpcore ignores an `OSError` while it sends a body, also one that a handler raised.
    """

    def __init__(self, stream: httpcore.NetworkStream, network: Network) -> None:
        self._stream = stream
        self._network = network

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        left = clock.limit(timeout)
        if not left:
            raise httpcore.ReadTimeout(_OUT_OF_TIME)
        try:
            data = self._stream.read(max_bytes, left)
        except Exception as error:  # raised again: the application's exception, or httpcore's
            raise_foreign(error)
            raise
        clock.count(len(data))
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _CHUNK_BYTES):
            part = buffer[start : start + _CHUNK_BYTES]
            left = clock.limit(timeout)
            if not left:
                raise httpcore.WriteTimeout(_OUT_OF_TIME)
            try:
                self._stream.write(part, left)
            except Exception as error:  # raised again: the application's exception, or httpcore's
                raise_foreign(error)
                raise
            clock.count(len(part))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> _Stream:
        left = clock.limit(timeout)
        if not left:
            raise httpcore.ConnectTimeout(_OUT_OF_TIME)
        stream = self._stream.start_tls(ssl_context, server_hostname, left)
        return self._network.add(_Stream(stream, self._network))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def obey_clock(transport: httpx.BaseTransport) -> Network | None:
    """Makes the connections of a transport of httpx obey the clock; returns their network.

    httpx limits the time between two bytes only, and offers no way to pass a network.
    """
    pool: Any = getattr(transport, "_pool", None)
    if not isinstance(pool, httpcore.ConnectionPool):
        return None
    network = Network(pool._network_backend)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    pool._network_backend = network  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    return network
