"""The embedded backend over HTTP."""

from __future__ import annotations

import logging
import signal
import threading
from typing import TYPE_CHECKING, Any

from waitress import wasyncore
from waitress.server import create_server

from afnio_tellurio.backend.application import MAX_BODY_BYTES

if TYPE_CHECKING:
    from types import FrameType
    from wsgiref.types import WSGIApplication

_THREADS = 8
#: A browser opens up to six connections for a tab.
_CONNECTIONS = 1000
#: Files that a process has open besides its connections.
_OTHER_FILES = 100
#: A client that says nothing for so long is let go.
_IDLE_SECONDS = 60
#: A request of the page names up to 100 runs and 100 metrics.
_MAX_HEADER_BYTES = 128 * 1024
#: How long `stop` may go unnoticed.
_POLL_SECONDS = 0.1


class Server:
    """Serves a backend, or the page and the backend, until it is told to end.

    From its construction to `close`, SIGINT and SIGTERM raise `KeyboardInterrupt`, if it was
    constructed in the main thread.

    Args:
        application: What answers.
        host: The address to listen on.
        port: The port; 0 for any free one.

    Raises:
        OSError: The address cannot be listened on.
    """

    def __init__(self, application: WSGIApplication, host: str, port: int) -> None:
        # It warns of each request that waits for another, which is nothing wrong.
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        self._stopping = False
        self._sockets: dict[int, Any] = {}
        try:
            server: Any = create_server(
                application,
                map=self._sockets,
                host=host,
                port=port,
                threads=_THREADS,
                ident=None,
                # More than the backend takes, so that the backend refuses it, as the contract has
                # it.
                max_request_body_size=4 * MAX_BODY_BYTES,
                clear_untrusted_proxy_headers=True,
                max_request_header_size=_MAX_HEADER_BYTES,
                connection_limit=_connection_limit(),
                channel_timeout=_IDLE_SECONDS,
                cleanup_interval=_IDLE_SECONDS // 2,
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise OSError(
                f"cannot listen on {host} port {port}: {reason}; "
                "choose another with --port (0 takes any free one) or --host"
            ) from error
        # A name such as localhost may stand for several addresses.
        several = getattr(server, "effective_listen", None)
        address, number = several[0] if several else (server.effective_host, server.effective_port)
        self._server = server
        self.url = (
            f"http://[{address}]:{number}" if ":" in address else f"http://{address}:{number}"
        )
        self._handlers: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            for ending in (signal.SIGINT, signal.SIGTERM):
                self._handlers[ending] = signal.signal(ending, _interrupt)

    def run(self) -> None:
        """Serves until it is interrupted, or until another thread calls `stop`."""
        # Not the server's own loop, which goes on for as long as a client keeps its connection.
        while not self._stopping:
            wasyncore.loop(timeout=_POLL_SECONDS, map=self._sockets, use_poll=True, count=1)

    def stop(self) -> None:
        """Lets `run` return."""
        self._stopping = True

    def close(self) -> None:
        """Stops listening, and waits for the requests that are being answered."""
        for ending, handler in self._handlers.items():
            signal.signal(ending, handler)
        self._handlers.clear()
        self._server.task_dispatcher.shutdown()
        wasyncore.close_all(self._sockets, ignore_all=True)


def _connection_limit() -> int:
    """Fewer than the operating system lets this process have."""
    try:
        import resource
    except ImportError:
        # Windows has no such limit.
        return _CONNECTIONS
    allowed, _most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY:
        return _CONNECTIONS
    return max(1, min(_CONNECTIONS, allowed - _OTHER_FILES, allowed // 2))


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    # The server's loop ends at this exception, and swallows one that it does not know.
    raise KeyboardInterrupt
