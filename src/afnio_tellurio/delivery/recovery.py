"""Recovery: delivering the journals of dead processes."""

from __future__ import annotations

import os
import time
from collections import Counter
from contextlib import closing, contextmanager
from itertools import filterfalse, islice
from typing import TYPE_CHECKING

import attrs
import msgspec

from afnio_tellurio.api import operations
from afnio_tellurio.api.calling import RunPath
from afnio_tellurio.api.entities import RunStatus
from afnio_tellurio.clock import monotonic
from afnio_tellurio.deadlines import has_passed, run_until_deadline, seconds_left
from afnio_tellurio.delivery.file_transfer import lost_files
from afnio_tellurio.delivery.hosts import is_from_here, locks_reach_all
from afnio_tellurio.delivery.journal_file import JournalFile
from afnio_tellurio.delivery.journal_writing import remove_journal
from afnio_tellurio.delivery.records import SUFFIX, End, microseconds_of
from afnio_tellurio.delivery.transfer import Transfer, end_fields
from afnio_tellurio.errors import (
    BackendFailureError,
    BackendUnreachableError,
    BadRequestError,
    NotFoundError,
    RateLimitError,
    TellurioError,
    never_had_run,
)
from afnio_tellurio.files import real_path
from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.locking import try_lock
from afnio_tellurio.notices import warn, warn_once

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from pathlib import Path

    from afnio_tellurio.api.connection import Connection

#: Attempts of a request, and the seconds since the last success, before a journal is left for the
#: next recovery.
_ATTEMPTS = 4
_PATIENCE = 30.0
#: Runs in a row that a backend fails for, before it is taken for absent.
_FAILED_RUNS = 3
#: Errors that may concern the whole backend, not one journal.
_ABSENT = (BackendUnreachableError, BackendFailureError, RateLimitError)
#: Why a run ended whose process left no other word.
_VANISHED = {"kind": "vanished", "message": "Its process disappeared without ending the run."}
#: Journals of dead processes that are counted for a warning.
_COUNTED_ORPHANS = 1000


@attrs.frozen
class SyncedJournal:
    """The result of delivering the journal of a dead process.

    Attributes:
        path: The journal's file, or the folder of the journals if that cannot be read.
        run_name: The run's name, or None if the journal's header is damaged.
        delivered: The number of metrics that the backend has now and had not acknowledged before.
        rejected: The number that it rejected now; they are in the `.rejected` file next to the
            journal.
        lost: The number that cannot be read because the journal is damaged.
        files: The number of files that the backend has now and had not acknowledged before.
        bytes: The number of their bytes.
        rejected_files: The number of files that it refused now.
        status: The status that the run was set to, or None if it had ended or is still running.
        problem: Why the journal could not be delivered, or None. With a problem the journal stays.
    """

    path: str
    run_name: str | None = None
    delivered: int = 0
    rejected: int = 0
    lost: int = 0
    status: str | None = None
    problem: str | None = None
    files: int = 0
    bytes: int = 0
    rejected_files: int = 0


_folders_looked_at: set[Path] = set()


def list_orphans(folder: Path) -> Iterator[Path]:
    """The journals of dead processes that this user can open."""
    orphans = filter(_is_orphan, list_readable_journals(folder))
    return orphans if locks_reach_all(folder) else filterfalse(_may_live_elsewhere, orphans)


def _is_orphan(path: Path, *, is_unreadable_one: bool = False) -> bool:
    """Whether a journal's process has released its lock; one that cannot be opened may be one."""
    try:
        with locked(path) as is_orphan:
            return is_orphan
    except OSError as error:
        raise_foreign(error)
        return is_unreadable_one


def _may_live_elsewhere(path: Path) -> bool:
    try:
        with closing(JournalFile.open(path)) as journal:
            return may_live_elsewhere(journal)
    except (OSError, ValueError, msgspec.ValidationError) as error:
        # It is delivered meanwhile, or damaged.
        raise_foreign(error)
        return False


def may_live_elsewhere(journal: JournalFile) -> bool:
    """Whether a journal's process may be alive on another machine although its lock is free."""
    is_reached = is_from_here(journal.header) or locks_reach_all(journal.path)
    return not is_reached and not journal.has_ended


def warn_of_orphans(folder: Path) -> None:
    """Warns once if journals of dead processes wait."""
    if folder in _folders_looked_at:
        return
    _folders_looked_at.add(folder)
    count = sum(1 for _ in islice(list_orphans(folder), _COUNTED_ORPHANS))
    if count:
        number = f"{count} or more" if count == _COUNTED_ORPHANS else str(count)
        warn_once(
            f"{number} journal{'s' if count > 1 else ''} of processes that ended before delivery "
            f"wait in {folder}; deliver them with: afnio-tellurio sync"
        )


def deliver_orphans_of_run(connection: Connection, run_uuid: str) -> None:
    """Delivers the metrics that dead processes, such as forked children, logged to a live run."""

    def select(journal: JournalFile) -> Connection | None:
        is_selected = journal.header.run_uuid == run_uuid and not journal.header.owns_run
        return if_dead(connection, journal) if is_selected else None

    def deliver() -> None:
        for result in deliver_journals(orphans, select):
            if result.problem:
                warn(f"the journal {result.path} could not be delivered: {result.problem}")

    paths = list_readable_journals(connection.settings.journals, f"{run_uuid}.")
    # Delivering one that cannot be opened reports why.
    if orphans := [path for path in paths if _is_orphan(path, is_unreadable_one=True)]:
        run_until_deadline(deliver)


def deliver_journals_of_run(connection: Connection, run_uuid: str) -> str | None:
    """Delivers all that dead processes logged to a run, and ends it.

    Returns:
        Why the run may still be ended by a process on this machine, or None if it cannot be.
    """
    folder = connection.settings.journals
    paths = list_readable_journals(folder, f"{run_uuid}.")
    for result in deliver_journals(paths, lambda journal: if_dead(connection, journal)):
        if result.problem and result.run_name is not None:
            return f"its journal {result.path} could not be delivered: {result.problem}"
        if result.problem:
            # It will never end the run.
            warn(f"the journal {result.path} could not be delivered: {result.problem}")
    for path in list_readable_journals(folder, f"{run_uuid}."):
        if _is_owned(connection, path):
            return f"another process still logs to it, through {path}"
    return None


def _is_owned(connection: Connection, path: Path) -> bool:
    try:
        journal = JournalFile.open(path)
    except (OSError, ValueError, msgspec.ValidationError) as error:
        # It is delivered meanwhile, or damaged.
        raise_foreign(error)
        return False
    with closing(journal):
        return journal.header.owns_run and _if_addressed(connection, journal) is not None


def if_dead(connection: Connection, journal: JournalFile) -> Connection | None:
    """The connection, if it is that of a journal, whose process is dead."""
    return None if may_live_elsewhere(journal) else _if_addressed(connection, journal)


def _if_addressed(connection: Connection, journal: JournalFile) -> Connection | None:
    address = address_of(journal), journal.header.is_local
    return connection if address == (connection.address, connection.is_local) else None


def address_of(journal: JournalFile) -> str:
    """The `address` of the connection that a journal is for."""
    name = journal.header.backend
    if not journal.header.is_local:
        return name
    home = journal.path.parent.parent
    database = home / name
    if not database.exists() and (home / database.name).exists():
        # An earlier version stored the whole path, and the folder has been moved since.
        database = home / database.name
    return str(real_path(database))


def deliver_journals(
    paths: Iterable[Path], connection_of: Callable[[JournalFile], Connection | None]
) -> Iterator[SyncedJournal]:
    """Delivers journals of dead processes, and removes those that are delivered completely.

    If a backend cannot be reached, it is not asked again for each of its journals.

    Args:
        paths: The journals.
        connection_of: Returns the connection for a journal, or None to leave the journal alone.
    """
    absent = _Absent()
    for path in paths:
        if has_passed():
            return
        try:
            with locked(path) as is_orphan:
                result = _open_and_deliver(path, connection_of, absent) if is_orphan else None
        except OSError as error:
            raise_foreign(error)
            result = SyncedJournal(path=str(path), problem=unreadable(error))
        if result is None:
            continue
        if result.problem is None:
            # After the lock is released: Windows cannot remove an open file.
            try:
                remove_journal(path)
            except OSError as error:
                raise_foreign(error)
                problem = f"is delivered, but cannot be removed: {error.strerror or error}"
                result = attrs.evolve(result, problem=problem)
        yield result


def _open_and_deliver(
    path: Path,
    connection_of: Callable[[JournalFile], Connection | None],
    absent: _Absent,
) -> SyncedJournal | None:
    try:
        journal = JournalFile.open(path)
    except FileNotFoundError as error:
        raise_foreign(error)
        # Another process was faster.
        return None
    except (OSError, ValueError, msgspec.ValidationError) as error:
        raise_foreign(error)
        return SyncedJournal(path=str(path), problem=str(error))
    try:
        connection = connection_of(journal)
        if connection is None:
            return None
        return _deliver_unless_absent(connection, journal, absent)
    except (OSError, ValueError, TellurioError) as error:
        raise_foreign(error)
        return SyncedJournal(path=str(path), run_name=journal.header.run_name, problem=str(error))
    finally:
        journal.close()


class _Absent:
    """The backends that cannot be reached, or fail; one that fails for a single run is not one."""

    def __init__(self) -> None:
        self.problems: dict[str, str] = {}
        self._failures: Counter[str] = Counter()

    def note(self, connection: Connection, problem: str | None) -> None:
        """Notes the result of delivering a journal: the problem with its backend, or None."""
        address = connection.address
        if problem is None:
            del self._failures[address]
            return
        self._failures[address] += 1
        if self._failures[address] == _FAILED_RUNS or not _answers(connection):
            self.problems[address] = problem


def _answers(connection: Connection) -> bool:
    try:
        operations.verify_api_key(connection.for_delivery)
    except _ABSENT:
        return False
    except TellurioError as error:
        raise_foreign(error)
    return True


def _deliver_unless_absent(
    connection: Connection, journal: JournalFile, absent: _Absent
) -> SyncedJournal:
    """Delivers a journal, unless its backend is among the absent ones; adds it to them if it is."""
    problem = absent.problems.get(connection.address)
    if problem is not None:
        name = journal.header.run_name
        return SyncedJournal(path=str(journal.path), run_name=name, problem=problem)
    result, is_absent = _deliver(connection, journal, None)
    absent.note(connection, result.problem if is_absent else None)
    return result


def deliver(
    connection: Connection, journal: JournalFile, progress: Callable[[int], None] | None = None
) -> SyncedJournal:
    """Delivers the journal of a dead process, and ends its run.

    Args:
        connection: The backend.
        journal: The journal; its lock must be held.
        progress: Called after each request with the number of metrics that the backend has.
    """
    return _deliver(connection, journal, progress)[0]


def _deliver(
    connection: Connection, journal: JournalFile, progress: Callable[[int], None] | None
) -> tuple[SyncedJournal, bool]:
    """Does what `deliver` does; also returns whether the backend could not be reached."""
    journal.retract_rejected()
    transfer = Transfer(connection, journal)
    before = journal.position.number
    status = None
    if _send_waiting(transfer, progress):
        status = _end(transfer, progress)
    if transfer.has_restored:
        before = 0
    error = transfer.stopped or transfer.last_error
    if transfer.is_gone:
        journal.set_aside()
    result = SyncedJournal(
        path=str(journal.path),
        run_name=journal.header.run_name,
        delivered=journal.position.number - before - transfer.rejected - journal.lost,
        rejected=transfer.rejected,
        lost=journal.lost,
        status=status,
        problem=transfer.problem or lost_files(journal),
        files=transfer.files.files,
        bytes=transfer.files.bytes,
        rejected_files=transfer.files.rejected,
    )
    return result, isinstance(error, _ABSENT)


def _send_waiting(transfer: Transfer, progress: Callable[[int], None] | None) -> bool:
    """Sends the undelivered part of a journal; returns True if the backend has all of it."""
    journal = transfer.journal
    attempts, give_up_at = _ATTEMPTS, monotonic() + _PATIENCE
    while transfer.stopped is None and transfer.holding is None and not has_passed():
        batch = journal.batch(transfer.batch_limit)
        if batch is None:
            break
        if transfer.send(batch):
            attempts, give_up_at = _ATTEMPTS, monotonic() + _PATIENCE
            if progress is not None:
                progress(journal.position.number)
            continue
        attempts -= 1
        if not attempts or monotonic() >= give_up_at:
            break
        time.sleep(seconds_left(max(0.0, transfer.not_before - monotonic())))
    return transfer.stopped is None and transfer.last_error is None


def _end(transfer: Transfer, progress: Callable[[int], None] | None) -> str | None:
    """Ends a dead process's run if that process owned it and it is still RUNNING.

    Returns:
        The status that was set, or None.
    """
    give_up_at = monotonic() + _PATIENCE
    for _attempt in range(_ATTEMPTS):
        try:
            return _try_to_end(transfer, progress)
        except _ABSENT as error:
            transfer.put_off(error)
            if has_passed() or monotonic() >= give_up_at:
                break
            time.sleep(seconds_left(max(0.0, transfer.not_before - monotonic())))
    return None


def _try_to_end(transfer: Transfer, progress: Callable[[int], None] | None) -> str | None:
    header = transfer.journal.header
    if not header.owns_run:
        return None
    path = RunPath(header.namespace_slug, header.project_slug, header.run_uuid)
    try:
        run = operations.get_run(transfer.connection.for_delivery, path)
        transfer.last_error = None
        if run.status != "RUNNING":
            return None
        created = microseconds_of(run.date_created) if run.date_created.tzinfo else 0
    except NotFoundError as error:
        # A run that a user deleted needs no status.
        # Neither does one that a process died before it was created.
        is_lost = not transfer.journal.is_empty and never_had_run(error) and transfer.restore(error)
        if not (is_lost and _send_waiting(transfer, progress)):
            return None
        created = 0
    end = _end_of(transfer.journal, created)
    status = end.status
    if status not in RunStatus.__members__:
        transfer.last_error = TellurioError(
            f"its process ended run {header.run_name!r} as {status}, a status of a newer version; "
            "upgrade afnio-tellurio"
        )
        return None
    try:
        operations.update_run(transfer.connection.for_delivery, path, end_fields(end))
    except BadRequestError as error:
        transfer.hold_end(status, error)
        return None
    transfer.last_error = None
    return status


def _end_of(journal: JournalFile, created: int) -> End:
    """The end of a dead process's run: as recorded, or when it last logged something."""
    recorded = journal.end_record()
    if recorded is not None and recorded.time is not None:
        return recorded
    last = journal.last_time()
    end = End("CRASHED", because=_VANISHED) if recorded is None else recorded
    return end._replace(time=max(created, last or created) or None)


def list_journals(folder: Path, prefix: str = "") -> list[Path]:
    """The journals in a folder.

    Raises:
        OSError: The folder cannot be read.
    """
    return list_files(folder, SUFFIX, prefix)


def list_files(folder: Path, suffix: str, prefix: str = "") -> list[Path]:
    """The files in a folder of journals, sorted by name.

    Raises:
        OSError: The folder cannot be read.
    """
    try:
        # Not glob, which treats a folder that it cannot read as empty.
        paths = list(folder.iterdir())
    except FileNotFoundError as error:
        raise_foreign(error)
        return []
    return sorted(path for path in paths if path.name.startswith(prefix) and path.suffix == suffix)


def list_readable_journals(folder: Path, prefix: str = "") -> list[Path]:
    """The journals in a folder; none if it cannot be read, which logging warns about."""
    try:
        return list_journals(folder, prefix)
    except OSError as error:
        raise_foreign(error)
        return []


def unreadable(error: OSError) -> str:
    """The message for a journal, or for the folder of journals, that cannot be opened."""
    return (
        f"cannot be opened: {error.strerror or error}; "
        "run afnio-tellurio sync as the user who owns it, or change its owner"
    )


@contextmanager
def locked(path: Path) -> Generator[bool, None, None]:
    """Holds the lock of a journal; yields True if its process has released it.

    Raises:
        OSError: It cannot be opened or locked.
    """
    try:
        fd = os.open(path, os.O_RDWR)
    except FileNotFoundError as error:
        raise_foreign(error)
        # Another process was faster.
        yield False
        return
    try:
        # An empty file has just been created.
        yield try_lock(fd) and os.fstat(fd).st_size > 0
    finally:
        os.close(fd)


SyncedJournal.__module__ = "afnio_tellurio"
