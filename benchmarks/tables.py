"""Rows of a table beside metrics: a whole process, from the first to the delivered last."""

from __future__ import annotations

import statistics
import sys

from environments import OURS, options
from processes import fresh_folder, run_workload
from results import Target, figure, table, write_section

#: Rows of one call.
ROWS = 100
#: How much longer rows may take than metrics.
LIMIT = 1.1


def main() -> None:
    parser = options(__doc__, rounds=5, peers="none")
    parser.add_argument("--count", default=100_000, type=int, help="default: %(default)s")
    chosen = parser.parse_args()
    kinds = {"metrics, one by one": 0, f"rows, {ROWS} in a call": ROWS, "rows, one by one": 1}
    measured: dict[str, list[list[float]]] = {kind: [] for kind in kinds}
    for number in range(chosen.rounds):
        for kind, rows in kinds.items():
            print(f"round {number + 1}: {kind}", file=sys.stderr)
            with fresh_folder() as folder:
                ended = run_workload(OURS, folder, "table", chosen.count, rows)
            measured[kind].append(ended.answer)
    medians = {
        kind: [statistics.median(column) for column in zip(*rounds, strict=True)]
        for kind, rounds in measured.items()
    }
    metrics, rows_at_once, _ = (sum(seconds) for seconds in medians.values())
    write_section(
        chosen.results,
        "Rows of tables",
        [OURS],
        f"{chosen.count:,} of each with one number, in a fresh process with the embedded backend: "
        "the calls, and the wait until all are delivered. The median of "
        f"{chosen.rounds} rounds, in which they take turns.",
        table(
            ["", "calls, s", "until delivered, s", "together, s"],
            [[kind, *map(figure, [*seconds, sum(seconds)])] for kind, seconds in medians.items()],
        ),
        Target(f"Rows, {ROWS} in a call, over metrics", LIMIT, "").verdict(rows_at_once / metrics),
    )


def log_table(count: int, rows: int) -> list[float]:
    """The seconds of the calls, and of the end of the run.

    Args:
        count: The number of rows or metrics.
        rows: How many rows to log in a call; 0 logs metrics.
    """
    import time

    import afnio_tellurio as te

    run = te.init("bench", "bench")
    started = time.perf_counter()
    if rows:
        for first in range(0, count, rows):
            run.log_rows(
                "table", [{"loss": 1 / (number + 1)} for number in range(first, first + rows)]
            )
    else:
        for number in range(count):
            run.log("loss", 1 / (number + 1))
    logged = time.perf_counter()
    assert run.finish().accepted == count
    return [logged - started, time.perf_counter() - logged]


if __name__ == "__main__":
    main()
