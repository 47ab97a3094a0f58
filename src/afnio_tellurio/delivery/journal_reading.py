"""Reads parts of the file of a journal, which another thread may write or close meanwhile."""

from __future__ import annotations

import errno
import os
import threading
from typing import TYPE_CHECKING, Any

import msgspec

from afnio_tellurio.delivery.records import FORMAT, Header, parsed_line
from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.settings.limits import BATCH_BYTES

if TYPE_CHECKING:
    from io import FileIO
    from pathlib import Path


def read_header(path: Path, file: FileIO) -> Header:
    """Reads the header of a journal.

    Raises:
        ValueError: It is damaged, or has a newer version.
    """
    # There are two or three header lines, the last with the name of the run; a damaged byte may
    # have split one of them.
    header: Header | None = None
    for line in file.read(BATCH_BYTES).split(b"\n")[:4]:
        head: Any = (parsed_line(line) or [None])[0]
        version: Any = head.get("format") if hasattr(head, "get") else None
        if version is None:
            continue
        if not isinstance(version, int) or version > FORMAT:
            raise ValueError(
                f"the journal {path} has format {version}; this afnio-tellurio supports formats up "
                f"to {FORMAT}; upgrade afnio-tellurio"
            )
        header = msgspec.convert(head, Header)
    if header is None:
        raise ValueError(f"the header of the journal {path} is damaged; its run is unknown")
    return header


if hasattr(os, "pread"):

    def read_at(file: FileIO, offset: int, length: int) -> bytes:
        """Reads bytes at an offset; none after the end, or if the file was closed."""
        try:
            return os.pread(file.fileno(), length, max(0, offset))
        except ValueError as error:
            raise_foreign(error)
            # Another thread has just closed it.
            return b""
        except OSError as error:
            raise_foreign(error)
            if error.errno != errno.EBADF:
                raise
            return b""

else:  # pragma: no cover - Windows
    _reading = threading.Lock()

    def read_at(file: FileIO, offset: int, length: int) -> bytes:
        """Reads bytes at an offset; none after the end, or if the file was closed."""
        with _reading:
            file.seek(max(0, offset))
            return file.read(length)
