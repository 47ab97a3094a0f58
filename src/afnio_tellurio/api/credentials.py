"""The credentials file: API keys by backend, for machines without a usable keyring.

It is JSON, `{"https://platform.tellurio.ai": {"api_key": "..."}}`, readable by its owner only.
"""

from __future__ import annotations

import json
import os
import shlex
import stat
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from afnio_tellurio.clock import monotonic
from afnio_tellurio.errors import CredentialsError
from afnio_tellurio.files import make_private_directory, replace_whole
from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.locking import try_lock
from afnio_tellurio.settings.settings import configuration_directory

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

#: Seconds to wait while another process writes, which takes a few milliseconds.
_LOCK_TIMEOUT = 5.0
_LOCK_RETRY_DELAY = 0.01
_MAX_BYTES = 2**20


def credentials_file() -> Path:
    """The path of the file, which may not exist.

    Raises:
        CredentialsError: It has no directory, because the home directory is unknown.
    """
    directory = configuration_directory()
    if directory is None:
        raise CredentialsError(
            "no directory for the credentials file: set HOME or XDG_CONFIG_HOME to one"
        )
    return directory / "credentials.json"


def read_key(url: str) -> str | None:
    """The key in the file for the backend at `url`.

    Raises:
        CredentialsError: Others can read the file, or it is damaged.
    """
    if configuration_directory() is None:
        return None
    return _read(credentials_file()).get(url, {}).get("api_key")


def write_key(url: str, api_key: str) -> None:
    """Stores the key for the backend at `url`, in place of an earlier one.

    Raises:
        CredentialsError: The file cannot be written, others can read it, or it is damaged.
    """
    path = credentials_file()
    if read_key(url) == api_key:
        # The file may be read-only, such as a secret that is mounted into a container.
        return
    try:
        make_private_directory(path.parent)
        with _locked(path):
            _replace(path, {**_read(path), url: {"api_key": api_key}})
    except OSError as error:
        raise_foreign(error)
        raise _unwritable(path, error) from None


def remove_key(url: str) -> bool:
    """Removes the key for the backend at `url`; returns True if there was one.

    Raises:
        CredentialsError: The file cannot be written, others can read it, or it is damaged.
    """
    if read_key(url) is None:
        return False
    path = credentials_file()
    try:
        with _locked(path):
            entries = _read(path)
            is_removed = entries.pop(url, None) is not None
            if entries:
                _replace(path, entries)
            else:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise_foreign(error)
        raise _unwritable(path, error) from None
    return is_removed


def _unwritable(path: Path, error: OSError) -> CredentialsError:
    return CredentialsError(
        f"the credentials file {path} cannot be written: {error.strerror or error}"
    )


def _read(path: Path) -> dict[str, dict[str, str]]:
    try:
        # Opening must not block if the path is a pipe.
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise_foreign(error)
        return {}
    except OSError as error:
        raise_foreign(error)
        status = _status(path)
        if status is None:
            # A directory that we may not search, such as another user's home, has no keys of ours.
            return {}
        _refuse_unsafe(path, status)
        raise CredentialsError(
            f"the credentials file {path} cannot be read: {error.strerror}"
        ) from None
    try:
        _refuse_unsafe(path, os.fstat(fd))
        text = os.read(fd, _MAX_BYTES)
    finally:
        os.close(fd)
    entries = _parse(text)
    if entries is None:
        # Not chained to the parser's exception, which contains the file's text with its keys.
        raise CredentialsError(
            f"the credentials file {path} is damaged; delete it, and sign in again with: "
            "afnio-tellurio login"
        )
    return entries


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError as error:
        raise_foreign(error)
        return None


def _refuse_unsafe(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise CredentialsError(f"the credentials file {path} is not a regular file; remove it")
    # Windows has no such modes; access lists protect a user's directory there.
    if sys.platform == "win32":
        return
    if status.st_uid != os.geteuid():
        raise CredentialsError(
            f"the credentials file {path} belongs to another user (its owner's ID is "
            f"{status.st_uid}, yours is {os.geteuid()}) and is not used; remove it, or set "
            "TELLURIO_API_KEY"
        )
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise CredentialsError(
            f"the credentials file {path} is accessible to other users (its mode is "
            f"{stat.S_IMODE(status.st_mode):04o}) and is not used; fix it with: "
            f"chmod 600 {shlex.quote(str(path))}"
        )


def _parse(text: bytes) -> dict[str, dict[str, str]] | None:
    try:
        entries: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise_foreign(error)
        return None
    # A newer version may store more fields next to the key; they are preserved.
    is_valid = isinstance(entries, dict) and all(
        isinstance(entry, dict) and isinstance(entry.get("api_key"), str)  # pyright: ignore[reportUnknownMemberType]
        for entry in entries.values()  # pyright: ignore[reportUnknownVariableType]
    )
    return entries if is_valid else None  # pyright: ignore[reportUnknownVariableType]


def _replace(path: Path, entries: dict[str, dict[str, str]]) -> None:
    with replace_whole(path) as file:
        file.write(json.dumps(entries, indent=2).encode() + b"\n")


@contextmanager
def _locked(path: Path) -> Generator[None]:
    """Excludes other processes that write."""
    fd = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = monotonic() + _LOCK_TIMEOUT
        while not try_lock(fd):
            if monotonic() > deadline:
                raise TimeoutError("another process is writing to it")
            time.sleep(_LOCK_RETRY_DELAY)
        yield
    finally:
        os.close(fd)
