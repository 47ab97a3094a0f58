"""Sessions of the page: each browser that signed in has a secret of its own.

The secret is not a cookie: browsers send cookies to every port of a host, so to servers of other
users of the machine. The page keeps it in the storage of its origin, which includes the port, and
sends it in the Authorization header.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading

_SCHEME = "Session "
#: Each sign-in adds one. Beyond this number, the oldest one ends.
MAX_SESSIONS = 1000


class Sessions:
    """The sessions of a server. Threads may share it.

    Attributes:
        token: A one-time token that opens a session.

    Args:
        api_key: The API key, which opens a session too.
    """

    def __init__(self, api_key: str) -> None:
        self._api_key = api_key
        self._lock = threading.Lock()
        self._is_token_used = False
        self.token = secrets.token_urlsafe(32)
        # Digests, so that the time of a lookup reveals nothing of a secret. In order of sign-in.
        self._digests: dict[bytes, None] = {}

    def open_with_token(self, token: str) -> str | None:
        """Returns the secret of a new session, or None if the token is wrong or was used."""
        with self._lock:
            if self._is_token_used or not is_same(token, self.token):
                return None
            self._is_token_used = True
        return self._open()

    def open_with_key(self, api_key: str) -> str | None:
        """Returns the secret of a new session, or None if the key is wrong."""
        return self._open() if is_same(api_key, self._api_key) else None

    def allows(self, authorization: str) -> bool:
        """Returns True if an Authorization header is of an open session."""
        return _digest(authorization) in self._digests

    def close(self, authorization: str) -> None:
        """Ends the session of an Authorization header."""
        with self._lock:
            self._digests.pop(_digest(authorization), None)

    def _open(self) -> str:
        secret = secrets.token_urlsafe(32)
        with self._lock:
            while len(self._digests) >= MAX_SESSIONS:
                del self._digests[next(iter(self._digests))]
            self._digests[_digest(f"{_SCHEME}{secret}")] = None
        return secret


def is_same(text: str, secret: str) -> bool:
    """Compares in constant time."""
    return hmac.compare_digest(text.encode("utf-8", "replace"), secret.encode("utf-8"))


def _digest(authorization: str) -> bytes:
    return hashlib.sha256(authorization.encode("utf-8", "replace")).digest()
