"""How long one call of log takes, and a process from its start to its first log."""

from __future__ import annotations

import statistics
import sys

from environments import OURS, options
from processes import fresh_folder, run_workload
from results import Target, figure, table, write_section

TARGETS = {
    "p50, µs": Target("p50", 3, "µs"),
    "p99, µs": Target("p99", 30, "µs"),
    "start to first log, ms": Target("start to first log", 300, "ms"),
}


def main() -> None:
    parser = options(__doc__, rounds=5)
    parser.add_argument("--count", default=10_000, type=int, help="calls (default: %(default)s)")
    chosen = parser.parse_args()
    measured: dict[str, list[dict[str, float]]] = {tool.name: [] for tool in chosen.tools}
    for number in range(chosen.rounds):
        for tool in chosen.tools:
            print(f"round {number + 1}: {tool.name}", file=sys.stderr)
            with fresh_folder() as folder:
                ended = run_workload(tool, folder, "latency", min(chosen.count, tool.most))
            figures = of_calls([duration / 1000 for duration in ended.answer["durations"]])
            first_log = (ended.answer["first_log_at"] - ended.started_at) / 1e6
            measured[tool.name].append({**figures, "start to first log, ms": first_log})
    medians = {
        name: {key: statistics.median(figures[key] for figures in rounds) for key in rounds[0]}
        for name, rounds in measured.items()
    }
    ours = medians[OURS.name]
    write_section(
        chosen.results,
        "Latency of log",
        chosen.tools,
        f"{chosen.count:,} calls in a loop, each with one scalar and its step, in a fresh process; "
        f"the median of {chosen.rounds} rounds, in which the tools take turns. The first log is "
        "counted from the start of the process to the return of the call."
        + "".join(
            f" {tool.name}: {tool.most:,} calls."
            for tool in chosen.tools
            if tool.most < chosen.count
        ),
        table(
            ["tool", *ours],
            [[name, *map(figure, figures.values())] for name, figures in medians.items()],
        ),
        "\n".join(target.verdict(ours[key]) for key, target in TARGETS.items()),
    )


def of_calls(durations: list[float]) -> dict[str, float]:
    """The figures of one round, from durations in microseconds."""
    ordered = sorted(durations)
    return {
        "p50, µs": statistics.median(ordered),
        "p90, µs": ordered[len(ordered) * 90 // 100],
        "p99, µs": ordered[len(ordered) * 99 // 100],
        "max, µs": ordered[-1],
        "mean, µs": statistics.fmean(ordered),
    }


if __name__ == "__main__":
    main()
