"""Finding, asking for and storing the API key."""

from __future__ import annotations

import importlib.util
import logging
import sys
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from afnio_tellurio.api import afnio_account, credentials
from afnio_tellurio.errors import CredentialsError
from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.logs import log
from afnio_tellurio.notices import warn

if TYPE_CHECKING:
    from types import ModuleType

    from afnio_tellurio.settings.settings import Settings

Source = Literal["argument", "environment", "keyring", "credentials file"]


@dataclass(frozen=True)
class Credential:
    """An API key and its source."""

    key: str = field(repr=False)
    source: Source


def checked_key(name: str, key: str | None) -> str | None:
    """The key without the spaces that copying leaves around it; `None` if it is empty.

    Args:
        name: The name of the argument or variable, for the error.
        key: The key.

    Raises:
        TypeError: It is not a string.
        ValueError: It contains a character that a header cannot carry.
    """
    if key is None:
        return None
    if not isinstance(key, str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers need not check types
        raise TypeError(f"{name} is of type {type(key).__name__}; pass a string")
    key = key.strip()
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise ValueError(
            f"{name} contains a space, a line break or another character that is invalid in an API "
            "key; copy the whole key again, without spaces"
        )
    return key or None


def find_credential(settings: Settings) -> Credential | None:
    """The key for the backend of the settings: the environment's, else the stored one.

    `TELLURIO_API_KEY` belongs to the backend that the environment or the settings file names, and
    to no other.

    Raises:
        ValueError: TELLURIO_API_KEY is invalid.
        CredentialsError: Others can read the credentials file, or it is damaged.
    """
    key = checked_key("TELLURIO_API_KEY", settings.api_key)
    return Credential(key, "environment") if key else read_stored(settings)


def choose_credential(
    settings: Settings, api_key: str | None, *, relogin: bool
) -> Credential | None:
    """The key to sign in with: the argument, else as `find_credential` finds it.

    Args:
        settings: The settings, which name the backend.
        api_key: The key that was passed, if any.
        relogin: Whether to ignore a stored key.

    Raises:
        TypeError: The key is not a string.
        ValueError: The key, or TELLURIO_API_KEY, is invalid.
        CredentialsError: Others can read the credentials file, or it is damaged.
    """
    key = checked_key("api_key", api_key)
    if key:
        return Credential(key, "argument")
    key = checked_key("TELLURIO_API_KEY", settings.api_key)
    if key:
        return Credential(key, "environment")
    return None if relogin else read_stored(settings)


# Asking


def ask_for_key(url: str, place: str) -> str | None:
    """Asks for a key at the terminal or in the notebook, without showing it.

    Args:
        url: The URL of the backend.
        place: Where to find a key.

    Returns:
        The key, or `None` if nobody can answer.

    Raises:
        ValueError: The input is not a valid key.
        EOFError: The user pressed Ctrl-D.
    """
    if not can_ask():
        return None
    # Looked up now: a kernel replaces it.
    import getpass

    prompt = f"API key for {url} ({place}; input is hidden): "
    try:
        with warnings.catch_warnings():
            # After its warning it would show the key.
            warnings.simplefilter("error", getpass.GetPassWarning)
            entered = getpass.getpass(prompt)
    except (getpass.GetPassWarning, NotImplementedError):
        # A terminal that cannot hide input, or a notebook that runs unattended.
        return None
    except UnicodeDecodeError:
        entered = "\0"
    return checked_key("the input", entered)


def can_ask() -> bool:
    """Whether the program has a terminal or a notebook to ask at."""
    return _is_at_terminal() or _is_in_notebook()


def _is_at_terminal() -> bool:
    try:
        return sys.stdin.isatty() and _is_in_foreground(sys.stdin.fileno())
    except (AttributeError, OSError, ValueError) as error:
        raise_foreign(error)
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


# Storing


def read_stored(settings: Settings) -> Credential | None:
    """The key that a login stored for the backend of the settings.

    Raises:
        CredentialsError: Others can read the credentials file, or it is damaged.
    """
    url = settings.url
    try:
        keyring = _usable_keyring()
        key = keyring and (
            keyring.get_password(settings.keyring_service, url) or _read_shared(keyring, settings)
        )
    except Exception as error:  # noqa: BLE001 - each keyring fails in its own way
        raise_foreign(error, by_type=False)
        _note_failing_keyring(error)
        key = None
    if key:
        return Credential(key, "keyring")
    key = credentials.read_key(url)
    return Credential(key, "credentials file") if key else None


def _read_shared(keyring: ModuleType, settings: Settings) -> str | None:
    """The key in the entry that `afnio login` uses, if it may be sent to this backend.

    It is the entry of the default backend. The key in it may be of another one: the settings may
    have changed since.
    """
    username = afnio_account.read_username() if settings.is_named else None
    if username is None:
        return None
    key: str | None = keyring.get_password(settings.keyring_service, username)
    return key if key and afnio_account.backend_of(key) in {None, settings.url} else None


def store_key(settings: Settings, api_key: str, username: str) -> None:
    """Stores the key for the backend of the settings in the keyring, else in the credentials file.

    If neither works, one line says so: the key then serves this process only.

    Args:
        settings: The settings, which name the backend.
        api_key: The key, which the backend has accepted.
        username: The name of its owner.
    """
    url = settings.url
    try:
        if not _store_in_keyring(settings, api_key, username):
            credentials.write_key(url, api_key)
    except CredentialsError as error:
        warn(
            f"the API key for {url} was accepted but could not be saved: {error}; for other "
            f"processes, set TELLURIO_API_KEY, and TELLURIO_BACKEND_HTTP_BASE_URL to {url}"
        )


def _store_in_keyring(settings: Settings, api_key: str, username: str) -> bool:
    service, url = settings.keyring_service, settings.url
    try:
        keyring = _usable_keyring()
        if keyring is None:
            return False
        if _takes_shared(keyring, settings) and _write_account(username, url, api_key):
            keyring.set_password(service, username, api_key)
            if keyring.get_password(service, url):
                keyring.delete_password(service, url)
        else:
            keyring.set_password(service, url, api_key)
    except Exception as error:  # noqa: BLE001 - each keyring fails in its own way
        raise_foreign(error, by_type=False)
        _note_failing_keyring(error)
        return False
    # An earlier key, from before the keyring could be used.
    credentials.remove_key(settings.url)
    return True


def _takes_shared(keyring: ModuleType, settings: Settings) -> bool:
    """Whether a key is stored where `afnio login` stores it: not in place of another backend's."""
    if not settings.is_named:
        return False
    username = afnio_account.read_username()
    key = username and keyring.get_password(settings.keyring_service, username)
    return not key or afnio_account.backend_of(key) in {None, settings.url}


def _write_account(username: str, url: str, api_key: str) -> bool:
    try:
        afnio_account.write_account(username, url, api_key)
    except (OSError, RuntimeError) as error:
        raise_foreign(error)
        log(logging.INFO, f"{afnio_account.FILE} cannot be written ({error})")
        return False
    return True


def remove_stored(settings: Settings) -> tuple[list[Source], str | None]:
    """Removes the stored key for the backend of the settings.

    Returns:
        Where a key was stored, and why the keyring could not be checked, or `None`.

    Raises:
        CredentialsError: The credentials file cannot be written, others can read it, or it is
            damaged.
    """
    url = settings.url
    removed: list[Source] = []
    problem = None
    try:
        keyring = _usable_keyring()
        if keyring is not None:
            names = [url]
            if _read_shared(keyring, settings):
                names.append(str(afnio_account.read_username()))
            for name in names:
                if keyring.get_password(settings.keyring_service, name):
                    keyring.delete_password(settings.keyring_service, name)
                    removed.append("keyring")
    except Exception as error:  # noqa: BLE001 - each keyring fails in its own way
        raise_foreign(error, by_type=False)
        problem = f"the system keyring cannot be used ({type(error).__name__})"
    if credentials.remove_key(url):
        removed.append("credentials file")
    return removed, problem


def _note_failing_keyring(error: Exception) -> None:
    # Without its message, which may contain a secret.
    log(logging.INFO, f"the system keyring cannot be used ({type(error).__name__})")


def _usable_keyring() -> ModuleType | None:
    """The `keyring` library, if it is installed and has a real place for a secret."""
    if importlib.util.find_spec("keyring") is None:
        return None
    try:
        import keyring

        chosen = type(keyring.get_keyring()).__module__
    except Exception as error:  # noqa: BLE001 - it fails in many ways without a home directory
        raise_foreign(error, by_type=False)
        _note_failing_keyring(error)
        return None
    return None if chosen in {"keyring.backends.fail", "keyring.backends.null"} else keyring
