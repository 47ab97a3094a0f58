"""What the environment says, where files live, and every tunable."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

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


class Mode(StrEnum):
    """Where tracking goes: the values of `TELLURIO_MODE`."""

    AUTO = "auto"
    ONLINE = "online"
    LOCAL = "local"
    DISABLED = "disabled"


@dataclass(frozen=True)
class Settings:
    """What the environment says.

    Attributes:
        mode: `TELLURIO_MODE`.
        base_url: `TELLURIO_BACKEND_HTTP_BASE_URL` with `TELLURIO_BACKEND_HTTP_PORT`, or `None`.
        api_key: `TELLURIO_API_KEY`, or `None`.
        home: `TELLURIO_HOME`, or the platform's user data directory for `tellurio`.
        keyring_service: `KEYRING_SERVICE_NAME`.
    """

    mode: Mode
    base_url: str | None
    api_key: str | None = field(repr=False)
    home: Path
    keyring_service: str

    @property
    def database(self) -> Path:
        """The embedded backend's database file."""
        return self.home / "tellurio.db"


def read_settings() -> Settings:
    """Reads the environment. An empty variable counts as not set.

    Raises:
        ValueError: A variable has a value that is not allowed.
    """
    base_url = os.environ.get("TELLURIO_BACKEND_HTTP_BASE_URL") or None
    port = os.environ.get("TELLURIO_BACKEND_HTTP_PORT") or None
    return Settings(
        mode=_mode(),
        base_url=base_url and backend_url(base_url, port),
        api_key=os.environ.get("TELLURIO_API_KEY") or None,
        home=_home(),
        keyring_service=os.environ.get("KEYRING_SERVICE_NAME") or DEFAULT_KEYRING_SERVICE,
    )


def exit_timeout() -> float:
    """`TELLURIO_EXIT_TIMEOUT`: the seconds that `finish`, a read and the exit wait for delivery.

    Raises:
        ValueError: It is no number of seconds.
    """
    word = os.environ.get("TELLURIO_EXIT_TIMEOUT")
    try:
        seconds = float(word) if word else DEFAULT_EXIT_TIMEOUT
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"TELLURIO_EXIT_TIMEOUT is {word!r}; set it to a number of seconds from 0")
    return seconds


def is_disabled() -> bool:
    """Whether `TELLURIO_MODE` turns tracking off.

    Raises:
        ValueError: It has a value that is not allowed.
    """
    return _mode() is Mode.DISABLED


def _mode() -> Mode:
    word = os.environ.get("TELLURIO_MODE") or Mode.AUTO
    try:
        return Mode(word.lower())
    except ValueError:
        allowed = ", ".join(Mode)
        raise ValueError(f"TELLURIO_MODE is {word!r}; set it to one of {allowed}") from None


def backend_url(base_url: str | None, port: int | str | None) -> str:
    """The URL of a backend: scheme, host and, unless it is the scheme's own, port.

    Args:
        base_url: Scheme and host; `None` for the environment's, else the platform's.
        port: The port; `None` for the environment's, else the one in `base_url` or the scheme's
            own.

    Raises:
        ValueError: The URL or the port is none.
    """
    source = "base_url"
    if base_url is None:
        source = "TELLURIO_BACKEND_HTTP_BASE_URL"
        base_url = os.environ.get(source) or DEFAULT_BASE_URL
        port = port or os.environ.get("TELLURIO_BACKEND_HTTP_PORT") or None
    parts = urlsplit(base_url)
    try:
        own_port = parts.port
    except ValueError as error:
        raise ValueError(f"{source} is {base_url!r}: {error}") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(
            f"{source} is {base_url!r}; give scheme and host, such as {DEFAULT_BASE_URL}"
        )
    if parts.username or parts.password or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(f"{source} holds more than scheme, host and port; leave the rest out")
    number = own_port if port is None else _port(port)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    if number is None or number == {"http": 80, "https": 443}[parts.scheme]:
        return f"{parts.scheme}://{host}"
    return f"{parts.scheme}://{host}:{number}"


def _port(word: int | str) -> int:
    try:
        number = int(word)
    except ValueError:
        number = 0
    if not 0 < number < 2**16:
        raise ValueError(
            f"the backend's port is {word!r}; give a number from 1 to 65535 "
            "(as port, or in TELLURIO_BACKEND_HTTP_PORT)"
        )
    return number


def configuration_directory() -> Path:
    """The platform's directory for the settings and the credentials of this user."""
    # platformdirs picks the module of this platform by itself, but takes 4 ms to be imported.
    import platformdirs

    return Path(
        platformdirs.user_config_dir("tellurio", appauthor=False, roaming=sys.platform == "win32")
    )


def _home() -> Path:
    named = os.environ.get("TELLURIO_HOME")
    if named:
        return Path(named).expanduser()
    # platformdirs picks the module of this platform by itself, but takes 4 ms to be imported.
    import platformdirs

    return Path(
        platformdirs.user_data_dir("tellurio", appauthor=False, roaming=sys.platform == "win32")
    )
