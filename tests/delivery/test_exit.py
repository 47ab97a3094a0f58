"""The end of a process, and of an event loop's patience, while the backend does not answer."""

import asyncio
import os
import signal
import subprocess
import sys
import time

import pytest
from children import child_environment, complaints

import afnio_tellurio as te

PROGRAM = """
import sys
import afnio_tellurio as te
run = te.init("acme", "Digits", "left")
for number in range(100):
    run.log("count", number)
"""


def test_exit_takes_no_longer_than_its_timeout_and_leaves_the_rest_for_sync(
    proxy, run_python, journals
):
    proxy.fault = lambda method, _path: None if method == "GET" else "html"
    proxy.fault = lambda _method, path: "html" if "/metrics/" in path else None
    began = time.monotonic()
    finished = run_python(PROGRAM, may_depart=("answer",), TELLURIO_EXIT_TIMEOUT="1")
    assert time.monotonic() - began < 4
    assert finished.returncode == 0
    told = complaints(finished.stderr)
    assert told.count("\n") == 1, told
    (path,) = journals()
    assert told.startswith(
        "afnio-tellurio: run 'left' could not be ended as COMPLETED: run 'left': "
        f"100 metrics wait in {path} (logMetricBatch"
    )
    assert told.endswith("; deliver with: afnio-tellurio sync\n")
    proxy.fault = lambda *_: None
    (done,) = te.sync()
    assert (done.delivered, done.status) == (100, "COMPLETED")


def test_a_backend_that_accepts_and_never_answers_does_not_hold_exit_up(
    proxy, run_python, journals
):
    proxy.fault = lambda _method, path: time.sleep(20) if "/metrics/" in path else None
    began = time.monotonic()
    finished = run_python(PROGRAM, may_depart=("answer",), TELLURIO_EXIT_TIMEOUT="1")
    assert time.monotonic() - began < 6
    assert "100 metrics wait" in finished.stderr
    assert len(journals()) == 1


def test_the_applications_exit_status_and_traceback_are_its_own(proxy, run_python):
    proxy.fault = lambda _method, path: "html" if "/metrics/" in path else None
    finished = run_python(
        PROGRAM + "raise ValueError('mine')", may_depart=("answer",), TELLURIO_EXIT_TIMEOUT="0.2"
    )
    assert finished.returncode == 1
    assert "ValueError: mine" in finished.stderr
    assert finished.stderr.count("Traceback") == 1
    proxy.fault = lambda *_: None
    assert te.sync()[0].status == "CRASHED"


def on_a_terminal(program, *, press=b"", after=0.0, **variables):
    """Runs a program whose standard error is a terminal; gives its status and what it showed."""
    import pty

    controlling, terminal = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", program], stderr=terminal, stdin=terminal,
        stdout=subprocess.DEVNULL, env=child_environment("answer", **variables),
        start_new_session=True,
    )  # fmt: skip
    os.close(terminal)
    began, shown = time.monotonic(), b""
    while True:
        if press and time.monotonic() - began > after and b"Ctrl-C" in shown:
            child.send_signal(signal.SIGINT)
            press = b""
        try:
            part = os.read(controlling, 1000)
        except OSError:
            break
        if not part:
            break
        shown += part
    os.close(controlling)
    return child.wait(30), shown.decode(), time.monotonic() - began


needs_terminal = pytest.mark.skipif(sys.platform == "win32", reason="a terminal of POSIX")


@needs_terminal
def test_waiting_longer_than_a_second_is_shown_on_a_terminal(proxy):
    proxy.fault = lambda _method, path: "html" if "/metrics/" in path else None
    status, shown, _took = on_a_terminal(PROGRAM, TELLURIO_EXIT_TIMEOUT="2.5")
    assert status == 0
    assert (
        "\r\x1b[K100 metrics left to deliver; Ctrl-C leaves them for afnio-tellurio sync" in shown
    )
    assert "100 metrics wait in" in shown


@needs_terminal
def test_what_is_quick_shows_nothing(proxy):
    status, shown, _took = on_a_terminal(PROGRAM)
    assert (status, complaints(shown)) == (0, "")


@needs_terminal
def test_ctrl_c_gives_up_waiting_and_keeps_the_journal(proxy, journals):
    proxy.fault = lambda _method, path: "html" if "/metrics/" in path else None
    status, shown, took = on_a_terminal(PROGRAM, press=b"c", TELLURIO_EXIT_TIMEOUT="60")
    assert took < 20
    assert status == 0
    assert "100 metrics wait in" in shown
    assert "Traceback" not in shown
    assert len(journals()) == 1
    proxy.fault = lambda *_: None
    assert te.sync()[0].status == "COMPLETED"


def test_sigterm_delivers_what_was_logged_before_the_process_ends(proxy, start_python):
    program = PROGRAM + "print('ready', flush=True)\nimport time\ntime.sleep(60)\n"
    child = start_python("-c", program)
    child.stdout.readline()
    child.send_signal(signal.SIGTERM)
    assert child.wait(20) == -signal.SIGTERM
    run = te.get_run("acme", "Digits", "left")
    assert run.status is te.RunStatus.CRASHED
    assert run.metrics("count").values == list(range(100))


def test_sigterm_in_the_midst_of_logging_deadlocks_nothing(proxy, start_python, journals):
    program = (
        "import sys, afnio_tellurio as te\n"
        "run = te.init('acme', 'Digits', sys.argv[1])\n"
        "print('ready', flush=True)\n"
        "number = 0\n"
        "while True:\n"
        "    run.log('count', number)\n"
        "    number += 1\n"
    )
    for attempt in range(8):
        child = start_python("-c", program, f"run-{attempt}")
        child.stdout.readline()
        time.sleep(0.01 * attempt)
        began = time.monotonic()
        child.send_signal(signal.SIGTERM)
        assert child.wait(25) == -signal.SIGTERM
        assert time.monotonic() - began < 20
        run = te.get_run("acme", "Digits", f"run-{attempt}")
        assert run.status is te.RunStatus.CRASHED
        values = run.metrics("count").values
        assert values == list(range(len(values)))
    assert not journals()


@pytest.mark.parametrize("word", ["soon", "-1", "nan", "inf"])
def test_a_timeout_that_is_none_is_refused_before_anything_is_recorded(proxy, run_python, word):
    finished = run_python(PROGRAM, TELLURIO_EXIT_TIMEOUT=word)
    assert finished.returncode == 1
    assert f"TELLURIO_EXIT_TIMEOUT is {word!r}; set it to a number of seconds" in finished.stderr


def test_the_awaitable_twins_do_not_block_the_event_loop(proxy):
    async def scenario():
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        ticking = asyncio.create_task(tick())
        async with te.init("acme", "Digits", "async") as run:
            proxy.fault = lambda *_: time.sleep(0.3)
            run.log("count", 1)
            before = ticks
            assert (await run.aflush()).accepted == 1
            assert ticks - before > 10
            with pytest.raises(te.DeliveryError):
                proxy.fault = lambda *_: "html"
                run.log("count", 2)
                await run.aflush(timeout=0.3)
            proxy.fault = lambda *_: time.sleep(0.2)
            before = ticks
            assert (await run.afinish()).accepted == 2
            assert ticks - before > 10
        ticking.cancel()

    asyncio.run(scenario())
    assert te.get_run("acme", "Digits", "async").metrics("count").values == [1, 2]


def test_an_awaited_flush_may_be_cancelled(proxy):
    async def scenario():
        run = te.init("acme", "Digits", "async")
        proxy.fault = lambda *_: "html"
        run.log("count", 1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(run.aflush(), timeout=0.2)
        proxy.fault = lambda *_: None
        await run.aflush()
        await run.afinish()

    asyncio.run(scenario())


def test_an_event_loop_that_is_gone_complains_of_nothing(proxy, run_python):
    finished = run_python(
        """
        import asyncio
        import afnio_tellurio as te
        async def main():
            run = te.init("acme", "Digits", "async")
            for number in range(100):
                run.log("count", number)
            asyncio.ensure_future(run.aflush())
            await asyncio.sleep(0)
        asyncio.run(main())
        """
    )
    assert (finished.returncode, complaints(finished.stderr)) == (0, "")
    run = te.get_run("acme", "Digits", "async")
    assert (run.status, run.metrics("count").values) == (te.RunStatus.COMPLETED, list(range(100)))


def test_disabled_means_no_file_no_thread_and_no_request(run_python, tmp_path):
    finished = run_python(
        """
        import sys, threading
        import afnio_tellurio as te
        with te.init("acme", "Digits", "off") as run:
            te.log("count", 1)
            te.log_metrics({"a": 1})
            assert run.flush() == te.flush() == te.DeliveryReceipt(0, 0, 0)
            assert te.attach("acme", "Digits", "x").log("count", 1) is None
            assert run.metrics("count").values == []
        assert te.finish.__module__
        assert threading.enumerate() == [threading.main_thread()]
        """,
        TELLURIO_MODE="disabled",
        TELLURIO_HOME=str(tmp_path / "nothing"),
    )
    assert finished.returncode == 0, finished.stderr
    assert not (tmp_path / "nothing").exists()
