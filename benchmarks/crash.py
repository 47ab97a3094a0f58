"""How many logged metrics are lost when the process is killed with SIGKILL."""

from __future__ import annotations

import statistics
import sys
import time

from environments import OURS, Tool, options
from processes import WorkloadError, fresh_folder, kill_workload, run_workload
from results import Target, table, write_section

#: Seconds in which the helper process of a tool may still write what it received.
HELPERS_WRITE = 1.0
TARGET = Target("metrics lost or doubled at SIGKILL", 0, "")


def main() -> None:
    parser = options(__doc__, rounds=3)
    parser.add_argument("--count", default=5_000, type=int, help="logs (default: %(default)s)")
    chosen = parser.parse_args()
    measured: dict[str, list[list[int] | None]] = {tool.name: [] for tool in chosen.tools}
    for number in range(chosen.rounds):
        for tool in chosen.tools:
            print(f"round {number + 1}: {tool.name}", file=sys.stderr)
            measured[tool.name].append(after_kill(tool, chosen.count))
    rows: list[list[str]] = []
    worst = 0
    for name, rounds in measured.items():
        readable = [steps for steps in rounds if steps is not None]
        lost = [chosen.count - len(set(steps)) for steps in readable]
        doubled = [len(steps) - len(set(steps)) for steps in readable]
        if name == OURS.name:
            worst = max(lost) + max(doubled) if len(readable) == len(rounds) else chosen.count
        cells = [f"{statistics.median(lost):,.0f}", f"{max(lost):,}", f"{max(doubled):,}"]
        rows.append(
            [name, *(cells if readable else ["-"] * 3), f"{len(readable)} of {len(rounds)}"]
        )
    write_section(
        chosen.results,
        "Crash",
        chosen.tools,
        f"A process logs {chosen.count:,} scalars and gets SIGKILL as soon as the last call has "
        "returned; a new process then reads back with the tool's reader, or from its files if it "
        "has none.",
        table(["tool", "lost, median", "lost, most", "doubled, most", "rounds readable"], rows),
        TARGET.verdict(worst),
    )


def after_kill(tool: Tool, count: int) -> list[int] | None:
    """The steps that can be read back, or None if the tool's reader fails."""
    with fresh_folder() as folder:
        kill_workload(tool, folder, "crash", count)
        time.sleep(HELPERS_WRITE)
        try:
            steps: list[int] = run_workload(tool, folder, "steps").answer
        except WorkloadError as error:
            print(error, file=sys.stderr)
            return None
    return steps


if __name__ == "__main__":
    main()
