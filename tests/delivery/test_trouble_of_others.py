"""One backend's trouble, one run's load, and one thread's waiting are their own."""

import os
import threading
from dataclasses import replace

import pytest
from awaiting_events import wait_until

import afnio_tellurio as te
from afnio_tellurio.api import operations
from afnio_tellurio.client import connection_of
from afnio_tellurio.default_client import default_client
from afnio_tellurio.delivery import held
from afnio_tellurio.delivery.senders import senders, synchronizer

NOW = te.DeliveryReceipt(accepted=1, waiting=0, rejected=0)


def metrics(_method, path):
    return "hang" if "/metrics/" in path else None


@pytest.fixture
def run(proxy):
    return te.init("acme", "Digits", "r")


@pytest.fixture
def hanging(proxy, run):
    """A run whose backend hangs while a request of it is on its way."""
    proxy.fault = metrics
    run.log("count", 0)
    wait_until(lambda: proxy.counts["hang"])
    yield run
    proxy.fault = lambda *_: None
    proxy.released.set()
    run.finish()


def start(name, client):
    """Starts a run that does not become the active one."""
    operations.create_run(
        connection_of(client), "acme", "digits", name=name, status="RUNNING",
        idempotency_key=name,
    )  # fmt: skip
    return te.get_run("acme", "Digits", name, client=client)


@pytest.fixture
def elsewhere(tmp_path):
    """A client of another backend, which is healthy."""
    with te.TellurioClient.local(tmp_path / "elsewhere.db") as client:
        te.create_project("acme", "Digits", client=client)
        yield client


def test_a_run_of_another_backend_is_delivered_while_one_hangs(hanging, elsewhere):
    other = start("other", elsewhere)
    other.log("count", 1)
    assert other.flush() == NOW
    assert hanging._receipt().waiting == 1


def test_a_run_beside_one_that_logs_without_a_pause_is_delivered(run):
    quiet = start("quiet", default_client())
    stop = threading.Event()

    def log():
        while not stop.is_set():
            run.log("count", 1)

    thread = threading.Thread(target=log)
    thread.start()
    try:
        quiet.log("count", 1)
        assert quiet.flush() == NOW
        assert thread.is_alive()
    finally:
        stop.set()
        thread.join()
    run.finish()


def test_the_journal_is_brought_to_the_disk_while_the_backend_hangs(hanging, monkeypatch):
    synchronized, real = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (real(fd), synchronized.append(fd))[0])
    for count in (1, 2):
        hanging.log("count", count)
        wait_until(lambda wanted=count: len(synchronized) >= wanted)
    assert not hanging._recording.outbox.waker.is_idle


def test_lines_in_memory_are_written_while_the_backend_hangs(hanging, monkeypatch):
    monkeypatch.setattr(held, "WRITE_RETRY_DELAY", 0.01)
    journal = hanging._recording.outbox.journal
    with monkeypatch.context() as full:
        full.setattr(journal, "_write", lambda _lines: 0)
        hanging.log("count", 1)
        wait_until(lambda: journal.held.take_trouble() is None)
        assert journal.in_memory_count() == 1
    wait_until(lambda: not journal.in_memory_count())


def test_threads_without_work_end_and_start_again(monkeypatch, run):
    monkeypatch.setattr("afnio_tellurio.delivery.worker.LINGER_TIME", 0.01)
    run.finish()
    workers = [*senders.values(), synchronizer]
    for worker in workers:
        worker.wake()
    wait_until(lambda: not any(worker._is_running.locked() for worker in workers))
    again = te.init("acme", "Digits", "again")
    again.log("count", 1)
    assert again.flush() == NOW
    again.finish()


@pytest.fixture
def finishing(hanging, proxy):
    """A run that another thread finishes, which waits for the backend."""
    thread = threading.Thread(target=hanging.finish)
    thread.start()
    wait_until(lambda: hanging._recording.outbox.journal._is_sealed)
    yield hanging
    assert thread.is_alive(), "what was called waited for it"
    proxy.fault = lambda *_: None
    proxy.released.set()
    thread.join()


@pytest.mark.parametrize(
    "log",
    [
        lambda run, _client: run.log("count", 1),
        lambda run, _client: run.log_metrics({"count": 1}),
        lambda run, client: run.log("count", 1, client=client),
        lambda run, client: run.log_metrics({"count": 1}, client=client),
    ],
    ids=["log", "log_metrics", "log through a client", "log_metrics through a client"],
)
def test_logging_does_not_wait_while_another_thread_finishes(finishing, elsewhere, log):
    with pytest.raises(te.RunFinishedError):
        log(finishing, elsewhere)


def test_a_second_finish_waits_no_longer_than_its_time(finishing, monkeypatch):
    connection = connection_of(finishing._client)
    monkeypatch.setattr(connection, "settings", replace(connection.settings, exit_timeout=0.01))
    with pytest.raises(te.DeliveryError, match="finish"):
        finishing.finish()


def test_a_request_waits_for_no_run_that_it_does_not_name_and_that_is_in_trouble(
    proxy, monkeypatch
):
    monkeypatch.setenv("TELLURIO_EXIT_TIMEOUT", "600")
    failing = te.init("acme", "Digits", "failing")
    proxy.fault = lambda method, path: (
        (500, b"{}") if failing.uuid in path and method == "POST" else None
    )
    failing.log("loss", 1)
    with pytest.raises(te.DeliveryError):
        failing.flush(timeout=0.5)
    assert te.TellurioClient().get("/api/v0/verify-api-key/").status_code == 200
    proxy.fault = lambda *_: None
    failing.finish()
