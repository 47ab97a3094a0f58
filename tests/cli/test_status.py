"""`afnio-tellurio status`: the settings in effect, and where each was set."""

import json

import pytest

import afnio_tellurio as te
from afnio_tellurio.api import credentials
from afnio_tellurio.settings.settings import configuration_directory


@pytest.fixture(autouse=True)
def default_timeout(home, monkeypatch):
    monkeypatch.delenv("TELLURIO_EXIT_TIMEOUT", raising=False)


def test_each_value_is_told_with_its_source_and_the_key_masked(invoke, server, monkeypatch):
    monkeypatch.setenv("TELLURIO_API_KEY", "the-key")
    path = configuration_directory() / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("exit_timeout = 12\n")
    facts = json.loads(invoke("status", "--json").stdout)
    settings = facts["settings"]
    assert settings["base_url"] == {"value": server, "source": "TELLURIO_BACKEND_HTTP_BASE_URL"}
    assert settings["exit_timeout"] == {"value": 12.0, "source": f"exit_timeout in {path}"}
    assert settings["mode"] == {"value": "auto", "source": "default"}
    assert settings["api_key"] == {"value": "…", "source": "environment"}
    assert facts["backend"] == {"tracks_to": server, "username": "ada", "problem": None}
    text = invoke("status").stdout
    assert "Connected as ada." in text
    assert "the-key" not in text


def test_a_long_key_is_known_by_its_end(invoke, start_server, monkeypatch):
    key = "a-long-key-that-ends-in-WXYZ"
    url = start_server(api_key=key)
    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", url)
    credentials.write_key(url, key)
    facts = json.loads(invoke("status", "--json").stdout)
    assert facts["settings"]["api_key"] == {"value": "…WXYZ", "source": "credentials file"}


def test_without_a_key_runs_stay_on_this_machine(invoke, home):
    finished = invoke("status")
    assert finished.returncode == 0, finished.stderr
    assert f"Runs are saved to {home}/tellurio.db" in finished.stdout


def test_disabled_tracking_is_said(invoke):
    assert "Tracking is disabled." in invoke("status", TELLURIO_MODE="disabled").stdout


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"TELLURIO_API_KEY": "wrong"}, "401"),
        ({"TELLURIO_BACKEND_HTTP_BASE_URL": "http://127.0.0.1:9"}, "cannot be reached"),
    ],
)
def test_a_backend_that_does_not_answer_or_refuses_is_told_and_fails(
    invoke, server, variables, words
):
    finished = invoke("status", **variables)
    assert finished.returncode == 1
    assert words in finished.stdout
    assert "SETTING" in finished.stdout


def test_journals_that_wait_are_counted(invoke, run_python, server):
    run_python(
        "import os, afnio_tellurio as te\nrun = te.init('acme', 'Digits')\nrun.log('loss', 1)\n"
        "os.kill(os.getpid(), 9)"
    )
    assert (
        "1 journal is waiting to be uploaded; run: afnio-tellurio sync" in invoke("status").stdout
    )


def test_files_that_were_refused_are_counted(invoke, server):
    with te.init("acme", "Digits", "refused") as run:
        run.log_artifact(b"1", "model", type="model")
        run.log_artifact(b"2", "model", type="dataset")
    words = (
        "1 file was refused and kept; when the backend may accept them, run: afnio-tellurio sync"
    )
    assert words in invoke("status").stdout
    assert "refused: 0 files (0 B) uploaded, 1 file refused" in invoke("sync", "--rejected").stdout
    assert json.loads(invoke("status", "--json").stdout)["rejected_files"] == 1


def test_what_is_no_setting_is_pointed_out(invoke):
    finished = invoke("status", TELLURIO_MODUS="local")
    assert "TELLURIO_MODUS; did you mean TELLURIO_MODE?" in finished.stdout
    assert finished.stderr == "", "it is said once"


@pytest.mark.parametrize("option", [(), ("--json",)])
def test_a_key_that_cannot_be_used_is_told_with_the_settings(invoke, server, monkeypatch, option):
    monkeypatch.delenv("TELLURIO_API_KEY")
    credentials.write_key(server, "the-key")
    credentials.credentials_file().chmod(0o644)
    finished = invoke("status", *option)
    assert (finished.returncode, finished.stderr) == (1, "")
    assert "TELLURIO_BACKEND_HTTP_BASE_URL" in finished.stdout
    assert "chmod 600" in finished.stdout
    refused = invoke("status", *option, TELLURIO_API_KEY="two words")
    assert (refused.returncode, refused.stderr) == (1, "")
    assert "TELLURIO_API_KEY contains a space" in refused.stdout


def test_a_bad_value_is_one_line(invoke):
    finished = invoke("status", TELLURIO_MODE="sideways")
    assert finished.returncode == 1
    assert finished.stderr == (
        "afnio-tellurio status: TELLURIO_MODE is 'sideways'; "
        "set it to one of auto, online, local, disabled\n"
    )
