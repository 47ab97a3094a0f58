"""The credentials file: API keys by backend, for machines whose keyring cannot be used.

It is JSON, `{"https://platform.tellurio.ai": {"api_key": "..."}}`, readable by its owner only.
"""

from __future__ import annotations

import json
import os
import shlex
import stat
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from afnio_tellurio.delivery.locking import try_lock
from afnio_tellurio.errors import CredentialsError
from afnio_tellurio.files import make_private_directory
from afnio_tellurio.settings import configuration_directory

if TYPE_CHECKING:
    from collections.abc import Generator

#: Seconds to wait for another process that writes; it takes it a few milliseconds.
_LOCK_TIMEOUT = 5.0
_LOCK_RETRY_DELAY = 0.01
_MOST_BYTES = 2**20


def credentials_file() -> Path:
    """Where the file is, or would be.

    Raises:
        CredentialsError: There is no directory for it, as where nothing says whose home is whose.
    """
    directory = configuration_directory()
    if directory is None:
        raise CredentialsError(
            "there is no place for a credentials file: neither HOME nor XDG_CONFIG_HOME names one"
        )
    return directory / "credentials.json"


def read_key(url: str) -> str | None:
    """The key that the file holds for the backend at `url`.

    Raises:
        CredentialsError: Others can read the file, or it is damaged.
    """
    if configuration_directory() is None:
        return None
    return _read(credentials_file()).get(url, {}).get("api_key")


def write_key(url: str, api_key: str) -> None:
    """Keeps a key for the backend at `url`, in place of an earlier one.

    Raises:
        CredentialsError: The file cannot be written, others can read it, or it is damaged.
    """
    path = credentials_file()
    if read_key(url) == api_key:
        # It may lie where it can only be read, as a secret that a container is given.
        return
    try:
        make_private_directory(path.parent)
        with _locked(path):
            _replace(path, {**_read(path), url: {"api_key": api_key}})
    except OSError as error:
        raise _unwritable(path, error) from None


def remove_key(url: str) -> bool:
    """Removes the key for the backend at `url`; says whether there was one.

    Raises:
        CredentialsError: The file cannot be written, others can read it, or it is damaged.
    """
    if read_key(url) is None:
        return False
    path = credentials_file()
    try:
        with _locked(path):
            kept = _read(path)
            is_there = kept.pop(url, None) is not None
            if kept:
                _replace(path, kept)
            else:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from None
    return is_there


def _unwritable(path: Path, error: OSError) -> CredentialsError:
    return CredentialsError(
        f"the credentials file {path} cannot be written: {error.strerror or error}"
    )


def _read(path: Path) -> dict[str, dict[str, str]]:
    try:
        # A pipe in its place must not make us wait.
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        found = _status(path)
        if found is None:
            # A directory that we may not even look into, another user's home say, holds nothing of
            # ours.
            return {}
        _refuse_unsafe(path, found)
        raise CredentialsError(
            f"the credentials file {path} cannot be read: {error.strerror}"
        ) from None
    with os.fdopen(fd, "rb") as file:
        _refuse_unsafe(path, os.fstat(fd))
        text = file.read(_MOST_BYTES)
    kept = _parsed(text)
    if kept is None:
        # Raised here and not from the parser's exception, which holds the text, keys and all.
        raise CredentialsError(
            f"the credentials file {path} is damaged; delete it, and sign in again with: "
            "afnio-tellurio login"
        )
    return kept


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _refuse_unsafe(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise CredentialsError(f"the credentials file {path} is no regular file; remove it")
    # Windows has no such mode; there a user's directory is the user's by its access list.
    if sys.platform == "win32":
        return
    if found.st_uid != os.geteuid():
        raise CredentialsError(
            f"the credentials file {path} belongs to another user (its owner's number is "
            f"{found.st_uid}, yours {os.geteuid()}) and is not used; remove it, or set "
            "TELLURIO_API_KEY"
        )
    if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise CredentialsError(
            f"the credentials file {path} is open to other users (its mode is "
            f"{stat.S_IMODE(found.st_mode):04o}) and is not used; mend it with: "
            f"chmod 600 {shlex.quote(str(path))}"
        )


def _parsed(text: bytes) -> dict[str, dict[str, str]] | None:
    try:
        kept: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    # What a newer version may keep beside the key is left as it is.
    is_sound = isinstance(kept, dict) and all(
        isinstance(entry, dict) and isinstance(entry.get("api_key"), str)  # pyright: ignore[reportUnknownMemberType]
        for entry in kept.values()  # pyright: ignore[reportUnknownVariableType]
    )
    return kept if is_sound else None  # pyright: ignore[reportUnknownVariableType]


def _replace(path: Path, kept: dict[str, dict[str, str]]) -> None:
    # Made readable by its owner only, from its first moment.
    fd, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(json.dumps(kept, indent=2).encode() + b"\n")
            file.flush()
            os.fsync(fd)
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


@contextmanager
def _locked(path: Path) -> Generator[None]:
    """Keeps other processes from writing in between."""
    fd = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + _LOCK_TIMEOUT
        while not try_lock(fd):
            if time.monotonic() > deadline:
                raise TimeoutError("another process is writing it")
            time.sleep(_LOCK_RETRY_DELAY)
        yield
    finally:
        os.close(fd)
