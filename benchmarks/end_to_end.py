"""A whole process: start, import, a run, its metrics, the end; with memory and bytes on disk."""

from __future__ import annotations

import statistics
import sys
from itertools import pairwise
from typing import TYPE_CHECKING

from environments import OURS, options
from processes import bytes_below, fresh_folder, run_workload
from results import Target, figure, table, write_section

if TYPE_CHECKING:
    from environments import Tool

STAGES = ["start", "import", "init", "logging", "finish", "exit"]
TARGETS = {
    "whole process, s": Target("100,000 metrics by a whole process", 2, "s"),
    "peak memory, MiB": Target("peak memory", 60, "MiB"),
}
COUNT_OF_TARGETS = 100_000


def main() -> None:
    parser = options(__doc__, rounds=3)
    parser.add_argument(
        "--counts",
        default=[10_000, COUNT_OF_TARGETS],
        type=int,
        nargs="+",
        help="metrics (default: 10000 100000)",
    )
    chosen = parser.parse_args()
    rows: list[list[str]] = []
    verdicts: list[str] = []
    for count in chosen.counts:
        tools = [tool for tool in chosen.tools if count <= tool.most]
        measured: dict[str, list[dict[str, float]]] = {tool.name: [] for tool in tools}
        for number in range(chosen.rounds):
            for tool in tools:
                print(f"{count:,}, round {number + 1}: {tool.name}", file=sys.stderr)
                measured[tool.name].append(of_process(tool, count))
        for name, rounds in measured.items():
            medians = {
                key: statistics.median(figures[key] for figures in rounds) for key in rounds[0]
            }
            rows.append([name, f"{count:,}", *map(figure, medians.values())])
            if name == OURS.name and count == COUNT_OF_TARGETS:
                verdicts += [target.verdict(medians[key]) for key, target in TARGETS.items()]
    write_section(
        chosen.results,
        "End to end",
        chosen.tools,
        "From the start of a fresh process to its end, with everything delivered to the tool's "
        "storage; then another process counts the steps that it can read back. The stages "
        f"are in milliseconds. The median of {chosen.rounds} rounds, in which the tools take "
        "turns. A tool that would take too long for that many metrics has no row. "
        "Memory is that of the process, or of the largest helper process that it waits for.",
        table(
            [
                "tool",
                "metrics",
                "whole process, s",
                "peak memory, MiB",
                "on disk, MiB",
                "read back",
                *(f"{stage}, ms" for stage in STAGES),
            ],
            rows,
        ),
        *(["\n".join(verdicts)] if verdicts else []),
    )


def of_process(tool: Tool, count: int) -> dict[str, float]:
    """The figures of one round."""
    with fresh_folder() as folder:
        ended = run_workload(tool, folder, "whole", count)
        size = bytes_below(folder)
        steps = run_workload(tool, folder, "steps").answer
    moments = [ended.started_at, *ended.answer, ended.ended_at]
    return {
        "whole process, s": ended.seconds,
        "peak memory, MiB": ended.peak_mib,
        "on disk, MiB": size / 2**20,
        "read back": len(set(steps)),
        **{
            stage: (after - before) / 1e6
            for stage, (before, after) in zip(STAGES, pairwise(moments), strict=True)
        },
    }


if __name__ == "__main__":
    main()
