"""The afnio-tellurio command, through its real entry point in child processes."""

import json
import os
import re
import signal
import socket
import subprocess
import sys

import httpx
import pytest
from children import GUARD

import afnio_tellurio as te


@pytest.fixture
def two_runs(backend):
    with te.init("acme", "Digits", "first", "learning rate 0.1") as run:
        for step in range(20):
            run.log("train/loss", 1 / (step + 1), step=step)
        run.log("matrix", [[1, 2], [3, float("nan")]])
        run.log("note", "done")
    return te.init("acme", "Digits", "second")


def test_runs_prints_a_table_newest_first(invoke, two_runs):
    finished = invoke("runs", "acme/digits")
    assert (finished.returncode, finished.stderr) == (0, "")
    header, second, first = finished.stdout.splitlines()
    assert header.split() == ["RUN", "STATUS", "CREATED", "DURATION", "USER"]
    assert second.split()[:2] == ["second", "RUNNING"]
    assert re.fullmatch(r"first +COMPLETED +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d +[\d.]+ s +\S+", first)


def test_runs_prints_json(invoke, two_runs):
    finished = invoke("runs", "acme/Digits", "--json")
    second, first = json.loads(finished.stdout)
    assert (second["uuid"], second["status"]) == (two_runs.uuid, "RUNNING")
    assert (first["name"], first["description"]) == ("first", "learning rate 0.1")


def test_show_prints_the_run_its_metrics_and_a_chart(invoke, two_runs):
    finished = invoke("show", "acme/digits/first")
    assert (finished.returncode, finished.stderr) == (0, "")
    lines = finished.stdout.splitlines()
    assert lines[0].split() == ["run", "first"]
    assert ["status", "COMPLETED"] in [line.split() for line in lines]
    assert ["description", "learning", "rate", "0.1"] in [line.split() for line in lines]
    rows = {line.split()[0]: line.split()[1:] for line in lines if line.split()}
    assert rows["METRIC"] == ["COUNT", "LAST", "MINIMUM", "MAXIMUM"]
    assert rows["train/loss"] == ["20", "0.05", "0.05", "1"] or "train/loss" in finished.stdout
    assert re.search(r"train/loss +20 +0\.05 +0\.05 +1$", finished.stdout, re.MULTILINE)
    assert re.search(r'note +1 +"done" +- +-$', finished.stdout, re.MULTILINE)
    assert re.search(r'matrix +1 +\[\[1, 2\], \[3, "NaN"\]\] +- +-$', finished.stdout, re.MULTILINE)
    assert sum(any("\u2800" < mark <= "\u28ff" for mark in line) for line in lines) >= 4
    assert "\x1b" not in finished.stdout


def test_show_prints_json(invoke, two_runs):
    finished = invoke("show", f"acme/digits/{list(te.runs('acme', 'digits'))[1].uuid}", "--json")
    shown = json.loads(finished.stdout)
    assert (shown["name"], shown["status"]) == ("first", "COMPLETED")
    loss = shown["metrics"]["train/loss"]
    assert (loss["count"], loss["first_step"], loss["last_step"]) == (20, 0, 19)
    assert (loss["last"], loss["minimum"], loss["maximum"]) == (0.05, 0.05, 1.0)
    assert shown["metrics"]["matrix"]["last"] == [[1, 2], [3, "NaN"]]


def test_a_run_whose_name_holds_slashes_is_shown(invoke, backend):
    te.init("acme", "Digits", "a/b c")
    assert invoke("show", "acme/digits/a/b c").stdout.splitlines()[0].split() == [
        "run",
        "a/b",
        "c",
    ]


def test_names_cannot_steer_the_terminal(invoke, backend):
    te.init("acme", "Digits", "evil\x1b[2J\rname").log("m\x07etric", 1)
    for arguments in (("runs", "acme/digits"), ("show", "acme/digits/evil\x1b[2J\rname")):
        out = invoke(*arguments).stdout
        assert "evil�[2J�name" in out
        assert not set(out) & {"\x1b", "\r", "\x07"}


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (
            ("runs", "acme/nothing"),
            1,
            "afnio-tellurio runs: Namespace acme not found. Namespaces: ",
        ),
        (("show", "acme/digits/none"), 1, "afnio-tellurio show: Namespace acme not found"),
        (("runs", "a b/c"), 1, "afnio-tellurio runs: namespace slug is 'a b'"),
        (
            ("rename", "acme"),
            2,
            "got 'acme'; to list its projects: afnio-tellurio projects acme",
        ),
        (
            ("show", "acme/my digits"),
            2,
            "got 'acme/my digits'; to list its runs: afnio-tellurio runs 'acme/my digits'",
        ),
        (("show", "/digits/a"), 2, "Expected NAMESPACE/PROJECT/RUN, got '/digits/a'\n"),
        (("runs", "acme/"), 2, "Expected NAMESPACE[/PROJECT], got 'acme/'; to list its projects"),
        (("open", "acme/"), 2, "Expected NAMESPACE[/PROJECT[/RUN]], got 'acme/'"),
        (("projects", "acme/digits"), 2, "Expected NAMESPACE, got 'acme/digits'"),
        (("trash", "acme/digits"), 2, "Expected NAMESPACE, got 'acme/digits'"),
        (("serve", "--port", "70000"), 2, "'70000' isn't a valid port"),
        (("fly",), 2, "invalid choice: 'fly'"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line_and_an_exit_status(invoke, arguments, status, words):
    finished = invoke(*arguments, TELLURIO_MODE="local")
    assert finished.returncode == status
    assert words in finished.stderr
    assert "Traceback" not in finished.stderr
    assert finished.stdout == ""
    if status == 1:
        assert len(finished.stderr.splitlines()) == 1


@pytest.mark.usefixtures("no_connect_delay")
def test_a_dead_server_is_one_line(invoke):
    finished = invoke("runs", "acme/digits", TELLURIO_BACKEND_HTTP_BASE_URL="http://127.0.0.1:9")
    assert finished.returncode == 1
    (line,) = finished.stderr.splitlines()
    assert "http://127.0.0.1:9 cannot be reached" in line


def test_a_bad_setting_is_one_line(invoke):
    finished = invoke("runs", "acme/digits", TELLURIO_MODE="offline")
    assert finished.returncode == 1
    assert finished.stderr.startswith("afnio-tellurio runs: TELLURIO_MODE is 'offline'")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        *(
            (name,)
            for name in (
                "projects",
                "runs",
                "show",
                "compare",
                "export",
                "rename",
                "delete",
                "sync",
                "serve",
            )
        ),
    ],
)
def test_help_is_there(invoke, arguments):
    finished = invoke(*arguments, "--help")
    assert finished.returncode == 0
    assert "usage: afnio-tellurio" in finished.stdout
    assert not arguments or "example: afnio-tellurio" in finished.stdout


def serve(start_python, *arguments, **variables):
    child = start_python(
        "-m", "afnio_tellurio.cli", "serve", "--port", "0", *arguments, **variables
    )
    line = child.stdout.readline()
    match = re.search(r"http://\S+", line)
    assert match, (line, child.communicate()[1] if child.poll() is not None else "")
    return child, match.group()


def end(child, number):
    """Ends a server by a signal, and returns what it has printed since."""
    child.send_signal(number)
    out, err = child.communicate(timeout=GUARD)
    assert child.returncode == 0
    assert "Traceback" not in out + err
    return out + err


def key(word):
    return {"Authorization": f"Api-Key {word}"}


def test_a_server_without_a_key_makes_one_and_shows_it_once(start_python):
    child, url = serve(start_python)
    made = child.stdout.readline().rsplit(" ", 1)[1].strip()
    assert len(made) >= 32
    address = f"{url}/api/v0/verify-api-key/"
    assert httpx.get(address, headers=key(made)).status_code == 200
    assert httpx.get(address, headers=key("wrong")).status_code == 401
    assert httpx.get(address).status_code == 401
    assert made not in end(child, signal.SIGINT)


def test_the_server_knows_its_user_and_only_the_namespaces_it_was_given(start_python, tmp_path):
    child, url = serve(
        start_python, "--api-key", "k", "--user", "Ada Lovelace", "--email", "ada@example.com",
        "--namespace", "acme", "--namespace", "other",
    )  # fmt: skip
    with httpx.Client(base_url=url, headers=key("k")) as client:
        owner = client.get("/api/v0/verify-api-key/").json()
        assert (owner["email"], owner["username"]) == ("ada@example.com", "Ada Lovelace")
        for namespace in ("acme", "other", "ada-lovelace"):
            assert client.get(f"/api/v0/{namespace}/projects/").status_code == 200
        assert client.get("/api/v0/nobody/projects/").status_code == 404
        client.post("/api/v0/other/projects/", json={"display_name": "Kept"})
    end(child, signal.SIGTERM)
    _again, url = serve(start_python, "--api-key", "k")
    with httpx.Client(base_url=url, headers=key("k")) as client:
        assert [p["slug"] for p in client.get("/api/v0/other/projects/").json()] == ["kept"]


def test_a_port_in_use_is_one_clear_line(command):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        finished = command("serve", "--port", port)
    assert finished.returncode == 1
    (line,) = finished.stderr.splitlines()
    assert port in line
    assert "--port" in line or "another port" in line


def test_a_database_that_is_none_is_one_clear_line(invoke, home):
    home.mkdir()
    (home / "tellurio.db").write_text("my diary, " * 1000)
    for arguments in (("serve", "--port", "0"), ("runs", "acme/digits")):
        finished = invoke(*arguments, TELLURIO_MODE="local")
        assert finished.returncode == 1
        (line,) = finished.stderr.splitlines()
        assert str(home / "tellurio.db") in line
    assert (home / "tellurio.db").read_text() == "my diary, " * 1000


def test_the_installed_command_is_the_module(tmp_path):
    entry = os.path.join(os.path.dirname(sys.executable), "afnio-tellurio")
    finished = subprocess.run([entry, "--version"], capture_output=True, text=True, check=True)
    assert finished.stdout == f"afnio-tellurio {te.__version__}\n"


def test_ctrl_c_before_a_command_has_begun_is_one_line(run_python):
    finished = run_python(
        """
        import importlib.abc, os, signal, sys

        class Impatient(importlib.abc.MetaPathFinder):
            def find_spec(self, name, *_others):
                if name == "argparse":
                    os.kill(os.getpid(), signal.SIGINT)

        from afnio_tellurio.cli import main
        assert "argparse" not in sys.modules, "it is what takes long"
        sys.meta_path.insert(0, Impatient())
        sys.exit(main(["completion", "bash"]))
        """
    )
    assert finished.returncode == 1
    assert (finished.stdout, finished.stderr) == ("", "afnio-tellurio: interrupted\n")


@pytest.mark.parametrize("module", ["afnio_tellurio", "afnio_tellurio.cli"])
def test_the_command_runs_as_a_module(start_python, module):
    child = start_python("-m", module, "--version")
    out, err = child.communicate(timeout=GUARD)
    assert (child.returncode, out, err) == (0, f"afnio-tellurio {te.__version__}\n", "")


def test_importing_the_module_of_the_command_runs_nothing(run_python):
    finished = run_python("import afnio_tellurio.__main__")
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")
