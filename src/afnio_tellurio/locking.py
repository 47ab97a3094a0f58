"""A lock on an open file that the kernel frees when its process dies.

The library for it, filelock, takes 60 ms to be imported: a fifth of what starting a run may cost.
"""

from __future__ import annotations

import os
import sys

if sys.platform == "win32":
    import msvcrt

    #: Windows locks bytes, and nobody else can read a locked one; this byte is never written.
    _LOCKED_BYTE = 2**62

    def try_lock(fd: int) -> bool:
        """Locks the file for this process; says whether it could."""
        position = os.lseek(fd, 0, os.SEEK_CUR)
        os.lseek(fd, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(fd, position, os.SEEK_SET)
        return True

else:
    import fcntl

    def try_lock(fd: int) -> bool:
        """Locks the file for this process; says whether it could."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
