"""What the environment says."""

from pathlib import Path

import platformdirs
import pytest

from afnio_tellurio.settings import Mode, backend_url, read_settings


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
    assert backend_url(base_url, port) == url


@pytest.mark.parametrize(
    ("base_url", "port", "words"),
    [
        ("platform.tellurio.ai", None, "give scheme and host"),
        ("ftp://host", None, "give scheme and host"),
        ("http://", None, "give scheme and host"),
        ("http://host/path", None, "holds more than scheme, host and port"),
        ("http://user:secret@host", None, "holds more than scheme, host and port"),
        ("http://host:99999", None, "base_url is 'http://host:99999'"),
        ("http://host", "x", "port is 'x'; give a number from 1 to 65535"),
        ("http://host", 0, "port is 0; give a number from 1 to 65535"),
    ],
)
def test_a_url_that_is_none_is_refused(base_url, port, words):
    with pytest.raises(ValueError, match=words):
        backend_url(base_url, port)


def test_a_password_in_the_url_does_not_reach_the_message():
    with pytest.raises(ValueError) as caught:
        backend_url("http://user:secret@host", None)
    assert "secret" not in str(caught.value)


def test_the_environment_names_url_and_port(monkeypatch):
    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", "http://127.0.0.1")
    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_PORT", "8642")
    assert read_settings().base_url == "http://127.0.0.1:8642"
    assert backend_url(None, None) == "http://127.0.0.1:8642"


def test_the_api_key_is_in_no_repr(monkeypatch):
    monkeypatch.setenv("TELLURIO_API_KEY", "very-secret")
    assert read_settings().api_key == "very-secret"
    assert "very-secret" not in repr(read_settings())
