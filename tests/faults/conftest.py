"""A backend that sends the responses that a test sets, over a real socket."""

from __future__ import annotations

import http.server
import threading
from contextlib import suppress

import exchanges
import pytest


class FaultyBackend:
    """Sends the next of its responses to each request; the last one is repeated."""

    def __init__(self):
        self.answers = []
        self.requests = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                length = int(self.headers.get("Content-Length") or 0)
                outer.requests.append(
                    (self.command, self.path, self.rfile.read(length), self.headers)
                )
                answer = outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                # A client need not read all of it.
                with suppress(ConnectionError):
                    self.wfile.write(answer)
                self.close_connection = True

            do_GET = do_POST = do_PATCH = do_DELETE = handle_any  # noqa: N815

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, status, body, content_type="application/json", headers=()):
        """Adds a response with this status line and body."""
        body = body.encode() if isinstance(body, str) else body
        lines = [
            f"HTTP/1.1 {status}",
            f"Content-Type: {content_type}",
            f"Content-Length: {len(body)}",
        ]
        head = "\r\n".join([*lines, *headers, "Connection: close", "", ""])
        self.answers.append(head.encode() + body)


@pytest.fixture
def faulty(monkeypatch):
    """A faulty backend, named by the environment."""
    backend = FaultyBackend()
    # It looks this often, in seconds, whether it is to stop.
    thread = threading.Thread(target=backend.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", backend.url)
    monkeypatch.setenv("TELLURIO_API_KEY", "the-key")
    with exchanges.departing("answer"):
        yield backend
    backend.server.shutdown()
    backend.server.server_close()
    thread.join()
