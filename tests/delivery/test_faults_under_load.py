"""Many metrics, several processes, and everything that can go wrong at once: counted by value."""

import os
import random
import signal
import socket
import subprocess
import sys
import time

import pytest
from children import child_environment, complaints
from leftovers import close_default_clients

import afnio_tellurio as te

LOGGER = """
import sys
import afnio_tellurio as te
name, count = sys.argv[1], int(sys.argv[2])
run = te.attach("acme", "Digits", "shared")
for number in range(count):
    run.log("count", f"{name}/{number}", step=number)
receipt = run.flush(timeout=120)
assert receipt.accepted == count, receipt
"""


def test_100_000_metrics_of_four_processes_through_every_fault_arrive_once(
    proxy, start_python, doubled_or_missing
):
    run = te.init("acme", "Digits", "shared")
    chance = random.Random(7)

    def faults(method, path):
        drawn = chance.random()
        for fault, share in (
            ("drop", 0.3), ("reset", 0.1), ("slow", 0.1), ("html", 0.05), ("busy", 0.03),
            ("truncated", 0.05), ("520", 0.02),
        ):  # fmt: skip
            if drawn < share and path.endswith("/batch/"):
                return fault
            drawn -= share
        return None

    proxy.fault = faults
    children = [
        start_python("-c", LOGGER, name, "25000", may_depart=("answer",)) for name in "abcd"
    ]
    for child in children:
        _out, err = child.communicate(timeout=200)
        assert child.returncode == 0, err
    proxy.fault = lambda *_: None
    for fault in ("drop", "reset", "slow", "html", "truncated"):
        assert proxy.counts[fault] >= 2, proxy.counts
    values = run.metrics("count").values
    assert not doubled_or_missing(
        values, (f"{name}/{number}" for name in "abcd" for number in range(25_000))
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
def test_sigkill_at_random_moments_loses_and_doubles_nothing(
    backend, start_python, tmp_path, journals
):
    for group in range(5):
        children = []
        for number in range(5):
            name = f"killed-{group}-{number}"
            children.append((name, start_python("-c", KILLED, str(tmp_path / name), name)))
        for _name, child in children:
            assert child.stdout.readline(), child.stderr.read()
        for _name, child in children:
            time.sleep(random.uniform(0, 0.03))
            child.send_signal(signal.SIGKILL)
            child.wait()
        close_default_clients()
        if backend == "over HTTP":
            assert len(journals()) == 5
            assert {done.problem for done in te.sync()} == {None}
        for name, _child in children:
            counter = tmp_path / name
            logged = int.from_bytes(counter.read_bytes(), "little") if counter.exists() else 0
            run = te.get_run("acme", "Digits", name)
            assert run.status is te.RunStatus.CRASHED
            values = run.metrics("count").values
            # The last call may have been under way.
            assert values == list(range(len(values)))
            assert len(values) in (logged, logged + 1)
        assert not journals()


def test_a_backend_killed_and_restarted_ten_times_under_load(
    tmp_path, monkeypatch, start_python, doubled_or_missing
):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
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
        for _ in range(10):
            until = time.monotonic() + 0.25
            while time.monotonic() < until:
                run.log("count", f"parent/{number}")
                number += 1
                time.sleep(0.0005)
            backend.send_signal(signal.SIGKILL)
            backend.wait()
            backend.stdout.close()
            for _ in range(50):
                run.log("count", f"parent/{number}")
                number += 1
            backend = serve()
        child.stdin = None
        os.kill(child.pid, signal.SIGUSR1)
        out, err = child.communicate(timeout=60)
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
import signal, sys, time
import afnio_tellurio as te
go_on = [True]
signal.signal(signal.SIGUSR1, lambda *_: go_on.clear())
run = te.attach("acme", "Digits", "shared")
print("ready", flush=True)
number = 0
while go_on:
    run.log("count", f"{sys.argv[1]}/{number}")
    number += 1
    time.sleep(0.001)
run.flush(timeout=60)
print(number)
"""


MANY = """
import sys
import afnio_tellurio as te
run = te.init("acme", "Digits", "away")
run.log("first", 1)
run.flush()
print("ready", flush=True)
sys.stdin.readline()
for number in range(1_000_000):
    run.log("count", number, step=number)
# Not ru_maxrss: that starts with the parent's.
with open("/proc/self/status") as status:
    print(next(int(line.split()[1]) // 1024 for line in status if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read as Linux tells it")
def test_a_million_metrics_while_the_backend_is_away_stay_on_the_disk_and_not_in_memory(
    proxy, journals, tmp_path
):
    child = subprocess.Popen(
        [sys.executable, "-c", MANY],
        env=child_environment("answer", TELLURIO_EXIT_TIMEOUT="0.1"),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdout.readline() == "ready\n"
    proxy.fault = lambda *_: "reset"
    out, err = child.communicate("\n", timeout=120)
    assert child.returncode == 0, err
    assert int(out) < 100, "MiB"
    assert complaints(err).count("\n") == 1
    assert "1000000 metrics wait" in err
    (journal,) = journals()
    with journal.open("rb") as file:
        assert sum(1 for _ in file) == 2 + 1 + 1_000_000 + 1
