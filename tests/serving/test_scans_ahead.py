"""Points of several runs are requested at once, if there is a network between."""

import threading

import pytest
from children import GUARD

import afnio_tellurio as te
from afnio_tellurio.scanning import updating
from afnio_tellurio.scanning.reading_ahead import read_ahead
from afnio_tellurio.scanning.updating import LISTS_AT_ONCE

polars = pytest.importorskip("polars")


@pytest.fixture
def runs(server):
    for number in range(LISTS_AT_ONCE + 3):
        with te.init("acme", "digits", f"run {number}") as run:
            run.log("loss", number / 2)
            run.log("loss", number)
    return list(te.runs("acme", "digits"))


def names_in(frame):
    return sorted(frame.select("run").unique().collect().to_series())


def test_the_first_lists_wait_together(runs, monkeypatch):
    real = updating.list_metrics
    meeting = threading.Barrier(LISTS_AT_ONCE)
    left = [LISTS_AT_ONCE]
    lock = threading.Lock()

    def list_metrics(connection, path, **options):
        with lock:
            left[0] -= 1
            waits = left[0] >= 0
        if waits:
            meeting.wait(GUARD)
        yield from real(connection, path, **options)

    monkeypatch.setattr(updating, "list_metrics", list_metrics)
    frame = te.scan("acme", "digits")
    assert names_in(frame) == sorted(run.name for run in runs)
    assert frame.collect().height == 2 * len(runs)


def test_a_request_that_fails_in_a_thread_fails_the_call(runs, monkeypatch):
    real = updating.list_metrics

    def list_metrics(connection, path, **options):
        if path.run_uuid == runs[3].uuid:
            raise te.BackendUnreachableError("gone")
        return real(connection, path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(updating, "list_metrics", list_metrics)
        with pytest.raises(te.BackendUnreachableError, match="gone"):
            te.scan("acme", "digits")
    assert names_in(te.scan("acme", "digits")) == sorted(run.name for run in runs)


def test_runs_that_are_deleted_while_they_are_read(runs, monkeypatch):
    real = updating.list_metrics
    gone = {run.uuid for run in runs[2:5]}

    def list_metrics(connection, path, **options):
        if path.run_uuid in gone:
            te.delete_run("acme", "digits", path.run_uuid)
        yield from real(connection, path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(updating, "list_metrics", list_metrics)
        kept = sorted(run.name for run in runs if run.uuid not in gone)
        assert names_in(te.scan("acme", "digits")) == kept


def test_an_interpreter_that_starts_no_threads(monkeypatch):
    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    lists = [(name, iter(name)) for name in ("abc", "", "d")]
    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert [(key, "".join(parts)) for key, parts in read_ahead(lists, 2)] == [
        ("abc", "abc"),
        ("", ""),
        ("d", "d"),
    ]
