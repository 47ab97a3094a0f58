"""Files and backends that disappear during a run: logged metrics are sent again or kept."""

import contextlib
import itertools
import json
import os
import shutil
import sqlite3
import subprocess
import threading

import pytest
from awaiting_events import wait_until
from children import GUARD, complaints

import afnio_tellurio as te
from afnio_tellurio.api import operations
from afnio_tellurio.api.calling import RunPath
from afnio_tellurio.client import connection_of
from afnio_tellurio.default_client import default_client

#: A backend that lost a run or was restored still responds as the contract says.
DATABASE = "server/tellurio.db"


@pytest.fixture
def run(proxy):
    return te.init("acme", "Digits", "r")


@pytest.fixture
def change_database(tmp_path):
    """Changes the served backend's database, as an administrator does who restores a backup."""

    def change(*statements):
        with contextlib.closing(sqlite3.connect(tmp_path / DATABASE)) as connection:
            connection.execute("PRAGMA foreign_keys=ON")
            for statement in statements:
                connection.execute(statement)
            connection.commit()

    return change


@pytest.fixture
def back_up(tmp_path):
    """Copies the database of the served backend; returns a function that restores the copy."""
    copy = sqlite3.connect(":memory:")

    def start():
        with contextlib.closing(sqlite3.connect(tmp_path / DATABASE)) as connection:
            connection.backup(copy)
        return restore

    def restore():
        with contextlib.closing(sqlite3.connect(tmp_path / DATABASE)) as connection:
            copy.backup(connection)

    yield start
    copy.close()


def log(run, *numbers):
    for number in numbers:
        run.log("count", number, step=number)


def recorded(run):
    return te.get_run("acme", "Digits", run.uuid).metrics("count").values


def fail_metrics(proxy):
    proxy.fault = lambda _method, path: "html" if "/metrics/" in path else None


def work_again(proxy):
    proxy.fault = lambda *_: None


def test_a_run_that_the_backend_lost_is_created_and_sent_again(run, change_database):
    log(run, *range(100))
    run.flush()
    change_database("DELETE FROM runs")
    log(run, *range(100, 150))
    assert run.finish() == te.DeliveryReceipt(accepted=150, waiting=0, rejected=0)
    assert recorded(run) == list(range(150))
    assert te.get_run("acme", "Digits", run.uuid).status == te.RunStatus.COMPLETED


def test_a_project_that_the_backend_lost_is_created_again(run, change_database):
    log(run, *range(10))
    run.flush()
    change_database("DELETE FROM projects", "DELETE FROM namespaces WHERE slug <> 'acme'")
    run.finish()
    assert recorded(run) == list(range(10))


def test_a_run_that_was_deleted_is_not_created_again(run, proxy):
    log(run, 1)
    run.flush()
    with te.TellurioClient() as other:
        path = RunPath("acme", "digits", run.uuid)
        operations.delete_run(connection_of(other), path)
    log(run, 2)
    with pytest.raises(te.DeliveryError, match="404"):
        run.finish()
    assert list(te.runs("acme", "Digits")) == []


@pytest.mark.parametrize("gone", ["run", "project"])
def test_a_run_that_is_gone_troubles_no_other(run, proxy, journals, home, caplog, gone):
    te.create_project("acme", "Other")
    with te.TellurioClient() as client:
        other = operations.create_run(
            connection_of(client), "acme", "other", name="other", status="RUNNING",
            idempotency_key="1",
        )  # fmt: skip
        other = te.get_run("acme", "other", str(other.uuid))
        other.log("count", 1)
        log(run, 1)
        run.flush()
        if gone == "run":
            operations.delete_run(connection_of(client), RunPath("acme", "digits", run.uuid))
        else:
            te.delete_project("acme", "digits")
        log(run, 2)
        with pytest.raises(te.DeliveryError, match="1 metric waits in .*undeliverable.*404"):
            run.flush()
        proxy.counts.clear()
        log(run, 3)
        other.log("count", 2)
        assert client.get("/api/v0/acme/projects/other/runs/").status_code == 200
        assert other.flush().waiting == 0
        assert other.metrics("count").values == [1, 2]
        assert [found.name for found in te.runs("acme", "other")] == ["other"]
        with pytest.raises(te.DeliveryError, match="2 metrics wait in .*undeliverable") as caught:
            run.finish()
        assert "afnio-tellurio sync" not in str(caught.value), "it would leave the journal alone"
    assert caplog.text.count("delivery has ended, because the run is gone") == 1
    assert caplog.text.count("delivery has stopped") == 0
    (aside,) = (home / "journals").glob("*.undeliverable")
    assert aside.read_bytes().count(b'"count"') == 3
    assert run.uuid not in {path.name.partition(".")[0] for path in journals()}
    fresh = te.init("acme", "Digits", "fresh")
    assert "could not be ended as FAILED: it waits with 2 metrics" in caplog.text
    log(fresh, 1)
    assert fresh.finish().accepted == 1
    assert te.sync() == []


def test_a_404_that_is_not_the_backends_word_sets_nothing_aside(run, proxy, journals):
    proxy.fault = lambda method, _path: (404, b"<h1>Not Found</h1>") if method == "POST" else None
    log(run, 1)
    with pytest.raises(te.DeliveryError, match="404"):
        run.flush()
    assert len(journals()) == 1
    work_again(proxy)
    assert run.finish().accepted == 1


def test_sync_sets_aside_what_a_dead_process_logged_to_a_run_that_is_gone(
    proxy, run_python, journals, home
):
    run_python(
        """
        import os, afnio_tellurio as te
        run = te.init("acme", "Digits", "r")
        run.flush()
        run.log("count", 1)
        os.kill(os.getpid(), 9)
        """
    )
    te.delete_project("acme", "digits")
    (done,) = te.sync()
    assert "404" in done.problem
    assert done.path.endswith(".undeliverable")
    assert not journals()
    assert te.sync() == []
    (aside,) = (home / "journals").glob("*.undeliverable")
    assert str(aside) == done.path


def test_a_read_of_another_run_does_not_wait_for_one_that_is_refused(run, proxy):
    other = te.init("acme", "Other", "other")
    other.log("count", 1)
    other.flush()
    with te.TellurioClient() as client:
        proxy.fault = lambda method, path: (
            (403, b'{"detail": "Not for you."}') if method == "POST" and "/other/" in path else None
        )
        other.log("count", 2)
        with pytest.raises(te.DeliveryError, match="Not for you"):
            other.flush()
        assert client.get("/api/v0/acme/projects/digits/runs/").status_code == 200
        with pytest.raises(te.DeliveryError, match="Not for you"):
            client.get(f"/api/v0/acme/projects/other/runs/{other.uuid}/metrics/")
        assert te.get_run("acme", "Digits", run.uuid).metrics() == {}
        work_again(proxy)
        assert client.get(f"/api/v0/acme/projects/other/runs/{other.uuid}/metrics/").json()[-1]


def test_sync_creates_a_run_again_that_the_backend_lost(
    proxy, run_python, change_database, journals
):
    killed = run_python(
        """
        import os, afnio_tellurio as te
        run = te.init("acme", "Digits", "r")
        for number in range(20):
            run.log("count", number)
        run.flush()
        os.kill(os.getpid(), 9)
        """
    )
    assert killed.returncode == -9
    change_database("DELETE FROM runs")
    (done,) = te.sync()
    assert (done.problem, done.status) == (None, "CRASHED")
    (run,) = te.runs("acme", "Digits")
    assert run.metrics("count").values == list(range(20))
    assert not journals()


def test_a_restored_backend_is_sent_what_it_lacks_and_no_more(run, proxy, back_up):
    log(run, *range(40))
    run.flush()
    restore = back_up()
    log(run, *range(40, 100))
    run.flush()
    restore()
    proxy.bodies = []
    log(run, *range(100, 110))
    run.finish()
    assert recorded(run) == list(range(110))
    sent = [json.loads(body) for _method, path, body in proxy.bodies if path.endswith("/batch/")]
    starts = [batch["first_sequence_number"] for batch in sent]
    assert starts[-1] == 40, f"sent again from where the backend is: {starts}"


def test_what_was_sent_one_by_one_is_not_sent_again(run, proxy, change_database, back_up):
    proxy.fault = lambda _method, path: (404, b"{}") if path.endswith("/batch/") else None
    log(run, *range(10))
    run.flush()
    work_again(proxy)
    log(run, *range(10, 16))
    run.flush()
    restore = back_up()
    log(run, *range(16, 30))
    run.flush()
    restore()
    change_database("UPDATE writers SET next = 0")
    log(run, 30)
    run.finish()
    values = recorded(run)
    assert [values.count(number) for number in range(10)] == [1] * 10
    assert values[-1] == 30


def test_batches_are_taken_up_again(run, proxy):
    proxy.fault = lambda _method, path: (405, b"{}") if path.endswith("/batch/") else None
    log(run, *range(10))
    run.flush()
    work_again(proxy)
    proxy.bodies = []
    log(run, *range(10, 100))
    run.finish()
    assert recorded(run) == list(range(100))
    assert sum(path.endswith("/batch/") for _method, path, _body in proxy.bodies) > 0


@pytest.mark.parametrize("status", [404, 405])
def test_one_answer_without_batches_and_a_crash_double_nothing(
    proxy, start_python, status, doubled_or_missing
):
    child = start_python(
        "-c",
        """
import os, sys, afnio_tellurio as te
run = te.init("acme", "Digits", "r")
def log(*numbers):
    for number in numbers: run.log("count", number)
    run.flush()
log(*range(100)); print("first", flush=True); sys.stdin.readline()
log(*range(100, 200)); print("second", flush=True); sys.stdin.readline()
log(*range(200, 300)); print("third", flush=True); sys.stdin.readline()
for number in range(300, 350): run.log("count", number)
os.kill(os.getpid(), 9)
""",
        stdin=True,
        may_depart=("answer",),
    )

    def go_on():
        child.stdin.write("\n")
        child.stdin.flush()

    child.stdout.readline()
    proxy.fault = lambda _method, path: (status, b"{}") if path.endswith("/batch/") else None
    go_on()
    child.stdout.readline()
    work_again(proxy)
    go_on()
    child.stdout.readline()
    fail_metrics(proxy)
    go_on()
    child.wait()
    work_again(proxy)
    (done,) = te.sync()
    assert done.problem is None
    (run,) = te.runs("acme", "Digits")
    assert not doubled_or_missing(run.metrics("count").values, range(350))


@pytest.mark.parametrize("how", ["removed", "renamed", "replaced"])
def test_a_journal_that_is_taken_away_is_written_again(run, proxy, journals, home, how):
    log(run, *range(10))
    run.flush()
    fail_metrics(proxy)
    (path,) = journals()
    if how == "removed":
        shutil.rmtree(home / "journals")
    elif how == "renamed":
        (home / "journals").rename(home / "journals-old")
    else:
        copy = path.read_bytes()
        path.unlink()
        path.write_bytes(copy)
    log(run, *range(10, 20))
    with pytest.raises(te.DeliveryError, match=f"10 metrics wait in {path}") as caught:
        run.flush(timeout=0)
    assert (caught.value.waiting, caught.value.in_memory) == (10, 0)
    assert path.read_bytes().count(b'"count"') == 20
    work_again(proxy)
    log(run, 20)
    assert run.finish().waiting == 0
    assert recorded(run) == list(range(21))
    assert not journals()


@pytest.mark.parametrize("kept", ["nothing", "part of the header", "half", "all but a byte"])
def test_a_journal_that_is_truncated_loses_what_was_cut_and_no_more(
    run, proxy, journals, kept, doubled_or_missing
):
    log(run, *range(100))
    run.flush()
    fail_metrics(proxy)
    log(run, *range(100, 120))
    (path,) = journals()
    size = path.stat().st_size
    os.truncate(
        path, {"nothing": 0, "part of the header": 9, "half": size // 2}.get(kept, size - 1)
    )
    cut = 1 if kept == "all but a byte" else 20
    log(run, *range(120, 170))
    with pytest.raises(te.DeliveryError, match=f"{cut} (is|are) lost") as caught:
        run.flush(timeout=0)
    assert (caught.value.waiting, caught.value.lost) == (70 - cut, cut)
    work_again(proxy)
    log(run, *range(170, 200))
    with pytest.raises(te.DeliveryError, match=f"{cut} (is|are) lost"):
        run.finish()
    known = [*range(120 - cut), *range(120, 200)]
    assert not doubled_or_missing(recorded(run), known)


def test_a_journal_that_is_truncated_under_way_to_the_backend_doubles_nothing(run, proxy, journals):
    def truncate(_method, request_path):
        if request_path.endswith("/batch/"):
            os.truncate(journals()[0], 0)
            # It may be behind: threads that log at the same time set it in any order.
            run._recording.outbox.journal.count = 0
            log(run, *range(1000, 1003))
            work_again(proxy)
            is_truncated.set()
            return "cut"
        return None

    is_truncated = threading.Event()
    proxy.fault = truncate
    log(run, *range(50))
    assert is_truncated.wait(GUARD)
    log(run, *range(1003, 1100))
    run.flush()
    values = recorded(run)
    assert len(set(values)) == len(values)
    assert set(values) >= {0, *range(1000, 1100)}


@pytest.mark.parametrize("size", [0, 600])
def test_another_process_delivers_a_journal_that_was_truncated(
    proxy, run_python, journals, size, doubled_or_missing
):
    run_python(
        f"""
        import os, afnio_tellurio as te
        from pathlib import Path
        run = te.init("acme", "Digits", "r")
        for number in range(100):
            run.log("count", number)
        run.flush()
        (path,) = (Path(os.environ["TELLURIO_HOME"]) / "journals").glob("*.ndjson")
        os.truncate(path, {size})
        for number in range(100, 150):
            run.log("count", number)
        run._recording.outbox.journal.synchronize()
        os.kill(os.getpid(), 9)
        """
    )
    assert len(journals()) == 1
    (done,) = te.sync()
    assert (done.problem, done.status, done.run_name) == (None, "CRASHED", "r")
    (run,) = te.runs("acme", "Digits")
    assert not doubled_or_missing(run.metrics("count").values, range(150))


def test_what_is_in_memory_only_is_not_said_to_wait_in_a_file(proxy, tmp_path, monkeypatch):
    (tmp_path / "no-folder").write_text("")
    monkeypatch.setenv("TELLURIO_HOME", str(tmp_path / "no-folder"))
    run = te.init("acme", "Digits", "r")
    fail_metrics(proxy)
    log(run, *range(5))
    with pytest.raises(
        te.DeliveryError, match="5 metrics wait in memory and are lost when this process ends"
    ) as caught:
        run.flush(timeout=0)
    assert (caught.value.waiting, caught.value.in_memory) == (5, 5)
    assert "metrics wait in /" not in str(caught.value)
    work_again(proxy)
    assert run.finish().accepted == 5


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_sender_that_died_is_started_again(run):
    def die():
        raise SystemExit

    run.flush()
    sender = run._recording.outbox.waker
    turn, sender._turn = sender._turn, die
    try:
        sender.wake()
        while sender._is_running.locked():
            pass
    finally:
        sender._turn = turn
    log(run, 1)
    assert run.flush().accepted == 1
    assert "tellurio-sender" in [thread.name for thread in threading.enumerate()]


def test_flush_waits_for_what_was_logged_before_it(run, proxy):
    """It does not wait until nothing is pending: here, new metrics arrive all the time."""
    numbers = itertools.count(1000)
    is_over = False

    def log_more(_method, path):
        if path.endswith("/batch/") and not is_over:
            log(run, next(numbers))

    proxy.fault = log_more
    log(run, *range(5))
    assert run.flush().accepted >= 5
    is_over = True
    run.finish()
    assert set(range(5)) <= set(recorded(run))


def test_finish_after_an_end_that_had_no_time_delivers_the_rest(proxy, monkeypatch):
    monkeypatch.setenv("TELLURIO_EXIT_TIMEOUT", "0")
    with te.init("acme", "Digits", "r") as run:
        log(run, *range(10))
        run.flush()
        fail_metrics(proxy)
        log(run, *range(10, 20))
    work_again(proxy)
    monkeypatch.setenv("TELLURIO_EXIT_TIMEOUT", "600")
    assert default_client() is run._client, "it reads the settings again"
    assert run.finish() == te.DeliveryReceipt(accepted=20, waiting=0, rejected=0)
    assert recorded(run) == list(range(20))


def test_log_with_a_client_does_not_wait_for_finish(proxy, monkeypatch):
    monkeypatch.setenv("TELLURIO_EXIT_TIMEOUT", "600")
    run = te.init("acme", "Digits", "r")
    with te.TellurioClient() as client:
        run.log("count", 0, step=0, client=client)
        run.flush()
        fail_metrics(proxy)
        log(run, 1)
        finishing = threading.Thread(target=run.finish)
        finishing.start()
        while not all(outbox.journal._is_sealed for outbox in run._recording._outboxes.values()):
            pass
        with pytest.raises(te.RunFinishedError):
            run.log("count", 2, client=client)
        assert finishing.is_alive(), "log waited until finish had ended"
        work_again(proxy)
        finishing.join()
    assert recorded(run) == [0, 1]


def test_a_journal_that_lacks_what_the_backend_has_is_no_problem(proxy, run_python, journals):
    """A power failure lost the end of the journal, and the position too."""
    run_python(
        """
        import os, afnio_tellurio as te
        run = te.init("acme", "Digits", "r")
        for number in range(20):
            run.log("count", number)
        run.flush()
        os.kill(os.getpid(), 9)
        """
    )
    (path,) = journals()
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-7]))
    path.with_suffix(".ack").unlink()
    (done,) = te.sync()
    assert (done.problem, done.status) == (None, "CRASHED")
    (run,) = te.runs("acme", "Digits")
    assert run.metrics("count").values == list(range(20))


def test_an_exception_of_a_signal_handler_during_a_write_reaches_the_application(run_python):
    """Also an exception that looks like a disk failure."""
    finished = run_python(
        """
        import signal, afnio_tellurio as te
        run = te.init("acme", "Digits", "r")
        def handler(number, frame):
            raise TimeoutError("the job's")
        signal.signal(signal.SIGALRM, handler)
        raised = logged = 0
        for turn in range(50):
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.002 + turn / 20000)
                while True:
                    run.log("count", logged)
                    logged += 1
            except TimeoutError as error:
                assert str(error) == "the job's"
                raised += 1
        run.finish()
        values = run.metrics("count").values
        print(raised, set(range(logged)) <= set(values), len(values) <= logged + raised)
        """,
        TELLURIO_MODE="local",
        TELLURIO_EXIT_TIMEOUT="300",
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout == "50 True True\n"
    assert complaints(finished.stderr) == ""


DELETED = """
import sys
import afnio_tellurio as te
run = te.init("acme", "Digits", "restored", tags=["first"])
run.log("count", 0, step=0)
run.flush()
print("logged", flush=True)
sys.stdin.readline()
for number in range(1, 10):
    run.log("count", number, step=number)
run.tag("second")
run.finish()
"""


@pytest.mark.parametrize("ends", ["by itself", "killed"])
@pytest.mark.parametrize("trashed", ["run", "project"])
def test_what_was_logged_to_a_run_in_the_trash_is_delivered_when_it_is_restored(
    proxy, start_python, home, journals, ends, trashed
):
    child = start_python("-c", DELETED, stdin=subprocess.PIPE)
    assert child.stdout.readline() == "logged\n"
    run = te.get_run("acme", "Digits", "restored")
    if trashed == "run":
        te.delete_run("acme", "Digits", run.uuid)
    else:
        te.delete_project("acme", "digits")
    child.stdin.write("\n")
    child.stdin.flush()
    wait_until(lambda: list((home / "journals").glob("*.undeliverable")))
    assert te.sync() == [], "its process lives, or the run is gone"
    if ends == "killed":
        child.kill()
    child.wait(GUARD)
    assert te.sync() == []
    if trashed == "run":
        te.restore_run("acme", "Digits", "restored")
    else:
        te.restore_project("acme", "digits")
    (done,) = te.sync()
    assert done.problem is None
    again = te.get_run("acme", "Digits", "restored")
    assert set(again.metrics("count").values) >= {0}
    if ends == "by itself":
        assert again.metrics("count").values == list(range(10))
        assert again.tags == ("first", "second")
    assert again.status in ("COMPLETED", "CRASHED")
    assert list((home / "journals").glob("*")) == []
