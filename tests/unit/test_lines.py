"""The printed lines of a run: one when it starts, and one when it ends."""

import json
import logging
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from children import GUARD, child_environment

import afnio_tellurio as te
from afnio_tellurio.notices import duration, tell

ONE_RUN = """
    import afnio_tellurio as te
    with te.init("acme", "Digits", "test_run") as run:
        for step in range(1200):
            run.log("loss", step)
"""


def lines(finished):
    return [
        re.sub(r" in [\d.]+ s ", " in N s ", line.removeprefix("afnio-tellurio: "))
        for line in finished.stderr.splitlines()
    ]


def test_a_run_of_this_machine_tells_where_to_look_when_it_starts_and_ends(run_python):
    finished = run_python(ONE_RUN, TELLURIO_MODE="local")
    assert (finished.returncode, finished.stdout) == (0, "")
    assert lines(finished) == [
        "Started run test_run in acme/digits. View: afnio-tellurio show acme/digits/test_run",
        (
            "Run test_run completed in N s (1,200 values). "
            "View: afnio-tellurio show acme/digits/test_run"
        ),
    ]


@pytest.mark.parametrize(
    ("namespace", "name"), [("acme", "two\nlines"), ("acme", "\x1b[31m"), ("-x", "--help")]
)
def test_the_command_to_copy_shows_the_run(run_python, invoke, namespace, name):
    program = f"import afnio_tellurio as te; print(te.init({namespace!r}, '-p', {name!r}).uuid)"
    finished = run_python(program, TELLURIO_MODE="local")
    _line, _, command = finished.stderr.splitlines()[-1].partition("View: ")
    shown = invoke(*shlex.split(command)[1:], TELLURIO_MODE="local")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert finished.stdout.strip() in shown.stdout


def test_a_run_of_a_backend_tells_its_web_address(run_forked, server):
    finished = run_forked(ONE_RUN.replace("test_run", "Test run"))
    address = f"{server}/acme/projects/digits/runs/test-run/"
    assert lines(finished) == [
        f"Started run Test run in acme/digits. View: {address}",
        f"Run Test run completed in N s (1,200 values). View: {address}",
    ]


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ("run.finish()", "COMPLETED"),
        ("run.finish(status=te.RunStatus.FAILED)", "FAILED"),
        ("pass", "COMPLETED"),
        ("raise SystemExit(3)", "CRASHED"),
        ("os.kill(os.getpid(), signal.SIGTERM)", "CRASHED"),
    ],
)
def test_every_end_has_its_line(run_forked, ending, status):
    finished = run_forked(
        f"""
        import os, signal
        import afnio_tellurio as te
        run = te.init("acme", "Digits", "test_run")
        run.log("loss", 1)
        {ending}
        """,
        TELLURIO_MODE="local",
    )
    assert lines(finished)[1:] == [
        (
            f"Run test_run {status.lower()} in N s (1 value). "
            "View: afnio-tellurio show acme/digits/test_run"
        )
    ]


def test_a_run_that_another_supersedes_says_so_once(run_forked):
    finished = run_forked(
        """
        import afnio_tellurio as te
        te.init("acme", "Digits", "first")
        te.init("acme", "Digits", "second").finish()
        """,
        TELLURIO_MODE="local",
    )
    told = [line.split(" View")[0] for line in lines(finished)]
    assert told == [
        "Started run first in acme/digits.",
        "Started run second in acme/digits.",
        "Run first failed in N s (0 values).",
        "Run second completed in N s (0 values).",
    ]


def test_a_process_that_only_attaches_says_nothing(run_forked, monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    run = te.init("acme", "Digits", "test_run")
    finished = run_forked(
        f"import afnio_tellurio as te; te.attach('acme', 'digits', '{run.uuid}').log('loss', 1)"
    )
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")


@pytest.mark.parametrize("name", ['a run\'s "name" $(echo) `x`', "ünïcode 数", "-dash", "a b"])
def test_the_command_that_a_line_names_shows_the_run(run_forked, invoke, name):
    program = f"""
        import afnio_tellurio as te
        with te.init("acme", "Digits", {name!r}) as run:
            run.log("loss", 1)
    """
    finished = run_forked(program, TELLURIO_MODE="local")
    command = lines(finished)[0].partition("View: ")[2]
    # The shell passes the arguments to a function in the place of the command.
    read = subprocess.run(
        ["bash", "-c", f"afnio-tellurio() {{ printf '%s\\0' \"$@\"; }}; {command}"],
        capture_output=True,
        text=True,
        timeout=GUARD,
        check=True,
    )
    shown = invoke(*read.stdout.split("\0")[:-1], TELLURIO_MODE="local")
    assert shown.returncode == 0, (command, shown.stderr)
    assert shown.stdout.splitlines()[0].split(None, 1)[1] == name


def test_a_name_cannot_steer_the_terminal(run_forked):
    name = "x\x1b[2J\nafnio-tellurio: run y \u202e"
    finished = run_forked(
        f"import afnio_tellurio as te; te.init('acme', 'Digits', {name!r}).finish()",
        TELLURIO_MODE="local",
    )
    assert len(finished.stderr.splitlines()) == 2
    assert not set("\x1b\u202e") & set(finished.stderr)


@pytest.mark.parametrize("word", ["1", "true", "YES"])
def test_quiet_says_nothing(run_forked, word):
    finished = run_forked(ONE_RUN, TELLURIO_MODE="local", TELLURIO_QUIET=word)
    assert (finished.stdout, finished.stderr) == ("", "")


def test_logging_that_is_set_up_takes_the_lines(run_forked):
    finished = run_forked(
        "import logging, sys\n"
        "logging.basicConfig(level=logging.INFO, stream=sys.stdout, format='%(levelname)s %(message)s')\n"
        "import afnio_tellurio as te\n"
        "te.init('acme', 'Digits', 'test_run').finish()\n",
        TELLURIO_MODE="local",
    )
    assert finished.stderr == ""
    started, ended = finished.stdout.splitlines()
    assert started.startswith("INFO Started run test_run in acme/digits. View: ")
    assert ended.startswith("INFO Run test_run completed in ")


def test_logging_can_silence_them(run_forked):
    program = "import logging\nlogging.getLogger('afnio_tellurio').setLevel('WARNING')\n"
    finished = run_forked(
        f"{program}import afnio_tellurio as te\nte.init('acme', 'Digits').finish()",
        TELLURIO_MODE="local",
    )
    assert (finished.stdout, finished.stderr) == ("", "")


CRASHING = (
    "import afnio_tellurio as te; te.init('acme', 'Digits').finish(status=te.RunStatus.CRASHED)"
)


def _shown_at(main):
    """What a terminal shows, until no process has it open."""
    shown = b""
    while True:
        try:
            data = os.read(main, 4096)
        except OSError:
            # Linux reports this when the other end is closed.
            break
        if not data:
            break
        shown += data
    os.close(main)
    return shown.decode()


def test_the_status_is_colored_at_a_terminal():
    main, side = pty.openpty()
    environment = child_environment(TELLURIO_MODE="local", TERM="xterm")
    child = subprocess.Popen([sys.executable, "-c", CRASHING], env=environment, stderr=side)
    os.close(side)
    assert "\x1b[31mcrashed\x1b[0m" in _shown_at(main)
    assert child.wait(timeout=GUARD) == 0


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_who_wants_no_color_gets_none(run_forked, variables):
    main, side = pty.openpty()
    program = f"import sys; sys.stderr = open({os.ttyname(side)!r}, 'w'); {CRASHING}"
    assert (
        run_forked(program, TELLURIO_MODE="local", **{"TERM": "xterm", **variables}).returncode == 0
    )
    os.close(side)
    shown = _shown_at(main)
    assert " crashed in" in shown
    assert "\x1b" not in shown


def test_a_standard_error_that_nobody_reads_does_not_hold_up_the_end(tmp_path):
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writer, True)
    program = "import afnio_tellurio as te; te.init('acme', 'Digits').finish(); print('done')"
    finished = subprocess.run(
        [sys.executable, "-c", program],
        env=child_environment(TELLURIO_MODE="local"),
        stdout=subprocess.PIPE,
        stderr=writer,
        text=True,
        timeout=GUARD,
        check=False,
    )
    os.close(reader)
    os.close(writer)
    assert (finished.returncode, finished.stdout) == (0, "done\n")


@pytest.mark.parametrize("closing", ["2>&-", "2>/dev/full"])
def test_a_standard_error_that_takes_nothing_does_not_hurt(closing):
    program = "import afnio_tellurio as te; te.init('acme', 'Digits').finish(); print('done')"
    finished = subprocess.run(
        f"{sys.executable} -c {shlex.quote(program)} {closing}",
        shell=True,
        env=child_environment(TELLURIO_MODE="local"),
        stdout=subprocess.PIPE,
        text=True,
        timeout=GUARD,
        check=False,
    )
    assert finished.stdout == "done\n"


@pytest.mark.parametrize(
    "program",
    [
        "sys.stderr.close()",
        "sys.stderr = None",
        "sys.stderr = type('Logging', (), {'write': lambda self, text: None})()",
        "sys.stderr = type('Broken', (), {'__getattr__': lambda self, name: {}[name]})()",
    ],
)
def test_whatever_a_program_puts_in_the_place_of_standard_error_does_not_hurt(run_forked, program):
    finished = run_forked(
        f"""
        import sys
        import afnio_tellurio as te
        from afnio_tellurio.notices import show_progress
        {program}
        with te.init("acme", "Digits") as run:
            run.log("loss", 1)
        assert not show_progress("1 metric left to deliver")
        print(run.status)
        sys.stderr = None
        """,
        TELLURIO_MODE="local",
    )
    assert (finished.returncode, finished.stdout) == (0, "COMPLETED\n"), finished.stderr


def test_a_signal_in_the_middle_of_a_line_does_not_hurt(start_python):
    child = start_python(
        "-c",
        "import afnio_tellurio as te, time\nrun = te.init('acme', 'Digits')\nprint('ready', flush=True)\n"
        "import sys\nwhile True: print('x' * 1000, file=sys.stderr, flush=True)",
        TELLURIO_MODE="local",
    )
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signal.SIGTERM)
    _out, err = child.communicate(timeout=GUARD)
    assert child.returncode == -signal.SIGTERM
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("seconds", "text"), json.loads((Path(__file__).parent.parent / "durations.json").read_text())
)
def test_a_duration_is_written_as_people_read_it(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize("seconds", [-0.01, -3600.0, -1e9])
def test_a_clock_that_was_set_back_makes_no_negative_duration(seconds):
    assert duration(seconds) == "0.0 s"


def fail():
    raise RuntimeError("the kernel is going away")


@pytest.mark.parametrize("get_ipython", [lambda: None, fail], ids=["no kernel", "going away"])
def test_a_line_that_no_notebook_displays_is_printed(monkeypatch, capsys, get_ipython):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=get_ipython))
    # pytest's handlers would take it.
    monkeypatch.setattr(logging.getLogger("afnio_tellurio"), "propagate", False)
    tell("Run r ", status="completed", rest=". View: ", where="https://one.example/r")
    assert capsys.readouterr().err == (
        "afnio-tellurio: Run r completed. View: https://one.example/r\n"
    )


@pytest.mark.parametrize(("quiet", "written"), [("", 1), ("1", 0)])
def test_a_setting_that_is_invalid_silences_nothing(monkeypatch, capsys, quiet, written):
    monkeypatch.setenv("TELLURIO_EXIT_TIMEOUT", "soon")
    monkeypatch.setattr(logging.getLogger("afnio_tellurio"), "propagate", False)
    if quiet:
        monkeypatch.setenv("TELLURIO_QUIET", quiet)
    tell("Started run r")
    assert capsys.readouterr().err.count("afnio-tellurio: Started run r") == written
