"""While a backend is open, no run stays RUNNING whose process is gone."""

import gc
import os
import signal
import subprocess
import sys
import weakref

import pytest
from awaiting_events import wait_until
from children import GUARD

import afnio_tellurio as te
from afnio_tellurio.client import connection_of
from afnio_tellurio.delivery import settling

WATCH = settling._watch
LIVES = """
import os, sys
import afnio_tellurio as te
run = te.init("acme", "Digits", sys.argv[1])
run.log("loss", 1)
run.flush()
print("logged", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _local(monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    monkeypatch.setattr(settling, "_watch", WATCH)


def start_and_log(start_python, name):
    child = start_python("-c", LIVES, name, stdin=subprocess.PIPE)
    assert child.stdout.readline() == "logged\n"
    return child


@pytest.fixture
def soon(monkeypatch):
    monkeypatch.setattr(settling, "SETTLE_INTERVAL", 0.02)


def is_crashed(name):
    return te.get_run("acme", "Digits", name).status is te.RunStatus.CRASHED


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.usefixtures("soon")
def test_the_run_of_a_killed_process_crashes_while_the_backend_is_open(start_python, journals):
    te.create_project("acme", "Digits")
    first, second = (start_and_log(start_python, name) for name in ("first", "second"))
    first.kill()
    wait_until(lambda: is_crashed("first"))
    run = te.get_run("acme", "Digits", "first")
    assert run.metrics("loss").values == [1]
    assert run.ended_because.kind == "vanished"
    assert run.date_ended == run.metrics("loss").timestamps[0]
    # That of a process which lives is left alone.
    assert te.get_run("acme", "Digits", "second").status is te.RunStatus.RUNNING
    second.kill()
    wait_until(lambda: is_crashed("second"))
    wait_until(lambda: not journals())


@pytest.mark.usefixtures("soon")
def test_a_journal_that_cannot_be_delivered_is_reported_once(home, caplog):
    te.create_project("acme", "Digits")
    journals = home / "journals"
    journals.mkdir(exist_ok=True)
    (journals / "damaged.ndjson").write_bytes(b"nothing\n")
    wait_until(lambda: "damaged.ndjson could not be delivered" in caplog.text)
    (journals / "another.ndjson").write_bytes(b"nothing\n")
    wait_until(lambda: "another.ndjson could not be delivered" in caplog.text)
    assert caplog.text.count("damaged.ndjson could not be delivered") == 1


@pytest.mark.usefixtures("soon")
def test_a_client_that_is_forgotten_is_not_kept_open(tmp_path):
    client = te.TellurioClient.local(tmp_path / "x.db")
    connection = weakref.ref(connection_of(client))
    client.close()
    del client

    def is_gone():
        gc.collect()
        return connection() is None

    wait_until(is_gone)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
def test_serve_settles_the_run_of_a_killed_process(start_python, home):
    server = start_python(
        "-m", "afnio_tellurio.cli", "serve", "--port", "0", "--no-browser", "--api-key", "k"
    )
    assert server.stdout.readline().startswith("Serving ")
    child = start_and_log(start_python, "killed")
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait(GUARD) == -signal.SIGKILL
    with te.TellurioClient.local(home / "tellurio.db", recover=False) as client:
        wait_until(
            lambda: te.get_run("acme", "Digits", "killed", client).status is te.RunStatus.CRASHED
        )
    server.terminate()
