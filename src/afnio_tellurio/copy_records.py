"""The records of copied runs on this disk, so that repeating a copy does nothing."""

from __future__ import annotations

import os
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from afnio_tellurio.copied_values import Mark, count_of
from afnio_tellurio.delivery.records import End  # noqa: TC001 - a field of a struct
from afnio_tellurio.files import CREATE, make_private_directory, replace_whole
from afnio_tellurio.interruptions import ignored, raise_foreign
from afnio_tellurio.locking import try_lock

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from pathlib import Path

    from afnio_tellurio.api.connection import Connection


class CopyRecord(msgspec.Struct):
    """The record of one copy, so that repeating it does nothing.

    Attributes:
        run_uuid: The run at the target.
        name: Its name there.
        is_written: Whether its journal was written: once that is gone, all of it is delivered.
        total: The number of metrics up to the end of that journal, or None in records of earlier
            versions.
        are_files_copied: Whether its artifacts and files are copied.
        part: The number of its last part, from 0.
        start: Where the values of this part start.
        marks: Where they end; None in records of earlier versions.
        ended: How the run ended in this part.
        files: The marks of its files that are copied, or None if they have no marks.
    """

    run_uuid: str
    name: str
    is_written: bool = False
    total: int | None = None
    are_files_copied: bool = False
    part: int = 0
    start: dict[str, Mark] = {}
    marks: dict[str, Mark] | None = None
    ended: End | None = None
    files: list[str] | None = None

    @property
    def size(self) -> int:
        """The number of values of the last part."""
        return count_of(self.marks or {}) - count_of(self.start)

    def size_of(self, total: int) -> int:
        """Returns the number of values of the last part of a run with a total of them."""
        return total if self.marks is None else self.size

    def missing_files(self, marks: Mapping[str, int] | None, total: int) -> list[int]:
        """Returns the numbers of files that are not copied, as far as they are known.

        Args:
            marks: The number of files of each mark, or None if the run has no marks.
            total: The number of files of the run.
        """
        # Records of earlier versions have no marks.
        if marks is None or self.files is None:
            return [] if self.are_files_copied else [total]
        known = set(self.files)
        return [count for mark, count in marks.items() if mark not in known]


def record_path(key: str, target: Connection) -> Path:
    """The path of the record of a run that is copied to a backend."""
    backend = uuid.uuid5(uuid.NAMESPACE_URL, target.name_in_journals)
    return target.settings.home / "uploads" / f"{key}.{backend}.json"


def read_record(record: Path) -> CopyRecord | None:
    """Returns the record, or None if it does not exist."""
    try:
        return msgspec.json.decode(record.read_bytes(), type=CopyRecord)
    except FileNotFoundError as error:
        raise_foreign(error)
        return None


def write_record(record: Path, copy: CopyRecord) -> None:
    """Writes the record atomically."""
    make_private_directory(record.parent)
    with replace_whole(record) as file:
        file.write(msgspec.json.encode(copy))


@contextmanager
def alone(record: Path) -> Generator[bool]:
    """Holds the lock of a copy; yields False if another process holds it."""
    make_private_directory(record.parent)
    path = record.with_suffix(".copying")
    while True:
        fd = os.open(path, CREATE, 0o600)
        try:
            is_ours = try_lock(fd)
            if is_ours and not _is_same(path, fd):
                # Its owner has just removed it.
                continue
            try:
                yield is_ours
            finally:
                if is_ours:
                    # Windows does not remove an open file; then it stays.
                    with ignored(OSError):
                        path.unlink()
            return
        finally:
            os.close(fd)


def _is_same(path: Path, fd: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(fd))
    except FileNotFoundError as error:
        raise_foreign(error)
        return False
