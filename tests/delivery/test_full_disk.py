"""A full disk: the application continues, and metrics that fit in memory are delivered from there."""

import sys

import pytest
from children import GUARD, complaints

import afnio_tellurio as te
from afnio_tellurio.delivery import held

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no file size limit")

START = """
import os, resource, signal, sys
import afnio_tellurio as te
# What is imported later would leave its bytecode cut off.
sys.dont_write_bytecode = True
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
def fill(more=30):
    size = max(os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + more, hard))
def make_room():
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
run = te.init("acme", "Digits", "full")
folder = os.path.join(os.environ["TELLURIO_HOME"], "journals")
for number in range(100):
    run.log("count", number)
"""


START_FILES = (
    START.replace('run.log("count", number)', 'run.log_text("notes", f"{number}")')
    .replace("folder =", "held.HELD_BYTES = 400\nfolder =")
    .replace("# What", "from afnio_tellurio.delivery import held\n# What")
)


def hold_files(proxy):
    proxy.fault = lambda _method, path: "reset" if "/blobs/" in path else None


def test_metrics_are_held_in_memory_and_delivered_from_there(proxy, run_python, journals, home):
    finished = run_python(
        f"""{START}
fill()
for number in range(100, 3000):
    run.log("count", number)
print(run.flush())
make_room()
for number in range(3000, 3100):
    run.log("count", number)
print(run.finish())
"""
    )
    assert finished.returncode == 0, finished.stderr
    assert "accepted=3000, waiting=0" in finished.stdout
    assert "accepted=3100, waiting=0" in finished.stdout
    assert complaints(finished.stderr).count("\n") == 1, finished.stderr
    assert f"the journal {home / 'journals'}" in finished.stderr
    assert "cannot be written (No space left" in finished.stderr
    run = te.get_run("acme", "Digits", "full")
    assert run.metrics("count").values == list(range(3100))
    assert not journals()


def test_the_journal_is_taken_up_again_when_there_is_room(proxy, run_python, journals):
    proxy.fault = lambda _method, path: "html" if path.endswith("/batch/") else None
    finished = run_python(
        f"""{START}
import time
fill()
for number in range(100, 200):
    run.log("count", number)
make_room()
# What was held is in the file.
while run._recording.outbox.journal.in_memory_count():
    time.sleep(0.01)
for number in range(200, 300):
    run.log("count", number)
os._exit(0)
""",
        may_depart=("answer",),
    )
    assert finished.returncode == 0, finished.stderr
    proxy.fault = lambda *_: None
    (done,) = te.sync()
    assert (done.delivered, done.lost, done.problem) == (300, 0, None)
    assert te.get_run("acme", "Digits", "full").metrics("count").values == list(range(300))


def test_a_program_that_logs_without_a_pause_gets_back_to_the_file(run_python, monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    # Measuring makes the sender slower than the loop below, and memory may fill up meanwhile.
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
    finished = run_python(
        f"""{START}
from afnio_tellurio.delivery import held, sender
held.WRITE_RETRY_DELAY = sender.BURST_DELAY = 0.05
sys.setswitchinterval(0.0002)  # else the loop below logs 200,000 metrics before it is interrupted
fill()
for number in range(100, 200):
    run.log("count", number)
make_room()
number, journal = 200, run._recording.outbox.journal
while not journal._is_direct:
    run.log("count", number)
    number += 1
print(run.finish().accepted == number)
""",
        timeout=GUARD,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout == "True\n"
    values = te.get_run("acme", "Digits", "full").metrics("count").values
    assert values == list(range(len(values))), "in the order in which they were logged"


def test_where_no_journal_can_be_made_at_all_delivery_goes_on(proxy, run_python, tmp_path):
    (tmp_path / "no-folder").write_text("")
    finished = run_python(
        """
        import afnio_tellurio as te
        run = te.init("acme", "Digits", "homeless")
        for number in range(100):
            run.log("count", number)
        print(run.finish())
        """,
        TELLURIO_HOME=str(tmp_path / "no-folder"),
    )
    assert finished.returncode == 0, finished.stderr
    assert "accepted=100, waiting=0" in finished.stdout
    assert "no-folder" in finished.stderr
    assert "buffering in memory until it can" in finished.stderr
    assert te.get_run("acme", "Digits", "homeless").metrics("count").values == list(range(100))


def test_what_neither_disk_nor_memory_took_is_counted(proxy, monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(held, "HELD_BYTES", 5000)
    (tmp_path / "no-folder").write_text("")
    monkeypatch.setenv("TELLURIO_HOME", str(tmp_path / "no-folder"))
    run = te.init("acme", "Digits", "full")
    proxy.fault = lambda *_: "html"
    for number in range(200):
        run.log("count", number)
    proxy.fault = lambda *_: None
    with pytest.raises(
        te.DeliveryError, match="are lost: the journal could not store them"
    ) as caught:
        run.finish()
    kept = te.get_run("acme", "Digits", "full").metrics("count").values
    assert 50 < len(kept) < 200
    assert caught.value.lost == 200 - len(kept)
    assert caught.value.waiting == 0
    assert kept == list(range(len(kept)))
    assert run.finish().accepted == len(kept), "the run is finished all the same"


def test_what_is_in_memory_at_the_end_is_counted_if_the_backend_is_on_the_full_disk(
    run_python, monkeypatch
):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    monkeypatch.setenv("TELLURIO_EXIT_TIMEOUT", "1")
    # Measuring writes files of its own when the process ends.
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
    finished = run_python(
        f"""{START}
fill()
for number in range(100, 1000):
    run.log("count", number)
try:
    run.finish()
except te.DeliveryError as error:
    assert "wait in memory and are lost when this process ends" in str(error), error
    print(error.in_memory)
"""
    )
    assert finished.returncode == 0, finished.stderr
    in_memory = int(finished.stdout)
    assert 0 < in_memory <= 900
    assert f"{in_memory} metrics wait in memory and are lost" in finished.stderr
    (done,) = te.sync()
    assert (done.lost, done.problem) == (0, None)
    kept = te.get_run("acme", "Digits", "full").metrics("count").values
    assert kept == list(range(1000 - in_memory))


def test_an_upload_that_is_only_in_memory_is_told_and_delivered_from_there(proxy, run_python, home):
    hold_files(proxy)
    finished = run_python(
        f"""{START_FILES}
fill()
run.log_text("notes", "in memory")
try:
    run.flush(timeout=0)
except te.DeliveryError as error:
    print(error)
try:
    run.log_text("notes", "too much")
except OSError as error:
    print(error)
sys.stdout.flush()
os._exit(0)
"""
    )
    assert "101 files (" in finished.stdout
    assert "1 upload waits in memory and is lost when this process ends" in finished.stdout
    # Its record is not on the disk, so the call must not return as if it were.
    assert "[Errno 28] No space left on device" in finished.stdout
    assert len(list((home / "journals").glob("*.files/*/index"))) == 101
    proxy.fault = lambda *_: None
    assert {done.problem for done in te.sync()} == {None}
    assert len(te.get_run("acme", "Digits", "full").files()) == 100
