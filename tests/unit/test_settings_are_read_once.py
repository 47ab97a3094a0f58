"""A client keeps the settings that it was made with; `init` checks each argument once."""

import pytest

import afnio_tellurio as te
from afnio_tellurio import default_client, validation
from afnio_tellurio.client import connection_of
from afnio_tellurio.settings import settings as settings_module


@pytest.fixture
def reads(monkeypatch):
    """Counts how often the settings file is read."""
    counted = []
    read = settings_module.read_settings_file

    def counting(path):
        counted.append(path)
        return read(path)

    monkeypatch.setattr(settings_module, "read_settings_file", counting)
    monkeypatch.setenv("TELLURIO_MODE", "local")
    # A line for people asks whether it is silenced, at the moment when it is shown.
    monkeypatch.setattr("afnio_tellurio.notices.is_quiet", lambda: True)
    return counted


def test_a_run_reads_them_when_it_starts_and_not_again(reads):
    run = te.init("acme", "Digits")
    started = len(reads)
    # One for the default client, and one for the backend that it opens.
    assert started <= 2
    for step in range(10):
        run.log("loss", step)
    run.flush()
    run.metrics()
    run.summary()
    run.finish()
    assert len(reads) == started


def test_the_next_call_without_a_client_reads_them_once(reads):
    te.init("acme", "Digits").finish()
    before = len(reads)
    te.get_project("acme", "digits")
    assert len(reads) == before + 1


def test_journals_stay_beside_their_database(monkeypatch, tmp_path):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    run = te.init("acme", "Digits")
    monkeypatch.setenv("TELLURIO_HOME", str(tmp_path / "another"))
    run.log("loss", 1)
    run.finish()
    assert run.metrics("loss").values == [1]
    assert not (tmp_path / "another").exists()


def test_a_changed_timeout_counts_from_the_next_call_without_a_client(monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    client = default_client.default_client()
    monkeypatch.setenv("TELLURIO_EXIT_TIMEOUT", "7")
    assert default_client.default_client() is client
    assert connection_of(client).settings.exit_timeout == 7


def test_init_checks_each_argument_once(monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    checked = []
    check = validation.checked_text

    def counting(call, what, text):
        checked.append(what)
        return check(call, what, text)

    monkeypatch.setattr(validation, "checked_text", counting)
    monkeypatch.setattr("afnio_tellurio.tracking.functions.checked_text", counting)
    te.init("acme", "Digits", "name", "description").finish()
    assert sorted(checked) == ["description", "namespace slug", "project display name", "run name"]
