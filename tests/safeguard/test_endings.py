"""The status of a run when its process ends, each in a real process."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from children import GUARD

import afnio_tellurio as te

#: Exceptions of click (typer.Exit is click's) and optuna, which are not installed here.
EXITS = """
class Exit(RuntimeError):
    __module__ = "click.exceptions"
    def __init__(self, code):
        self.exit_code = code

class TrialPruned(Exception):
    __module__ = "optuna.exceptions"
"""
START = """
import os, signal, sys, time, types
sys.modules["leaving"] = leaving = types.ModuleType("leaving")
leaving.exit = sys.exit  # as `from sys import exit` does
import afnio_tellurio as te
run = te.init("acme", "Digits", "test_run")
run.log("loss", 0.5)
print(run.uuid, flush=True)
"""


@pytest.fixture(autouse=True)
def local(monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")


def recorded():
    (run,) = te.runs("acme", "Digits")
    assert run.metrics("loss").values == [0.5]
    return run.status


ENDINGS = {
    "a normal end": ("", 0, "COMPLETED"),
    "an unhandled exception": ("1 / 0", 1, "CRASHED"),
    "sys.exit()": ("sys.exit()", 0, "COMPLETED"),
    "sys.exit(0)": ("sys.exit(0)", 0, "COMPLETED"),
    "sys.exit(False)": ("sys.exit(False)", 0, "COMPLETED"),
    "sys.exit(3)": ("sys.exit(3)", 3, "CRASHED"),
    "sys.exit with a message": ("sys.exit('no data')", 1, "CRASHED"),
    "the builtin exit(0)": ("exit(0)", 0, "COMPLETED"),
    "the builtin quit(2)": ("quit(2)", 2, "CRASHED"),
    "exit(0) imported from sys": ("leaving.exit(0)", 0, "COMPLETED"),
    "exit(4) imported from sys": ("leaving.exit(4)", 4, "CRASHED"),
    "SystemExit raised by hand": ("raise SystemExit(3)", 3, "CRASHED"),
    "KeyboardInterrupt": ("raise KeyboardInterrupt", -signal.SIGINT, "CRASHED"),
    "an exception deep in a call": ("def f(): return f() if 0 else 1 / 0\nf()", 1, "CRASHED"),
    "an exception after one that was handled": (
        "try: sys.exit(0)\nexcept SystemExit: pass\n1 / 0", 1, "CRASHED"
    ),
    "a sys.exit(3) that was caught": ("try: sys.exit(3)\nexcept SystemExit: pass", 0, "COMPLETED"),
    "a handled exception": ("try: 1 / 0\nexcept ZeroDivisionError: pass", 0, "COMPLETED"),
    "an exception in another thread": (
        "import threading\nt = threading.Thread(target=lambda: 1 / 0)\nt.start()\nt.join()",
        0, "COMPLETED",
    ),
    "a replaced excepthook": ("sys.excepthook = lambda *_: None\n1 / 0", 1, "CRASHED"),
    "os._exit, of which its journal tells": ("os._exit(0)", 0, "CRASHED"),
    "SIGKILL, of which its journal tells": ("os.kill(os.getpid(), 9)", -9, "CRASHED"),
    "SIGTERM": ("os.kill(os.getpid(), signal.SIGTERM)\nwhile True: pass", -signal.SIGTERM, "CRASHED"),
    "SIGHUP": ("os.kill(os.getpid(), signal.SIGHUP)\nwhile True: pass", -signal.SIGHUP, "CRASHED"),
    "a with block in a generator that is closed": (
        "def steps():\n with run:\n  yield 1\n  yield 2\nfor step in steps(): break\n1 / 0", 1, "COMPLETED"
    ),
    "a with block left by typer.Exit(0)": (f"{EXITS}\nwith run: raise Exit(0)", 1, "COMPLETED"),
    "a with block left by typer.Exit(1)": (f"{EXITS}\nwith run: raise Exit(1)", 1, "CRASHED"),
    "a with block left by a pruned trial": (f"{EXITS}\nwith run: raise TrialPruned", 1, "COMPLETED"),
    "an explicit finish": ("run.finish()\n1 / 0", 1, "COMPLETED"),
}  # fmt: skip


#: The kind of each reason, and the words that tell of it: its type and message, or the signal.
REASONS = {
    "an unhandled exception": ("exception", "ZeroDivisionError: division by zero"),
    "sys.exit(3)": ("exit", "The program exited with status 3."),
    "sys.exit with a message": ("exit", "no data"),
    "the builtin quit(2)": ("exit", "The program exited with status 2."),
    "exit(4) imported from sys": ("exit", "The program exited with status 4."),
    "SystemExit raised by hand": ("exit", "The program ended with an error."),
    "KeyboardInterrupt": ("exception", "KeyboardInterrupt"),
    "an exception deep in a call": ("exception", "ZeroDivisionError: division by zero"),
    "an exception after one that was handled": ("exception", "ZeroDivisionError: division by zero"),
    "a replaced excepthook": ("exception", "ZeroDivisionError: division by zero"),
    "os._exit, of which its journal tells": ("vanished", "Its process disappeared"),
    "SIGKILL, of which its journal tells": ("vanished", "Its process disappeared"),
    "SIGTERM": ("signal", "signal SIGTERM"),
    "SIGHUP": ("signal", "signal SIGHUP"),
    "a with block left by typer.Exit(1)": ("exception", "click.exceptions.Exit: 1"),
}


def expect_reason(ending):
    (run,) = te.runs("acme", "Digits")
    reason = run.ended_because
    kind, words = REASONS.get(ending, (None, None))
    assert (reason and reason.kind) == kind
    if kind is not None:
        assert str(reason).startswith(words)
    if kind == "exception":
        assert 'File "<string>", line ' in reason.traceback
    assert run.date_created <= run.date_ended <= run.date_updated


#: These also in a process that no other one has forked.
STARTED_ALONE = {"a normal end", "an unhandled exception", "sys.exit(3)", "SIGTERM"}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_run_left_open_gets_the_status_that_the_end_deserves(ending, run_python, run_forked):
    end, exit_status, status = ENDINGS[ending]
    run = run_python if ending in STARTED_ALONE else run_forked
    finished = run(f"{START}\n{end}\n")
    assert finished.returncode == exit_status, finished.stderr
    assert recorded() == status
    expect_reason(ending)


def test_an_exit_that_the_program_imported_from_sys_is_understood(run_python):
    program = START.replace("import os", "from sys import exit\nimport os", 1)
    finished = run_python(f"{program}\nexit(0)")
    assert (finished.returncode, recorded()) == (0, "COMPLETED"), finished.stderr


def test_a_sub_interpreter_tracks_runs_without_handlers_of_signals(run_python, tmp_path):
    said = tmp_path / "said"
    program = f"""
import os, sys, textwrap
# With the lock of the main interpreter: msgspec cannot be loaded into one that has its own.
if sys.version_info >= (3, 13):
    import _interpreters as interpreters
    interpreter = interpreters.create("legacy")
else:
    import _xxsubinterpreters as interpreters
    interpreter = interpreters.create(**({{"isolated": False}} if sys.version_info >= (3, 12) else {{}}))
code = '''
try:
    import afnio_tellurio as te
    with te.init("acme", "Digits", "test_run") as run:
        run.log("loss", 0.5)
    said = "ok"
except BaseException as error:
    said = repr(error)
open({str(said)!r}, "w").write(said)
'''
interpreters.run_string(interpreter, code)
os._exit(0)
"""
    finished = run_python(program)
    assert said.read_text() == "ok", finished.stderr
    assert recorded() == "COMPLETED"


def test_the_same_on_the_newest_python_there_is(start_python, tmp_path):
    """The SDK detects how a process ended from the interpreter's state, which may change."""
    executable = _newest_python()
    if executable is None:
        pytest.skip("no other Python is installed")
    environment = tmp_path / "environment"
    subprocess.run([executable, "-m", "venv", environment], check=True)
    python = str(environment / "bin" / "python")
    root = Path(te.__file__).parents[2]
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(root)]
    subprocess.run([*install, "jsonschema-rs"], check=True)
    for name, (end, exit_status, status) in ENDINGS.items():
        home = str(tmp_path / name.replace("/", "-"))
        child = start_python("-c", f"{START}\n{end}\n", executable=python, TELLURIO_HOME=home)
        _out, err = child.communicate(timeout=GUARD)
        assert child.returncode == exit_status, (name, err)
        with te.TellurioClient.local(Path(home) / "tellurio.db") as client:
            (run,) = te.runs("acme", "Digits", client)
            assert run.status == status, name


def _newest_python():
    for minor in range(19, sys.version_info.minor, -1):
        try:
            found = subprocess.run(
                [f"python3.{minor}", "-c", "import sys; print(sys.executable)"],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
        except (OSError, subprocess.CalledProcessError):
            continue
        return found.stdout.strip()
    return None


def test_a_script_run_as_a_module_or_a_file_ends_the_same(start_python, tmp_path):
    script = tmp_path / "program.py"
    script.write_text(f"{START}\nsys.exit(3)\n")
    for arguments in ([str(script)], ["-m", "program"]):
        child = subprocess.Popen(
            [sys.executable, *arguments], cwd=tmp_path, env=_environment(), stdout=subprocess.PIPE
        )
        assert child.wait(timeout=GUARD) == 3
        child.stdout.close()
    assert [run.status for run in te.runs("acme", "Digits")] == ["CRASHED", "CRASHED"]


def _environment():
    from children import child_environment

    return child_environment()


def test_a_second_init_in_one_process_leaves_failed_and_completed(run_forked):
    finished = run_forked(f"{START}\nte.init('acme', 'Digits', 'second')\n")
    assert finished.returncode == 0, finished.stderr
    statuses = {run.name: run.status for run in te.runs("acme", "Digits")}
    assert statuses == {"test_run": "FAILED", "second": "COMPLETED"}


def test_ctrl_c_in_a_running_program_ends_the_run_as_crashed(start_python):
    child = start_python("-c", f"{START}\nwhile True: pass\n")
    child.stdout.readline()
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=GUARD)
    assert child.returncode == -signal.SIGINT
    assert recorded() == "CRASHED"


def test_sigterm_in_the_midst_of_logging_ends_the_run_and_keeps_every_metric(
    start_python, pytestconfig
):
    for attempt in range(5 if pytestconfig.getoption("--long") else 2):
        child = start_python(
            "-c",
            "import afnio_tellurio as te\n"
            f"run = te.init('acme', 'Digits', 'busy_{attempt}')\n"
            "for step in range(100000):\n"
            "    run.log('count', step, step=step)\n"
            "    print(step, flush=True)\n",
        )
        for _ in range(10 + 3 * attempt):
            child.stdout.readline()
        child.send_signal(signal.SIGTERM)
        rest, _ = child.communicate(timeout=GUARD)
        assert child.returncode == -signal.SIGTERM
        run = te.get_run("acme", "Digits", f"busy_{attempt}")
        assert run.status is te.RunStatus.CRASHED
        last = int(rest.split()[-1]) if rest.split() else 9 + 3 * attempt
        assert run.metrics("count").values[: last + 1] == list(range(last + 1))


def test_a_signal_handler_of_the_applications_own_is_called_and_decides(run_forked):
    finished = run_forked(
        "import signal, sys\n"
        "def stop(number, frame):\n"
        "    print('stopping', flush=True)\n"
        "    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        f"{START}\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
        "while True: pass\n"
    )
    assert finished.returncode == 0, finished.stderr
    assert "stopping" in finished.stdout
    assert recorded() == "CRASHED"


def test_a_handler_that_lets_the_program_go_on_to_its_end_leaves_it_completed(run_forked):
    finished = run_forked(
        "import signal\n"
        "signal.signal(signal.SIGTERM, lambda *_: None)\n"
        f"{START}\nos.kill(os.getpid(), signal.SIGTERM)\n"
    )
    assert finished.returncode == 0, finished.stderr
    assert recorded() == "COMPLETED"


def test_an_ignored_signal_stays_ignored(run_forked):
    finished = run_forked(
        "import signal\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        f"{START}\nos.kill(os.getpid(), signal.SIGHUP)\n"
    )
    assert finished.returncode == 0, finished.stderr
    assert recorded() == "COMPLETED"


def test_handlers_and_exit_functions_are_put_back_when_the_run_ends(run_forked):
    finished = run_forked(
        "import builtins, signal, sys\n"
        "before = (sys.exit, builtins.exit, signal.getsignal(signal.SIGTERM))\n"
        f"{START}\n"
        "assert sys.exit is not before[0]\n"
        "run.finish()\n"
        "assert (sys.exit, builtins.exit, signal.getsignal(signal.SIGTERM)) == before\n"
    )
    assert finished.returncode == 0, finished.stderr


def test_a_run_started_in_another_thread_is_guarded_too(run_forked):
    finished = run_forked(
        "import threading, sys\n"
        "import afnio_tellurio as te\n"
        "def work():\n"
        "    te.init('acme', 'Digits', 'test_run').log('loss', 0.5)\n"
        "t = threading.Thread(target=work)\n"
        "t.start()\n"
        "t.join()\n"
        "sys.exit(3)\n"
    )
    assert finished.returncode == 3, finished.stderr
    assert recorded() == "CRASHED"


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ("", "COMPLETED"),
        ("1 / 0", "CRASHED"),
        ("os.kill(os.getpid(), 15)\nwhile True: pass", "CRASHED"),
    ],
)
def test_the_runs_of_all_threads_and_tasks_end_with_the_process(run_forked, ending, status):
    run_forked(
        f"""
import asyncio, os, threading
import afnio_tellurio as te

def start(name):
    te.init("acme", "Digits", name).log("loss", 1)

async def main():
    await asyncio.gather(*(asyncio.to_thread(start, f"task {{number}}") for number in range(2)))

start("main")
asyncio.run(main())
thread = threading.Thread(target=start, args=["thread"])
thread.start()
thread.join()
{ending}
"""
    )
    found = {
        run.name: (run.status, run.metrics("loss").values) for run in te.runs("acme", "Digits")
    }
    assert found == dict.fromkeys(["main", "task 0", "task 1", "thread"], (status, [1]))


def test_a_forked_childs_exit_does_not_end_its_parents_run(run_forked):
    finished = run_forked(
        f"{START}\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    sys.exit(5)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5\n"
        "assert te.get_run('acme', 'Digits', 'test_run').status == 'RUNNING'\n"
    )
    assert finished.returncode == 0, finished.stderr
    assert recorded() == "COMPLETED"


def test_an_end_that_cannot_be_recorded_is_said_once_and_hurts_nobody(run_forked, start_server):
    url = start_server(api_key="k")
    finished = run_forked(
        f"{START}\n"
        "from afnio_tellurio.default_client import default_client\n"
        "default_client().close()\n"
        "1 / 0\n",
        TELLURIO_MODE="online",
        TELLURIO_BACKEND_HTTP_BASE_URL=url,
        TELLURIO_API_KEY="k",
    )
    assert finished.returncode == 1
    assert "ZeroDivisionError" in finished.stderr
    assert finished.stderr.count("run 'test_run' could not be ended as CRASHED") == 1
    assert "Traceback" not in finished.stderr.split("ZeroDivisionError")[1]


def test_sys_exit_status_reaches_the_shell_as_without_us(run_forked):
    for word in ("None", "0", "7", "-1", "'text'", "256 + 9"):
        program = f"import sys\nsys.exit({word})\n"
        plain = run_forked(program)
        tracked = run_forked(START + program)
        assert tracked.returncode == plain.returncode, word


INTERRUPT = """
import os, signal, sys
import afnio_tellurio as te
from afnio_tellurio.tracking.safeguard import safeguard

class Interruption(Exception):
    pass

def gate():
    with safeguard:
        if is_signalled:
            signal.raise_signal(signal.SIGTERM)

def interrupted(opcode):
    # Raises, as a signal handler can, before this opcode of the gate; returns True if it has that many.
    left = opcode
    def trace(frame, event, argument):
        nonlocal left
        if frame.f_code.co_filename != sys.modules[type(safeguard).__module__].__file__:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            left -= 1
            if left < 0:
                sys.settrace(None)
                raise Interruption
        return trace
    # Python 3.12 traces opcodes only if a frame asked for it before.
    sys._getframe().f_trace_opcodes = True
    sys.settrace(trace)
    try:
        gate()
    except Interruption:
        return True
    finally:
        sys.settrace(None)
    return False
"""


@pytest.mark.parametrize("is_signalled", [False, True])
def test_a_signal_acts_whatever_interrupted_the_guard_before(run_forked, is_signalled):
    finished = run_forked(
        f"""
        is_signalled = {is_signalled}
        {textwrap.indent(INTERRUPT, 8 * " ").strip()}
        seen = []
        signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
        run = te.init("acme", "Digits", "test_run")
        opcode = 0
        while interrupted(opcode):
            opcode += 1
            seen.clear()
            signal.raise_signal(signal.SIGTERM)
            assert seen == [signal.SIGTERM], opcode
        assert opcode > 20, opcode
        run.log("loss", 0.5)
        print("told")
        """
    )
    assert (finished.returncode, finished.stdout) == (0, "told\n"), finished.stderr
    assert recorded() == "COMPLETED"


def test_a_signal_ends_the_process_after_an_interruption_of_the_guard(run_forked):
    finished = run_forked(
        f"""
        is_signalled = False
        {textwrap.indent(INTERRUPT, 8 * " ").strip()}
        run = te.init("acme", "Digits", "test_run")
        run.log("loss", 0.5)
        opcode = 0
        while interrupted(opcode):
            opcode += 1
        os.kill(os.getpid(), signal.SIGTERM)
        """
    )
    assert finished.returncode == -signal.SIGTERM
    assert recorded() == "CRASHED"


def test_a_signal_inside_the_guard_waits_for_the_end_of_it(run_forked):
    finished = run_forked(
        """
        import os, signal
        import afnio_tellurio as te
        from afnio_tellurio.tracking.safeguard import safeguard
        run = te.init("acme", "Digits", "test_run")
        run.log("loss", 0.5)
        def inner():
            with safeguard:
                os.kill(os.getpid(), signal.SIGTERM)
            print("inner", flush=True)
        with safeguard:
            inner()
            print("outer", flush=True)
        print("after")
        """
    )
    assert (finished.returncode, finished.stdout) == (-signal.SIGTERM, "inner\nouter\n")
    assert recorded() == "CRASHED"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_a_child_forked_while_the_parent_is_guarded_can_be_ended(run_forked):
    finished = run_forked(
        """
        import os, signal, threading
        import afnio_tellurio as te
        from afnio_tellurio.tracking.safeguard import safeguard
        run = te.init("acme", "Digits", "test_run")
        run.log("loss", 0.5)
        def fork():
            child = os.fork()
            if child == 0:
                os.kill(os.getpid(), signal.SIGTERM)
                os._exit(3)
            print(os.waitpid(child, 0)[1], flush=True)
        with safeguard:
            thread = threading.Thread(target=fork)
            thread.start()
            thread.join()
        """
    )
    assert (finished.returncode, finished.stdout) == (0, f"{int(signal.SIGTERM)}\n"), (
        finished.stderr
    )
    assert recorded() == "COMPLETED"


def test_a_second_sigterm_ends_an_init_whose_backend_hangs(start_python, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        child = start_python(
            "-c",
            "import sys, afnio_tellurio as te\n"
            "te.init('acme', 'Digits', client=te.TellurioClient.local(sys.argv[1]))\n"
            "te.init('acme', 'Digits')",
            str(tmp_path / "other.db"),
            TELLURIO_MODE="online",
            TELLURIO_BACKEND_HTTP_BASE_URL=f"http://127.0.0.1:{listener.getsockname()[1]}",
            TELLURIO_API_KEY="key",
        )
        connection, _ = listener.accept()
        with connection:
            # The request is there, so the child waits for the answer.
            assert connection.recv(65536)
            while child.poll() is None:
                child.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(0.05)
    assert child.returncode == -signal.SIGTERM
