"""The `.rejected` file: the metrics of one journal that its backend refused.

It has the form of a journal, with a writer of its own: under another name it is one, and its
metrics are delivered exactly once. After each metric comes a line with its sequence number in the
journal that it comes from, and with the backend's message:

    ["1c291ca3",0,null,1763892930123456,"train/loss",0.25]
    ["77c0b2e9","refused",12,"metrics: [0].name: The backend does not like this name."]
"""

from __future__ import annotations

import errno
import os
import re
import uuid
from typing import TYPE_CHECKING

from msgspec.structs import replace

from afnio_tellurio.delivery.records import Header, parsed_line, record_line
from afnio_tellurio.files import CREATE, replace_whole
from afnio_tellurio.interruptions import raise_foreign

if TYPE_CHECKING:
    from pathlib import Path

    from afnio_tellurio.delivery.records import Metrics

REJECTED_SUFFIX = ".rejected"
#: The first field of the line after a metric.
REFUSED = "refused"
#: After zeros if the file was truncated just before the line was written.
METRIC_LINE = re.compile(rb'^\0*\["[0-9a-f]{8}",\d', re.MULTILINE)


class RejectedFile:
    """The rejected metrics of one journal. One thread at a time uses it.

    Attributes:
        path: The file, which need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # The number of metrics in it, or None before it was read.
        self._count: int | None = None

    def append(self, header: Header, metrics: Metrics, message: str) -> None:
        """Adds the first of some metrics.

        Args:
            header: The header of the journal that it comes from.
            metrics: The metrics.
            message: Why the backend refused it.

        Raises:
            OSError: It cannot be written to the disk.
        """
        count = self._count
        if count is None:
            count = len(METRIC_LINE.findall(self._read()))
        lines = record_line(
            count, metrics.places[0], metrics.times[0], metrics.names[0], metrics.values[0]
        )
        lines += record_line(REFUSED, metrics.number, message)
        fd = os.open(self.path, CREATE | os.O_APPEND, 0o600)
        try:
            size = os.fstat(fd).st_size
            if size == 0:
                lines = ownerless_head(header, str(uuid.uuid4())) + lines
                count = 0
            if os.write(fd, lines) != len(lines):
                os.ftruncate(fd, size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(fd)
        self._count = count + 1

    def numbers(self) -> set[int]:
        """The sequence numbers that its metrics have in the journal that they come from."""
        records = map(parsed_line, self._read().split(b"\n"))
        return {fields[1] for fields in records if fields is not None and fields[0] == REFUSED}

    def remove(self, numbers: set[int]) -> None:
        """Removes the metrics with these sequence numbers: they are sent again from the journal.

        Raises:
            OSError: The file cannot be written.
        """
        kept: list[bytes] = []
        for line in self._read().splitlines(keepends=True):
            fields = parsed_line(line.rstrip(b"\n"))
            if fields is not None and fields[0] == REFUSED and fields[1] in numbers:
                # With the metric, which is in the line before.
                kept.pop()
            else:
                kept.append(line)
        self._count = None
        if METRIC_LINE.search(b"".join(kept)):
            with replace_whole(self.path) as file:
                file.writelines(kept)
        else:
            self.path.unlink()

    def _read(self) -> bytes:
        try:
            return self.path.read_bytes()
        except FileNotFoundError as error:
            raise_foreign(error)
            return b""


def ownerless_head(header: Header, writer: str) -> bytes:
    """The first lines of a journal like another, whose process has ended, wherever it ran."""
    own = replace(header, writer=writer, owns_run=False, host=None, machine=None, boot=None)
    # Twice: with its only header damaged, it could not be delivered at all.
    return record_line(own) * 2
