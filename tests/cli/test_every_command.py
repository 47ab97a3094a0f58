"""Rules for every command, including new ones."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from children import GUARD
from commands import (
    ASKING,
    COMMANDS,
    LASTING,
    arguments_of,
    examples_of,
    takes,
)

from afnio_tellurio.served import served_at

RUNS = ("NAMESPACE/PROJECT/RUN", "NAMESPACE/PROJECT[/RUN]", "NAMESPACE[/PROJECT[/RUN]]")
NAMING_A_RUN = [
    name for name in COMMANDS if name != "sync" and any(takes(name, metavar=run) for run in RUNS)
]
PRINTING_JSON = [name for name in COMMANDS if takes(name, option="--json")]
#: The examples of these run as a person enters them; the others only as a shell splits them.
IN_A_SHELL = {"runs", "sync"}
#: What these fields contain is up to the run, or described in one row.
ANY_FIELDS = {
    "run_counts.",
    "metrics.NAME.last.",
    "config.",
    "environment.",
    "ended_because.",
    "rows.",
    "metadata.",
}
#: These print the same, in process and over HTTP.
READING = [
    *("projects", "runs", "show", "rows", "compare", "export", "trash", "files", "artifacts"),
    *("artifact show", "artifact versions", "artifact diff"),
]
DOCUMENT = (Path(__file__).parent.parent.parent / "docs" / "command-line.md").read_text("utf-8")


def one_line(finished):
    assert finished.returncode == 1, finished
    (line,) = finished.stderr.splitlines()
    assert line.startswith(("afnio-tellurio", "first: not uploaded: ", "first: not imported: "))
    return line


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch, _home_of_examples):
    """Some examples write a file, one uploads it, and one imports a bundle."""
    monkeypatch.chdir(tmp_path)
    Path("weights.json").write_text("[1]")
    shutil.copy(_home_of_examples.parent / "first.zip", "first.zip")


@pytest.fixture
def shell(start_python, tmp_path):
    """Runs a line in a shell, in which `afnio-tellurio` is the installed command."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

    def run(line, **variables):
        child = start_python(
            "-c", f"cd {tmp_path} && {line}", executable="/bin/sh", PATH=path, **variables
        )
        out, err = child.communicate(timeout=GUARD)
        return subprocess.CompletedProcess(line, child.returncode, out, err)

    return run


@pytest.fixture
def page(home, runs_of_examples):
    """Publishes the address of a page, which no test asks for."""
    with served_at(home / "tellurio.db", "http://127.0.0.1:9"):
        yield


@pytest.fixture(params=["embedded", "server"])
def reached(request, served, page, monkeypatch):
    """The runs of the examples, in process or over HTTP."""
    if request.param == "embedded":
        monkeypatch.setenv("TELLURIO_MODE", "local")
    else:
        monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", served)
        monkeypatch.setenv("TELLURIO_API_KEY", "the-key")
    return served


@pytest.fixture
def embedded(page, monkeypatch):
    """The runs of the examples, in the local backend."""
    monkeypatch.setenv("TELLURIO_MODE", "local")


@pytest.fixture
def target(name, start_server, sign_in):
    """The URL of the backend that `sync` uploads runs to."""
    if name != "sync":
        return ""
    url = start_server(api_key="the-key")
    sign_in(url, "the-key")
    return url


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in LASTING])
def test_the_examples_in_the_help_work(
    name, invoke, shell, reached, start_server, sign_in, monkeypatch, request
):
    monkeypatch.setenv("TELLURIO_API_KEY", "the-key")
    if name in IN_A_SHELL and "embedded" in request.node.callspec.id:
        run = shell
    else:
        run = lambda line: invoke(*shlex.split(line)[1:])  # noqa: E731
    shown = invoke(*name.split(), "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    examples = re.findall(r"^example: (afnio-tellurio .+)$", shown.stdout, re.MULTILINE)
    assert examples
    assert examples == examples_of(name)
    for example in examples:
        assert f"{example} ".startswith(f"afnio-tellurio {name} ")
        platform = "https://platform.tellurio.ai"
        target = ""
        if platform in example:
            target = start_server(api_key="the-key")
            sign_in(target, "the-key")
        finished = run(example.replace(platform, target))
        assert finished.returncode == 0, finished.stderr
        assert finished.stderr == ""
        assert finished.stdout


def test_the_example_of_the_server_serves(start_python, home):
    arguments = arguments_of("serve")
    child = start_python("-m", "afnio_tellurio.cli", *arguments)
    assert "at http://" in child.stdout.readline()
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=GUARD)
    assert child.returncode == 0


@pytest.mark.parametrize("name", COMMANDS)
def test_a_wrong_usage_exits_with_2(name, invoke):
    finished = invoke(*name.split(), "--no-such-option")
    assert finished.returncode == 2
    assert finished.stdout == ""
    assert finished.stderr.startswith("usage: afnio-tellurio ")
    assert re.match(rf"afnio-tellurio( {name})?: error: ", finished.stderr.splitlines()[-1])


@pytest.mark.parametrize("name", NAMING_A_RUN)
def test_an_unknown_run_is_one_line(name, invoke, reached):
    arguments = arguments_of(name)
    place = next(index for index, word in enumerate(arguments) if word.count("/") == 2)
    for missing in ("acme/digits/nothing", "acme/nothing/first", "nobody/digits/first"):
        arguments[place] = missing
        line = one_line(invoke(*arguments))
        assert line.startswith(f"afnio-tellurio {name}: ")
        assert any(f"{part}" in line for part in ("nothing", "nobody"))


@pytest.mark.parametrize("name", sorted({*NAMING_A_RUN, "projects", "runs"}))
def test_where_tracking_is_disabled_no_run_is_made_up(name, invoke):
    finished = invoke(*arguments_of(name), TELLURIO_MODE="disabled")
    assert one_line(finished).startswith(f"afnio-tellurio {name}: TELLURIO_MODE is 'disabled'")
    assert finished.stdout == ""


@pytest.mark.parametrize("name", ASKING)
@pytest.mark.usefixtures("no_connect_delay")
def test_a_dead_server_is_one_line(name, invoke, runs_of_examples):
    url = "http://127.0.0.1:9"
    variables = {"TELLURIO_BACKEND_HTTP_BASE_URL": url, "TELLURIO_API_KEY": "the-key"}
    line = one_line(invoke(*arguments_of(name, url), **variables))
    assert f"{url} cannot be reached" in line
    assert not re.search(r"Errno|\b[a-z]+[A-Z]\w+: ", line), "the operation is not what was typed"


@pytest.mark.parametrize("name", ASKING)
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("html", "502 Bad Gateway"),
        ("cut", "cannot be reached"),
        ((200, b"<html>Sign in to the hotel's network</html>"), "is invalid"),
    ],
)
def test_a_server_that_fails_is_one_line(name, invoke, proxy, fault, words):
    proxy.fault = lambda *_: fault
    arguments = arguments_of(name, proxy.url)
    if name == "sync":
        # It reports for each run why it was not uploaded.
        arguments[1] += "/first"
    finished = invoke(*arguments, may_depart=("answer",))
    assert words in one_line(finished)


@pytest.mark.parametrize("name", [*NAMING_A_RUN, "sync"])
def test_a_server_that_dies_between_two_answers_is_one_line(name, invoke, proxy):
    answered = []
    proxy.fault = lambda *_: answered.append(1) if not answered else "drop"
    finished = invoke(*arguments_of(name, proxy.url), may_depart=("answer",))
    assert proxy.counts["drop"]
    one_line(finished)


@pytest.fixture
def hanging(proxy):
    """Has a server accept some requests, and then hang: sets `arrived`, and waits for `done`."""
    arrived, done = threading.Event(), threading.Event()

    def after(requests, arriving=lambda: None):
        def hang(_method, _path):
            if sum(proxy.counts.values()) < requests:
                return None
            arrived.set()
            arriving()
            done.wait(GUARD)
            return "reset"

        proxy.fault = hang
        return SimpleNamespace(url=proxy.url, arrived=arrived, done=done)

    yield after
    done.set()


@pytest.mark.parametrize("requests", [0, 1])
def test_ctrl_c_ends_the_process_with_one_line(requests, start_python, hanging):
    server = hanging(requests)
    child = start_python("-m", "afnio_tellurio.cli", *arguments_of("show", server.url))
    while not server.arrived.wait(0.05):
        assert child.poll() is None, child.stderr.read()
    child.send_signal(signal.SIGINT)
    _out, err = child.communicate(timeout=GUARD)
    assert child.returncode == 1
    assert err.splitlines() == ["afnio-tellurio: interrupted"]


@pytest.mark.parametrize("requests", [0, 1])
@pytest.mark.parametrize("name", ASKING)
def test_ctrl_c_is_one_line(name, requests, invoke, hanging):
    main_thread = threading.main_thread().ident
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        server = hanging(requests, lambda: signal.pthread_kill(main_thread, signal.SIGINT))
        finished = invoke(*arguments_of(name, server.url))
    finally:
        signal.signal(signal.SIGINT, before)
    if not server.arrived.is_set():
        # It accepts one request only, and has received it.
        assert (requests, finished.returncode) == (1, 0)
        return
    if name == "watch":
        # It is how people end it.
        assert (finished.returncode, finished.stderr) == (130, "")
        return
    assert finished.returncode == 1
    assert finished.stderr.splitlines() == ["afnio-tellurio: interrupted"]


@pytest.fixture
def unread():
    """The output of a command, through a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="utf-8") as out:
        yield out


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in LASTING])
def test_output_that_nobody_reads_is_no_message(name, invoke, embedded, target, unread):
    finished = invoke(
        *arguments_of(name, target), streams={"stdout": unread}, TELLURIO_API_KEY="the-key"
    )
    assert (finished.returncode, finished.stderr) == (1, "")


@pytest.mark.parametrize(
    ("name", "unbuffered"), [*((name, "") for name in sorted(LASTING)), ("runs", ""), ("runs", "1")]
)
def test_output_that_nobody_reads_is_no_traceback(name, unbuffered, start_python, embedded):
    child = start_python(
        "-m", "afnio_tellurio.cli", *arguments_of(name),
        TELLURIO_API_KEY="the-key", PYTHONUNBUFFERED=unbuffered,
    )  # fmt: skip
    child.stdout.close()
    child.stdout = None
    err = child.stderr.read()
    assert child.wait(timeout=GUARD) == 1
    assert err == ""


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_help_that_nobody_reads_is_no_traceback(unbuffered, start_python):
    arguments = ("-m", "afnio_tellurio.cli", "runs", "--help")
    child = start_python(*arguments, PYTHONUNBUFFERED=unbuffered)
    child.stdout.close()
    child.stdout = None
    assert child.stderr.read() == ""
    # argparse ignores errors when it writes.
    assert child.wait(timeout=GUARD) == (0 if unbuffered else 1)


needs_dev_full = pytest.mark.skipif(
    not os.path.exists("/dev/full"), reason="the system has no /dev/full"
)


@needs_dev_full
@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in LASTING])
def test_output_to_a_full_disk_is_one_line(name, invoke, embedded, target):
    with open("/dev/full", "w", encoding="utf-8") as full:
        finished = invoke(
            *arguments_of(name, target), streams={"stdout": full}, TELLURIO_API_KEY="the-key"
        )
    assert "No space left on device: 'stdout'" in one_line(finished)


@needs_dev_full
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_process_says_once_that_its_disk_is_full(unbuffered, shell, embedded):
    line = shlex.join(["afnio-tellurio", *arguments_of("runs")])
    finished = shell(f"{line} > /dev/full", PYTHONUNBUFFERED=unbuffered)
    assert "No space left on device: 'stdout'" in one_line(finished)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in LASTING])
def test_a_closed_output_is_no_failure(name, invoke, embedded, target):
    finished = invoke(
        *arguments_of(name, target), streams={"stdout": None}, TELLURIO_API_KEY="the-key"
    )
    assert (finished.returncode, finished.stderr) == (0, "")


def test_a_closed_output_is_no_failure_of_the_process(shell, embedded):
    line = shlex.join(["afnio-tellurio", *arguments_of("runs")])
    finished = shell(f"{line} >&-")
    assert (finished.returncode, finished.stderr) == (0, "")


@pytest.mark.parametrize("name", PRINTING_JSON)
def test_json_has_the_fields_that_are_documented(name, invoke, reached):
    finished = invoke(*arguments_of(name), "--json")
    assert (finished.returncode, finished.stderr) == (0, "")
    printed = json.loads(finished.stdout)
    section = re.search(rf"^### `{name}`\n(.*?)(?=^##|\Z)", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert section, f"docs/command-line.md does not say what `{name} --json` prints"
    documented = set(re.findall(r"^\| `([^`]+)`", section[1], re.MULTILINE))
    assert documented == set(paths_of(printed))


def paths_of(value, prefix=""):
    if isinstance(value, list) and value and isinstance(value[0], dict):
        for item in value:
            yield from paths_of(item, prefix)
    elif isinstance(value, dict) and prefix not in ANY_FIELDS:
        for key, inner in value.items():
            is_named = prefix in {"metrics.", "settings.", "tables."}
            yield from paths_of(inner, f"{prefix}{'NAME' if is_named else key}.")
    else:
        yield prefix.removesuffix(".")


@pytest.mark.parametrize("name", READING)
@pytest.mark.parametrize("option", [(), ("--json",)])
def test_the_embedded_backend_and_a_server_give_the_same(name, option, invoke, served):
    arguments = [*arguments_of(name), *option]
    if name == "export":
        arguments = ["export", "acme/digits/second", *(("--format", "jsonl") if option else ())]
    embedded = invoke(*arguments, TELLURIO_MODE="local")
    over_http = invoke(
        *arguments, TELLURIO_BACKEND_HTTP_BASE_URL=served, TELLURIO_API_KEY="the-key"
    )
    assert (embedded.returncode, embedded.stderr) == (0, "")
    assert (over_http.returncode, over_http.stderr) == (0, "")
    assert embedded.stdout == over_http.stdout
    assert len(embedded.stdout) > 15


def test_arguments_are_read_without_what_answers_them(run_python):
    finished = run_python(
        """
        import sys
        from afnio_tellurio.cli import main
        try:
            main(["runs", "--help"])
        finally:
            loaded = {"httpx", "attrs", "msgspec", "tellurio_api", "dateutil", "plotext", "shtab"}
            assert not loaded & set(sys.modules), loaded & set(sys.modules)
        """
    )
    assert (finished.returncode, finished.stderr) == (0, "")
