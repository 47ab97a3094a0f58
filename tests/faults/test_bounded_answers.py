"""Answers without an end, answers that are too large, and pages that cost time to read."""

from __future__ import annotations

import gzip
import socket
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor

import exchanges
import pytest

import afnio_tellurio as te
from afnio_tellurio import error_responses
from afnio_tellurio.api import http_client, network

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
#: How an answer begins, and what follows without an end, a piece at a time.
ENDLESS = {
    "silence": (b"", b""),
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a header that goes on": (HEAD + b"X: ", b"a"),
    "a body with a length": (HEAD + b"Content-Length: 9000000\r\n\r\n", b" "),
    "a body in chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "an error page": (b"HTTP/1.1 503 Busy\r\nContent-Length: 9000000\r\n\r\n", b"x"),
}


def trickle(listener, first, piece):
    """Answers one request until the client hangs up; returns whether it did."""
    connection, _ = listener.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(first)
        # A piece is sent more often than any time limit between two bytes.
        connection.settimeout(0.01)
        while True:
            try:
                if piece:
                    connection.sendall(piece)
                if connection.recv(65536) == b"":
                    return True
            except TimeoutError:
                continue
            except ConnectionError:
                return True


@pytest.mark.parametrize("answer", ENDLESS)
def test_an_answer_without_an_end_is_given_up(answer, monkeypatch):
    monkeypatch.setattr(network, "REQUEST_TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener, exchanges.departing("answer"):
        client = te.TellurioClient(f"http://127.0.0.1:{listener.getsockname()[1]}")
        with ThreadPoolExecutor() as pool:
            has_hung_up = pool.submit(trickle, listener, *ENDLESS[answer])
            with pytest.raises(te.BackendUnreachableError, match="cannot be reached"):
                te.list_projects("acme", client=client)
            # On a busy machine the time may have passed before the client connected.
            socket.create_connection(listener.getsockname()).close()
            assert has_hung_up.result()
        client.close()


def test_a_request_that_is_never_read_is_given_up(monkeypatch):
    monkeypatch.setattr(network, "REQUEST_TIMEOUT", 0.2)
    monkeypatch.setattr(network, "SLOWEST_RATE", 2**40)
    address = ("127.0.0.1", 0)
    with socket.create_server(address) as listener, exchanges.departing("request"):
        client = te.TellurioClient(f"http://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(te.BackendUnreachableError, match="cannot be reached"):
            client.post("/api/v0/anything", "x" * 30_000_000)
        client.close()


ENCODINGS = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_compressed_answer_is_read(faulty, encoding):
    content = ENCODINGS[encoding](b"[]")
    faulty.answer("200 OK", content, headers=[f"Content-Encoding: {encoding}"])
    assert te.list_projects("acme") == []


def test_what_follows_compressed_data_is_not_read(faulty):
    faulty.answer(
        "200 OK", gzip.compress(b"[]") + b"\0" * 2**20, headers=["Content-Encoding: gzip"]
    )
    assert te.list_projects("acme") == []


def test_endless_bytes_do_not_extend_a_request_forever(monkeypatch):
    monkeypatch.setattr(network, "COUNTED_BYTES", 1000)
    monkeypatch.setattr(network, "SLOWEST_RATE", 10)
    monkeypatch.setattr(network, "monotonic", lambda: 5.0)
    network.clock.start()
    for _ in range(30):
        network.clock.count(400)
    assert network.clock.deadline == 5.0 + network.REQUEST_TIMEOUT + 1000 / 10


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "what"])
def test_an_encoding_that_was_not_asked_for_is_an_invalid_answer(faulty, encoding):
    faulty.answer("200 OK", b"[]", headers=[f"Content-Encoding: {encoding}"])
    with pytest.raises(te.InvalidResponseError, match="was not asked for"):
        te.list_projects("acme")
    assert "br" not in faulty.requests[0][3]["Accept-Encoding"]


def test_compressed_data_that_is_damaged_is_an_invalid_answer(faulty):
    faulty.answer("200 OK", b"not compressed", headers=["Content-Encoding: gzip"])
    with pytest.raises(te.InvalidResponseError, match="invalid"):
        te.list_projects("acme")


@pytest.mark.parametrize("status", ["200 OK", "503 Busy", "404 Not Found", "520 Unknown"])
def test_a_bomb_costs_no_memory(faulty, monkeypatch, status):
    monkeypatch.setattr(http_client, "ANSWER_BYTES", 2**21)
    bomb = zlib.compress(b"\0" * 100_000_000, 1)
    faulty.answer(status, bomb, headers=["Content-Encoding: deflate"])
    te.TellurioClient().close()
    tracemalloc.start()
    try:
        with pytest.raises(te.TellurioError):
            te.list_projects("acme")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000


def test_an_answer_that_is_too_large_is_invalid(faulty, monkeypatch):
    monkeypatch.setattr(http_client, "ANSWER_BYTES", 2**20)
    faulty.answer("200 OK", b"[" + b"1," * 2**20 + b"1]")
    with pytest.raises(te.InvalidResponseError, match="more than 1 MiB"):
        te.list_projects("acme")


def test_only_the_beginning_of_a_large_error_page_is_read(faulty):
    faulty.answer("502 Bad Gateway", b"<h1>Bad gateway</h1>" + b"<p>x" * 10_000_000, "text/html")
    with pytest.raises(te.BackendFailureError, match="Bad gateway") as caught:
        te.list_projects("acme")
    assert len(caught.value.response.content) == http_client.ERROR_BYTES


@pytest.mark.parametrize(
    "page",
    [
        "<style ",
        "<style>",
        "<script ",
        "<a ",
        "<",
        "<style></script>",
        "<style><script>",
        "</style",
    ],
)
def test_tags_that_are_not_closed_take_linear_time(monkeypatch, faulty, page):
    # A search that takes the square of this would not end.
    monkeypatch.setattr(error_responses, "_SEARCHED_BYTES", 2**18)
    content = "Busy" + page * (250_000 // len(page))
    faulty.answer("503 Busy", content, "text/html")
    with pytest.raises(te.BackendFailureError, match=": Busy"):
        te.list_projects("acme")


@pytest.mark.parametrize(
    "charset",
    ["hex", "base64", "idna", "punycode", "undefined", "zlib", "rot13", "bz2", "none", "utf-7"],
)
def test_a_charset_that_is_not_for_text_does_no_harm(faulty, charset):
    faulty.answer("503 Busy", b"<p>Busy \xff</p>", f"text/html; charset={charset}")
    with pytest.raises(te.BackendFailureError, match="503"):
        te.list_projects("acme")
