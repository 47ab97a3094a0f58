"""A backend that refuses metrics, everything, or the end of a run, and what it may learn later."""

import signal

import pytest
from awaiting_events import wait_until
from children import GUARD
from logged_bodies import metrics_of

import afnio_tellurio as te
from afnio_tellurio.cli import main
from afnio_tellurio.delivery import journal_file, journal_writing, sender, transfer
from afnio_tellurio.delivery.records import End, Header, record_line
from afnio_tellurio.settings.limits import REFUSALS_IN_A_ROW

WORDS = b'{"name": ["The backend does not like this name."]}'


class Refusing:
    """Makes a proxy refuse the metrics that `refuses` chooses, and counts the requests."""

    def __init__(self, proxy):
        self.refuses = lambda _metric: True
        self.requests = 0
        self._forward = proxy._forward
        proxy._forward = self._answer

    def _answer(self, request, body):
        if not request.path.endswith(("/batch/", "/metrics/")) or request.command != "POST":
            return self._forward(request, body)
        self.requests += 1
        if any(map(self.refuses, metrics_of(body))):
            return 400, {}, WORDS
        return self._forward(request, body)


@pytest.fixture
def refusing(proxy):
    return Refusing(proxy)


@pytest.fixture
def run(refusing):
    return te.init("acme", "Digits", "test_run")


@pytest.fixture
def rejected(home):
    """The numbers of metrics in each `.rejected` file."""
    return lambda: [
        len(journal_file.METRIC_LINE.findall(path.read_bytes()))
        for path in sorted((home / "journals").glob("*.rejected"))
    ]


@pytest.fixture
def no_retries(monkeypatch):
    """Only a call that waits makes another attempt."""
    for name in ("FIRST_RETRY_DELAY", "MAX_RETRY_DELAY"):
        monkeypatch.setattr(transfer, name, 2 * GUARD)
    monkeypatch.setattr(sender, "WAITING_RETRY_INTERVAL", GUARD)


def values_of(run):
    return te.get_run("acme", "digits", run.uuid).metrics("loss").values


# Everything


@pytest.mark.parametrize("batches", [True, False])
def test_a_backend_that_refuses_everything_gets_few_requests_and_all_metrics_later(
    proxy, refusing, run, journals, rejected, caplog, batches, no_retries
):
    # One request for each takes long.
    count = 1000 if batches else 200
    if not batches:
        proxy.fault = lambda _method, path: (
            (405, b'{"detail": "Method not allowed."}') if path.endswith("/batch/") else None
        )
    run.log_metrics({f"loss/{number}": number for number in range(count)})
    with pytest.raises(te.DeliveryError, match="the backend has refused 1[01] metrics in a row"):
        run.flush()
    assert refusing.requests < 4 * REFUSALS_IN_A_ROW
    assert caplog.text.count("delivery holds, and tries again from time to time") == 1
    assert caplog.text.count("Nothing is lost: metrics wait in") == 1
    before = refusing.requests
    for _ in range(3):
        with pytest.raises(
            te.DeliveryError, match=r"[19]\d\d metrics wait in .*afnio-tellurio sync"
        ):
            run.flush()
    assert refusing.requests <= before + 3, "one for each call that waits"
    assert caplog.text.count("delivery holds") == 1, "said once"
    (set_aside,) = rejected()
    refusing.refuses = lambda _metric: False
    assert run.finish() == te.DeliveryReceipt(
        accepted=count - set_aside, waiting=0, rejected=set_aside
    )
    assert not journals()
    (synced,) = te.sync(rejected=True)
    assert (synced.problem, synced.delivered, synced.rejected) == (None, set_aside, 0)
    metrics = te.get_run("acme", "digits", run.uuid).metrics()
    assert {name: metric.values for name, metric in metrics.items()} == {
        f"loss/{number}": [number] for number in range(count)
    }
    assert rejected() == []


def test_it_tries_again_by_itself_with_growing_pauses(proxy, refusing, run, monkeypatch):
    due = []
    monkeypatch.setattr(transfer.random, "uniform", lambda _low, high: high)
    put_off = transfer.Transfer.put_off

    def noted(self, error):
        began = transfer.monotonic()
        result = put_off(self, error)
        due.append(round(self.not_before - began, 1))
        # At once, for this test.
        self.not_before = 0.0
        if len(due) == 4:
            refusing.refuses = lambda _metric: False
        return result

    monkeypatch.setattr(transfer.Transfer, "put_off", noted)
    for number in range(30):
        run.log("loss", number)
    wait_until(lambda: run._recording.outbox.journal.is_delivered)
    assert due == [0.2, 0.4, 0.8, 1.6]
    assert run.finish().accepted + run._recording.receipt().rejected == 30


def test_what_the_backend_accepted_before_shows_whether_it_refuses_everything(
    proxy, refusing, run, rejected, no_retries
):
    refusing.refuses = lambda _metric: False
    run.log("loss", 0)
    run.flush()
    refusing.refuses = lambda _metric: True
    for number in range(1, 50):
        run.log("loss", number)
    with pytest.raises(te.DeliveryError, match="refused 10 metrics in a row"):
        run.flush()
    assert rejected() == [REFUSALS_IN_A_ROW - 1]
    before = refusing.requests
    for _ in range(5):
        with pytest.raises(te.DeliveryError, match="40 metrics wait"):
            run.flush()
    assert refusing.requests <= before + 10, "the metric, and the one that was accepted"
    assert rejected() == [REFUSALS_IN_A_ROW - 1], "no more is set aside"
    refusing.refuses = lambda _metric: False
    assert run.finish().rejected == REFUSALS_IN_A_ROW - 1
    te.sync(rejected=True)
    assert sorted(values_of(run)) == list(range(50))


def test_many_invalid_metrics_in_a_row_do_not_hold_up_the_others(proxy, refusing, run, rejected):
    refusing.refuses = lambda metric: metric["name"] == "bad"
    run.log("loss", 0)
    run.flush()
    for number in range(10 * REFUSALS_IN_A_ROW):
        run.log("bad", number)
    run.log("loss", 1)
    assert run.finish().rejected == 10 * REFUSALS_IN_A_ROW
    assert rejected() == [10 * REFUSALS_IN_A_ROW]
    assert values_of(run) == [0, 1]


def test_other_runs_of_the_backend_go_on(proxy, refusing, run):
    refusing.refuses = lambda metric: metric["name"] == "bad"
    for number in range(30):
        run.log("bad", number)
    with pytest.raises(te.DeliveryError, match="in a row"):
        run.flush()
    with te.init("acme", "Digits", "other") as other:
        other.log("loss", 1)
    assert values_of(other) == [1]


def test_sync_asks_a_backend_that_refuses_everything_a_few_times(
    proxy, refusing, run, journals, rejected, run_python, capsys
):
    child = run_python(
        """
        import os, afnio_tellurio as te
        run = te.attach("acme", "digits", "test_run")
        for number in range(500):
            run.log("loss", number)
        os._exit(0)
        """,
        may_depart=("answer",),
    )
    assert child.returncode == 0, child.stderr
    before = refusing.requests
    (synced,) = te.sync()
    assert "the backend has refused 1" in synced.problem
    assert refusing.requests - before < 4 * REFUSALS_IN_A_ROW
    assert main(["sync"]) == 1
    assert "in a row, and nothing was accepted since" in capsys.readouterr().err
    refusing.refuses = lambda _metric: False
    assert main(["sync", "--rejected"]) == 0
    assert sorted(values_of(run)) == list(range(500))
    assert rejected() == []
    run.finish()


# Sending again


def refuse_some(run, refusing, names):
    """Logs 40 metrics to a run and ends it; those with these names are rejected."""
    refusing.refuses = lambda metric: metric["name"] in names
    for number in range(10):
        for name in ("a", "b", "c", "loss"):
            run.log(name, number, step=number)
    run.finish()


def test_what_is_accepted_is_removed_and_what_is_refused_again_stays(
    proxy, refusing, run, rejected, capsys
):
    refuse_some(run, refusing, {"a", "b"})
    assert rejected() == [20]
    assert main(["sync"]) == 0
    assert capsys.readouterr().out == "Nothing to sync.\n"
    assert main(["sync", "--rejected"]) == 0
    assert capsys.readouterr().out == "test_run: 0 values uploaded, 20 rejected\n"
    assert rejected() == [20]
    refusing.refuses = lambda metric: metric["name"] == "b"
    assert main(["sync", "--rejected"]) == 0
    assert capsys.readouterr().out == "test_run: 10 values uploaded, 10 rejected\n"
    assert rejected() == [10]
    refusing.refuses = lambda _metric: False
    assert main(["sync", "--rejected"]) == 0
    assert main(["sync", "--rejected"]) == 0
    assert capsys.readouterr().out == "test_run: 10 values uploaded\nNothing to sync.\n"
    found = te.get_run("acme", "digits", run.uuid)
    assert found.status is te.RunStatus.COMPLETED
    for metric in found.metrics().values():
        assert (metric.steps, metric.values) == (list(range(10)), list(range(10)))
    assert len(found.metrics()) == 4


SYNC = "import afnio_tellurio as te; te.sync(rejected=True)"


@pytest.mark.parametrize("fault", ["hang", "drop"])
def test_a_process_that_is_killed_while_it_sends_them_again_doubles_nothing(
    proxy, refusing, run, start_python, rejected, fault
):
    refuse_some(run, refusing, {"a", "b"})
    refusing.refuses = lambda _metric: False
    proxy.fault = lambda _method, path: fault if path.endswith("/batch/") else None
    before = proxy.counts[fault]
    child = start_python("-c", SYNC, may_depart=("answer",))
    wait_until(lambda: proxy.counts[fault] > before)
    child.send_signal(signal.SIGKILL)
    child.wait()
    proxy.fault = lambda *_: None
    proxy.released.set()
    te.sync(rejected=True)
    assert te.sync(rejected=True) == []
    metrics = te.get_run("acme", "digits", run.uuid).metrics()
    assert all(metric.values == list(range(10)) for metric in metrics.values())
    assert (len(metrics), rejected()) == (4, [])


@pytest.mark.parametrize("learns", [True, False])
def test_a_metric_is_rejected_once_if_its_process_died_right_after_it(
    proxy, refusing, run, rejected, run_python, learns
):
    child = run_python(
        """
        import os, afnio_tellurio as te
        from afnio_tellurio.delivery.journal_file import JournalFile
        JournalFile._skip_first = lambda *_: os._exit(7)
        run = te.attach("acme", "digits", "test_run")
        run.log("loss", 1)
        run.flush()
        """,
        may_depart=("answer",),
    )
    assert child.returncode == 7, child.stderr
    assert rejected() == [1]
    refusing.refuses = lambda _metric: not learns
    (synced,) = te.sync()
    assert (synced.delivered, synced.rejected) == ((1, 0) if learns else (0, 1))
    assert rejected() == ([] if learns else [1])
    refusing.refuses = lambda _metric: False
    assert len(te.sync(rejected=True)) == (0 if learns else 1)
    run.finish()
    assert values_of(run) == [1]


def test_the_metrics_of_a_live_process_are_left_to_it(proxy, refusing, run, rejected, journals):
    refusing.refuses = lambda metric: metric["name"] == "bad"
    run.log("bad", 1)
    assert run.flush().rejected == 1
    refusing.refuses = lambda _metric: False
    assert te.sync(rejected=True) == []
    assert rejected() == [1]
    run.finish()
    assert te.sync(rejected=True)[0].delivered == 1


def test_a_backend_that_lost_the_run_is_sent_what_was_rejected_once(
    proxy, refusing, run, rejected, home, tmp_path
):
    """What it rejected before is in the journal too, and is sent again with the rest."""
    import sqlite3

    refusing.refuses = lambda metric: metric["name"] == "bad"
    for number in range(3):
        run.log("bad", number)
        run.log("loss", number)
    assert run.flush().rejected == 3
    other = sqlite3.connect(tmp_path / "server" / "tellurio.db", isolation_level=None)
    for table in ("tiles", "chunks", "loose", "series", "writers", "runs"):
        other.execute(f"DELETE FROM {table}")
    other.close()
    refusing.refuses = lambda metric: metric["name"] == "bad" and metric["value"] == 1
    run.log("loss", 3)
    assert run.finish() == te.DeliveryReceipt(accepted=6, waiting=0, rejected=1)
    assert rejected() == [1]
    refusing.refuses = lambda _metric: False
    assert te.sync(rejected=True)[0].delivered == 1
    metrics = te.get_run("acme", "digits", run.uuid).metrics()
    assert (metrics["bad"].values, metrics["loss"].values) == ([0, 2, 1], [0, 1, 2, 3])


def test_a_file_without_a_header_is_named(home, capsys):
    folder = home / "journals"
    folder.mkdir(parents=True)
    path = folder / "9b2f4f9e-3c0d-4b0a-8a53-5a3c8e0f7f21.7280066d-c283-402e-94ea.rejected"
    path.write_bytes(record_line(3, None, 1, "loss", 1, "no"))
    assert main(["sync", "--rejected"]) == 1
    assert f"{path}: the header of the journal {path} is damaged" in capsys.readouterr().err
    assert path.exists()


def test_rejected_metrics_are_not_for_an_upload(capsys):
    with pytest.raises(SystemExit):
        main(["sync", "acme/digits", "--to", "http://127.0.0.1:1", "--rejected"])
    assert "--rejected cannot be used with --to" in capsys.readouterr().err


# The end


def refuse_end(proxy, status="COMPLETED"):
    words = b'{"status": ["\\"%b\\" is not a valid choice."]}' % status.encode()
    proxy.fault = lambda method, _path: (400, words) if method == "PATCH" else None


def test_an_end_that_the_backend_refuses_fails_at_once_and_another_is_accepted(
    proxy, run, refusing, caplog
):
    refusing.refuses = lambda _metric: False
    refuse_end(proxy)
    run.log("loss", 1)
    # It waits for as long as the machine is busy, not until `GUARD`.
    with pytest.raises(te.DeliveryError) as caught:
        run.finish()
    message = str(caught.value)
    assert "its end or a change waits in" in message
    assert "the backend refuses the status COMPLETED; end the run with another one, or" in message
    assert '"COMPLETED" is not a valid choice' in message
    assert isinstance(caught.value, te.RefusedDeliveryError)
    assert caplog.text == "", "the exception says it"
    assert run.status is te.RunStatus.RUNNING
    run.log("loss", 2)
    assert run.flush().accepted == 2, "the run goes on"
    proxy.fault = lambda *_: None
    run.finish(status=te.RunStatus.FAILED)
    assert te.get_run("acme", "digits", run.uuid).status is te.RunStatus.FAILED
    assert values_of(run) == [1, 2]


def test_the_end_of_a_block_that_the_backend_refuses_is_one_warning(proxy, refusing, caplog):
    refusing.refuses = lambda _metric: False
    refuse_end(proxy)
    with te.init("acme", "Digits", "block") as run:
        run.log("loss", 1)
    assert caplog.text.count("the backend refuses the status COMPLETED") == 1
    assert values_of(run) == [1]
    proxy.fault = lambda *_: None
    wait_until(lambda: te.get_run("acme", "digits", run.uuid).status is te.RunStatus.COMPLETED)


def journal_with(home, run, status, **changes):
    """Writes the journal of a dead process that ended a run."""
    header = run._recording.outbox.journal.header
    return journal_writing.write_journal(
        home / "journals",
        Header(
            backend=header.backend,
            is_local=header.is_local,
            namespace_slug="acme",
            project_slug="digits",
            run_uuid=run.uuid,
            run_name=run.name,
            writer="7280066d-c283-402e-94ea-fde30bc31d34",
            owns_run=True,
        ),
        [(None, 1, "loss", 7)],
        [],
        End(status),
    )


def test_an_end_that_the_backend_refuses_stays_in_the_journal(proxy, refusing, run, home, journals):
    refusing.refuses = lambda _metric: False
    refuse_end(proxy, "FAILED")
    path = journal_with(home, run, "FAILED")
    (synced,) = te.sync()
    assert (synced.delivered, synced.status) == (1, None)
    assert "the backend refuses the status FAILED" in synced.problem
    assert path.exists()
    proxy.fault = lambda *_: None
    assert te.sync()[0].status == "FAILED"
    assert not path.exists()


def test_an_end_of_a_newer_version_needs_one(refusing, run, home):
    refusing.refuses = lambda _metric: False
    path = journal_with(home, run, "ARCHIVED")
    (synced,) = te.sync()
    assert synced.problem == (
        "its process ended run 'test_run' as ARCHIVED, a status of a newer version; "
        "upgrade afnio-tellurio"
    )
    assert synced.delivered == 1
    assert path.exists()
    assert te.sync()[0].delivered == 0, "its metrics once"
    assert values_of(run) == [7]
