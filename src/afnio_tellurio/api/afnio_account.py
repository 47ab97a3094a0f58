"""The account that `afnio login` stores, which is shared with it.

afnio 0.3.7 keeps the API key in the system keyring under the user's name, and the user's name in
`~/.tellurio_config.json`. Neither has the backend's URL, so this package adds a field to the file:
the URL, and a fingerprint that shows whether the keyring still holds the same key.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, cast

from afnio_tellurio.files import replace_whole
from afnio_tellurio.interruptions import raise_foreign

#: The file, in the home directory.
FILE = "~/.tellurio_config.json"
_FIELD = "afnio_tellurio"
_MAX_BYTES = 2**20


def account_file() -> Path:
    """The path of the file, which may not exist."""
    return Path(FILE).expanduser()


def read_username() -> str | None:
    """The name of the user who signed in last, or None."""
    username = _read().get("username")
    return username if isinstance(username, str) and username else None


def backend_of(api_key: str) -> str | None:
    """The URL of the backend that a key of the keyring was stored for, or None if unknown."""
    entry: Any = _read().get(_FIELD)
    if not isinstance(entry, dict):
        return None
    record = cast("dict[str, Any]", entry)
    url = record.get("backend")
    is_same = record.get("fingerprint") == _fingerprint(api_key)
    return url if is_same and isinstance(url, str) else None


def write_account(username: str, url: str, api_key: str) -> None:
    """Stores who signed in to which backend. What afnio keeps for the same user stays.

    Raises:
        OSError: The file cannot be written.
    """
    content: dict[str, Any] = _read()
    if content.get("username") != username:
        # As afnio does: consent is one person's.
        content = {"username": username}
    content[_FIELD] = {"backend": url, "fingerprint": _fingerprint(api_key)}
    with replace_whole(account_file()) as file:
        file.write(json.dumps(content, indent=2).encode())


def _read() -> dict[str, Any]:
    try:
        with account_file().open("rb") as file:
            content: Any = json.loads(file.read(_MAX_BYTES))
    except (OSError, RuntimeError, ValueError, RecursionError) as error:
        raise_foreign(error)
        # afnio too starts with an empty one if it cannot read the file.
        return {}
    return cast("dict[str, Any]", content) if isinstance(content, dict) else {}


def _fingerprint(api_key: str) -> str:
    """Some bits of a hash: enough to notice another key, and of no use for guessing this one."""
    return hashlib.sha256(api_key.encode()).hexdigest()[:8]
