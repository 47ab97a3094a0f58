"""Recovery: delivering the journals of processes that are dead."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import msgspec

from afnio_tellurio.delivery.journal_file import JournalFile, journals_folder, remove_journal
from afnio_tellurio.delivery.locking import try_lock
from afnio_tellurio.delivery.records import SUFFIX
from afnio_tellurio.delivery.transfer import Transfer
from afnio_tellurio.errors import DatabaseError, NotFoundError, TellurioError, never_had_run
from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.notices import warn, warn_once

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from afnio_tellurio.client import TellurioClient

#: Times that a request is repeated before a journal is left for the next recovery.
_ATTEMPTS = 4


@attrs.frozen
class SyncedJournal:
    """What became of the journal of one dead process.

    Attributes:
        path: The journal's file, or the folder of the journals where it cannot be read.
        run_name: The run's name, or None where the journal's header is damaged.
        delivered: How many metrics the backend has now that it had not acknowledged before.
        rejected: How many it refused now; they are in the `.rejected` file beside the journal.
        lost: How many cannot be read, for the journal is damaged there.
        status: The status that the run was given, or None where it had ended, or goes on.
        problem: Why the journal could not be delivered, or None; it stays then.
    """

    path: str
    run_name: str | None = None
    delivered: int = 0
    rejected: int = 0
    lost: int = 0
    status: str | None = None
    problem: str | None = None


def orphans() -> Iterator[Path]:
    """The journals whose process is dead, but for those that this user cannot open."""
    return filter(_is_orphan, _journals_if_readable())


def _is_orphan(path: Path) -> bool:
    try:
        with locked(path) as is_orphan:
            return is_orphan
    except OSError as error:
        raise_foreign(error)
        return False


def say_orphans() -> None:
    """Says in one line, once, that journals of dead processes wait."""
    count = sum(1 for _ in orphans())
    if count:
        warn_once(
            f"{count} journal{'s' if count > 1 else ''} of processes that ended before delivery "
            f"wait in {journals_folder()}; deliver them with: afnio-tellurio sync"
        )


def recover_local(client: TellurioClient) -> None:
    """Delivers the journals of dead processes to the embedded backend that was just opened."""
    paths = _journals_if_readable()
    for result in _delivered(paths, lambda journal: _client_if_its(client, journal)):
        if result.problem:
            warn(f"the journal {result.path} could not be delivered: {result.problem}")


def deliver_orphans_of_run(client: TellurioClient, run_uuid: str) -> None:
    """Delivers what dead processes, such as forked children, logged to a run that goes on."""

    def chosen(journal: JournalFile) -> TellurioClient | None:
        is_meant = journal.header.run_uuid == run_uuid and not journal.header.owns_run
        return _client_if_its(client, journal) if is_meant else None

    for result in _delivered(_journals_if_readable(f"{run_uuid}."), chosen):
        if result.problem:
            warn(f"the journal {result.path} could not be delivered: {result.problem}")


def _client_if_its(client: TellurioClient, journal: JournalFile) -> TellurioClient | None:
    is_its = (_address_of(journal), journal.header.is_local) == (client.address, client.is_local)
    return client if is_its else None


def _address_of(journal: JournalFile) -> str:
    """The `address` of the client that a journal is for."""
    name = journal.header.backend
    if not journal.header.is_local:
        return name
    home = journal.path.parent.parent
    database = home / name
    if not database.exists() and (home / database.name).exists():
        # An earlier version wrote the whole path, and the folder was moved since.
        database = home / database.name
    return str(database.resolve())


def sync() -> list[SyncedJournal]:
    """Delivers what dead processes logged, and ends their runs.

    A run whose process did not end it ends as `CRASHED`. A journal of a process that is alive is
    left to it. Doing it again does nothing.

    Returns:
        What became of each journal.
    """
    from afnio_tellurio.client import TellurioClient

    clients: dict[tuple[str, bool], TellurioClient] = {}

    def client_of(journal: JournalFile) -> TellurioClient:
        key = address, is_local = _address_of(journal), journal.header.is_local
        if key not in clients:
            if is_local and not Path(address).exists():
                raise DatabaseError(
                    f"the database {address} does not exist; put it back there, "
                    "or remove the journal to give up what it holds"
                )
            clients[key] = (
                TellurioClient.of_existing_database(address)
                if is_local
                else TellurioClient(address)
            )
        return clients[key]

    try:
        paths = _journals()
    except OSError as error:
        raise_foreign(error)
        return [SyncedJournal(path=str(journals_folder()), problem=_unreadable(error))]
    try:
        return list(_delivered(paths, client_of))
    finally:
        for client in clients.values():
            client.close()


def _delivered(
    paths: Iterable[Path], client_of: Callable[[JournalFile], TellurioClient | None]
) -> Iterator[SyncedJournal]:
    """Delivers each journal of a dead process for which there is a client.

    Args:
        paths: The journals.
        client_of: The client for a journal, or None to leave the journal alone.
    """
    for path in paths:
        try:
            with locked(path) as is_orphan:
                done = _delivered_one(path, client_of) if is_orphan else None
        except OSError as error:
            raise_foreign(error)
            done = SyncedJournal(path=str(path), problem=_unreadable(error))
        if done is None:
            continue
        if done.problem is None:
            # Windows removes no file that is open, as one that is locked must be.
            remove_journal(path)
        yield done


def _delivered_one(
    path: Path, client_of: Callable[[JournalFile], TellurioClient | None]
) -> SyncedJournal | None:
    try:
        journal = JournalFile.open(path)
    except FileNotFoundError:
        # Another process was faster.
        return None
    except (OSError, ValueError, msgspec.ValidationError) as error:
        raise_foreign(error)
        return SyncedJournal(path=str(path), problem=str(error))
    try:
        client = client_of(journal)
        return None if client is None else deliver(client, journal)
    except (OSError, ValueError, TellurioError) as error:
        raise_foreign(error)
        return SyncedJournal(path=str(path), run_name=journal.header.run_name, problem=str(error))
    finally:
        journal.close()


def deliver(
    client: TellurioClient, journal: JournalFile, progress: Callable[[int], None] | None = None
) -> SyncedJournal:
    """Delivers the journal of a dead process, and ends its run.

    Args:
        client: The backend.
        journal: The journal; its lock must be held.
        progress: Told after each request how many metrics of the journal the backend has.
    """
    transfer = Transfer(client, journal)
    before = journal.position.number
    status = None
    if _send_waiting(transfer, progress):
        status = _end(transfer, progress)
    if transfer.has_restored:
        before = 0
    problem = transfer.stopped or transfer.last_error
    return SyncedJournal(
        path=str(journal.path),
        run_name=journal.header.run_name,
        delivered=journal.position.number - before - transfer.rejected - journal.lost,
        rejected=transfer.rejected,
        lost=journal.lost,
        status=status,
        problem=None if problem is None else str(problem),
    )


def _send_waiting(transfer: Transfer, progress: Callable[[int], None] | None) -> bool:
    """Sends what waits in a journal; returns whether the backend has all of it."""
    journal = transfer.journal
    attempts = _ATTEMPTS
    while transfer.stopped is None and attempts:
        batch = journal.batch()
        if batch is None:
            break
        if not transfer.send(batch):
            attempts -= 1
            if attempts:
                time.sleep(max(0.0, transfer.not_before - time.monotonic()))
        elif progress is not None:
            progress(journal.position.number)
    return transfer.stopped is None and transfer.last_error is None


def _end(transfer: Transfer, progress: Callable[[int], None] | None) -> str | None:
    """Ends the run of a dead process, if it is its own and still open; returns the status."""
    header = transfer.journal.header
    if not header.owns_run:
        return None
    path = (header.namespace_slug, header.project_slug, header.run_uuid)
    try:
        if transfer.client.get_run(*path).status != "RUNNING":
            return None
    except NotFoundError as error:
        # Where somebody deleted it, there is nothing to end.
        is_lost = never_had_run(error) and transfer.restore(error)
        if not (is_lost and _send_waiting(transfer, progress)):
            return None
    status = transfer.journal.end_status() or "CRASHED"
    transfer.client.update_run(*path, status=status)
    return status


def _journals(prefix: str = "") -> list[Path]:
    """The journals there are.

    Raises:
        OSError: The folder cannot be read.
    """
    try:
        # Not with glob, to which a folder that it cannot read is empty.
        paths = list(journals_folder().iterdir())
    except FileNotFoundError:
        return []
    return sorted(path for path in paths if path.name.startswith(prefix) and path.suffix == SUFFIX)


def _journals_if_readable(prefix: str = "") -> list[Path]:
    """The journals there are; none where the folder cannot be read, as whoever logs says."""
    try:
        return _journals(prefix)
    except OSError as error:
        raise_foreign(error)
        return []


def _unreadable(error: OSError) -> str:
    return (
        f"cannot be opened: {error.strerror or error}; "
        "run afnio-tellurio sync as the user who owns it, or change its owner"
    )


@contextmanager
def locked(path: Path) -> Generator[bool, None, None]:
    """Holds the lock of a journal, if its process has freed it; says whether.

    Raises:
        OSError: It cannot be opened, or locked.
    """
    try:
        fd = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        # Another process was faster.
        yield False
        return
    try:
        # One that is empty is just being made.
        yield try_lock(fd) and os.fstat(fd).st_size > 0
    finally:
        os.close(fd)


SyncedJournal.__module__ = "afnio_tellurio"
