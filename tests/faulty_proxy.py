"""A proxy on loopback between the SDK and a backend, with the faults that a test sets."""

from __future__ import annotations

import http.client
import http.server
import threading
from collections import Counter
from contextlib import closing
from urllib.parse import urlsplit

from children import GUARD

_BAD_GATEWAY = b"<html><h1>502 Bad Gateway</h1></html>"
#: Faults without a request to the backend, and their responses.
_PLAYED = {
    "html": (502, _BAD_GATEWAY, {"Content-Type": "text/html"}),
    "busy": (429, b'{"detail": "Slow down."}', {"Retry-After": "1"}),
    "520": (520, b""),
}
#: Seconds that a slow response takes.
SLOW = 0.1
_FORWARDED = {"Content-Type", "Next-Cursor", "Allow", "Content-Range", "Accept-Ranges", "ETag"}


class FaultyProxy:
    """Forwards each request, with the fault that `fault` returns for it.

    `fault(method, path)` returns None, one of `FAULTS`, "cut", "hang", or the status and the body of a
    response; a test may replace it at any time. A request that hangs is forwarded when `released` is set.
    If a test sets `bodies` to a list, it collects the request bodies.
    """

    FAULTS = ("drop", "reset", "slow", "html", "busy", "truncated", "520")

    def __init__(self, target):
        self.target = urlsplit(target).netloc
        self.fault = lambda _method, _path: None
        self.counts = Counter()
        self.bodies = None
        self.released = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Else a response's head and body are two segments, and the second one waits 40 ms.
            wbufsize = -1

            def handle_any(self):
                outer._handle(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815

            def log_message(self, *arguments):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *arguments):
                pass  # the client disconnected

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def close(self):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def _handle(self, request):
        fault = self.fault(request.command, request.path)
        self.counts[fault] += 1
        length = int(request.headers.get("Content-Length") or 0)
        if fault == "reset":
            # Halfway: the backend never sees the request.
            request.rfile.read(length // 2)
            request.close_connection = True
            return
        body = request.rfile.read(length)
        if self.bodies is not None:
            self.bodies.append((request.command, request.path, body))
        played = fault if isinstance(fault, tuple) else _PLAYED.get(fault)
        if played:
            self._answer(request, *played)
            return
        if fault == "hang":
            self.released.wait(GUARD)
        status, headers, answer = self._forward(request, body)
        if fault == "slow":
            self.released.wait(SLOW)
        if fault == "drop":
            # The backend has committed, but the client never learns of it.
            request.close_connection = True
            return
        if fault == "truncated":
            answer = answer[: len(answer) // 2]
        self._answer(
            request, status, answer, headers, sent=len(answer) // (2 if fault == "cut" else 1)
        )
        # The backend has died in the middle of its response.
        request.close_connection = request.close_connection or fault == "cut"

    def _forward(self, request, body):
        with closing(http.client.HTTPConnection(self.target, timeout=GUARD)) as connection:
            try:
                connection.request(request.command, request.path, body, dict(request.headers))
                response = connection.getresponse()
                answer = response.read()
            except (OSError, http.client.HTTPException):
                return 502, {"Content-Type": "text/html"}, _BAD_GATEWAY
        headers = {name: value for name, value in response.headers.items() if name in _FORWARDED}
        return response.status, headers, answer

    def _answer(self, request, status, body, headers=None, sent=None):
        request.send_response_only(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[:sent])
