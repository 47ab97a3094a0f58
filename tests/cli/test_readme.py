"""What the README shows is what happens."""

import re
from pathlib import Path

from children import GUARD

README = (Path(__file__).parent.parent.parent / "README.md").read_text("utf-8")
SETTINGS = {"TELLURIO_MODE": "local", "TELLURIO_QUIET": "1", "COLUMNS": "80"}


def block(language):
    return re.search(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)[1]


def test_the_code_gives_the_output_shown(run_python):
    finished = run_python(block("python"), **SETTINGS)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout == block("text")


def test_the_command_shows_what_is_shown(run_python, start_python):
    run_python(block("python"), **SETTINGS)
    command, *wanted = block("console").splitlines()
    arguments = command.removeprefix("$ afnio-tellurio ").split()
    child = start_python("-m", "afnio_tellurio.cli", *arguments, **SETTINGS)
    shown = [line.rstrip() for line in child.communicate(timeout=GUARD)[0].splitlines()]
    differs = re.compile(r"uuid|created|duration|user")
    assert [line for line in shown if not differs.match(line)] == [
        line for line in wanted if not differs.match(line)
    ]


def test_every_command_named_exists():
    root = Path(__file__).parent.parent.parent
    for script in re.findall(r"scripts/\w+\.sh", README):
        assert (root / script).stat().st_mode & 0o111, script
