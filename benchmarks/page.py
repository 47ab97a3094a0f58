"""How long people wait for the page, in a real browser: many runs, long runs, live runs."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from browser import memory_of_tab
from environments import OURS, environment_of, environment_with, options, python_of
from processes import WORKLOAD, fresh_folder, run_workload, variables_of
from results import Target, figure, table, write_section

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

KEY = "the-key"
BROWSING = WORKLOAD.parent / "browsing.py"
RUNS, NAMES, POINTS, LONG = 1000, 20, 100, 1_000_000
LIVE_RUNS = 10
#: Seconds that live runs log at most, and those after which memory is measured.
LIVE_SECONDS = 180
SETTLED = [10]
GROWN = [20, 40, 60, 80, 100, 120]
#: 150 MB.
MEMORY = 143
#: What is measured, its limit and unit.
ROWS = {
    "projects": ("first view: the projects", 1000, "ms"),
    "table": ("first view: 1,000 runs, with their metrics", 1000, "ms"),
    "grid": ("first view: with the grid, 20 curves of 10 runs", 1500, "ms"),
    "long": ("first view: a run with 1,000,000 points", 1000, "ms"),
    "to the project": ("from the projects to a project's 1,000 runs", 200, "ms"),
    "to a run": ("from there to a run's curves", 200, "ms"),
    "back to the project": ("from there back to the project", 200, "ms"),
    "to the comparison": ("from there to the comparison of 10 runs", 200, "ms"),
    "to the projects": ("from there to the projects", 200, "ms"),
    "appearance": ("from logging a point to seeing it, the longest of ten", 3000, "ms"),
    "script": ("script for a live update of 20 curves of 10 runs", 100, "ms"),
    "script, maximum": ("the same, the slowest of ten", 100, "ms"),
    "all work": ("all work of the tab for a live update", None, "ms"),
    "memory, grid": ("memory of a tab with 1,000 runs and the grid", MEMORY, "MiB"),
    "memory, long": ("memory of a tab with 1,000,000 points", MEMORY, "MiB"),
    "memory, live": ("memory of a tab with live curves, for two minutes", MEMORY, "MiB"),
}


def main() -> None:
    parser = options(__doc__, rounds=3, peers="none")
    parser.add_argument("--metrics", default=NAMES, type=int, help="of each of the 1,000 runs")
    parser.add_argument("--points", default=POINTS, type=int, help="of each metric")
    chosen = parser.parse_args()
    names, points = chosen.metrics, chosen.points
    environment = environment_with("playwright")
    version = ""
    measured: dict[str, list[float]] = {key: [] for key in ROWS}
    with fresh_folder() as folder:
        print(f"recording {RUNS * names * points + LONG:,} points", file=sys.stderr)
        (long,) = run_workload(OURS, folder, "fill", RUNS, names, points, LONG).answer
        for number in range(chosen.rounds):
            print(f"round {number + 1}", file=sys.stderr)
            browsed = _browse(environment, folder, "views", long)
            version = browsed["version"]
            with _live(folder):
                live = _browse(environment, folder, "updates", long)
            for key, value in (browsed["durations"] | live["durations"]).items():
                measured[key].append(value)
            measured["memory, grid"] += _memory(environment, folder, "many/", SETTLED)
            measured["memory, long"] += _memory(environment, folder, f"long/runs/{long}/", SETTLED)
            with _live(folder):
                measured["memory, live"] += _memory(environment, folder, "live/", GROWN)
    rows: list[list[str]] = []
    verdicts: list[str] = []
    for key, (label, limit, unit) in ROWS.items():
        typical = statistics.median(measured[key])
        rows.append([f"{label}, {unit}", figure(typical), figure(max(measured[key]))])
        if limit is not None:
            verdicts.append(Target(label, limit, unit).verdict(typical))
    write_section(
        chosen.results,
        "The page" if names == NAMES else f"The page with {names} metrics",
        [OURS],
        f"`afnio-tellurio serve` and headless Chromium {version} on the same machine. "
        f"{RUNS:,} runs with {names} metrics of {points} points each, another run with {LONG:,} "
        f"points, and {LIVE_RUNS} runs that log {NAMES} metrics ten times a second. A first "
        "view is in a new browser context, from the navigation to the frame that shows it; a "
        "switch is from the click. Memory is the renderer's own, as the browser's task manager "
        "shows it, in a browser without automation. The median and the maximum of "
        f"{chosen.rounds} rounds.",
        table(["measure", "median", "maximum"], rows),
        "\n".join(verdicts),
    )


def _browse(environment: Path, folder: Path, part: str, long: str) -> Any:
    with served(environment, folder) as (address, _token):
        finished = subprocess.run(
            [python_of(environment), BROWSING, part, address, KEY, long],
            env=variables_of(OURS, folder),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    return json.loads(finished.stdout)


def _memory(environment: Path, folder: Path, path: str, moments: list[int]) -> list[float]:
    with served(environment, folder) as (address, token), fresh_folder() as profile:
        return memory_of_tab(f"{address}/bench/projects/{path}#token={token}", profile, moments)


@contextmanager
def _live(folder: Path) -> Generator[None]:
    """Runs that log all the time, in their own process."""
    arguments = ["grow", *map(str, [LIVE_RUNS, NAMES, LIVE_SECONDS])]
    process = subprocess.Popen(
        [python_of(environment_of(OURS)), WORKLOAD, OURS.name, *arguments],
        env=variables_of(OURS, folder),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield
    finally:
        process.terminate()
        process.communicate()


@contextmanager
def served(environment: Path, folder: Path) -> Generator[tuple[str, str]]:
    """The address of the page, and the token that signs in."""
    command = [str(environment / "bin" / "afnio-tellurio"), "serve", "--no-browser"]
    server = subprocess.Popen(
        [*command, "--port", "0", "--namespace", "bench", "--api-key", KEY],
        env=variables_of(OURS, folder),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        line = next(line for line in server.stdout if "#token=" in line)
        address, _, token = line.split()[-1].partition("/#token=")
        yield address, token
    finally:
        server.terminate()
        server.communicate()


if __name__ == "__main__":
    main()
