"""The URL of the page that `serve` offers for a local database, for other processes to link to."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.locking import try_lock

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

_MAX_BYTES = 4096


@contextmanager
def served_at(database: Path, url: str) -> Generator[None, None, None]:
    """Publishes the URL of a database's page to other processes while the context lasts.

    If another server of this database has published its URL already, that one is kept.
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
    """The URL of the page of this database, or `None` if no server runs now."""
    try:
        descriptor = os.open(_record(database), os.O_RDWR)
    except OSError as error:
        raise_foreign(error)
        return None
    try:
        content = os.read(descriptor, _MAX_BYTES)
        # A running server holds the lock; the record of a dead one is outdated.
        if not content or try_lock(descriptor):
            return None
        url = json.loads(content)["url"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise_foreign(error)
        return None
    finally:
        os.close(descriptor)
    return url if isinstance(url, str) else None


def _record(database: Path) -> Path:
    return database.with_name(f"{database.name}-page")
