"""What the processes of a program use: the time of processors, and memory."""

from __future__ import annotations

import os
from typing import NamedTuple

from afnio_tellurio.capture.bounded_files import read_file

_PROC = "/proc"
#: Processes of one tree; the others are left out.
_MAX_PROCESSES = 4096


class ProcessUsage(NamedTuple):
    """What one process has used.

    Attributes:
        seconds: The processor time of the process itself.
        seconds_of_children: That of children that have ended, and of theirs.
        memory: Its resident memory in bytes, or `None` if it is unknown.
    """

    seconds: float
    seconds_of_children: float
    memory: int | None


#: A process, by its ID and the time of its start: the ID of one that has ended is used again.
ProcessKey = tuple[int, int]


def read_tree(root: int, *, proc: str = _PROC) -> dict[ProcessKey, ProcessUsage]:
    """What a process and its descendants have used.

    Where `/proc` does not exist, it is the calling process alone, without its memory. Processes
    that end meanwhile are left out.
    """
    if not os.path.exists(f"{proc}/{root}/stat"):  # noqa: PTH110
        return _read_times()
    has_lists = os.path.exists(f"{proc}/{root}/task/{root}/children")  # noqa: PTH110
    # A kernel may be built without the lists of children.
    parents = {} if has_lists else _read_children_of_all(proc)
    usages: dict[ProcessKey, ProcessUsage] = {}
    waiting, seen = [root], {root}
    while waiting and len(usages) < _MAX_PROCESSES:
        process = waiting.pop()
        try:
            fields = _read_stat(proc, process)
            children = _read_children(proc, process) if has_lists else parents.get(process, [])
        except (OSError, ValueError, IndexError):
            # It has ended.
            continue
        usages[process, int(fields[19])] = _usage(fields)
        # A process that takes the ID of one that ended meanwhile must not make a circle.
        waiting += [child for child in children if child not in seen]
        seen.update(children)
    return usages


def processor_seconds(
    before: dict[ProcessKey, ProcessUsage], now: dict[ProcessKey, ProcessUsage]
) -> float:
    """The processor time that a tree of processes used between two readings.

    When a process has ended, its time is in that of its parent, if the parent has waited for it.
    """
    own = reaped = 0.0
    for key, usage in now.items():
        earlier = before.get(key, ProcessUsage(0.0, 0.0, None))
        own += usage.seconds - earlier.seconds
        reaped += usage.seconds_of_children - earlier.seconds_of_children
    # What they had used before was counted then.
    gone = sum(
        usage.seconds + usage.seconds_of_children for key, usage in before.items() if key not in now
    )
    return own + max(0.0, reaped - gone)


def _read_stat(proc: str, process: int) -> list[bytes]:
    """The fields of a process after its name, which may contain anything."""
    return read_file(f"{proc}/{process}/stat").rpartition(b")")[2].split()


def _usage(fields: list[bytes]) -> ProcessUsage:
    ticks = os.sysconf("SC_CLK_TCK")
    user, system, user_of_children, system_of_children = map(int, fields[11:15])
    return ProcessUsage(
        (user + system) / ticks,
        (user_of_children + system_of_children) / ticks,
        int(fields[21]) * os.sysconf("SC_PAGE_SIZE"),
    )


def _read_children(proc: str, process: int) -> list[int]:
    """The children of a process, which the kernel lists for each of its threads."""
    children: list[int] = []
    for thread in os.listdir(f"{proc}/{process}/task"):  # noqa: PTH208
        try:
            children += map(int, read_file(f"{proc}/{process}/task/{thread}/children").split())
        except OSError:
            # The thread has ended: another one of the process has its children now.
            continue
    return children


def _read_children_of_all(proc: str) -> dict[int, list[int]]:
    """The children of every process."""
    children: dict[int, list[int]] = {}
    for name in os.listdir(proc):  # noqa: PTH208
        if name.isdecimal():
            try:
                parent = int(_read_stat(proc, int(name))[1])
            except (OSError, ValueError, IndexError):
                # It has ended.
                continue
            children.setdefault(parent, []).append(int(name))
    return children


def _read_times() -> dict[ProcessKey, ProcessUsage]:
    times = os.times()
    usage = ProcessUsage(
        times.user + times.system, times.children_user + times.children_system, None
    )
    return {(os.getpid(), 0): usage}
