"""The end of a process, and timeouts in an event loop, while the backend does not respond."""

import asyncio
import os
import signal
import subprocess
import sys
import threading

import pytest
from children import GUARD, child_environment, complaints

import afnio_tellurio as te
from afnio_tellurio import deadlines
from afnio_tellurio.clock import monotonic

PROGRAM = """
import sys
import afnio_tellurio as te
run = te.init("acme", "Digits", "left")
for number in range(100):
    run.log("count", number)
"""
#: Continues after a delivery has failed.
FAILED_ONCE = """
import time
while run._recording.outbox.transfer.last_error is None:
    time.sleep(0.01)
"""


def test_exit_takes_no_longer_than_its_timeout_and_leaves_the_rest_for_sync(
    proxy, run_python, journals
):
    proxy.fault = lambda _method, path: "html" if "/metrics/" in path else None
    finished = run_python(
        PROGRAM + FAILED_ONCE, may_depart=("answer",), TELLURIO_EXIT_TIMEOUT="0.05"
    )
    assert finished.returncode == 0
    told = complaints(finished.stderr)
    assert told.count("\n") == 1, told
    (path,) = journals()
    assert told.startswith(
        "afnio-tellurio: run 'left' could not be ended as COMPLETED: run 'left': "
        f"100 metrics wait in {path} (Cannot log metrics"
    )
    assert told.endswith("; deliver with: afnio-tellurio sync\n")
    proxy.fault = lambda *_: None
    (done,) = te.sync()
    assert (done.delivered, done.status) == (100, "COMPLETED")


def test_a_backend_that_accepts_and_never_answers_does_not_hold_exit_up(
    proxy, run_python, journals
):
    proxy.fault = lambda _method, path: "hang" if "/metrics/" in path else None
    finished = run_python(PROGRAM, may_depart=("answer",), TELLURIO_EXIT_TIMEOUT="0.05")
    assert not proxy.released.is_set()
    assert "100 metrics wait" in finished.stderr
    assert len(journals()) == 1


def test_the_applications_exit_status_and_traceback_are_its_own(proxy, run_python):
    proxy.fault = lambda _method, path: "html" if "/metrics/" in path else None
    finished = run_python(
        PROGRAM + "raise ValueError('mine')", may_depart=("answer",), TELLURIO_EXIT_TIMEOUT="0.05"
    )
    assert finished.returncode == 1
    assert "ValueError: mine" in finished.stderr
    assert finished.stderr.count("Traceback") == 1
    proxy.fault = lambda *_: None
    assert te.sync()[0].status == "CRASHED"


def on_a_terminal(program, *, shows=None, then=None, **variables):
    """Runs a program whose stderr is a terminal; returns its exit status and its output.

    When the output contains `shows`, calls `then` with the child.
    """
    import pty

    controlling, terminal = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", program], stderr=terminal, stdin=terminal,
        stdout=subprocess.DEVNULL, env=child_environment("answer", **variables),
        start_new_session=True,
    )  # fmt: skip
    os.close(terminal)
    shown = b""
    while True:
        if shows is not None and shows in shown:
            then(child)
            shows = None
        try:
            part = os.read(controlling, 1000)
        except OSError:
            break
        if not part:
            break
        shown += part
    os.close(controlling)
    return child.wait(GUARD), shown.decode()


needs_terminal = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX terminal")


@needs_terminal
def test_waiting_longer_than_a_second_is_shown_on_a_terminal(proxy):
    proxy.fault = lambda _method, path: "html" if "/metrics/" in path else None

    def work_again(_child):
        proxy.fault = lambda *_: None

    status, shown = on_a_terminal(
        PROGRAM, shows=b"left to deliver", then=work_again, TELLURIO_EXIT_TIMEOUT=str(GUARD)
    )
    assert status == 0
    assert (
        "\r\x1b[K100 metrics left to deliver; Ctrl-C leaves them for afnio-tellurio sync" in shown
    )
    assert "completed" in shown.rpartition("\r\x1b[K")[2]


@needs_terminal
def test_what_is_quick_shows_nothing(proxy):
    status, shown = on_a_terminal(PROGRAM)
    assert (status, complaints(shown)) == (0, "")


@needs_terminal
def test_ctrl_c_gives_up_waiting_and_keeps_the_journal(proxy, journals):
    proxy.fault = lambda _method, path: "html" if "/metrics/" in path else None
    status, shown = on_a_terminal(
        PROGRAM,
        shows=b"Ctrl-C",
        then=lambda child: child.send_signal(signal.SIGINT),
        TELLURIO_EXIT_TIMEOUT=str(2 * GUARD),
    )
    assert status == 0
    assert "100 metrics wait in" in shown
    assert "Traceback" not in shown
    assert len(journals()) == 1
    proxy.fault = lambda *_: None
    assert te.sync()[0].status == "COMPLETED"


def test_sigterm_delivers_what_was_logged_before_the_process_ends(proxy, start_python):
    program = PROGRAM + "print('ready', flush=True)\nwhile True: pass\n"
    child = start_python("-c", program)
    child.stdout.readline()
    child.send_signal(signal.SIGTERM)
    assert child.wait(GUARD) == -signal.SIGTERM
    run = te.get_run("acme", "Digits", "left")
    assert run.status is te.RunStatus.CRASHED
    assert run.metrics("count").values == list(range(100))


def test_sigterm_in_the_midst_of_logging_deadlocks_nothing(
    proxy, start_python, journals, pytestconfig
):
    program = (
        "import sys, afnio_tellurio as te\n"
        "run = te.init('acme', 'Digits', sys.argv[1])\n"
        "number = 0\n"
        "while True:\n"
        "    run.log('count', number)\n"
        "    number += 1\n"
        "    if number == int(sys.argv[2]):\n"
        "        print('there', flush=True)\n"
    )
    for attempt in range(8 if pytestconfig.getoption("--long") else 4):
        child = start_python("-c", program, f"run-{attempt}", str(1 + 150 * attempt))
        assert child.stdout.readline() == "there\n", child.stderr.read()
        child.send_signal(signal.SIGTERM)
        assert child.wait(GUARD) == -signal.SIGTERM
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
        async def released_by_the_loop(awaitable):
            # The response arrives only if the loop keeps running.
            hangs = threading.Event()
            proxy.released.clear()
            proxy.fault = lambda *_: hangs.set() or "hang"
            task = asyncio.ensure_future(awaitable)
            assert await asyncio.to_thread(hangs.wait, GUARD)
            proxy.released.set()
            return await task

        async with te.init("acme", "Digits", "async") as run:
            run.log("count", 1)
            assert (await released_by_the_loop(run.aflush())).accepted == 1
            with pytest.raises(te.DeliveryError):
                proxy.fault = lambda *_: "html"
                run.log("count", 2)
                await run.aflush(timeout=0.05)
            assert (await released_by_the_loop(run.afinish())).accepted == 2

    asyncio.run(scenario())
    assert te.get_run("acme", "Digits", "async").metrics("count").values == [1, 2]


def test_an_awaited_flush_may_be_cancelled(proxy):
    async def scenario():
        run = te.init("acme", "Digits", "async")
        proxy.fault = lambda *_: "html"
        run.log("count", 1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(run.aflush(), timeout=0.05)
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


@pytest.mark.parametrize("can_start_threads", [True, False])
def test_a_name_that_takes_long_to_resolve_does_not_hold_up_a_deadline(
    monkeypatch, can_start_threads
):
    go_on, done = threading.Event(), threading.Event()

    def work():
        if can_start_threads:
            # As the resolver of the system, which obeys no deadline.
            assert go_on.wait(GUARD)
        done.set()

    def refuse(_thread):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    if not can_start_threads:
        monkeypatch.setattr(threading.Thread, "start", refuse)
    with deadlines.within(monotonic()):
        deadlines.run_until_deadline(work)
    assert done.is_set() is not can_start_threads
    go_on.set()
    assert done.wait(GUARD)
    monkeypatch.undo()
    deadlines.run_until_deadline(done.clear)
    assert not done.is_set(), "without a deadline, it waits until the work is done"
