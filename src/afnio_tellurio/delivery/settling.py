"""Settles the runs of dead processes while the embedded backend is open."""

from __future__ import annotations

import threading
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

from afnio_tellurio.delivery.recovery import (
    deliver_journals,
    if_dead,
    list_readable_journals,
)
from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.notices import warn
from afnio_tellurio.settings.limits import RECOVERY_SHARE, SETTLE_INTERVAL

if TYPE_CHECKING:
    from afnio_tellurio.api.connection import Connection
    from afnio_tellurio.delivery.journal_file import JournalFile


def recover_local(connection: Connection) -> None:
    """Delivers the journals of dead processes to the embedded backend that was just opened.

    It waits for that a fifteenth of `TELLURIO_EXIT_TIMEOUT`; a thread does the rest. While the
    backend is open, the thread also delivers those of processes that die later, so that no run
    shows `RUNNING` whose process is gone.
    """
    is_done = threading.Event()
    # A client that is not used anymore must not stay open because of the thread.
    thread = threading.Thread(
        target=_recover,
        args=(weakref.ref(connection), is_done),
        name="tellurio-recovery",
        daemon=True,
    )
    try:
        thread.start()
    except RuntimeError as error:
        raise_foreign(error)
        # The interpreter is shutting down and starts no threads; the next process delivers them.
        return
    is_done.wait(connection.settings.exit_timeout * RECOVERY_SHARE)


def _recover(reference: weakref.ref[Connection], is_done: threading.Event) -> None:
    seen: set[Path] = set()
    try:
        _settle(reference, seen)
    finally:
        is_done.set()
    _watch(reference, seen)


def _watch(reference: weakref.ref[Connection], seen: set[Path]) -> None:
    """Looks for journals of processes that have died, as long as the backend is open."""
    time.sleep(SETTLE_INTERVAL)
    while _settle(reference, seen):
        time.sleep(SETTLE_INTERVAL)


def _settle(reference: weakref.ref[Connection], seen: set[Path]) -> bool:
    """Delivers the journals of dead processes, except those that were seen and stay.

    Args:
        reference: The backend.
        seen: The journals of dead processes that stay, which are not read again.

    Returns:
        False if the backend is not open anymore; the next process continues.
    """
    connection = reference()
    if connection is None or connection.is_closed:
        return False

    def select(journal: JournalFile) -> Connection | None:
        seen.add(journal.path)
        return if_dead(connection, journal)

    paths = set(list_readable_journals(connection.settings.journals))
    seen &= paths
    for result in deliver_journals(sorted(paths - seen), select):
        if connection.is_closed:
            return False
        if result.problem:
            seen.add(Path(result.path))
            warn(f"the journal {result.path} could not be delivered: {result.problem}")
    return True
