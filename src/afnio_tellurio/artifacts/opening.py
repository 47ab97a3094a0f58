"""Opens regular files for reading, and nothing else."""

from __future__ import annotations

import errno
import os
import stat

from afnio_tellurio.errors import TellurioError
from afnio_tellurio.interruptions import raise_foreign

# Opening a pipe without O_NONBLOCK waits for a writer.
_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_BINARY", 0)
)
#: `IO_REPARSE_TAG_MOUNT_POINT`; other tags mark, for example, files that a cloud synchronizes.
_JUNCTION = 0xA0000003
_SPECIAL_FILES = (
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class ChangedFileError(TellurioError, ValueError):
    """A file changed while it was captured, or after it was logged and before it was delivered."""


def open_regular(file: str | os.PathLike[str]) -> int:
    """Opens a regular file for reading; it is not a symbolic link.

    Raises:
        OSError: It cannot be read. The message names it.
        ValueError: It is not a regular file. The message names it.
    """
    try:
        # A device may act when it is opened.
        check_regular(file, os.lstat(file))
        fd = os.open(file, _FLAGS)
    except OSError as error:
        raise_foreign(error)
        if error.errno == errno.ELOOP:
            raise ChangedFileError(f"{quoted(file)} was replaced by a symbolic link") from error
        raise unreadable(file, error) from error
    try:
        check_regular(file, os.fstat(fd))
    except BaseException:  # raised again: the file must not stay open
        os.close(fd)
        raise
    return fd


def is_link(status: os.stat_result) -> bool:
    """Returns whether a file is a symbolic link, or a junction, which is Windows' link to a folder.

    Args:
        status: Of the link itself.
    """
    return stat.S_ISLNK(status.st_mode) or getattr(status, "st_reparse_tag", 0) == _JUNCTION


def check_regular(file: str | os.PathLike[str], status: os.stat_result) -> None:
    """Checks that a file is regular.

    Raises:
        ValueError: It is not.
    """
    if not stat.S_ISREG(status.st_mode):
        kinds = (name for matches, name in _SPECIAL_FILES if matches(status.st_mode))
        kind = next(kinds, "a special file")
        raise ValueError(f"{quoted(file)} is {kind}; only regular files can be logged: exclude it")


def unreadable(file: str | os.PathLike[str], error: OSError) -> OSError:
    """Returns the error of a file that cannot be read, which names the file."""
    remedy = "; change its permissions, or exclude it" if isinstance(error, PermissionError) else ""
    # It becomes the subclass of this number.
    return OSError(error.errno, f"{quoted(file)} cannot be read ({error.strerror}){remedy}")


def quoted(file: str | os.PathLike[str]) -> str:
    """Returns a path for a message; it may have bytes that are not valid UTF-8."""
    return repr(os.fspath(file))
