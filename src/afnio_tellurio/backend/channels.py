"""The HTTP server's connections: what a request may send, how long it may take, and how many.

A client without a key can only send small requests, and soon. If there are too many connections,
the oldest one without a key is closed, so that they cannot keep others out.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.task import ErrorTask

from afnio_tellurio.backend.application import body_limit
from afnio_tellurio.clock import monotonic

if TYPE_CHECKING:
    from collections.abc import Callable
    from wsgiref.types import WSGIEnvironment

    #: Returns True if the head of a request has a valid key.
    Authorizes: TypeAlias = Callable[[WSGIEnvironment], bool]

#: The largest body of a request without a valid key. Larger ones are not read.
MAX_KEYLESS_BODY_BYTES = 64 * 1024
#: Seconds that a whole request may take to arrive: without a valid key, and with one. A body of
#: 8 MiB arrives in time at 0.3 Mbit/s, and one of 16 MiB at 0.6 Mbit/s.
KEYLESS_SECONDS = 30
KEYED_SECONDS = 240
#: Seconds between two searches for slow connections.
SEARCH_SECONDS = 1.0
#: Seconds after which a connection is closed if nothing is sent or received.
IDLE_SECONDS = 60
#: Seconds that a client has to read the answer to a request whose body was not read.
LINGER_SECONDS = 5
#: Connections from one address that have not sent a valid key. A browser opens up to six per page.
MAX_KEYLESS_CONNECTIONS = 100

#: Requests without a valid key that are answered if a client sends them without waiting for the
#: answers, which are kept in memory until it reads them.
MAX_KEYLESS_REQUESTS = 10


#: A Transfer-Encoding that is a list. The parser accepts one that has chunked several times.
_REPEATED_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[^\r\n]*,", re.IGNORECASE)


class Connections:
    """All connections of a server. Only the thread of the server's loop uses it.

    Args:
        sockets: The server's sockets by file descriptor.
        limit: The maximum number of connections.
        authorizes: Returns True if the head of a request has a valid key.
    """

    def __init__(self, sockets: dict[int, Any], limit: int, authorizes: Authorizes) -> None:
        self._sockets = sockets
        self._limit = limit
        self._authorizes = authorizes
        self._next_search = 0.0
        self._closing: list[Channel] = []

    def open(self, server: Any, sock: Any, address: Any, adj: Any, **_map: Any) -> Channel:
        """Returns the channel of a new connection; closes an old one if there are too many."""
        self._make_room(address[0])
        return Channel(server, sock, address, adj, self._sockets, self._authorizes)

    def tidy(self) -> None:
        """Closes connections that make room, and slow ones. Runs between rounds of the loop.

        The loop itself would wait until their clients read, and a round that closes a file
        descriptor must not use it again.
        """
        now = monotonic()
        if now >= self._next_search:
            self._next_search = now + SEARCH_SECONDS
            self._closing += [channel for channel in self._channels() if channel.is_overdue()]
        for channel in self._closing:
            channel.handle_close()
        self._closing.clear()

    def _make_room(self, host: str) -> None:
        channels = self._channels()
        idle = [channel for channel in channels if not channel.requests]
        keyless = [channel for channel in idle if not channel.is_authorized]
        of_host = [channel for channel in keyless if channel.addr[0] == host]
        if len(of_host) >= MAX_KEYLESS_CONNECTIONS:
            self._close_oldest(of_host)
        elif len(channels) >= self._limit and idle:
            # A client opens an idle connection again when it needs one.
            self._close_oldest(keyless or idle)

    def _close_oldest(self, channels: list[Channel]) -> None:
        oldest = min(channels, key=lambda channel: channel.opened)
        oldest.will_close = True
        self._closing.append(oldest)

    def _channels(self) -> list[Channel]:
        return [
            entry
            for entry in self._sockets.values()
            if isinstance(entry, Channel) and not entry.will_close
        ]


class Request(HTTPRequestParser):
    """A request as it arrives.

    Attributes:
        began: When its first byte arrived.
        is_authorized: Whether its head has a valid key.
        is_unread: Whether the application answers without its body.
    """

    # The stubs of waitress lack these, or declare them too narrowly.
    headers: Any
    path: Any

    def __init__(self, adj: Any, authorizes: Authorizes) -> None:
        super().__init__(adj)
        self._authorizes = authorizes
        self.began = monotonic()
        self.is_authorized = False
        self.is_unread = False

    def received(self, data: bytes) -> int:
        """Receives bytes and returns how many of them belong to this request."""
        count: int = super().received(data)
        # What follows the head is not another request.
        return len(data) if self.is_unread else count

    def parse_header(self, header_plus: bytes) -> None:
        """Parses the head; decides whether to read the body."""
        try:
            super().parse_header(header_plus)
        except ValueError:
            # Waitress fails for these, which would close the connection without an answer.
            raise ParsingError("The URL or Content-Length is not valid.") from None
        _check_framing(header_plus)
        self.is_authorized = self._authorizes(self._environ())
        limit = MAX_KEYLESS_BODY_BYTES
        if self.is_authorized:
            limit = body_limit(self.headers.get("CONTENT_TYPE", ""))
        is_length_hidden = self.chunked and not self.is_authorized
        if is_length_hidden or self.content_length > limit:
            # The application refuses it by its head.
            self.is_unread = True
            self.body_rcv = None
            self.content_length = 0
            self.expect_continue = False
            self.headers["CONNECTION"] = "close"

    def _environ(self) -> WSGIEnvironment:
        headers = {f"HTTP_{name}": value for name, value in self.headers.items()}
        return {"REQUEST_METHOD": self.command, "PATH_INFO": self.path, **headers}


def _check_framing(head: bytes) -> None:
    """Rejects a head that two servers could understand differently."""
    names = [line.partition(b":")[0].strip().lower() for line in head.split(b"\r\n")[1:]]
    if names.count(b"host") > 1:
        raise ParsingError("Host is repeated; send it once.")
    if b"transfer-encoding" in names and b"content-length" in names:
        raise ParsingError("Send Content-Length or Transfer-Encoding, not both.")
    if names.count(b"transfer-encoding") > 1 or _REPEATED_CHUNKED.search(head):
        raise ParsingError("Transfer-Encoding is repeated; send it once.")
    if b"transfer-encoding" in names and head.split(b"\r\n")[0].rstrip().endswith(b"HTTP/1.0"):
        raise ParsingError("HTTP/1.0 has no Transfer-Encoding.")


class _ErrorTask(ErrorTask):
    """Answers a request that is not valid HTTP."""

    @property
    def has_body(self) -> bool:
        first_line: bytes = getattr(self.request, "first_line", b"")
        return not first_line.startswith(b"HEAD ") and super().has_body

    def write(self, data: bytes) -> None:
        # Waitress would log each body that it does not send.
        super().write(data if self.has_body else b"")


class Channel(HTTPChannel):
    """One connection.

    Attributes:
        opened: When it was opened.
        is_authorized: Whether a request with a valid key has arrived on it.
    """

    # The stubs of waitress lack these, or declare them too narrowly.
    error_task_class: Any = _ErrorTask
    parser_class: Any
    request: Any
    requests: Any
    requests_lock: Any
    socket: Any
    _flush_exception: Any
    _flush_some: Any

    def __init__(
        self,
        server: Any,
        sock: Any,
        address: Any,
        adj: Any,
        sockets: Any,
        authorizes: Authorizes,
    ) -> None:
        self.parser_class = partial(Request, authorizes=authorizes)
        self.opened = monotonic()
        self.is_authorized = False
        self._lingers_until: float | None = None
        self._has_unread_body = False
        super().__init__(server, sock, address, adj, map=sockets)
        # Its holder receives and drops requests before a thread can take the next one.
        self.requests_lock = threading.RLock()

    def is_overdue(self) -> bool:
        """Whether the client takes too long to send a request, or to read an answer."""
        now = monotonic()
        if self._lingers_until is not None:
            return now > self._lingers_until
        request = self.request
        if request is not None:
            seconds = KEYED_SECONDS if request.is_authorized else KEYLESS_SECONDS
            return bool(now > request.began + seconds)
        # While a request is carried out, only a client that does not read is too slow.
        is_waiting = not self.requests or self.total_outbufs_len > 0
        return is_waiting and time.time() > self.last_activity + IDLE_SECONDS

    def received(self, data: bytes) -> bool:
        """Receives bytes of requests."""
        if self._lingers_until is not None:
            return True
        with self.requests_lock:
            is_received: bool = super().received(data)
            for request in [*self.requests, self.request]:
                if request is not None:
                    self.is_authorized |= request.is_authorized
                    self._has_unread_body |= request.is_unread
            if not self.is_authorized:
                self._drop_surplus_requests()
        return is_received

    def _drop_surplus_requests(self) -> None:
        surplus = self.requests[MAX_KEYLESS_REQUESTS:]
        if surplus:
            del self.requests[MAX_KEYLESS_REQUESTS:]
            # No thread carries it out yet: that is the first one at most.
            self.requests[-1].headers["CONNECTION"] = "close"
        for request in surplus:
            request.close()

    def handle_close(self) -> None:
        """Closes the connection, and the file of a large body that did not arrive whole."""
        super().handle_close()
        if self.request is not None:
            self.request.close()
            self.request = None

    def handle_write(self) -> None:
        """Sends output; then closes the connection if it must be."""
        if not (self._has_unread_body and self.close_when_flushed) or self.will_close:
            super().handle_write()
            return
        self._flush_exception(self._flush_some)
        if not self.total_outbufs_len and not self.will_close:
            self._linger()

    def _linger(self) -> None:
        """Ends the answer, and discards what the client still sends.

        If the connection were closed at once, the client could lose the answer.
        """
        self.close_when_flushed = False
        self._lingers_until = monotonic() + LINGER_SECONDS
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.will_close = True
