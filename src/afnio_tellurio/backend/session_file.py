"""The file that keeps the sessions of a server over its restarts.

Only its owner can read it. It is not in the database, so a stolen copy of that opens no session. A
stolen copy of this file opens the sessions until they expire, on a server that the thief
can reach; if the API key was chosen with `--api-key`, only together with the key, which has to be
guessed.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import secrets
from typing import TYPE_CHECKING

import msgspec

from afnio_tellurio.files import replace_whole
from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.logs import log

if TYPE_CHECKING:
    from pathlib import Path

#: Each takes some 60 bytes.
_MAX_BYTES = 2**20
#: Slows down guessing an API key from a copy of the file; takes some 30 ms.
_ITERATIONS = 100_000


class _Content(msgspec.Struct):
    """What the file holds.

    Attributes:
        salt: Random, and the root of all secrets.
        key: Shows which API key the sessions belong to, without the key.
        expiries: When each session expires, by its ID.
    """

    salt: str
    key: str
    expiries: dict[str, float]


class SessionFile:
    """The sessions of one server.

    Two servers that share a file, such as on two machines with one home, overwrite each other's
    sessions: some browsers then have to sign in again after a restart.

    Attributes:
        root: Derives the secrets of sessions; differs for each file and each API key.
        expiries: When each kept session expires, by its ID.

    Args:
        path: The file, which may be missing.
        api_key: The API key that the sessions belong to; empty for one that changes with each
            start.
    """

    def __init__(self, path: Path, api_key: str) -> None:
        self._path = path
        content = _read(path) or _Content(secrets.token_hex(32), "", {})
        self.root = _root(content.salt, api_key)
        if not hmac.compare_digest(content.key, _check(self.root)):
            # Those of another key never come back, not even with that key.
            content = _Content(secrets.token_hex(32), "", {})
            self.root = _root(content.salt, api_key)
        self._salt = content.salt
        self.expiries = content.expiries

    def write(self, expiries: dict[str, float]) -> None:
        """Keeps these sessions and no others."""
        content = _Content(self._salt, _check(self.root), expiries)
        try:
            with replace_whole(self._path) as file:
                file.write(msgspec.json.encode(content))
        except OSError as error:
            raise_foreign(error)
            # They work until this server ends.
            log(logging.WARNING, f"sessions of browsers cannot be kept in {self._path}: {error}")


def _read(path: Path) -> _Content | None:
    """Returns the content of the file; None if it is missing, damaged, or readable by others."""
    try:
        with path.open("rb") as file:
            if os.name == "posix" and os.fstat(file.fileno()).st_mode & 0o077:
                return None
            content = msgspec.json.decode(file.read(_MAX_BYTES), type=_Content)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise_foreign(error)
        return None
    return content if content.salt.isascii() and content.key.isascii() else None


def _root(salt: str, api_key: str) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", api_key.encode(), salt.encode(), _ITERATIONS)


def _check(root: bytes) -> str:
    return hmac.digest(root, b"the API key of these sessions", "sha256").hex()
