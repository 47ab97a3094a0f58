"""What a point costs: whole processes over a floor, the sender, log, the server, reading, disk."""

from __future__ import annotations

import json
import sqlite3
import statistics
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from environments import (
    OURS,
    empty_environment,
    environment_of,
    environment_with,
    options,
    python_of,
)
from floor import BATCH, LINE
from log_latency import of_calls
from page import KEY, served
from polling import WRITERS, end, rate_of, start, tell
from processes import WORKLOAD, bytes_below, fresh_folder, run_workload, variables_of
from results import figure, table, write_section

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from environments import Tool

FLOOR = Path(__file__).resolve().parent / "floor.py"
NAMES = 1000
#: The parts of the largest series, each delivered before the next one begins.
PARTS = 10
ON_DISK = "on disk, bytes a point"


class Sizes:
    """How much is logged.

    Args:
        scale: The share of the usual numbers.
    """

    def __init__(self, scale: float) -> None:
        self.small = round(100_000 * scale)
        self.long = round(1_000_000 * scale)
        self.largest = round(10_000_000 * scale)
        self.calls = round(200_000 * scale)
        self.of_writer = round(50_000 * scale)


class Measure(NamedTuple):
    """A row of the table.

    Attributes:
        what: What is measured, with its unit.
        tool: Of which tool.
        metrics: Those of a whole process, whose floor has as many; 0 for anything else.
    """

    what: str
    tool: str = OURS.name
    metrics: int = 0


def main() -> None:
    parser = options(__doc__, rounds=5, peers="none")
    parser.add_argument("--large", action="store_true", help="also a series of 10,000,000 points")
    parser.add_argument(
        "--scale", default=1.0, type=float, help="share of all numbers of metrics, for a trial"
    )
    chosen = parser.parse_args()
    sizes = Sizes(chosen.scale)
    if not sizes.of_writer:
        parser.error(f"--scale is {chosen.scale}; it must be at least 0.0001")
    # All of them before anything is measured: installing keeps the disk busy.
    for tool in chosen.tools:
        environment_of(tool)
    empty_environment()
    environment_with("pyarrow")
    measured: dict[Measure, list[float]] = {}
    for number in range(chosen.rounds):
        for measure, value in of_round(chosen.tools, sizes, is_large=chosen.large):
            print(f"round {number + 1}: {measure.what}: {measure.tool}", file=sys.stderr)
            measured.setdefault(measure, []).append(value)
    write_section(
        chosen.results,
        "Points",
        chosen.tools,
        description(chosen.tools, sizes, chosen.rounds, is_large=chosen.large),
        table(
            ["measure", "tool", "median", "least", "over floor, median", "over floor, least"],
            rows_of(measured),
        ),
    )


def description(tools: Sequence[Tool], sizes: Sizes, rounds: int, *, is_large: bool) -> str:
    """What the table shows, and how it was measured."""
    text = (
        f"The floor is a bare Python process that calls `os.write` with a line of {len(LINE)} "
        f"bytes for each metric, and `executemany` with {BATCH:,} rows in one transaction of "
        f"SQLite (WAL, `synchronous=FULL`) for each {BATCH:,} metrics. A whole process is "
        "measured from its start to its exit, with everything delivered to the tool's storage. "
        "The sender's time is that of its thread on a processor, for "
        f"{sizes.calls:,} metrics. Calls of log are {sizes.calls:,} in a tight loop. {WRITERS} "
        f"processes log {sizes.of_writer:,} metrics each over HTTP to one `afnio-tellurio serve`, "
        "from the first call until the last metric is delivered. "
        f"{sizes.long:,} points of one metric are read in a fresh process from the embedded "
        "backend; on disk they take its database and its write-ahead log, after the process that "
        "logged them has ended. "
    )
    if is_large:
        text += f"A part of {sizes.largest // PARTS:,} points is delivered before the next one. "
    text += (
        f"The median and the least of {rounds} rounds, in which all of these take turns; each "
        "is compared with the median and the least of the floor with as many metrics."
    )
    for tool in tools:
        if tool is not OURS:
            calls, count = min(sizes.calls, tool.most), min(sizes.small, tool.most)
            text += f" {tool.name}: {calls:,} calls, and all files on disk after {count:,} metrics."
    return text


def of_round(
    tools: Sequence[Tool], sizes: Sizes, *, is_large: bool
) -> Iterator[tuple[Measure, float]]:
    """Each value of one round, as soon as it is measured."""
    yield from of_small_processes(tools, sizes.small)
    yield from of_long_process(sizes.long)
    yield from of_names(sizes.small)
    yield from of_sender(sizes.calls)
    for tool in tools:
        yield from of_log(tool, min(sizes.calls, tool.most))
    yield (
        Measure(f"served, {WRITERS} writers over HTTP, metrics/s"),
        rate_of_server(sizes.of_writer),
    )
    if is_large:
        yield from of_largest_series(sizes.largest)


def of_small_processes(tools: Sequence[Tool], count: int) -> Iterator[tuple[Measure, float]]:
    """Whole processes of all tools. A tool that would take too long logs less."""
    for floor_count in sorted({min(count, tool.most) for tool in tools}, reverse=True):
        yield of_floor(floor_count)
    for tool in tools:
        own_count = min(count, tool.most)
        with fresh_folder() as folder:
            ended = run_workload(tool, folder, "whole", own_count)
            size = bytes_below(folder)
            if tool is OURS:
                # It fails unless every metric was delivered.
                run_workload(OURS, folder, "read", own_count)
        yield whole(own_count, tool.name), ended.seconds
        if tool is not OURS:
            yield Measure(ON_DISK, tool.name), size / own_count


def of_long_process(count: int) -> Iterator[tuple[Measure, float]]:
    """A whole process with one long series, its bytes, and reading it."""
    yield of_floor(count)
    with fresh_folder() as folder:
        ended = run_workload(OURS, folder, "whole", count)
        yield whole(count), ended.seconds
        yield Measure(ON_DISK), bytes_of_database(folder) / count
        (seconds,) = run_workload(OURS, folder, "read", count).answer
        yield Measure(f"read {count:,} points as lists, s"), seconds
        environment = environment_with("pyarrow")
        ended = run_workload(OURS, folder, "read", count, 1, environment=environment)
        (seconds,) = ended.answer
        yield Measure(f"read {count:,} points as an Arrow table, s"), seconds


def of_names(count: int) -> Iterator[tuple[Measure, float]]:
    """Whole processes with one name and with many, which do the same otherwise."""
    durations: list[float] = []
    most = min(NAMES, count)
    for names in (1, most):
        with fresh_folder() as folder:
            durations.append(run_workload(OURS, folder, "scale", count, names).seconds)
        over = f"{names:,} names" if names > 1 else "one name"
        what = f"whole process, {count:,} metrics over {over}, s"
        yield Measure(what, metrics=count), durations[-1]
    one, many = durations
    yield Measure(f"whole process, {most:,} names against one name"), many / one


def of_sender(count: int) -> Iterator[tuple[Measure, float]]:
    """The sender's time for each metric."""
    with fresh_folder() as folder:
        (seconds,) = run_workload(OURS, folder, "sender", count).answer
    yield Measure("the sender's processor time a metric, µs"), seconds / count * 1e6


def of_log(tool: Tool, count: int) -> Iterator[tuple[Measure, float]]:
    """How long calls of log take."""
    with fresh_folder() as folder:
        durations = run_workload(tool, folder, "latency", count).answer["durations"]
    figures = of_calls([duration / 1000 for duration in durations])
    for key in ("p50, µs", "p99, µs"):
        yield Measure(f"log, {key}", tool.name), figures[key]


def of_largest_series(count: int) -> Iterator[tuple[Measure, float]]:
    """The rates of the first and the last part of a very long series."""
    with fresh_folder() as folder:
        durations = run_workload(OURS, folder, "parts", count, PARTS).answer
    part = count // PARTS
    rates = [part / durations[0], part / durations[-1]]
    for which, rate in zip(("first", "last"), rates, strict=True):
        yield Measure(f"{which} {part:,} of {count:,} points, points/s"), rate
    yield Measure(f"rate of the last {part:,} points over the first"), rates[1] / rates[0]


def whole(count: int, tool: str = OURS.name) -> Measure:
    return Measure(f"whole process, {count:,} metrics, s", tool, count)


def of_floor(count: int) -> tuple[Measure, float]:
    """How long the floor takes, from the start of its process to the end."""
    python = python_of(empty_environment())
    with fresh_folder() as folder:
        before = time.perf_counter()
        # Without a timeout: a wait with one polls, and is less exact.
        subprocess.run(
            [python, FLOOR, str(count)], cwd=folder, env=variables_of(OURS, folder), check=True
        )
        seconds = time.perf_counter() - before
        assert (folder / "journal").stat().st_size == count * len(LINE)
        with closing(sqlite3.connect(folder / "floor.db")) as database:
            assert database.execute("SELECT count(*) FROM points").fetchone() == (count,)
    return whole(count, "floor"), seconds


def bytes_of_database(folder: Path) -> int:
    """The bytes of the embedded backend's database, with those that wait in its log."""
    database = folder / "tellurio" / "tellurio.db"
    log = database.with_name("tellurio.db-wal")
    return database.stat().st_size + (log.stat().st_size if log.exists() else 0)


def rate_of_server(count: int) -> float:
    """The metrics per second that a server takes from all writers together."""
    with fresh_folder() as folder, served(environment_of(OURS), folder) as (address, _token):
        # Journals and settings apart from the server's.
        home = folder / "writers"
        home.mkdir()
        variables = variables_of(OURS, home) | {
            "TELLURIO_MODE": "online",
            "TELLURIO_BACKEND_HTTP_BASE_URL": address,
            "TELLURIO_API_KEY": KEY,
        }
        record = (WORKLOAD, OURS.name, "record")
        writers = [start(home, variables, *record, number, count) for number in range(WRITERS)]
        for writer in writers:
            tell(writer, "go")
        moments = [json.loads(end(writer)) for writer in writers]
        # Otherwise they have not used HTTP.
        assert not list(home.rglob("*.db"))
    return rate_of(moments, count)


def rows_of(measured: dict[Measure, list[float]]) -> list[list[str]]:
    """The rows of the table: those of one measure together."""
    order = list(dict.fromkeys(measure.what for measure in measured))
    rows: list[list[str]] = []
    for measure in sorted(measured, key=lambda measure: order.index(measure.what)):
        values = measured[measure]
        pair = [statistics.median(values), min(values)]
        ratios = ["", ""]
        if measure.metrics:
            floor = measured[whole(measure.metrics, "floor")]
            floors = [statistics.median(floor), min(floor)]
            ratios = [figure(own / least) for own, least in zip(pair, floors, strict=True)]
        rows.append([measure.what, measure.tool, *map(figure, pair), *ratios])
    return rows


if __name__ == "__main__":
    main()
