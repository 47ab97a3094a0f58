"""What a process prints is recorded on request, and printed as before."""

import contextlib
import io
import os
import signal
import sys
import threading

import pytest

import afnio_tellurio as te
from afnio_tellurio.errors import RunFinishedError
from afnio_tellurio.tracking import console as module


def rows(run):
    return [(row["stream"], row["line"]) for row in run.rows("console")]


@pytest.fixture
def _local(monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")


local = pytest.mark.usefixtures("_local")


def test_lines_are_rows_and_still_printed(backend, capsys):
    before = sys.stdout, sys.stderr
    with te.init("acme", "Digits", console=True) as run:
        print("one", 2)
        print("three", file=sys.stderr)
        assert sys.stdout.write("fo") == 2
        sys.stdout.writelines(["u", "r\n", "five"])
    assert (sys.stdout, sys.stderr) == before
    print("after")
    assert capsys.readouterr().out == "one 2\nfour\nfiveafter\n"
    found = te.get_run("acme", "digits", run.uuid)
    assert sorted(rows(found)) == [
        ("stderr", "three"),
        ("stdout", "five"),
        ("stdout", "four"),
        ("stdout", "one 2"),
    ]


@local
def test_nothing_is_recorded_unless_asked():
    before = sys.stdout
    with te.init("acme", "Digits") as run:
        assert sys.stdout is before
        print("not recorded")
    assert rows(run) == []


@local
@pytest.mark.parametrize("bad", [1, "yes", None])
def test_a_bad_value_is_refused_before_anything_is_recorded(bad, home):
    with pytest.raises(TypeError, match="init: console is .*; it must be True or False"):
        te.init("acme", "Digits", console=bad)
    assert not home.exists()


def test_a_disabled_run_records_nothing(monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "disabled")
    before = sys.stdout
    with te.init("acme", "Digits", console=True):
        assert sys.stdout is before


@local
def test_the_stream_passes_for_the_original(monkeypatch, tmp_path):
    path = tmp_path / "out"
    with open(path, "w", encoding="latin-1") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        with te.init("acme", "Digits", console=True) as run:
            assert sys.stdout is not stream
            assert isinstance(sys.stdout, io.TextIOWrapper)
            assert (sys.stdout.encoding, sys.stdout.fileno()) == ("latin-1", stream.fileno())
            assert (sys.stdout.isatty(), sys.stdout.buffer) == (False, stream.buffer)
            assert (repr(sys.stdout), dir(sys.stdout)) == (repr(stream), dir(stream))
            sys.stdout.reconfigure(line_buffering=True)
            assert stream.line_buffering
            sys.stdout.parent = "of a notebook"
            assert stream.parent == "of a notebook"
            del sys.stdout.parent
            assert not hasattr(stream, "parent")
            with pytest.raises(io.UnsupportedOperation):
                next(iter(sys.stdout))
            with pytest.raises(UnicodeEncodeError):
                print("\u20ac")
            with pytest.raises(TypeError):
                sys.stdout.write(b"bytes")
            with sys.stdout as entered:
                print("in a block", file=entered)
            with pytest.raises(ValueError, match="closed"):
                print("to a closed stream")
        assert sys.stdout is stream
    assert path.read_text().endswith("in a block\n")
    assert ("stdout", "in a block") in rows(run)


@local
def test_another_library_may_replace_write(capsys):
    with te.init("acme", "Digits", console=True) as run:
        before, seen = sys.stdout.write, []
        sys.stdout.write = lambda text: (seen.append(text), before(text))[1]
        print("seen")
        sys.stdout.write = before
        print("not seen")
    assert seen == ["seen", "\n"]
    assert rows(run) == [("stdout", "seen"), ("stdout", "not seen")]
    assert capsys.readouterr().out == "seen\nnot seen\n"


@local
def test_a_stream_that_the_program_replaced_is_left_alone(capsys):
    original, other = sys.stdout, io.StringIO()
    with te.init("acme", "Digits", console=True) as run:
        with contextlib.redirect_stdout(other):
            print("elsewhere")
        print("recorded")
        redirected = contextlib.redirect_stdout(other)
        redirected.__enter__()
    assert sys.stdout is other
    redirected.__exit__(None, None, None)
    # What was in the place of stdout only passes on.
    assert sys.stdout is not original
    print("after the run")
    with te.init("acme", "Digits", console=True) as second:
        print("again")
    assert sys.stdout is original
    assert (rows(run), rows(second)) == ([("stdout", "recorded")], [("stdout", "again")])
    assert other.getvalue() == "elsewhere\n"
    assert capsys.readouterr().out == "recorded\nafter the run\nagain\n"


@local
def test_runs_that_follow_each_other_add_no_layers(capsys):
    original = sys.stdout
    for number in range(5):
        run = te.init("acme", "Digits", f"run {number}", console=True)
        assert sys.stdout.tellurio_stream is original
        print(number)
    run.finish()
    assert sys.stdout is original
    assert [rows(run) for run in te.runs("acme", "digits")] == [
        [("stdout", str(number))] for number in (4, 3, 2, 1, 0)
    ]


@local
def test_runs_at_once_record_the_same_process():
    outer = te.init("acme", "Digits", "outer", console=True)

    def work():
        with te.init("acme", "Digits", "inner", console=True) as run:
            print("both")
        found.append(rows(run))

    found = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    print("outer only")
    outer.finish()
    assert found == [[("stdout", "both")]]
    assert rows(outer) == [("stdout", "both"), ("stdout", "outer only")]


@local
def test_a_stream_in_the_place_of_both_is_recorded_once(monkeypatch):
    outer = te.init("acme", "Digits", "outer", console=True)
    monkeypatch.setattr(sys, "stderr", sys.stdout)

    def work():
        with te.init("acme", "Digits", "inner", console=True) as run:
            print("once")
        found.append(rows(run))

    found = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    outer.finish()
    assert found == [[("stdout", "once")]]


@local
def test_threads_may_print_at_once():
    with te.init("acme", "Digits", console=True) as run:

        def work(name):
            for number in range(100):
                sys.stdout.write(f"{name} {number}\n")

        threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    lines = [line for _, line in rows(run)]
    assert sorted(lines) == sorted(f"{name} {number}" for name in "abcd" for number in range(100))


@local
def test_a_progress_bar_is_one_row():
    with te.init("acme", "Digits", console=True) as run:
        for percent in range(101):
            print(f"\r\x1b[32m{percent:3}%|{'#' * percent}", end="", file=sys.stderr)
        print(file=sys.stderr)
    assert rows(run) == [("stderr", "100%|" + "#" * 100)]


@local
def test_what_is_recorded_is_bounded(monkeypatch):
    monkeypatch.setattr(module, "MAX_CONSOLE_BYTES", 20)
    with te.init("acme", "Digits", console=True) as run:
        for _ in range(5):
            print("ten bytes")
    assert [line for _, line in rows(run)] == [
        "ten bytes",
        "ten bytes",
        "[the rest is not recorded: it exceeds 20 bytes]",
    ]


@local
def test_a_text_of_many_lines_is_recorded_in_parts(monkeypatch):
    recorded = []
    log_rows = te.Run.log_rows
    monkeypatch.setattr(
        te.Run,
        "log_rows",
        lambda run, name, rows: recorded.append(len(rows)) or log_rows(run, name, rows),
    )
    monkeypatch.setattr(module, "MAX_CONSOLE_BYTES", 100_000)
    with te.init("acme", "Digits", console=True) as run:
        print("x\n" * 200_000, end="")
    assert max(recorded) < 50_000
    assert sum(recorded) == len(rows(run)) == 50_001


@local
def test_what_is_printed_while_a_line_is_recorded_is_recorded_once(monkeypatch, capsys):
    real = te.Run.log_rows

    def log_rows(run, *arguments):
        print("while it is recorded")
        real(run, *arguments)

    monkeypatch.setattr(te.Run, "log_rows", log_rows)
    with te.init("acme", "Digits", console=True) as run:
        print("a line")
        sys.stderr.write("afnio-tellurio: a message of our own\n")
    # What recording the second one causes would never end.
    assert rows(run) == [("stdout", "a line"), ("stdout", "while it is recorded")]
    assert capsys.readouterr().out == "a line\n" + 2 * "while it is recorded\n"


@pytest.mark.usefixtures("_local")
def test_the_last_words_of_a_signal_handler_are_recorded(monkeypatch):
    class StopError(Exception):
        pass

    real = te.Run.log_rows

    def interrupted(run, *arguments):
        # As Python calls a signal handler: with the interrupted frame.
        def handler(_number, _frame):
            monkeypatch.setattr(te.Run, "log_rows", real)
            print("preempted, saving")
            raise StopError

        handler(14, sys._getframe())

    run = te.init("acme", "Digits", console=True)
    monkeypatch.setattr(te.Run, "log_rows", interrupted)
    with pytest.raises(StopError):
        print("a line")
    run.finish()
    assert rows(run) == [("stdout", "preempted, saving")]


@local
@pytest.mark.parametrize("problem", [OSError("no space"), RunFinishedError("finished")])
def test_print_does_not_fail_if_a_line_cannot_be_recorded(monkeypatch, capsys, problem):
    def fail(*_arguments):
        raise problem

    with te.init("acme", "Digits", console=True), monkeypatch.context() as patch:
        patch.setattr(te.Run, "log_rows", fail)
        print("a line")
    assert capsys.readouterr().out == "a line\n"


@local
def test_a_finish_that_fails_goes_on_recording(monkeypatch):
    original = sys.stdout
    run = te.init("acme", "Digits", console=True)
    with monkeypatch.context() as patch:
        patch.setattr("afnio_tellurio.tracking.run.finish_run", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run.finish()
    print("still open")
    run.finish()
    assert sys.stdout is original
    assert rows(run) == [("stdout", "still open")]


@local
def test_an_end_that_is_interrupted_leaves_the_stream_as_it_was(monkeypatch):
    def interrupt(_run):
        raise KeyboardInterrupt

    original = sys.stdout
    with monkeypatch.context() as patch:
        patch.setattr(te.Run, "_settle_capture", interrupt)
        with te.init("acme", "Digits", console=True) as run:
            assert sys.stdout is not original
    assert sys.stdout is original
    assert run.status == "COMPLETED"


def test_a_process_without_stdout_records_stderr(monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    monkeypatch.setattr(sys, "stdout", None)
    with te.init("acme", "Digits", console=True) as run:
        print("nowhere")
        print("somewhere", file=sys.stderr)
    assert sys.stdout is None
    assert rows(run) == [("stderr", "somewhere")]


def rows_of(name):
    with te.TellurioClient.local() as client:
        return rows(te.get_run("acme", "digits", name, client=client))


def test_a_killed_process_loses_only_its_unfinished_line(start_python):
    child = start_python(
        "-c",
        "import os, signal\n"
        "import afnio_tellurio as te\n"
        "te.init('acme', 'Digits', 'killed', console=True)\n"
        "for number in range(100): print('line', number)\n"
        "print('unfinished', end='', flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL if hasattr(signal, 'SIGKILL') else signal.SIGTERM)",
        TELLURIO_MODE="local",
    )
    child.communicate()
    assert child.returncode == -signal.SIGKILL
    assert rows_of("killed") == [("stdout", f"line {number}") for number in range(100)]


def test_the_traceback_of_an_exception_that_ends_the_process_is_recorded(run_python):
    child = run_python(
        """
        import logging
        earlier = logging.StreamHandler()
        import afnio_tellurio as te
        te.init("acme", "Digits", "crashed", console=True)
        earlier.emit(logging.makeLogRecord({"msg": "to the original stderr"}))
        logging.StreamHandler().emit(logging.makeLogRecord({"msg": "to the present one"}))
        print("unfinished", end="")
        raise ValueError("The loss is NaN.")
        """,
        TELLURIO_MODE="local",
    )
    assert child.returncode == 1
    assert child.stdout == "unfinished"
    assert "to the original stderr\nto the present one\nTraceback" in child.stderr
    found = rows_of("crashed")
    assert found[0] == ("stderr", "to the present one")
    assert ("stderr", "Traceback (most recent call last):") in found
    assert ("stderr", "ValueError: The loss is NaN.") in found
    assert ("stdout", "unfinished") in found


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_children_record_what_they_print(run_python):
    child = run_python(
        """
        import os
        import afnio_tellurio as te
        run = te.init("acme", "Digits", "forked", console=True)
        print("of the parent, ", end="", flush=True)
        pid = os.fork()
        if pid == 0:
            print("of the child")
            run.flush()
            os._exit(0)
        os.waitpid(pid, 0)
        print("whole")
        """,
        TELLURIO_MODE="local",
    )
    assert (child.returncode, complaint(child.stderr)) == (0, "")
    assert sorted(rows_of("forked")) == [
        ("stdout", "of the child"),
        ("stdout", "of the parent, whole"),
    ]


def complaint(written):
    return "".join(line for line in written.splitlines() if not line.startswith("afnio-tellurio: "))
