"""Files that a backend refused are sent again with `sync --rejected`, exactly once."""

import itertools

import pytest
from leftovers import close_default_clients

import afnio_tellurio as te
from afnio_tellurio.delivery.rejected_files import count_rejected

REFUSED = 400, b'{"detail": "The backend does not like it."}'
#: Sends again what was refused, and dies before one of the steps that change something.
DIES_AT = """
import os, signal, sys
import afnio_tellurio as te
from afnio_tellurio.api import artifact_operations
steps = iter(range({step}))
def before(function):
    def call(*arguments, **keywords):
        if next(steps, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **keywords)
    return call
def after(function):
    def call(*arguments, **keywords):
        result = function(*arguments, **keywords)
        if next(steps, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return call
for name in ("rename", "replace", "unlink", "rmdir"):
    setattr(os, name, before(getattr(os, name)))
for name in ("put_blobs", "create_artifact_version", "log_run_file", "set_artifact_alias"):
    setattr(artifact_operations, name, after(getattr(artifact_operations, name)))
te.sync(rejected=True)
"""


def refuse(proxy):
    """The backend refuses what refers to files, and aliases."""
    proxy.fault = lambda method, path: (
        REFUSED if method != "GET" and ("/artifacts/" in path or "/files" in path) else None
    )


@pytest.fixture
def refused_run(proxy, journals):
    """Returns a function that logs a run whose files are refused, and returns its UUID."""

    def log(name):
        refuse(proxy)
        with te.init("acme", "Digits", name) as run:
            artifact = run.log_artifact(f"{name} a".encode(), "model", metadata={"n": 1})
            artifact.alias(name)
            run.log_artifact(f"{name} b".encode(), "model")
            for text in ("first", "second"):
                run.log_text("notes", text)
        assert run.finish().rejected_files == 4
        assert not journals()
        proxy.fault = lambda *_: None
        return run.uuid

    return log


def test_they_are_sent_again_once(refused_run, home, caplog):
    uuid = refused_run("one")
    assert "send them again with: afnio-tellurio sync --rejected" in caplog.text
    assert count_rejected(home / "journals") == 4
    assert te.sync() == []
    (synced,) = te.sync(rejected=True)
    assert (synced.problem, synced.files, synced.rejected_files) == (None, 4, 0)
    expect_all(uuid, "one")
    assert te.sync(rejected=True) == []
    assert not list((home / "journals").iterdir())


def expect_all(uuid, name):
    run = te.get_run("acme", "Digits", uuid)
    assert run.status is te.RunStatus.COMPLETED
    assert len(run.outputs()) == 2
    version = te.get_artifact(f"acme/digits/model:{name}")
    assert version.read_bytes("model") == f"{name} a".encode()
    assert version.metadata == {"n": 1}
    texts = [(file.step, run.open_file("notes", file.step).read()) for file in run.files("notes")]
    assert texts == [(0, b"first"), (1, b"second")]


def test_what_is_refused_again_stays(refused_run, proxy, home):
    uuid = refused_run("one")
    refuse(proxy)
    for _ in range(2):
        (synced,) = te.sync(rejected=True)
        assert (synced.problem, synced.files, synced.rejected_files) == (None, 0, 4)
        assert count_rejected(home / "journals") == 4
    proxy.fault = lambda *_: None
    (synced,) = te.sync(rejected=True)
    assert (synced.files, synced.rejected_files) == (4, 0)
    expect_all(uuid, "one")


def test_a_live_process_keeps_its_own(proxy, home):
    refuse(proxy)
    run = te.init("acme", "Digits")
    run.log_text("notes", "words")
    assert run.flush().rejected_files == 1
    proxy.fault = lambda *_: None
    assert te.sync(rejected=True) == []
    run.finish()
    (synced,) = te.sync(rejected=True)
    assert synced.files == 1
    assert run.open_file("notes").read() == b"words"


def test_a_damaged_record_is_told_and_the_others_are_sent(refused_run, home):
    uuids = [refused_run(name) for name in ("one", "two")]
    record = next((home / "journals").glob(f"{uuids[0]}.*/*/record"))
    content = record.read_bytes()
    record.write_bytes(content.replace(b'"upload"', b'"uplaod"'))
    damaged, sent = te.sync(rejected=True)
    assert "is damaged" in damaged.problem
    assert (sent.problem, sent.files) == (None, 4)
    expect_all(uuids[1], "two")
    record.write_bytes(content)
    (sent,) = te.sync(rejected=True)
    assert (sent.problem, sent.files) == (None, 4)
    expect_all(uuids[0], "one")


def test_sigkill_at_each_step_loses_and_doubles_nothing(refused_run, run_python, home):
    for step in itertools.count():
        name = f"killed-{step}"
        uuid = refused_run(name)
        close_default_clients()
        child = run_python(DIES_AT.format(step=step))
        assert {done.problem for done in te.sync()} <= {None}
        assert {done.problem for done in te.sync(rejected=True)} <= {None}
        expect_all(uuid, name)
        left = [path.name for path in (home / "journals").iterdir() if path.suffix != ".ack"]
        assert not left, (step, child.stderr)
        if not child.returncode:
            break
    assert step > 10


def test_the_files_of_a_refused_upload_are_kept(server, home, caplog):
    run = te.init("acme", "Digits")
    run.log_artifact(b"1", "model", type="model").wait()
    refused = run.log_artifact(b"the only copy", "model", type="dataset")
    with pytest.raises(te.TellurioError, match="was not recorded"):
        refused.wait()
    assert run.finish().rejected_files == 1
    (kept,) = (home / "journals").glob("*.rejected-files/*")
    assert b"the only copy" in (kept / "pack").read_bytes()
    assert '"dataset"' in (kept / "record").read_text()
    assert f"its files are kept in {kept}" in caplog.text
    assert not list((home / "journals").glob("*.files"))
