"""The outbox of files: they have a journal and a thread of their own, so metrics never wait."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

from afnio_tellurio.delivery.file_transfer import UploadResult, files_folder, lost_files
from afnio_tellurio.delivery.journal_writing import disk_is_full
from afnio_tellurio.delivery.outbox import DeliveryReceipt, Outbox
from afnio_tellurio.delivery.records import UPLOAD, record_line
from afnio_tellurio.notices import warn
from afnio_tellurio.sizes import counted_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from afnio_tellurio.api.connection import Connection
    from afnio_tellurio.delivery.journal import Journal


class FileOutbox(Outbox):
    """The files of this process for one run, on their way to the backend. Threads may share it.

    Attributes:
        folder: Where the files wait, each upload in a folder that is named after its key.
    """

    lane = "files"
    content = "files"

    def __init__(self, connection: Connection, journal: Journal) -> None:
        super().__init__(connection, journal)
        self.folder: Path = files_folder(journal.path)
        self._uses: set[tuple[str, str]] = set()

    def watch(self, key: str) -> UploadResult:
        """Returns what becomes of an upload that is not recorded yet; keep the object."""
        result = UploadResult()
        self.transfer.files.results[key] = result
        return result

    def append_upload(self, key: str, fields: Mapping[str, Any]) -> None:
        """Records an upload, whose files are in its folder.

        Raises:
            JournalSealedError: The run is being ended.
            OSError: Neither the disk nor the memory has room for the record.
        """
        # Metrics are counted as lost then; here, the call can still report it.
        if not self.journal.held.has_room(record_line(UPLOAD, key, time.time_ns(), fields)):
            raise disk_is_full()
        waiting = self.transfer.files.waiting
        waiting[key] = fields["files"], fields["bytes"]
        try:
            self.journal.append_change(fields, kind=UPLOAD, key=key)
        except BaseException:  # raised again: what was not recorded does not wait
            waiting.pop(key, None)
            raise

    def log_alias(self, artifact: str, alias: str, version: str) -> UploadResult:
        """Records an alias of a version, to be set when the version is there.

        Raises:
            JournalSealedError: The run is being ended.
        """
        fields = {"artifact": artifact, "alias": alias, "names": version, "files": 0, "bytes": 0}
        key = str(uuid.uuid4())
        result = self.watch(key)
        self.append_upload(key, fields)
        self.wake()
        return result

    def log_use(self, artifact: str, version: str) -> None:
        """Records a version as an input of the run, once.

        Raises:
            JournalSealedError: The run is being ended.
        """
        if (artifact, version) not in self._uses:
            fields = {"artifact": artifact, "uses": version, "files": 0, "bytes": 0}
            self.append_upload(str(uuid.uuid4()), fields)
            self._uses.add((artifact, version))
            self.wake()

    def wake(self) -> None:
        """Wakes the thread that delivers it."""
        if self.waker.is_idle:
            self.waker.wake()

    def discard(self) -> None:
        """Closes the journal and removes it, unless a damaged line has lost files."""
        problem = lost_files(self.journal)
        if problem is None:
            super().discard()
        else:
            warn(f"run {self.journal.header.run_name!r}: {problem}")
            self.journal.close()

    def waiting(self) -> tuple[int, int]:
        """The numbers of files and bytes that the backend does not have yet."""
        waiting = list(self.transfer.files.waiting.values())
        files, size = (sum(column) for column in zip(*waiting, strict=True)) if waiting else (0, 0)
        return files, max(0, size - self.transfer.files.sent)

    def describe_waiting(self) -> str:
        """What waits, for a message."""
        files, size = self.waiting()
        if not files:
            return "an alias or an input"
        return f"{files} file{'' if files == 1 else 's'} ({counted_bytes(size)})"

    def in_memory_count(self) -> int:
        """The number of uploads that would be lost with this process; their files would remain."""
        return len(self.journal.held.changes)

    def receipt(self) -> DeliveryReceipt:
        """The number of files that were logged, by their state."""
        files, size = self.waiting()
        return DeliveryReceipt(
            accepted=0,
            waiting=0,
            rejected=0,
            files=self.transfer.files.files,
            bytes=self.transfer.files.bytes,
            waiting_files=files,
            waiting_bytes=size,
            rejected_files=self.transfer.files.rejected,
        )
