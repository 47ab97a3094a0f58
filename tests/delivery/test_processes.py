"""Threads, forks, worker processes and ranks that log to one run."""

import os
import sys
import textwrap
import threading

import pytest
from children import GUARD, complaints

import afnio_tellurio as te

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
pytestmark = pytest.mark.usefixtures("backend")


def finished(run_python, program, **keywords):
    done = run_python(program, **keywords)
    assert done.returncode == 0, done.stderr
    assert complaints(done.stderr) == ""
    return done.stdout


def shared():
    return te.get_run("acme", "Digits", "shared")


@pytest.mark.slow
def test_eight_threads_lose_and_double_nothing(doubled_or_missing):
    run = te.init("acme", "Digits", "shared")

    def work(worker):
        for number in range(500):
            run.log("count", f"{worker}/{number}")
            if number % 125 == 0:
                run.flush()

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert run.finish().accepted == 4_000
    values = shared().metrics("count").values
    assert not doubled_or_missing(values, (f"{w}/{n}" for w in range(8) for n in range(500)))


FORK = """
import os, sys
import afnio_tellurio as te
run = te.init("acme", "Digits", "shared")
run.log("count", "parent before")
children = []
for child in range(4):
    pid = os.fork()
    if pid == 0:
        for number in range(50):
            te.log("count", f"child {child}/{number}")
        HOW
    children.append(pid)
for number in range(50):
    run.log("count", f"parent/{number}")
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
assert run.status is te.RunStatus.RUNNING
run.log("count", "parent after")
assert te.get_run("acme", "Digits", "shared").status is te.RunStatus.RUNNING
"""


@needs_fork
@pytest.mark.parametrize("how", ["sys.exit(0)", "run.flush(); os._exit(0)", "os._exit(0)"])
def test_forked_children_log_to_their_parents_run_and_do_not_end_it(
    run_python, how, doubled_or_missing, journals
):
    finished(run_python, FORK.replace("HOW", how))
    assert shared().status is te.RunStatus.COMPLETED
    wanted = [
        "parent before", "parent after",
        *(f"parent/{number}" for number in range(50)),
        *(f"child {child}/{number}" for child in range(4) for number in range(50)),
    ]  # fmt: skip
    assert not doubled_or_missing(shared().metrics("count").values, wanted)
    assert not journals()


@needs_fork
def test_a_child_that_finishes_the_run_finishes_it(run_python):
    program = FORK.replace("range(4)", "range(1)").replace("HOW", "run.finish(); os._exit(0)")
    program = program.replace(
        'assert te.get_run("acme", "Digits", "shared").status is te.RunStatus.RUNNING', ""
    )
    finished(run_python, program)
    assert shared().status is te.RunStatus.COMPLETED


@needs_fork
def test_forks_while_every_lock_is_busy_deadlock_nobody(run_python, doubled_or_missing):
    out = finished(
        run_python,
        """
        import os, sys, threading
        import afnio_tellurio as te
        run = te.init("acme", "Digits", "shared")
        go_on = True
        counts = [0] * 3
        def work(worker):
            while go_on:
                run.log("count", f"thread {worker}/{counts[worker]}")
                counts[worker] += 1
                if counts[worker] % 100 == 0:
                    run.flush()
        threads = [threading.Thread(target=work, args=(worker,)) for worker in range(3)]
        for thread in threads: thread.start()
        for child in range(12):
            pid = os.fork()
            if pid == 0:
                for number in range(5):
                    run.log("count", f"child {child}/{number}")
                run.flush()
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
        go_on = False
        for thread in threads: thread.join()
        run.finish()
        print(*counts)
        """,
        timeout=GUARD,
    )
    wanted = [f"child {child}/{number}" for child in range(12) for number in range(5)]
    for worker, count in enumerate(out.split()):
        wanted += [f"thread {worker}/{number}" for number in range(int(count))]
    assert not doubled_or_missing(shared().metrics("count").values, wanted)


@needs_fork
def test_a_fork_waits_until_no_thread_of_the_sdk_imports(start_python, monkeypatch):
    """In a child, a module that another thread had begun to import can never be imported."""
    monkeypatch.setenv("TELLURIO_CAPTURE", "1")
    child = start_python(
        "-c",
        textwrap.dedent("""
        import os, signal, sys, threading, time
        from importlib.machinery import PathFinder
        import afnio_tellurio as te
        importing, forked = threading.Event(), threading.Event()
        main = threading.get_ident()

        def main_waits():
            frame = sys._current_frames()[main]
            return frame.f_code.co_name == "_wait_for_imports"

        class Held:
            def find_spec(self, name, path=None, target=None):
                if name != "afnio_tellurio.capture.git":
                    return None
                spec = PathFinder.find_spec(name, path)
                execute = spec.loader.exec_module

                def execute_later(module):
                    importing.set()
                    while not forked.is_set() and not main_waits():
                        time.sleep(0.001)
                    execute(module)

                spec.loader.exec_module = execute_later
                return spec

        sys.meta_path.insert(0, Held())
        run = te.init("acme", "Digits", "shared")
        assert importing.wait(60)
        os.register_at_fork(after_in_parent=forked.set)
        pid = os.fork()
        if pid == 0:
            signal.alarm(60)
            import afnio_tellurio.capture.git
            os._exit(0)
        print(os.waitpid(pid, 0)[1])
        run.finish()
        """),
    )
    out, err = child.communicate(timeout=GUARD)
    assert (out, child.returncode) == ("0\n", 0), err


def test_threads_of_the_sdk_import_only_while_forks_wait(start_python, monkeypatch):
    monkeypatch.setenv("TELLURIO_CAPTURE", "1")
    child = start_python(
        "-c",
        textwrap.dedent("""
        import sys, threading
        import afnio_tellurio as te
        import afnio_tellurio.forks as forks
        imported = []

        def audit(event, arguments):
            if event == "import" and threading.current_thread().name.startswith("tellurio"):
                imported.append((arguments[0], forks._importing._is_owned()))

        sys.addaudithook(audit)
        run = te.init("acme", "Digits", "shared", system_metrics=True)
        print("some output")
        run.log("count", 1)
        run.log_text("answer", "text")
        run.log_artifact(b"bytes", "data", wait=True)
        run.flush()
        run.finish()
        # Elsewhere, modules of the SDK and of the standard library are imported already.
        print([module for module, is_owned in imported if not is_owned])
        print([module for module, _ in imported if module == "afnio_tellurio.tracking.environment"])
        """),
    )
    out, err = child.communicate(timeout=GUARD)
    assert out.splitlines()[-2:] == ["[]", "['afnio_tellurio.tracking.environment']"], (out, err)


WORKERS = """
import multiprocessing, sys
import afnio_tellurio as te

def work(place):
    run_uuid, worker = place
    run = te.attach("acme", "Digits", run_uuid)
    for number in range(20):
        te.log("count", f"{worker}/{number}")
    if worker == 1:
        raise SystemExit(0)

def start_one(worker):
    with te.init("acme", "Digits", f"own-{worker}") as run:
        run.log("count", worker)

def leave_one_open(worker):
    te.init("acme", "Digits", f"open-{worker}").log("count", worker)
    if worker == 1:
        raise ValueError("the worker fails")

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    run = te.init("acme", "Digits", "shared")
    run.log("count", "parent")
    processes = [context.Process(target=work, args=((run.uuid, w),)) for w in range(2)]
    processes += [context.Process(target=start_one, args=(0,))]
    for process in processes: process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0, process
    opened = [context.Process(target=leave_one_open, args=(w,)) for w in range(2)]
    for process in opened: process.start()
    for process in opened: process.join()
    assert te.get_active_run() is run
    run.finish()
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_of_multiprocessing_deliver_before_they_end(
    method, start_python, tmp_path, doubled_or_missing, journals
):
    if method != "spawn" and sys.platform == "win32":
        pytest.skip("Windows only supports spawn")
    program = tmp_path / "program.py"
    program.write_text(WORKERS)
    child = start_python(str(program), method)
    _out, err = child.communicate(timeout=GUARD)
    assert child.returncode == 0, err
    assert err.count("Traceback") == 1, err
    assert "ValueError: the worker fails" in err
    wanted = ["parent", *(f"{worker}/{number}" for worker in range(2) for number in range(20))]
    assert shared().status is te.RunStatus.COMPLETED
    assert not doubled_or_missing(shared().metrics("count").values, wanted)
    status = {run.name: run.status.value for run in te.runs("acme", "Digits")}
    assert status == {
        "shared": "COMPLETED", "own-0": "COMPLETED",
        "open-0": "COMPLETED", "open-1": "CRASHED",
    }  # fmt: skip
    assert not journals()


def test_a_pool_of_processes_loses_nothing(run_python, doubled_or_missing, tmp_path, start_python):
    program = tmp_path / "program.py"
    program.write_text(
        """
import concurrent.futures, sys
import afnio_tellurio as te

def work(number):
    te.log("count", number)

def start(run_uuid):
    te.attach("acme", "Digits", run_uuid)

if __name__ == "__main__":
    with te.init("acme", "Digits", "shared") as run:
        with concurrent.futures.ProcessPoolExecutor(3, initializer=start, initargs=(run.uuid,)) as pool:
            list(pool.map(work, range(200)))
"""
    )
    child = start_python(str(program))
    _out, err = child.communicate(timeout=GUARD)
    assert child.returncode == 0, err
    assert not doubled_or_missing(shared().metrics("count").values, range(200))


RANK = """
import sys
import afnio_tellurio as te
run = te.attach("acme", "Digits", sys.argv[1])
assert te.get_active_run() is run
for step in range(100):
    te.log(f"rank {sys.argv[2]}/loss", step, step=step)
"""


def test_ranks_of_one_job_log_to_one_run(start_python, journals):
    run = te.init("acme", "Digits", "shared")
    ranks = [
        start_python("-c", RANK, ["shared", run.uuid][rank % 2], str(rank)) for rank in range(2)
    ]
    for rank in ranks:
        _out, err = rank.communicate(timeout=GUARD)
        assert rank.returncode == 0, err
    assert shared().status is te.RunStatus.RUNNING, "the process that started it ends it"
    metrics = run.metrics()
    assert {name: what.values for name, what in metrics.items()} == {
        f"rank {rank}/loss": list(range(100)) for rank in range(2)
    }
    assert len(journals()) == 1
    run.finish()


def test_attaching_ends_the_run_that_was_active_and_refuses_one_that_is_finished():
    first = te.init("acme", "Digits", "first")
    first.finish()
    with pytest.raises(te.RunFinishedError, match="attach: run 'first' is finished"):
        te.attach("acme", "Digits", "first")
    shared_run = te.init("acme", "Digits", "shared")
    assert te.attach("acme", "Digits", "shared") is shared_run, "it is the active one already"
    other = te.init("acme", "Digits", "other")
    assert te.get_run("acme", "Digits", "shared").status is te.RunStatus.FAILED
    with pytest.raises(LookupError):
        te.attach("acme", "Digits", "none")
    assert te.get_active_run() is other


def test_a_subprocess_that_outlives_its_parent_keeps_no_journal_alive(start_python, journals):
    """An executed program does not inherit locks."""
    program = (
        "import subprocess, sys, os, afnio_tellurio as te\n"
        "run = te.init('acme', 'Digits', 'shared')\n"
        "run.log('count', 1)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'],\n"
        "    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
        "print(child.pid, flush=True)\n"
        "os._exit(0)\n"
    )
    child = start_python("-c", program)
    pid = int(child.stdout.readline())
    child.wait()
    try:
        assert [done.problem for done in te.sync()] in ([None], [])
        assert not journals()
        assert shared().metrics("count").values == [1]
    finally:
        os.kill(pid, 9)


def test_threads_of_a_pool_may_log_until_the_very_end(run_python, doubled_or_missing):
    finished(
        run_python,
        """
        import concurrent.futures, time
        import afnio_tellurio as te
        run = te.init("acme", "Digits", "shared")
        pool = concurrent.futures.ThreadPoolExecutor(4)
        def work(worker):
            for number in range(50):
                run.log("count", f"{worker}/{number}")
                while number == 20 and not concurrent.futures.thread._shutdown:
                    time.sleep(0.01)
        for worker in range(4):
            pool.submit(work, worker)
        # The interpreter joins the pool when it ends.
        """,
    )
    wanted = (f"{worker}/{number}" for worker in range(4) for number in range(50))
    assert not doubled_or_missing(shared().metrics("count").values, wanted)
    assert shared().status is te.RunStatus.COMPLETED


def test_exit_hooks_and_finalizers_may_log(run_python):
    finished(
        run_python,
        """
        import atexit
        import afnio_tellurio as te
        from afnio_tellurio import RunFinishedError
        @atexit.register
        def first_registered_last_run():
            try:
                te.log("count", "after the end")
            except ValueError as error:
                assert "no run is active" in str(error)
            else:
                raise AssertionError
        run = te.init("acme", "Digits", "shared")
        atexit.register(te.log, "count", "at exit")
        class Logs:
            def __del__(self):
                try:
                    run.log("count", "finalizer")
                except RunFinishedError:
                    pass
        kept = Logs()
        """,
    )
    assert shared().metrics("count").values == ["at exit"]
    assert shared().status is te.RunStatus.COMPLETED


def test_nothing_is_left_at_exit_to_complain_of(start_python):
    program = (
        "import threading, afnio_tellurio as te\n"
        "run = te.init('acme', 'Digits', 'shared')\n"
        "run.log('count', 1)\n"
        "names = [t.name for t in threading.enumerate() if not t.daemon]\n"
        "assert names == ['MainThread'], names\n"
    )
    child = start_python("-X", "dev", "-W", "error", "-c", program)
    _out, err = child.communicate(timeout=GUARD)
    assert (child.returncode, complaints(err)) == (0, "")
    assert shared().metrics("count").values == [1]


def test_an_interpreter_that_exits_at_once_after_log_has_delivered(run_python):
    finished(
        run_python,
        """
        import afnio_tellurio as te
        te.init("acme", "Digits", "quick").log("count", 1)
        """,
    )
    run = te.get_run("acme", "Digits", "quick")
    assert (run.status, run.metrics("count").values) == (te.RunStatus.COMPLETED, [1])


@pytest.mark.skipif(sys.platform != "linux", reason="it looks at the open files in /proc")
def test_runs_that_were_logged_to_and_dropped_leave_no_file_open_once_they_are_delivered(
    run_python,
):
    said = finished(
        run_python,
        """
        import os, time
        import afnio_tellurio as te
        folder = os.path.join(os.environ["TELLURIO_HOME"], "journals")
        def journals():
            return {name for name in os.listdir(folder) if name.endswith(".ndjson")}
        def open_files():
            for number in os.listdir("/proc/self/fd"):
                # One of them is that of the list itself.
                if os.path.islink(link := f"/proc/self/fd/{number}"):
                    if os.readlink(link).startswith(folder):
                        yield os.readlink(link)
        run = te.init("acme", "Digits", "shared")
        own, writers = journals(), set()
        for number in range(50):
            te.get_run("acme", "Digits", "shared").log("count", number)
            writers |= journals()
        while journals() != own:
            time.sleep(0.01)
        print(len(writers) > 1, {path.rpartition("/")[2] for path in open_files()} == own)
        """,
        timeout=GUARD,
    )
    assert said == "True True\n"
    assert sorted(shared().metrics("count").values) == list(range(50))
