"""Which backend a call goes to, and signing in."""

import json
import os

import keyring
import keyring.backend
import pytest
from children import complaints

import afnio_tellurio as te
from afnio_tellurio.api.auth import find_credential
from afnio_tellurio.client import connection_of
from afnio_tellurio.settings.settings import read_settings


class RecordingKeyring(keyring.backend.KeyringBackend):
    priority = 1

    def __init__(self):
        super().__init__()
        self.kept = {}

    def get_password(self, service, username):
        return self.kept.get((service, username))

    def set_password(self, service, username, password):
        self.kept[service, username] = password

    def delete_password(self, service, username):
        del self.kept[service, username]


class LockedKeyring(keyring.backend.KeyringBackend):
    priority = 1

    def get_password(self, service, username):
        raise keyring.errors.KeyringLocked("locked")

    def set_password(self, service, username, password):
        raise keyring.errors.KeyringLocked("locked")


@pytest.fixture
def kept(monkeypatch, tmp_path):
    """A keyring that records what is stored in it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    before = keyring.get_keyring()
    recording = RecordingKeyring()
    keyring.set_keyring(recording)
    yield recording.kept
    keyring.set_keyring(before)


def test_without_key_and_url_runs_stay_on_this_machine_and_one_line_says_so(run_python, home):
    finished = run_python(
        """
        import afnio_tellurio as te
        te.init("acme", "Digits").finish()
        te.init("acme", "Digits").finish()
        """
    )
    assert finished.returncode == 0
    assert finished.stdout == ""
    (line,) = complaints(finished.stderr).splitlines()
    assert line.startswith("afnio-tellurio: Tracking locally in ")
    assert str(home / "tellurio.db") in line
    assert (home / "tellurio.db").exists()


def test_the_line_goes_to_the_log_where_logging_is_set_up(run_python):
    finished = run_python(
        """
        import logging, sys
        logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(name)s %(levelname)s %(message)s")
        import afnio_tellurio as te
        te.init("acme", "Digits").finish()
        """
    )
    assert finished.stdout.startswith("afnio_tellurio INFO Tracking locally in ")
    assert finished.stderr == ""


def test_local_mode_wins_over_a_key(run_python, home):
    finished = run_python(
        "import afnio_tellurio as te; te.init('acme', 'Digits').finish()",
        TELLURIO_MODE="local", TELLURIO_API_KEY="k", TELLURIO_BACKEND_HTTP_BASE_URL="http://127.0.0.1:9",
        TELLURIO_QUIET="1",
    )  # fmt: skip
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")
    assert (home / "tellurio.db").exists()


def test_a_base_url_or_a_key_means_online(monkeypatch):
    from afnio_tellurio.default_client import default_client

    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", "http://127.0.0.1:9")
    assert default_client().url == "http://127.0.0.1:9"
    monkeypatch.delenv("TELLURIO_BACKEND_HTTP_BASE_URL")
    monkeypatch.setenv("TELLURIO_API_KEY", "k")
    assert default_client().url == "https://platform.tellurio.ai"
    assert default_client() is default_client()


def test_a_setting_that_no_backend_depends_on_makes_no_second_client(monkeypatch):
    from afnio_tellurio.default_client import default_client

    monkeypatch.setenv("TELLURIO_MODE", "local")
    client = default_client()
    monkeypatch.setenv("TELLURIO_QUIET", "1")
    monkeypatch.setenv("TELLURIO_EXIT_TIMEOUT", "3")
    assert default_client() is client
    monkeypatch.setenv("TELLURIO_HOME", f"{connection_of(client).address}-other")
    assert default_client() is not client


def test_a_handler_may_ask_for_the_client_that_is_being_made(monkeypatch):
    from afnio_tellurio import default_client as client_module

    def asked_again(settings):
        monkeypatch.setattr(client_module, "warn_of_settings", lambda _settings: None)
        inner.append(client_module.default_client())

    inner = []
    monkeypatch.setenv("TELLURIO_MODE", "local")
    monkeypatch.setattr(client_module, "warn_of_settings", asked_again)
    assert client_module.default_client() is inner[0]


def test_a_key_that_an_earlier_login_stored_means_online(kept):
    from afnio_tellurio.default_client import default_client

    kept["Tellurio", "https://platform.tellurio.ai"] = "stored"
    assert default_client().url == "https://platform.tellurio.ai"


def test_disabled_mode_does_nothing_at_all(run_python, home):
    finished = run_python(
        """
        import sys, threading
        events = []
        import afnio_tellurio as te
        te.init, te.create_project
        def watch(event, details):
            if event in ("socket.connect", "sqlite3.connect") or (event == "open" and "w" in str(details[1])):
                events.append((event, details))
        sys.addaudithook(watch)
        run = te.init("acme", "Digits", "test_run")
        te.log("loss", 1)
        with run:
            run.log("loss", {1})
        assert run.metrics() == run.summary() == {}
        run.update("best_run", "Learning rate 0.01")
        assert (run.name, run.description) == ("best_run", "Learning rate 0.01")
        te.delete_run("acme", "Digits", "best_run")
        assert te.list_projects("acme") == []
        assert te.get_project("acme", "digits") is None
        assert te.create_project("acme", "Digits").slug == "digits"
        te.delete_project("acme", "digits")
        assert te.list_trash("acme") == []
        assert te.restore_project("acme", "digits").slug == "digits"
        assert te.restore_run("acme", "digits", "x").name == "x"
        assert list(te.runs("acme", "digits")) == []
        assert te.get_run("acme", "digits", "x").metrics("loss").values == []
        assert te.login() == {"email": "", "username": ""}
        second = te.init("acme", "Digits")
        te.finish()
        assert run.status == "COMPLETED" and second.status == "COMPLETED"
        assert threading.active_count() == 1
        assert not events, events
        """,
        TELLURIO_MODE="disabled",
    )
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")
    assert not home.exists()


def test_login_with_a_good_key_tells_the_owner_and_keeps_the_key(start_server, monkeypatch, kept):
    url = start_server(api_key="good")
    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", url)
    assert te.login("good") == {"email": "ada@example.com", "username": "ada"}
    assert kept == {("Tellurio", "ada"): "good"}
    with te.init("ada", "Digits") as run:
        run.log("loss", 1)
    client = te.TellurioClient()
    assert client.login() == {"email": "ada@example.com", "username": "ada"}


def test_the_keyring_service_can_be_named(start_server, monkeypatch, kept):
    url = start_server(api_key="good")
    monkeypatch.setenv("KEYRING_SERVICE_NAME", "Elsewhere")
    te.TellurioClient(url).login("good")
    assert kept == {("Elsewhere", url): "good"}


def test_a_refused_key_is_not_stored_and_does_not_replace_a_good_one(start_server, kept):
    url = start_server(api_key="good")
    client = te.TellurioClient(url)
    client.login("good")
    with pytest.raises(te.InvalidAPIKeyError, match="Cannot verify the API key"):
        client.login("bad")
    assert kept == {("Tellurio", url): "good"}
    assert client.get("/api/v0/verify-api-key/").status_code == 200


def test_the_argument_wins_over_the_environment_and_that_over_the_keyring(
    start_server, monkeypatch, kept
):
    url = start_server(api_key="good")
    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", url)
    kept["Tellurio", url] = "stale"
    with pytest.raises(te.InvalidAPIKeyError):
        te.TellurioClient(url).login()
    monkeypatch.setenv("TELLURIO_API_KEY", "good")
    assert te.TellurioClient(url).login()["username"]
    assert kept == {("Tellurio", url): "stale"}
    with pytest.raises(te.InvalidAPIKeyError):
        te.TellurioClient(url).login("bad")


def account(tmp_path):
    return json.loads((tmp_path / ".tellurio_config.json").read_text())


def store_as_afnio(tmp_path, kept, key, username="ada"):
    """Does what `afnio login` does, after consent was given."""
    content = {"username": username, "allow_api_key_sharing": True}
    (tmp_path / ".tellurio_config.json").write_text(json.dumps(content))
    kept["Tellurio", username] = key


def test_the_default_backend_shares_its_key_with_afnio(start_server, monkeypatch, kept, tmp_path):
    url = start_server(api_key="good")
    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", url)
    store_as_afnio(tmp_path, kept, "good")
    assert te.login()["username"] == "ada"
    assert find_credential(read_settings()).source == "keyring"
    kept["Tellurio", "ada"] = "an old one"
    te.login("good", relogin=True)
    assert kept == {("Tellurio", "ada"): "good"}
    assert account(tmp_path)["username"] == "ada"
    assert account(tmp_path)["allow_api_key_sharing"] is True
    assert "good" not in (tmp_path / ".tellurio_config.json").read_text()


def test_another_user_did_not_consent(start_server, monkeypatch, kept, tmp_path):
    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", start_server(api_key="good"))
    store_as_afnio(tmp_path, kept, "theirs", username="bob")
    te.login("good")
    assert (kept["Tellurio", "bob"], kept["Tellurio", "ada"]) == ("theirs", "good")
    assert account(tmp_path)["username"] == "ada"
    assert "allow_api_key_sharing" not in account(tmp_path)


def test_a_backend_that_is_not_the_default_has_an_entry_of_its_own(start_server, kept, tmp_path):
    url = start_server(api_key="good")
    store_as_afnio(tmp_path, kept, "good")
    with pytest.raises(ValueError, match="API key is required"):
        te.TellurioClient(url).login()
    te.TellurioClient(url).login("good")
    assert kept == {("Tellurio", "ada"): "good", ("Tellurio", url): "good"}
    assert "afnio_tellurio" not in account(tmp_path)


def test_the_key_of_one_default_backend_is_not_sent_to_the_next(
    start_server, monkeypatch, kept, tmp_path
):
    first, second = start_server(api_key="one"), start_server(api_key="two")
    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", first)
    te.login("one")
    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", second)
    with pytest.raises(ValueError, match="API key is required"):
        te.login()
    te.login("two")
    assert kept == {("Tellurio", "ada"): "one", ("Tellurio", second): "two"}
    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", first)
    assert te.login()["username"] == "ada"
    # afnio replaces it with one of its own.
    kept["Tellurio", "ada"] = "two"
    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", second)
    del kept["Tellurio", second]
    assert te.login()["username"] == "ada"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"username": 7}', '{"username": ""}'])
def test_an_account_file_that_says_nothing_is_no_error(
    start_server, monkeypatch, kept, tmp_path, content
):
    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", start_server(api_key="good"))
    (tmp_path / ".tellurio_config.json").write_text(content)
    with pytest.raises(ValueError, match="API key is required"):
        te.login()
    te.login("good")
    assert kept == {("Tellurio", "ada"): "good"}


def test_where_the_account_cannot_be_written_the_backend_has_its_own_entry(
    start_server, monkeypatch, kept, tmp_path
):
    url = start_server(api_key="good")
    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", url)
    monkeypatch.setenv("HOME", str(tmp_path / "missing"))
    te.login("good")
    assert kept == {("Tellurio", url): "good"}


def test_a_refused_key_changes_nothing_that_is_stored(start_server, monkeypatch, kept, tmp_path):
    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", start_server(api_key="good"))
    store_as_afnio(tmp_path, kept, "good")
    before = (dict(kept), account(tmp_path))
    client = te.TellurioClient()
    with pytest.raises(
        te.InvalidAPIKeyError, match=r"^Login failed due to invalid API key\. .*sign in with"
    ):
        client.login("bad")
    with pytest.raises(
        te.InvalidAPIKeyError, match=r"^Re-login failed due to invalid API key\. .*sign in with"
    ):
        te.login("bad", relogin=True)
    assert (dict(kept), account(tmp_path)) == before
    assert client.login()["username"] == "ada"


def test_no_key_at_all_says_that_one_is_required(kept):
    client = te.TellurioClient("http://127.0.0.1:9")
    with pytest.raises(
        ValueError, match=r"^API key is required for the first login\. Pass api_key"
    ):
        client.login()
    kept["Tellurio", "http://127.0.0.1:9"] = "stored"
    with pytest.raises(ValueError, match=r"^API key is required for re-login\. Pass api_key"):
        client.login(relogin=True)


def test_a_locked_keyring_is_no_error(start_server):
    url = start_server(api_key="good")
    before = keyring.get_keyring()
    keyring.set_keyring(LockedKeyring())
    try:
        assert te.TellurioClient(url).login("good")["username"] == "ada"
        # It is stored in the credentials file instead.
        assert te.TellurioClient(url).login()["username"] == "ada"
        assert find_credential(read_settings(url)).source == "credentials file"
    finally:
        keyring.set_keyring(before)


def test_the_embedded_backend_needs_no_key(tmp_path):
    with te.TellurioClient.local(tmp_path / "mine.db") as client:
        assert set(client.login()) == {"email", "username"}


def test_the_key_is_in_no_repr(monkeypatch):
    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("TELLURIO_API_KEY", "very-secret")
    client = te.TellurioClient("http://127.0.0.1:9")
    with pytest.raises(te.BackendUnreachableError):
        client.get("/api/v0/verify-api-key/")
    assert repr(client) == "TellurioClient('http://127.0.0.1:9')"
    assert "very-secret" not in repr(client.api)


def test_a_client_given_to_init_is_used_by_the_run(tmp_path):
    with te.TellurioClient.local(tmp_path / "mine.db") as client:
        with te.init("acme", "Digits", client=client) as run:
            te.log("loss", 1)
        assert [found.uuid for found in te.runs("acme", "Digits", client)] == [run.uuid]
    assert not (tmp_path / "home" / "tellurio.db").exists()


def test_environment_files_are_not_read(run_python, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("TELLURIO_MODE=disabled\n")
    finished = run_python("import afnio_tellurio as te; print(te.init('acme', 'Digits').uuid)")
    assert not finished.stdout.startswith("00000000")


def test_a_user_whose_name_is_not_utf_8_tracks_runs(monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, os.fsdecode(b"ren\xe9"))
    with te.init("acme", "Digits") as run:
        run.log("loss", 1)
    assert run.user.username == "ren?"
