"""Exports: memory, progress, and the files that they leave."""

import json
import os
import signal
import sys
import time
from importlib.util import find_spec

import pytest
from children import GUARD

import afnio_tellurio as te

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals")

#: Stops after a page until a file exists, so that a test can catch an export in the middle.
IN_PAGES = """
import os, sys, time
import afnio_tellurio.api.operations as operations
operations.METRICS_PAGE = 100
from afnio_tellurio.cli import exporting, main
exporting.METRICS_PAGE = 100
pages = exporting._pages
def stopping(*arguments):
    for number, page in enumerate(pages(*arguments), 1):
        yield page
        while str(number) == os.environ.get("STOP_AFTER") and not os.path.exists(os.environ["GO_ON"]):
            time.sleep(0.01)
exporting._pages = stopping
sys.exit(main(sys.argv[1:]))
"""
#: The kernel reports the peak memory of the process, in KiB.
MEASURED = """
import re, sys
from pathlib import Path
from afnio_tellurio.cli import main
status = main(sys.argv[1:])
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1], file=sys.stderr)
sys.exit(status)
"""
#: The formats that can be written here.
KINDS = ["csv", "jsonl", *(["parquet"] if find_spec("pyarrow") else [])]


def parts(folder):
    return sorted(name for name in os.listdir(folder) if name.endswith(".part"))


@pytest.fixture
def stop_after(tmp_path):
    """The variables that stop an export after the first of thirty pages."""
    return lambda page: {"STOP_AFTER": str(page), "GO_ON": str(tmp_path / "go-on")}


def until(what):
    deadline = time.monotonic() + GUARD
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def long_run(monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    with te.init("acme", "Digits", "long") as run:
        for step in range(3000):
            run.log("m", step, step=step)
    return "acme/digits/long"


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="reads Linux's peak memory")
def test_memory_does_not_grow_with_the_run(start_python, monkeypatch, tmp_path):
    few, many = 5_000, 65_000
    monkeypatch.setenv("TELLURIO_MODE", "local")
    peaks = {}
    for count in (few, many):
        with te.init("acme", "Digits", f"run {count}") as run:
            for start in range(0, count, 1000):
                run.log_metrics({f"m{number}": start for number in range(1000)}, step=start)
        for kind in KINDS:
            path = tmp_path / f"{count}.{kind}"
            place = f"acme/digits/run {count}"
            child = start_python("-c", MEASURED, "export", place, "--output", str(path))
            out, err = child.communicate(timeout=GUARD)
            assert (child.returncode, out) == (0, f"{path}: {count} values of run {count}\n"), err
            peaks[kind, count] = int(err) / 1024
    for kind in KINDS:
        # The 60,000 additional values would take 30 MiB if they were held at once. How much
        # it is in all depends on what is installed, and the check of the exchanges is among it.
        assert peaks[kind, many] - peaks[kind, few] < 15, peaks


def test_an_export_that_is_killed_leaves_the_file_and_the_next_one_clears_up(
    long_run, start_python, invoke, tmp_path, stop_after
):
    path = tmp_path / "long.csv"
    path.write_text("before")
    child = start_python(
        "-c", IN_PAGES, "export", long_run, "--output", str(path), **stop_after(25)
    )
    until(lambda: any((tmp_path / part).stat().st_size for part in parts(tmp_path)))
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert path.read_text() == "before"
    (left,) = parts(tmp_path)
    assert left.startswith(".long.csv.")
    other = tmp_path / ".other.csv.00000000.part"
    other.write_text("not of this file")
    assert invoke("export", long_run, "--output", str(path)).returncode == 0
    assert len(path.read_text().splitlines()) == 3001
    assert parts(tmp_path) == [other.name]


def test_two_exports_to_one_file_do_not_disturb_each_other(
    long_run, start_python, invoke, tmp_path, stop_after
):
    path = tmp_path / "long.csv"
    slow = start_python("-c", IN_PAGES, "export", long_run, "--output", str(path), **stop_after(25))
    until(lambda: any((tmp_path / part).stat().st_size for part in parts(tmp_path)))
    assert invoke("export", long_run, "--output", str(path)).returncode == 0
    assert len(parts(tmp_path)) == 1
    assert len(path.read_text().splitlines()) == 3001
    (tmp_path / "go-on").touch()
    _out, err = slow.communicate(timeout=GUARD)
    assert (slow.returncode, err) == (0, "")
    assert len(path.read_text().splitlines()) == 3001
    assert not parts(tmp_path)


def test_progress_is_shown_on_a_terminal_and_cleared(long_run, terminal, tmp_path):
    path = tmp_path / "long.csv"
    shown = terminal(
        "-c", IN_PAGES, "export", long_run, "--output", str(path), executable=sys.executable
    )
    assert shown.end() == 0
    assert "\r\x1b[Klong: 100 of 3,000 values\r\x1b[Klong: 200 of 3,000 values" in shown.shown
    assert shown.shown.endswith(f"\r\x1b[K{path}: 3000 values of long\r\n")


def test_quiet_shows_no_progress(long_run, terminal, tmp_path):
    path = tmp_path / "long.csv"
    shown = terminal("export", long_run, "--output", str(path), TELLURIO_QUIET="1")
    assert shown.end() == 0
    assert shown.shown == f"{path}: 3000 values of long\r\n"


def test_values_printed_in_a_terminal_are_not_mixed_with_progress(long_run, terminal):
    shown = terminal("export", long_run)
    assert shown.end() == 0
    assert "of 3,000" not in shown.shown
    assert shown.shown.startswith("name,step,value,timestamp\r\nm,0,0,")


def test_ctrl_c_in_a_terminal_leaves_one_line_and_no_file(long_run, terminal, tmp_path, stop_after):
    path = tmp_path / "long.csv"
    shown = terminal(
        "-c",
        IN_PAGES,
        "export",
        long_run,
        "--output",
        str(path),
        executable=sys.executable,
        **stop_after(3),
    )
    shown.read_until("300 of 3,000 values")
    shown.type("\x03")
    assert shown.end() == 1
    assert shown.shown.endswith("\r\x1b[Kafnio-tellurio: interrupted\r\n")
    assert not [name for name in os.listdir(tmp_path) if "long.csv" in name]


def test_a_server_that_fails_in_the_middle_leaves_the_file_as_it_was(
    server, invoke, monkeypatch, tmp_path
):
    from faulty_proxy import FaultyProxy

    with te.init("acme", "Digits", "long") as run:
        for step in range(15):
            run.log_metrics({f"m{number}": 1 for number in range(1000)}, step=step)
    path = tmp_path / "long.csv"
    path.write_text("before")
    proxy = FaultyProxy(server)
    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", proxy.url)
    proxy.fault = lambda _method, url: "cut" if "cursor=" in url else None
    try:
        finished = invoke(
            "export", "acme/digits/long", "--output", str(path), may_depart=("answer",)
        )
    finally:
        proxy.close()
    assert finished.returncode == 1
    (line,) = finished.stderr.splitlines()
    assert line.startswith("afnio-tellurio export: listMetrics: ")
    assert proxy.counts["cut"]
    assert path.read_text() == "before"
    assert not parts(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_is_one_line_that_names_the_file(kind, long_run, invoke, tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("the system has no /dev/full")
    finished = invoke("export", long_run, "--output", "/dev/full", "--format", kind)
    assert finished.returncode == 1
    assert finished.stderr == (
        "afnio-tellurio export: [Errno 28] No space left on device: '/dev/full'\n"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_disk_that_fills_up_leaves_the_file_as_it_was(kind, long_run, start_python, tmp_path):
    path = tmp_path / f"long.{kind}"
    path.write_text("before")
    program = """
import resource, signal, sys
from afnio_tellurio.cli import main
# What is imported later would leave its bytecode cut off.
sys.dont_write_bytecode = True
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
sys.exit(main(sys.argv[1:]))
"""
    child = start_python("-c", program, "export", long_run, "--output", str(path))
    out, err = child.communicate(timeout=GUARD)
    assert (child.returncode, out) == (1, "")
    (line,) = err.splitlines()
    assert line == f"afnio-tellurio export: [Errno 27] File too large: '{path}'"
    assert path.read_text() == "before"
    assert not parts(tmp_path)


def test_a_folder_that_is_not_there_is_named(long_run, invoke, tmp_path):
    finished = invoke("export", long_run, "--output", str(tmp_path / "no" / "long.csv"))
    assert finished.returncode == 1
    (line,) = finished.stderr.splitlines()
    assert str(tmp_path / "no") in line
    assert "No such file or directory" in line


def test_what_was_there_is_replaced_and_a_link_is_followed(long_run, invoke, tmp_path):
    target, link = tmp_path / "target.csv", tmp_path / "link.csv"
    target.write_text("before")
    link.symlink_to(target)
    assert invoke("export", long_run, "--output", str(link)).returncode == 0
    assert link.is_symlink()
    assert len(target.read_text().splitlines()) == 3001


def test_a_pipe_is_written_to(long_run, invoke, start_python, tmp_path):
    fifo = tmp_path / "pipe.jsonl"
    os.mkfifo(fifo)
    child = start_python("-m", "afnio_tellurio.cli", "export", long_run, "--output", str(fifo))
    with fifo.open() as file:
        assert [json.loads(line)["step"] for line in file] == list(range(3000))
    assert child.wait(timeout=GUARD) == 0
