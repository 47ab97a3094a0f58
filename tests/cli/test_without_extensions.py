"""The command and a backend that keeps nothing of a run beside its metrics."""

import json

import httpx
import pytest
from plain_backend import PlainBackend

import afnio_tellurio as te

PROJECT = "acme/digits"


@pytest.fixture(autouse=True)
def run(monkeypatch):
    """A run of such a backend, which ignores details."""
    monkeypatch.setenv("TELLURIO_MODE", "local")
    monkeypatch.setattr(httpx, "WSGITransport", PlainBackend)
    with te.init("acme", "Digits", "run") as run:
        run.log("loss", 1)
    te.init("acme", "Digits", "other", config={"lr": 0.1}, parent=run).finish()
    return run


def test_what_it_keeps_is_shown(invoke):
    shown = invoke("show", f"{PROJECT}/run")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "\nduration  0." in shown.stdout
    assert "CHILDREN" not in shown.stdout
    facts = json.loads(invoke("show", f"{PROJECT}/run", "--json").stdout)
    assert (facts["children"], facts["environment"], facts["date_ended"]) == ([], None, None)
    listed = invoke("runs", PROJECT)
    assert [line.split()[0] for line in listed.stdout.splitlines()] == ["RUN", "other", "run"]
    assert invoke("runs", PROJECT, "--tag", "a").stderr == "No runs match.\n"
    compared = invoke("compare", f"{PROJECT}/run", f"{PROJECT}/other")
    assert compared.returncode == 0
    assert "CONFIG" not in compared.stdout


def test_a_change_that_it_ignores_is_a_failure(invoke):
    tagged = invoke("tag", f"{PROJECT}/run", "best")
    assert (tagged.returncode, tagged.stdout) == (1, "Tags of run: -\n")
    assert "does not keep the tags of runs" in tagged.stderr
    noted = invoke("rename", f"{PROJECT}/run", "--notes", "text")
    assert (noted.returncode, noted.stdout) == (1, "")
    assert "ignored the new notes of run 'run'" in noted.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("artifacts", PROJECT),
        ("artifact", "show", f"{PROJECT}/model"),
        ("artifact", "versions", f"{PROJECT}/model"),
        ("artifact", "upload", PROJECT, __file__),
        ("files", f"{PROJECT}/run"),
    ],
)
def test_artifacts_that_it_lacks_are_one_line(invoke, arguments):
    finished = invoke(*arguments)
    assert (finished.returncode, finished.stdout) == (1, "")
    (line,) = finished.stderr.splitlines()
    assert ": This backend does not " in line
