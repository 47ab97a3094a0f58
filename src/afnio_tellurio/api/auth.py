"""Where the API key is found, asked for and kept."""

from __future__ import annotations

import importlib.util
import logging
import sys
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from afnio_tellurio import credentials
from afnio_tellurio.errors import CredentialsError
from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.logs import log
from afnio_tellurio.notices import warn
from afnio_tellurio.settings import Settings, read_settings

if TYPE_CHECKING:
    from types import ModuleType

Source = Literal["argument", "environment", "keyring", "credentials file"]


@dataclass(frozen=True)
class Credential:
    """An API key, and where it was found."""

    key: str = field(repr=False)
    source: Source


def checked_key(name: str, key: str | None) -> str | None:
    """The key without what copying leaves around it; `None` where nothing is left.

    Args:
        name: What it was given as, for the error.
        key: The key.

    Raises:
        TypeError: It is no string.
        ValueError: It holds a character that no header can carry.
    """
    if key is None:
        return None
    if not isinstance(key, str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers need not check types
        raise TypeError(f"{name} is of type {type(key).__name__}; give a string")
    key = key.strip()
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise ValueError(
            f"{name} holds a space, a line break or a character that no API key has; "
            "copy the key once more, whole and alone"
        )
    return key or None


def find_credential(url: str, settings: Settings | None = None) -> Credential | None:
    """The key for the backend at `url`: the environment's, else the one that a login stored.

    `TELLURIO_API_KEY` is for the backend that the environment or the settings file names, and for
    no other.

    Raises:
        ValueError: TELLURIO_API_KEY is invalid.
        CredentialsError: Others can read the credentials file, or it is damaged.
    """
    settings = settings or read_settings(url)
    key = checked_key("TELLURIO_API_KEY", settings.api_key)
    return Credential(key, "environment") if key else stored_credential(url, settings)


def chosen_credential(
    url: str, settings: Settings, api_key: str | None, *, relogin: bool
) -> Credential | None:
    """The key to sign in with: the one given, else as `find_credential` finds it.

    Args:
        url: The backend.
        settings: What the environment says.
        api_key: The key that was given, if any.
        relogin: Whether to leave a stored key aside.

    Raises:
        TypeError: The key is no string.
        ValueError: The key, or TELLURIO_API_KEY, is none.
        CredentialsError: Others can read the credentials file, or it is damaged.
    """
    given = checked_key("api_key", api_key)
    if given:
        return Credential(given, "argument")
    found = checked_key("TELLURIO_API_KEY", settings.api_key)
    if found:
        return Credential(found, "environment")
    return None if relogin else stored_credential(url, settings)


# Asking


def ask_for_key(url: str) -> str | None:
    """Asks whoever sits at the terminal or the notebook for a key, which is not shown.

    Returns:
        What was entered, or `None` where nobody can answer.

    Raises:
        ValueError: What was entered is no key.
        EOFError: It was left with Ctrl-D.
    """
    if not can_ask():
        return None
    # Looked up now: a kernel replaces it.
    import getpass

    prompt = f"API key for {url} (your account there has it; it is not shown here): "
    try:
        with warnings.catch_warnings():
            # It would go on and show the key.
            warnings.simplefilter("error", getpass.GetPassWarning)
            entered = getpass.getpass(prompt)
    except (getpass.GetPassWarning, NotImplementedError):
        # A terminal that shows whatever is typed, or a notebook that runs with nobody there.
        return None
    except UnicodeDecodeError:
        entered = "\0"
    return checked_key("what was entered", entered)


def can_ask() -> bool:
    """Whether somebody sits at a terminal or a notebook, as far as can be told."""
    return _is_at_terminal() or _is_in_notebook()


def _is_at_terminal() -> bool:
    try:
        return sys.stdin.isatty() and _is_in_foreground(sys.stdin.fileno())
    except (AttributeError, OSError, ValueError):
        # It is closed, or missing.
        return False


def _is_in_foreground(fd: int) -> bool:
    """Whether this process may read from its terminal, and is not stopped for trying."""
    if sys.platform == "win32":
        return True
    import os

    return os.tcgetpgrp(fd) == os.getpgrp()


def _is_in_notebook() -> bool:
    ipython: Any = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


# Keeping


def stored_credential(url: str, settings: Settings) -> Credential | None:
    """The key that a login stored for the backend at `url`.

    Raises:
        CredentialsError: Others can read the credentials file, or it is damaged.
    """
    try:
        keyring = _usable_keyring()
        key = keyring and keyring.get_password(settings.keyring_service, url)
    except Exception as error:  # noqa: BLE001 - each keyring fails in its own way
        raise_foreign(error, by_type=False)
        _note_failing_keyring(error)
        key = None
    if key:
        return Credential(key, "keyring")
    key = credentials.read_key(url)
    return Credential(key, "credentials file") if key else None


def store_key(url: str, api_key: str, settings: Settings) -> None:
    """Keeps the key for the backend at `url`, in the keyring or else in the credentials file.

    Where neither takes it, one line says so: it serves this process.
    """
    try:
        if not _stored_in_keyring(url, api_key, settings):
            credentials.write_key(url, api_key)
    except CredentialsError as error:
        warn(
            f"the API key for {url} is good, and is not stored: {error}; for other processes, "
            f"set TELLURIO_API_KEY, and TELLURIO_BACKEND_HTTP_BASE_URL to {url}"
        )


def _stored_in_keyring(url: str, api_key: str, settings: Settings) -> bool:
    try:
        keyring = _usable_keyring()
        if keyring is None:
            return False
        keyring.set_password(settings.keyring_service, url, api_key)
    except Exception as error:  # noqa: BLE001 - each keyring fails in its own way
        raise_foreign(error, by_type=False)
        _note_failing_keyring(error)
        return False
    # One that the keyring did not take before.
    credentials.remove_key(url)
    return True


def remove_stored(url: str, settings: Settings) -> tuple[list[Source], str | None]:
    """Removes the stored key for the backend at `url`.

    Returns:
        Where there was one, and what kept the keyring from being looked at, if anything.

    Raises:
        CredentialsError: The credentials file cannot be written, others can read it, or it is
            damaged.
    """
    removed: list[Source] = []
    problem = None
    try:
        keyring = _usable_keyring()
        if keyring is not None and keyring.get_password(settings.keyring_service, url):
            keyring.delete_password(settings.keyring_service, url)
            removed.append("keyring")
    except Exception as error:  # noqa: BLE001 - each keyring fails in its own way
        raise_foreign(error, by_type=False)
        problem = f"the system keyring cannot be used ({type(error).__name__})"
    if credentials.remove_key(url):
        removed.append("credentials file")
    return removed, problem


def _note_failing_keyring(error: Exception) -> None:
    # Not its words: nobody knows what a keyring puts into them.
    log(logging.INFO, f"the system keyring cannot be used ({type(error).__name__})")


def _usable_keyring() -> ModuleType | None:
    """The `keyring` library where it is installed and has a real place to keep a secret."""
    if importlib.util.find_spec("keyring") is None:
        return None
    try:
        import keyring

        chosen = type(keyring.get_keyring()).__module__
    except Exception as error:  # noqa: BLE001 - it fails in many ways where there is no home
        raise_foreign(error, by_type=False)
        _note_failing_keyring(error)
        return None
    return None if chosen in {"keyring.backends.fail", "keyring.backends.null"} else keyring
