"""Serves the embedded backend over HTTP."""

from __future__ import annotations

import logging
import signal
import threading
from typing import TYPE_CHECKING, Any

from waitress import wasyncore
from waitress.server import BaseWSGIServer, create_server

from afnio_tellurio.backend.application import MAX_STREAM_BYTES
from afnio_tellurio.backend.channels import IDLE_SECONDS, Channel, Connections

if TYPE_CHECKING:
    from types import FrameType
    from wsgiref.types import WSGIApplication

    from afnio_tellurio.backend.channels import Authorizes

_THREADS = 8
#: A browser opens up to six connections per tab.
_CONNECTIONS = 1000
#: Sockets of the server itself, and new connections while an old one closes.
_OTHER_SOCKETS = 16
#: Open files of the process besides its connections.
_OTHER_FILES = 100
#: The page requests up to 100 runs and 100 metrics at once.
_MAX_HEADER_BYTES = 128 * 1024
#: Bytes that a round of the loop receives at most: with fewer, large files take more rounds.
_RECEIVED_BYTES = 2**17
#: The maximum delay of `stop`, in seconds.
_POLL_SECONDS = 0.1


class Server:
    """Serves a backend, or the page and the backend, until it is stopped.

    If it is constructed in the main thread, SIGINT and SIGTERM raise `KeyboardInterrupt` until
    `close`.

    Args:
        application: The application that handles requests.
        host: The address to listen on.
        port: The port; 0 for any free port.
        authorizes: Returns True if the head of a request has a valid key. The body of another
            request is not read if it is large. By default, every request may be large.

    Raises:
        OSError: It cannot listen on the address.
    """

    def __init__(
        self,
        application: WSGIApplication,
        host: str,
        port: int,
        *,
        authorizes: Authorizes = lambda _environ: True,
    ) -> None:
        # It warns whenever a request waits for another, which is normal.
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        self._stopping = False
        self._sockets: dict[int, Any] = {}
        limit = _connection_limit()
        try:
            server: Any = create_server(
                application,
                map=self._sockets,
                host=host,
                port=port,
                threads=_THREADS,
                ident=None,
                # More than the backend accepts, so that the backend rejects larger bodies itself,
                # as the contract requires.
                max_request_body_size=2 * MAX_STREAM_BYTES,
                clear_untrusted_proxy_headers=True,
                max_request_header_size=_MAX_HEADER_BYTES,
                connection_limit=limit + _OTHER_SOCKETS,
                channel_timeout=IDLE_SECONDS,
                recv_bytes=_RECEIVED_BYTES,
            )
        except (OSError, ValueError) as error:
            wasyncore.close_all(self._sockets, ignore_all=True)
            reason = getattr(error, "strerror", None) or str(error)
            raise OSError(
                f"cannot listen on {host} port {port}: {reason}; "
                "choose another with --port (0 for any free port) or --host"
            ) from error
        self._server = server
        self._connections = Connections(self._sockets, limit, authorizes)
        for entry in self._sockets.values():
            if isinstance(entry, BaseWSGIServer):
                listener: Any = entry
                listener.channel_class = self._connections.open
        self.url = _url(server)
        self._handlers: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._handlers[number] = signal.signal(number, _interrupt)

    def run(self) -> None:
        """Serves until it is interrupted or another thread calls `stop`."""
        # Not the server's own loop, which runs as long as any client is connected.
        while not self._stopping:
            wasyncore.loop(timeout=_POLL_SECONDS, map=self._sockets, use_poll=True, count=1)
            self._connections.tidy()

    def stop(self) -> None:
        """Makes `run` return."""
        self._stopping = True

    def close(self) -> None:
        """Stops listening and waits for the current requests."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers.clear()
        self._server.task_dispatcher.shutdown()
        for channel in list(self._sockets.values()):
            if isinstance(channel, Channel):
                channel.handle_close()
        wasyncore.close_all(self._sockets, ignore_all=True)


def _url(server: Any) -> str:
    """Returns the URL of a server."""
    # A name such as localhost may resolve to several addresses.
    addresses = getattr(server, "effective_listen", None) or [
        (server.effective_host, server.effective_port)
    ]
    host, port = addresses[0]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _connection_limit() -> int:
    """Returns a number below the operating system's limit for this process."""
    try:
        import resource
    except ImportError:
        # Windows has no such limit.
        return _CONNECTIONS
    soft_limit, _hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft_limit == resource.RLIM_INFINITY:
        return _CONNECTIONS
    return max(1, min(_CONNECTIONS, soft_limit - _OTHER_FILES, soft_limit // 2))


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    # The server's loop ends on this exception but ignores unknown ones.
    raise KeyboardInterrupt
