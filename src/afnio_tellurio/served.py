"""Where the page of an embedded backend is served, for whoever wants to link to it."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from afnio_tellurio.locking import try_lock

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

_MAX_BYTES = 4096


@contextmanager
def served_at(database: Path, url: str) -> Generator[None, None, None]:
    """Lets other processes know, for as long as this lasts, where a database's page is.

    Where another server of the same database has said so already, its word stands.
    """
    record = _record(database)
    descriptor = os.open(record, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not try_lock(descriptor):
            yield
            return
        os.truncate(descriptor, 0)
        os.write(descriptor, json.dumps({"url": url}).encode())
        try:
            yield
        finally:
            os.truncate(descriptor, 0)
    finally:
        os.close(descriptor)


def page_url(database: Path) -> str | None:
    """Where the page of this database is served at this moment, or `None`."""
    try:
        descriptor = os.open(_record(database), os.O_RDWR)
    except OSError:
        return None
    try:
        content = os.read(descriptor, _MAX_BYTES)
        # Whoever serves holds the lock; the record of one that died says nothing.
        if not content or try_lock(descriptor):
            return None
        url = json.loads(content)["url"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    finally:
        os.close(descriptor)
    return url if isinstance(url, str) else None


def _record(database: Path) -> Path:
    return database.with_name(f"{database.name}-page")
