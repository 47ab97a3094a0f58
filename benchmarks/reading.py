"""How long it takes to read a metric back, and how much memory."""

from __future__ import annotations

import statistics
import sys

from environments import OURS, options
from processes import fresh_folder, run_workload
from results import Target, figure, table, write_section

#: The number of points of the target.
TARGET_COUNT = 1_000_000
TARGET = Target("1,000,000 points read back", 3, "s")


def main() -> None:
    parser = options(__doc__, rounds=3, peers="none")
    counts = [10_000, 100_000, 1_000_000]
    parser.add_argument("--counts", default=counts, type=int, nargs="+", help="points")
    chosen = parser.parse_args()
    rows: list[list[str]] = []
    verdicts: list[str] = []
    columns: list[str] = []
    for count in chosen.counts:
        measured: list[dict[str, float]] = []
        for number in range(chosen.rounds):
            print(f"{count:,} points, round {number + 1}", file=sys.stderr)
            with fresh_folder() as folder:
                run_workload(OURS, folder, "whole", count)
                ended = run_workload(OURS, folder, "read", count)
            (seconds,) = ended.answer
            measured.append({"read back, s": seconds, "peak memory, MiB": ended.peak_mib})
        medians = {
            key: statistics.median(figures[key] for figures in measured) for key in measured[0]
        }
        columns = list(medians)
        rows.append([f"{count:,}", *map(figure, medians.values())])
        if count == TARGET_COUNT:
            verdicts.append(TARGET.verdict(medians["read back, s"]))
    write_section(
        chosen.results,
        "Reading",
        [OURS],
        "`run.metrics(name)` of one metric from the embedded backend, in a fresh process: steps, "
        f"values and times as Python lists. The median of {chosen.rounds} rounds.",
        table(["points", *columns], rows),
        "\n".join(verdicts),
    )


if __name__ == "__main__":
    main()
