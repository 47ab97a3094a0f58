"""Requests outside delivery: sent again after a failure that passes, within bounds."""

import json
import re
import threading

import exchanges
import httpx
import pytest

import afnio_tellurio as te
from afnio_tellurio.api import pool, retries
from afnio_tellurio.client import connection_of

DATE = "2026-11-23T10:00:00Z"
PROJECT = {
    "uuid": "0b9b2a8e-6f0e-4c53-8df3-0a8a2b8f8d11", "display_name": "Digits", "slug": "digits",
    "date_created": DATE, "date_updated": DATE, "visibility": "TEAM",
}  # fmt: skip
RUN = {
    "uuid": "9b2f4f9e-3c0d-4b0a-8a53-5a3c8e0f7f21", "name": "r", "description": None,
    "status": "RUNNING", "date_created": DATE, "date_updated": DATE,
    "project": {key: PROJECT[key] for key in ("uuid", "display_name", "slug")}, "user": None,
}  # fmt: skip
FAILURES = ["429 Too Many Requests", "502 Bad Gateway", "503 Service Unavailable", "504 Timeout"]
BROKEN = [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort", b"garbage\r\n\r\n"]


@pytest.fixture(autouse=True)
def delays(monkeypatch):
    """The seconds of each pause, which no test waits for."""
    waited = []
    monkeypatch.setattr("afnio_tellurio.api.connection.time.sleep", waited.append)
    return waited


def fail(faulty, failure):
    if isinstance(failure, bytes):
        faulty.answers.append(failure)
    else:
        faulty.answer(failure, "<html>out of service</html>", "text/html")


CALLS = {
    "getProject": (lambda: te.get_project("acme", "digits"), "200 OK", PROJECT),
    "listProjects": (lambda: te.list_projects("acme"), "200 OK", [PROJECT]),
    "listRuns": (lambda: list(te.runs("acme", "digits")), "200 OK", [RUN]),
    "getRun": (lambda: te.get_run("acme", "digits", RUN["uuid"]), "200 OK", RUN),
    "restoreProject": (lambda: te.restore_project("acme", "digits"), "200 OK", PROJECT),
    "verifyApiKey": (
        lambda: te.TellurioClient().login(), "200 OK", {"email": "a@b.c", "username": "ada"}
    ),
    "GET": (
        lambda: te.TellurioClient().get("/api/v0/verify-api-key/").raise_for_status(), "200 OK", {}
    ),
}  # fmt: skip


@pytest.mark.parametrize("failure", [*FAILURES, *BROKEN])
@pytest.mark.parametrize("name", CALLS)
def test_a_read_succeeds_after_two_failures_that_pass(faulty, name, failure, delays):
    call, status, body = CALLS[name]
    fail(faulty, failure)
    fail(faulty, failure)
    faulty.answer(status, json.dumps(body))
    call()
    assert len(faulty.requests) == 3
    assert len(delays) == 2
    assert delays[0] <= retries.CONNECT_RETRY_DELAY
    assert delays[1] <= 2 * retries.CONNECT_RETRY_DELAY


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_that_stays_is_raised_after_the_retries(faulty, failure):
    fail(faulty, failure)
    with pytest.raises(te.ApiError, match=failure[:3]):
        te.get_project("acme", "digits")
    assert len(faulty.requests) == 3


@pytest.mark.parametrize("failure", ["400 Bad Request", "401 No", "404 Not Found", "500 Broken"])
def test_another_error_is_raised_at_once(faulty, failure):
    fail(faulty, failure)
    with pytest.raises(te.ApiError, match=failure[:3]):
        te.list_projects("acme")
    assert len(faulty.requests) == 1


@pytest.mark.parametrize("failure", FAILURES[1:])
@pytest.mark.parametrize(
    "call",
    [
        lambda: te.create_project("acme", "Digits"),
        lambda: te.delete_project("acme", "digits"),
        lambda: (
            te.TellurioClient()
            .post("/api/v0/acme/projects/", {"display_name": "Digits"})
            .raise_for_status()
        ),
    ],
)
def test_what_may_have_been_carried_out_is_not_sent_again(faulty, call, failure):
    fail(faulty, failure)
    with pytest.raises((te.ApiError, httpx.HTTPStatusError)):
        call()
    assert len(faulty.requests) == 1


def test_what_was_refused_for_its_rate_is_sent_again(faulty):
    fail(faulty, FAILURES[0])
    faulty.answer("201 Created", json.dumps(PROJECT))
    assert te.create_project("acme", "Digits").slug == "digits"


@pytest.mark.parametrize("failure", [*FAILURES, *BROKEN])
def test_a_run_whose_answer_was_lost_is_created_once(faulty, failure):
    faulty.answer("200 OK", json.dumps(PROJECT))
    fail(faulty, failure)
    faulty.answer("201 Created", json.dumps(RUN))
    faulty.answer("200 OK", json.dumps({**RUN, "status": "COMPLETED"}))
    te.init("acme", "Digits", "r").finish()
    posts = [
        headers["Idempotency-Key"] for method, *_, headers in faulty.requests if method == "POST"
    ]
    assert len(posts) == 2
    assert len(set(posts)) == 1


@pytest.mark.parametrize("failure", [*FAILURES[1:], *BROKEN])
def test_a_project_whose_answer_was_lost_is_used(faulty, failure):
    faulty.answer("404 Not Found", '{"detail": "Not found."}')
    fail(faulty, failure)
    faulty.answer("200 OK", json.dumps(PROJECT))
    faulty.answer("201 Created", json.dumps(RUN))
    faulty.answer("200 OK", json.dumps({**RUN, "status": "COMPLETED"}))
    assert te.init("acme", "Digits", "r").finish().waiting == 0
    assert len([path for _, path, *_ in faulty.requests if path.endswith("/projects/")]) == 1


def test_a_project_that_was_not_created_is_an_error(faulty):
    for failure in ("404 Not Found", "502 Bad Gateway", "404 Not Found"):
        faulty.answer(failure, '{"detail": "Not found."}')
    with pytest.raises(te.BackendFailureError, match="Cannot create project"):
        te.init("acme", "Digits", "r")


def test_an_update_is_sent_again(faulty):
    faulty.answer("200 OK", json.dumps(RUN))
    run = te.get_run("acme", "digits", RUN["uuid"])
    faulty.answers.clear()
    fail(faulty, FAILURES[2])
    faulty.answer("200 OK", json.dumps({**RUN, "description": "new"}))
    run.update(description="new")
    assert run.description == "new"


def test_a_timeout_is_sent_again(faulty, monkeypatch):
    monkeypatch.setattr(pool, "READ_TIMEOUT", 0.05)
    go_on = threading.Event()
    faulty.answer("200 OK", json.dumps(PROJECT))
    handler = faulty.server.RequestHandlerClass
    handle, count = handler.do_GET, []

    def hang_twice(request):
        count.append(request)
        if len(count) < 3:
            go_on.wait(600)
        else:
            handle(request)

    handler.do_GET = hang_twice
    try:
        with te.TellurioClient() as client:
            assert te.get_project("acme", "digits", client).slug == "digits"
    finally:
        go_on.set()
    assert len(count) == 3


def test_the_backend_says_when(faulty, delays):
    faulty.answer("429 Slow", "", headers=["Retry-After: 3"])
    faulty.answer("503 Away", "", headers=["Retry-After: Mon, 23 Nov 2020 10:00:07 GMT"])
    faulty.answer("200 OK", json.dumps(PROJECT))
    te.get_project("acme", "digits")
    assert delays[0] == 3
    assert delays[1] < 1, "a time that has passed"


def test_retry_after_may_be_a_date(monkeypatch):
    class Clock(retries.dt.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 11, 23, 10, 0, 0, tzinfo=tz)

    def asked(value):
        return retries.retry_after(httpx.Response(429, headers={"Retry-After": value}))

    monkeypatch.setattr(retries.dt, "datetime", Clock)
    assert asked("Mon, 23 Nov 2026 10:00:07 GMT") == 7
    assert asked("Mon, 23 Nov 2026 09:00:00 GMT") == 0
    assert asked("soon") == 0
    assert asked("86400") == 30, "and not a day"
    assert asked("3") == 3
    assert asked("") == 0


def test_no_retry_starts_after_the_time_of_a_request(faulty, monkeypatch, delays):
    monkeypatch.setattr(retries, "REQUEST_TIMEOUT", 2)
    faulty.answer("503 Away", "", headers=["Retry-After: 3"])
    with pytest.raises(te.BackendFailureError):
        te.get_project("acme", "digits")
    assert (len(faulty.requests), delays) == (1, [])


def test_a_timeout_bounds_a_call_with_its_retries(faulty, delays):
    faulty.answer("503 Away", "", headers=["Retry-After: 20"])
    with te.TellurioClient(timeout=10) as client:
        with pytest.raises(te.BackendFailureError):
            te.get_project("acme", "digits", client)
        with pytest.raises(te.BackendUnreachableError, match="not enough time"):
            te.get_project("acme", "digits", client.with_options(timeout=0))
    assert (len(faulty.requests), delays) == (1, [])


@pytest.mark.parametrize(("max_retries", "expected"), [(0, 1), (1, 2), (5, 6)])
def test_the_number_of_retries_can_be_chosen(faulty, max_retries, expected):
    fail(faulty, FAILURES[2])
    with te.TellurioClient(max_retries=max_retries) as client:
        with pytest.raises(te.BackendFailureError):
            te.get_project("acme", "digits", client)
        assert len(faulty.requests) == expected
        faulty.requests.clear()
        with pytest.raises(te.BackendFailureError):
            te.get_project("acme", "digits", client.with_options(max_retries=3))
        assert len(faulty.requests) == 4


def test_headers_are_those_of_the_client_and_of_the_call(faulty):
    faulty.answer("200 OK", json.dumps(PROJECT))
    with te.TellurioClient(headers={"X-Team": "vision"}) as client:
        te.get_project("acme", "digits", client.with_options(headers={"X-Job": "7"}))
        te.get_project("acme", "digits", client)
        client.get("/api/v0/verify-api-key/")
    sent = [(headers["X-Team"], headers["X-Job"]) for *_, headers in faulty.requests]
    assert sent == [("vision", "7"), ("vision", None), ("vision", None)]
    assert "vision" not in repr(connection_of(client).options)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"timeout": -1}, ValueError, "timeout is -1; it must be 0 or more"),
        ({"timeout": float("nan")}, ValueError, "timeout is nan"),
        ({"timeout": "1"}, TypeError, "timeout is '1'; pass a number"),
        ({"timeout": True}, TypeError, "timeout is True"),
        ({"timeout": 10**400}, ValueError, "timeout is too large"),
        ({"max_retries": -1}, ValueError, "max_retries is -1"),
        ({"max_retries": 1.5}, TypeError, "max_retries is 1.5"),
        ({"headers": {"X-A": 1}}, TypeError, "header 'X-A'"),
        ({"headers": [("X-A", "1")]}, TypeError, "headers is a list; pass a mapping"),
        ({"headers": "X-A: 1"}, TypeError, "headers is a str; pass a mapping"),
        ({"headers": {"X-A": "1\r\nHost: evil"}}, ValueError, "header 'X-A'"),
        ({"headers": {"X A": "1"}}, ValueError, "header 'X A'"),
        ({"headers": {"X-A": "ü"}}, ValueError, "header 'X-A'"),
        ({"headers": {"authorization": "Api-Key x"}}, ValueError, "'authorization' cannot be set"),
    ],
)
def test_bad_options_are_named(options, error, words):
    with pytest.raises(error, match=re.escape(words)):
        te.TellurioClient(**options)
    with (
        te.TellurioClient("http://127.0.0.1:1") as client,
        pytest.raises(error, match=re.escape(words)),
    ):
        client.with_options(**options)


def test_a_client_with_options_shares_connections_and_key_and_is_closed_with_its_origin(server):
    with te.TellurioClient(server) as client:
        other = client.with_options(timeout=60).with_options(max_retries=0)
        client.login()
        run = te.init("acme", "Digits", "r", client=other)
        run.log("loss", 1)
        assert te.get_run("acme", "digits", "r", client).metrics("loss").values == [1]
        run.finish()
        del other
        assert not client.is_closed
        last = client.with_options()
        last.close()
        assert client.is_closed
        assert last.is_closed


def test_requests_name_the_versions_and_have_an_id_that_errors_name(faulty):
    faulty.answer("404 Not Found", '{"detail": "Not found."}')
    with pytest.raises(te.NotFoundError) as error:
        te.list_projects("acme")
    ((*_, headers),) = faulty.requests
    assert re.fullmatch(
        rf"afnio-tellurio/{re.escape(te.__version__)} contract/\S+ python/\d+\.\d+\.\d+",
        headers["User-Agent"],
    )
    assert error.value.request_id == headers["X-Request-ID"]
    assert f"[request {headers['X-Request-ID']}]" in str(error.value)


def test_the_embedded_backend_is_asked_once(tmp_path, monkeypatch, delays):
    with te.TellurioClient.local(tmp_path / "runs.db") as client:
        asked = []
        connection = connection_of(client)

        def refuse(request):
            asked.append(request)
            return httpx.Response(503, json={"detail": "database is locked"})

        connection._pool.transport = httpx.MockTransport(refuse)
        connection._pool.open()
        with exchanges.departing("answer"), pytest.raises(te.BackendFailureError):
            te.get_project("acme", "digits", client)
        assert (len(asked), delays) == (1, [])
