"""Applications are typed: mypy and pyright, both strict, accept valid code and reject invalid code."""

import json
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


def mypy(folder):
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--output", "json"]
    command += ["--config-file", "", "--cache-dir", ".mypy_cache", ACCEPTED.name, REJECTED.name]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
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
    assert report["summary"]["filesAnalyzed"] == 2
    return [
        (Path(one["file"]).name, one["range"]["start"]["line"] + 1, one["message"])
        for one in report["generalDiagnostics"]
        if one["severity"] == "error"
    ]


@pytest.fixture(scope="module", params=[mypy, pyright], ids=["mypy", "pyright"])
def errors(request, tmp_path_factory):
    # Without this repository's settings and with the package installed, as in an application.
    folder = tmp_path_factory.mktemp("typing")
    for path in (ACCEPTED, REJECTED):
        shutil.copy(path, folder)
    return request.param(folder)


def test_what_is_right_is_accepted(errors):
    assert [error for error in errors if error[0] == ACCEPTED.name] == []


def test_exactly_the_lines_that_are_wrong_are_rejected(errors):
    marked = {
        number
        for number, line in enumerate(REJECTED.read_text("utf-8").splitlines(), 1)
        if line.endswith("# rejected")
    }
    found = [error for error in errors if error[0] == REJECTED.name]
    assert {line for _, line, _ in found} == marked, found


def test_every_public_name_is_used():
    text = ACCEPTED.read_text("utf-8")
    assert set(re.findall(r"\bte\.(\w+)", text)) == set(te.__all__)
