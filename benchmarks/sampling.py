"""How long the embedded backend takes to sample a chart, and what that costs when recording."""

from __future__ import annotations

import statistics
import sys

from environments import OURS, options
from processes import fresh_folder, run_workload
from results import Target, figure, table, write_section

COUNT, BUCKETS = 1_000_000, 1000
TARGET = Target("1,000,000 points as 1,000 ranges", 50, "ms")
ASKED = {
    "first": "the whole series",
    "zoomed": "a fiftieth of it, in finer ranges",
    "unchanged": "what is new: nothing",
    "grown": "what is new: 100 points",
}


def main() -> None:
    parser = options(__doc__, rounds=3, peers="none")
    parser.add_argument("--repetitions", default=20, type=int, help="default: %(default)s")
    parser.add_argument("--requests", default=300, type=int, help="default: %(default)s")
    chosen = parser.parse_args()
    samples: list[dict[str, list[float]]] = []
    writes: list[dict[str, list[float]]] = []
    for number in range(chosen.rounds):
        print(f"round {number + 1}", file=sys.stderr)
        with fresh_folder() as folder:
            ended = run_workload(OURS, folder, "sample", COUNT, BUCKETS, chosen.repetitions)
            samples.append(ended.answer)
        with fresh_folder() as folder:
            writes.append(run_workload(OURS, folder, "write", chosen.requests).answer)
    rows: list[list[str]] = []
    for part, what in ASKED.items():
        durations = [duration for sample in samples for duration in sample[part]]
        rows.append([what, figure(statistics.median(durations)), figure(max(durations))])
    typical = {
        way: statistics.median(duration for write in writes for duration in write[way])
        for way in writes[0]
    }
    share = (typical["with"] / typical["without"] - 1) * 100
    write_section(
        chosen.results,
        "Sampling",
        [OURS],
        f"`sampleProjectMetrics` of one metric with {COUNT:,} points in {BUCKETS:,} ranges, asked "
        "in process, the whole request with its JSON. "
        f"{chosen.rounds} rounds of {chosen.repetitions}.",
        table(["request", "median, ms", "maximum, ms"], rows),
        TARGET.verdict(
            statistics.median(duration for sample in samples for duration in sample["first"])
        ),
        "The cost of keeping the data that these answers come from: `logMetricBatch` of 1,000 "
        f"metrics of ten names takes {figure(typical['with'])} ms with it, and "
        f"{figure(typical['without'])} ms without: {figure(share)}% more.",
    )


if __name__ == "__main__":
    main()
