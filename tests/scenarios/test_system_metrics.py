"""What a run's processes use is logged on request, and is in nobody's way."""

import logging
import math
import os
import sys
import threading

import pytest
from children import GUARD

import afnio_tellurio as te
from afnio_tellurio.tracking import system_metrics
from afnio_tellurio.tracking.system_metrics import Sampler

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def threads():
    return [each for each in threading.enumerate() if each.name == "tellurio-system"]


@pytest.fixture
def sampled(monkeypatch):
    """Is set once a sample is logged, and holds the samples that were logged."""
    event = threading.Event()
    real = te.Run.log_metrics

    def log_metrics(run, metrics, *arguments):
        real(run, metrics, *arguments)
        event.set()

    monkeypatch.setattr(te.Run, "log_metrics", log_metrics)
    return event


def test_samples_are_ordinary_metrics(backend, sampled):
    with te.init("acme", "Digits", system_metrics=True) as run:
        (thread,) = threads()
        assert sampled.wait(GUARD)
    assert not thread.is_alive()
    found = te.get_run("acme", "digits", run.uuid).metrics()
    assert found
    assert all(name.startswith("system/") for name in found)
    if sys.platform == "linux":
        (memory,) = found["system/memory_bytes"].values
        assert memory > 2**20


def test_nothing_is_sampled_unless_asked(backend):
    with te.init("acme", "Digits") as run:
        assert threads() == []
    assert run.metrics() == {}


def test_samples_repeat_until_the_run_ends(monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    bell = system_metrics.SystemMetrics._is_stopped_within
    turns = threading.Semaphore(0)

    def wait(self, seconds):
        assert seconds >= 5.0
        turns.release()
        # The time has passed, until the bell rings.
        return bell(self, 0.001)

    monkeypatch.setattr(system_metrics.SystemMetrics, "_is_stopped_within", wait)
    with te.init("acme", "Digits", system_metrics=5) as run:
        for _ in range(3):
            assert turns.acquire(timeout=GUARD)
    assert threads() == []
    percents = run.metrics("system/cpu_percent").values
    assert len(percents) >= 2
    assert all(percent >= 0 for percent in percents)


@linux
def test_the_time_and_memory_of_children_are_in_the_sample(start_python):
    sampler = Sampler()
    before = sampler.sample()
    assert "system/cpu_percent" not in before
    child = start_python(
        "-c",
        "import time; held = b'x' * 2**26\n"
        "while time.process_time() < 0.2: pass\n"
        "print('ready', flush=True); input()",
        stdin=True,
    )
    assert child.stdout.readline() == "ready\n"
    after = sampler.sample()
    assert after["system/cpu_percent"] > 0
    assert after["system/memory_bytes"] > before["system/memory_bytes"] + 2**25
    child.communicate("\n")


def test_an_expensive_sample_makes_the_interval_longer(monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    with te.init("acme", "Digits") as run:
        thread = system_metrics.SystemMetrics(run, 10.0)
        assert thread._pause(0.001) == 10.0
        assert thread._pause(0.05) == pytest.approx(50.0)


@pytest.mark.parametrize("bad", [0, 0.5, -1, math.nan, math.inf, "10", None, [1]])
def test_bad_intervals_are_refused_before_anything_is_recorded(monkeypatch, bad, home):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    with pytest.raises((TypeError, ValueError), match=r"init: system_metrics is .*; .*must be"):
        te.init("acme", "Digits", system_metrics=bad)
    assert not home.exists()
    assert threads() == []


def test_a_disabled_run_samples_nothing(monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "disabled")
    with te.init("acme", "Digits", system_metrics=True):
        assert threads() == []
        with pytest.raises(TypeError):
            te.init("acme", "Digits", system_metrics="often")


def test_a_finish_that_fails_goes_on_sampling(monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    run = te.init("acme", "Digits", system_metrics=True)
    with monkeypatch.context() as patch:
        patch.setattr("afnio_tellurio.tracking.run.finish_run", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run.finish()
    assert len(threads()) == 1
    run.finish()
    assert threads() == []


def test_a_sample_after_the_end_is_dropped_quietly(monkeypatch, caplog):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    caplog.set_level(logging.DEBUG, "afnio_tellurio")
    ended, reading = threading.Event(), threading.Event()
    real = Sampler.sample

    def sample(self):
        reading.set()
        ended.wait(GUARD)
        return real(self)

    monkeypatch.setattr(Sampler, "sample", sample)
    monkeypatch.setattr(system_metrics, "PATIENCE", 0.0)
    run = te.init("acme", "Digits", system_metrics=True)
    (thread,) = threads()
    assert reading.wait(GUARD)
    run.finish()
    ended.set()
    thread.join(GUARD)
    assert run.metrics() == {}
    assert "system" not in caplog.text


def test_a_sample_that_fails_does_not_hurt(monkeypatch, caplog):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    caplog.set_level(logging.DEBUG, "afnio_tellurio")
    monkeypatch.setattr(Sampler, "sample", lambda _self: 1 / 0)
    with te.init("acme", "Digits", system_metrics=True) as run:
        for thread in threads():
            thread.join(GUARD)
    assert run.status == "COMPLETED"
    assert "system metrics are not sampled: ZeroDivisionError" in caplog.text


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_does_not_sample(run_python):
    child = run_python(
        """
        import os, threading
        import afnio_tellurio as te

        run = te.init("acme", "Digits", system_metrics=True)
        pid = os.fork()
        if pid == 0:
            names = [each.name for each in threading.enumerate()]
            run.log("of the child", 1)
            run.flush()
            run.finish()
            names += [each.name for each in threading.enumerate()]
            os._exit("tellurio-system" in names)
        print(os.waitpid(pid, 0)[1], "tellurio-system" in [t.name for t in threading.enumerate()])
        """,
        TELLURIO_MODE="local",
    )
    assert (child.returncode, child.stdout) == (0, "0 True\n"), child.stderr


def test_a_run_left_open_ends_with_the_process(run_python):
    child = run_python(
        """
        import afnio_tellurio as te
        te.init("acme", "Digits", "left open", system_metrics=1)
        """,
        TELLURIO_MODE="local",
    )
    assert (child.returncode, child.stdout) == (0, "")
    with te.TellurioClient.local() as client:
        assert te.get_run("acme", "digits", "left open", client=client).status == "COMPLETED"
