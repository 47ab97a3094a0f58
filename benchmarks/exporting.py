"""How long the export command takes for a long run, in each format, and how much memory."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from environments import OURS, environment_with, options
from processes import MAXRSS_UNIT, bytes_below, fresh_folder, run_workload, variables_of
from results import Target, figure, table, write_section

if TYPE_CHECKING:
    from pathlib import Path

FORMATS = ("csv", "jsonl", "parquet")
#: The number of points of the targets.
TARGET_COUNT = 1_000_000
SECONDS = Target("1,000,000 points exported as {}", 10, "s")
MEMORY = Target("peak memory for 1,000,000 points as {}", 200, "MiB")


def main() -> None:
    parser = options(__doc__, rounds=3, peers="none")
    parser.add_argument("--counts", default=[100_000, TARGET_COUNT], type=int, nargs="+")
    chosen = parser.parse_args()
    environment = environment_with("pyarrow")
    rows: list[list[str]] = []
    verdicts: list[str] = []
    for count in chosen.counts:
        with fresh_folder() as folder:
            print(f"logging {count:,} points", file=sys.stderr)
            run_workload(OURS, folder, "whole", count)
            for kind in FORMATS:
                measured = [_export(environment, folder, kind) for _ in range(chosen.rounds)]
                seconds, peak, size = map(statistics.median, zip(*measured, strict=True))
                rows.append([f"{count:,} as {kind}", figure(seconds), figure(peak), figure(size)])
                if count == TARGET_COUNT:
                    for target, value in ((SECONDS, seconds), (MEMORY, peak)):
                        named = Target(target.what.format(kind), target.limit, target.unit)
                        verdicts.append(named.verdict(value))
    write_section(
        chosen.results,
        "Exporting",
        [OURS],
        "`afnio-tellurio export RUN --output FILE` of one run with one metric from the embedded "
        "backend: the whole process, from its start to its end, and its peak memory as the kernel "
        f"reports it. The median of {chosen.rounds} rounds.",
        table(["points", "export, s", "peak memory, MiB", "file, MiB"], rows),
        "\n".join(verdicts),
    )


def _export(environment: Path, folder: Path, kind: str) -> tuple[float, float, float]:
    command = [environment / "bin" / "afnio-tellurio"]
    listed = subprocess.run(
        [*command, "runs", "bench/bench", "--json"],
        env=variables_of(OURS, folder),
        capture_output=True,
        text=True,
        check=True,
    )
    (run,) = json.loads(listed.stdout)
    files = folder / "exported"
    files.mkdir(exist_ok=True)
    output = files / f"points.{kind}"
    before = time.perf_counter()
    process = subprocess.Popen(
        [*command, "export", f"bench/bench/{run['uuid']}", "--output", output],
        env=variables_of(OURS, folder),
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - before
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    size = bytes_below(files) / 2**20
    output.unlink()
    return seconds, usage.ru_maxrss * MAXRSS_UNIT / 2**20, size


if __name__ == "__main__":
    main()
