"""Where a run came from is recorded with it, and `init` does not wait for that."""

import json
import os
import sys
import threading

import pytest
from children import GUARD

import afnio_tellurio as te
from afnio_tellurio import notices
from afnio_tellurio.tracking import capturing, environment

pytestmark = pytest.mark.needs_extension


@pytest.fixture(autouse=True)
def _capturing(backend, monkeypatch):
    monkeypatch.setenv("TELLURIO_CAPTURE", "1")
    monkeypatch.setattr(capturing, "_environments", {})
    # A busy machine may take long to read it.
    monkeypatch.setattr(capturing, "PATIENCE", float(GUARD))
    monkeypatch.setattr(notices, "_shown", set())


def again(run):
    return te.get_run("acme", "digits", run.uuid)


def test_a_run_knows_where_it_came_from():
    with te.init("acme", "Digits") as run:
        pass
    found = again(run).environment
    assert found == run.environment
    assert found["process_id"] == os.getpid()
    assert found["python"]["version"] == sys.version.split()[0]
    assert found["arguments"]
    assert found["working_directory"] == os.getcwd()
    assert "msgspec" in found["packages"]
    json.dumps(found)
    assert te.get_run("acme", "digits", run.name).environment == found
    assert [each.environment for each in te.runs("acme", "digits")] == [None]


def test_it_can_be_turned_off(monkeypatch):
    monkeypatch.setenv("TELLURIO_CAPTURE", "0")
    with te.init("acme", "Digits") as run:
        pass
    assert (run.environment, again(run).environment) == (None, None)


def test_init_and_log_do_not_wait_for_it(monkeypatch):
    may_read = threading.Event()
    real = environment.read_environment

    def read(**options):
        may_read.wait(GUARD)
        return real(**options)

    monkeypatch.setattr(environment, "read_environment", read)
    run = te.init("acme", "Digits")
    run.log("loss", 1)
    run.flush()
    assert again(run).environment is None
    may_read.set()
    run.finish()
    assert again(run).environment["process_id"] == os.getpid()


def test_what_cannot_be_read_troubles_no_run(monkeypatch, caplog):
    def fail(**_options):
        raise RuntimeError("no environment")

    monkeypatch.setattr(environment, "read_environment", fail)
    with caplog.at_level("WARNING"), te.init("acme", "Digits") as run:
        run.log("loss", 1)
    assert again(run).environment is None
    assert again(run).metrics("loss").values == [1]
    assert "no environment" not in caplog.text


def test_credentials_in_arguments_are_replaced(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train.py", "--api-key", "very-secret", "--lr=0.1"])
    with te.init("acme", "Digits") as run:
        pass
    assert again(run).environment["arguments"] == [
        "train.py",
        "--api-key",
        "[redacted]",
        "--lr=0.1",
    ]
    monkeypatch.setattr(capturing, "_environments", {})


def test_a_process_that_is_killed_leaves_it_in_the_journal(run_python):
    finished = run_python(
        """
import os
import afnio_tellurio as te
from afnio_tellurio.tracking import capturing
capturing.PATIENCE = 600.0
run = te.init("acme", "Digits", "killed")
run._settle_capture()
os._exit(1)
"""
    )
    assert finished.returncode == 1, finished.stderr
    te.sync()
    assert te.get_run("acme", "digits", "killed").environment["process_id"] != os.getpid()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_a_fork_while_it_is_read_is_harmless(run_python):
    finished = run_python(
        """
import os
import afnio_tellurio as te
for number in range(5):
    run = te.init("acme", "Digits", f"r{number}")
    child = os.fork()
    if not child:
        run.log("child", 1)
        run.flush()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    run.finish()
"""
    )
    assert finished.returncode == 0, finished.stderr
    assert len(list(te.runs("acme", "digits", status="COMPLETED"))) == 5
