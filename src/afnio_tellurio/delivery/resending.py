"""Sends again what a backend rejected, when it may have learned better."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import msgspec

from afnio_tellurio.delivery.journal_file import JournalFile
from afnio_tellurio.delivery.records import SUFFIX
from afnio_tellurio.delivery.recovery import SyncedJournal, list_files
from afnio_tellurio.delivery.rejected import REJECTED_SUFFIX
from afnio_tellurio.interruptions import raise_foreign

if TYPE_CHECKING:
    from pathlib import Path


def reopen_rejected(folder: Path) -> tuple[list[Path], list[SyncedJournal]]:
    """Turns the `.rejected` files in a folder into journals to deliver.

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
        except FileNotFoundError:
            # Another process was faster.
            continue
        except (OSError, ValueError, msgspec.ValidationError) as error:
            raise_foreign(error)
            problems.append(SyncedJournal(path=str(path), problem=str(error)))
    return journals, problems
