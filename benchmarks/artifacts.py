"""How long it takes to log many small files, and a large one, and what that costs beside."""

from __future__ import annotations

import hashlib
import statistics
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from environments import OURS, Tool, environment_of, options
from page import KEY, served
from processes import WorkloadError, fresh_folder, run_workload
from results import figure, table, write_section

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SMALL_BYTES = 4_000
GIB = 2**30
#: Calls of log, with half a millisecond between them.
CALLS = 4_000


class Measure(NamedTuple):
    """One row of the table."""

    what: str
    tool: str


def main() -> None:
    parser = options(__doc__, rounds=3)
    parser.add_argument("--count", default=10_000, type=int, help="small files")
    parser.add_argument("--bytes", default=GIB, type=int, help="bytes of the large file")
    chosen = parser.parse_args()
    tools = [tool for tool in chosen.tools if tool.name in {OURS.name, *PEERS}]
    for tool in tools:
        environment_of(tool)
    measured: dict[Measure, list[float]] = {}
    for number in range(chosen.rounds):
        for measure, value in of_round(tools, chosen.count, chosen.bytes):
            print(f"round {number + 1}: {measure.what}: {measure.tool}: {value}", file=sys.stderr)
            measured.setdefault(measure, []).append(value)
    mib = chosen.bytes // 2**20
    write_section(
        chosen.results,
        "Artifacts",
        tools,
        f"A process logs a folder with {chosen.count:,} files of {SMALL_BYTES:,} bytes, or a file "
        f"of {mib:,} MiB, as an artifact, with one log before it. Measured are the call, and the "
        "time from its start until the end of the run; and what the process takes of memory above "
        "what it took before. wandb is offline, trackio and mlflow record on this machine, and "
        "none of the three sends anything. Served: the files go over loopback to one "
        f"`afnio-tellurio serve`. The calls of log are {CALLS:,}, half a millisecond apart, alone "
        "and while the large file is logged and uploaded. SHA-256 is that of Python here. Medians "
        f"and least of {chosen.rounds} rounds, in which all take turns.",
        table(
            ["measure", "tool", "median", "least"],
            [
                [what, tool, figure(statistics.median(values)), figure(min(values))]
                for (what, tool), values in measured.items()
            ],
        ),
    )


#: The peers that have artifacts.
PEERS = ("wandb", "mlflow", "trackio")


def of_round(tools: list[Tool], count: int, size: int) -> Iterator[tuple[Measure, float]]:
    """Each value of one round, as soon as it is measured."""
    mib = size // 2**20
    shapes = ((f"{count:,} small files", count, SMALL_BYTES), (f"{mib:,} MiB", 1, size))
    for what, files, bytes_each in shapes:
        for tool in tools:
            with fresh_folder() as folder:
                yield from of_process(tool, folder, what, files, bytes_each)
        with fresh_folder() as folder, served(environment_of(OURS), folder) as (address, _token):
            yield from of_process(served_at(address), folder, what, files, bytes_each)
    with fresh_folder() as folder, served(environment_of(OURS), folder) as (address, _token):
        finished = run_workload(
            served_at(address), folder, "beside", CALLS, size, environment=environment_of(OURS)
        )
        alone, beside = finished.answer
        yield Measure("log p99 alone, us", SERVED), percentile(alone)
        yield Measure("log p99 beside an upload, us", SERVED), percentile(beside)
    yield Measure("SHA-256, MB/s", "python"), rate_of_hash()


SERVED = f"{OURS.name}, served"


def served_at(address: str) -> Tool:
    """Our tool with a server in the place of the embedded backend."""
    variables = OURS.variables | {
        "TELLURIO_MODE": "online",
        "TELLURIO_BACKEND_HTTP_BASE_URL": address,
        "TELLURIO_API_KEY": KEY,
        # Apart from the server's own.
        "TELLURIO_HOME": "{folder}/writer",
    }
    return Tool(OURS.name, variables, OURS.most)


def of_process(
    tool: Tool, folder: Path, what: str, files: int, size: int
) -> Iterator[tuple[Measure, float]]:
    """The call, the whole, and the memory of one process."""
    name = SERVED if tool is not OURS and tool.name == OURS.name else tool.name
    try:
        called, whole, memory = run_workload(
            tool, folder, "files", files, size, environment=_environment_of(tool)
        ).answer
    except WorkloadError as error:
        print(error, file=sys.stderr)
        return
    yield Measure(f"{what}: call, s", name), called
    yield Measure(f"{what}: until the end, s", name), whole
    if files == 1:
        yield Measure(f"{what}: MB/s", name), size / whole / 1e6
    yield Measure(f"{what}: memory above, MiB", name), memory


def _environment_of(tool: Tool) -> Path:
    # Ours with a server has other variables, and the same environment.
    return environment_of(OURS if tool.name == OURS.name else tool)


def percentile(durations: list[int]) -> float:
    """The 99th percentile of nanoseconds, in microseconds."""
    return statistics.quantiles(durations, n=100)[98] / 1000


def rate_of_hash() -> float:
    """The bytes that SHA-256 reads here in a microsecond."""
    data = bytes(2**26)
    before = time.perf_counter()
    hashlib.sha256(data)
    return len(data) / (time.perf_counter() - before) / 1e6


if __name__ == "__main__":
    main()
