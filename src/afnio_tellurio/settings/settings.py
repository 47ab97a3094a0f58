"""What arguments, the environment and the settings file say, and every tunable."""

from __future__ import annotations

import ipaddress
import os
import sys
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

DEFAULT_BASE_URL = "https://platform.tellurio.ai"
DEFAULT_KEYRING_SERVICE = "Tellurio"

#: Seconds to open a connection; a host that is there answers within one.
CONNECT_TIMEOUT = 5.0
#: Seconds between two bytes of an answer, or of a request being sent.
READ_TIMEOUT = 30.0
#: Attempts to connect. Only connecting is repeated: a request that was sent may have been carried
#: out.
CONNECT_ATTEMPTS = 3
#: Seconds before the second attempt to connect; doubled for the next.
CONNECT_RETRY_DELAY = 0.25

#: The contract's bounds of a metric.
MAX_NAME_LENGTH = 255
MAX_STEP = 2**63 - 1
#: Points of one curve.
MAX_BUCKETS = 10_000
#: Runs, and metric names, of one request for samples.
MAX_SAMPLED = 100
#: Levels of lists and objects in one value: more would exhaust the stack of common JSON parsers.
MAX_VALUE_DEPTH = 100

#: Metrics or runs in one answer when reading back.
METRICS_PAGE = 10_000
RUNS_PAGE = 500

#: Metric names that a process remembers to have checked; each takes some 100 bytes.
MAX_REMEMBERED_NAMES = 10_000
#: A batch holds at most so many metrics, the contract's bound, and so many bytes of the journal.
BATCH_METRICS = 1000
BATCH_BYTES = 2**20
#: Of what a full disk does not take, so many bytes of lines are held in memory; the rest is lost.
HELD_BYTES = 32 * 2**20
#: Seconds that the sender waits for appends of other threads to end; each takes microseconds.
APPEND_TIMEOUT = 5.0
#: Seconds between attempts to write to a disk that was full.
WRITE_RETRY_DELAY = 1.0
#: Seconds within which a written line is on the disk itself.
SYNCHRONIZE_INTERVAL = 1.0
#: Seconds that the sender lets metrics gather before it sends them.
GATHER_DELAY = 0.02
#: While so many metrics come in that time, it waits on, at most so many seconds.
BURST_METRICS = 1000
BURST_DELAY = 0.5
#: Seconds before a failed request is repeated: the first time, and at most.
FIRST_RETRY_DELAY = 0.2
MAX_RETRY_DELAY = 30.0
#: Seconds between attempts while somebody waits for delivery.
WAITING_RETRY_INTERVAL = 1.0
#: Seconds that `finish`, a read and the exit of the process wait for delivery.
DEFAULT_EXIT_TIMEOUT = 30.0

#: Where `afnio-tellurio serve` listens unless told otherwise.
SERVE_HOST = "127.0.0.1"
SERVE_PORT = 8642
#: The header of answers of a server that has the page too, which takes a run by its UUID.
PAGE_HEADER = "Tellurio-Page"


class Mode(StrEnum):
    """Where tracking goes: the values of the setting `mode`."""

    AUTO = "auto"
    ONLINE = "online"
    LOCAL = "local"
    DISABLED = "disabled"


@dataclass(frozen=True)
class Settings:
    """What holds: arguments, over the environment, over the settings file, over defaults.

    Attributes:
        mode: Where tracking goes.
        base_url: Scheme, host and port of the backend, or `None` where nothing names one.
        api_key: `TELLURIO_API_KEY`, or `None`; a key is in no settings file. It is for the backend
            that the environment or the file names, else the platform: for an argument that names
            another backend it is `None`.
        home: The directory of the embedded backend's database and of the journals.
        keyring_service: The name of the service in the system keyring.
        exit_timeout: The seconds that `finish`, a read and the exit wait for delivery.
        quiet: Whether lines for people are silenced.
        allow_plain_http: Whether a backend on another machine may be reached without encryption.
        sources: Where each value came from, by its name: an argument, a variable, the file with its
            section, or `default`.
        problems: What in the environment or the file is no setting, to be pointed out.
    """

    mode: Mode
    base_url: str | None
    api_key: str | None = field(repr=False)
    home: Path
    keyring_service: str
    exit_timeout: float
    quiet: bool
    allow_plain_http: bool
    sources: Mapping[str, str] = field(compare=False, repr=False)
    problems: tuple[str, ...] = field(compare=False, repr=False)

    @property
    def database(self) -> Path:
        """The embedded backend's database file."""
        return self.home / "tellurio.db"

    @property
    def url(self) -> str:
        """The backend's URL: the one that is named, else the platform's."""
        return self.base_url or DEFAULT_BASE_URL


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
}
#: The settings that a section of the settings file may hold for one backend.
PER_BACKEND = ("keyring_service", "exit_timeout", "allow_plain_http")

_PREFIX = "TELLURIO"
#: Variables of `afnio`, which programs that track runs often use too.
_OF_OTHERS = {"TELLURIO_BACKEND_WS_BASE_URL", "TELLURIO_BACKEND_WS_PORT"}
#: How much a prefix must be like ours, and a name like the one that may be meant.
_LIKENESS_OF_PREFIX = 0.8
_LIKENESS = 0.6
#: Characters of one part of a host's name.
_MAX_LABEL = 63
_IN_NO_HOST = set(' <>"\\^`{|}%')
_WORDS = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}


def read_settings(base_url: str | None = None, port: int | str | None = None) -> Settings:
    """Reads the environment and the settings file. An empty variable counts as not set.

    Args:
        base_url: Scheme and host of the backend; default what the environment or the file names.
        port: Its port; default the one in its URL or the scheme's own.

    Raises:
        ValueError: A value is not allowed, or the settings file cannot be read.
    """
    from afnio_tellurio.settings_file import SettingsFile, read_settings_file

    directory = configuration_directory()
    file = read_settings_file(directory / "config.toml") if directory else SettingsFile()
    found = _Found({"base_url": base_url, "port": port}, file.values)
    url = found.base_url()
    found.add(file.sections.get(url or DEFAULT_BASE_URL, {}))
    is_named = (base_url is None and port is None) or (
        (url or DEFAULT_BASE_URL) == _named_url(file.values)
    )
    if not is_named:
        # The key of one backend must not be sent to another.
        found.forget("api_key")
    return Settings(
        mode=found.value("mode", _mode, Mode.AUTO),
        base_url=url,
        api_key=found.value("api_key", lambda _source, word: str(word), None),
        home=found.value("home", _folder, None) or _home(),
        keyring_service=found.value("keyring_service", _word, DEFAULT_KEYRING_SERVICE),
        exit_timeout=found.value("exit_timeout", _seconds, DEFAULT_EXIT_TIMEOUT),
        quiet=found.value("quiet", _switch, False),  # noqa: FBT003
        allow_plain_http=found.value("allow_plain_http", _switch, False),  # noqa: FBT003
        sources=found.sources,
        problems=(*_misspelt_variables(), *file.problems),
    )


class _Found:
    """What is said of each setting, the strongest word last, and where it was said."""

    def __init__(self, arguments: Mapping[str, Any], file: Mapping[str, tuple[str, Any]]) -> None:
        self._file = dict(file)
        self._said: dict[str, tuple[str, Any]] = {
            name: (variable, os.environ[variable])
            for name, variable in VARIABLES.items()
            if os.environ.get(variable)
        }
        if arguments["base_url"] is not None:
            # A port is that of the URL beside it.
            self._said.pop("port", None)
        for name, value in arguments.items():
            if value is not None:
                self._said[name] = (name, value)
        self.sources: dict[str, str] = {}

    def forget(self, name: str) -> None:
        """Has a setting count as not said."""
        self._said.pop(name, None)

    def add(self, section: Mapping[str, tuple[str, Any]]) -> None:
        """Has a section of the file win over what the file says of every backend."""
        self._file.update(section)

    def value(self, name: str, parsed: Callable[[str, Any], Any], otherwise: Any) -> Any:
        """The value of a setting: a source is named in the error that it leads to."""
        source, word = self._said.get(name) or self._file.get(name) or ("default", None)
        self.sources[name] = source
        return otherwise if source == "default" else parsed(source, word)

    def base_url(self) -> str | None:
        """The URL of the backend, with the port that was said in the same place."""
        source, word = self._said.get("base_url") or self._file.get("base_url") or ("", None)
        is_in_file = "base_url" not in self._said
        port = self._said.get("port") or (self._file.get("port") if is_in_file else None)
        self.sources["base_url"] = source or (port[0] if port else "default")
        if not source:
            return backend_url("base_url", DEFAULT_BASE_URL, port) if port else None
        return backend_url(source, word, port)


def _named_url(file: Mapping[str, tuple[str, Any]]) -> str | None:
    """The URL of the backend without arguments, or `None` where it is invalid."""
    try:
        return _Found({"base_url": None, "port": None}, file).base_url() or DEFAULT_BASE_URL
    except ValueError:
        return None


def is_named_backend(url: str) -> bool:
    """Whether the environment or the settings file names this backend."""
    try:
        return read_settings().url == url
    except ValueError:
        # What is invalid names nothing.
        return False


def sign_in_command(url: str) -> str:
    """The command that signs in to the backend at `url`."""
    variable = "" if is_named_backend(url) else f"{VARIABLES['base_url']}={url} "
    return f"{variable}afnio-tellurio login"


def configured_timeout() -> float:
    """The seconds that `finish`, a read and the exit of the process wait for delivery.

    Raises:
        ValueError: A setting has a value that is not allowed.
    """
    return read_settings().exit_timeout


def is_quiet() -> bool:
    """Whether lines for people are silenced. A setting that makes no sense silences nothing."""
    try:
        return read_settings().quiet
    except ValueError:
        # Whoever needs the setting raises it; a line is no place for that.
        return bool(os.environ.get(VARIABLES["quiet"]))


def is_disabled() -> bool:
    """Whether tracking is turned off.

    Raises:
        ValueError: A setting has a value that is not allowed.
    """
    return read_settings().mode is Mode.DISABLED


def is_this_machine(host: str) -> bool:
    """Whether a host of a URL is this machine itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _mode(source: str, word: Any) -> Mode:
    try:
        return Mode(str(word).lower())
    except ValueError:
        raise ValueError(f"{source} is {word!r}; set it to one of {', '.join(Mode)}") from None


def _word(source: str, word: Any) -> str:
    if not isinstance(word, str) or not word:
        raise ValueError(f"{source} is {word!r}; set it to a word")
    return word


#: What each relative directory stood for when it was first read, so that changing the working
#: directory moves nothing that is open.
_directories: dict[Path, Path] = {}


def _folder(source: str, word: Any) -> Path:
    try:
        folder = Path(_word(source, word)).expanduser()
        return folder if folder.is_absolute() else _resolved_once(source, folder)
    except RuntimeError:
        raise ValueError(
            f"{source} is {word!r}, and nothing says whose home that is; set it to a whole path"
        ) from None


def _resolved_once(source: str, folder: Path) -> Path:
    if folder not in _directories:
        try:
            _directories.setdefault(folder, folder.absolute())
        except OSError as error:
            raise ValueError(
                f"{source} is {str(folder)!r}, and the working directory no longer exists; "
                "set it to a whole path"
            ) from error
    return _directories[folder]


def _seconds(source: str, word: Any) -> float:
    try:
        seconds = -1.0 if isinstance(word, bool) else float(word)
    except (TypeError, ValueError):
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"{source} is {word!r}; set it to a number of seconds from 0")
    return seconds


def _switch(source: str, word: Any) -> bool:
    found = _WORDS.get(str(word).lower())
    if found is None:
        raise ValueError(f"{source} is {word!r}; set it to one of {', '.join(_WORDS)}")
    return found


def backend_url(source: str, base_url: Any, port: tuple[str, Any] | None) -> str:
    """The URL of a backend: scheme, host and, unless it is the scheme's own, port.

    Raises:
        ValueError: It is none, and the source of it is named.
    """
    try:
        # What copying leaves around it is not meant.
        parts = urlsplit(str(base_url).strip())
        own_port = parts.port
    except ValueError as error:
        raise ValueError(f"{source} is {base_url!r}: {error}") from None
    if parts.scheme not in {"http", "https"} or not _is_host(parts.hostname or ""):
        raise ValueError(
            f"{source} is {base_url!r}; give scheme and host, such as {DEFAULT_BASE_URL}"
        )
    if parts.username or parts.password or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(f"{source} holds more than scheme, host and port; leave the rest out")
    number = own_port if port is None else _port(*port)
    host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
    if number is None or number == {"http": 80, "https": 443}[parts.scheme]:
        return f"{parts.scheme}://{host}"
    return f"{parts.scheme}://{host}:{number}"


def _is_host(word: str) -> bool:
    """Whether a word can be a host, as far as can be told without asking for it."""
    labels = word.removesuffix(".").split(".")
    is_name = all(0 < len(label) <= _MAX_LABEL for label in labels)
    return is_name and word.isprintable() and not set(word) & _IN_NO_HOST


def _port(source: str, word: Any) -> int:
    try:
        # Neither true nor 8642.7, which `int` takes.
        number = int(str(word))
    except ValueError:
        number = 0
    if not 0 < number < 2**16:
        raise ValueError(
            f"the backend's port is {word!r} ({source}); give a number from 1 to 65535"
        )
    return number


def _misspelt_variables() -> tuple[str, ...]:
    known = VARIABLES.values()
    return tuple(
        unknown_setting(_rest_of(name), known, f"the environment variable {name}")
        for name in sorted(os.environ)
        if name not in known and name not in _OF_OTHERS and _has_our_prefix(name)
    )


def _has_our_prefix(variable: str) -> bool:
    """Whether a variable begins as ours do, but for a mistake."""
    prefix, underscore, _ = variable.upper().partition("_")
    # Comparing takes its time, and most variables begin with something else.
    if not underscore or prefix[:3] != _PREFIX[:3]:
        return False
    return bool(_near(prefix, [_PREFIX], _LIKENESS_OF_PREFIX))


def _rest_of(variable: str) -> str:
    return variable.upper().partition("_")[2]


def unknown_setting(name: str, known: Collection[str], what: str) -> str:
    """Points out what is no setting, with the setting that may be meant.

    Args:
        name: The name, without what those of all variables begin with.
        known: The names of the settings.
        what: What is no setting.
    """
    by_rest = {one.removeprefix(f"{_PREFIX}_"): one for one in known}
    words = set(name.split("_"))
    # URL is less like BACKEND_HTTP_BASE_URL, which it stands for, than like QUIET.
    fuller = [rest for rest in by_rest if words <= set(rest.split("_"))]
    near = [min(fuller, key=len)] if fuller else _near(name, by_rest, _LIKENESS)
    return f"{what} is no setting" + (f"; is {by_rest[near[0]]} meant?" if near else "")


def _near(name: str, known: Collection[str], likeness: float) -> list[str]:
    import difflib

    return difflib.get_close_matches(name, known, 1, likeness)


def configuration_directory() -> Path | None:
    """The platform's directory for the settings and the credentials of this user.

    `None` where nothing says whose home is whose, as in a container whose user has no name.
    """
    # platformdirs picks the module of this platform by itself, but takes 4 ms to be imported.
    import platformdirs

    return _directory(platformdirs.user_config_dir)


def _home() -> Path:
    import platformdirs

    # Who has no home is at home at the root, as container runtimes have it.
    return _directory(platformdirs.user_data_dir) or Path("/.local/share/tellurio")


def _directory(find: Callable[..., str]) -> Path | None:
    try:
        found = Path(find("tellurio", appauthor=False, roaming=sys.platform == "win32"))
    except RuntimeError:
        return None
    # Older versions of platformdirs leave the ~ as it is.
    return found if found.is_absolute() else None
