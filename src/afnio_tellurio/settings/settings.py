"""The settings in force: arguments, over the environment, over the settings file, over defaults."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.settings.limits import DEFAULT_EXIT_TIMEOUT
from afnio_tellurio.settings.settings_file import (
    VARIABLES,
    SettingsFile,
    misspelled_variables,
    read_settings_file,
)
from afnio_tellurio.settings.urls import DEFAULT_BASE_URL, backend_url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DEFAULT_KEYRING_SERVICE = "Tellurio"


class Mode(StrEnum):
    """Where tracking goes: the values of the setting `mode`."""

    AUTO = "auto"
    ONLINE = "online"
    LOCAL = "local"
    DISABLED = "disabled"


@dataclass(frozen=True)
class Settings:
    """The settings in force.

    Attributes:
        mode: Where tracking goes.
        base_url: Scheme, host and port of the backend; `None` if no setting names one.
        api_key: `TELLURIO_API_KEY`, or `None`; the settings file never holds a key. It belongs to
            the backend that the environment or the file names, else to the platform: it is `None`
            if an argument names another backend.
        home: The directory of the embedded backend's database and of the journals.
        keyring_service: The name of the service in the system keyring.
        exit_timeout: Seconds that `finish`, a read and the exit wait for delivery.
        quiet: Whether lines for people are silenced.
        allow_plain_http: Whether plain HTTP to another machine is allowed.
        redact: Whether credentials in the config and the arguments of a run are replaced.
        capture: Whether the environment of a run is recorded.
        is_named: Whether the environment, the settings file or the default names this backend.
        sources: The source of each value by its name: an argument, a variable, the file with its
            section, or `default`.
        problems: Unknown settings in the environment or the file, to be reported.
    """

    mode: Mode
    base_url: str | None
    api_key: str | None = field(repr=False)
    home: Path
    keyring_service: str
    exit_timeout: float
    quiet: bool
    allow_plain_http: bool
    redact: bool
    capture: bool
    is_named: bool
    sources: Mapping[str, str] = field(compare=False, repr=False)
    problems: tuple[str, ...] = field(compare=False, repr=False)

    @property
    def database(self) -> Path:
        """The embedded backend's database file."""
        return self.home / "tellurio.db"

    @property
    def journals(self) -> Path:
        """The folder of the journals."""
        return self.home / "journals"

    @property
    def cache(self) -> Path:
        """The folder of downloaded files, of prompts that were read, and of points of projects."""
        return self.home / "cache"

    @property
    def url(self) -> str:
        """The backend's URL: the configured one, else the platform's."""
        return self.base_url or DEFAULT_BASE_URL

    @property
    def sign_in_command(self) -> str:
        """The command that signs in to this backend."""
        variable = "" if self.is_named else f"{VARIABLES['base_url']}={self.url} "
        return f"{variable}afnio-tellurio login"


_SWITCHES = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}


def read_settings(base_url: str | None = None, port: int | str | None = None) -> Settings:
    """Reads the environment and the settings file. An empty variable counts as not set.

    Args:
        base_url: Scheme and host of the backend; default: from the environment or the file.
        port: Its port; default: the one in its URL, else the scheme's own.

    Raises:
        ValueError: A value is invalid, or the settings file cannot be read.
    """
    directory = configuration_directory()
    file = read_settings_file(directory / "config.toml") if directory else SettingsFile()
    sources = _Sources({"base_url": base_url, "port": port}, file.values)
    url = sources.base_url()
    sources.add_section(file.sections.get(url or DEFAULT_BASE_URL, {}))
    is_named = (base_url is None and port is None) or (
        (url or DEFAULT_BASE_URL) == _named_url(file.values)
    )
    if not is_named:
        # The key of one backend must not be sent to another.
        sources.ignore_variable("api_key")
    return Settings(
        mode=sources.value("mode", _parse_mode, Mode.AUTO),
        base_url=url,
        api_key=sources.value("api_key", lambda _source, value: str(value), None),
        home=sources.value("home", _parse_folder, None) or _default_home(),
        keyring_service=sources.value("keyring_service", _parse_text, DEFAULT_KEYRING_SERVICE),
        exit_timeout=sources.value("exit_timeout", _parse_seconds, DEFAULT_EXIT_TIMEOUT),
        quiet=sources.value("quiet", _parse_switch, False),  # noqa: FBT003
        allow_plain_http=sources.value("allow_plain_http", _parse_switch, False),  # noqa: FBT003
        redact=sources.value("redact", _parse_switch, True),  # noqa: FBT003
        capture=sources.value("capture", _parse_switch, True),  # noqa: FBT003
        is_named=is_named,
        sources=sources.used,
        problems=(*misspelled_variables(), *file.problems),
    )


class _Sources:
    """The arguments, variables and file entries that set values, and which of them were used."""

    def __init__(self, arguments: Mapping[str, Any], file: Mapping[str, tuple[str, Any]]) -> None:
        self._file = dict(file)
        # Arguments and variables, by setting: the source and the raw value.
        self._direct: dict[str, tuple[str, Any]] = {
            name: (variable, os.environ[variable])
            for name, variable in VARIABLES.items()
            if os.environ.get(variable)
        }
        if arguments["base_url"] is not None:
            # A port belongs to the URL beside it.
            self._direct.pop("port", None)
        for name, value in arguments.items():
            if value is not None:
                self._direct[name] = (name, value)
        self.used: dict[str, str] = {}

    def ignore_variable(self, name: str) -> None:
        """Ignores the argument or variable of a setting."""
        self._direct.pop(name, None)

    def add_section(self, section: Mapping[str, tuple[str, Any]]) -> None:
        """Adds a section of the file, which overrides the file's values for every backend."""
        self._file.update(section)

    def value(self, name: str, parse: Callable[[str, Any], Any], default: Any) -> Any:
        """The parsed value of a setting; an error names its source."""
        source, raw = self._direct.get(name) or self._file.get(name) or ("default", None)
        self.used[name] = source
        return default if source == "default" else parse(source, raw)

    def base_url(self) -> str | None:
        """The URL of the backend, with the port that was set in the same place."""
        source, raw = self._direct.get("base_url") or self._file.get("base_url") or ("", None)
        is_in_file = "base_url" not in self._direct
        port = self._direct.get("port") or (self._file.get("port") if is_in_file else None)
        self.used["base_url"] = source or (port[0] if port else "default")
        if not source:
            return backend_url("base_url", DEFAULT_BASE_URL, port) if port else None
        return backend_url(source, raw, port)


def _named_url(file: Mapping[str, tuple[str, Any]]) -> str | None:
    """The URL of the backend without arguments, or `None` if it is invalid."""
    try:
        return _Sources({"base_url": None, "port": None}, file).base_url() or DEFAULT_BASE_URL
    except ValueError as error:
        raise_foreign(error)
        return None


def is_quiet() -> bool:
    """Whether lines for people are silenced. An invalid setting silences nothing."""
    try:
        return read_settings().quiet
    except ValueError as error:
        raise_foreign(error)
        # The call that needs the setting raises it.
        return bool(os.environ.get(VARIABLES["quiet"]))


def _parse_mode(source: str, value: Any) -> Mode:
    try:
        return Mode(str(value).lower())
    except ValueError as error:
        raise_foreign(error)
        raise ValueError(f"{source} is {value!r}; set it to one of {', '.join(Mode)}") from None


def _parse_text(source: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{source} is {value!r}; set it to a non-empty string")
    return value


#: The absolute path of each relative directory when it was first read: changing the working
#: directory later moves nothing that is open.
_directories: dict[Path, Path] = {}


def _parse_folder(source: str, value: Any) -> Path:
    try:
        folder = Path(_parse_text(source, value)).expanduser()
        return folder if folder.is_absolute() else _resolve_once(source, folder)
    except RuntimeError as error:
        raise_foreign(error)
        raise ValueError(
            f"{source} is {value!r}, and ~ cannot be expanded; use an absolute path"
        ) from None


def _resolve_once(source: str, folder: Path) -> Path:
    if folder not in _directories:
        try:
            _directories.setdefault(folder, folder.absolute())
        except OSError as error:
            raise_foreign(error)
            raise ValueError(
                f"{source} is {str(folder)!r}, and the working directory no longer exists; "
                "use an absolute path"
            ) from error
    return _directories[folder]


def _parse_seconds(source: str, value: Any) -> float:
    try:
        seconds = -1.0 if isinstance(value, bool) else float(value)
    except (TypeError, ValueError) as error:
        raise_foreign(error)
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"{source} is {value!r}; set it to a number of seconds, 0 or more")
    return seconds


def _parse_switch(source: str, value: Any) -> bool:
    switch = _SWITCHES.get(str(value).lower())
    if switch is None:
        raise ValueError(f"{source} is {value!r}; set it to one of {', '.join(_SWITCHES)}")
    return switch


def configuration_directory() -> Path | None:
    """The platform's directory for this user's settings and credentials.

    `None` if the home directory is unknown, as in a container whose user has no name.
    """
    # platformdirs picks the module of this platform by itself, but takes 4 ms to import.
    import platformdirs

    return _platform_directory(platformdirs.user_config_dir)


def _default_home() -> Path:
    import platformdirs

    # Without a home directory use `/`, as container runtimes do.
    return _platform_directory(platformdirs.user_data_dir) or Path("/.local/share/tellurio")


def _platform_directory(find: Callable[..., str]) -> Path | None:
    try:
        directory = Path(find("tellurio", appauthor=False, roaming=sys.platform == "win32"))
    except RuntimeError as error:
        raise_foreign(error)
        return None
    # Older versions of platformdirs leave the ~ in place.
    return directory if directory.is_absolute() else None
