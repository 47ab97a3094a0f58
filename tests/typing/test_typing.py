"""Applications are typed: mypy and pyright, both strict, accept valid code and reject invalid code."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import afnio_tellurio as te

pytestmark = pytest.mark.tools

HERE = Path(__file__).parent
ACCEPTED, REJECTED = HERE / "accepted.py", HERE / "rejected.py"
README = HERE.parent.parent / "generated" / "tellurio_api" / "README.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", README.read_text("utf-8"), re.DOTALL | re.MULTILINE)
MARK = "# rejected"
MYPY_SETTINGS = """
[mypy]
strict = True
# Large packages that httpx imports for its command line.
[mypy-click.*,pygments.*,rich.*]
follow_imports = skip
"""


def write_programs(folder):
    """Writes every program to check: valid and invalid code, and the examples of the generated client."""
    for path in (ACCEPTED, REJECTED):
        shutil.copy(path, folder)
    for number, program in enumerate(EXAMPLES):
        (folder / f"example_{number}.py").write_text(program, "utf-8")
    mistaken = EXAMPLES[0].replace("step=step)", f"step='x')  {MARK}")
    assert mistaken != EXAMPLES[0]
    (folder / "mistaken_example.py").write_text(mistaken, "utf-8")


def mypy(folder):
    (folder / "mypy.ini").write_text(MYPY_SETTINGS)
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "--output", "json"]
    command += ["--config-file", "mypy.ini", "--cache-dir", os.devnull]
    command += sorted(path.name for path in folder.glob("*.py"))
    environment = {name: value for name, value in os.environ.items() if name != "MYPYPATH"}
    finished = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert finished.stderr == ""
    found = [json.loads(line) for line in finished.stdout.splitlines()]
    return [
        (one["file"], one["line"], one["message"]) for one in found if one["severity"] == "error"
    ]


def pyright(folder):
    # An invalid line is often an unused expression.
    settings = {"typeCheckingMode": "strict", "reportUnusedExpression": False}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--outputjson"]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    report = json.loads(finished.stdout)
    assert report["summary"]["filesAnalyzed"] == len(list(folder.glob("*.py")))
    return [
        (Path(one["file"]).name, one["range"]["start"]["line"] + 1, one["message"])
        for one in report["generalDiagnostics"]
        if one["severity"] == "error"
    ]


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    # Without this repository's settings and with the package installed, as in an application.
    # Without their py.typed, mypy would reject the packages.
    folder = tmp_path_factory.mktemp("typing")
    write_programs(folder)
    return folder


@pytest.mark.parametrize("check", [mypy, pyright], ids=["mypy", "pyright"])
def test_exactly_the_lines_that_are_wrong_are_rejected(programs, check):
    marked = {
        (path.name, number)
        for path in programs.glob("*.py")
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if line.endswith(MARK)
    }
    assert {name for name, _ in marked} == {REJECTED.name, "mistaken_example.py"}
    errors = check(programs)
    assert {(name, line) for name, line, _ in errors} == marked, errors


def test_every_public_name_is_used():
    text = ACCEPTED.read_text("utf-8")
    assert set(re.findall(r"\bte\.(\w+)", text)) == set(te.__all__)
