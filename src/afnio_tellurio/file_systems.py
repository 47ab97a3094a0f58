"""File systems of one machine: only its processes can have their files open."""

from __future__ import annotations

import os
import re
import sys

from afnio_tellurio.interruptions import raise_foreign

#: On any other, several machines may share a file, but neither its locks nor memory mapped from it.
_LOCAL_FILE_SYSTEMS = {
    "apfs", "aufs", "bcachefs", "btrfs", "ecryptfs", "exfat", "ext2", "ext3", "ext4", "f2fs",
    "fuse.bindfs", "fuse.encfs", "fuse.fuse-overlayfs", "fuse.gocryptfs", "fuseblk", "hfs",
    "hfsplus", "jfs", "msdos", "nilfs2", "ntfs", "ntfs3", "overlay", "ramfs", "reiserfs", "rootfs",
    "tmpfs", "ubifs", "udf", "ufs", "vfat", "xfs", "zfs",
}  # fmt: skip


def find_file_system(path: str | os.PathLike[str]) -> str | None:
    """Returns the type of the file system of a file or folder, or None if it is unknown.

    It is known on Linux only.
    """
    if sys.platform != "linux":
        return None
    try:
        with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as mounts:  # noqa: PTH123
            entries = [line.split() for line in mounts]
    except OSError as error:
        raise_foreign(error)
        return None
    path = os.path.realpath(path)
    mount_points = [
        (len(folder), position, file_system)
        for position, (folder, file_system) in enumerate(
            (_unescape(entry[1]), entry[2]) for entry in entries
        )
        if os.path.commonpath([path, os.path.realpath(folder)]) == os.path.realpath(folder)
    ]
    # Of two at one mount point, the later one hides the other.
    return max(mount_points)[2] if mount_points else None


def is_local(file_system: str | None) -> bool:
    """Returns whether a file system is known to belong to one machine."""
    return file_system in _LOCAL_FILE_SYSTEMS


def _unescape(folder: str) -> str:
    """A folder without the kernel's escapes: it writes a space in octal digits."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), folder)
