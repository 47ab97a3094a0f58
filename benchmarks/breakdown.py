"""Where the time of one log goes: its floor, and profiles of the caller and of the sender."""

from __future__ import annotations

import sys
from typing import Any

from environments import OURS, options
from processes import fresh_folder, run_workload
from results import figure, table, write_section

#: Functions shown of each profile.
SHOWN = 15


def main() -> None:
    parser = options(__doc__, rounds=1, peers="none")
    parser.add_argument("--count", default=100_000, type=int, help="calls (default: %(default)s)")
    chosen = parser.parse_args()
    count = chosen.count
    calls = {
        **answer_of("floor", count),
        "log": answer_of("alone", count, 1),
        "log, the sender's thread kept from starting": answer_of("alone", count, 0),
    }
    write_section(
        chosen.results,
        "Breakdown of log",
        [OURS],
        f"{count:,} calls, and the least that one must do: a `write`, or the metric is lost when "
        "the process is killed. Two threads of one process share one interpreter: a call that has "
        "written its line waits while the sender computes. The last row is without the sender.",
        table(
            ["call", "p50, µs", "p99, µs"],
            [[name, *map(figure, pair)] for name, pair in calls.items()],
        ),
        "The caller's thread, profiled (which itself makes each call slower):",
        profile_table(answer_of("profile", count, 0)),
        "The sender's thread, profiled in another process:",
        profile_table(answer_of("profile", count, 1)),
    )


def answer_of(command: str, *numbers: int) -> Any:
    """What a command prints for our workload."""
    print(command, file=sys.stderr)
    with fresh_folder() as folder:
        return run_workload(OURS, folder, command, *numbers).answer


def profile_table(functions: list[list[Any]]) -> str:
    """The functions with the most time of their own."""
    return table(
        ["function", "calls", "own time, ms", "with calls, ms"],
        [
            [f"`{name}`", f"{calls:,}", figure(own), figure(total)]
            for name, calls, own, total in functions[:SHOWN]
        ],
    )


if __name__ == "__main__":
    main()
