"""How long people wait for the page, in a real browser: many runs, long runs, live runs."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from environments import OURS, environment_with, options, python_of
from processes import WORKLOAD, fresh_folder, run_workload, variables_of
from results import Target, figure, table, write_section

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = "the-key"
BROWSING = WORKLOAD.parent / "browsing.py"
RUNS, NAMES, POINTS, LONG = 1000, 20, 100, 1_000_000
#: What is measured, in words, and the most that it may be.
ROWS = {
    "projects": ("first view: the projects", 1000, "ms"),
    "table": ("first view: 1,000 runs, with their metrics", 1000, "ms"),
    "grid": ("first view: and the grid, 20 curves of 10 runs", 1500, "ms"),
    "long": ("first view: a run with 1,000,000 points", 1000, "ms"),
    "to the project": ("from the projects to a project's 1,000 runs", 200, "ms"),
    "to a run": ("from there to a run's curves", 200, "ms"),
    "back to the project": ("from there back to the project", 200, "ms"),
    "to the comparison": ("from there to the comparison of 10 runs", 200, "ms"),
    "to the projects": ("from there to the projects", 200, "ms"),
    "script": ("script for a live update of 20 curves of 10 runs", 100, "ms"),
    "script, most": ("and for the slowest of them", 100, "ms"),
    "all work": ("all work of the tab for a live update", None, "ms"),
    "memory, grid": ("memory of a tab with 1,000 runs and the grid", 150, "MiB"),
    "memory, long": ("memory of a tab with 1,000,000 points", 150, "MiB"),
    "memory, live": ("memory of a tab with live curves after 26 s", 150, "MiB"),
}


def main() -> None:
    parser = options(__doc__, rounds=5, peers="none")
    chosen = parser.parse_args()
    environment = environment_with("playwright")
    with fresh_folder() as folder:
        print(f"recording {RUNS * NAMES * POINTS + LONG:,} points", file=sys.stderr)
        *live, long = run_workload(OURS, folder, "fill", RUNS, NAMES, POINTS, LONG).answer
        with _served(environment, folder) as address:
            finished = subprocess.run(
                [python_of(environment), BROWSING, address, KEY, str(chosen.rounds), long, *live],
                env=variables_of(OURS, folder),
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
    measured = json.loads(finished.stdout)
    rows, verdicts = [], []
    for key, (what, limit, unit) in ROWS.items():
        found = [one[key] for one in measured["rounds"]]
        typical = statistics.median(found)
        rows.append([f"{what}, {unit}", figure(typical), figure(max(found))])
        if limit is not None:
            verdicts.append(Target(what, limit, unit).verdict(typical))
    write_section(
        chosen.results,
        "The page",
        [OURS],
        f"`afnio-tellurio serve` and headless Chromium {measured['version']} on the same machine. "
        f"{RUNS:,} runs with {NAMES} metrics of {POINTS} points each, another run with {LONG:,} "
        "points, and ten runs that log all of their metrics ten times a second. A first view is in "
        "a new browser context, from the navigation to the frame that shows it; a switch is from "
        "the click. Memory is the renderer's own, as the browser's task manager has it. The median "
        f"and the worst of {chosen.rounds} rounds.",
        table(["what", "median", "most"], rows),
        "\n".join(verdicts),
    )


@contextmanager
def _served(environment: Path, folder: Path) -> Iterator[str]:
    command = [environment / "bin" / "afnio-tellurio", "serve", "--no-browser", "--port", "0"]
    server = subprocess.Popen(
        [*command, "--namespace", "bench", "--api-key", KEY],
        env=variables_of(OURS, folder),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        yield next(word for word in line.split() if word.startswith("http"))
    finally:
        server.terminate()
        server.communicate()


if __name__ == "__main__":
    main()
