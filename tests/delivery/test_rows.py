"""Rows of tables go through the journal like metrics: each arrives exactly once."""

import contextlib
import os
import sqlite3
import sys
import threading

import pytest
from children import GUARD
from logged_bodies import metrics_of

import afnio_tellurio as te
from afnio_tellurio.cli import main

#: A backend that lost a run still responds as the contract says.
DATABASE = "server/tellurio.db"
LOGS = """
import os
import afnio_tellurio as te
run = te.init("acme", "Digits", "died")
for number in range(20):
    run.log("count", number)
    run.log_rows("rows", [{"number": number}, {"number": number, "again": True}])
    run.log_rows("keyed", [{"id": number % 3, "number": number}], key="id")
os._exit(1)
"""


def found(name="died"):
    return te.get_run("acme", "Digits", name)


def expect_all_once(run):
    rows = run.rows("rows").rows
    assert rows[::2] == [{"number": number} for number in range(20)]
    assert rows[1::2] == [{"number": number, "again": True} for number in range(20)]
    assert run.rows("keyed").rows == [
        {"id": 0, "number": 18},
        {"id": 1, "number": 19},
        {"id": 2, "number": 17},
    ]
    assert len(run.rows("keyed", replaced=True)) == 20
    assert run.metrics("count").values == list(range(20))
    assert list(run.metrics()) == ["count"]


def refuse_batches(proxy):
    """The backend answers nothing that is logged."""
    proxy.fault = lambda _method, path: "html" if path.endswith("/batch/") else None


def leave_journal(proxy, start_python):
    """A process logs rows and dies before any is delivered."""
    refuse_batches(proxy)
    child = start_python("-c", LOGS, may_depart=("answer",))
    _out, err = child.communicate(timeout=GUARD)
    assert child.returncode == 1, err
    proxy.fault = lambda *_: None


@pytest.mark.parametrize("fault", ["drop", "cut", "truncated", "html"])
def test_a_lost_answer_makes_no_second_row(proxy, fault):
    failures = []

    def fail_twice(_method, path):
        if path.endswith("/batch/") and len(failures) < 2:
            failures.append(fault)
            return fault
        return None

    proxy.fault = fail_twice
    with te.init("acme", "Digits", "r") as run:
        run.log_rows("rows", [{"a": 1}, {"a": 2}])
        run.log("loss", 1)
    assert failures
    assert found("r").rows("rows").rows == [{"a": 1}, {"a": 2}]
    assert found("r").metrics("loss").values == [1]


def test_the_rows_of_a_killed_process_are_delivered_once(proxy, start_python, journals):
    leave_journal(proxy, start_python)
    (path,) = journals()
    kept = path.read_bytes()
    (done,) = te.sync()
    assert (done.delivered, done.problem) == (80, None)
    expect_all_once(found())
    # As if the position had been lost with the power.
    path.write_bytes(kept)
    assert [done.problem for done in te.sync()] == [None]
    expect_all_once(found())


@pytest.mark.parametrize("part", [b'"keyed"', b'"rows"'])
def test_a_damaged_row_is_counted_and_the_others_keep_their_numbers(
    proxy, start_python, journals, part
):
    leave_journal(proxy, start_python)
    (path,) = journals()
    kept = path.read_bytes()
    lines = kept.splitlines(keepends=True)
    damaged = [index for index, line in enumerate(lines) if part in line][5]
    lines[damaged] = lines[damaged].replace(part, part.upper())
    path.write_bytes(b"".join(lines))
    (done,) = te.sync()
    assert (done.delivered, done.lost, done.problem) == (79, 1, None)
    run = found()
    assert len(run.rows("rows")) + len(run.rows("keyed", replaced=True)) == 59
    assert run.metrics("count").values == list(range(20))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no file size limit")
@pytest.mark.parametrize("room", [False, True])
def test_rows_are_held_in_memory_while_the_disk_is_full(proxy, run_python, journals, room):
    finished = run_python(
        f"""
import os, resource, signal, sys
import afnio_tellurio as te
sys.dont_write_bytecode = True
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
run = te.init("acme", "Digits", "full")
run.log_rows("rows", [{{"a": 0}}])
journal = run._recording.outbox.journal
resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(journal.path) + 70, hard))
run.log_rows("rows", [{{"a": 1}}, {{"a": 2}}, {{"a": 3}}])
run.log("loss", 1)
if {room}:
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
print(run.flush())
run.log_rows("rows", [{{"a": 4}}])
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
print(run.finish())
"""
    )
    assert finished.returncode == 0, finished.stderr
    assert "cannot be written (No space left" in finished.stderr
    assert found("full").rows("rows").rows == [{"a": number} for number in range(5)]
    assert found("full").metrics("loss").values == [1]
    assert not journals()


def test_a_rejected_row_is_set_aside_and_can_be_sent_again_as_a_row(proxy):
    forward = proxy._forward

    def refuse_keyed(request, body):
        if request.command == "POST" and any(
            each.get("name") == "keyed" for each in metrics_of(body)
        ):
            return 400, {}, b'{"metrics": ["[0].name: The backend does not like this name."]}'
        return forward(request, body)

    proxy._forward = refuse_keyed
    with te.init("acme", "Digits", "r") as run:
        for number in range(4):
            run.log_rows("keyed", [{"id": number % 2, "number": number}], key="id")
            run.log("loss", number)
    assert run._recording.receipt().rejected == 4
    assert found("r").metrics("loss").values == [0, 1, 2, 3]
    proxy._forward = forward
    assert main(["sync", "--rejected"]) == 0
    assert found("r").rows("keyed").rows == [{"id": 0, "number": 2}, {"id": 1, "number": 3}]
    assert found("r").tables()["keyed"].count == 4


def test_the_tables_of_a_run_that_the_backend_lost_are_sent_again(proxy, tmp_path):
    run = te.init("acme", "Digits", "lost")
    run.log_rows("rows", [{"a": 1}], key="a")
    run.flush()
    with contextlib.closing(sqlite3.connect(tmp_path / DATABASE)) as connection:
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("DELETE FROM runs")
        connection.commit()
    run.log_rows("rows", [{"a": 2}])
    run.finish()
    assert found("lost").rows("rows").rows == [{"a": 1}, {"a": 2}]


def test_threads_and_processes_may_log_to_one_table(proxy, start_python):
    run = te.init("acme", "Digits", "shared")
    child = start_python(
        "-c",
        """
import os
import afnio_tellurio as te
run = te.attach("acme", "Digits", "shared")
if hasattr(os, "fork") and not os.fork():
    run.log_rows("table", [{"by": "grandchild", "number": number} for number in range(100)])
    run.flush()
    os._exit(0)
for number in range(100):
    run.log_rows("table", [{"by": "child", "number": number}])
run.flush()
if hasattr(os, "fork"):
    os.wait()
""",
    )

    def log(thread):
        for number in range(100):
            run.log_rows("table", [{"by": thread, "number": number}])

    threads = [threading.Thread(target=log, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(GUARD)
    assert child.wait(GUARD) == 0
    run.finish()
    numbers = {}
    for row in found("shared").rows("table"):
        numbers.setdefault(row["by"], []).append(row["number"])
    writers = {"a", "b", "child"} | ({"grandchild"} if hasattr(os, "fork") else set())
    assert numbers == {writer: list(range(100)) for writer in writers}


def test_a_backend_without_batches_gets_rows_one_by_one(proxy):
    forward = proxy._forward

    def lack_batches(request, body):
        if request.path.endswith("/batch/"):
            return 404, {}, b'{"detail": "Not found."}'
        return forward(request, body)

    proxy._forward = lack_batches
    with te.init("acme", "Digits", "r") as run:
        run.log_rows("rows", [{"a": 1}, {"a": 2}], key="a")
        run.log("loss", 1)
    assert found("r").rows("rows").rows == [{"a": 1}, {"a": 2}]
    assert (found("r").rows("rows").key, found("r").metrics("loss").values) == ("a", [1])
