"""Changes of the run itself go through the journal: each arrives exactly once, whatever happens."""

import contextlib
import os
import sqlite3
import sys
import threading

import exchanges
import pytest
from children import GUARD, complaints

import afnio_tellurio as te
from afnio_tellurio.api import operations
from afnio_tellurio.api.calling import RunPath
from afnio_tellurio.client import connection_of
from afnio_tellurio.default_client import default_client
from afnio_tellurio.delivery import journal_file
from afnio_tellurio.delivery.journal_file import JournalFile
from afnio_tellurio.delivery.records import record_line

#: A backend that lost a run or was restored still responds as the contract says.
DATABASE = "server/tellurio.db"
DIES = """
import os
import afnio_tellurio as te
run = te.init("acme", "Digits", "died", config={"lr": 0.1}, tags=["first"])
for number in range(10):
    run.log("count", number)
run.update_config({"lr": 0.01, "optim": {"name": "adam"}})
run.tag("second", remove=["first"])
for number in range(10, 20):
    run.log("count", number)
os._exit(1)
"""


def found(name="died"):
    return te.get_run("acme", "Digits", name)


def patches(run):
    return [change.patch for change in run.config_changes()]


def expect_all_once(run):
    assert run.config == {"lr": 0.01, "optim": {"name": "adam"}}
    assert run.tags == ("second",)
    assert patches(run) == [{"lr": 0.01, "optim": {"name": "adam"}}]
    assert run.metrics("count").values == list(range(20))


def refuse_requests_of_delivery(proxy):
    """The backend answers nothing that a run in progress sends."""
    proxy.fault = lambda method, path: (
        "html" if path.endswith("/batch/") or method == "PATCH" else None
    )


@pytest.mark.parametrize("fault", ["drop", "cut", "truncated", "html"])
def test_a_lost_answer_makes_no_second_change(proxy, fault):
    failures = []

    def fail_twice(method, _path):
        if method == "PATCH" and len(failures) < 2:
            failures.append(fault)
            return fault
        return None

    proxy.fault = fail_twice
    run = te.init("acme", "Digits", config={"lr": 0.1})
    run.update_config({"lr": 0.01})
    run.tag("best")
    run.finish()
    assert failures
    again = found(run.name)
    assert (again.config, again.tags, patches(again)) == ({"lr": 0.01}, ("best",), [{"lr": 0.01}])


def test_the_changes_of_a_killed_process_are_delivered_once(proxy, start_python, journals):
    refuse_requests_of_delivery(proxy)
    child = start_python("-c", DIES, may_depart=("answer",))
    _out, err = child.communicate(timeout=GUARD)
    assert child.returncode == 1, err
    proxy.fault = lambda *_: None
    (path,) = journals()
    kept = path.read_bytes()
    assert (found().config, found().tags) == ({"lr": 0.1}, ("first",))
    assert [done.problem for done in te.sync()] == [None]
    expect_all_once(found())
    # As if the position had been lost with the power.
    path.write_bytes(kept)
    found().tag("by hand", remove=["second"])
    assert [done.problem for done in te.sync()] == [None]
    assert found().tags == ("by hand",)
    assert patches(found()) == [{"lr": 0.01, "optim": {"name": "adam"}}]


def test_the_time_of_a_change_is_that_of_the_call(proxy, start_python):
    refuse_requests_of_delivery(proxy)
    child = start_python("-c", DIES, may_depart=("answer",))
    child.communicate(timeout=GUARD)
    proxy.fault = lambda *_: None
    te.sync()
    (change,) = found().config_changes()
    times = found().metrics("count").timestamps
    assert times[9] <= change.timestamp <= times[10]


@pytest.mark.parametrize("place", ["before the first metric", "before the change", "after it"])
def test_a_damaged_line_changes_nothing_about_the_others(proxy, start_python, journals, place):
    refuse_requests_of_delivery(proxy)
    child = start_python("-c", DIES, may_depart=("answer",))
    child.communicate(timeout=GUARD)
    proxy.fault = lambda *_: None
    (path,) = journals()
    lines = path.read_bytes().splitlines(keepends=True)
    change = next(index for index, line in enumerate(lines) if b'"change"' in line)
    damaged = {
        "before the first metric": change - 10,
        "before the change": change - 1,
        "after it": change + 2,
    }
    line = lines[damaged[place]]
    assert b'"count"' in line
    lines[damaged[place]] = line.replace(b'"count"', b'"cOunt"')
    path.write_bytes(b"".join(lines))
    (done,) = te.sync()
    assert (done.delivered, done.lost, done.problem) == (19, 1, None)
    run = found()
    assert (run.tags, patches(run)) == (("second",), [{"lr": 0.01, "optim": {"name": "adam"}}])
    assert len(run.metrics("count").values) == 19


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no file size limit")
@pytest.mark.parametrize("room", [False, True])
def test_changes_are_held_in_memory_while_the_disk_is_full(proxy, run_python, journals, room):
    finished = run_python(
        f"""
import os, resource, signal, sys
import afnio_tellurio as te
sys.dont_write_bytecode = True
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
run = te.init("acme", "Digits", "full", config={{"lr": 0.1}})
run.log("count", 0)
journal = run._recording.outbox.journal
resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(journal.path) + 5, hard))
run.update_config({{"lr": 0.01}})
run.tag("best")
run.log("count", 1)
if {room}:
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
print(run.flush())
run.tag("last")
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
print(run.finish())
"""
    )
    assert finished.returncode == 0, finished.stderr
    assert "cannot be written (No space left" in finished.stderr
    run = found("full")
    assert (run.config, run.tags, patches(run)) == ({"lr": 0.01}, ("best", "last"), [{"lr": 0.01}])
    assert run.metrics("count").values == [0, 1]
    assert not journals()


def test_a_change_that_the_backend_rejects_holds_up_nothing(proxy, caplog, monkeypatch):
    run = te.init("acme", "Digits")
    real = operations.update_run

    def refuse_tags(connection, path, fields, **keywords):
        # A backend with a bound of its own.
        if "add_tags" in fields:
            fields = {"add_tags": [""]}
        return real(connection, path, fields, **keywords)

    monkeypatch.setattr(operations, "update_run", refuse_tags)
    with exchanges.departing("request"):
        run.tag("best")
        run.log("loss", 1)
        run.flush()
    run.finish()
    assert caplog.text.count("the backend rejected a change of tags") == 1
    assert found(run.name).metrics("loss").values == [1]
    assert found(run.name).tags == ()


def test_flush_waits_for_changes_and_says_what_waits(proxy):
    run = te.init("acme", "Digits", "r")
    refuse_requests_of_delivery(proxy)
    run.tag("best")
    with pytest.raises(te.DeliveryError, match=r"flush: run 'r': its end or a change waits in /"):
        run.flush(timeout=0.05)
    proxy.fault = lambda *_: None
    run.flush()
    assert found("r").tags == ("best",)


def test_each_change_is_read_once(proxy, monkeypatch):
    run = te.init("acme", "Digits", "r")
    refuse_requests_of_delivery(proxy)
    for number in range(100):
        run.update_config({"step": number})
    read, real = [], journal_file.find_record
    monkeypatch.setattr(journal_file, "find_record", lambda line: read.append(line) or real(line))
    proxy.fault = lambda *_: None
    run.flush()
    assert sum(b'"change"' in line for line in read) < 1000
    assert [change.patch["step"] for change in run.config_changes()] == list(range(100))
    run.finish()


def test_after_the_end_a_change_is_sent_at_once(proxy):
    run = te.init("acme", "Digits", config={"lr": 0.1}, tags=["first"])
    run.finish()
    run.update_config({"lr": None, "note": "good"})
    run.tag("best", remove=["first"])
    again = found(run.name)
    assert (run.config, run.tags) == (again.config, again.tags) == ({"note": "good"}, ("best",))
    assert again.status is te.RunStatus.COMPLETED
    assert again.date_ended == found(run.name).date_ended
    proxy.fault = lambda *_: "drop"
    with pytest.raises(te.TellurioError):
        run.tag("unreachable")
    proxy.fault = lambda *_: None
    assert run.tags == ("best",)


def test_a_run_that_the_backend_lost_is_created_again_with_all_of_it(proxy, tmp_path):
    run = te.init(
        "acme", "Digits", "lost", "about", config={"lr": 0.1}, tags=["first"], group="g", notes="n"
    )
    run.log("loss", 1)
    run.update_config({"lr": 0.01})
    run.tag("best")
    run.flush()
    with contextlib.closing(sqlite3.connect(tmp_path / DATABASE)) as connection:
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("DELETE FROM runs")
        connection.commit()
    run.log("loss", 2)
    run.finish()
    again = found("lost")
    assert (again.config, again.tags) == ({"lr": 0.01}, ("best", "first"))
    assert (again.group, again.notes, again.description) == ("g", "n", "about")
    assert again.metrics("loss").values == [1, 2]


def test_threads_and_processes_may_change_one_run_at_the_same_time(proxy, start_python):
    run = te.init("acme", "Digits", "shared")
    child = start_python(
        "-c",
        """
import afnio_tellurio as te
run = te.attach("acme", "Digits", "shared")
for number in range(30):
    run.tag(f"child {number}", remove=[f"child {number - 1}"])
    run.update_config({"child": {str(number): number}})
run.flush()
""",
    )

    def change(thread):
        for number in range(30):
            run.tag(f"{thread} {number}", remove=[f"{thread} {number - 1}"])
            run.update_config({"parent": {f"{thread} {number}": number}})

    threads = [threading.Thread(target=change, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(GUARD)
    assert child.wait(GUARD) == 0
    run.finish()
    again = found("shared")
    assert again.tags == ("a 29", "b 29", "child 29")
    assert again.config == {
        "child": {str(number): number for number in range(30)},
        "parent": {f"{thread} {number}": number for thread in "ab" for number in range(30)},
    }
    assert len(again.config_changes()) == 90
    times = [change.timestamp for change in again.config_changes()]
    assert len(times) == 90


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_a_forked_child_changes_the_run_of_its_parent(proxy, run_python):
    finished = run_python(
        """
import os
import afnio_tellurio as te
run = te.init("acme", "Digits", "forked", tags=["parent"])
child = os.fork()
if not child:
    run.tag("child")
    run.flush()
    os._exit(0)
os.waitpid(child, 0)
run.finish()
"""
    )
    assert complaints(finished.stderr) == ""
    assert found("forked").tags == ("child", "parent")


def test_a_journal_without_details_is_read_as_before(tmp_path):
    path = tmp_path / "a.ndjson"
    header = {
        "format": 1, "backend": "http://b", "is_local": False, "namespace_slug": "acme",
        "project_slug": "digits", "run_uuid": "u", "run_name": "r", "writer": "w", "owns_run": True,
    }  # fmt: skip
    path.write_bytes(record_line(header) * 2 + record_line("end", "FAILED"))
    journal = JournalFile.open(path)
    assert (journal.birth(), journal.last_time()) == ({}, None)
    assert (journal.end_record().status, journal.end_record().time) == ("FAILED", None)
    journal.close()


def test_a_repeated_update_with_one_key_is_one_change(proxy):
    run = te.init("acme", "Digits")
    path = RunPath("acme", "digits", run.uuid)
    connection = connection_of(default_client())
    for _ in range(2):
        operations.update_run(connection, path, {"config_patch": {"n": 1}}, idempotency_key="k")
    assert patches(found(run.name)) == [{"n": 1}]
