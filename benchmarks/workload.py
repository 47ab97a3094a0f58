"""Runs one command of one tool's workload, in the environment of that tool.

python benchmarks/workload.py TOOL COMMAND [NUMBER ...]
"""

from __future__ import annotations

import time

STARTED_AT = time.time_ns()

import sys  # noqa: E402
from importlib import import_module  # noqa: E402
from typing import TYPE_CHECKING, Protocol  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    Log = Callable[[str, float, int], None]


class Workload(Protocol):
    """What each module in `workloads` has."""

    def recording(self) -> AbstractContextManager[Log]:
        """Starts a run, gives what logs one scalar by name, value and step, and ends the run."""
        ...

    def steps(self) -> list[int]:
        """The step of each "loss" that can be read back from the run, in a later process."""
        ...


def latency(workload: Workload, count: int) -> object:
    """The nanoseconds of each call, and the clock when the first had returned."""
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
    """The clock at the script's start, then after importing, starting a run, logging, finishing."""
    moments = [STARTED_AT, time.time_ns()]
    with workload.recording() as log:
        moments.append(time.time_ns())
        for step in range(count):
            log("loss", 1 / (step + 1), step)
        moments.append(time.time_ns())
    moments.append(time.time_ns())
    return moments


def crash(workload: Workload, count: int) -> object:
    """Logs and waits to be killed."""
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
    tenths = []
    with workload.recording() as log:
        # What is done once for each run is not what is asked here.
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


def steps(workload: Workload) -> object:
    """What a later process reads back."""
    return workload.steps()


def read(workload: Workload, count: int) -> object:
    """The seconds that it takes to read so many back, in a list: ours alone is asked."""
    timed: Callable[[int], float] = workload.read  # type: ignore[attr-defined]
    return [timed(count)]


def floor(workload: Workload, count: int) -> object:
    """See `profiling.floor`."""
    import profiling

    return profiling.floor(workload, count)


def alone(workload: Workload, count: int, has_threads: int) -> object:
    """See `profiling.alone`."""
    import profiling

    return profiling.alone(workload, count, has_threads)


def profile(workload: Workload, count: int, in_threads: int) -> object:
    """See `profiling.profile`."""
    import profiling

    return profiling.profile(workload, count, in_threads)


def requests(_workload: Workload, count: int, repetitions: int, over_http: int) -> object:
    """See `batches.requests`."""
    import batches

    return batches.requests(count, repetitions, over_http=bool(over_http))


def fill(_workload: Workload, runs: int, names: int, points: int, long: int) -> object:
    """See `charts.fill`."""
    import charts

    return charts.fill(runs, names, points, long)


def grow(_workload: Workload, runs: int, names: int, seconds: int) -> object:
    """See `charts.grow`."""
    import charts

    return charts.grow(runs, names, seconds)


def record(_workload: Workload, number: int, count: int) -> object:
    """See `tabs.record`."""
    import tabs

    return tabs.record(number, count)


def sample(_workload: Workload, count: int, buckets: int, repetitions: int) -> object:
    """See `charts.sample`."""
    import charts

    return charts.sample(count, buckets, repetitions)


def write(_workload: Workload, requests: int) -> object:
    """See `charts.write`."""
    import charts

    return charts.write(requests)


COMMANDS: dict[str, Callable[..., object]] = {
    "floor": floor,
    "alone": alone,
    "profile": profile,
    "requests": requests,
    "latency": latency,
    "whole": whole,
    "crash": crash,
    "scale": scale,
    "steps": steps,
    "read": read,
    "fill": fill,
    "grow": grow,
    "record": record,
    "sample": sample,
    "write": write,
}

if __name__ == "__main__":
    _, tool, command, *numbers = sys.argv
    answer = COMMANDS[command](import_module(f"workloads.{tool}"), *map(int, numbers))
    import json

    print(json.dumps(answer))
