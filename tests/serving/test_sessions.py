"""Sessions of browsers continue after a restart of `serve`, and nobody else can continue them."""

import base64
import contextlib
import hmac
import http.client
import json
import os
import re
import shutil
import signal
import stat
import time
from types import SimpleNamespace

import pytest
from children import GUARD
from ports import port_to_reuse

from afnio_tellurio.backend import sessions
from afnio_tellurio.backend.session_file import SessionFile

KEY = "the-chosen-key"


class Serve:
    """A real `serve` on one port, and the requests of a browser."""

    def __init__(self, start_python, port, *arguments):
        self.port = port
        self.child = start_python(
            "-m", "afnio_tellurio.cli", "serve", "--no-browser", "--port", str(port), *arguments
        )
        lines = []
        while not (lines and lines[-1].startswith("Open in your browser")):
            line = self.child.stdout.readline()
            assert line, self.child.stderr.read()
            lines.append(line.rstrip("\n"))
        self.printed = "\n".join(lines)
        self.token = lines[-1].rpartition("/#token=")[2]
        self.port = int(re.search(r":(\d+) ", lines[0])[1])

    def ask(self, method, path, body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=GUARD)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        answer.body = answer.read()
        connection.close()
        return answer

    def sign_in(self, **credentials):
        """The answer to a sign-in: the session's header, and its secret."""
        credentials = credentials or {"token": self.token}
        body = json.dumps(credentials)
        answer = self.ask("POST", "/session", body, **{"Content-Type": "application/json"})
        return json.loads(answer.body) if answer.status == 200 else answer.status

    def status(self, authorization):
        headers = {"Authorization": f"Session {authorization}"}
        return self.ask("GET", "/api/v0/namespaces/", **headers).status

    def continued(self, session):
        """The status of a request with an earlier session, as the page continues it."""
        return self.status(self.authorization(session))

    def authorization(self, session):
        start = json.loads(self.ask("GET", "/session").body)["start"]
        return authorization(session, start)

    def kill(self):
        self.child.send_signal(signal.SIGKILL)
        self.child.wait(timeout=GUARD)


def authorization(session, start):
    proof = hmac.digest(session["secret"].encode(), start.encode(), "sha256")
    return f"{session['session'].partition('.')[0]}.{base64.b64encode(proof).decode()}"


@pytest.fixture
def serve(start_python):
    port = port_to_reuse()
    return lambda *arguments, port=port: Serve(start_python, port, *arguments)


@pytest.fixture
def kept(home):
    """The files that keep sessions."""
    return lambda: sorted(home.glob("tellurio.db-sessions-*"))


@pytest.mark.parametrize("key", [[], ["--api-key", KEY]])
def test_a_session_continues_after_the_server_was_killed(serve, key):
    first = serve(*key)
    session, other = first.sign_in(), first.sign_in()
    assert first.status(session["session"]) == 200
    for _ in range(2):
        first.kill()
        first = serve(*key)
        assert first.continued(session) == first.continued(other) == 200
        assert first.sign_in(token="") == 401


def test_the_link_of_an_earlier_start_is_dead(serve):
    first = serve()
    first.kill()
    second = serve()
    assert first.token != second.token
    assert second.sign_in(token=first.token) == 401


def test_what_a_browser_sent_to_one_start_is_worth_nothing_to_the_next(serve):
    """Another program on the port meanwhile, which gets a request, can use it nowhere."""
    first = serve()
    session = first.sign_in()
    first.kill()
    second = serve()
    assert second.status(session["session"]) == 401
    # Nor is what an answer to its own number contains, or the secret, which no page sends.
    name = session["session"].partition(".")[0]
    for text in (authorization(session, "its own"), session["secret"], name, f"{name}.",
                 f"{name}.{session['secret']}"):  # fmt: skip
        assert second.status(text) == 401
    assert second.continued(session) == 200


def test_a_session_is_of_one_port(serve, home):
    first = serve()
    session = first.sign_in()
    first.kill()
    other = serve(port=first.port + 1)
    other.sign_in()
    # Also with the number of that server, which anybody can ask for.
    assert other.continued(session) == 401
    other.kill()
    assert serve().continued(session) == 200


def test_signing_out_ends_a_session_for_all_starts(serve):
    first = serve()
    session, other = first.sign_in(), first.sign_in()
    headers = {"Authorization": f"Session {session['session']}"}
    assert first.ask("DELETE", "/session", **headers).status == 204
    first.kill()
    second = serve()
    assert second.continued(session) == 401
    assert second.continued(other) == 200


@pytest.mark.parametrize("changed", [["--api-key", "another"], []])
def test_a_changed_or_deleted_key_ends_its_sessions(serve, changed):
    first = serve("--api-key", KEY)
    session, by_key = first.sign_in(), first.sign_in(api_key=KEY)
    first.kill()
    second = serve(*changed)
    assert second.continued(session) == second.continued(by_key) == 401
    second.sign_in()
    second.kill()
    # They are gone for good.
    third = serve("--api-key", KEY)
    assert third.continued(session) == third.continued(by_key) == 401


def test_the_file_is_private_and_has_neither_a_key_nor_a_secret(serve, kept):
    first = serve("--api-key", KEY)
    assert kept() == []
    session = first.sign_in()
    (file,) = kept()
    assert file.name == f"tellurio.db-sessions-{first.port}"
    if os.name == "posix":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    text = file.read_text()
    for secret in (KEY, session["secret"], session["session"], first.token):
        assert secret not in text


def test_nothing_secret_is_printed_or_logged(serve):
    first = serve("--api-key", KEY)
    session = first.sign_in()
    first.continued(session)
    first.child.send_signal(signal.SIGINT)
    out, err = first.child.communicate(timeout=GUARD)
    for secret in (KEY, session["secret"], session["session"]):
        assert secret not in first.printed + out + err
    assert first.token not in out + err


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda file: file.chmod(0o644), id="readable by others",
                     marks=pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")),
        pytest.param(lambda file: file.write_bytes(b""), id="empty"),
        pytest.param(lambda file: file.write_bytes(file.read_bytes()[:-9]), id="cut off"),
        pytest.param(lambda file: file.write_text('{"salt": "é", "key": "é", "expiries": {}}'), id="foreign"),
        pytest.param(lambda file: file.unlink(), id="missing"),
        pytest.param(lambda file: (file.unlink(), file.mkdir()), id="folder"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_trusted_keeps_nothing(serve, kept, damage):
    first = serve()
    session = first.sign_in()
    first.kill()
    (file,) = kept()
    damage(file)
    second = serve()
    assert second.continued(session) == 401
    assert second.status(second.sign_in()["session"]) == 200


def test_a_copy_of_the_database_has_no_sessions(serve, home, tmp_path, monkeypatch):
    first = serve()
    session = first.sign_in()
    first.kill()
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("tellurio.db", "tellurio.db-wal", "tellurio.db-shm"):
        with contextlib.suppress(FileNotFoundError):
            shutil.copy(home / name, copy)
    monkeypatch.setenv("TELLURIO_HOME", str(copy))
    assert serve().continued(session) == 401


def test_a_server_on_any_free_port_keeps_nothing(serve, kept):
    assert serve(port=0).sign_in()["secret"]
    assert kept() == []


def test_sessions_that_cannot_be_kept_work_until_the_server_ends(serve, home, kept):
    # A folder in the place of the file: root may write to any file.
    first = serve()
    (home / f"tellurio.db-sessions-{first.port}").mkdir()
    session = first.sign_in()
    assert first.status(session["session"]) == 200
    first.child.send_signal(signal.SIGINT)
    _out, err = first.child.communicate(timeout=GUARD)
    assert "WARNING sessions of browsers cannot be kept in " in err
    assert session["secret"] not in err


def test_sessions_that_expire_meanwhile_are_not_continued_and_not_kept(tmp_path, monkeypatch):
    shift = SimpleNamespace(seconds=0)
    monkeypatch.setattr(sessions, "time", SimpleNamespace(time=lambda: time.time() + shift.seconds))
    path = tmp_path / "sessions"

    def start():
        started = sessions.Sessions(KEY)
        started.keep_in(path, KEY)
        return started

    first = start()
    old = first.open_with_key(KEY)._asdict()
    old["session"] = old["authorization"]
    shift.seconds = 29 * 86_400
    second = start()
    assert second.allows(f"Session {authorization(old, second.start)}")
    shift.seconds = 30 * 86_400
    assert not second.allows(f"Session {authorization(old, second.start)}")
    third = start()
    assert not third.allows(f"Session {authorization(old, third.start)}")
    third.open_with_key(KEY)
    assert len(SessionFile(path, KEY).expiries) == 1
