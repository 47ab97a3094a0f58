"""The settings file, `config.toml` in the platform's configuration directory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from afnio_tellurio.settings import PER_BACKEND, VARIABLES, backend_url, unknown_setting

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path


@dataclass
class SettingsFile:
    """What the file says.

    Attributes:
        values: Of each setting where it stands and its value, for every backend.
        sections: The same for single backends, by their URL.
        problems: What is no setting.
    """

    values: dict[str, tuple[str, Any]] = field(default_factory=dict[str, tuple[str, Any]])
    sections: dict[str, dict[str, tuple[str, Any]]] = field(
        default_factory=dict[str, dict[str, tuple[str, Any]]]
    )
    problems: list[str] = field(default_factory=list[str])


def read_settings_file(path: Path) -> SettingsFile:
    """Reads the file; where there is none, it says nothing.

    Raises:
        ValueError: It cannot be read, is no TOML, or holds an API key.
    """
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return SettingsFile()
    except OSError as error:
        if not _is_there(path):
            # In a directory that this user may not even look into, another's home say, nothing is
            # meant for them.
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
        raise ValueError(f"the settings file {path} is no TOML: {error}") from None
    found = SettingsFile()
    backends = _table(f"backends in {path}", document.pop("backends", {}))
    found.values = _values(str(path), document, VARIABLES, found.problems)
    for word, section in backends.items():
        place = f'{path} [backends."{word}"]'
        table = _table(place, section)
        url = backend_url(f"a section of backends in {path}", word, None)
        values = _values(place, table, PER_BACKEND, found.problems)
        found.sections.setdefault(url, {}).update(values)
    return found


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except OSError:
        return False
    return True


def _table(place: str, value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return cast("dict[str, Any]", value)
    raise ValueError(f'{place} is no table; write [backends."https://..."] above its settings')


def _values(
    place: str, table: Mapping[str, Any], known: Collection[str], problems: list[str]
) -> dict[str, tuple[str, Any]]:
    if any(name.replace("_", "").replace("-", "").lower() == "apikey" for name in table):
        # Said without the key: a message may be read by others, as such a file may be.
        raise ValueError(
            f"{place} holds an API key; take it out and run afnio-tellurio login, "
            "which keeps keys where only you can read them"
        )
    known = [name for name in known if name != "api_key"]
    problems += [
        unknown_setting(name, known, f"{name} in {place}") for name in table if name not in known
    ]
    return {name: (f"{name} in {place}", value) for name, value in table.items() if name in known}
