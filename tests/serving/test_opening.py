"""`afnio-tellurio serve`: where it listens, what it prints and opens."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
import webbrowser
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest
from children import GUARD, child_environment
from commands import COMMANDS

import afnio_tellurio as te
from afnio_tellurio.cli import browsers, serving
from afnio_tellurio.served import page_url, served_at

ONE_RUN = """
    import afnio_tellurio as te
    te.init("acme", "Digits", "test_run").finish()
"""


@pytest.fixture
def serve(start_python):
    """Starts the command; returns it and its output up to the address of the page."""

    def start(*arguments, **variables):
        child = start_python("-m", "afnio_tellurio.cli", "serve", *arguments, **variables)
        lines = []
        while not (lines and lines[-1].startswith("Open in your browser")):
            line = child.stdout.readline()
            assert line, child.stderr.read()
            lines.append(line.rstrip("\n"))
        return child, lines

    return start


def address_of(lines):
    return lines[-1].rpartition(" ")[2]


def status_of(address):
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.netloc, timeout=GUARD)
    connection.request("GET", parts.path)
    answer = connection.getresponse()
    connection.close()
    return answer.status


def redeemed(address):
    """The status of a sign-in with the token of a link, as the page sends it."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.netloc, timeout=GUARD)
    body = json.dumps({"token": parse_qs(parts.fragment)["token"][0]})
    connection.request("POST", "/session", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    connection.close()
    return answer.status


def test_it_prints_an_address_that_opens_the_page(serve):
    _child, lines = serve("--port", "0")
    assert re.fullmatch(
        r"Serving .*tellurio\.db at http://127\.0\.0\.1:\d+ \(press Ctrl-C to stop\)", lines[0]
    )
    assert re.fullmatch(r"API key \(won't be shown again\): \S{43}", lines[1])
    assert status_of(address_of(lines)) == 200
    assert lines[2].startswith(
        "Open in your browser (link valid for 10 minutes): http://127.0.0.1:"
    )
    assert [redeemed(address_of(lines)) for _ in range(3)] == [200] * 3


def test_a_taken_port_moves_on_to_the_next(serve):
    _first, lines = serve()
    _second, others = serve()
    ports = [urlsplit(address_of(printed)).port for printed in (lines, others)]
    assert 8642 <= ports[0] < ports[1]


def test_a_port_that_was_asked_for_and_is_taken_is_an_error(command):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        finished = command("serve", "--port", str(taken.getsockname()[1]))
    assert finished.returncode == 1
    assert "choose another with --port" in finished.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_any_address_but_this_machines_own_needs_a_key(invoke, host):
    finished = invoke("serve", "--host", host, "--port", "0")
    assert finished.returncode == 2
    assert f"--host {host} needs --api-key-stdin or --api-key" in finished.stderr


def test_a_key_can_come_from_standard_input_where_no_list_of_processes_shows_it(serve, tmp_path):
    key = tmp_path / "key"
    key.write_text("from-stdin\n")
    with key.open() as stdin:
        child = subprocess.Popen(
            [sys.executable, "-m", "afnio_tellurio.cli", "serve", "--host", "0.0.0.0", "--port",
             "0", "--api-key-stdin"],
            env=child_environment(), stdin=stdin, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
    try:
        first, second = child.stdout.readline(), child.stdout.readline()
        assert "API key" not in second
        port = re.search(r":(\d+) ", first)[1]
        connection = http.client.HTTPConnection(f"127.0.0.1:{port}", timeout=GUARD)
        connection.request(
            "GET", "/api/v0/verify-api-key/", headers={"Authorization": "Api-Key from-stdin"}
        )
        assert connection.getresponse().status == 200
        connection.close()
        shown = Path(f"/proc/{child.pid}/cmdline")
        assert not shown.exists() or b"from-stdin" not in shown.read_bytes()
    finally:
        child.send_signal(signal.SIGINT)
        assert child.wait(timeout=GUARD) == 0
        child.stdout.close()


def test_a_key_that_is_given_twice_is_refused(invoke):
    finished = invoke("serve", "--api-key", "first", "--api-key-stdin", stdin="second\n")
    assert finished.returncode == 2
    assert "Pass --api-key or --api-key-stdin, not both" in finished.stderr


@pytest.mark.parametrize("port", [[], ["--port", "0"]])
def test_an_address_of_another_machine_is_an_error(invoke, port):
    finished = invoke("serve", "--host", "192.0.2.1", "--api-key", "the-key", *port)
    assert (finished.returncode, finished.stdout) == (1, "")
    assert "afnio-tellurio serve: cannot listen on 192.0.2.1 port" in finished.stderr


@pytest.fixture
def serve_here(invoke, monkeypatch):
    """Runs the command in this process, which ends as soon as it serves."""

    def run(*arguments, **variables):
        monkeypatch.setattr("afnio_tellurio.backend.server.Server.run", lambda _server: None)
        return invoke("serve", *arguments, **variables)

    return run


def test_the_next_ports_are_tried_until_the_last_one(serve_here, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as first:
        taken = first.getsockname()[1]
        monkeypatch.setattr(serving, "SERVE_PORT", taken)
        monkeypatch.setattr(serving, "_PORT_ATTEMPTS", 1)
        finished = serve_here()
    assert finished.returncode == 1
    assert f"cannot listen on 127.0.0.1 port {taken}: Address already in use" in finished.stderr
    monkeypatch.setattr(serving, "_PORT_ATTEMPTS", 20)
    with socket.create_server(("127.0.0.1", taken)):
        finished = serve_here()
    assert finished.returncode == 0, finished.stderr
    port = int(re.search(r"at http://127\.0\.0\.1:(\d+) ", finished.stdout)[1])
    assert taken < port < taken + 20


@pytest.mark.parametrize(
    ("connection", "host"), [("10.0.0.1 5000 10.0.0.2 22", "10.0.0.2"), ("10.0.0.1", "HOST")]
)
def test_over_ssh_it_prints_how_to_forward_the_port(serve_here, monkeypatch, connection, host):
    monkeypatch.setattr("getpass.getuser", lambda: "ada")
    finished = serve_here("--port", "0", SSH_CONNECTION=connection)
    assert finished.returncode == 0, finished.stderr
    port = re.search(r"at http://127\.0\.0\.1:(\d+) ", finished.stdout)[1]
    assert finished.stdout.splitlines()[-1] == (
        f"From your own machine: ssh -L {port}:127.0.0.1:{port} ada@{host}"
    )


@pytest.mark.parametrize("key", ["", "two words", "ümlaut"])
def test_a_key_that_no_header_carries_is_refused(invoke, key):
    finished = invoke("serve", "--port", "0", "--api-key", key)
    assert finished.returncode == 2
    assert "The API key is empty or contains invalid characters" in finished.stderr


@pytest.mark.parametrize(
    ("url", "reason"),
    [("runs.example.com", "must be a scheme and a host"), ("ftp://runs.example.com", "must be a scheme"),
     ("https://example.com/runs/", "remove the rest of the URL"), ("https://ada:pw@example.com", "remove the rest"),
     ("https://exa mple.com", "must be a scheme and a host"), ("https://example.com:99999", "Port out of range"),
     ("https://münchen.example", "xn--"), ("", "must be a scheme and a host")],
)  # fmt: skip
def test_a_public_url_that_no_browser_can_open_is_refused(invoke, url, reason):
    finished = invoke("serve", "--port", "0", "--public-url", url)
    assert finished.returncode == 2
    assert "--public-url" in finished.stderr
    assert reason in finished.stderr


def test_the_public_url_is_printed_and_linked_to(serve, home):
    _child, lines = serve("--port", "0", "--public-url", "https://Runs.Example.com:443/",
                          SSH_CONNECTION="192.0.2.9 50000 192.0.2.1 22")  # fmt: skip
    assert address_of(lines).startswith("https://runs.example.com/#token=")
    assert page_url(home / "tellurio.db") == "https://runs.example.com"


FAILING = """
import sys
from afnio_tellurio.backend import projects
from afnio_tellurio.cli import main
def list_namespaces(call):
    raise RuntimeError("a bug of the backend")
projects.list_namespaces = list_namespaces
sys.exit(main(sys.argv[1:]))
"""


def test_what_fails_inside_is_printed_with_its_traceback_and_without_the_key(start_python):
    child = start_python("-c", FAILING, "serve", "--port", "0", "--api-key", "the-secret-key")
    port = re.search(r":(\d+) ", child.stdout.readline())[1]
    connection = http.client.HTTPConnection(f"127.0.0.1:{port}", timeout=GUARD)
    headers = {"Authorization": "Api-Key the-secret-key"}
    connection.request("GET", "/api/v0/namespaces/", headers=headers)
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (
        503,
        b'{"detail":"The backend failed; see its log.","code":"unavailable"}',
    )
    connection.close()
    child.send_signal(signal.SIGINT)
    _out, printed = child.communicate(timeout=GUARD)
    assert "ERROR the embedded backend failed\nTraceback (most recent call last):\n" in printed
    assert printed.rstrip().endswith("RuntimeError: a bug of the backend")
    assert "the-secret-key" not in printed


def test_a_database_that_cannot_be_used_is_reported_in_the_log(serve, home):
    child, lines = serve("--port", "0", "--api-key", "the-key")
    with contextlib.closing(sqlite3.connect(home / "tellurio.db")) as database:
        database.execute("ALTER TABLE namespaces RENAME TO gone")
    connection = http.client.HTTPConnection(urlsplit(address_of(lines)).netloc, timeout=GUARD)
    connection.request("GET", "/api/v0/namespaces/", headers={"Authorization": "Api-Key the-key"})
    assert connection.getresponse().status == 503
    connection.close()
    child.send_signal(signal.SIGINT)
    _out, printed = child.communicate(timeout=GUARD)
    assert "WARNING the embedded backend could not use its database: no such table" in printed


def _recording_browser(tmp_path):
    script = tmp_path / "browser"
    script.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
    script.chmod(0o755)
    return f"{script} %s"


def test_a_browser_is_opened_with_the_address_and_no_list_of_processes_shows_it(serve, tmp_path):
    child, lines = serve("--port", "0", BROWSER=_recording_browser(tmp_path))
    opened = tmp_path / "opened"
    until = time.monotonic() + GUARD
    while not (opened.exists() and opened.read_text()):
        assert time.monotonic() < until, "no browser was opened"
        time.sleep(0.01)
    place = opened.read_text().strip()
    assert "token" not in place
    way = Path(urlsplit(place).path)
    assert stat.S_IMODE(way.stat().st_mode) == 0o600
    assert f"url={address_of(lines)}" in way.read_text()
    child.send_signal(signal.SIGINT)
    assert child.wait(timeout=GUARD) == 0
    assert not way.exists()


@pytest.fixture
def opened(monkeypatch, tmp_path):
    """Opens an address as the command does, and returns the programs that it started."""
    started = []
    recorder = SimpleNamespace(
        DEVNULL=subprocess.DEVNULL, Popen=lambda words, **_: started.append(words)
    )
    monkeypatch.setattr(browsers, "subprocess", recorder)
    # `webbrowser` caches the browsers that it found in the environment.
    monkeypatch.setattr(webbrowser, "_tryorder", None)
    monkeypatch.setattr(webbrowser, "_browsers", {})

    def open_page(*arguments, **variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        options = COMMANDS["serve"].parse_args(arguments)
        with serving._browser(
            "http://127.0.0.1:1/", tmp_path / "x.db", is_wanted=not options.no_browser
        ):
            return started

    return open_page


def test_a_system_whose_browser_is_unknown_opens_none(opened, monkeypatch):
    def find():
        raise webbrowser.Error("could not locate runnable browser")

    monkeypatch.setattr(webbrowser, "get", find)
    assert opened(DISPLAY=":0") == []


def test_a_browser_is_started_where_there_is_one(opened, tmp_path):
    (words,) = opened(BROWSER=_recording_browser(tmp_path))
    assert words[-1].startswith("file:///")


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [(["--no-browser"], {}), ([], {"BROWSER": ""}), ([], {"BROWSER": "", "SSH_CONNECTION": "a 1 b 2", "DISPLAY": ":0"})],
)  # fmt: skip
def test_no_browser_is_opened_where_there_is_none_or_none_is_wanted(
    opened, tmp_path, arguments, variables
):
    variables = {"BROWSER": _recording_browser(tmp_path), **variables}
    assert opened(*arguments, **variables) == []


@pytest.mark.parametrize(("name", "count"), [("w3m", 0), ("lynx", 0), ("links", 0), ("firefox", 1)])
def test_no_browser_is_started_in_the_terminal(opened, tmp_path, name, count):
    script = tmp_path / name
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    assert len(opened(DISPLAY=":0", PATH=str(tmp_path))) == count


def test_a_home_that_is_named_from_here_is_no_hindrance(start_python, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    child = start_python(
        "-m", "afnio_tellurio.cli", "serve", "--port", "0",
        TELLURIO_HOME="near", BROWSER=_recording_browser(tmp_path),
    )  # fmt: skip
    opened = tmp_path / "opened"
    until = time.monotonic() + GUARD
    while not (opened.exists() and opened.read_text()):
        assert time.monotonic() < until, "no browser was opened"
        time.sleep(0.01)
    assert opened.read_text().startswith("file:///")
    child.send_signal(signal.SIGINT)
    assert child.wait(timeout=GUARD) == 0


def test_a_server_on_every_address_prints_one_that_opens(serve):
    child = serve("--host", "0.0.0.0", "--port", "0", "--api-key", "k")
    assert address_of(child[1]).startswith("http://127.0.0.1:")


def test_over_ssh_the_command_that_forwards_the_port_is_printed(serve):
    child, lines = serve("--port", "0", SSH_CONNECTION="192.0.2.9 50000 192.0.2.1 22")
    port = urlsplit(address_of(lines)).port
    hint = child.stdout.readline()
    assert re.fullmatch(
        rf"From your own machine: ssh -L {port}:127\.0\.0\.1:{port} \S+@192\.0\.2\.1\n", hint
    )


def test_the_lines_of_a_run_link_to_the_page_while_it_is_served(serve, run_python):
    child, lines = serve("--port", "0")
    url = address_of(lines).partition("/#")[0]
    told = run_python(ONE_RUN, TELLURIO_MODE="local").stderr.splitlines()
    (run,) = te.runs("acme", "Digits", te.TellurioClient.local())
    place = f"{url}/acme/projects/digits/runs/{run.uuid}/"
    assert [line.partition("View: ")[2] for line in told] == [place, place]
    assert status_of(place) == 200
    child.send_signal(signal.SIGINT)
    child.wait(timeout=GUARD)
    told = run_python(ONE_RUN, TELLURIO_MODE="local").stderr.splitlines()
    assert "afnio-tellurio show" in told[0]


def test_a_server_that_died_is_linked_to_no_more(serve, home):
    child, lines = serve("--port", "0")
    assert page_url(home / "tellurio.db") == address_of(lines).partition("/#")[0]
    child.kill()
    child.wait(timeout=GUARD)
    assert page_url(home / "tellurio.db") is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"url": 3}', "{}"])
def test_a_record_that_makes_no_sense_says_nothing(tmp_path, content):
    database = tmp_path / "x.db"
    with served_at(database, "http://127.0.0.1:1"):
        record = tmp_path / "x.db-page"
        assert stat.S_IMODE(record.stat().st_mode) == 0o600
        record.write_text(content)
        assert page_url(database) is None
        record.write_text('{"url": "http://127.0.0.1:1"}')
        assert page_url(database) == "http://127.0.0.1:1"
        with served_at(database, "http://127.0.0.1:2"):
            assert page_url(database) == "http://127.0.0.1:1"
    assert page_url(database) is None


@pytest.mark.skipif(os.name == "nt", reason="Windows lacks these signals")
def test_ctrl_c_ends_it_at_once_with_a_tab_open(serve):
    child, lines = serve("--port", "0")
    parts = urlsplit(address_of(lines))
    connection = http.client.HTTPConnection(parts.netloc, timeout=GUARD)
    connection.request("GET", "/")
    connection.getresponse().read()
    child.send_signal(signal.SIGINT)
    assert child.wait(timeout=GUARD) == 0
    connection.close()
