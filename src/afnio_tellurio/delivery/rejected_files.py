"""The `.rejected-files` folder: the uploads of one journal that its backend refused.

It has a folder for each upload, which is named after its key: the captured files, and `record`, a
journal with nothing but the record of the upload. To send them again, the folder becomes the folder
of a new journal, which has all of these records. The keys stay the same, so each upload is recorded
once.
"""

from __future__ import annotations

import uuid
from contextlib import closing
from operator import attrgetter
from typing import TYPE_CHECKING

from msgspec.structs import replace

from afnio_tellurio.artifacts.index import INDEX, read_index
from afnio_tellurio.delivery.journal_file import JournalFile
from afnio_tellurio.delivery.records import (
    FILES_SUFFIX,
    REJECTED_FILES_SUFFIX,
    SUFFIX,
    record_line,
)
from afnio_tellurio.delivery.rejected import ownerless_head
from afnio_tellurio.files import make_private_directory, replace_whole
from afnio_tellurio.interruptions import ignored, raise_foreign

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from afnio_tellurio.delivery.records import Change, Header

_RECORD = "record"
#: The journal to be, in the folder.
_JOURNAL = "journal"


def keep_upload(journal: Path, header: Header, upload: Change) -> Path | None:
    """Moves an upload to the `.rejected-files` folder of its journal.

    Returns:
        The folder that has its files now, or None if they are gone, or cannot be moved.
    """
    captured = journal.with_suffix(FILES_SUFFIX) / upload.key
    kept = journal.with_suffix(REJECTED_FILES_SUFFIX)
    has_files = "alias" not in upload.fields and "uses" not in upload.fields
    if has_files and not (captured / INDEX).exists():
        return None
    try:
        for folder in (kept, captured):
            make_private_directory(folder)
        # Before it is moved: each folder there has a record.
        with replace_whole(captured / _RECORD) as file:
            file.write(ownerless_head(header, str(uuid.uuid4())))
            file.write(record_line(upload.kind, upload.key, upload.time, upload.fields))
        captured.rename(kept / upload.key)
    except OSError as error:
        raise_foreign(error)
        # The message does not name a folder then.
        return None
    return kept / upload.key if has_files else None


def count_rejected(folder: Path) -> int:
    """The number of files in a folder of journals that backends refused."""
    count = 0
    for index in folder.glob(f"*{REJECTED_FILES_SUFFIX}/*/{INDEX}"):
        # Another process may send them meanwhile.
        with ignored(OSError, ValueError):
            count += len(read_index(index.parent).files)
    return count


def list_rejected(folder: Path) -> list[Path]:
    """The `.rejected-files` folders in a folder of journals that can be sent again.

    One whose own journal still exists cannot: its process is alive, or the journal must be
    delivered first.
    """
    kept = sorted(folder.glob(f"*{REJECTED_FILES_SUFFIX}"))
    return [path for path in kept if not path.with_suffix(SUFFIX).exists()]


def prepare_journal(kept: Path) -> None:
    """Turns a `.rejected-files` folder into the folder of a journal, which is in it.

    Raises:
        FileNotFoundError: Another process was faster.
        OSError: It cannot be written to the disk.
        ValueError: A record is damaged.
    """
    header = _write_journal(kept)
    if header is not None:
        kept.rename((kept.parent / header.file_name()).with_suffix(FILES_SUFFIX))


def start_prepared(folder: Path) -> Iterator[Path]:
    """Moves prepared journals to their place, also those of a process that died; yields them.

    Raises:
        OSError: One cannot be moved.
    """
    for prepared in sorted(folder.glob(f"*{FILES_SUFFIX}/{_JOURNAL}")):
        # Else another process was faster.
        with ignored(FileNotFoundError):
            yield prepared.rename(prepared.parent.with_suffix(SUFFIX))


def _write_journal(kept: Path) -> Header | None:
    """Writes the journal with all records of a folder; returns its header, or None without any."""
    headers: list[Header] = []
    changes: list[Change] = []
    for path in kept.glob(f"*/{_RECORD}"):
        with closing(JournalFile.open(path)) as record:
            batch = record.batch()
            if batch is None or batch.change is None:
                raise ValueError(f"{path} is damaged; log the files again")
            headers.append(record.header)
            changes.append(batch.change)
    if not headers:
        return None
    header = replace(headers[0], writer=str(uuid.uuid4()))
    with replace_whole(kept / _JOURNAL) as file:
        file.write(ownerless_head(header, header.writer))
        # An alias comes after its version.
        for change in sorted(changes, key=attrgetter("time")):
            file.write(record_line(change.kind, change.key, change.time, change.fields))
    return header
