"""Reads files that others own, which may be anything."""

from __future__ import annotations

import os
import stat

_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
#: Bytes of a file that holds a few facts.
SMALL = 2**20


def read_start(path: str, size: int) -> bytes:
    """The first bytes of a regular file.

    Raises:
        OSError: It cannot be read, or is not a regular file.
        ValueError: Its path contains a null character.
    """
    # Opening a pipe without O_NONBLOCK waits for a writer.
    fd = os.open(path, _FLAGS)
    with open(fd, "rb") as file:  # noqa: PTH123
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(f"{path} is not a regular file")
        return file.read(size)


def read_file(path: str, limit: int = SMALL) -> bytes:
    """The content of a regular file.

    Raises:
        OSError: It cannot be read, or is not a regular file.
        ValueError: It has more than `limit` bytes, or its path contains a null character.
    """
    content = read_start(path, limit + 1)
    if len(content) > limit:
        raise ValueError(f"{path} has more than {limit:,} bytes")
    return content


def read_text(path: str) -> str:
    """The content of a small text file, without white space around it.

    Raises:
        OSError: It cannot be read, or is not a regular file.
        ValueError: It is too large, or its path contains a null character.
    """
    return read_file(path).decode(errors="replace").strip()
