"""Many metrics, several processes, and everything that can go wrong at once: counted by value."""

import itertools
import os
import signal
import subprocess
import sys
import time

import pytest
from children import GUARD, child_environment, complaints
from leftovers import close_default_clients
from ports import port_to_reuse

import afnio_tellurio as te

LOGGER = """
import sys
import afnio_tellurio as te
name, count = sys.argv[1], int(sys.argv[2])
run = te.attach("acme", "Digits", "shared")
for number in range(count):
    run.log("count", f"{name}/{number}", step=number)
receipt = run.flush()
assert receipt.accepted == count, receipt
"""


#: The faults of successive batches, in a cycle. Three in ten batches get a response.
FAULTS = [
    "drop", None, "reset", "slow", "html", "drop", "truncated", None, "520", "busy"
]  # fmt: skip


def test_many_metrics_of_four_processes_through_every_fault_arrive_once(
    proxy, start_python, doubled_or_missing, pytestconfig
):
    count = 25_000 if pytestconfig.getoption("--long") else 2_000
    run = te.init("acme", "Digits", "shared")
    batches = itertools.cycle(FAULTS)
    proxy.fault = lambda _method, path: next(batches) if path.endswith("/batch/") else None
    children = [
        start_python("-c", LOGGER, name, str(count), may_depart=("answer",)) for name in "abcd"
    ]
    for child in children:
        _out, err = child.communicate(timeout=GUARD)
        assert child.returncode == 0, err
    proxy.fault = lambda *_: None
    # Each process has at least two batches, and each fault delays another one.
    for fault in filter(None, FAULTS):
        assert proxy.counts[fault], proxy.counts
    values = run.metrics("count").values
    assert not doubled_or_missing(
        values, (f"{name}/{number}" for name in "abcd" for number in range(count))
    )


KILLED = """
import os, struct, sys
import afnio_tellurio as te
seen = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY, 0o600)
run = te.init("acme", "Digits", sys.argv[2])
print(run.uuid, flush=True)
for number in range(10_000_000):
    run.log("count", number)
    os.pwrite(seen, struct.pack("q", number + 1), 0)
"""


@pytest.mark.parametrize("backend", ["in process", "over HTTP"], indirect=True)
def test_sigkill_at_many_moments_loses_and_doubles_nothing(
    backend, start_python, tmp_path, journals, pytestconfig
):
    def logged_by(name):
        counter = tmp_path / name
        return int.from_bytes(counter.read_bytes(), "little") if counter.exists() else 0

    groups, size = (5, 5) if pytestconfig.getoption("--long") else (1, 4)
    for group in range(groups):
        children = []
        for number in range(size):
            name = f"killed-{group}-{number}"
            children.append((name, start_python("-c", KILLED, str(tmp_path / name), name)))
        for _name, child in children:
            assert child.stdout.readline(), child.stderr.read()
        for number, (name, child) in enumerate(children):
            wait_until(lambda name=name: logged_by(name), at_least=23 * group + 211 * number)
            child.send_signal(signal.SIGKILL)
            child.wait()
        close_default_clients()
        if backend == "over HTTP":
            assert len(journals()) == size
            assert {done.problem for done in te.sync()} == {None}
        for name, _child in children:
            logged = logged_by(name)
            run = te.get_run("acme", "Digits", name)
            assert run.status is te.RunStatus.CRASHED
            values = run.metrics("count").values
            # The last call may have been in progress.
            assert values == list(range(len(values)))
            assert len(values) in (logged, logged + 1)
        assert not journals()


def wait_until(number, at_least):
    deadline = time.monotonic() + GUARD
    while number() < at_least:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_backend_killed_and_restarted_many_times_under_load(
    tmp_path, monkeypatch, start_python, doubled_or_missing, pytestconfig
):
    port = port_to_reuse()
    served = {"TELLURIO_HOME": str(tmp_path / "server")}

    def serve():
        arguments = ["serve", "--port", str(port), "--api-key", "k", "--namespace", "acme"]
        process = subprocess.Popen(
            [sys.executable, "-m", "afnio_tellurio.cli", *arguments],
            env=child_environment(**served),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert "Serving" in process.stdout.readline()
        return process

    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("TELLURIO_API_KEY", "k")
    backend = serve()
    try:
        run = te.init("acme", "Digits", "shared")
        child = start_python("-c", SLOW_LOGGER, "a")
        assert child.stdout.readline() == "ready\n", child.stderr.read()
        number = 0
        for _ in range(10 if pytestconfig.getoption("--long") else 2):
            # It dies while a request is in flight.
            accepted = run._recording.outbox.receipt().accepted
            while run._recording.outbox.receipt().accepted < accepted + 50:
                run.log("count", f"parent/{number}")
                number += 1
                time.sleep(0.001)
            backend.send_signal(signal.SIGKILL)
            backend.wait()
            backend.stdout.close()
            for _ in range(50):
                run.log("count", f"parent/{number}")
                number += 1
            backend = serve()
        child.stdin = None
        os.kill(child.pid, signal.SIGUSR1)
        out, err = child.communicate(timeout=GUARD)
        assert child.returncode == 0, err
        wanted = [f"parent/{n}" for n in range(number)] + [f"a/{n}" for n in range(int(out))]
        assert int(out) > 100
        assert not doubled_or_missing(run.metrics("count").values, wanted)
        assert run.finish().accepted == number
    finally:
        backend.kill()
        backend.wait()
        backend.stdout.close()


SLOW_LOGGER = """
import signal, sys
import afnio_tellurio as te
go_on = [True]
signal.signal(signal.SIGUSR1, lambda *_: go_on.clear())
run = te.attach("acme", "Digits", "shared")
print("ready", flush=True)
number = 0
while go_on:
    run.log("count", f"{sys.argv[1]}/{number}")
    number += 1
    if number % 100 == 0:
        run.flush()
run.flush()
print(number)
"""


MANY = """
import sys
import afnio_tellurio as te

def peak():
    "The most memory it had, in KiB. Not ru_maxrss: that starts with the parent's."
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

count = int(sys.argv[1])
run = te.init("acme", "Digits", "away")
run.log("first", 1)
run.flush()
print("ready", flush=True)
sys.stdin.readline()
for number in range(count // 100):
    run.log("count", number, step=number)
before = peak()
for number in range(count // 100, count):
    run.log("count", number, step=number)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's peak memory")
def test_many_metrics_while_the_backend_is_away_stay_on_the_disk_and_not_in_memory(
    proxy, journals, start_python, pytestconfig
):
    count = 1_000_000 if pytestconfig.getoption("--long") else 200_000
    child = start_python(
        "-c", MANY, str(count), may_depart=("answer",), stdin=True, TELLURIO_EXIT_TIMEOUT="0.05"
    )
    assert child.stdout.readline() == "ready\n"
    proxy.fault = lambda *_: "reset"
    out, err = child.communicate("\n", timeout=GUARD)
    assert child.returncode == 0, err
    # In memory, each metric would take at least 150 bytes: 30 MB in all. A batch of 10,000 takes a
    # fourth of that.
    assert int(out) < 20_000, "KiB"
    assert complaints(err).count("\n") == 1
    assert f"{count} metrics wait" in err
    (journal,) = journals()
    with journal.open("rb") as file:
        assert sum(1 for _ in file) == 2 + 1 + count + 1
