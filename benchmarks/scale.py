"""Whether a metric costs the same with more metrics, and with more metric names."""

from __future__ import annotations

import statistics
import sys
from typing import TYPE_CHECKING

from environments import options
from processes import bytes_below, fresh_folder, run_workload
from results import figure, table, write_section

if TYPE_CHECKING:
    from environments import Tool


def main() -> None:
    parser = options(__doc__, rounds=3, peers="none")
    counts, names = [1_000, 10_000, 100_000, 1_000_000], [1, 10, 100, 1_000]
    parser.add_argument("--counts", default=counts, type=int, nargs="+", help="metrics")
    parser.add_argument("--names", default=names, type=int, nargs="+", help="metric names")
    chosen = parser.parse_args()
    middle = sorted(chosen.counts)[len(chosen.counts) // 2]
    cases = [(count, 1) for count in chosen.counts]
    cases += [(middle, many) for many in chosen.names if many > 1]
    rows: list[list[str]] = []
    for count, many in cases:
        tools = [tool for tool in chosen.tools if count <= tool.most]
        measured: dict[str, list[dict[str, float]]] = {tool.name: [] for tool in tools}
        for number in range(chosen.rounds):
            for tool in tools:
                message = f"{count:,} metrics, {many:,} names, round {number + 1}: {tool.name}"
                print(message, file=sys.stderr)
                measured[tool.name].append(of_run(tool, count, many))
        for name, rounds in measured.items():
            medians = [statistics.median(figures[key] for figures in rounds) for key in rounds[0]]
            rows.append([name, f"{count:,}", f"{many:,}", *map(figure, medians)])
    header = ["tool", "metrics", "names", "log, µs", "first tenth, µs", "last tenth, µs"]
    header += ["delivered, µs", "on disk, bytes", "peak memory, MiB"]
    write_section(
        chosen.results,
        "Scale",
        chosen.tools,
        "Each figure except the memory is for one metric: the mean of all calls of log, of the "
        "first and of the last tenth of them, and the time from the first call to the end of "
        "finish, when all is delivered. Few metrics share the cost of a run (its end, the empty "
        "database), so each carries more of it. "
        f"The median of {chosen.rounds} rounds.",
        table(header, rows),
    )


def of_run(tool: Tool, count: int, names: int) -> dict[str, float]:
    """The figures of one round, for one metric each."""
    with fresh_folder() as folder:
        ended = run_workload(tool, folder, "scale", count, names)
        size = bytes_below(folder)
    answer = ended.answer
    return {
        "log": answer["all"] / count * 1e6,
        "first tenth": answer["tenths"][0] / count * 1e7,
        "last tenth": answer["tenths"][-1] / count * 1e7,
        "delivered": answer["finished"] / count * 1e6,
        "on disk": size / count,
        "memory": ended.peak_mib,
    }


if __name__ == "__main__":
    main()
