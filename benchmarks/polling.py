"""How much polling tabs slow down programs that record, and whether there are errors."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from environments import OURS, environment_of, options, python_of
from page import KEY, served
from processes import WORKLOAD, fresh_folder, variables_of
from results import Target, figure, table, write_section

if TYPE_CHECKING:
    from pathlib import Path

TABS, WRITERS = 50, 8
TABS_SCRIPT = WORKLOAD.parent / "tabs.py"
LOST = Target(f"of the rate of {WRITERS} writers lost to {TABS} tabs", 20, "%")
ERRORS = Target("errors of tabs and writers", 0, "")


def main() -> None:
    parser = options(__doc__, rounds=5, peers="none")
    parser.add_argument("--count", default=50_000, type=int, help="metrics of each writer")
    chosen = parser.parse_args()
    rates: dict[int, list[float]] = {0: [], TABS: []}
    durations: list[float] = []
    problems: list[str] = []
    for number in range(chosen.rounds):
        print(f"round {number + 1}", file=sys.stderr)
        for tabs, measured in rates.items():
            with fresh_folder() as folder:
                rate, polled = _measured(folder, chosen.count, tabs)
            measured.append(rate)
            durations += polled["durations"]
            problems += polled["problems"]
    print(*problems[:10], sep="\n", file=sys.stderr)
    rows = [
        [f"{tabs or 'no'} tabs", figure(statistics.median(measured)), figure(min(measured))]
        for tabs, measured in rates.items()
    ]
    alone, beside = map(statistics.median, rates.values())
    durations.sort()
    write_section(
        chosen.results,
        "Polling",
        [OURS],
        f"{WRITERS} processes log {chosen.count:,} metrics of 20 names each as fast as they can, "
        "from the first call until the last metric is in the database, while `afnio-tellurio "
        f"serve` answers {TABS} tabs that show a project's table and charts. One process "
        "without a browser sends the requests of all tabs, on the same cores. The median and the "
        f"minimum of {chosen.rounds} rounds, in turn.",
        table(["open", "metrics/s, median", "minimum"], rows),
        f"Meanwhile {len(durations):,} polls were answered: half of them within "
        f"{figure(statistics.median(durations) * 1000)} ms, 99% within "
        f"{figure(durations[len(durations) * 99 // 100] * 1000)} ms.",
        "\n".join([LOST.verdict((1 - beside / alone) * 100), ERRORS.verdict(len(problems))]),
    )


def _measured(folder: Path, count: int, tabs: int) -> tuple[float, dict[str, list[Any]]]:
    """The metrics per second of all writers together, and what the tabs saw meanwhile."""
    polled: dict[str, list[Any]] = {"durations": [], "problems": []}
    with served(environment_of(OURS), folder) as (address, _token):
        variables = variables_of(OURS, folder)
        record = (WORKLOAD, OURS.name, "record")
        every = [start(folder, variables, *record, number, count) for number in range(WRITERS)]
        if tabs:
            every.append(start(folder, variables, TABS_SCRIPT, address, KEY, tabs))
        for process in every:
            tell(process, "go")
        moments = [json.loads(end(process)) for process in every[:WRITERS]]
        if tabs:
            polled = json.loads(end(every[-1]))
    return rate_of(moments, count), polled


def rate_of(moments: list[tuple[float, float]], count: int) -> float:
    """The metrics per second of all writers, from when each began and delivered `count`."""
    seconds = max(end for _, end in moments) - min(begin for begin, _ in moments)
    return len(moments) * count / seconds


def start(folder: Path, variables: dict[str, str], *arguments: object) -> subprocess.Popen[str]:
    """Starts a process, and returns when it is ready to begin."""
    process = subprocess.Popen(
        [python_of(environment_of(OURS)), *map(str, arguments)],
        cwd=folder,
        env=variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def tell(process: subprocess.Popen[str], message: str) -> None:
    """Sends a line to a process."""
    assert process.stdin is not None
    process.stdin.write(f"{message}\n")
    process.stdin.flush()


def end(process: subprocess.Popen[str]) -> str:
    """Closes a process's input, and returns what it printed until its end."""
    out, _ = process.communicate()
    assert process.returncode == 0
    return out


if __name__ == "__main__":
    main()
