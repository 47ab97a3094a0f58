"""A run is born once: no moment of `init` leaves a run that is RUNNING forever, or two of them."""

import signal

import httpx
import pytest
from children import GUARD

import afnio_tellurio as te
from afnio_tellurio.delivery.journal_file import JournalFile
from afnio_tellurio.tracking import functions

BORN = """
import os, sys
import afnio_tellurio as te
from afnio_tellurio.api import operations
from afnio_tellurio.delivery import recording
real = operations.create_run
def create_run(*arguments, **keywords):
    if sys.argv[1] == "before":
        os.kill(os.getpid(), 9)
    created = real(*arguments, **keywords)
    os.kill(os.getpid(), 9)
operations.create_run = create_run
te.init("acme", "Digits", *sys.argv[2:])
"""


@pytest.fixture(params=["in process", "over HTTP"])
def backend(request, monkeypatch):
    """The backend of the environment."""
    if request.param == "over HTTP":
        return request.getfixturevalue("server")
    monkeypatch.setenv("TELLURIO_MODE", "local")
    return None


@pytest.mark.parametrize("name", [(), ("test_run",)], ids=["random name", "name"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_process_that_is_killed_in_init_leaves_no_run_that_goes_on(
    backend, start_python, journals, moment, name
):
    child = start_python("-c", BORN, moment, *name)
    assert child.wait(GUARD) == -signal.SIGKILL
    assert len(journals()) == 1
    if backend:
        (done,) = te.sync()
        assert (done.problem, done.delivered, done.lost) == (None, 0, 0)
    runs = list(te.runs("acme", "Digits"))
    assert [run.status for run in runs] == ["CRASHED"] * (moment == "after")
    assert not journals()
    assert te.sync() == []


RESUMES = BORN.replace("create_run", "update_run").replace("*sys.argv[2:]", '"job", resume=True')


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_process_that_is_killed_while_it_resumes_leaves_no_run_that_goes_on(
    backend, start_python, journals, moment
):
    te.init("acme", "Digits", "job").finish()
    child = start_python("-c", RESUMES, moment)
    assert child.wait(GUARD) == -signal.SIGKILL
    assert len(journals()) == 1
    assert [done.problem for done in te.sync()] == [None]
    (run,) = te.runs("acme", "Digits")
    assert run.status == ("CRASHED" if moment == "after" else "COMPLETED")
    assert not journals()


@pytest.mark.parametrize("fault", ["drop", "cut", "truncated", "html"])
def test_a_lost_answer_of_a_resumed_run_leaves_none_that_goes_on(proxy, journals, fault):
    te.init("acme", "Digits", "job").finish()
    proxy.fault = lambda method, _path: fault if method == "PATCH" else None
    with pytest.raises(te.TellurioError):
        te.init("acme", "Digits", "job", resume=True)
    proxy.fault = lambda *_: None
    assert len(journals()) == 1
    assert [done.problem for done in te.sync()] == [None]
    (run,) = te.runs("acme", "Digits")
    # A page of a proxy took the place of the request itself.
    assert run.status == ("COMPLETED" if fault == "html" else "CRASHED")


@pytest.mark.parametrize("fault", ["drop", "cut", "truncated", "html"])
def test_a_lost_answer_makes_no_second_run_and_leaves_none_that_goes_on(proxy, journals, fault):
    te.create_project("acme", "Digits")
    proxy.fault = lambda method, _path: fault if method == "POST" else None
    with pytest.raises(te.TellurioError):
        te.init("acme", "Digits", "test_run")
    proxy.fault = lambda *_: None
    assert len(journals()) == 1
    (done,) = te.sync()
    assert (done.run_name, done.problem) == ("test_run", None)
    assert not journals()
    runs = [(run.name, run.status) for run in te.runs("acme", "Digits")]
    # A page of a proxy took the place of the request itself.
    assert runs == [("test_run", "CRASHED")] * (fault != "html")


@pytest.mark.parametrize("fault", ["drop", "cut", "reset"])
def test_an_answer_that_is_lost_once_does_no_harm(proxy, fault):
    te.create_project("acme", "Digits")
    faults = [fault]
    proxy.fault = lambda *_: faults.pop() if faults else None
    run = te.init("acme", "Digits", "test_run")
    run.log("loss", 1)
    assert run.finish().accepted == 1
    assert [run.name for run in te.runs("acme", "Digits")] == ["test_run"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 429])
def test_a_refused_run_leaves_nothing(proxy, journals, status):
    te.create_project("acme", "Digits")
    proxy.fault = lambda method, _path: (status, b"{}") if method == "POST" else None
    with pytest.raises(te.TellurioError):
        te.init("acme", "Digits", "test_run")
    assert not journals()


@pytest.mark.parametrize(
    ("cause", "is_kept"),
    [
        (httpx.ConnectError("refused"), False),
        (httpx.ConnectTimeout("silent"), False),
        (httpx.PoolTimeout("busy"), False),
        (httpx.ReadTimeout("silent"), True),
        (httpx.ReadError("reset"), True),
        (httpx.RemoteProtocolError("cut"), True),
    ],
)
def test_the_journal_stays_if_the_request_may_have_arrived(
    proxy, journals, monkeypatch, cause, is_kept
):
    def fail(*_arguments, **_keywords):
        raise te.BackendUnreachableError("createRun: cannot be reached") from cause

    with monkeypatch.context() as patch:
        patch.setattr(functions.operations, "create_run", fail)
        with pytest.raises(te.BackendUnreachableError):
            te.init("acme", "Digits", "test_run")
    assert len(journals()) == is_kept
    te.sync()
    assert not journals()
    assert list(te.runs("acme", "Digits")) == []


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, TimeoutError])
def test_an_interrupted_init_leaves_no_run_that_goes_on(proxy, monkeypatch, journals, interruption):
    def interrupt(*_arguments):
        raise interruption

    with monkeypatch.context() as patch:
        patch.setattr(functions, "read_run", interrupt)
        with pytest.raises(interruption):
            te.init("acme", "Digits", "test_run")
    assert len(journals()) == 1
    assert te.sync()[0].problem is None
    assert [run.status for run in te.runs("acme", "Digits")] == ["CRASHED"]


def test_the_journal_has_the_name_that_the_backend_chose(proxy, journals):
    first = te.init("acme", "Digits", "test_run")
    proxy.fault = lambda _method, path: "html" if "/metrics/" in path else None
    second = te.init("acme", "Digits", "test_run")
    assert second.name == "test_run_1"
    second.log("loss", 1)
    assert second._recording.run_name == "test_run_1"
    (path,) = [path for path in journals() if path.name.startswith(second.uuid)]
    journal = JournalFile.open(path)
    assert journal.header.run_name == "test_run_1"
    journal.close()
    proxy.fault = lambda *_: None
    second.finish()
    assert first.status == "FAILED"
