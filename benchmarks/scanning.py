"""How long it takes to scan all points of a project: at first, and when they are cached."""

from __future__ import annotations

import statistics
import sys

from environments import OURS, environment_with, options
from processes import fresh_folder, run_workload
from results import Target, figure, table, write_section

RUNS = 100
METRICS = 10
#: Steps of each run, and of the run that grows.
STEPS = 1000
NEW_STEPS = 100
KINDS = ("the first scan", "a scan with nothing new", "a scan after one run has grown", "a query")
TARGETS = (
    Target("The first scan of 1,000,000 points", 10, "s"),
    Target("A scan with nothing new", 0.25, "s"),
    Target("A scan after one run has grown", 0.5, "s"),
)


def main() -> None:
    parser = options(__doc__, rounds=3, peers="none")
    parser.add_argument("--runs", default=RUNS, type=int, help="default: %(default)s")
    parser.add_argument("--steps", default=STEPS, type=int, help="default: %(default)s")
    chosen = parser.parse_args()
    environment = environment_with("polars", "pyarrow")
    rounds: list[list[float]] = []
    for number in range(chosen.rounds):
        print(f"round {number + 1}", file=sys.stderr)
        with fresh_folder() as folder:
            numbers = chosen.runs, chosen.steps
            ended = run_workload(OURS, folder, "scan", *numbers, environment=environment)
        rounds.append(ended.answer)
    medians = [statistics.median(column) for column in zip(*rounds, strict=True)]
    write_section(
        chosen.results,
        "Scanning",
        [OURS],
        f"`te.scan` of {chosen.runs * METRICS * chosen.steps:,} points of {METRICS} metrics of "
        f"{chosen.runs:,} runs from the embedded backend; {NEW_STEPS * METRICS:,} points when one "
        "run has grown. The query finds the least value of each metric of each run. The median of "
        f"{chosen.rounds} rounds.",
        table(["", "s"], [[kind, figure(s)] for kind, s in zip(KINDS, medians, strict=True)]),
        "\n".join(
            target.verdict(seconds) for target, seconds in zip(TARGETS, medians, strict=False)
        ),
    )


def log_and_scan(runs: int, steps: int) -> list[float]:
    """The seconds of each of `KINDS`.

    Args:
        runs: The number of runs.
        steps: The number of steps of each.
    """
    import time

    import polars as pl

    import afnio_tellurio as te

    def log(name: str, first: int, last: int, resume: str = "never") -> None:
        with te.init("bench", "bench", name, resume=resume) as run:
            for step in range(first, last):
                run.log_metrics(
                    {f"metric/{number}": number / (step + 1) for number in range(METRICS)},
                    step=step,
                )

    def seconds_to_scan(points: int) -> float:
        started = time.perf_counter()
        frame = te.scan("bench", "bench")
        seconds = time.perf_counter() - started
        assert frame.select(pl.len()).collect().item() == points
        return seconds

    for number in range(runs):
        log(f"run-{number}", 0, steps)
    # Imported once, before the first measurement.
    te.scan("bench", "bench", where="name = nosuch").collect()
    points = runs * steps * METRICS
    seconds = [seconds_to_scan(points), seconds_to_scan(points)]
    log("run-0", steps, steps + NEW_STEPS, resume="must")
    seconds.append(seconds_to_scan(points + NEW_STEPS * METRICS))
    frame = te.scan("bench", "bench")
    started = time.perf_counter()
    least = frame.group_by("run_uuid", "name").agg(pl.col("value").min()).collect()
    seconds.append(time.perf_counter() - started)
    assert len(least) == runs * METRICS
    return seconds


if __name__ == "__main__":
    main()
