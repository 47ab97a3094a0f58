"""Exports: memory, progress, and the files that they leave."""

import csv
import json
import os
import shutil
import signal
import sys
import threading
import time
import unicodedata
from importlib.util import find_spec

import pytest
from children import GUARD

import afnio_tellurio as te

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals")

#: Stops after a page until a file exists, so that a test can catch an export in the middle.
IN_PAGES = """
import os, sys, time
import afnio_tellurio.api.metric_lists as metric_lists
metric_lists.METRICS_PAGE = 100
from afnio_tellurio.cli import exporting, main
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
import os, re, sys
from pathlib import Path
import afnio_tellurio.api.metric_lists as metric_lists
from afnio_tellurio.cli import main
metric_lists.METRICS_PAGE = int(os.environ.get("PAGE", metric_lists.METRICS_PAGE))
for arguments in (sys.argv[1:6], sys.argv[6:]):
    assert main(["export", *arguments]) == 0
    print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1], file=sys.stderr)
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


@pytest.fixture(scope="session")
def _home_of_long_run(tmp_path_factory):
    home = tmp_path_factory.mktemp("long run") / "home"
    with (
        pytest.MonkeyPatch.context() as patch,
        te.TellurioClient.local(home / "tellurio.db") as client,
    ):
        patch.setenv("TELLURIO_HOME", str(home))
        with te.init("acme", "Digits", "long", client=client) as run:
            for step in range(3000):
                run.log("m", step, step=step)
    return home


@pytest.fixture
def long_run(_home_of_long_run, home, monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    shutil.copytree(_home_of_long_run, home)
    return "acme/digits/long"


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="reads Linux's peak memory")
def test_memory_does_not_grow_with_the_run(start_python, monkeypatch, tmp_path, pytestconfig):
    # A smaller page takes as little memory after fewer values.
    is_long = pytestconfig.getoption("--long")
    few, many, page = (5_000, 65_000, {}) if is_long else (3_000, 30_000, {"PAGE": "1000"})
    monkeypatch.setenv("TELLURIO_MODE", "local")
    for count in (few, many):
        with te.init("acme", "Digits", f"run {count}") as run:
            for start in range(0, count, 1000):
                run.log_metrics({f"m{number}": start for number in range(1000)}, step=start)
    for kind in KINDS:
        # The peak of the process after the short run, and then after the long one too.
        exports = [
            (f"acme/digits/run {count}", "--output", str(tmp_path / f"{count}.{kind}"), "--format", kind)
            for count in (few, many)
        ]  # fmt: skip
        child = start_python("-c", MEASURED, *exports[0], *exports[1], **page)
        out, err = child.communicate(timeout=GUARD)
        assert child.returncode == 0, err
        assert out == "".join(
            f"{tmp_path}/{count}.{kind}: {count} values of run {count}\n" for count in (few, many)
        )
        small, large = (int(line) / 1024 for line in err.splitlines())
        # The additional values would take 0.25 MiB per thousand if they were held at once. How much
        # it is in all depends on what is installed, and the check of the exchanges is among it.
        assert large - small < (many - few) / 4500, (kind, small, large)


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


def test_progress_is_shown_on_a_terminal_and_cleared(long_run, at_terminal, monkeypatch, tmp_path):
    path = tmp_path / "long.csv"
    monkeypatch.setattr("afnio_tellurio.api.metric_lists.METRICS_PAGE", 100)
    shown = at_terminal("export", long_run, "--output", str(path))
    assert shown.status == 0
    assert "\r\x1b[Klong: 100 of 3,000 values\r\x1b[Klong: 200 of 3,000 values" in shown.shown
    assert shown.shown.endswith(f"\r\x1b[K{path}: 3000 values of long\r\n")


def test_quiet_shows_no_progress(long_run, at_terminal, tmp_path):
    path = tmp_path / "long.csv"
    shown = at_terminal("export", long_run, "--output", str(path), TELLURIO_QUIET="1")
    assert shown.status == 0
    assert shown.shown == f"{path}: 3000 values of long\r\n"


def test_values_printed_in_a_terminal_are_not_mixed_with_progress(long_run, at_terminal):
    shown = at_terminal("export", long_run)
    assert shown.status == 0
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

    monkeypatch.setattr("afnio_tellurio.api.metric_lists.METRICS_PAGE", 1000)
    with te.init("acme", "Digits", "long") as run:
        for step in range(2):
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
    assert line.startswith(
        f"afnio-tellurio export: Cannot list metrics: the backend at {proxy.url} cannot be reached: "
    )
    assert proxy.counts["cut"]
    assert path.read_text() == "before"
    assert not parts(tmp_path)


HOSTILE = [
    "\x1b]0;title\x07", "\x9b31m", "\x9d0;title\x9c", "\u202egpj.exe", "\u2066a\u2069", "\x08\x08", "\x7f", "\r\n\x00",
]  # fmt: skip


@pytest.fixture
def local_client(home, monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    with te.TellurioClient.local(home / "tellurio.db") as client:
        yield client


@pytest.fixture
def hostile_run(local_client):
    with te.init("acme", "Digits", "hostile", client=local_client) as run:
        for name in HOSTILE:
            run.log(f"x{name}", 0.5)
            run.log(f"y{name}", {f"k{name}": [name, {"deep": name}]})
        run.log("Größe", 1)
    return f"acme/digits/{run.uuid}"


@pytest.mark.parametrize("file_format", ["csv", "jsonl"])
def test_no_name_or_value_controls_the_terminal(hostile_run, at_terminal, file_format):
    # The progress on stderr moves the cursor on purpose.
    streams = ("stdin", "stdout")
    shown = at_terminal("export", hostile_run, "--format", file_format, streams=streams).shown
    assert "Größe" in shown
    lines = shown.replace("\r\n", "\n")
    controls = {mark for mark in lines if unicodedata.category(mark) in {"Cc", "Cf"}} - {"\n"}
    assert controls == set()
    assert len(lines.splitlines()) == 2 * len(HOSTILE) + 1 + (file_format == "csv")


def test_a_file_keeps_every_name_as_it_is(hostile_run, invoke, tmp_path):
    invoke("export", hostile_run, "--output", str(tmp_path / "run.jsonl"))
    lines = [json.loads(line) for line in (tmp_path / "run.jsonl").read_bytes().split(b"\n")[:-1]]
    assert {line["name"] for line in lines} >= {f"x{name}" for name in HOSTILE}


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "\r=", "\n=", "\uff1d", "\uff0b"])
def test_no_spreadsheet_runs_a_name_as_a_formula(local_client, invoke, tmp_path, start):
    with te.init("acme", "Digits", "formulas", client=local_client) as run:
        run.log(f"{start}HYPERLINK(1)", -0.5)
        run.log("text", f"{start}HYPERLINK(1)")
        run.log("lowest", float("-inf"))
    file = tmp_path / "run.csv"
    invoke("export", f"acme/digits/{run.uuid}", "--output", str(file))
    with file.open(newline="", encoding="utf-8") as lines:
        rows = {row["name"]: row["value"] for row in csv.DictReader(lines)}
    assert rows[f"'{start}HYPERLINK(1)"] == "-0.5"
    assert rows["lowest"] == "-Infinity"
    assert rows["text"].startswith('"')
    assert json.loads(rows["text"]) == f"{start}HYPERLINK(1)"


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_is_one_line_that_names_the_file(kind, long_run, invoke, tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("the system has no /dev/full")
    finished = invoke("export", long_run, "--output", "/dev/full", "--format", kind)
    assert finished.returncode == 1
    assert finished.stderr == ("afnio-tellurio export: No space left on device: '/dev/full'\n")


def test_a_disk_that_fills_up_leaves_the_file_as_it_was(long_run, start_python, tmp_path):
    # While it is open here too, the child has no file of the database to create.
    te.get_run("acme", "Digits", "long")
    paths = [tmp_path / f"long.{kind}" for kind in KINDS]
    for path in paths:
        path.write_text("before")
    program = """
import resource, signal, sys
from afnio_tellurio.cli import main
# What is imported later would leave its bytecode cut off.
sys.dont_write_bytecode = True
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
run, *paths = sys.argv[1:]
assert [main(["export", run, "--output", path]) for path in paths] == [1] * len(paths)
"""
    child = start_python("-c", program, long_run, *map(str, paths))
    out, err = child.communicate(timeout=GUARD)
    assert (child.returncode, out) == (0, ""), err
    assert err.splitlines() == [
        f"afnio-tellurio export: File too large: '{path}'" for path in paths
    ]
    assert {path.read_text() for path in paths} == {"before"}
    assert not parts(tmp_path)


def test_a_folder_that_is_not_there_is_named(long_run, invoke, tmp_path):
    finished = invoke("export", long_run, "--output", str(tmp_path / "no" / "long.csv"))
    assert finished.returncode == 1
    (line,) = finished.stderr.splitlines()
    assert str(tmp_path / "no") in line
    assert "No such directory" in line


def test_what_was_there_is_replaced_and_a_link_is_followed(long_run, invoke, tmp_path):
    target, link = tmp_path / "target.csv", tmp_path / "link.csv"
    target.write_text("before")
    link.symlink_to(target)
    assert invoke("export", long_run, "--output", str(link)).returncode == 0
    assert link.is_symlink()
    assert len(target.read_text().splitlines()) == 3001


def test_a_pipe_is_written_to(long_run, invoke, tmp_path):
    fifo = tmp_path / "pipe.jsonl"
    os.mkfifo(fifo)
    statuses = []
    writing = threading.Thread(
        target=lambda: statuses.append(invoke("export", long_run, "--output", str(fifo)).returncode)
    )
    writing.start()
    with fifo.open() as file:
        assert [json.loads(line)["step"] for line in file] == list(range(3000))
    writing.join()
    assert statuses == [0]


def test_a_closed_stdout_gets_nothing_and_is_no_failure(long_run, invoke):
    finished = invoke("export", long_run, streams={"stdout": None})
    assert (finished.returncode, finished.stderr) == (0, "")


def test_without_its_library_parquet_is_an_error_that_names_it(
    long_run, invoke, monkeypatch, tmp_path
):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    path = tmp_path / "long.parquet"
    finished = invoke("export", long_run, "--output", str(path))
    assert (finished.returncode, finished.stdout) == (1, "")
    assert "Parquet requires pyarrow, which can't be imported" in finished.stderr
    assert not path.exists()
