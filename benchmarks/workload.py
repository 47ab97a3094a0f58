"""Runs one command of one tool's workload, in the environment of that tool.

python benchmarks/workload.py TOOL COMMAND [NUMBER ...]
"""

from __future__ import annotations

import time

STARTED_AT = time.time_ns()

import sys  # noqa: E402
from importlib import import_module  # noqa: E402
from typing import TYPE_CHECKING  # noqa: E402

if TYPE_CHECKING:
    from workloads import Workload


def latency(workload: Workload, count: int) -> object:
    """The nanoseconds of each call, and the time when the first one returned."""
    clock = time.perf_counter_ns
    durations = [0] * count
    first_log_at = 0
    with workload.recording() as log:
        for step in range(count):
            value = 1 / (step + 1)
            before = clock()
            log("loss", value, step)
            durations[step] = clock() - before
            if not step:
                first_log_at = time.time_ns()
    return {"durations": durations, "first_log_at": first_log_at}


def whole(workload: Workload, count: int) -> object:
    """The time at the script's start, then after importing, starting a run, logging, finishing."""
    moments = [STARTED_AT, time.time_ns()]
    with workload.recording() as log:
        moments.append(time.time_ns())
        for step in range(count):
            log("loss", 1 / (step + 1), step)
        moments.append(time.time_ns())
    moments.append(time.time_ns())
    return moments


def crash(workload: Workload, count: int) -> object:
    """Logs, prints "ready" and waits to be killed."""
    with workload.recording() as log:
        for step in range(count):
            log("loss", 1 / (step + 1), step)
        print("ready", flush=True)
        time.sleep(3600)
    return []


def scale(workload: Workload, count: int, names: int) -> object:
    """The seconds of all calls, of the first and the last tenth of them, and until the end."""
    metrics = [f"metric/{number}" for number in range(names)]
    clock = time.perf_counter
    tenths: list[float] = []
    with workload.recording() as log:
        # What a tool does once for each run is not measured here.
        log("loss", 0.0, 0)
        started_at = clock()
        for tenth in range(10):
            before = clock()
            for index in range(tenth * count // 10, (tenth + 1) * count // 10):
                log(metrics[index % names], 1 / (index + 1), index // names)
            tenths.append(clock() - before)
        logged_at = clock()
    finished_at = clock()
    return {"tenths": tenths, "all": logged_at - started_at, "finished": finished_at - started_at}


def project(workload: Workload, runs: int, names: int, points: int) -> object:
    """Logs the same curves with each tool."""
    import math

    for run in range(runs):
        curves = {
            f"{'train' if name % 2 else 'val'}/metric_{name}": [
                math.exp(-step / (0.1 * points * (run + 1))) + 0.02 * math.sin(step * (name + 1))
                for step in range(points)
            ]
            for name in range(names)
        }
        workload.log_run(f"run_{run}", curves)
    return []


def steps(workload: Workload) -> object:
    """What a later process reads back."""
    return workload.steps()


#: The commands that measure the tool's workload: a function here, or of another module.
OF_THE_TOOL = {
    "alone": "profiling:alone",
    "beside": "files:log_beside",
    "crash": "workload:crash",
    "files": "files:log_files",
    "latency": "workload:latency",
    "profile": "profiling:profile",
    "project": "workload:project",
    "scale": "workload:scale",
    "sender": "profiling:sender",
    "steps": "workload:steps",
    "whole": "workload:whole",
}
#: The commands that measure something of ours, or nothing of a tool.
OTHERS = {
    "fill": "charts:fill",
    "floor": "profiling:floor",
    "grow": "charts:grow",
    "large": "large:large",
    "parts": "workloads.with_afnio_tellurio:log_parts",
    "query": "filters:query",
    "read": "workloads.with_afnio_tellurio:read",
    "record": "tabs:record",
    "requests": "batches:requests",
    "sample": "charts:sample",
    "scan": "scanning:log_and_scan",
    "table": "tables:log_table",
    "write": "charts:write",
}


def main() -> None:
    _, tool, command, *arguments = sys.argv
    numbers = map(int, arguments)
    module, _, function = (OF_THE_TOOL | OTHERS)[command].partition(":")
    # This file runs as `__main__`: imported once more, it would start its clock again.
    call = globals()[function] if module == "workload" else getattr(import_module(module), function)
    if command in OF_THE_TOOL:
        answer = call(import_module(f"workloads.with_{tool}"), *numbers)
    else:
        answer = call(*numbers)
    import json

    print(json.dumps(answer))


if __name__ == "__main__":
    main()
