"""Settings from arguments, the environment and the settings file."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import platformdirs
import pytest
from children import GUARD, ROOT, child_environment, complaints

import afnio_tellurio as te
from afnio_tellurio.default_client import default_client
from afnio_tellurio.settings.settings import Mode, configuration_directory, read_settings
from afnio_tellurio.settings.settings_file import VARIABLES


@pytest.fixture(autouse=True)
def default_timeout(home, monkeypatch):
    monkeypatch.delenv("TELLURIO_EXIT_TIMEOUT", raising=False)


@pytest.fixture
def file():
    """Writes the settings file."""
    path = configuration_directory() / "config.toml"

    def write(text):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


def test_without_any_variable_the_defaults_hold(monkeypatch):
    monkeypatch.delenv("TELLURIO_HOME")
    settings = read_settings()
    assert settings.mode is Mode.AUTO
    assert settings.base_url is None
    assert settings.api_key is None
    assert settings.home == Path(platformdirs.user_data_dir("tellurio", appauthor=False))
    assert settings.keyring_service == "Tellurio"


def test_an_unknown_mode_is_named_with_what_is_allowed(monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "offline")
    with pytest.raises(ValueError, match="TELLURIO_MODE is 'offline'; set it to one of auto"):
        read_settings()


@pytest.mark.parametrize(
    ("base_url", "port", "url"),
    [
        ("https://platform.tellurio.ai", None, "https://platform.tellurio.ai"),
        ("https://platform.tellurio.ai/", 443, "https://platform.tellurio.ai"),
        ("http://127.0.0.1:8642", None, "http://127.0.0.1:8642"),
        (" HTTPS://Backend.Example. \r\n", None, "https://backend.example."),
        ("http://127.0.0.1", "8642", "http://127.0.0.1:8642"),
        ("http://127.0.0.1:1", 2, "http://127.0.0.1:2"),
        ("http://[::1]:8642", None, "http://[::1]:8642"),
        (None, None, "https://platform.tellurio.ai"),
        (None, 444, "https://platform.tellurio.ai:444"),
    ],
)
def test_the_url_is_scheme_host_and_port(base_url, port, url):
    assert read_settings(base_url, port).url == url


@pytest.mark.parametrize(
    ("base_url", "port", "words"),
    [
        ("platform.tellurio.ai", None, "it must be a scheme and a host"),
        ("ftp://host", None, "it must be a scheme and a host"),
        ("http://", None, "it must be a scheme and a host"),
        ("http://host/path", None, "contains more than scheme, host and port"),
        ("http://user:secret@host", None, "contains more than scheme, host and port"),
        ("http://host:99999", None, "base_url is 'http://host:99999'"),
        ("http://host", "x", "port is 'x' \\(port\\); it must be a number from 1 to 65535"),
        ("https://[::1", None, "base_url is 'https://\\[::1': Invalid IPv6 URL"),
        ("https://a b", None, "base_url is 'https://a b'; it must be a scheme and a host"),
        ("https://a..b", None, "base_url is 'https://a..b'; it must be a scheme and a host"),
        (f"https://{'a' * 64}.example", None, "it must be a scheme and a host"),
        ("http://host", True, "port is True"),
        ("http://host", 8642.7, "port is 8642.7"),
        ("http://host", 0, "port is 0 \\(port\\); it must be a number from 1 to 65535"),
    ],
)
def test_a_url_that_is_none_is_refused(base_url, port, words):
    with pytest.raises(ValueError, match=words):
        read_settings(base_url, port)


def test_a_password_in_the_url_does_not_reach_the_message():
    with pytest.raises(ValueError) as caught:
        read_settings("http://user:secret@host", None)
    assert "secret" not in str(caught.value)


def test_the_environment_names_url_and_port(monkeypatch):
    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", "http://127.0.0.1")
    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_PORT", "8642")
    assert read_settings().base_url == "http://127.0.0.1:8642"
    assert read_settings().url == "http://127.0.0.1:8642"


def test_the_api_key_is_in_no_repr(monkeypatch):
    monkeypatch.setenv("TELLURIO_API_KEY", "very-secret")
    assert read_settings().api_key == "very-secret"
    assert "very-secret" not in repr(read_settings())


def test_the_environment_wins_over_the_file_and_an_argument_over_both(file, monkeypatch):
    path = file('base_url = "https://file.example"\nmode = "online"\nexit_timeout = 5\n')
    settings = read_settings()
    assert (settings.url, settings.mode, settings.exit_timeout) == (
        "https://file.example",
        Mode.ONLINE,
        5.0,
    )
    assert settings.sources["mode"] == f"mode in {path}"
    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", "https://variable.example")
    monkeypatch.setenv("TELLURIO_EXIT_TIMEOUT", "7")
    settings = read_settings()
    assert (settings.url, settings.exit_timeout) == ("https://variable.example", 7.0)
    assert settings.sources["exit_timeout"] == "TELLURIO_EXIT_TIMEOUT"
    settings = read_settings("https://argument.example")
    assert settings.url == "https://argument.example"
    assert settings.sources["base_url"] == "base_url"
    assert settings.sources["quiet"] == "default"


def test_a_port_belongs_to_the_url_that_is_said_in_the_same_place(file, monkeypatch):
    file('base_url = "https://file.example"\nport = 8443\n')
    assert read_settings().url == "https://file.example:8443"
    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", "https://variable.example")
    assert read_settings().url == "https://variable.example"
    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_PORT", "9443")
    assert read_settings().url == "https://variable.example:9443"
    assert read_settings("https://argument.example").url == "https://argument.example"
    assert read_settings("https://argument.example", 1).url == "https://argument.example:1"


def test_a_section_holds_for_its_backend_only(file, monkeypatch):
    path = file(
        """
        keyring_service = "All"
        exit_timeout = 5
        [backends."https://one.example/"]
        keyring_service = "One"
        """
    )
    one, two = read_settings("https://one.example"), read_settings("https://two.example")
    assert (one.keyring_service, one.exit_timeout) == ("One", 5.0)
    assert one.sources["keyring_service"] == (
        f'keyring_service in {path} [backends."https://one.example/"]'
    )
    assert (two.keyring_service, two.exit_timeout) == ("All", 5.0)
    monkeypatch.setenv("KEYRING_SERVICE_NAME", "Variable")
    assert read_settings("https://one.example").keyring_service == "Variable"


def test_a_section_may_write_its_backend_as_urls_can_be_written(file):
    file(
        """
        [backends."HTTPS://One.Example:443"]
        exit_timeout = 5
        [backends."https://one.example/"]
        keyring_service = "One"
        """
    )
    settings = read_settings("https://one.example")
    assert (settings.exit_timeout, settings.keyring_service) == (5.0, "One")


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    # Tests of runs turn it off.
    monkeypatch.delenv("TELLURIO_CAPTURE", raising=False)


@pytest.mark.parametrize("name", ["redact", "capture"])
def test_redaction_and_capture_are_on_until_they_are_turned_off(file, monkeypatch, name):
    assert getattr(read_settings(), name) is True
    path = file(f"{name} = false\n")
    assert getattr(read_settings(), name) is False
    assert read_settings().sources[name] == f"{name} in {path}"
    monkeypatch.setenv(VARIABLES[name], "1")
    assert getattr(read_settings(), name) is True
    monkeypatch.setenv(VARIABLES[name], "0")
    assert getattr(read_settings(), name) is False


@pytest.mark.parametrize("variable", ["TELLURIO_REDACT", "TELLURIO_CAPTURE"])
def test_what_is_recorded_of_a_run_opens_no_second_client(monkeypatch, variable):
    first = default_client()
    monkeypatch.setenv(variable, "0")
    assert default_client() is first


@pytest.mark.parametrize(
    "name", ["mode", "exit_timeout", "quiet", "allow_plain_http", "redact", "capture"]
)
def test_a_bad_value_names_its_source_the_value_and_what_is_allowed(file, monkeypatch, name):
    allowed = {
        "mode": "set it to one of auto, online, local, disabled",
        "exit_timeout": "set it to a number of seconds, 0 or more",
    }.get(name, "set it to one of 1, true, yes, on, 0, false, no, off")
    path = file(f'{name} = "sideways"\n')
    with pytest.raises(ValueError, match=re.escape(f"{name} in {path} is 'sideways'; {allowed}")):
        read_settings()
    monkeypatch.setenv(VARIABLES[name], "-inf")
    with pytest.raises(ValueError, match=f"{VARIABLES[name]} is '-inf'; {allowed}"):
        read_settings()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mode = ", "config.toml is not valid TOML: "),
        ("exit_timeout = true", "exit_timeout in .* is True; set it to a number of seconds"),
        ("keyring_service = 3", "keyring_service in .* is 3; set it to a non-empty string"),
        ("backends = 3", r"backends in .* is not a table; write \[backends"),
        ('[backends]\n"https://a" = 3', r'\[backends."https://a"\] is not a table'),
        ("home = 3", "home in .* is 3; set it to a non-empty string"),
        ('home = "~no-such-user/runs"', "~ cannot be expanded; use an absolute path"),
        (
            '[backends."backend.example"]',
            "section of backends in .* is 'backend.example'; it must be a s",
        ),
        (
            '[backends."https://u:secret@a"]',
            r"backends in \S+ contains more than scheme, host and p",
        ),
        (
            "port = 0\nbase_url = 'https://a'",
            r"port is 0 \(port in .*\); it must be a number from 1",
        ),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_by_name(file, monkeypatch, text, words):
    monkeypatch.delenv("TELLURIO_HOME")
    file(text)
    with pytest.raises(ValueError, match=words):
        te.init("acme", "Digits")


def test_a_folder_in_the_place_of_the_file_is_refused_by_name(file):
    path = file("")
    path.unlink()
    path.mkdir()
    with pytest.raises(
        ValueError, match=f"the settings file {path} cannot be read: Is a directory"
    ):
        read_settings()


def test_a_file_in_a_place_that_cannot_be_looked_into_is_as_if_missing(file):
    path = file("mode = 'disabled'")
    path.unlink()
    path.symlink_to(path)
    assert read_settings().mode is Mode.AUTO


def test_a_file_that_is_not_text_is_refused_by_name(file):
    file("").write_bytes(b"mode = '\xff'")
    with pytest.raises(ValueError, match=r"config.toml is not valid TOML: 'utf-8' codec"):
        read_settings()


@pytest.mark.parametrize("place", ["", '[backends."https://platform.tellurio.ai"]\n'])
@pytest.mark.parametrize("name", ["api_key", "apikey", "API-KEY"])
def test_a_key_in_the_file_is_refused_and_not_repeated(file, place, name):
    file(f"{place}{name} = 'very-secret'\n")
    with pytest.raises(ValueError, match="remove it and run afnio-tellurio login") as caught:
        read_settings()
    assert "very-secret" not in str(caught.value)


def test_what_is_no_setting_is_pointed_out_once_with_what_may_be_meant(run_forked, file):
    path = file('mod = "local"\n[backends."https://a.example"]\nmode = "local"\n')
    finished = run_forked(
        """
        import afnio_tellurio as te
        te.init("acme", "Digits").finish()
        te.init("acme", "Digits").finish()
        """,
        TELLURIO_API_KEI="k",
        TELLURIO_MODE="local",
        TELLURIO_ZZZ="",
    )
    told = [line for line in finished.stderr.splitlines() if "unknown setting" in line]
    assert told == [
        (
            "afnio-tellurio: unknown setting: the environment variable TELLURIO_API_KEI; "
            "did you mean TELLURIO_API_KEY?"
        ),
        "afnio-tellurio: unknown setting: the environment variable TELLURIO_ZZZ",
        f"afnio-tellurio: unknown setting: mod in {path}; did you mean mode?",
        f'afnio-tellurio: unknown setting: mode in {path} [backends."https://a.example"]',
    ]
    assert finished.returncode == 0


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("TELLURIO_URL", "TELLURIO_BACKEND_HTTP_BASE_URL"),
        ("TELLURIO_BASE_URL", "TELLURIO_BACKEND_HTTP_BASE_URL"),
        ("TELLURIO_PORT", "TELLURIO_BACKEND_HTTP_PORT"),
        ("TELLURIO_KEYRING_SERVICE", "KEYRING_SERVICE_NAME"),
        ("TELLURIO_API_KEI", "TELLURIO_API_KEY"),
        ("TELLURIO_DIR", None),
        ("TELLURIO_SILENT", None),
        ("TELURIO_API_KEY", "TELLURIO_API_KEY"),
        ("Tellurio_Mode", "TELLURIO_MODE"),
    ],
)
def test_a_misspelt_variable_is_pointed_out(monkeypatch, variable, meant):
    monkeypatch.setenv(variable, "x")
    (problem,) = read_settings().problems
    assert problem == f"unknown setting: the environment variable {variable}" + (
        f"; did you mean {meant}?" if meant else ""
    )


@pytest.mark.parametrize(
    "variable", ["TELLURIO_BACKEND_WS_BASE_URL", "TELLURIO_BACKEND_WS_PORT", "TELEMETRY_MODE"]
)
def test_a_variable_of_another_program_is_not(monkeypatch, variable):
    monkeypatch.setenv(variable, "x")
    assert read_settings().problems == ()


def test_a_setting_that_becomes_invalid_later_does_not_hurt(run_forked):
    finished = run_forked(
        """
        import os
        import afnio_tellurio as te
        run = te.init("acme", "Digits")
        run.log("loss", 1)
        os.environ["TELLURIO_EXIT_TIMEOUT"] = "soon"
        """,
        TELLURIO_MODE="local",
    )
    assert finished.returncode == 0
    assert " completed in " in finished.stderr
    assert "Traceback" not in finished.stderr


@pytest.mark.parametrize(
    "url", ["http://backend.example", "http://10.0.0.7:8642", "http://[fd00::1]"]
)
def test_plain_http_to_another_machine_is_refused_before_anything_is_sent(monkeypatch, url):
    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", url)
    monkeypatch.setenv("TELLURIO_API_KEY", "very-secret")
    words = "TELLURIO_BACKEND_HTTP_BASE_URL is '.*', and plain HTTP would send the API key unencr"
    with pytest.raises(ValueError, match=words) as caught:
        te.init("acme", "Digits")
    assert "use https, or set TELLURIO_ALLOW_PLAIN_HTTP=1" in str(caught.value)
    assert "very-secret" not in str(caught.value)
    with pytest.raises(ValueError, match="base_url is"):
        te.TellurioClient(url)
    monkeypatch.setenv("TELLURIO_ALLOW_PLAIN_HTTP", "1")
    assert te.TellurioClient(url).url == url


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.1", "[::1]", "a.localhost"])
def test_plain_http_to_this_machine_is_allowed(host):
    assert te.TellurioClient(f"http://{host}:9").url == f"http://{host}:9"


def test_a_section_can_allow_plain_http_to_its_backend(file):
    file('[backends."http://backend.example"]\nallow_plain_http = true\n')
    assert te.TellurioClient("http://backend.example").url == "http://backend.example"
    with pytest.raises(ValueError, match="plain HTTP"):
        te.TellurioClient("http://other.example")


#: A program's imports before it becomes another user, who cannot read Python's folders.
_AS_NOBODY = """
import os, tomllib, platformdirs, getpass, ntpath, difflib
import afnio_tellurio as te
import afnio_tellurio.settings.settings
te.init, te.TellurioClient
USER = int(os.environ.get("BECOMING", "65534"))
os.setgroups([]), os.setgid(USER), os.setuid(USER)
"""
needs_another_user = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user"
)


@needs_another_user
@pytest.mark.parametrize("user", ["65534", "54321"])
def test_without_a_home_and_a_name_the_settings_are_read(tmp_path, user):
    environment = child_environment(TELLURIO_MODE="local", BECOMING=user)
    for name in ("HOME", "USER", "LOGNAME", "XDG_CONFIG_HOME", "TELLURIO_HOME"):
        environment.pop(name, None)
    read = """
te.settings.settings.read_settings()
for home in ("", "/nonexistent", "/proc"):
    os.environ["HOME"] = home
    te.settings.settings.read_settings()
print("read")
"""
    finished = subprocess.run(
        [sys.executable, "-c", f"{_AS_NOBODY}{read}"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=GUARD,
        check=False,
        cwd=tmp_path,
    )
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "read\n", "")


@needs_another_user
def test_in_the_home_of_another_user_who_shares_nothing_a_run_is_tracked(file, server, tmp_path):
    path = file("mode = 'disabled'")
    path.parent.chmod(0o700)
    environment = child_environment(
        BECOMING="54321", HOME=str(path.parent), XDG_CONFIG_HOME=str(path.parent.parent)
    )
    del environment["TELLURIO_HOME"]
    run = "te.init('acme', 'Digits', '{}', client={}) as run: run.log('loss', 1)"
    # The first run imports everything, and avoids the settings file, which root can read.
    warm, cold = run.format("warm", "te.TellurioClient()"), run.format("cold", None)
    imports, becoming = _AS_NOBODY.split("USER", 1)
    # A thread removes its journal, which must happen while the process is still root.
    journals = f"os.listdir({str(path.parent / '.local/share/tellurio/journals')!r})"
    removed = f"import time\nwhile {journals}: time.sleep(0.01)"
    program = f"{imports}\nwith {warm}\n{removed}\nUSER{becoming}\nwith {cold}"
    finished = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=GUARD,
        check=False,
        cwd="/",
    )
    assert finished.returncode == 0, finished.stderr
    (line,) = complaints(finished.stderr).splitlines()
    assert "cannot be written (Permission denied); buffering in memory" in line
    path.unlink()
    run, _warm = te.runs("acme", "digits")
    assert (run.name, run.status, run.metrics("loss").values) == ("cold", "COMPLETED", [1])


@needs_another_user
def test_a_file_that_cannot_be_read_is_named(run_forked):
    # Only the user of a test can access its folders.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "tellurio", "config.toml")
        path.parent.mkdir()
        path.touch(mode=0o600)
        Path(folder).chmod(0o755)
        finished = run_forked(f"{_AS_NOBODY}\nte.init('acme', 'Digits')", XDG_CONFIG_HOME=folder)
    assert finished.returncode == 1
    assert f"the settings file {path} cannot be read: Permission denied" in finished.stderr


def test_the_documentation_names_exactly_the_variables_there_are():
    table = re.findall(
        r"^\| `([A-Z_]+)` \|", (ROOT / "docs" / "settings.md").read_text(), re.MULTILINE
    )
    assert sorted(table) == sorted(VARIABLES.values())


@pytest.mark.parametrize("source", ["the environment", "the file"])
def test_a_relative_home_is_that_of_the_directory_in_which_it_was_first_read(
    source, run_forked, tmp_path
):
    if source == "the file":
        (tmp_path / "configuration" / "tellurio").mkdir(parents=True)
        (tmp_path / "configuration" / "tellurio" / "config.toml").write_text("home = 'runs'\n")
    finished = run_forked(
        f"""
        import os
        os.chdir({str(tmp_path)!r})
        import afnio_tellurio as te
        run = te.init("acme", "Digits")
        os.mkdir("elsewhere")
        os.chdir("elsewhere")
        run.log("loss", 1)
        te.init("acme", "Digits", "second").finish()
        run.finish()
        assert os.listdir() == [], os.listdir()
        assert run.metrics("loss").values == [1]
        assert os.listdir({str(tmp_path / "runs" / "journals")!r}) == []
        """,
        TELLURIO_MODE="local",
        TELLURIO_HOME="" if source == "the file" else "runs",
    )
    assert finished.returncode == 0, finished.stderr


def test_a_relative_home_in_a_directory_that_is_gone_is_an_error(run_forked):
    finished = run_forked(
        """
        # From a directory that is gone, Python 3.13.0 cannot import it.
        import socket
        import os, tempfile
        gone = tempfile.mkdtemp()
        os.chdir(gone)
        os.rmdir(gone)
        import afnio_tellurio as te
        te.init("acme", "Digits")
        """,
        TELLURIO_MODE="local",
        TELLURIO_HOME="runs",
    )
    assert (
        "ValueError: TELLURIO_HOME is 'runs', and the working directory no longer exists; use an "
        "absolute path"
    ) in finished.stderr


def test_a_home_of_an_unknown_user_is_an_error(monkeypatch):
    monkeypatch.setenv("TELLURIO_HOME", "~no-such-user/runs")
    with pytest.raises(ValueError, match="TELLURIO_HOME is '~no-such-user/runs', and ~ cannot be"):
        read_settings()
