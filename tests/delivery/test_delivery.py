"""What one process logs reaches the backend exactly once, whatever happens on the way."""

import errno
import logging
import os
import sys
import threading
import time

import msgspec
import pytest
from awaiting_events import wait_until
from children import GUARD
from logged_bodies import metrics_of

import afnio_tellurio as te
from afnio_tellurio.default_client import default_client
from afnio_tellurio.delivery import senders, transfer
from afnio_tellurio.delivery.records import End


def batches(proxy):
    return [metrics_of(body) for _, path, body in proxy.bodies if path.endswith("/batch/")]


def writing(method, _path):
    return method == "POST"


@pytest.fixture
def run(proxy):
    return te.init("acme", "Digits", "test_run")


def test_metrics_travel_in_batches_beside_the_application(proxy, run):
    proxy.bodies = []
    for step in range(2500):
        run.log("loss", step / 2, step=step)
    assert run.flush() == te.DeliveryReceipt(accepted=2500, waiting=0, rejected=0)
    sent = batches(proxy)
    assert sum(len(batch) for batch in sent) == 2500
    assert len(sent) < 50
    assert run.metrics("loss").values == [step / 2 for step in range(2500)]


def test_several_metrics_of_one_call_are_written_at_once_and_share_a_step(run, monkeypatch):
    journal, sizes = run._recording.outbox.journal, []
    write = journal._write
    monkeypatch.setattr(
        journal, "_write", lambda lines: (sizes.append(lines.count(b"\n")), write(lines))[1]
    )
    run.log_metrics({"loss": 0.5, "train/accuracy": 1, "note": ["a", None]}, step=7)
    te.log_metrics({"loss": 0.25})
    te.log_metrics({})
    assert [size for size in sizes if size] == [3, 1]
    found = run.metrics()
    assert (found["loss"].values, found["loss"].steps) == ([0.5, 0.25], [7, 8])
    assert (found["note"].values, found["note"].steps) == ([["a", None]], [7])


@pytest.mark.parametrize(
    ("metrics", "kind"),
    [({"a": 1, "": 2}, ValueError), ({"a": 1, "b": {1}}, TypeError), ({"a": 1, 3: 2}, TypeError)],
)
def test_of_several_metrics_with_a_bad_one_none_is_recorded(run, metrics, kind):
    with pytest.raises(kind):
        run.log_metrics(metrics)
    assert run.metrics() == {}


def test_reading_sees_what_was_logged_before(proxy, run):
    client = te.TellurioClient()
    path = f"/api/v0/acme/projects/digits/runs/{run.uuid}/metrics/"
    for number in range(20):
        run.log("loss", number)
        assert run.metrics("loss").values[-1] == number
        run.log("loss", number)
        assert run.summary()["loss"].count == 2 * number + 2
        run.log("other", number)
        assert run.curve("other")[1][-1] == number
    run.log("last", 1)
    assert '"last"' in client.get(path).text, "through whatever client"
    client.close()


@pytest.mark.parametrize("fault", ["drop", "reset", "html", "truncated", "520"])
def test_what_a_fault_held_up_is_delivered_once(proxy, run, fault, caplog):
    left = [3]

    def faults(method, path):
        if method == "POST" and left[0]:
            left[0] -= 1
            return fault
        return None

    proxy.fault = faults
    for step in range(100):
        run.log("loss", step, step=step)
    assert run.finish() == te.DeliveryReceipt(accepted=100, waiting=0, rejected=0)
    assert proxy.counts[fault] == 3
    assert te.get_run("acme", "Digits", "test_run").metrics("loss").values == list(range(100))
    assert caplog.text == "", "what healed by itself is not worth a word"


def test_a_backend_that_asks_to_wait_is_given_the_time(proxy, run):
    times = []

    def faults(method, path):
        times.append(time.monotonic())
        return "busy" if len(times) == 1 else None

    proxy.fault = faults
    run.log("loss", 1)
    run.flush()
    assert times[1] - times[0] >= 1, "Retry-After: 1, though somebody waits"


def test_a_refused_metric_is_set_aside_and_the_others_go_on(proxy, run, journals, caplog):
    words = b'{"metrics": ["[0].name: The backend does not like this name."]}'

    def bad(body):
        return any(metric["name"].startswith("bad") for metric in metrics_of(body))

    forward = proxy._forward
    proxy._forward = lambda request, body: (
        (400, {}, words)
        if request.path.endswith("/batch/") and bad(body)
        else forward(request, body)
    )
    for number in range(100):
        run.log("bad/one" if number in (40, 77) else "good", number)
    assert run.flush() == te.DeliveryReceipt(accepted=98, waiting=0, rejected=2)
    assert run.metrics("good").values == [n for n in range(100) if n not in (40, 77)]
    (rejected,) = journals()[0].parent.glob("*.rejected")
    lines = [msgspec.json.decode(line) for line in rejected.read_bytes().splitlines()]
    metrics, refusals = lines[2::2], lines[3::2]
    assert [line[4] for line in metrics] == ["bad/one", "bad/one"]
    assert [line[5] for line in metrics] == [40, 77]
    assert [line[1:3] for line in refusals] == [["refused", 40], ["refused", 77]]
    assert "The backend does not like this name." in refusals[0][-1]
    assert caplog.text.count("the backend rejected the metric 'bad/one'") == 1
    assert str(rejected) in caplog.text
    assert run.finish().rejected == 2
    assert rejected.exists(), "it is the only place where they are"
    assert not journals()


@pytest.mark.parametrize("status", [401, 403])
def test_a_run_that_the_backend_refuses_stops_and_says_so(proxy, run, status, caplog, journals):
    proxy.fault = lambda method, _path: (
        (status, b'{"detail": "Not for you."}') if method == "POST" else None
    )
    run.log("loss", 1)
    with pytest.raises(te.DeliveryError, match="Not for you") as caught:
        run.flush()
    assert (caught.value.waiting, caught.value.lost) == (1, 0)
    (journal,) = journals()
    assert caught.value.path == str(journal)
    asked = proxy.counts[(status, b'{"detail": "Not for you."}')]
    run.log("loss", 2)
    wait_until(lambda: is_asleep(run))
    assert proxy.counts[(status, b'{"detail": "Not for you."}')] == asked, "it has stopped"
    with pytest.raises(te.DeliveryError, match=r"2 metrics wait in .*afnio-tellurio sync"):
        run.finish()
    assert caplog.text.count("delivery has stopped") == 1
    proxy.fault = lambda *_: None
    assert run.finish().accepted == 2
    assert te.get_run("acme", "Digits", run.uuid).metrics("loss").values == [1, 2]


def test_flush_gives_up_in_time_and_says_what_waits_where(proxy, run, journals):
    proxy.fault = lambda *_: "html"
    for number in range(17):
        run.log("loss", number)
    wait_until(lambda: run._recording.outbox.transfer.last_error)
    with pytest.raises(te.DeliveryError) as caught:
        te.flush(timeout=0.05)
    assert str(caught.value).startswith(
        f"flush: run 'test_run': 17 metrics wait in {journals()[0]} (Cannot log metrics"
    )
    assert "502 Bad Gateway" in str(caught.value)
    assert str(caught.value).endswith("; deliver with: afnio-tellurio sync")
    proxy.fault = lambda *_: None
    assert te.flush().accepted == 17


def test_an_error_of_delivery_reaches_another_process_whole():
    import pickle

    error = te.DeliveryError(
        "flush", run_name="r", waiting=3, lost=2, path="/tmp/j", reason="no network"
    )
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.waiting, copy.lost, copy.path) == (str(error), 3, 2, "/tmp/j")
    assert "and 2 are lost" in str(error)


def test_log_never_waits_for_the_network(proxy, run):
    proxy.fault = lambda *_: "hang"
    run.log("loss", 0)
    wait_until(lambda: proxy.counts["hang"])
    for number in range(1, 1000):
        run.log("loss", number)
    assert run._recording.outbox.receipt().accepted == 0, "nothing is answered yet"
    proxy.released.set()
    assert run.flush().accepted == 1000


def wait_for_the_end(monkeypatch, seconds):
    """Changes the exit timeout; the client reads its settings when it is asked for."""
    monkeypatch.setenv("TELLURIO_EXIT_TIMEOUT", str(seconds))
    default_client()


def test_finish_raises_when_the_backend_cannot_be_told_and_can_be_called_again(
    proxy, run, monkeypatch, journals
):
    wait_for_the_end(monkeypatch, 0.05)
    run.log("loss", 1)
    run.flush()
    proxy.fault = lambda *_: "html"
    with pytest.raises(
        te.DeliveryError,
        match=f"finish: run 'test_run': its end or a change waits in {journals()[0]}",
    ):
        run.finish()
    assert run.status is te.RunStatus.RUNNING
    assert te.get_active_run() is run
    run.log("loss", 2)
    proxy.fault = lambda *_: None
    wait_for_the_end(monkeypatch, GUARD)
    run.finish()
    found = te.get_run("acme", "Digits", run.uuid)
    assert found.status is te.RunStatus.COMPLETED
    assert found.metrics("loss").values == [1, 2]
    assert not journals()


def test_the_blocks_exception_arrives_when_the_backend_is_gone(proxy, caplog, monkeypatch):
    monkeypatch.setenv("TELLURIO_EXIT_TIMEOUT", "0.05")
    with pytest.raises(ZeroDivisionError) as caught, te.init("acme", "Digits", "test_run") as run:
        run.log("loss", 1)
        proxy.fault = lambda *_: "drop"
        1 / 0  # noqa: B018
    (note,) = caught.value.__notes__
    assert "run 'test_run' could not be ended as CRASHED" in note
    assert caplog.text.count("could not be ended as CRASHED") == 1
    with pytest.raises(te.RunFinishedError):
        run.log("loss", 2)


def test_what_the_end_of_a_block_left_is_delivered_when_the_backend_is_back(
    proxy, caplog, monkeypatch, journals
):
    monkeypatch.setenv("TELLURIO_EXIT_TIMEOUT", "0.05")
    with te.init("acme", "Digits", "test_run") as run:
        run.log("loss", 1)
        proxy.fault = lambda *_: "html"
    assert caplog.text.count("could not be ended as COMPLETED") == 1
    assert run.status is te.RunStatus.COMPLETED
    proxy.fault = lambda *_: None
    wait_until(lambda: not journals())
    found = te.get_run("acme", "Digits", run.uuid)
    assert (found.status, found.metrics("loss").values) == (te.RunStatus.COMPLETED, [1])


def is_asleep(run):
    """Whether the sender sleeps until it is woken, without a timeout."""
    sender = run._recording.outbox.waker
    return sender.is_idle and sender._bell.empty() and run._recording.outbox.due() is None


def test_a_run_that_is_ended_at_any_moment_is_not_closed_before_its_end_is_delivered(
    run, monkeypatch
):
    run.flush()
    outbox = run._recording.outbox
    outbox_class = type(outbox.journal)
    real = outbox_class.is_delivered_until

    def end_meanwhile(journal, size):
        outbox.wanted_end = End("COMPLETED")
        return real(journal, size)

    with monkeypatch.context() as patch:
        # Without the sender, which would deliver it.
        patch.setattr(outbox.waker, "_outboxes", [])
        patch.setattr(outbox_class, "is_delivered_until", end_meanwhile)
        assert not outbox.is_over
        outbox.wanted_end = None
    run.finish()


def test_metrics_logged_while_the_run_is_finished_arrive_or_are_refused(run):
    accepted = []

    def log():
        with pytest.raises(te.RunFinishedError):
            while True:
                run.log("loss", len(accepted))
                accepted.append(len(accepted))

    thread = threading.Thread(target=log)
    thread.start()
    wait_until(lambda: len(accepted) > 100)
    run.finish()
    thread.join()
    assert te.get_run("acme", "Digits", run.uuid).metrics("loss").values == accepted


def test_the_clock_may_jump_back(run, monkeypatch):
    now = [1_800_000_000_000_000_000]
    monkeypatch.setattr(time, "time_ns", lambda: now[0])
    for number in range(10):
        run.log("loss", number)
        now[0] -= 3600 * 10**9
    history = run.metrics("loss")
    assert history.values == list(range(10))
    assert history.steps == list(range(10))
    assert history.timestamps == sorted(history.timestamps, reverse=True)


def test_a_backend_that_lost_what_it_had_is_sent_it_again(tmp_path, monkeypatch):
    """Its database was restored from a backup: it expects an earlier sequence number."""
    import sqlite3

    with te.TellurioClient.local(tmp_path / "x.db") as client:
        run = te.init("acme", "Digits", client=client)
        for number in range(5):
            run.log("loss", number)
        run.flush()
        other = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
        other.execute("UPDATE writers SET next = 0")
        other.execute("DELETE FROM chunks")
        other.execute("DELETE FROM loose")
        other.execute("DELETE FROM series")
        other.close()
        run.log("loss", 5)
        assert run.metrics("loss").values == [0, 1, 2, 3, 4, 5]
        run.finish()


def test_a_closed_client_delivers_first_and_is_refused_afterwards(proxy, journals):
    client = te.TellurioClient()
    run = te.init("acme", "Digits", client=client)
    run.log("loss", 1)
    client.close()
    run.log("loss", 2)
    with pytest.raises(te.DeliveryError, match=r"the client of http://127.0.0.1:\d+ is closed"):
        run.finish()
    assert te.get_run("acme", "Digits", run.uuid).metrics("loss").values == [1]


def test_a_run_that_nobody_holds_any_more_leaves_no_journal(run, journals):
    found = te.get_run("acme", "Digits", "test_run")
    assert len(journals()) == 1, "that of the run's own process"
    found.log("loss", 1)
    assert len(journals()) == 2
    del found
    wait_until(lambda: len(journals()) == 1)
    assert run.metrics("loss").values == [1]


def test_an_unforeseen_failure_is_said_and_does_not_end_delivery(run, monkeypatch, caplog):
    real = transfer.log_metric_batch
    monkeypatch.setattr(transfer, "log_metric_batch", lambda *_, **__: 1 / 0)
    run.log("loss", 1)
    wait_until(lambda: "delivery failed: ZeroDivisionError" in caplog.text)
    monkeypatch.setattr(transfer, "log_metric_batch", real)
    assert run.flush().accepted == 1


def test_a_backend_without_batches_gets_metrics_one_by_one(proxy, run):
    proxy.fault = lambda _method, path: (
        (405, b'{"detail": "Method not allowed."}') if path.endswith("/batch/") else None
    )
    for number in range(30):
        run.log("loss", number)
    run.finish()
    # Batches are retried after 1, 2, 4, 8 and 16 single metrics.
    assert proxy.counts[(405, b'{"detail": "Method not allowed."}')] <= 5
    assert te.get_run("acme", "Digits", run.uuid).metrics("loss").values == list(range(30))


def test_the_sender_sleeps_when_there_is_nothing_to_do(run):
    run.log("loss", 1)
    run.flush()
    # First, the file is synced once more.
    wait_until(lambda: is_asleep(run))
    wait_until(lambda: run._recording.outbox.waker._pause() is None)
    wait_until(lambda: senders.synchronizer.is_idle and senders.synchronizer._pause() is None)


def test_the_journal_is_brought_to_the_disk_within_a_second(run, monkeypatch):
    synchronized = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synchronized.append(fd), real(fd)))
    run.log("loss", 1)
    assert run._recording.outbox.disk_due() <= time.monotonic() + 1
    wait_until(lambda: synchronized)


def test_the_logger_is_told_nothing_when_all_is_well(caplog):
    caplog.set_level(logging.DEBUG, "afnio_tellurio")
    assert caplog.records == []


def test_a_system_that_starts_no_more_threads_delivers_in_the_callers(server, monkeypatch):
    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as limit:
        limit.setattr(threading.Thread, "start", refuse)
        run = te.init("acme", "Digits", "test_run")
        for number in range(3):
            run.log("loss", number)
        assert run.flush() == te.DeliveryReceipt(accepted=3, waiting=0, rejected=0)
    assert run.metrics("loss").values == [0, 1, 2]


def test_a_failure_of_the_sender_itself_is_said_and_does_not_end_delivery(run, monkeypatch, caplog):
    run.flush()
    monkeypatch.setattr("afnio_tellurio.delivery.worker.FIRST_RETRY_DELAY", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(type(run._recording.outbox), "due", lambda _outbox: 1 / 0)
        run.log("loss", 1)
        wait_until(lambda: "delivery failed: ZeroDivisionError" in caplog.text)
    assert run.flush().accepted == 1


def test_a_backend_that_expects_a_strange_number_next_is_not_believed(proxy, run):
    proxy.fault = lambda _method, path: (
        (200, b'{"accepted": 1, "next_sequence_number": 17}') if path.endswith("/batch/") else None
    )
    run.log("loss", 1)
    wait_until(lambda: run._recording.outbox.transfer.last_error)
    with pytest.raises(te.DeliveryError, match="had 1 metrics from number 0 on.* expects 17 next"):
        run.flush(timeout=0)
    proxy.fault = lambda *_: None
    assert run.flush().accepted == 1


@pytest.mark.parametrize("body", [b"<h1>Conflict</h1>", b"[]", b'{"next_sequence_number": "1"}'])
def test_a_conflict_that_names_no_number_is_tried_again(proxy, run, body):
    for number in range(3):
        run.log("loss", number)
    run.flush()
    proxy.fault = lambda _method, path: (409, body) if path.endswith("/batch/") else None
    run.log("loss", 3)
    wait_until(lambda: proxy.counts[(409, body)] > 1)
    proxy.fault = lambda *_: None
    assert run.flush().accepted == 4
    assert run.metrics("loss").values == [0, 1, 2, 3]


def test_a_rejected_metric_that_cannot_be_set_aside_is_kept(proxy, run, journals):
    words = b'{"metrics": ["[0].name: The backend does not like this name."]}'
    (journal,) = journals()
    rejected = journal.with_suffix(".rejected")
    rejected.mkdir()
    proxy.fault = lambda _method, path: (400, words) if path.endswith("/batch/") else None
    run.log("loss", 1)
    wait_until(lambda: run._recording.outbox.transfer.last_error)
    with pytest.raises(te.DeliveryError, match="a rejected metric cannot be written: .*directory"):
        run.flush(timeout=0)
    rejected.rmdir()
    proxy.fault = lambda *_: None
    assert run.flush() == te.DeliveryReceipt(accepted=1, waiting=0, rejected=0)


def test_a_disk_that_does_not_synchronize_is_said_once_and_delivery_goes_on(
    run, monkeypatch, caplog
):
    def fail(_fd):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    run.log("loss", 1)
    wait_until(lambda: "cannot be synchronized to the disk: [Errno 5]" in caplog.text)
    assert run.finish().accepted == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows removes no open file")
def test_a_journal_that_cannot_be_removed_is_said_and_the_run_is_finished(run, journals, caplog):
    run.log("loss", 1)
    run.flush()
    (path,) = journals()
    path.unlink()
    path.mkdir()
    assert run.finish().accepted == 1
    assert f"the journal {path} was delivered but cannot be removed: [Errno" in caplog.text
    assert te.get_run("acme", "Digits", run.uuid).status is te.RunStatus.COMPLETED
