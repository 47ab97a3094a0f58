"""Sends again what a backend rejected, or what was for a run that is restored."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import msgspec

from afnio_tellurio.delivery.journal_file import JournalFile
from afnio_tellurio.delivery.records import SUFFIX, UNDELIVERABLE_SUFFIX
from afnio_tellurio.delivery.recovery import SyncedJournal, list_files, locked
from afnio_tellurio.delivery.rejected import REJECTED_SUFFIX
from afnio_tellurio.delivery.rejected_files import list_rejected, prepare_journal, start_prepared
from afnio_tellurio.errors import TellurioError
from afnio_tellurio.interruptions import raise_foreign

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def reopen_rejected(folder: Path) -> tuple[list[Path], list[SyncedJournal]]:
    """Turns the `.rejected` files and `.rejected-files` folders in a folder into journals.

    That is one rename, so each metric is either in the one or in the other. A file whose own
    journal still exists stays: its process is alive, or the journal must be delivered first.

    Returns:
        The journals, and a result for each file that is not one.

    Raises:
        OSError: The folder cannot be read.
    """
    journals: list[Path] = []
    problems: list[SyncedJournal] = []
    for path in list_files(folder, REJECTED_SUFFIX):
        if path.with_suffix(SUFFIX).exists():
            continue
        try:
            with closing(JournalFile.open(path)) as journal:
                target = folder / journal.header.file_name()
            journals.append(path.rename(target))
        except FileNotFoundError as error:
            raise_foreign(error)
            # Another process was faster.
            continue
        except (OSError, ValueError, msgspec.ValidationError) as error:
            raise_foreign(error)
            problems.append(SyncedJournal(path=str(path), problem=str(error)))
    for kept in list_rejected(folder):
        try:
            prepare_journal(kept)
        except FileNotFoundError as error:
            raise_foreign(error)
            # Another process was faster.
        except (OSError, ValueError, msgspec.ValidationError) as error:
            raise_foreign(error)
            problems.append(SyncedJournal(path=str(kept), problem=str(error)))
    journals += start_prepared(folder)
    return journals, problems


def reopen_undeliverable(folder: Path, is_there: Callable[[JournalFile], bool]) -> None:
    """Turns the `.undeliverable` files in a folder into journals again, if their runs are there.

    A run may have been restored since. The file of a live process stays: it would go on writing to
    it.

    Args:
        folder: The folder.
        is_there: Returns True if the backend has the run of a journal.

    Raises:
        OSError: The folder cannot be read.
    """
    for path in list_files(folder, UNDELIVERABLE_SUFFIX):
        try:
            with locked(path) as is_dead:
                is_back = is_dead and _has_run(path, is_there)
            if is_back:
                path.rename(path.with_suffix(SUFFIX))
        except (OSError, ValueError, msgspec.ValidationError, TellurioError) as error:
            # It stays, as it was set aside.
            raise_foreign(error)


def _has_run(path: Path, is_there: Callable[[JournalFile], bool]) -> bool:
    with closing(JournalFile.open(path)) as journal:
        return is_there(journal)
