"""Sessions of the page: each browser that signed in has a secret of its own.

The secret is not a cookie: browsers send cookies to every port of a host, so to servers of other
users of the machine. The page keeps it in the storage of its origin, which includes the port.

A session continues after a restart of the server. Meanwhile, another user of the machine could
listen on its port, and open pages would send their requests there. So the page never sends the
secret. Each start of the server has a number, and the Authorization header has an HMAC of that
number with the secret, which no other start accepts. Only a page that the other user serves there,
and that a person loads, could read the secret, as it could ask for the API key.
"""

from __future__ import annotations

import base64
import hmac
import secrets
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from afnio_tellurio.backend.session_file import SessionFile
from afnio_tellurio.settings.limits import LINK_TIME, SESSION_TIME

if TYPE_CHECKING:
    from pathlib import Path

_SCHEME = "Session "
#: Each sign-in adds one. Beyond this number, the oldest one ends.
MAX_SESSIONS = 1000


class Session(NamedTuple):
    """A new session.

    Attributes:
        authorization: What follows "Session " in the Authorization header until this server ends.
        secret: Makes that of another start of the server.
    """

    authorization: str
    secret: str


class Sessions:
    """The sessions of a server. Threads may share it.

    Attributes:
        token: Opens sessions for ten minutes.
        start: The number of this start of the server, which is public.

    Args:
        api_key: The API key, which opens a session too.
    """

    def __init__(self, api_key: str) -> None:
        self._api_key = api_key
        self._lock = threading.Lock()
        self.token = secrets.token_urlsafe(32)
        self._token_expiry = time.time() + LINK_TIME
        self.start = secrets.token_urlsafe(32)
        self._root = secrets.token_bytes(32)
        self._file: SessionFile | None = None
        # In order of sign-in. IDs are not secret.
        self._expiries: dict[str, float] = {}

    def keep_in(self, path: Path, api_key: str | None) -> None:
        """Continues the sessions in a file, and keeps new ones there. Called before any sign-in.

        Args:
            path: The file, which may be missing.
            api_key: The API key that they belong to; None for one that changes with each start.
        """
        self._file = SessionFile(path, api_key or "")
        self._root = self._file.root
        self._expiries.update(self._file.expiries)

    def open_with_token(self, token: str) -> Session | None:
        """Returns a new session, or None if the token is wrong or too old."""
        is_right = is_same(token, self.token)
        return self._open() if is_right and time.time() < self._token_expiry else None

    def open_with_key(self, api_key: str) -> Session | None:
        """Returns a new session, or None if the key is wrong."""
        return self._open() if is_same(api_key, self._api_key) else None

    def allows(self, authorization: str) -> bool:
        """Returns True if an Authorization header is of an open session."""
        session_id = _id_of(authorization)
        expiry = self._expiries.get(session_id)
        if expiry is None or expiry <= time.time():
            return False
        return is_same(authorization, _SCHEME + self._session(session_id).authorization)

    def close(self, authorization: str) -> None:
        """Ends the session of an Authorization header."""
        with self._lock:
            if self.allows(authorization):
                del self._expiries[_id_of(authorization)]
                self._keep()

    def _open(self) -> Session:
        session_id = secrets.token_urlsafe(16)
        with self._lock:
            now = time.time()
            for old_id in [each for each, expiry in self._expiries.items() if expiry <= now]:
                del self._expiries[old_id]
            while len(self._expiries) >= MAX_SESSIONS:
                del self._expiries[next(iter(self._expiries))]
            self._expiries[session_id] = now + SESSION_TIME
            self._keep()
        return self._session(session_id)

    def _session(self, session_id: str) -> Session:
        secret = hmac.digest(self._root, session_id.encode(), "sha256").hex()
        proof = hmac.digest(secret.encode(), self.start.encode(), "sha256")
        return Session(f"{session_id}.{base64.b64encode(proof).decode()}", secret)

    def _keep(self) -> None:
        if self._file is not None:
            self._file.write(self._expiries)


def is_same(text: str, secret: str) -> bool:
    """Compares in constant time."""
    return hmac.compare_digest(text.encode("utf-8", "replace"), secret.encode("utf-8"))


def _id_of(authorization: str) -> str:
    return authorization.removeprefix(_SCHEME).partition(".")[0]
