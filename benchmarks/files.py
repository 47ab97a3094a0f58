"""Workloads with files, which run in the environment of a tool."""

from __future__ import annotations

import os
import resource
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workloads import Workload

#: Bytes that are written at once.
PIECE = 2**24
FOLDER_FILES = 100
#: `ru_maxrss` counts bytes on macOS and KiB elsewhere.
MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


def log_files(workload: Workload, count: int, size: int) -> object:
    """Logs a folder of files; the seconds of the call, those until all is delivered, and MiB.

    The memory is what the process takes at most above what it took before the call.
    """
    folder = make_files(count, size)
    clock = time.perf_counter
    with workload.recording() as log:
        log("loss", 0.0, 0)
        before, memory = clock(), peak()
        workload.log_folder(folder)
        called = clock() - before
    return [called, clock() - before, (peak() - memory) / 2**20]


def log_beside(workload: Workload, count: int, size: int) -> object:
    """The nanoseconds of each call of log: without an upload, and beside one."""
    folder = make_files(1, size)
    durations: list[list[int]] = []
    with workload.recording() as log:
        log("loss", 0.0, 0)
        for is_beside in (False, True):
            if is_beside:
                threading.Thread(target=workload.log_folder, args=(folder,)).start()
            durations.append(durations_of(log, count))
    return durations


def durations_of(log: object, count: int) -> list[int]:
    """The nanoseconds of calls, with as much time between two of them as a fast loop has."""
    assert callable(log)
    clock = time.perf_counter_ns
    durations = [0] * count
    for step in range(count):
        time.sleep(0.0005)
        before = clock()
        log("loss", 1 / (step + 1), step + 1)
        durations[step] = clock() - before
    return durations


def make_files(count: int, size: int) -> Path:
    """Makes a folder of files, each with other bytes, which are on the disk when it returns."""
    folder = Path.cwd() / "files"
    for number in range(count):
        path = folder / str(number // FOLDER_FILES) / f"{number}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for start in range(0, size, PIECE):
                file.write(os.urandom(min(PIECE, size - start)))
    # Else the disk writes them while the copies of them have to wait.
    if hasattr(os, "sync"):
        os.sync()
    return folder


def peak() -> int:
    """The most memory that this process had so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS_UNIT
