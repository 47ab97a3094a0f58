"""The memory of the control group that this process runs in, and its limit."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from afnio_tellurio.capture.bounded_files import read_text

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Version 1 says that there is no limit with a number as large as this, or larger.
_UNLIMITED = 2**60


class GroupMemory(NamedTuple):
    """The memory of a control group, without files that the kernel can drop at any time.

    Attributes:
        used: In bytes.
        percent_of_limit: In percent of the limit that is closest, of this group or of one that it
            is a part of. `None` without a limit.
    """

    used: int
    percent_of_limit: float | None


class _Files(NamedTuple):
    folder: str
    used: str
    limit: str
    droppable: str


_VERSION_1 = _Files(
    "memory", "memory.usage_in_bytes", "memory.limit_in_bytes", "total_inactive_file"
)
_VERSION_2 = _Files("", "memory.current", "memory.max", "inactive_file")


def read_group_memory(root: str = "/") -> GroupMemory | None:
    """The memory of this process's control group, or `None` if it is unknown.

    Args:
        root: The folder that contains `proc` and `sys`.
    """
    try:
        lines = read_text(os.path.join(root, "proc/self/cgroup")).splitlines()  # noqa: PTH118
    except (OSError, ValueError):
        return None
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if "memory" in controllers.split(","):
            files = _VERSION_1
        elif number == "0":
            files = _VERSION_2
        else:
            continue
        groups = list(_read_groups(os.path.join(root, "sys/fs/cgroup", files.folder), path, files))  # noqa: PTH118
        if groups:
            shares = [100 * used / limit for used, limit in groups if limit]
            return GroupMemory(groups[0][0], max(shares, default=None))
    return None


def _read_groups(mount: str, path: str, files: _Files) -> Iterator[tuple[int, int | None]]:
    """The memory and the limit of a group and of those that it is a part of, from the inside.

    A container may see its own group as the root, although the path is that of the host.
    """
    names = [name for name in path.split("/") if name not in {"", ".."}]
    for count in range(len(names), -1, -1):
        group = os.path.join(mount, *names[:count])  # noqa: PTH118
        try:
            used = int(read_text(os.path.join(group, files.used)))  # noqa: PTH118
            limit = read_text(os.path.join(group, files.limit))  # noqa: PTH118
            details = read_text(os.path.join(group, "memory.stat"))  # noqa: PTH118
        except (OSError, ValueError):
            continue
        for line in details.splitlines():
            name, _, value = line.partition(" ")
            if name == files.droppable:
                used -= int(value)
        is_limited = limit.isdecimal() and 0 < int(limit) < _UNLIMITED
        yield max(0, used), int(limit) if is_limited else None
