"""Shells complete the command, in each real shell that is installed."""

import os
import re
import shutil
import subprocess

import pytest
from children import GUARD

import afnio_tellurio as te
from afnio_tellurio.cli import filtering

BASH = r"""
source "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
function_name=$(complete -p afnio-tellurio | sed 's/.*-F \([^ ]*\).*/\1/')
"$function_name" afnio-tellurio "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def script(invoke, tmp_path):
    """The file with the script for a shell."""

    def write(shell):
        finished = invoke("completion", shell)
        assert (finished.returncode, finished.stderr) == (0, "")
        path = tmp_path / f"completion.{shell}"
        path.write_text(finished.stdout)
        return str(path)

    return write


def here(shell):
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"{shell} is not installed")
    return found


@pytest.fixture
def in_bash(script):
    def complete(*words):
        arguments = [here("bash"), "--norc", "-c", BASH, "bash", script("bash"), "afnio-tellurio"]
        # A completion must not start the command: it would not be found.
        environment = {"PATH": "/usr/bin:/bin", "HOME": os.environ["HOME"]}
        finished = subprocess.run(
            [*arguments, *words], capture_output=True, text=True, check=True, env=environment,
            timeout=GUARD,
        )  # fmt: skip
        assert finished.stderr == ""
        return finished.stdout.split()

    return complete


def test_bash_completes_commands(in_bash):
    assert {"projects", "runs", "export", "completion"} <= set(in_bash(""))
    assert in_bash("ren") == ["rename"]


def test_bash_completes_options_of_the_command_and_no_others(in_bash):
    assert set(in_bash("runs", "acme/digits", "--s")) == {"--status", "--since", "--sort"}
    assert in_bash("delete", "acme/digits/a", "--y") == ["--yes"]
    assert in_bash("show", "acme/digits/a", "--y") == []


def test_bash_completes_commands_of_a_command(in_bash):
    assert set(in_bash("artifact", "d")) == {"download", "delete", "diff"}
    assert set(in_bash("artifact", "delete", "acme/digits/model", "--")) >= {"--force", "--purge"}
    assert in_bash("artifact", "show", "acme/digits/model", "--fo") == []


def test_bash_completes_choices(in_bash):
    assert set(in_bash("runs", "acme/digits", "--status", "C")) == {"COMPLETED", "CRASHED"}
    assert set(in_bash("export", "a/b/c", "--format", "")) == {"csv", "jsonl", "parquet"}
    assert set(in_bash("completion", "")) == {"bash", "zsh", "fish", "powershell"}


def test_bash_completes_files(in_bash, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "first.csv").touch()
    assert in_bash("export", "a/b/c", "--output", "fir") == ["first.csv"]


def test_fish_completes_commands_options_and_choices(script):
    fish, path = here("fish"), script("fish")

    def complete(line):
        program = f"source {path}; complete --do-complete 'afnio-tellurio {line}'"
        finished = subprocess.run(
            [fish, "--no-config", "-c", program], capture_output=True, text=True, check=True,
            timeout=GUARD,
        )  # fmt: skip
        return {found.split("\t")[0] for found in finished.stdout.splitlines()}

    assert {"projects", "runs", "export"} <= complete("")
    assert {"--status", "--since", "--sort"} <= complete("runs acme/digits --s")
    assert complete("runs acme/digits --status C") == {"COMPLETED", "CRASHED"}


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("ren", "rename"),
        ("runs acme/digits --sta", "--status"),
        ("runs acme/digits --status COM", "COMPLETED"),
    ],
)
def test_zsh_completes_commands_options_and_choices(script, terminal, tmp_path, typed, shown):
    zsh = here("zsh")
    shutil.copy(script("zsh"), tmp_path / "_afnio-tellurio")
    shell = terminal("-f", "-i", executable=zsh, cwd=str(tmp_path), columns=100, TERM="dumb")
    shell.type(
        f"PS1='rea''dy> '; fpath=({tmp_path} $fpath); autoload -U compinit; compinit -u -D\n"
    )
    shell.read_until("ready> ")
    shell.type(f"afnio-tellurio {typed}\t")
    # The text that it adds to the typed text.
    shell.read_until(typed + shown.removeprefix(typed.rpartition(" ")[2]))


def test_powershell_has_a_script(invoke):
    finished = invoke("completion", "powershell")
    assert "Register-ArgumentCompleter" in finished.stdout
    assert "--status" in finished.stdout


def test_another_shell_is_a_wrong_usage(invoke):
    finished = invoke("completion", "csh")
    assert finished.returncode == 2
    assert "invalid choice: 'csh'" in finished.stderr


def test_the_statuses_that_complete_are_those_there_are():
    assert set(filtering._STATUSES) == set(te.RunStatus.__members__)


def test_the_lines_in_the_documents_are_right(invoke, tmp_path):
    root = os.path.join(os.path.dirname(__file__), "..", "..")
    for name in ("docs/command-line.md",):
        with open(os.path.join(root, name), encoding="utf-8") as file:
            shells = set(re.findall(r"afnio-tellurio completion (\w+)", file.read()))
        assert {"bash", "zsh", "fish"} <= shells
        for shell in shells:
            assert invoke("completion", shell).returncode == 0
