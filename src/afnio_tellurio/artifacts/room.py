"""How much of a disk captured files may take."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from afnio_tellurio.artifacts.opening import quoted
from afnio_tellurio.errors import TellurioError
from afnio_tellurio.settings.limits import FREE_BYTES, FREE_SHARE, WAITING_BYTES, WAITING_SHARE

if TYPE_CHECKING:
    from pathlib import Path


class NoRoomError(TellurioError):
    """The disk has too little room for the files of an artifact until they are delivered."""


def check_room(folder: Path, wanted: int, waiting: int) -> None:
    """Checks that captured files may take more of a disk.

    Args:
        folder: A folder of that disk; it exists.
        wanted: The number of bytes to write next.
        waiting: The number of bytes that wait for delivery, with those written so far.

    Raises:
        NoRoomError: They may not.
        OSError: The folder does not exist.
    """
    usage = shutil.disk_usage(folder)
    usable = usage.free + waiting
    # A share of what could be free, so that what waits does not lower it.
    kept = FREE_BYTES if usage.total > FREE_BYTES else int(usable * FREE_SHARE)
    if usage.free - wanted < kept:
        raise NoRoomError(
            f"the disk of {quoted(folder)} has {usage.free:,} bytes free, too few to keep a copy "
            f"of {wanted:,} bytes until delivery: {kept:,} must stay free; make room, or log less"
        )
    allowed = max(WAITING_BYTES, int(usable * WAITING_SHARE))
    if waiting + wanted > allowed:
        raise NoRoomError(
            f"{waiting:,} bytes of files wait in {quoted(folder)} for delivery, and {wanted:,} "
            f"more exceed the {allowed:,} that may wait; wait for their delivery, or make "
            "room on the disk"
        )
