"""What a call of log consists of, measured in the environment of a tool; see `breakdown.py`."""

from __future__ import annotations

import cProfile
import os
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from workloads import Workload

#: A line as long as that of a common metric.
LINE = b'{"name":"train/loss","value":0.12345678901234567,"step":12345,"time":17000000}\n'

#: The name of the thread that delivers.
SENDER = "tellurio-sender"


def floor(count: int) -> object:
    """p50 and p99, in microseconds, of the least that a log must do to survive the process."""
    with tempfile.TemporaryFile() as file:

        def write(_step: int) -> None:
            os.write(file.fileno(), LINE)

        return {
            "nothing: the clock alone": _latency(lambda _step: None, count),
            f"`os.write` of one line of {len(LINE)} bytes": _latency(write, count),
        }


def alone(workload: Workload, count: int, has_threads: int) -> object:
    """p50 and p99 of log, in microseconds; with `has_threads` 0, no thread starts meanwhile."""
    start = threading.Thread.start
    if not has_threads:
        setattr(threading.Thread, "start", _do_not_start)  # noqa: B010
    with workload.recording() as log:
        latency = _latency(lambda step: log("loss", 1 / (step + 1), step), count)
        setattr(threading.Thread, "start", start)  # noqa: B010
    return latency


def _do_not_start(_thread: threading.Thread) -> None:
    pass


def _latency(call: Callable[[int], None], count: int) -> list[float]:
    clock = time.perf_counter_ns
    durations = [0] * count
    for step in range(count):
        before = clock()
        call(step)
        durations[step] = clock() - before
    durations.sort()
    return [statistics.median(durations) / 1000, durations[count * 99 // 100] / 1000]


def profile(workload: Workload, count: int, in_threads: int) -> object:
    """Where the time goes: calls, own and cumulative milliseconds of each function.

    Args:
        workload: The tool's.
        count: How many metrics are logged.
        in_threads: 0 for the main thread, from the start of a run to its end; 1 for the first
            thread that the tool starts. Python profiles one at a time.
    """
    profiler = cProfile.Profile()
    run = threading.Thread.run
    is_free = [True]

    def profiled(thread: threading.Thread) -> None:
        if is_free and is_free.pop():
            profiler.enable()
        run(thread)

    if in_threads:
        setattr(threading.Thread, "run", profiled)  # noqa: B010
    with workload.recording() as log:
        if not in_threads:
            profiler.enable()
        for step in range(count):
            log("loss", 1 / (step + 1), step)
    if not in_threads:
        profiler.disable()
    entries: list[Any] = profiler.getstats()
    return [
        [_name(entry.code), entry.callcount, entry.inlinetime * 1000, entry.totaltime * 1000]
        for entry in sorted(entries, key=lambda entry: entry.inlinetime, reverse=True)
    ]


def sender(workload: Workload, count: int) -> list[float]:
    """The seconds that the sender's thread has a processor, until all metrics are delivered."""
    seconds: list[float] = []
    run = threading.Thread.run

    def timed(thread: threading.Thread) -> None:
        before = time.thread_time()
        run(thread)
        if thread.name == SENDER:
            seconds.append(time.thread_time() - before)

    setattr(threading.Thread, "run", timed)  # noqa: B010
    with workload.recording() as log:
        for step in range(count):
            log("loss", 1 / (step + 1), step)
    for thread in threading.enumerate():
        if thread.name == SENDER:
            thread.join()
    assert seconds
    return [sum(seconds)]


def _name(code: Any) -> str:
    if isinstance(code, str):
        return code.strip("<>")
    return f"{Path(code.co_filename).stem}.{code.co_qualname}"
