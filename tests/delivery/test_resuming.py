"""A job that is stopped and starts again goes on with its run."""

import signal
import threading

import pytest
from children import GUARD
from leftovers import own_default_clients

import afnio_tellurio as te
from afnio_tellurio.tracking import resuming

JOB = """
import os, signal, sys
import afnio_tellurio as te
run = te.init("acme", "Digits", "job", resume=True)
for _ in range(3):
    run.log("loss", os.getpid())
"""


@pytest.fixture(params=["in process", "over HTTP"], autouse=True)
def backend(request, monkeypatch):
    if request.param == "over HTTP":
        request.getfixturevalue("server")
    else:
        monkeypatch.setenv("TELLURIO_MODE", "local")


def start(**arguments):
    return te.init("acme", "Digits", "job", resume=True, **arguments)


def runs():
    return [(run.name, run.status) for run in te.runs("acme", "Digits")]


def test_the_first_start_creates_the_run_and_later_ones_resume_it():
    first = start(description="first")
    first.log("loss", 1)
    first.finish(status=te.RunStatus.CRASHED)
    second = start()
    assert second is not first
    assert (second.uuid, second.status, second.description) == (first.uuid, "RUNNING", "first")
    assert runs() == [("job", "RUNNING")]
    second.log("loss", 2)
    second.finish()
    third = start(description="third")
    assert third.description == "third"
    third.finish()
    assert (third.metrics("loss").steps, third.metrics("loss").values) == ([0, 1], [1, 2])
    assert runs() == [("job", "COMPLETED")]


def test_a_run_that_is_open_in_this_process_is_returned_as_it_is():
    run = start()
    assert start(description="ignored") is run
    assert run.description is None
    assert runs() == [("job", "RUNNING")]


def test_a_run_of_another_thread_becomes_active_here():
    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    own = te.init("acme", "Digits", "own")
    assert start() is te.get_active_run()
    assert te.get_active_run().name == "job"
    assert own.status == "RUNNING"


def test_a_disabled_run_is_resumed_in_name_only(monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "disabled")
    assert start().name == "job"


@pytest.mark.parametrize("resume", [True, "allow", "must"])
def test_a_run_to_resume_needs_a_key_or_a_name(resume):
    words = f"init: resume is {resume!r}, but there is no key and no name; pass"
    with pytest.raises(ValueError, match=words):
        te.init("acme", "Digits", resume=resume)


@pytest.mark.parametrize(
    ("resume", "error"), [("auto", ValueError), (1, TypeError), (None, TypeError)]
)
def test_a_word_that_is_unknown_is_refused(resume, error):
    with pytest.raises(
        error, match=f"^init: resume is {resume!r}; it must be 'never', 'allow', 'must'"
    ):
        te.init("acme", "Digits", "job", resume=resume)
    with pytest.raises(te.NotFoundError):
        te.runs("acme", "digits")


def test_a_key_finds_its_run_whatever_the_name_is():
    first = te.init("acme", "Digits", key="slurm-1234", resume="allow", tags=["first"])
    first.log("loss", 1)
    first.update("renamed")
    first.finish(status="CRASHED")
    te.init("acme", "Digits", "renamed").finish()
    te.init("acme", "Other", key="slurm-1234").finish()
    second = te.init("acme", "Digits", "ignored", key="slurm-1234", resume="allow", tags=["second"])
    assert (second.uuid, second.name, second.status) == (first.uuid, "renamed", "RUNNING")
    assert second.tags == ("first", "second")
    second.log("loss", 2)
    second.finish()
    third = te.init("acme", "Digits", key="slurm-1234", resume="must")
    third.finish()
    assert third.uuid == first.uuid
    assert (third.metrics("loss").steps, third.metrics("loss").values) == ([0, 1], [1, 2])
    assert len(list(te.runs("acme", "digits"))) == 2


def test_a_key_in_use_is_refused_unless_its_run_is_to_be_resumed():
    te.init("acme", "Digits", "job", key="k").finish()
    for resume in (False, "never"):
        with pytest.raises(
            te.TellurioError, match=r"^init: run 'job' has the key 'k'; pass resume='allow'"
        ):
            te.init("acme", "Digits", key="k", resume=resume)
    with pytest.raises(ValueError, match="^init: key is empty"):
        te.init("acme", "Digits", key=" ")
    with pytest.raises(TypeError, match="^init: key is 7"):
        te.init("acme", "Digits", key=7)
    assert runs() == [("job", "COMPLETED")]


def test_a_run_that_must_be_resumed_must_exist():
    for wanted in ({"key": "k"}, {"name": "job"}):
        with pytest.raises(
            LookupError, match=r"has no run .* to resume; resume='allow' starts one"
        ):
            te.init("acme", "Digits", resume="must", **wanted)
    te.create_project("acme", "Digits")
    with pytest.raises(
        LookupError, match=r"^init: acme/digits has no run with the key 'k' to resume"
    ):
        te.init("acme", "Digits", key="k", resume="must")
    assert runs() == []


def test_attach_to_a_run_that_has_ended_says_how_to_resume_it():
    te.init("acme", "Digits", "job").finish()
    with pytest.raises(te.RunFinishedError, match=r"resume it with init\(\.\.\., resume=True\)"):
        te.attach("acme", "Digits", "job")


def test_a_job_with_a_key_that_was_killed_goes_on_with_its_run(run_python, journals):
    for _ in range(3):
        run_python(
            JOB.replace('"job", resume=True', 'key="job", resume="allow"')
            + "os.kill(os.getpid(), 9)"
        )
    run = te.init("acme", "Digits", key="job", resume="must")
    run.log("loss", 0)
    run.finish()
    assert run.metrics("loss").steps == list(range(10))
    assert [status for _name, status in runs()] == ["COMPLETED"]
    assert not journals()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_job_that_was_stopped_goes_on_with_its_run(run_python, journals, number):
    for _ in range(3):
        run_python(JOB + f"os.kill(os.getpid(), {int(number)})")
    run = start()
    assert journals() == [run._recording.outbox.journal.path], "those of the jobs are delivered"
    run.log("loss", 0)
    assert te.sync() == []
    assert runs() == [("job", "RUNNING")]
    run.finish()
    history = run.metrics("loss")
    assert history.steps == list(range(10))
    assert len(set(history.values)) == 4
    assert runs() == [("job", "COMPLETED")]


def test_a_run_of_a_live_process_is_not_resumed_before_its_end(start_python, monkeypatch):
    job = start_python("-c", JOB + "print(flush=True)\nsys.stdin.read()", stdin=True)
    job.stdout.readline()
    monkeypatch.setenv("TELLURIO_EXIT_TIMEOUT", "0.05")
    with (
        own_default_clients(),
        pytest.raises(te.TellurioError, match="init: run 'job' cannot be resumed: another process"),
    ):
        start()
    assert runs() == [("job", "RUNNING")]
    job.communicate()
    assert job.returncode == 0
    assert runs() == [("job", "COMPLETED")]
    assert start().metrics("loss").values == [job.pid] * 3


def test_a_run_whose_journal_cannot_be_delivered_is_not_resumed(run_python, proxy, monkeypatch):
    monkeypatch.delenv("TELLURIO_MODE", raising=False)
    proxy.fault = lambda _method, path: "drop" if path.endswith("/batch/") else None
    run_python(JOB + "os.kill(os.getpid(), signal.SIGKILL)", may_depart=("answer",))
    monkeypatch.setenv("TELLURIO_EXIT_TIMEOUT", "0.05")
    with (
        own_default_clients(),
        pytest.raises(te.TellurioError, match="resumed: its journal .* could"),
    ):
        start()
    assert runs() == [("job", "RUNNING")]
    proxy.fault = lambda *_: None
    monkeypatch.setenv("TELLURIO_EXIT_TIMEOUT", str(GUARD))
    assert len(start().metrics("loss").values) == 3


def test_a_damaged_journal_does_not_keep_a_run_from_being_resumed(run_python, journals, caplog):
    run_python(JOB + "os.kill(os.getpid(), signal.SIGKILL)")
    (path,) = journals()
    path.write_bytes(b"x" * path.stat().st_size)
    assert start().status == "RUNNING"
    assert f"the header of the journal {path} is damaged" in caplog.text


def test_the_key_of_a_deleted_run_names_a_new_run():
    first = te.init("acme", "Digits", key="k", resume="allow")
    first.finish()
    te.delete_run("acme", "Digits", first.uuid)
    with pytest.raises(LookupError, match="has no run with the key 'k' to resume"):
        te.init("acme", "Digits", key="k", resume="must")
    second = te.init("acme", "Digits", key="k")
    second.finish()
    te.delete_run("acme", "Digits", second.uuid, purge=True)
    third = te.init("acme", "Digits", key="k", resume="allow")
    third.finish()
    again = te.init("acme", "Digits", key="k", resume="must")
    assert again.uuid == third.uuid
    again.finish()
    assert len({first.uuid, second.uuid, third.uuid}) == 3
    te.restore_run("acme", "Digits", first.uuid)
    restored = te.init("acme", "Digits", key="k", resume="must")
    assert restored.uuid == first.uuid
    restored.finish()


def test_a_backend_for_which_every_run_was_deleted_is_not_asked_forever(monkeypatch):
    monkeypatch.setattr(resuming, "was_deleted", lambda _error: True)
    with pytest.raises(te.TellurioError, match="^init: 100 runs with the key 'k' were deleted"):
        te.init("acme", "Digits", key="k", resume="allow")
