"""How long the embedded backend takes for a long series and for many runs, also to delete them."""

from __future__ import annotations

import statistics
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from charts import PROJECTS, backend, metric, send, start
from environments import OURS, options
from processes import fresh_folder, run_workload
from results import Target, figure, table, write_section

if TYPE_CHECKING:
    from collections.abc import Generator

#: Percent of the steps that a zoom shows.
SHARES = (100, 40, 10, 1)
BUCKETS = (1000, 10_000)
TARGETS = [
    Target("The longest zoom into a long series", 1000, "ms"),
    Target("The longest wait of a writer while the series is deleted", 100, "ms"),
    Target("A page of 20 runs of a large project", 20, "ms"),
]


def main() -> None:
    parser = options(__doc__, rounds=3, peers="none")
    parser.add_argument("--points", default=1_000_000, type=int, help="default: %(default)s")
    parser.add_argument("--runs", default=20_000, type=int, help="default: %(default)s")
    chosen = parser.parse_args()
    rounds: list[dict[str, float]] = []
    for number in range(chosen.rounds):
        print(f"round {number + 1}", file=sys.stderr)
        with fresh_folder() as folder:
            rounds.append(run_workload(OURS, folder, "large", chosen.points, chosen.runs).answer)
    medians = {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}
    longest = max(value for name, value in medians.items() if " ranges" in name)
    measured = (longest, medians["longest wait of a writer"], medians["a page of 20 runs"])
    write_section(
        chosen.results,
        "Large",
        [OURS],
        f"One metric with {chosen.points:,} points, sampled by `sampleProjectMetrics`, with one "
        f"more point at step 2^40, and deleted while a thread writes; and a project of "
        f"{chosen.runs:,} runs. In process. The median of {chosen.rounds} rounds.",
        table(["request", "ms"], [[name, figure(value)] for name, value in medians.items()]),
        "\n".join(target.verdict(value) for target, value in zip(TARGETS, measured, strict=True)),
    )


def large(points: int, runs: int) -> object:
    """The milliseconds of each request."""
    durations: dict[str, float] = {}
    with backend() as client:

        def ask(what: str, method: str, path: str, query: dict[str, Any] | None = None) -> None:
            before = time.perf_counter()
            client.request(method, path, params=query).raise_for_status()
            durations[what] = (time.perf_counter() - before) * 1000

        for project in ("long", "many"):
            client.post(PROJECTS, json={"display_name": project}).raise_for_status()
        for number in range(runs):
            start(client, "many", f"run_{number}")
        ask("a page of 20 runs", "GET", f"{PROJECTS}many/runs/", {"limit": 20})
        ask("a project", "GET", f"{PROJECTS}many/")
        path = start(client, "long", "long")
        for first in range(0, points, 100_000):
            last = min(points, first + 100_000)
            send(client, path, [metric("loss", step, 1) for step in range(first, last)])
        for outlier in ("", ", with an outlier"):
            if outlier:
                send(client, path, [metric("loss", 2**40, 1)])
            for buckets in BUCKETS:
                for share in SHARES:
                    first = (100 - share) * points // 200 + 3
                    query: dict[str, Any] = {"run": path.split("/")[-2], "name": "loss"}
                    query |= {"buckets": buckets}
                    if share < SHARES[0]:
                        query |= {"from_step": first, "to_step": first + share * points // 100}
                    name = f"{share}% in {buckets:,} ranges{outlier}"
                    ask(name, "GET", f"{PROJECTS}long/metrics/sample/", query)
        with writing(start(client, "many", "other")) as waits:
            ask("deleting the run", "DELETE", path, {"purge": "true"})
        durations["longest wait of a writer"] = max(waits) * 1000
    return durations


@contextmanager
def writing(path: str) -> Generator[list[float]]:
    """Writes through another connection, and measures how long each request takes."""
    waits: list[float] = []
    is_over = threading.Event()

    def write() -> None:
        with backend() as client:
            while not waits or not is_over.wait(0.01):
                before = time.perf_counter()
                body = {"name": "loss", "value": len(waits)}
                client.post(f"{path}metrics/", json=body).raise_for_status()
                waits.append(time.perf_counter() - before)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield waits
    finally:
        is_over.set()
        thread.join()


if __name__ == "__main__":
    main()
