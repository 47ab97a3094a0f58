"""The command that watches runs, in processes of its own, and in a terminal."""

import json
import operator
import re
import signal
import subprocess
import sys

import pytest
from children import GUARD, child_environment
from faulty_proxy import FaultyProxy
from ports import port_to_reuse

import afnio_tellurio as te
from afnio_tellurio.settings.limits import MAX_RETRIES

PROJECT = "acme/digits"
RUN = f"{PROJECT}/first"


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    with te.init("acme", "Digits", "first") as run:
        run.log("loss", 0.5, step=3)
        run.log("note", "b\x1b[2J")
        run.flush()
        yield run


@pytest.fixture
def watching(start_python):
    def start(*arguments):
        return start_python("-m", "afnio_tellurio.cli", "watch", *arguments)

    return start


def test_each_change_is_a_line_of_json_until_the_run_ends(run, watching):
    child = watching(RUN, "--json")
    first = json.loads(child.stdout.readline())
    assert (first["uuid"], first["name"], first["status"]) == (run.uuid, "first", "RUNNING")
    assert first["metrics"]["loss"] == {"count": 1, "last_step": 3, "last": 0.5}
    assert set(first["metrics"]) == {"loss", "note"}
    run.log("loss", float("nan"))
    run.flush()
    second = json.loads(child.stdout.readline())
    assert second["metrics"] == {"loss": {"count": 2, "last_step": 4, "last": "NaN"}}
    run.finish(status="FAILED")
    last = json.loads(child.stdout.readline())
    assert (last["status"], last["metrics"]) == ("FAILED", {})
    assert child.communicate(timeout=GUARD) == ("", "")
    assert child.returncode == 0


def test_each_change_is_a_line_of_text_through_a_pipe(run, watching):
    child = watching(RUN, "--metrics", "loss")
    line = child.stdout.readline()
    assert re.fullmatch(r"\d\d:\d\d:\d\d  first  RUNNING  loss=0\.5 \(step 3\)\n", line)
    run.finish()
    assert re.fullmatch(r"\d\d:\d\d:\d\d  first  COMPLETED\n", child.stdout.readline())
    assert child.wait(timeout=GUARD) == 0


@pytest.fixture
def start_run(start_python, monkeypatch):
    """Starts a run in a process, which ends it with the status that it is told."""
    monkeypatch.setenv("TELLURIO_MODE", "local")

    def start(name):
        program = f"""
import afnio_tellurio as te
from afnio_tellurio.settings.limits import MAX_RETRIES
run = te.init("acme", "Digits", {name!r})
print(run.uuid, flush=True)
run.finish(status=input())
"""
        child = start_python("-c", program, stdin=True)
        return child, child.stdout.readline().strip()

    return start


def test_running_runs_of_a_project_are_watched_until_none_is(start_run, watching):
    te.init("acme", "Digits", "old").finish()
    first, _uuid = start_run("first")
    child = watching(PROJECT, "--json")
    seen = lambda: operator.itemgetter("name", "status")(json.loads(child.stdout.readline()))  # noqa: E731
    assert seen() == ("first", "RUNNING")
    second, deleted = start_run("second")
    assert seen() == ("second", "RUNNING")
    third, _uuid = start_run("third")
    assert seen() == ("third", "RUNNING")
    first.communicate("COMPLETED\n", timeout=GUARD)
    assert seen() == ("first", "COMPLETED")
    te.delete_run("acme", "digits", deleted)
    second.kill()
    third.communicate("FAILED\n", timeout=GUARD)
    assert seen() == ("third", "FAILED")
    assert child.communicate(timeout=GUARD) == ("", "")
    assert child.returncode == 0


def test_an_ended_run_is_shown_once(run, invoke):
    run.finish()
    finished = invoke("watch", RUN)
    assert (finished.returncode, finished.stderr) == (0, "")
    (line,) = finished.stdout.splitlines()
    assert line.endswith('  first  COMPLETED  loss=0.5 (step 3)  note="b\\u001b[2J" (step 0)')
    assert invoke("watch", PROJECT).stdout == "No run of acme/digits is running\n"
    assert invoke("watch", PROJECT, "--json").stdout == ""


def test_a_metric_that_no_run_logged_to_its_end_is_an_error_that_names_a_similar_one(run, invoke):
    run.finish()
    finished = invoke("watch", RUN, "--metrics", "los")
    assert finished.returncode == 1
    assert finished.stdout.endswith("  first  COMPLETED\n")
    assert finished.stderr == (
        "afnio-tellurio watch: None of the runs has the metric 'los'; did you mean 'loss'?\n"
    )


def test_ctrl_c_ends_it_without_a_word(run, watching):
    child = watching(RUN)
    child.stdout.readline()
    child.send_signal(signal.SIGINT)
    assert child.communicate(timeout=GUARD) == ("", "")
    assert child.returncode == 130


def test_a_run_that_is_deleted_meanwhile_is_one_line(run, watching):
    child = watching(RUN)
    child.stdout.readline()
    run.finish()
    te.delete_run("acme", "digits", run.uuid)
    out, err = child.communicate(timeout=GUARD)
    # It may have seen the end before.
    assert (child.returncode, err) == (0, "") or "is in the trash" in err, (out, err)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals")
def test_a_terminal_shows_the_last_values_in_one_place(run, terminal):
    shown = terminal("watch", RUN, NO_COLOR="1")
    shown.read_until("loss")
    run.log("loss", 0.25)
    run.flush()
    shown.read_until("0.25")
    run.finish()
    assert shown.end() == 0
    # What was drawn is drawn over.
    drawings = re.split(r"\x1b\[\d+A\r\x1b\[J", shown.shown)
    assert len(drawings) >= 3
    assert [drawing.split()[:4] for drawing in drawings[-1:]] == [
        ["RUN", "STATUS", "DURATION", "first"]
    ]
    assert "RUNNING" in drawings[0]
    assert "COMPLETED" in drawings[-1]
    assert re.search(r"loss +2 +4 +0\.25\r\n", drawings[-1])
    for drawing, moved in zip(drawings, re.findall(r"\x1b\[(\d+)A", shown.shown), strict=False):
        assert drawing.count("\n") == int(moved)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals")
def test_ctrl_c_in_a_terminal_ends_it_without_a_word(run, terminal):
    shown = terminal("watch", RUN)
    shown.read_until("loss")
    shown.wait_until_it_reads()
    shown.type("\x03")
    assert shown.end() == 130
    assert "interrupted" not in shown.shown
    assert "Traceback" not in shown.shown
    assert shown.shown.endswith("\r\n")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals")
def test_more_metrics_than_lines_are_counted(run, at_terminal):
    run.log_metrics({f"metric/{number}": number for number in range(40)})
    run.finish()
    shown = at_terminal("watch", RUN, NO_COLOR="1").shown
    lines = shown.replace("\r\n", "\n").splitlines()
    assert len(lines) < 24
    assert re.fullmatch(r"\(\d+ more metrics; choose some with --metrics A,B\)", lines[-1])


@pytest.fixture
def serving(tmp_path, monkeypatch):
    """Starts `serve` at one address, also after the last one was killed."""
    port = port_to_reuse()
    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("TELLURIO_API_KEY", "k")
    started = []

    def serve():
        arguments = ["serve", "--port", str(port), "--api-key", "k", "--namespace", "acme"]
        process = subprocess.Popen(
            [sys.executable, "-m", "afnio_tellurio.cli", *arguments],
            env=child_environment(TELLURIO_HOME=str(tmp_path / "server")),
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert "Serving" in process.stdout.readline()
        return process

    yield serve
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def kill(server):
    server.kill()
    server.wait()


AWAY = r"afnio-tellurio watch: .*the backend at http.* cannot be reached: .*; waiting until it is back\n"


def test_a_server_that_is_restarted_is_waited_for(serving, watching):
    server = serving()
    run = te.init("acme", "Digits", "first")
    run.log("loss", 0.5, step=3)
    run.flush()
    child = watching(RUN, "--json")
    assert json.loads(child.stdout.readline())["metrics"]["loss"]["last"] == 0.5
    for number in range(2):
        kill(server)
        assert re.fullmatch(AWAY, child.stderr.readline())
        run.log("loss", number)
        server = serving()
        run.flush()
        assert json.loads(child.stdout.readline())["metrics"]["loss"]["last"] == number
    run.finish()
    assert json.loads(child.stdout.readline())["status"] == "COMPLETED"
    assert child.communicate(timeout=GUARD) == ("", "")
    assert child.returncode == 0


def test_ctrl_c_ends_the_wait_for_a_server(serving, watching):
    server = serving()
    run = te.init("acme", "Digits", "first")
    child = watching(PROJECT)
    child.stdout.readline()
    kill(server)
    assert re.fullmatch(AWAY, child.stderr.readline())
    child.send_signal(signal.SIGINT)
    assert child.communicate(timeout=GUARD) == ("", "")
    assert child.returncode == 130
    serving()
    run.finish()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals")
def test_a_table_is_drawn_below_the_line_about_a_server(serving, terminal):
    server = serving()
    run = te.init("acme", "Digits", "first")
    run.log("loss", 0.5)
    run.flush()
    shown = terminal("watch", RUN, NO_COLOR="1")
    shown.read_until("0.5")
    kill(server)
    shown.read_until("waiting until it is back\r\n")
    run.log("loss", 0.25)
    serving()
    run.finish()
    assert shown.end() == 0
    _before, after = shown.shown.split("waiting until it is back\r\n")
    assert after.startswith("RUN ")
    assert "0.25" in after


def test_a_server_that_never_answered_is_an_error(invoke, monkeypatch, no_connect_delay):
    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", f"http://127.0.0.1:{port_to_reuse()}")
    monkeypatch.setenv("TELLURIO_API_KEY", "k")
    finished = invoke("watch", RUN)
    assert finished.returncode == 1
    assert "cannot be reached" in finished.stderr
    assert "waiting" not in finished.stderr


def test_a_server_that_stays_away_is_one_line(invoke, server, monkeypatch):
    monkeypatch.setattr("afnio_tellurio.cli.watching._INTERVAL", 0.0)
    monkeypatch.setattr("afnio_tellurio.api.retries.CONNECT_RETRY_DELAY", 0.0)
    with te.TellurioClient() as direct:
        run = te.init("acme", "Digits", "first", client=direct)
        run.log("loss", 0.5)
        run.flush()
        proxy = FaultyProxy(server)
        monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", proxy.url)
        # The first poll is answered; then there are enough failures for several polls.
        answers = iter(["drop"] * 5 * (1 + MAX_RETRIES))
        polled = []

        def fault(_method, url):
            polled.append(url)
            if "/metrics/summary" not in "".join(polled[:-1]):
                return None
            fault = next(answers, None)
            if fault is None:
                run.finish()
            return fault

        proxy.fault = fault
        try:
            finished = invoke("watch", RUN, "--json", may_depart=("answer",))
        finally:
            proxy.close()
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr.count("; waiting until it is back\n") == 1
    lines = [json.loads(line)["status"] for line in finished.stdout.splitlines()]
    assert lines == ["RUNNING", "COMPLETED"]
