"""How much of a batch request the embedded backend spends on decoding and validation."""

from __future__ import annotations

import statistics
import sys
from typing import TYPE_CHECKING

from environments import OURS, options
from processes import fresh_folder, run_workload
from results import Target, figure, table, write_section

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Percent of a request.
LIMIT = 25


def main() -> None:
    parser = options(__doc__, rounds=3, peers="none")
    parser.add_argument("--count", default=1000, type=int, help="metrics (default: %(default)s)")
    parser.add_argument("--requests", default=100, type=int, help="default: %(default)s")
    chosen = parser.parse_args()
    rows: list[list[str]] = []
    verdicts: list[str] = []
    for way, over_http in (("in process", 0), ("over HTTP", 1)):
        rounds: list[dict[str, list[int]]] = []
        for number in range(chosen.rounds):
            print(f"{way}, round {number + 1}", file=sys.stderr)
            with fresh_folder() as folder:
                ended = run_workload(
                    OURS, folder, "requests", chosen.count, chosen.requests, over_http
                )
                rounds.append(ended.answer)
        whole, validation, parsing = (
            median_of([durations[part] for durations in rounds])
            for part in ("whole", "validation", "parsing")
        )
        share = validation / whole * 100
        rows.append([way, *map(figure, (whole, validation, share, parsing))])
        what = f"Decoding and validating {chosen.count:,} metrics {way}"
        verdicts.append(Target(what, LIMIT, "% of the request").verdict(share))
    header = ["logMetricBatch", "request, ms", "decoding and validating, ms", "share, %"]
    write_section(
        chosen.results,
        "Validation",
        [OURS],
        f"One request with {chosen.count:,} metrics of ten names, from sending its bytes to "
        "receiving the answer, when all is on the disk; and the time to decode its body and to "
        "check every field and value against the contract. The last column is decoding alone, "
        "into dicts. Over HTTP the backend is another process. The median of "
        f"{chosen.requests} requests, and of {chosen.rounds} rounds.",
        table([*header, "decoding alone, ms"], rows),
        "\n".join(verdicts),
    )


def median_of(rounds: Sequence[Sequence[int]]) -> float:
    """Milliseconds, from nanoseconds."""
    return statistics.median(statistics.median(durations) for durations in rounds) / 1e6


if __name__ == "__main__":
    main()
