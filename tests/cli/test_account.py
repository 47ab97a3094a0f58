"""Signing in and out, through the real command."""

import io
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from children import GUARD, child_environment, complaints
from leftovers import end_active_run
from ports import port_to_reuse
from site_server import Serving

import afnio_tellurio as te
from afnio_tellurio.api import credentials
from afnio_tellurio.backend import BackendUser, open_backend
from afnio_tellurio.backend.application import Backend
from afnio_tellurio.backend.server import Server

KEY = "good-key-with-enough-characters"
KEYRING = """
import json, os, pathlib
import keyring.backend

class Recording(keyring.backend.KeyringBackend):
    priority = 1
    path = pathlib.Path(os.environ["RECORDING_KEYRING"])

    def _kept(self):
        return json.loads(self.path.read_text()) if self.path.exists() else {}

    def get_password(self, service, username):
        return self._kept().get(f"{service} {username}")

    def set_password(self, service, username, password):
        self.path.write_text(json.dumps({**self._kept(), f"{service} {username}": password}))

    def delete_password(self, service, username):
        kept = self._kept()
        del kept[f"{service} {username}"]
        self.path.write_text(json.dumps(kept))
"""


@pytest.fixture
def url(start_server, monkeypatch):
    url = start_server(api_key=KEY)
    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", url)
    return url


def test_a_key_is_asked_for_unseen_and_kept_for_its_owner_alone(terminal, invoke, url):
    shown = terminal("login")
    shown.read_until("input is hidden")
    shown.type(KEY)
    # While it asks, no list of processes shows a key.
    assert KEY.encode() not in Path(f"/proc/{shown.pid}/cmdline").read_bytes()
    assert KEY.encode() not in Path(f"/proc/{shown.pid}/environ").read_bytes()
    shown.type("\n")
    assert shown.end() == 0, shown.shown
    assert KEY not in shown.shown
    assert "as ada; key stored in the credentials file" in shown.shown
    assert credentials.read_key(url) == KEY
    finished = invoke("whoami", "--json")
    assert json.loads(finished.stdout) == {
        "backend": url,
        "email": "ada@example.com",
        "username": "ada",
        "key_source": "credentials file",
    }


def test_the_prompt_names_the_page_where_keys_are_created(terminal, url):
    shown = terminal("login")
    shown.read_until("input is hidden): ")
    asked = f"API key for {url} (from {url}/settings/api-keys; input is hidden): "
    assert asked in shown.shown.replace("\r\n", "").replace("\n", "")


def test_the_prompt_for_a_backend_of_serve_names_serve(terminal, tmp_path, monkeypatch):
    serving = Serving(tmp_path / "server")
    try:
        monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", serving.url)
        shown = terminal("login")
        shown.read_until("input is hidden): ")
        asked = " (printed by `afnio-tellurio serve`, or chosen with its --api-key; "
        assert f"API key for {serving.url}{asked}" in shown.shown
        assert "/settings/" not in shown.shown
        shown.type("the-key\n")
        assert shown.end() == 0, shown.shown
    finally:
        serving.close()


def test_no_key_is_asked_for_if_the_backend_does_not_answer(terminal, monkeypatch):
    url = f"http://127.0.0.1:{port_to_reuse()}"
    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", url)
    shown = terminal("login")
    assert shown.end() == 1
    assert "API key for" not in shown.shown
    assert "afnio-tellurio login: " in shown.shown


def test_looking_for_the_page_of_keys_sends_no_key(terminal, url, monkeypatch):
    """A stored key is not sent while another one is asked for."""
    credentials.write_key(url, KEY)
    sent = []
    answer = Backend.__call__

    def record(backend, environ, start_response):
        sent.append(environ.get("HTTP_AUTHORIZATION"))
        return answer(backend, environ, start_response)

    monkeypatch.setattr(Backend, "__call__", record)
    shown = terminal("login", "--relogin")
    shown.read_until("input is hidden): ")
    assert sent == [None]


def test_what_a_backend_says_of_a_user_cannot_control_a_terminal(start_server, invoke):
    user = "ada\x9b31m\x7f\u202e\x1b[2J"
    url = start_server(api_key=KEY, user=user, email="\x9d0;title\x9c@example.com")
    for arguments in (("whoami",), ("whoami", "--json")):
        finished = invoke(*arguments, TELLURIO_BACKEND_HTTP_BASE_URL=url, TELLURIO_API_KEY=KEY)
        assert (finished.returncode, finished.stderr) == (0, "")
        assert not set(finished.stdout) & set("\x1b\x7f\x9b\x9c\x9d\u202e")
    assert json.loads(finished.stdout)["username"] == user


def test_a_refused_key_is_asked_for_again_and_never_kept(terminal, url):
    shown = terminal("login")
    for _ in range(3):
        shown.read_until("input is hidden")
        shown.shown = ""
        shown.type("very-wrong-key\n")
    assert shown.end() == 1
    assert "very-wrong-key" not in shown.shown
    assert "rejected this API key" in shown.shown
    assert credentials.read_key(url) is None


@pytest.mark.parametrize("key", ["\x03", "\x04"])
def test_giving_up_at_the_question_is_one_line(terminal, url, key):
    shown = terminal("login")
    shown.read_until("input is hidden): ")
    shown.shown = ""
    shown.wait_until_it_reads()
    shown.type(key)
    assert shown.end() == 1
    assert "Traceback" not in shown.shown
    assert len(shown.shown.strip().splitlines()) <= 2


def test_a_key_comes_from_standard_input(invoke, url):
    finished = invoke("login", "--api-key-stdin", stdin=f"  {KEY}\n")
    assert finished.returncode == 0, finished.stderr
    assert credentials.read_key(url) == KEY
    again = invoke("login")
    assert again.returncode == 0
    assert "with the key in the credentials file" in again.stdout


def test_a_refused_key_does_not_replace_a_good_one(invoke, url):
    invoke("login", "--api-key-stdin", stdin=KEY)
    finished = invoke("login", "--api-key-stdin", "--relogin", stdin="very-wrong-key")
    assert finished.returncode == 1
    assert "very-wrong-key" not in finished.stderr + finished.stdout
    assert len(finished.stderr.splitlines()) == 1
    assert credentials.read_key(url) == KEY


@pytest.mark.parametrize("text", ["", "\n", "two words", "ümlaut", "a\x00b"])
def test_what_is_no_key_is_refused_and_not_repeated(invoke, url, text):
    finished = invoke("login", "--api-key-stdin", stdin=text)
    assert finished.returncode == 1
    assert len(finished.stderr.splitlines()) == 1
    assert text.strip() == "" or text.strip() not in finished.stderr
    assert credentials.read_key(url) is None


def test_a_key_as_an_argument_is_taken_and_its_help_warns(invoke, url):
    assert invoke("login", "--api-key", KEY).returncode == 0
    assert "visible in `ps`" in re.sub(r"\s+", " ", invoke("login", "--help").stdout)


def test_a_refused_key_of_the_environment_is_told_with_what_to_do(invoke, url):
    finished = invoke("login", TELLURIO_API_KEY="very-bad-key")
    assert finished.returncode == 1
    assert finished.stderr == (
        f"afnio-tellurio login: {url} rejected the key in TELLURIO_API_KEY: The API key is missing "
        "or wrong; change or unset it, then try again\n"
    )


def test_without_a_terminal_it_says_how_to_give_the_key(invoke, url):
    finished = invoke("login", stdin="")
    assert finished.returncode == 2
    assert "--api-key-stdin" in finished.stderr


def test_a_closed_standard_input_has_no_key(invoke, url):
    finished = invoke("login", "--api-key-stdin", streams={"stdin": None})
    assert finished.returncode == 2
    assert "--api-key-stdin: stdin is closed" in finished.stderr
    finished = invoke("login", streams={"stdin": None})
    assert finished.returncode == 2
    assert "Can't prompt for the API key without a terminal" in finished.stderr


def test_a_key_is_not_typed_where_it_would_be_seen(at_terminal, url):
    finished = at_terminal("login", "--api-key-stdin", typed=f"{KEY}\n")
    assert finished.status == 2
    assert "--api-key-stdin reads a pipe or a file" in finished.shown
    assert credentials.read_key(url) is None


def test_standard_input_that_is_not_text_is_refused_and_not_repeated(invoke, url):
    stdin = io.TextIOWrapper(io.BytesIO(b"secret\xff"), encoding="utf-8")
    finished = invoke("login", "--api-key-stdin", streams={"stdin": stdin})
    assert (finished.returncode, finished.stdout) == (1, "")
    assert finished.stderr == "afnio-tellurio login: Standard input isn't valid text\n"


def test_a_key_that_could_not_be_kept_is_a_failure(invoke, url):
    finished = invoke("login", "--api-key", KEY, XDG_CONFIG_HOME="/proc/nothing")
    assert (finished.returncode, finished.stdout) == (1, "")
    assert f"the API key for {url} was accepted but could not be saved" in finished.stderr


def test_a_key_of_the_environment_that_hides_the_new_one_is_pointed_out(invoke, url):
    finished = invoke("login", "--api-key", KEY, TELLURIO_API_KEY="another-key")
    assert finished.returncode == 0
    assert finished.stderr == (
        "afnio-tellurio login: TELLURIO_API_KEY is set to a different key, which takes precedence; "
        "unset it\n"
    )
    assert credentials.read_key(url) == KEY


def test_a_stored_key_that_is_refused_is_told_with_what_to_do(invoke, terminal, url):
    credentials.write_key(url, "revoked-key")
    rejection = f"afnio-tellurio login: {url} rejected the key in the credentials file: "
    finished = invoke("login")
    assert finished.returncode == 1
    assert finished.stderr.startswith(rejection)
    assert finished.stderr.endswith("; pass a new key with --api-key-stdin\n")
    shown = terminal("login")
    shown.read_until("input is hidden")
    assert rejection.removesuffix(" ") in re.sub(r"\s+", " ", shown.shown)
    shown.type(f"{KEY}\n")
    assert shown.end() == 0
    assert credentials.read_key(url) == KEY


@pytest.fixture
def notebook(monkeypatch):
    """Makes this process a notebook, and its question raise an error."""

    def ask(error):
        shell = SimpleNamespace(kernel=True)
        module = SimpleNamespace(get_ipython=lambda: shell)
        monkeypatch.setitem(sys.modules, "IPython", module)

        def getpass(_prompt):
            raise error

        monkeypatch.setattr("getpass.getpass", getpass)

    return ask


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (NotImplementedError(), 2, "Can't prompt for the API key"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, ""), 1, "the input contains a space"),
        (EOFError(), 1, "No API key was entered"),
    ],
)
def test_a_notebook_that_cannot_be_asked_is_told_what_to_do(
    invoke, url, notebook, error, status, words
):
    notebook(error)
    finished = invoke("login")
    assert finished.returncode == status
    assert words in finished.stderr


@pytest.mark.parametrize("key", [3, b"bytes"])
def test_a_key_that_is_not_text_is_an_error(url, key):
    with pytest.raises(TypeError, match=f"api_key is of type {type(key).__name__}; pass a string"):
        te.login(key)


def test_signing_out_removes_the_key_and_tells_what_remains(invoke, url):
    invoke("login", "--api-key-stdin", stdin=KEY)
    finished = invoke("logout", TELLURIO_API_KEY="another")
    assert finished.stdout.splitlines() == [
        f"Removed the API key for {url} from the credentials file",
        "TELLURIO_API_KEY is still set; unset it to sign out",
    ]
    assert credentials.read_key(url) is None
    assert invoke("logout").stdout == f"No API key is stored for {url}\n"
    whoami = invoke("whoami")
    assert (whoami.returncode, whoami.stdout) == (1, "")
    assert "Not signed in" in whoami.stderr


@pytest.fixture
def recording(tmp_path, monkeypatch):
    """The variables that select a recording keyring, and the file that it records to."""
    (tmp_path / "recording_keyring.py").write_text(KEYRING)
    record = tmp_path / "keyring.json"
    variables = {
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{child_environment()['PYTHONPATH']}",
        "PYTHON_KEYRING_BACKEND": "recording_keyring.Recording",
        "HOME": str(tmp_path),
        "RECORDING_KEYRING": str(record),
    }
    # In this process, keyring has chosen its backend already.
    keyring = pytest.importorskip("keyring.core")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "recording_keyring", raising=False)
    with monkeypatch.context() as patch:
        patch.setenv("RECORDING_KEYRING", str(record))
        patch.setenv("PYTHON_KEYRING_BACKEND", variables["PYTHON_KEYRING_BACKEND"])
        monkeypatch.setattr(keyring, "_keyring_backend", None)
        keyring.init_backend()
    return variables, record


def test_the_keyring_is_used_where_there_is_one(command, invoke, url, recording):
    variables, record = recording
    finished = command("login", "--api-key-stdin", stdin=KEY, **variables)
    assert finished.returncode == 0, finished.stderr
    assert "key stored in the system keyring" in finished.stdout
    assert json.loads(record.read_text()) == {"Tellurio ada": KEY}
    assert credentials.read_key(url) is None
    assert "keyring" in invoke("whoami", **variables).stdout
    assert (
        f"Removed the API key for {url} from the system keyring"
        in invoke("logout", **variables).stdout
    )
    assert json.loads(record.read_text()) == {}


def test_a_keyring_that_fails_is_named_and_the_file_takes_its_place(invoke, url, recording):
    variables, record = recording
    record.write_text("damaged")
    finished = invoke("login", "--api-key-stdin", stdin=KEY, **variables)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert "key stored in the credentials file" in finished.stdout
    finished = invoke("logout", **variables)
    assert finished.returncode == 1
    assert f"Removed the API key for {url} from the credentials file" in finished.stdout
    assert finished.stderr == (
        "afnio-tellurio logout: the system keyring cannot be used (JSONDecodeError); it may still "
        "contain a key\n"
    )


def test_a_new_key_replaces_one_that_an_earlier_version_stored(invoke, url, recording):
    variables, record = recording
    record.write_text(json.dumps({f"Tellurio {url}": "old-key"}))
    finished = invoke("login", "--api-key-stdin", stdin=KEY, **variables)
    assert finished.returncode == 0, finished.stderr
    assert json.loads(record.read_text()) == {"Tellurio ada": KEY}


def test_without_the_keyring_library_the_file_is_used(invoke, url, monkeypatch):
    monkeypatch.setitem(sys.modules, "keyring", None)
    finished = invoke("login", "--api-key-stdin", stdin=KEY)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert credentials.read_key(url) == KEY


@pytest.mark.parametrize("place", ["keyring", "credentials file"])
def test_another_backend_is_given_no_key_of_this_one(invoke, url, start_server, request, place):
    variables = request.getfixturevalue("recording")[0] if place == "keyring" else {}
    signed_in = invoke("login", "--api-key-stdin", stdin=KEY, **variables)
    assert place in signed_in.stdout
    # It would accept the same key.
    other = start_server(api_key=KEY)
    finished = invoke("whoami", TELLURIO_BACKEND_HTTP_BASE_URL=other, **variables)
    assert (finished.returncode, finished.stdout) == (1, "")
    assert f"Not signed in to {other}" in finished.stderr
    signed_out = invoke("logout", TELLURIO_BACKEND_HTTP_BASE_URL=other, **variables)
    assert signed_out.stdout == f"No API key is stored for {other}\n"
    assert invoke("whoami", **variables).returncode == 0


def test_where_no_keyring_can_be_chosen_that_is_no_failure(invoke, url, monkeypatch):
    # In this process, keyring has chosen its backend already.
    monkeypatch.setattr(pytest.importorskip("keyring.core"), "_keyring_backend", None)
    variables = {"PYTHON_KEYRING_BACKEND": "no.such.keyring"}
    signed_in = invoke("login", "--api-key-stdin", stdin=KEY, **variables)
    assert (signed_in.returncode, signed_in.stderr) == (0, "")
    signed_out = invoke("logout", **variables)
    assert (signed_out.returncode, signed_out.stderr) == (0, "")
    assert f"Removed the API key for {url} from the credentials file" in signed_out.stdout


# Containers: no home directory, no user name, no stdin


def test_a_container_signs_in_with_the_environment(url, tmp_path):
    environment = child_environment(TELLURIO_API_KEY=KEY, TELLURIO_HOME=str(tmp_path / "work"))
    for name in ("HOME", "USER", "LOGNAME", "XDG_CONFIG_HOME"):
        environment.pop(name, None)
    finished = subprocess.run(
        f"{sys.executable} -m afnio_tellurio.cli whoami <&-",
        shell=True, env=environment, capture_output=True, text=True, timeout=GUARD, check=False,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.startswith("ada\n")


@pytest.mark.parametrize("home", [None, "/nonexistent", "/proc"])
def test_a_home_that_is_none_is_not_needed_to_sign_in(invoke, url, monkeypatch, home):
    for name in ("HOME", "USER", "LOGNAME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    variables = {"HOME": home} if home else {}
    finished = invoke("whoami", TELLURIO_API_KEY=KEY, streams={"stdin": None}, **variables)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.startswith("ada\n")


def test_where_nothing_can_be_written_the_login_holds_and_says_so(run_forked, url, tmp_path):
    finished = run_forked(
        f"""
        import afnio_tellurio as te
        assert te.login({KEY!r})["username"] == "ada"
        with te.init("acme", "Digits") as run:
            run.log("loss", 1)
        """,
        XDG_CONFIG_HOME="/proc/nothing", TELLURIO_HOME=str(tmp_path / "home"),
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    (line,) = complaints(finished.stderr).splitlines()
    assert "was accepted but could not be saved" in line
    assert "set TELLURIO_API_KEY" in line
    assert KEY not in finished.stderr


def test_a_program_without_a_terminal_is_told_that_a_key_is_required(run_forked, url):
    finished = run_forked("import afnio_tellurio as te; te.login()")
    assert finished.returncode == 1
    assert "ValueError: API key is required for the first login" in finished.stderr


# A key that is revoked during a run


@pytest.fixture
def revocable(tmp_path):
    """Serves a backend at one port, with the given key."""
    port = port_to_reuse()
    served = []

    def stop():
        while served:
            server, backend, thread = served.pop()
            server.stop()
            thread.join()
            server.close()
            backend.close()

    def serve(key):
        stop()
        backend = open_backend(
            tmp_path / "served" / "tellurio.db",
            user=BackendUser("ada", "ada@example.com"),
            api_key=key,
            namespaces=("acme",),
            any_namespace=False,
        )
        server = Server(backend, "127.0.0.1", port)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        served.append((server, backend, thread))
        return server.url

    yield serve
    end_active_run()
    stop()


def test_a_key_revoked_in_mid_run_loses_nothing_and_login_and_sync_deliver(
    revocable, start_python, invoke, monkeypatch
):
    url = revocable("first-key-of-the-backend")
    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", url)
    child = start_python(
        "-c",
        "import afnio_tellurio as te, sys\n"
        "with te.init('acme', 'Digits', 'test_run') as run:\n"
        "    for step in range(100): run.log('loss', step)\n"
        "    run.flush()\n"
        "    print('half', flush=True)\n"
        "    import os, time\n"
        "    while not os.path.exists(os.environ['GO_ON']): time.sleep(0.05)\n"
        "    for step in range(100, 200): run.log('loss', step)\n",
        TELLURIO_API_KEY="first-key-of-the-backend", TELLURIO_EXIT_TIMEOUT=str(GUARD),
        GO_ON=os.environ["TELLURIO_HOME"] + "-go",
    )  # fmt: skip
    assert child.stdout.readline() == "half\n"
    revocable("second-key-of-the-backend")
    Path(os.environ["TELLURIO_HOME"] + "-go").touch()
    _out, err = child.communicate(timeout=GUARD)
    assert child.returncode == 0
    told = [line for line in err.splitlines() if "delivery has stopped" in line]
    assert len(told) == 1
    assert "expired or was revoked" in told[0]
    assert "Nothing is lost" in told[0]
    assert "afnio-tellurio login" in told[0]
    assert "first-key" not in err
    assert err.splitlines()[-1] == (
        "afnio-tellurio: run 'test_run' could not be ended as COMPLETED: "
        "it waits with 100 metrics, as reported before"
    )
    assert len(err.splitlines()) == 3, "besides, only that it started"
    assert invoke("sync").returncode == 1
    signed_in = invoke("login", "--api-key-stdin", stdin="second-key-of-the-backend")
    assert signed_in.returncode == 0, signed_in.stderr
    synced = invoke("sync")
    assert synced.returncode == 0, synced.stderr
    with te.TellurioClient(url) as client:
        (run,) = te.runs("acme", "Digits", client)
        assert run.status == "COMPLETED"
        assert run.metrics("loss", client).values == list(range(200))


def test_a_program_that_signs_in_again_goes_on_delivering(revocable, monkeypatch):
    url = revocable("first-key-of-the-backend")
    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", url)
    te.login("first-key-of-the-backend")
    run = te.init("acme", "Digits", "test_run")
    run.log("loss", 0)
    run.flush()
    revocable("second-key-of-the-backend")
    run.log("loss", 1)
    with pytest.raises(te.DeliveryError, match="401"):
        run.flush(GUARD)
    te.login("second-key-of-the-backend")
    run.log("loss", 2)
    run.finish()
    assert run.metrics("loss").values == [0, 1, 2]


def test_the_key_is_asked_for_in_a_notebook_and_does_not_stand_in_it(url, tmp_path):
    jupyter = pytest.importorskip("jupyter_client.manager")
    manager, client = jupyter.start_new_kernel(kernel_name="python3", env=child_environment())
    shown = []
    try:
        client.execute_interactive(
            "import afnio_tellurio as te\nprint(te.login())",
            allow_stdin=True,
            timeout=GUARD,
            stdin_hook=lambda message: (
                shown.append(("asked", message["content"])),
                client.input(KEY),
            ),
            output_hook=lambda message: shown.append((message["msg_type"], message["content"])),
        )
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    ((_, question),) = [one for one in shown if one[0] == "asked"]
    assert f"from {url}/settings/api-keys" in question["prompt"]
    assert question["password"] is True
    assert f"API key for {url}" in question["prompt"]
    assert "'username': 'ada'" in str(shown)
    assert KEY not in str(shown)
    assert credentials.read_key(url) == KEY
    assert httpx.get(f"{url}/api/v0/verify-api-key/").status_code == 401
