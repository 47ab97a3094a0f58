"""The names of the settings, and the settings file, `config.toml`."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.settings.urls import backend_url

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

#: The variable of each setting.
VARIABLES = {
    "mode": "TELLURIO_MODE",
    "base_url": "TELLURIO_BACKEND_HTTP_BASE_URL",
    "port": "TELLURIO_BACKEND_HTTP_PORT",
    "api_key": "TELLURIO_API_KEY",
    "home": "TELLURIO_HOME",
    "keyring_service": "KEYRING_SERVICE_NAME",
    "exit_timeout": "TELLURIO_EXIT_TIMEOUT",
    "quiet": "TELLURIO_QUIET",
    "allow_plain_http": "TELLURIO_ALLOW_PLAIN_HTTP",
    "redact": "TELLURIO_REDACT",
    "capture": "TELLURIO_CAPTURE",
}
#: The settings that a section of the settings file may hold for one backend.
PER_BACKEND = ("keyring_service", "exit_timeout", "allow_plain_http")

_PREFIX = "TELLURIO"
#: Variables of `afnio`, which often runs in the same programs.
_OF_OTHERS = {"TELLURIO_BACKEND_WS_BASE_URL", "TELLURIO_BACKEND_WS_PORT"}
#: The similarity of a misspelled prefix to ours, and of a name to the suggested one.
_LIKENESS_OF_PREFIX = 0.8
_LIKENESS = 0.6


@dataclass
class SettingsFile:
    """The contents of the file.

    Attributes:
        values: The source and the value of each setting, for every backend.
        sections: The same for single backends, by their URL.
        problems: Unknown settings.
    """

    values: dict[str, tuple[str, Any]] = field(default_factory=dict[str, tuple[str, Any]])
    sections: dict[str, dict[str, tuple[str, Any]]] = field(
        default_factory=dict[str, dict[str, tuple[str, Any]]]
    )
    problems: list[str] = field(default_factory=list[str])


def read_settings_file(path: Path) -> SettingsFile:
    """Reads the file; a missing one is empty.

    Raises:
        ValueError: It cannot be read, is not valid TOML, or contains an API key.
    """
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise_foreign(error)
        return SettingsFile()
    except OSError as error:
        raise_foreign(error)
        if not _is_there(path):
            # It is in a directory that this user cannot read, such as another user's home.
            return SettingsFile()
        raise ValueError(
            f"the settings file {path} cannot be read: {error.strerror}; "
            "make it readable for this user, or remove it"
        ) from None
    # The standard library's parser takes 5 ms to be imported.
    import tomllib

    try:
        document = tomllib.loads(content.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"the settings file {path} is not valid TOML: {error}") from None
    file = SettingsFile()
    backends = _table(f"backends in {path}", document.pop("backends", {}))
    file.values = _values(str(path), document, VARIABLES, file.problems)
    for name, section in backends.items():
        source = f'{path} [backends."{name}"]'
        table = _table(source, section)
        url = backend_url(f"a section of backends in {path}", name, None)
        values = _values(source, table, PER_BACKEND, file.problems)
        file.sections.setdefault(url, {}).update(values)
    return file


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except OSError as error:
        raise_foreign(error)
        return False
    return True


def _table(source: str, value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return cast("dict[str, Any]", value)
    raise ValueError(f'{source} is not a table; write [backends."https://..."] above its settings')


def _values(
    source: str, table: Mapping[str, Any], known: Collection[str], problems: list[str]
) -> dict[str, tuple[str, Any]]:
    if any(name.replace("_", "").replace("-", "").lower() == "apikey" for name in table):
        # Without the key: others may read the message, as they may read such a file.
        raise ValueError(
            f"{source} contains an API key; remove it and run afnio-tellurio login, "
            "which stores keys where only you can read them"
        )
    known = [name for name in known if name != "api_key"]
    problems += [
        unknown_setting(name, known, f"{name} in {source}") for name in table if name not in known
    ]
    return {name: (f"{name} in {source}", value) for name, value in table.items() if name in known}


def misspelled_variables() -> tuple[str, ...]:
    """The messages about environment variables that look like settings and are not."""
    known = VARIABLES.values()
    return tuple(
        unknown_setting(_rest_of(name), known, f"the environment variable {name}")
        for name in sorted(os.environ)
        if name not in known and name not in _OF_OTHERS and _has_our_prefix(name)
    )


def _has_our_prefix(variable: str) -> bool:
    """Whether a variable starts with our prefix, or a misspelling of it."""
    prefix, underscore, _ = variable.upper().partition("_")
    # Comparing is slow, and most variables start with something else.
    if not underscore or prefix[:3] != _PREFIX[:3]:
        return False
    return bool(_near(prefix, [_PREFIX], _LIKENESS_OF_PREFIX))


def _rest_of(variable: str) -> str:
    return variable.upper().partition("_")[2]


def unknown_setting(name: str, known: Collection[str], what: str) -> str:
    """The message about an unknown setting, with a suggestion.

    Args:
        name: The name, without the prefix of the variables.
        known: The names of the settings.
        what: The setting and its source, for the message.
    """
    by_rest = {setting.removeprefix(f"{_PREFIX}_"): setting for setting in known}
    words = set(name.split("_"))
    # By its letters URL is closer to QUIET than to BACKEND_HTTP_BASE_URL, which it means.
    fuller = [rest for rest in by_rest if words <= set(rest.split("_"))]
    near = [min(fuller, key=len)] if fuller else _near(name, by_rest, _LIKENESS)
    return f"unknown setting: {what}" + (f"; did you mean {by_rest[near[0]]}?" if near else "")


def _near(name: str, known: Collection[str], likeness: float) -> list[str]:
    import difflib

    return difflib.get_close_matches(name, known, 1, likeness)
