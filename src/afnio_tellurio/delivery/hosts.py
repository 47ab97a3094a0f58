"""Hosts: whether a free lock of a journal means that its process is dead.

A folder on a network file system may be shared by machines whose locks do not reach each other.
"""

from __future__ import annotations

import os
import sys
import uuid
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from afnio_tellurio.file_systems import find_file_system, is_local
from afnio_tellurio.interruptions import raise_foreign

if TYPE_CHECKING:
    from afnio_tellurio.delivery.records import Header

_MACHINE_ID = Path("/etc/machine-id")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Host(NamedTuple):
    """A machine.

    Attributes:
        name: Its name in the network, for people.
        machine: What stays the same when it starts again.
        boot: What changes when it starts again, or None if the system does not tell. Containers
            have the one of the machine that they run on.
    """

    name: str
    machine: str
    boot: str | None


@cache
def this_host() -> Host:
    """Returns the machine that this process runs on."""
    if sys.platform == "win32":
        name = os.environ.get("COMPUTERNAME", "")
        return Host(name, name, None)
    name = os.uname().nodename
    if sys.platform == "darwin":
        # The name follows the network there.
        return Host(name, f"{uuid.getnode():012x}", None)
    machine = _read(_MACHINE_ID)
    # Containers made from one image may have one machine ID. Without one, a name may be taken by
    # two machines, so that only the boot tells.
    return Host(name, f"{machine}/{name}" if machine else _read(_BOOT_ID) or name, _read(_BOOT_ID))


def _read(path: Path) -> str | None:
    try:
        return path.read_text("ascii").strip() or None
    except (OSError, ValueError) as error:
        raise_foreign(error)
        return None


def locks_reach_all(folder: Path) -> bool:
    """Returns whether the locks of a folder's files reach every process that can open them."""
    return is_local(find_file_system(folder))


def is_from_here(header: Header) -> bool:
    """Returns whether a journal is from this machine, whose locks reach this process."""
    host = this_host()
    # An earlier version did not record the machine. Containers of one machine share the boot.
    is_same_boot = header.boot is not None and header.boot == host.boot
    return is_same_boot or header.machine in {None, host.machine}
