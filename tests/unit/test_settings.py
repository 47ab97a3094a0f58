"""What arguments, the environment and the settings file say."""

import os
import re
import subprocess
import sys
from pathlib import Path

import platformdirs
import pytest
from children import ROOT, child_environment

import afnio_tellurio as te
from afnio_tellurio.settings import VARIABLES, Mode, configuration_directory, read_settings


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
        ("platform.tellurio.ai", None, "give scheme and host"),
        ("ftp://host", None, "give scheme and host"),
        ("http://", None, "give scheme and host"),
        ("http://host/path", None, "holds more than scheme, host and port"),
        ("http://user:secret@host", None, "holds more than scheme, host and port"),
        ("http://host:99999", None, "base_url is 'http://host:99999'"),
        ("http://host", "x", "port is 'x' \\(port\\); give a number from 1 to 65535"),
        ("http://host", 0, "port is 0 \\(port\\); give a number from 1 to 65535"),
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


@pytest.mark.parametrize("name", ["mode", "exit_timeout", "quiet", "allow_plain_http"])
def test_a_bad_value_names_its_source_the_value_and_what_is_allowed(file, monkeypatch, name):
    allowed = {
        "mode": "set it to one of auto, online, local, disabled",
        "exit_timeout": "set it to a number of seconds from 0",
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
        ("mode = ", "config.toml is no TOML: "),
        ("exit_timeout = true", "exit_timeout in .* is True; set it to a number of seconds"),
        ("keyring_service = 3", "keyring_service in .* is 3; set it to a word"),
        ("backends = 3", r"backends in .* is no table; write \[backends"),
        ('[backends]\n"https://a" = 3', r'\[backends."https://a"\] is no table'),
        ("port = 0\nbase_url = 'https://a'", r"port is 0 \(port in .*\); give a number from 1"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_by_name(file, text, words):
    file(text)
    with pytest.raises(ValueError, match=words):
        te.init("acme", "Digits")


def test_a_file_that_is_not_text_is_refused_by_name(file):
    file("").write_bytes(b"mode = '\xff'")
    with pytest.raises(ValueError, match=r"config.toml is no TOML: 'utf-8' codec"):
        read_settings()


@pytest.mark.parametrize("place", ["", '[backends."https://platform.tellurio.ai"]\n'])
def test_a_key_in_the_file_is_refused_and_not_repeated(file, place):
    file(f"{place}api_key = 'very-secret'\n")
    with pytest.raises(ValueError, match="take it out and run afnio-tellurio login") as caught:
        read_settings()
    assert "very-secret" not in str(caught.value)


def test_what_is_no_setting_is_pointed_out_once_with_what_may_be_meant(run_python, file):
    path = file('mod = "local"\n[backends."https://a.example"]\nmode = "local"\n')
    finished = run_python(
        """
        import afnio_tellurio as te
        te.init("acme", "Digits").finish()
        te.init("acme", "Digits").finish()
        """,
        TELLURIO_API_KEI="k",
        TELLURIO_MODE="local",
        TELLURIO_ZZZ="",
    )
    told = [line for line in finished.stderr.splitlines() if "no setting" in line]
    assert told == [
        (
            "afnio-tellurio: the environment variable TELLURIO_API_KEI is no setting; "
            "is TELLURIO_API_KEY meant?"
        ),
        "afnio-tellurio: the environment variable TELLURIO_ZZZ is no setting",
        f"afnio-tellurio: mod in {path} is no setting; is mode meant?",
        f'afnio-tellurio: mode in {path} [backends."https://a.example"] is no setting',
    ]
    assert finished.returncode == 0


def test_a_setting_gone_bad_does_not_hurt_at_the_end(run_python):
    finished = run_python(
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
    assert "TELLURIO_EXIT_TIMEOUT is 'soon'" in finished.stderr
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


#: What a program imports before it becomes another user, who may not read where Python is.
_AS_NOBODY = """
import os, tomllib, platformdirs, getpass, ntpath, difflib
import afnio_tellurio as te
import afnio_tellurio.settings_file
te.init, te.TellurioClient
os.setgroups([]), os.setgid(65534), os.setuid(65534)
"""
needs_another_user = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user"
)


@needs_another_user
@pytest.mark.parametrize("home", [None, "/nonexistent", "/proc"])
def test_without_a_home_and_a_name_the_settings_are_read(tmp_path, home):
    environment = child_environment(TELLURIO_MODE="local")
    for name in ("HOME", "USER", "LOGNAME", "XDG_CONFIG_HOME", "TELLURIO_HOME"):
        environment.pop(name, None)
    if home:
        environment["HOME"] = home
    finished = subprocess.run(
        [sys.executable, "-c", f"{_AS_NOBODY}\nte.settings.read_settings()"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        cwd=tmp_path,
    )
    assert (finished.returncode, finished.stderr) == (0, "")


@needs_another_user
def test_a_file_that_cannot_be_read_is_named(file, run_python):
    path = file("mode = 'local'")
    path.chmod(0o600)
    for folder in [path.parent, *path.parents][:4]:
        folder.chmod(0o755)
    finished = run_python(f"{_AS_NOBODY}\nte.init('acme', 'Digits')")
    assert finished.returncode == 1
    assert f"the settings file {path} cannot be read: Permission denied" in finished.stderr


def test_the_readme_names_exactly_the_variables_there_are():
    table = re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert sorted(table) == sorted(VARIABLES.values())
