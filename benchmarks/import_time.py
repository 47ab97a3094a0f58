"""How much longer Python takes if it imports the tool."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from environments import OURS, environment_of, options, python_of
from processes import fresh_folder, variables_of
from results import Target, figure, table, write_section

if TYPE_CHECKING:
    from pathlib import Path

    from environments import Tool

TARGET = Target("import over bare Python", 15, "ms")


def main() -> None:
    chosen = options(__doc__, rounds=21).parse_args()
    bare: dict[str, list[float]] = {tool.name: [] for tool in chosen.tools}
    imported: dict[str, list[float]] = {tool.name: [] for tool in chosen.tools}
    for number in range(chosen.rounds + 1):
        for tool in chosen.tools:
            pair = milliseconds(tool, "pass"), milliseconds(tool, f"import {tool.name}")
            # The first round only fills the caches of the file system.
            if number:
                bare[tool.name].append(pair[0])
                imported[tool.name].append(pair[1])
    medians = {
        name: [statistics.median(bare[name]), statistics.median(imported[name])] for name in bare
    }
    write_section(
        chosen.results,
        "Import",
        chosen.tools,
        "`python -c 'import …'` against `python -c pass` in the same environment, fresh processes; "
        f"the medians of {chosen.rounds} rounds, in which the tools take turns.",
        table(
            ["tool", "bare Python, ms", "with the import, ms", "import, ms"],
            [
                [name, figure(python), figure(both), figure(both - python)]
                for name, (python, both) in medians.items()
            ],
        ),
        TARGET.verdict(medians[OURS.name][1] - medians[OURS.name][0]),
    )


def milliseconds(tool: Tool, code: str) -> float:
    """How long a process takes to run one line."""
    command: list[str | Path] = [python_of(environment_of(tool)), "-c", code]
    with fresh_folder() as folder:
        variables = variables_of(tool, folder)
        before = time.perf_counter()
        # Without a timeout: a wait with one polls, and is less exact.
        subprocess.run(command, cwd=folder, env=variables, check=True, stdout=sys.stderr)
        return (time.perf_counter() - before) * 1000


if __name__ == "__main__":
    main()
