"""Access to the site: which requests are allowed, with which credentials, and which never are."""

import json
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from children import GUARD

import afnio_tellurio as te
from afnio_tellurio.backend import sessions

PROJECTS = "/api/v0/acme/projects/"
KEY = {"Authorization": "Api-Key the-key"}


# Requests that are rejected before they have any effect


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8642", "localhost.evil.example", "127.0.0.1.evil.example",
     "", None, "[::1", "a b", "localhost@evil.example", "evil.example#localhost"],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/", "/assets/page.js", PROJECTS])
def test_a_name_that_means_this_machine_by_rebinding_is_refused(serving, host, path):
    assert serving.ask("GET", path, Host=host, **KEY).status in {400, 403}


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1:9999", "[::1]:8642", "a.localhost", "10.0.0.7"]
)
def test_the_names_and_addresses_of_this_machine_are_taken_at_any_port(serving, host):
    assert serving.ask("GET", "/", Host=host).status == 200


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "https://127.0.0.1",
        "http://127.0.0.1:1",
        "file://",
        "http://[",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_another_site_cannot_read_or_write(serving, origin, method):
    session = serving.signed_in()
    body = b'{"display_name": "Digits"}' if method == "POST" else None
    answer = serving.ask(
        method,
        PROJECTS,
        body,
        Origin=origin,
        Authorization=session,
        Content_Type="application/json",
    )
    assert answer.status == 403
    listed = serving.ask("GET", PROJECTS, Authorization=session)
    assert json.loads(listed.body) == []


@pytest.mark.parametrize("path", [PROJECTS, "/session"])
def test_a_proxy_that_replaces_the_host_is_told_of_the_public_url(serving, path):
    answer = serving.ask("POST", path, b"{}", Origin="http://runs.example.com", **KEY)
    assert answer.status == 403
    assert b"--public-url" in answer.body


@pytest.mark.parametrize("site", ["cross-site", "same-site", "nonsense"])
def test_what_a_browser_says_comes_from_another_site_is_refused(serving, site):
    session = serving.signed_in()
    for path in ("/assets/page.js", PROJECTS):
        answer = serving.ask("GET", path, Authorization=session, Sec_Fetch_Site=site)
        assert answer.status == 403, path


def test_a_link_on_another_site_leads_to_the_page_but_not_to_the_backend(serving):
    visit = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}
    assert serving.ask("GET", "/acme/projects/digits/", **visit).status == 200
    session = serving.signed_in()
    assert serving.ask("GET", PROJECTS, Authorization=session, **visit).status == 403
    assert serving.ask("POST", "/session", b"{}", **visit).status == 403


@pytest.mark.parametrize("method", ["GET", "OPTIONS", "POST"])
def test_no_other_origin_is_ever_allowed(serving, method):
    for path in ("/", PROJECTS, "/session"):
        for origin in (serving.url, "http://evil.example"):
            answer = serving.ask(method, path, Origin=origin, **KEY)
            assert not [name for name, _ in answer.getheaders() if "access-control" in name.lower()]


# The key, the token, and sessions


def session_of(answer):
    return f"Session {json.loads(answer.body)['session']}"


def test_the_page_needs_no_key_and_the_backend_does(serving):
    assert serving.ask("GET", "/").status == 200
    assert serving.ask("GET", PROJECTS).status == 401
    assert serving.ask("GET", PROJECTS, Authorization="Api-Key wrong").status == 401
    assert serving.ask("GET", PROJECTS, **KEY).status == 200


@pytest.fixture
def clock(monkeypatch):
    """Seconds to add to the time of day that sessions see."""
    shift = SimpleNamespace(seconds=0.0)
    shifted = SimpleNamespace(time=lambda: time.time() + shift.seconds)
    monkeypatch.setattr(sessions, "time", shifted)
    return shift


def test_the_token_opens_sessions_for_ten_minutes(serving, clock):
    opened = []
    for seconds in (0, 300, 590):
        clock.seconds = seconds
        opened.append(session_of(serving.sign_in(token=serving.site.token)))
    for seconds in (600, 86_400):
        clock.seconds = seconds
        assert serving.sign_in(token=serving.site.token).status == 401
    assert len(set(opened)) == 3
    # The sessions themselves go on.
    for session in opened:
        assert serving.ask("GET", PROJECTS, Authorization=session).status == 200


def test_a_session_ends_after_thirty_days(serving, clock):
    session = serving.signed_in()
    clock.seconds = 30 * 86_400 - 60
    assert serving.ask("GET", PROJECTS, Authorization=session).status == 200
    clock.seconds = 30 * 86_400
    assert serving.ask("GET", PROJECTS, Authorization=session).status == 401
    assert serving.ask("GET", PROJECTS, Authorization=serving.signed_in()).status == 200


def test_many_browsers_sign_in_at_once(serving):
    with ThreadPoolExecutor(20) as browsers:
        opened = list(
            browsers.map(lambda _: session_of(serving.sign_in(token=serving.site.token)), range(20))
        )
    assert len(set(opened)) == 20
    statuses = {serving.ask("GET", PROJECTS, Authorization=each).status for each in opened}
    assert statuses == {200}


def test_a_wrong_token_opens_nothing(serving):
    for token in ("wrong", "", "\ud83c", f"{serving.site.token}x"):
        assert serving.sign_in(token=token).status in {400, 401}
    assert serving.sign_in(token=serving.site.token).status == 200


def test_no_answer_sets_a_cookie(serving):
    answers = [
        serving.sign_in(api_key="the-key"),
        serving.sign_in(token=serving.site.token),
        serving.ask("GET", "/session"),
        serving.ask("GET", PROJECTS, **KEY),
        serving.ask("DELETE", "/session"),
    ]
    # A browser would send it to every port of this machine.
    assert [answer.getheader("Set-Cookie") for answer in answers] == [None] * 5


def test_a_session_is_not_cached_and_not_the_token(serving):
    answer = serving.sign_in(token=serving.site.token)
    assert answer.getheader("Cache-Control") == "no-store"
    assert serving.site.token not in answer.body.decode()
    assert "the-key" not in answer.body.decode()


def test_the_session_of_one_server_opens_no_other(serving, start_serving):
    other = start_serving("other")
    assert serving.ask("GET", PROJECTS, Authorization=other.signed_in()).status == 401


@pytest.mark.parametrize(
    "header", ["", "Session", "Session ", "Session x", "session {}", "Session {}x", "Session  {}",
               "Api-Key {}", "Bearer {}", "Session {}, Session {}", "{}"],
)  # fmt: skip
def test_what_is_not_a_session_opens_nothing(serving, header):
    secret = serving.signed_in().removeprefix("Session ")
    answer = serving.ask("GET", PROJECTS, Authorization=header.replace("{}", secret))
    assert answer.status == 401


def test_a_session_in_a_cookie_or_a_query_opens_nothing(serving):
    secret = serving.signed_in().removeprefix("Session ")
    assert serving.ask("GET", PROJECTS, Cookie=f"session={secret}").status == 401
    assert serving.ask("GET", f"{PROJECTS}?session={secret}").status == 401


def test_the_key_opens_a_session(serving):
    assert serving.sign_in(api_key="wrong").status == 401
    session = session_of(serving.sign_in(api_key="the-key"))
    body = b'{"display_name": "Digits"}'
    created = serving.ask(
        "POST", PROJECTS, body, Authorization=session, Content_Type="application/json"
    )
    assert created.status == 201


def test_a_session_can_be_ended_and_the_others_stay(serving):
    first, second = serving.signed_in(), serving.signed_in()
    assert serving.ask("DELETE", "/session", Authorization="Session x").status == 204
    assert serving.ask("DELETE", "/session").status == 204
    assert serving.ask("DELETE", "/session", Authorization=first).status == 204
    assert serving.ask("GET", PROJECTS, Authorization=first).status == 401
    assert serving.ask("GET", PROJECTS, Authorization=second).status == 200
    assert serving.ask("GET", PROJECTS, **KEY).status == 200


def test_the_oldest_session_ends_when_there_are_too_many(serving, monkeypatch):
    monkeypatch.setattr(sessions, "MAX_SESSIONS", 3)
    opened = [serving.signed_in() for _ in range(4)]
    statuses = [serving.ask("GET", PROJECTS, Authorization=session).status for session in opened]
    assert statuses == [401, 200, 200, 200]


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b'{"api_key": "the-key"}', "text/plain", 415),
        (b"api_key=the-key", "application/x-www-form-urlencoded", 415),
        (b"not JSON", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"[" * 4000, "application/json", 400),
        (b"\xff", "application/json", 400),
        (b'{"api_key": null}', "application/json", 401),
        (b'{"api_key": 3}', "application/json", 400),
        (b'{"api_key": "\\ud800"}', "application/json", 400),
        (b'{"api_key": "' + b"x" * 5000 + b'"}', "application/json", 413),
    ],
)
def test_a_key_that_is_none_is_refused(serving, body, content_type, status):
    answer = serving.ask("POST", "/session", body, Content_Type=content_type)
    assert answer.status == status


# The headers of every response, and what is served


def test_only_a_browser_gets_a_page_for_an_address_that_does_not_exist(serving):
    answer = serving.ask("GET", "/nothing/here")
    assert (answer.status, answer.body) == (404, b"Page not found.\n")
    answer = serving.ask("GET", "/nothing/here", Accept="text/html,*/*;q=0.8")
    assert answer.status == 404
    assert b"/assets/page.js" in answer.body
    assert answer.getheader("Cache-Control") == "no-store"


@pytest.mark.parametrize(
    ("path", "status"),
    [("/", 200), ("/assets/page.js", 200), ("/nothing/here", 404), (PROJECTS, 401),
     ("/acme/projects/digits/", 200), ("/session", 200)],
)  # fmt: skip
def test_every_answer_tells_the_browser_to_be_strict(serving, path, status):
    answer = serving.ask("GET", path)
    assert answer.status == status
    policy = answer.getheader("Content-Security-Policy")
    directives = dict(part.split(" ", 1) for part in policy.split("; "))
    assert directives["default-src"] == "'none'"
    assert directives["script-src"] == directives["style-src"] == "'self'"
    assert directives["frame-ancestors"] == directives["base-uri"] == "'none'"
    assert "unsafe" not in policy
    assert answer.getheader("X-Content-Type-Options") == "nosniff"
    assert answer.getheader("Referrer-Policy") == "no-referrer"
    assert answer.getheader("X-Frame-Options") == "DENY"
    assert answer.getheader("Cross-Origin-Resource-Policy") == "same-origin"
    assert answer.getheader("Server") is None


def test_the_frame_for_html_is_apart_from_the_page(serving):
    answer = serving.ask("GET", "/assets/frame.html")
    assert answer.status == 200
    (policy,) = answer.headers.get_all("Content-Security-Policy")
    directives = dict(part.split(" ", 1) for part in policy.split("; "))
    # Scripts without an origin, and nothing that could leave the browser.
    assert directives["sandbox"] == "allow-scripts"
    assert directives["default-src"] == directives["base-uri"] == directives["form-action"]
    assert directives["default-src"] == "'none'"
    assert "connect-src" not in directives
    assert not re.search(r"https?:|\*|unsafe-eval", policy)
    # Only the page itself can show it.
    assert directives["frame-ancestors"] == "'self'"
    assert answer.headers.get_all("X-Frame-Options") == ["SAMEORIGIN"]
    assert answer.getheader("X-Content-Type-Options") == "nosniff"
    assert serving.ask("GET", "/assets/index.html").getheader("X-Frame-Options") == "DENY"


def test_what_the_backend_answers_is_not_kept_by_browsers(serving):
    assert serving.ask("GET", PROJECTS, **KEY).getheader("Cache-Control") == "no-store"


@pytest.mark.parametrize(
    "path",
    ["/", "/acme/", "/acme/projects/digits/", "/acme/projects/digits/compare/?run=a",
     "/acme/projects/digits/runs/a-name/", "/acme/projects/digits/runs/a%2Fb%20c/",
     "/acme/projects/digits/artifacts/", "/acme/projects/digits/artifacts/model/",
     "/acme/projects/digits/artifacts/model/v0/", "/acme/projects/digits/artifacts/a.b/best/"],
)  # fmt: skip
def test_each_view_has_an_address(serving, path):
    answer = serving.ask("GET", path)
    assert answer.status == 200
    assert answer.getheader("Content-Type") == "text/html; charset=utf-8"
    assert b"/assets/page.js" in answer.body
    head = serving.ask("HEAD", path)
    assert (head.status, head.body) == (200, b"")
    assert head.getheader("Content-Length") == str(len(answer.body))


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/acme/projects/digits", "/acme/projects/digits/"),
        ("/acme/projects/digits/compare?run=a&run=b", "/acme/projects/digits/compare/?run=a&run=b"),
        (
            "/acme/projects/digits/runs/a%2Fb%20c?x=step",
            "/acme/projects/digits/runs/a%2Fb%20c/?x=step",
        ),
    ],
)
def test_an_address_without_its_last_slash_leads_to_the_one_with_it(serving, path, place):
    answer = serving.ask("GET", path)
    assert (answer.status, answer.getheader("Location")) == (303, place)
    assert answer.getheader("Cache-Control") == "no-store"


@pytest.mark.parametrize(
    "lines",
    [
        "GET /api/v0/acme/projects/ HTTP/1.1\r\nHost: localhost\r\nHost: evil.example",
        "GET /api/v0/acme/projects/ HTTP/1.1\r\nHost: evil.example\r\nHost: localhost",
        "GET /api/v0/acme/projects/ HTTP/1.0",
        "GET http://evil.example/api/v0/acme/projects/ HTTP/1.1\r\nHost: evil.example",
        "GET /assets/../application.py HTTP/1.1\r\nHost: localhost",
        "GET //evil.example/acme HTTP/1.1\r\nHost: localhost",
        "\x00\x01\x02",
    ],
)
def test_a_request_that_no_browser_sends_gets_nothing(serving, lines):
    host, port = serving.netloc.split(":")
    with socket.create_connection((host, int(port)), timeout=GUARD) as connection:
        sent = f"{lines}\r\nAuthorization: Api-Key the-key\r\nConnection: close\r\n\r\n"
        connection.sendall(sent.encode("latin-1"))
        answer = b""
        while data := connection.recv(65536):
            answer += data
    assert int(answer.split()[1]) in {400, 403, 404}


@pytest.mark.parametrize(
    "path",
    ["/assets/../application.py", "/assets/%2e%2e/application.py", "/assets/..%2fapplication.py",
     "/assets/vendor/preact.js", "/assets//etc/passwd", "/assets/", "/assets/.", "/assets/page.js/",
     "/assets/page.js%00", "//etc/passwd", "/../../../../etc/passwd", "/assets/LICENSE",
     "/assets/%5c..%5capplication.py", "/index.html", "/acme/projects/"],
)  # fmt: skip
def test_no_path_of_a_request_reaches_a_file(serving, path):
    answer = serving.ask("GET", path)
    assert answer.status in {400, 404} or b"/assets/page.js" in answer.body
    assert b"root:" not in answer.body
    assert b"import " not in answer.body


def test_a_file_that_a_browser_has_is_not_sent_again(serving):
    first = serving.ask("GET", "/assets/page.js")
    tag = first.getheader("ETag")
    assert first.getheader("Cache-Control") == "no-cache"
    again = serving.ask("GET", "/assets/page.js", If_None_Match=tag)
    assert (again.status, again.body) == (304, b"")
    assert serving.ask("GET", "/assets/page.js", If_None_Match='"old"').status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_the_page_is_only_read(serving, method):
    answer = serving.ask(method, "/", Origin=serving.url)
    assert (answer.status, answer.getheader("Allow")) == (405, "GET, HEAD")


# Limits


def test_too_many_headers_are_refused(serving):
    assert serving.ask("GET", "/", X_Long="x" * 200_000).status == 431


def test_a_body_that_is_too_large_is_refused(serving):
    body = b'{"display_name": "' + b"x" * (9 * 2**20) + b'"}'
    answer = serving.ask("POST", PROJECTS, body, Content_Type="application/json", **KEY)
    assert answer.status == 413


def test_clients_that_never_finish_do_not_keep_others_out(serving):
    slow = []
    for _ in range(100):
        connection = socket.create_connection(serving.netloc.split(":"), timeout=GUARD)
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        slow.append(connection)
    assert serving.ask("GET", "/").status == 200
    for connection in slow:
        connection.close()


# Programs


def test_requests_that_wait_for_others_are_nothing_to_warn_of(serving, caplog):
    connections = [
        socket.create_connection(serving.netloc.split(":"), timeout=GUARD) for _ in range(60)
    ]
    request = f"GET {PROJECTS} HTTP/1.1\r\nHost: {serving.netloc}\r\nConnection: close\r\nAuthorization: Api-Key the-key\r\n\r\n"
    for connection in connections:
        connection.sendall(request.encode())
    for connection in connections:
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
        connection.close()
    assert [
        record.getMessage() for record in caplog.records if record.name.startswith("waitress")
    ] == []


def test_a_program_with_the_key_uses_the_backend_as_ever(serving, sign_in):
    sign_in(serving.url, "the-key")
    with te.TellurioClient(serving.url) as client:
        with te.init("acme", "Digits", client=client) as run:
            run.log("loss", 0.5)
        assert run.metrics("loss").values == [0.5]
