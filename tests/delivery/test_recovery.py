"""The next process delivers the pending data of a dead one: once, to the right place."""

import itertools
import json
import math
import signal
import subprocess
import sys
import threading
import uuid

import pytest
from children import GUARD, child_environment

import afnio_tellurio as te
from afnio_tellurio.delivery import (
    journal_file,
    journal_writing,
    records,
    recovery,
    settling,
    transfer,
)
from afnio_tellurio.delivery.journal_file import JournalFile
from afnio_tellurio.delivery.records import record_line
from afnio_tellurio.settings.limits import BATCH_BYTES

DIES = """
import os, sys
import afnio_tellurio as te
run = te.init("acme", "Digits", sys.argv[1] if len(sys.argv) > 1 else "died")
for number in range(100):
    run.log("count", number)
os._exit(1)
"""


@pytest.fixture
def died(proxy, start_python):
    """Leaves the journal of a process that died while the backend did not respond."""

    def die(program=DIES, *arguments, **variables):
        proxy.fault = lambda _method, path: "html" if path.endswith("/batch/") else None
        child = start_python("-c", program, *arguments, may_depart=("answer",), **variables)
        _out, err = child.communicate(timeout=GUARD)
        assert child.returncode == 1, err
        proxy.fault = lambda *_: None

    return die


def test_sync_delivers_once_and_ends_the_run_as_crashed(died, journals):
    died()
    (path,) = journals()
    assert te.get_run("acme", "Digits", "died").status is te.RunStatus.RUNNING
    (done,) = te.sync()
    assert done == te.SyncedJournal(
        path=str(path), run_name="died", delivered=100, status="CRASHED"
    )
    run = te.get_run("acme", "Digits", "died")
    assert run.status is te.RunStatus.CRASHED
    assert run.metrics("count").values == list(range(100))
    assert te.sync() == []
    assert list(path.parent.iterdir()) == []


def test_what_was_delivered_already_is_not_doubled(died, journals):
    died()
    (path,) = journals()
    kept = path.read_bytes()
    te.sync()
    path.write_bytes(kept)
    (done,) = te.sync()
    assert (done.delivered, done.problem) == (100, None)
    assert te.get_run("acme", "Digits", "died").metrics("count").values == list(range(100))


def test_a_run_that_ended_keeps_the_status_that_its_process_gave_it(died):
    died(
        DIES.replace(
            "os._exit(1)",
            "run._end(te.RunStatus.COMPLETED)\nos._exit(1)",
        ),
        TELLURIO_EXIT_TIMEOUT="0.1",
    )
    (done,) = te.sync()
    assert done.status == "COMPLETED"
    assert te.get_run("acme", "Digits", "died").status is te.RunStatus.COMPLETED


def test_a_run_that_somebody_ended_meanwhile_keeps_its_status(died):
    died()
    te.get_run("acme", "Digits", "died").finish(status=te.RunStatus.FAILED)
    (done,) = te.sync()
    assert (done.delivered, done.status) == (100, None)
    assert te.get_run("acme", "Digits", "died").status is te.RunStatus.FAILED


def test_a_run_deleted_meanwhile_is_a_problem_that_keeps_the_journal(died, journals):
    died()
    (journal,) = journals()
    content = journal.read_bytes()
    te.delete_project("acme", "digits")
    (done,) = te.sync()
    assert "answered 404" in done.problem
    assert journal.with_suffix(".undeliverable").read_bytes() == content


def test_the_journal_of_a_living_process_is_left_to_it(proxy, start_python, journals):
    program = (
        "import sys, afnio_tellurio as te\n"
        "run = te.init('acme', 'Digits', 'alive')\n"
        "run.log('count', 0)\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program], env=child_environment(), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    child.stdout.readline()
    assert len(journals()) == 1
    assert te.sync() == []
    assert te.get_run("acme", "Digits", "alive").status is te.RunStatus.RUNNING
    child.communicate("\n", timeout=GUARD)
    assert te.get_run("acme", "Digits", "alive").status is te.RunStatus.COMPLETED


def told(caplog):
    """The messages except those at the start and the end of runs."""
    return [one.message for one in caplog.records if "View: " not in one.message]


def test_init_says_once_that_journals_of_dead_processes_wait(died, caplog, home):
    died()
    died(DIES, "again")
    caplog.set_level("INFO", "afnio_tellurio")
    te.init("acme", "Digits").finish()
    te.init("acme", "Digits").finish()
    assert told(caplog) == [
        (
            f"2 journals of processes that ended before delivery wait in {home / 'journals'}; "
            "deliver them with: afnio-tellurio sync"
        )
    ]
    te.sync()
    caplog.clear()
    te.init("acme", "Digits").finish()
    assert told(caplog) == []


def test_the_embedded_backend_recovers_its_own_when_it_is_opened(
    start_python, monkeypatch, tmp_path
):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    child = start_python("-c", DIES)
    assert child.wait(GUARD) == 1
    elsewhere = te.TellurioClient.local(tmp_path / "another.db")
    assert list(te.runs("acme", "Digits"))[-1].name == "died"
    run = te.get_run("acme", "Digits", "died")
    assert run.status is te.RunStatus.CRASHED
    assert run.metrics("count").values == list(range(100))
    elsewhere.close()


def test_a_journal_goes_to_the_backend_that_it_was_written_for(died, start_server, monkeypatch):
    died()
    monkeypatch.setenv("TELLURIO_MODE", "local")
    te.init("ada", "Digits").finish()
    monkeypatch.setenv("TELLURIO_API_KEY", "the-key")
    (done,) = te.sync()
    assert (done.delivered, done.problem) == (100, None)
    monkeypatch.setenv("TELLURIO_MODE", "online")
    assert te.get_run("acme", "Digits", "died").status is te.RunStatus.CRASHED


def test_without_a_backend_the_journal_stays_and_the_problem_is_told(died, proxy, journals):
    died()
    proxy.fault = lambda *_: "html"
    (done,) = te.sync()
    assert done.delivered == 0
    assert "502 Bad Gateway" in done.problem
    assert len(journals()) == 1
    proxy.fault = lambda *_: None
    assert te.sync()[0].delivered == 100


def test_damage_costs_its_line_and_is_told(died, journals):
    died()
    (path,) = journals()
    lines = path.read_bytes().split(b"\n")
    lines[2 + 40] = lines[2 + 40].replace(b"count", b"c\x00unt")
    path.write_bytes(b"\n".join(lines))
    (done,) = te.sync()
    assert (done.delivered, done.lost, done.problem) == (99, 1, None)
    values = te.get_run("acme", "Digits", "died").metrics("count").values
    assert values == [number for number in range(100) if number != 40]


def test_a_file_that_is_no_journal_is_a_problem_of_its_own(died, home, journals):
    died()
    (home / "journals" / "notes.ndjson").write_text("my notes\n")
    other, done = sorted(te.sync(), key=lambda one: one.delivered)
    assert "the header of the journal" in other.problem
    assert "is damaged" in other.problem
    assert done.delivered == 100
    assert (home / "journals" / "notes.ndjson").read_text() == "my notes\n"


def test_two_that_recover_at_once_deliver_once(died, start_python, journals):
    died()
    program = "import afnio_tellurio as te; print(sum(done.delivered for done in te.sync()))"
    children = [start_python("-c", program) for _ in range(3)]
    outputs = []
    for child in children:
        out, err = child.communicate(timeout=GUARD)
        assert child.returncode == 0, err
        outputs.append(int(out))
    assert sorted(outputs) == [0, 0, 100]
    assert te.get_run("acme", "Digits", "died").metrics("count").values == list(range(100))


def test_recovery_that_is_killed_goes_on_where_it_was(died, start_python, proxy, journals):
    died(DIES.replace("range(100)", "range(20_000)"))
    batches, third = [], threading.Event()

    def hang_at_the_third(_method, path):
        if not path.endswith("/batch/"):
            return None
        batches.append(path)
        if len(batches) < 3:
            return None
        third.set()
        return "hang"

    proxy.fault = hang_at_the_third
    child = start_python("-c", "import afnio_tellurio as te; te.sync()")
    assert third.wait(GUARD)
    child.send_signal(signal.SIGKILL)
    child.wait()
    proxy.released.set()
    proxy.fault = lambda *_: None
    acknowledged = json.loads(journals()[0].with_suffix(".ack").read_bytes())[2]
    assert 1000 <= acknowledged < 20_000
    (done,) = te.sync()
    assert done.delivered == 20_000 - acknowledged
    values = te.get_run("acme", "Digits", "died").metrics("count").values
    assert values == list(range(20_000))


DELIVERED_AND_DIES = DIES.replace("os._exit(1)", "run.flush(); os._exit(1)")


def zeroed(line):
    return b"\0" * len(line)


def flipped(line):
    return line[:20] + bytes([line[20] ^ 4]) + line[21:]


@pytest.mark.parametrize("damage", [flipped, zeroed])
@pytest.mark.parametrize(
    ("known", "damaged"),
    [(40, range(40, 41)), (40, range(40, 60)), (0, range(1)), (0, range(30)), (None, range(5))],
)
def test_damage_at_an_old_position_doubles_nothing(
    start_python, proxy, journals, known, damaged, damage
):
    """After a loss of power the position on the disk may be older than what the backend has."""
    child = start_python("-c", DELIVERED_AND_DIES)
    _out, err = child.communicate(timeout=GUARD)
    assert child.returncode == 1, err
    (path,) = journals()
    lines = path.read_bytes().splitlines(keepends=True)
    header, lines = lines[:2], lines[2:]
    for number in damaged:
        lines[number] = damage(lines[number])
    path.write_bytes(b"".join([*header, *lines]))
    position = path.with_suffix(".ack")
    if known is None:
        position.unlink()
    else:
        offset = sum(map(len, [*header, *lines[:known]]))
        position.write_bytes(record_line(offset, known, 0))
    (done,) = te.sync()
    assert (done.problem, done.status, done.lost) == (None, "CRASHED", 0)
    assert te.get_run("acme", "Digits", "died").metrics("count").values == list(range(100))


def test_metrics_after_damage_that_the_backend_lacks_are_delivered_once(died, journals):
    died()
    (path,) = journals()
    lines = path.read_bytes().splitlines(keepends=True)
    lines[52:54] = map(flipped, lines[52:54])
    path.write_bytes(b"".join(lines))
    (done,) = te.sync()
    assert (done.problem, done.status, done.lost) == (None, "CRASHED", 2)
    values = te.get_run("acme", "Digits", "died").metrics("count").values
    assert values == [*range(50), *range(52, 100)]


def test_a_damaged_line_that_looks_like_many_records_is_checked_in_few_places(monkeypatch):
    checked = []
    monkeypatch.setattr(records, "crc32", lambda body: checked.append(len(body)) or 0)
    assert records.find_record(b'["01234567",' * 10_000)[0] is None
    assert len(checked) < 100


def test_a_tail_of_zeros_is_read_once(died, journals, monkeypatch):
    died()
    (path,) = journals()
    with path.open("r+b") as file:
        # A file system may have reserved room for more, of which nothing was written.
        file.truncate(path.stat().st_size + 200 * 2**20)
    sizes, read = [], journal_file.read_at

    def count(*arguments):
        data = read(*arguments)
        sizes.append(len(data))
        return data

    monkeypatch.setattr(journal_file, "read_at", count)
    journal = JournalFile.open(path)
    batch = journal.batch()
    # Only what is read at once is read again, line by line.
    assert sum(sizes) <= path.stat().st_size + BATCH_BYTES
    journal.acknowledge(batch, 100)
    assert journal.batch() is None
    assert journal.count_metrics(0) == 100
    journal.close()
    path.with_suffix(".ack").unlink()
    (done,) = te.sync()
    assert (done.delivered, done.problem) == (100, None)


def test_a_backend_that_is_away_is_asked_for_one_journal_only(died, proxy, journals):
    for name in ("first", "second", "third"):
        died(DIES, name)
    proxy.fault = lambda *_: "html"
    proxy.counts.clear()
    results = te.sync()
    assert [result.delivered for result in results] == [0, 0, 0]
    assert all("502" in result.problem for result in results)
    assert proxy.counts["html"] <= recovery._ATTEMPTS + 1, "and whether it answers at all"
    assert len(journals()) == 3
    proxy.fault = lambda *_: None
    assert [result.delivered for result in te.sync()] == [100, 100, 100]


def test_a_run_that_a_backend_fails_for_holds_up_no_other(died, proxy, monkeypatch):
    monkeypatch.setattr("afnio_tellurio.delivery.transfer.FIRST_RETRY_DELAY", 0.0)
    for name in ("first", "second", "third"):
        died(DIES, name)
    poisoned = min(run.uuid for run in te.runs("acme", "Digits"))
    proxy.fault = lambda _method, path: (500, b"{}") if poisoned in path else None
    first, *others = te.sync()
    assert "500" in first.problem
    assert [(result.delivered, result.problem) for result in others] == [(100, None)] * 2
    proxy.fault = lambda *_: None
    assert [result.delivered for result in te.sync()] == [100]


def test_a_backend_that_fails_for_every_run_is_absent_after_a_few(
    died, proxy, journals, monkeypatch
):
    monkeypatch.setattr("afnio_tellurio.delivery.transfer.FIRST_RETRY_DELAY", 0.0)
    monkeypatch.setattr(recovery, "_FAILED_RUNS", 2)
    for name in ("first", "second", "third"):
        died(DIES, name)
    asked = []

    def fail(_method, path):
        if "/runs/" in path:
            asked.append(path.split("/")[7])
            return 500, b"{}"
        return None

    proxy.fault = fail
    assert all("500" in result.problem for result in te.sync())
    assert len(set(asked)) == 2
    assert len(journals()) == 3


def test_a_backend_that_fails_now_and_then_gets_everything(died, proxy, monkeypatch):
    died()
    monkeypatch.setattr(transfer, "BATCH_METRICS", 10)
    monkeypatch.setattr(transfer, "OBJECT_BATCH_METRICS", 10)
    monkeypatch.setattr("afnio_tellurio.delivery.transfer.FIRST_RETRY_DELAY", 0.0)
    requests = itertools.count()
    proxy.fault = lambda *_: "html" if next(requests) % 3 == 1 else None
    (done,) = te.sync()
    assert (done.delivered, done.problem) == (100, None)


def test_opening_goes_on_while_a_large_journal_is_delivered(start_python, monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    assert start_python("-c", DIES).wait(GUARD) == 1
    go_on, real = threading.Event(), recovery._open_and_deliver

    def deliver_later(*arguments):
        assert go_on.wait(GUARD)
        return real(*arguments)

    monkeypatch.setattr(recovery, "_open_and_deliver", deliver_later)
    monkeypatch.setattr(settling, "RECOVERY_SHARE", 0.0)
    client = te.TellurioClient.local()
    died = te.get_run("acme", "Digits", "died", client=client)
    assert died.status is te.RunStatus.RUNNING
    go_on.set()
    (thread,) = [each for each in threading.enumerate() if each.name == "tellurio-recovery"]
    thread.join()
    assert te.get_run("acme", "Digits", "died", client=client).status is te.RunStatus.CRASHED
    client.close()


def test_a_position_that_is_a_folder_is_reported(died, journals):
    died()
    (path,) = journals()
    path.with_suffix(".ack").unlink(missing_ok=True)
    path.with_suffix(".ack").mkdir()
    (done,) = te.sync()
    assert done.delivered == 100
    assert "is delivered, but cannot be removed" in done.problem
    assert te.get_run("acme", "Digits", "died").metrics("count").values == list(range(100))


def test_a_journal_of_an_earlier_format_has_strings_without_backslashes(home, monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    run = te.init("acme", "Digits")
    run.finish()
    header = records.Header(
        format=records.BACKSLASHES_FORMAT - 1, backend="tellurio.db", is_local=True,
        namespace_slug="acme", project_slug="digits", run_uuid=run.uuid, run_name=run.name,
        writer=str(uuid.uuid4()), owns_run=False,
    )  # fmt: skip
    values = ["NaN", "\\NaN", ["\\\\Infinity"], 0.5]
    metrics = [(None, number, "m", value) for number, value in enumerate(values)]
    journal_writing.write_journal(home / "journals", header, metrics, [], records.End("COMPLETED"))
    (result,) = te.sync()
    assert (result.problem, result.delivered) == (None, 4)
    assert repr(run.metrics("m").values) == repr([math.nan, *values[1:]])
