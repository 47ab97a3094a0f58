"""What a sample of system metrics costs: the time on a processor, and its share of a core.

benchmarks/system_metrics.py [--descendants N] [--samples N]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import afnio_tellurio as te
from afnio_tellurio.settings.limits import SYSTEM_INTERVAL
from afnio_tellurio.tracking.system_metrics import Sampler

_THOUSAND = 1000.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--descendants", type=int, default=20)
    parser.add_argument("--samples", type=int, default=200)
    options = parser.parse_args()
    children = [
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        for _ in range(options.descendants)
    ]
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            te.TellurioClient.local(Path(folder, "runs.db")) as client,
        ):
            costs = _measure(client, options.samples)
    finally:
        for child in children:
            child.communicate(b"\n")
    median, worst = statistics.median(costs), max(costs)
    print(f"{options.descendants} descendants, {options.samples} samples, read and logged")
    print(f"one sample: {median * _THOUSAND:.2f} ms of a processor; worst {worst * _THOUSAND:.2f}")
    print(f"each {SYSTEM_INTERVAL:g} s: {100 * median / SYSTEM_INTERVAL:.4f} % of a core")


def _measure(client: te.TellurioClient, samples: int) -> list[float]:
    sampler, costs = Sampler(), list[float]()
    with te.init("demo", "System metrics", client=client) as run:
        for _ in range(samples):
            started = time.thread_time()
            run.log_metrics(sampler.sample())
            costs.append(time.thread_time() - started)
    return costs


if __name__ == "__main__":
    main()
