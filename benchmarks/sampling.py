"""How long the embedded backend takes for what a chart shows, and what that costs who records."""

from __future__ import annotations

import statistics
import sys

from environments import OURS, options
from processes import fresh_folder, run_workload
from results import Target, figure, table, write_section

COUNT, BUCKETS = 1_000_000, 1000
TARGET = Target("1,000,000 points as 1,000 ranges", 50, "ms")
ASKED = {
    "first": "all of it",
    "zoomed": "a fiftieth of it, finer",
    "unchanged": "what is new, where nothing is",
    "grown": "what is new, where 100 points are",
}


def main() -> None:
    parser = options(__doc__, rounds=3, peers="none")
    parser.add_argument("--repetitions", default=20, type=int, help="default: %(default)s")
    parser.add_argument("--requests", default=300, type=int, help="default: %(default)s")
    chosen = parser.parse_args()
    samples, writes = [], []
    for number in range(chosen.rounds):
        print(f"round {number + 1}", file=sys.stderr)
        with fresh_folder() as folder:
            words = ("sample", COUNT, BUCKETS, chosen.repetitions)
            samples.append(run_workload(OURS, folder, *words).answer)
        with fresh_folder() as folder:
            writes.append(run_workload(OURS, folder, "write", chosen.requests).answer)
    rows = []
    for part, what in ASKED.items():
        durations = [one for found in samples for one in found[part]]
        rows.append([what, figure(statistics.median(durations)), figure(max(durations))])
    typical = {
        way: statistics.median(one for found in writes for one in found[way]) for way in writes[0]
    }
    share = (typical["with"] / typical["without"] - 1) * 100
    write_section(
        chosen.results,
        "Sampling",
        [OURS],
        f"`sampleProjectMetrics` of one metric with {COUNT:,} points in {BUCKETS:,} ranges, asked "
        "in process, the whole request with its JSON. "
        f"{chosen.rounds} rounds of {chosen.repetitions}.",
        table(["what is asked", "median, ms", "most, ms"], rows),
        TARGET.verdict(statistics.median(one for found in samples for one in found["first"])),
        "What it costs to keep what these answers are made of: `logMetricBatch` of 1,000 metrics "
        f"of ten names takes {figure(typical['with'])} ms, and {figure(typical['without'])} ms if "
        f"it is not kept: {figure(share)} % more.",
    )


if __name__ == "__main__":
    main()
