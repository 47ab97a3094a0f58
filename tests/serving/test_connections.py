"""Connections to the server: what is read of a request, how long it may take, and how many there are."""

import contextlib
import gc
import re
import socket
import sys
import time
import traceback

import pytest
from awaiting_events import wait_until
from children import GUARD
from site_server import Serving

from afnio_tellurio.backend import channels

PROJECTS = "/api/v0/acme/projects/"
KEY = "Authorization: Api-Key the-key\r\n"
JSON = "Content-Type: application/json\r\n"
LARGE = 30 * 2**20


@pytest.fixture
def connect(serving):
    opened = []

    def open_connection(sent=""):
        host, port = serving.netloc.split(":")
        connection = socket.create_connection((host, int(port)), timeout=GUARD)
        opened.append(connection)
        connection.sendall(sent.encode("latin-1"))
        return connection

    yield open_connection
    for connection in opened:
        connection.close()


@pytest.fixture
def head(serving):
    def make(request, *headers, host=None):
        host = f"Host: {serving.netloc}\r\n" if host is None else host
        return f"{request} HTTP/1.1\r\n{host}{''.join(headers)}\r\n"

    return make


def answers_of(connection):
    """What arrives until the server closes the connection."""
    received = b""
    while data := connection.recv(65536):
        received += data
    return received


def statuses_of(connection):
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d+)", answers_of(connection))]


# Bodies that the server refuses by the head of their request


@pytest.mark.parametrize(
    ("request_line", "headers", "host", "status"),
    [
        (f"POST {PROJECTS}", [], None, 401),
        (f"POST {PROJECTS}", ["Authorization: Api-Key wrong\r\n"], None, 401),
        (f"POST {PROJECTS}", ["Authorization: Session wrong\r\n"], None, 401),
        (f"POST {PROJECTS}", [KEY], "Host: evil.example\r\n", 403),
        (f"POST {PROJECTS}", [KEY, "Origin: http://evil.example\r\n"], None, 403),
        (f"POST {PROJECTS}", [KEY, "Sec-Fetch-Site: cross-site\r\n"], None, 403),
        (f"POST {PROJECTS}", [KEY], None, 413),
        ("POST /session", [], None, 413),
        ("POST /", [], None, 405),
        ("PUT /nothing/", [], None, 405),
    ],
)
@pytest.mark.parametrize("expects", ["", "Expect: 100-continue\r\n"])
def test_a_large_body_is_refused_before_it_is_sent(
    connect, head, request_line, headers, host, status, expects
):
    length = f"Content-Length: {LARGE}\r\n"
    connection = connect(head(request_line, JSON, length, expects, *headers, host=host))
    # No byte of the body was sent.
    answer = answers_of(connection)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:100]
    assert b"100 Continue" not in answer
    assert b"\nConnection: close" in answer


def test_the_answer_to_a_large_body_without_a_key_is_that_of_the_contract(serving):
    body = b'{"display_name": "' + b"x" * (2 * 2**20) + b'"}'
    answer = serving.ask("POST", PROJECTS, body, Content_Type="application/json")
    assert answer.status == 401
    assert answer.body == b'{"detail":"The API key is missing or wrong.","code":"unauthorized"}'


def test_a_body_of_unknown_length_needs_a_key(connect, head):
    chunked = "Transfer-Encoding: chunked\r\n"
    body = '10\r\n{"display_name":\r\n5\r\n "A"}\r\n0\r\n\r\n'
    close = "Connection: close\r\n"
    assert statuses_of(connect(head(f"POST {PROJECTS}", JSON, chunked))) == [401]
    allowed = connect(head(f"POST {PROJECTS}", JSON, chunked, KEY, close) + body)
    assert statuses_of(allowed) == [201]


def test_a_body_that_is_not_read_is_not_taken_for_a_request(connect, head):
    inner = head(f"GET {PROJECTS}", KEY)
    length = f"Content-Length: {channels.MAX_KEYLESS_BODY_BYTES + 1}\r\n"
    sent = head(f"POST {PROJECTS}", JSON, length) + inner * 20
    assert statuses_of(connect(sent)) == [401]
    chunked = head(f"POST {PROJECTS}", JSON, "Transfer-Encoding: chunked\r\n") + inner
    assert statuses_of(connect(chunked)) == [401]


def test_a_small_body_without_a_key_leaves_the_connection_open(connect, head):
    body = " " * channels.MAX_KEYLESS_BODY_BYTES
    sent = head(f"POST {PROJECTS}", JSON, f"Content-Length: {len(body)}\r\n") + body
    close = head("GET /assets/page.css", "Connection: close\r\n")
    assert statuses_of(connect(sent + close)) == [401, 200]


def test_a_large_body_with_a_session_is_read(serving):
    # Larger than without a session, and not a valid name.
    body = b'{"display_name": "' + b"x" * 100_000 + b'"}'
    answer = serving.ask(
        "POST",
        PROJECTS,
        body,
        Authorization=serving.signed_in(),
        Content_Type="application/json",
    )
    assert answer.status == 400


# Requests that two servers could understand differently


@pytest.mark.parametrize("method", ["HEAD", "GET", "POST"])
@pytest.mark.parametrize(
    "path", ["/", "/assets/page.js", "/session", "/none", PROJECTS, "/api/v0/"]
)
@pytest.mark.parametrize("key", ["", KEY])
def test_answers_to_head_requests_have_no_body(connect, head, method, path, key):
    first = head(f"{method} {path}", JSON, key)
    second = head("HEAD /assets/page.css", "Connection: close\r\n")
    received = answers_of(connect(first + second))
    _, end, rest = received.partition(b"\r\n\r\n")
    assert end
    if method == "HEAD":
        assert rest.startswith(b"HTTP/1.1 200 OK\r\n")
    assert received.endswith(b"\r\n\r\n")


def test_an_error_in_a_head_request_has_no_body_and_logs_nothing(connect, head, caplog):
    received = answers_of(connect(head("HEAD /", "Host: a\r\n")))
    assert received.startswith(b"HTTP/1.1 400 ")
    assert received.endswith(b"\r\n\r\n")
    received = answers_of(connect(head("HEAD /", "no colon\r\n")))
    assert received.startswith(b"HTTP/1.0 400 ")
    assert received.endswith(b"\r\n\r\n")
    assert caplog.messages == []


@pytest.mark.parametrize(
    "headers",
    [
        ["Host: localhost\r\n"],
        ["host: evil.example\r\n"],
        ["Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"],
        ["Transfer-Encoding: chunked\r\n", "Content-Length: 0\r\n"],
        ["Content-Length: 0\r\n", "Content-Length: 44\r\n"],
        ["Content-Length: 5, 5\r\n"],
        ["Content-Length: +5\r\n"],
        ["Content-Length : 5\r\n"],
        ["Transfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\n"],
        ["Transfer-Encoding: chunked, chunked\r\n"],
        ["transfer-encoding: ,chunked\r\n"],
    ],
)
def test_an_ambiguous_request_is_refused_and_ends_the_connection(connect, head, headers):
    smuggled = head(f"GET {PROJECTS}", KEY)
    sent = head("POST /session", KEY, JSON, *headers) + "0\r\n\r\n" + smuggled
    assert statuses_of(connect(sent)) == [400]


@pytest.mark.parametrize(
    ("target", "header"),
    [
        ("/session", f"Content-Length: {'9' * 5000}\r\n"),
        ("/session", f"Content-Length: {'0' * 5000}\r\n"),
        ("http://[::1/", ""),
    ],
    ids=["long number", "long zero", "address"],
)
def test_a_head_that_the_parser_fails_for_is_refused_and_logs_nothing(
    connect, head, caplog, target, header
):
    assert statuses_of(connect(head(f"POST {target}", header))) == [400]
    assert caplog.messages == []


def test_an_old_request_with_a_transfer_encoding_is_refused(connect, head):
    sent = head("GET /", "Transfer-Encoding: chunked\r\n").replace("HTTP/1.1", "HTTP/1.0")
    assert statuses_of(connect(sent)) == [400]


# Slow clients, with the server's clock moved


@pytest.fixture
def let_time_pass(monkeypatch):
    """Moves the clock of the server's connections forward."""
    start = time.monotonic, time.time
    passed = [0.0]

    class Clock:
        monotonic = staticmethod(lambda: start[0]() + passed[0])
        time = staticmethod(lambda: start[1]() + passed[0])

    monkeypatch.setattr(channels, "time", Clock)
    monkeypatch.setattr(channels, "monotonic", Clock.monotonic)
    # It notes when something was last sent or received.
    monkeypatch.setattr("waitress.channel.time", Clock)

    def move(seconds):
        passed[0] += seconds

    return move


@pytest.mark.parametrize(
    ("key", "body", "seconds"),
    [
        ("", False, channels.KEYLESS_SECONDS),
        ("", True, channels.KEYLESS_SECONDS),
        (KEY, False, channels.KEYLESS_SECONDS),
        (KEY, True, channels.KEYED_SECONDS),
    ],
)
def test_a_request_that_arrives_bit_by_bit_has_a_deadline(
    serving, connect, head, let_time_pass, key, body, seconds
):
    start = head(f"POST {PROJECTS}", key, "Content-Length: 1000\r\n")
    connection = connect(start + " " if body else start[:-2])
    # Its bytes have arrived: connections are served in turn.
    assert serving.ask("GET", "/").status == 200
    for _ in range(3):
        let_time_pass(seconds / 4)
        connection.sendall(b"X")
        assert serving.ask("GET", "/").status == 200
    connection.settimeout(0)
    with pytest.raises(BlockingIOError):
        connection.recv(1)
    connection.settimeout(GUARD)
    let_time_pass(seconds / 3)
    assert connection.recv(1) == b""


def test_a_connection_that_is_not_used_is_closed(serving, connect, head, let_time_pass):
    unused = connect()
    used = connect(head("GET /assets/page.css"))
    assert used.recv(10) == b"HTTP/1.1 2"
    assert serving.ask("GET", "/").status == 200
    let_time_pass(channels.IDLE_SECONDS + 1)
    assert answers_of(unused) == b""
    answers_of(used)


def threads_inside(function):
    return sum(
        any(frame.f_code.co_name == function for frame, _line in traceback.walk_stack(stack))
        for stack in sys._current_frames().values()
    )


@pytest.mark.slow
def test_a_client_that_does_not_read_is_closed_with_its_requests_pending(
    serving, connect, head, let_time_pass
):
    # Each answer is larger than all buffers.
    run = serving.run_with([{"name": "text", "value": "x" * 7_000_000}], batches=4)
    count = serving.server._server.adj.threads
    for _ in range(count):
        connect(head(f"GET {run}metrics/", KEY) * 2)
    until = time.monotonic() + GUARD
    while threads_inside("_flush_outbufs_below_high_watermark") < count:
        assert time.monotonic() < until, "not all threads wait for a client to read"
        time.sleep(0.01)
    let_time_pass(channels.IDLE_SECONDS + 1)
    assert serving.ask("GET", PROJECTS, Authorization="Api-Key the-key").status == 200


def test_who_keeps_sending_a_refused_body_is_cut_off(connect, head, let_time_pass):
    length = f"Content-Length: {LARGE}\r\n"
    connection = connect(head(f"POST {PROJECTS}", JSON, length))
    assert statuses_of(connection) == [401]
    let_time_pass(channels.LINGER_SECONDS + 1)
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        while True:
            connection.sendall(b"x" * 100_000)


def test_a_client_without_a_key_cannot_pile_up_answers(connect, head):
    sent = head("GET /assets/page.css") * 60
    assert statuses_of(connect(sent)) == [200] * channels.MAX_KEYLESS_REQUESTS
    # A program with the key may.
    first = head("GET /assets/page.css", KEY)
    last = head("GET /assets/page.css", "Connection: close\r\n")
    assert statuses_of(connect(first + sent + last)) == [200] * 62


# Many clients


def is_open(connection):
    connection.settimeout(0)
    try:
        return connection.recv(1) != b""
    except BlockingIOError:
        return True
    finally:
        connection.settimeout(GUARD)


@pytest.mark.slow
def test_a_thousand_clients_that_trickle_do_not_keep_a_person_out(serving, connect):
    person = connect(f"GET /assets/page.css HTTP/1.1\r\nHost: localhost\r\n{KEY}\r\n")
    assert person.recv(10) == b"HTTP/1.1 2"
    slow = []
    for number in range(1000):
        slow.append(connect("GET / HTTP/1.1\r\nX-Slow: "))
        if number % 100 == 99:
            assert serving.ask("GET", PROJECTS).status == 401
            assert serving.ask("GET", PROJECTS, Authorization="Api-Key the-key").status == 200
    session = serving.signed_in()
    assert serving.ask("GET", PROJECTS, Authorization=session).status == 200
    # Those without a key make room; the person's connection stays.
    assert is_open(person)
    assert sum(map(is_open, slow)) <= channels.MAX_KEYLESS_CONNECTIONS


def test_the_newest_connections_without_a_key_stay(serving, connect, monkeypatch):
    monkeypatch.setattr(channels, "MAX_KEYLESS_CONNECTIONS", 5)
    opened = []
    for _ in range(8):
        opened.append(connect("GET / HTTP/1.1\r\nX-Slow: "))
        assert serving.ask("GET", PROJECTS, Authorization="Api-Key the-key").status == 200
    assert [is_open(connection) for connection in opened][-2:] == [True, True]
    assert not is_open(opened[0])


def test_with_too_many_connections_the_oldest_idle_one_makes_room(serving, connect, monkeypatch):
    monkeypatch.setattr(serving.server._connections, "_limit", 10)
    request = f"GET {PROJECTS} HTTP/1.1\r\nHost: localhost\r\n{KEY}\r\n"
    programs = []
    connections = serving.server._connections
    for _ in range(15):
        program = connect(request)
        assert program.recv(10) == b"HTTP/1.1 2"
        programs.append(program)
        # The server is done with a request a moment after the client has its answer.
        wait_until(lambda: not any(channel.requests for channel in connections._channels()))
    assert serving.ask("GET", PROJECTS).status == 401
    for program in programs[:4]:
        answers_of(program)
    programs[-1].sendall(request.encode())
    assert b"HTTP/1.1 200 OK" in programs[-1].recv(100_000) + programs[-1].recv(100_000)


def test_a_large_answer_leaves_no_file_open_when_the_server_stops(tmp_path):
    serving = Serving(tmp_path)
    run = serving.run_with([{"name": "text", "value": "x" * 3_000_000}])
    host, _, port = serving.netloc.rpartition(":")
    connection = socket.create_connection((host, int(port)), GUARD)
    with contextlib.closing(connection):
        connection.sendall(f"GET {run}metrics/ HTTP/1.1\r\nHost: localhost\r\n{KEY}\r\n".encode())
        received = b""
        while not received.rstrip().endswith(b"]"):
            received += connection.recv(1_000_000)
        serving.close()
    # A file that is left open is an error of this test.
    gc.collect()
