"""Error statuses and invalid responses."""

import json
import pickle

import httpx
import pytest
from children import GUARD
from ports import port_to_reuse

import afnio_tellurio as te
from afnio_tellurio.settings.limits import MAX_RETRIES

ADVICE = " (sign in with: afnio-tellurio login, or set TELLURIO_API_KEY)"
DETAIL = json.dumps({"detail": "The server's words."})
PROJECT = {
    "uuid": "5f0c5d5e-6f0b-4d0e-9a55-0a7f3c1d2b11",
    "display_name": "Digits",
    "slug": "digits",
    "date_created": "2026-11-23T10:15:30.123456Z",
    "last_run_date": None,
    "visibility": "TEAM",
}


@pytest.mark.parametrize(
    ("status", "kind", "builtin"),
    [
        ("400 Bad Request", te.BadRequestError, ValueError),
        ("401 Unauthorized", te.InvalidAPIKeyError, Exception),
        ("403 Forbidden", te.PermissionDeniedError, Exception),
        ("409 Conflict", te.ConflictError, Exception),
        ("412 Precondition Failed", te.RunChangedError, Exception),
        ("413 Content Too Large", te.PayloadTooLargeError, ValueError),
        ("418 I'm a teapot", te.ApiError, Exception),
        ("429 Too Many Requests", te.RateLimitError, Exception),
        ("499 Client Closed Request", te.ApiError, Exception),
        ("500 Internal Server Error", te.BackendFailureError, Exception),
        ("502 Bad Gateway", te.BackendFailureError, Exception),
        ("520 Web Server Returned an Unknown Error", te.BackendFailureError, Exception),
        ("301 Moved Permanently", te.ApiError, Exception),
    ],
)
def test_a_status_becomes_the_exception_of_the_table(faulty, status, kind, builtin):
    faulty.answer(status, DETAIL, headers=["X-Request-ID: r-17"])
    with pytest.raises(kind) as caught:
        te.get_project("acme", "digits")
    error = caught.value
    assert type(error) is kind
    assert isinstance(error, builtin)
    assert isinstance(error, httpx.HTTPStatusError)
    assert isinstance(error, te.TellurioError)
    assert error.status_code == error.response.status_code == int(status[:3])
    assert error.operation == "getProject"
    assert error.identifiers == {"namespace_slug": "acme", "project_slug": "digits"}
    assert error.request_id == "r-17"
    assert error.words == "The server's words."
    advice = ADVICE if kind is te.InvalidAPIKeyError else ""
    assert str(error) == (
        "Cannot get project (acme/digits): "
        f"{faulty.url} answered {status}: The server's words. [request r-17]{advice}"
    )
    assert error.request.url.path == "/api/v0/acme/projects/digits/"


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ('{"detail": "No.", "code": "slug_taken"}', "slug_taken", "No."),
        ('{"code": "of_tomorrow", "detail": "No."}', "of_tomorrow", "No."),
        ('{"name": ["Too long."], "code": "invalid"}', "invalid", "name: Too long."),
        ('{"code": ["Too short."]}', None, "code: Too short."),
        ('{"detail": "No.", "code": 17}', None, "No.; code: 17"),
        ('{"detail": "No.", "code": null}', None, "No.; code: None"),
        ('{"detail": "No.", "code": {"a": [1]}}', None, "No.; code: {'a': [1]}"),
        ('{"code": "busy"}', "busy", "code: busy"),
        ('{"detail": "No."}', None, "No."),
        ("<html><h1>No</h1></html>", None, "No"),
        ('["code"]', None, '["code"]'),
        ("", None, "(empty)"),
        ("[" * 100_000, None, "[" * 500 + "..."),
    ],
)
def test_the_word_for_programs_is_the_code(faulty, body, code, words):
    faulty.answer("409 Conflict", body)
    with pytest.raises(te.ConflictError) as caught:
        te.get_project("acme", "digits")
    error = caught.value
    assert (error.code, error.words) == (code, words)
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.code, str(copy)) == (code, str(error))


def test_an_error_of_the_embedded_backend_has_a_code_and_names_no_request(tmp_path):
    client = te.TellurioClient.local(tmp_path / "x.db")
    with client, pytest.raises(te.NotFoundError) as caught:
        te.delete_project("acme", "digits", client)
    assert caught.value.code == "not_found"
    assert "[request" not in str(caught.value)


def test_not_found_is_a_lookup_error(faulty):
    faulty.answer("404 Not Found", DETAIL)
    with pytest.raises(LookupError) as caught:
        te.delete_project("acme", "digits")
    assert type(caught.value) is te.NotFoundError


def test_an_error_reaches_another_process_whole(faulty):
    faulty.answer("404 Not Found", DETAIL)
    with pytest.raises(te.NotFoundError) as caught:
        te.delete_project("acme", "digits")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (type(copy), str(copy), copy.words) == (
        te.NotFoundError,
        str(caught.value),
        "The server's words.",
    )
    assert copy.identifiers == caught.value.identifiers


def test_the_key_is_in_no_error(faulty):
    faulty.answer("401 Unauthorized", DETAIL)
    with pytest.raises(te.InvalidAPIKeyError) as caught:
        te.get_project("acme", "digits")
    assert faulty.requests[0][3]["Authorization"] == "Api-Key the-key"
    error = caught.value
    for text in (str(error), repr(error), repr(error.request), repr(error.request.headers)):
        assert "the-key" not in text


@pytest.mark.parametrize(
    ("body", "content_type", "words"),
    [
        ('{"visibility": ["Not a choice.", "Really."]}', "application/json", "visibility: Not a choice. Really."),
        ('{"a": ["x"], "b": ["y"]}', "application/json", "a: x; b: y"),
        ("<html><style>p{}</style><h1>502 Bad</h1>\n<p>Gateway", "text/html", "502 Bad Gateway"),
        ("no JSON", "application/json", "no JSON"),
        ('["a list"]', "application/json", '["a list"]'),
        ("", "text/plain", "(empty)"),
        ("x" * 2000, "text/plain", "x" * 500 + "..."),
    ],
)  # fmt: skip
def test_the_servers_words_are_quoted_whatever_they_are(faulty, body, content_type, words):
    faulty.answer("502 Bad Gateway", body, content_type)
    with pytest.raises(te.BackendFailureError) as caught:
        te.get_project("acme", "digits")
    assert caught.value.words == words


@pytest.mark.parametrize(
    ("status", "body", "content_type"),
    [
        ("200 OK", "<html>Welcome to this hotel's network</html>", "text/html"),
        ("200 OK", json.dumps(PROJECT)[:60], "application/json"),
        ("200 OK", "", "application/json"),
        ("200 OK", "[]", "application/json"),
        ("200 OK", "null", "application/json"),
        ("200 OK", '"text"', "application/json"),
        ("200 OK", "[" * 100_000, "application/json"),
        ("200 OK", b"\xff\xfe\x00", "application/json"),
        ("200 OK", json.dumps({**PROJECT, "uuid": "17"}), "application/json"),
        ("200 OK", json.dumps({**PROJECT, "uuid": None}), "application/json"),
        ("200 OK", json.dumps({**PROJECT, "date_created": "soon"}), "application/json"),
        (
            "200 OK",
            json.dumps({**PROJECT, "date_created": "2026-11-23T10:15:30"}),
            "application/json",
        ),
        ("200 OK", json.dumps({**PROJECT, "last_run_date": "soon"}), "application/json"),
        ("200 OK", json.dumps({**PROJECT, "display_name": 7}), "application/json"),
        ("200 OK", json.dumps({**PROJECT, "slug": None}), "application/json"),
        ("202 Accepted", json.dumps(PROJECT), "application/json"),
        ("299 Fine", json.dumps(PROJECT), "application/json"),
        ("204 No Content", "", "application/json"),
    ],
)
def test_an_answer_that_makes_no_sense_is_one_clear_error(faulty, status, body, content_type):
    faulty.answer(status, body, content_type)
    with pytest.raises(te.InvalidResponseError, match="^Cannot get project: ") as caught:
        te.get_project("acme", "digits")
    assert caught.value.operation == "getProject"


def test_a_missing_field_is_named(faulty):
    faulty.answer("200 OK", json.dumps({"uuid": PROJECT["uuid"]}))
    with pytest.raises(
        te.InvalidResponseError, match="Cannot get project: .* lacks the field 'display_name'"
    ):
        te.get_project("acme", "digits")


def test_a_body_that_cannot_be_decompressed_is_a_clear_error(faulty):
    faulty.answer("200 OK", "not gzip", headers=["Content-Encoding: gzip"])
    with pytest.raises(te.InvalidResponseError, match="Cannot get project: "):
        te.get_project("acme", "digits")


def test_unknown_fields_and_words_in_an_answer_are_survived(faulty):
    faulty.answer("200 OK", json.dumps({**PROJECT, "visibility": "OPEN", "new": {"field": 1}}))
    project = te.get_project("acme", "digits")
    assert project.visibility == "OPEN"
    assert (project.role, project.org_slug) == (None, None)


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort", b"garbage\r\n\r\n"]
)
def test_a_broken_connection_is_a_backend_that_cannot_be_reached(faulty, answer):
    faulty.answers.append(answer)
    with pytest.raises(
        te.BackendUnreachableError, match="Cannot get project: the backend at .* cannot be reached"
    ):
        te.get_project("acme", "digits")
    assert len(faulty.requests) == 1 + MAX_RETRIES
    faulty.requests.clear()
    with pytest.raises(te.BackendUnreachableError, match="Cannot create project"):
        te.create_project("acme", "Digits")
    assert len(faulty.requests) == 1, "it may have been carried out"


def test_a_dead_backend_is_a_connection_error_that_says_what_to_do(monkeypatch):
    monkeypatch.setattr("afnio_tellurio.api.retries.CONNECT_RETRY_DELAY", 0.0)
    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", f"http://127.0.0.1:{port_to_reuse()}")
    with pytest.raises(
        ConnectionError, match="check the network and TELLURIO_BACKEND_HTTP_BASE_URL"
    ):
        te.init("acme", "Digits")
    with pytest.raises(ValueError, match="cannot be reached"):
        te.TellurioClient().get("/api/v0/verify-api-key/")


def test_a_backend_that_never_answers_is_given_up(faulty, monkeypatch):
    import threading

    monkeypatch.setattr("afnio_tellurio.api.pool.READ_TIMEOUT", 0.05)
    wait = threading.Event()
    faulty.answer("200 OK", "{}")
    handle = faulty.server.RequestHandlerClass.do_GET
    faulty.server.RequestHandlerClass.do_GET = lambda self: (wait.wait(GUARD), handle(self))
    with pytest.raises(te.BackendUnreachableError, match="timed out"):
        te.get_project("acme", "digits")
    wait.set()


def test_every_request_has_connect_and_read_timeouts():
    client = te.TellurioClient("http://127.0.0.1:1")
    timeout = client.api.get_httpx_client().timeout
    assert (timeout.connect, timeout.read, timeout.write) == (5, 30, 30)


def test_a_raw_request_gives_even_an_error_answer_as_it_is(faulty):
    faulty.answer("520 Unknown", "<html>", "text/html")
    with faulty_client() as client:
        response = client.get("/api/v0/verify-api-key/")
    assert (response.status_code, response.text) == (520, "<html>")


def faulty_client():
    return te.TellurioClient()


def test_a_project_that_another_process_creates_in_between_is_used(faulty):
    run = {
        "uuid": "9b2f4f9e-3c0d-4b0a-8a53-5a3c8e0f7f21", "name": "r", "description": None,
        "status": "RUNNING", "date_created": PROJECT["date_created"],
        "date_updated": PROJECT["date_created"],
        "project": {key: PROJECT[key] for key in ("uuid", "display_name", "slug")}, "user": None,
    }  # fmt: skip
    for refusal in ("409 Conflict", "400 Bad Request"):
        faulty.answer("404 Not Found", DETAIL)
        faulty.answer(refusal, DETAIL)
        faulty.answer("200 OK", json.dumps(PROJECT))
        faulty.answer("201 Created", json.dumps(run))
        faulty.answer("200 OK", json.dumps({**run, "status": "COMPLETED"}))
        started = te.init("acme", "Digits")
        assert started.name == "r"
        assert started.user is None
        started.finish()
        faulty.answers.clear()


def test_a_key_that_is_forbidden_to_sign_in_is_refused_like_an_unknown_one(faulty):
    faulty.answer("403 Forbidden", '{"detail": "Invalid API key."}')
    with pytest.raises(
        te.InvalidAPIKeyError, match=r"^Login failed due to invalid API key\. .*403"
    ):
        te.TellurioClient().login("bad")
