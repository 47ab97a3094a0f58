"""How long the embedded backend takes to filter, sort, and tabulate runs."""

from __future__ import annotations

import statistics
import sys
import time
from random import Random
from typing import Any

from charts import PROJECTS, backend, send
from environments import OURS, options
from processes import fresh_folder, run_workload
from results import Target, figure, table, write_section

#: The runs of the table, and those that are filtered.
TABULATED, FILTERED = 1_000, 100_000
CONFIGS, METRICS = 50, 20
#: Filters that no run matches have to test every run.
QUERIES: dict[str, dict[str, Any]] = {
    "status = RUNNING": {},
    "config.optim.lr < 1e-9": {},
    'metric("metric-1").max > 2': {},
    '"baseline" in tags and config.optim.lr > 2': {},
    'name ~ "^brave_.*_x[0-9]+$"': {},
    "created < 2000-01-01": {},
    "status = COMPLETED": {},
    'config.optim.lr < 0.5 and metric("metric-1").max > 0.5': {},
    "uuid != null": {"sort": '-metric("metric-1").max'},
    "duration < 1d": {"sort": "config.optim.lr"},
}
TABLE_TARGET = Target(f"a table of {TABULATED:,} runs", 100, "ms")
FILTER_TARGET = Target(f"a filter over {FILTERED:,} runs, the slowest", 300, "ms")


def main() -> None:
    parser = options(__doc__, rounds=1, peers="none")
    parser.add_argument("--count", default=FILTERED, type=int, help="runs to filter")
    parser.add_argument("--repetitions", default=5, type=int, help="default: %(default)s")
    chosen = parser.parse_args()
    answers: list[dict[str, list[float]]] = []
    for number in range(chosen.rounds):
        print(f"round {number + 1}", file=sys.stderr)
        with fresh_folder() as folder:
            answers.append(run_workload(OURS, folder, "query", TABULATED, 0).answer)
        with fresh_folder() as folder:
            ended = run_workload(OURS, folder, "query", chosen.count, chosen.repetitions)
            answers[-1] |= {what: each for what, each in ended.answer.items() if what != "table"}
    medians = {
        what: statistics.median(value for answer in answers for value in answer[what])
        for what in answers[0]
    }
    filters = [what for what in medians if what != "table" and "sorted" not in what]
    write_section(
        chosen.results,
        "Filters",
        [OURS],
        f"`tabulateRuns` of {TABULATED:,} runs with {CONFIGS} values in the config and {METRICS} "
        f"metrics, and `listRuns` with a filter over {chosen.count:,} runs with as many values and "
        "two metrics, for the first 100 that match: in process, the whole request with its JSON. "
        f"The median of {chosen.repetitions} requests in each of {chosen.rounds} rounds.",
        table(
            ["request", "median, ms"],
            [[f"`{what}`", figure(value)] for what, value in medians.items()],
        ),
        TABLE_TARGET.verdict(medians["table"]),
        FILTER_TARGET.verdict(max(medians[what] for what in filters)),
    )


def query(count: int, repetitions: int) -> object:
    """The milliseconds of requests for `count` runs; without repetitions, of the table alone."""
    random = Random(1)
    metrics = METRICS if repetitions == 0 else 2
    durations: dict[str, list[float]] = {}
    with backend() as client:
        client.post(PROJECTS, json={"display_name": "runs"}).raise_for_status()
        path = f"{PROJECTS}runs/"

        def ask(what: str, address: str, **parameters: Any) -> None:
            before = time.perf_counter()
            client.get(path + address, params=parameters).raise_for_status()
            durations.setdefault(what, []).append((time.perf_counter() - before) * 1000)

        for number in range(count):
            body = {
                "name": f"brave_pasta_{number}",
                "status": random.choice(["COMPLETED", "CRASHED"]),
                "config": config_of(random),
                "tags": ["baseline"] if number % 10 == 0 else [],
            }
            run = client.post(f"{path}runs/", json=body).raise_for_status().json()["uuid"]
            values = [
                {"name": f"metric-{each}", "value": random.random(), "step": 0}
                for each in range(metrics)
            ]
            send(client, f"{path}runs/{run}/", values)
        for _ in range(repetitions or 20):
            if repetitions == 0:
                ask("table", "table/", limit=count)
                continue
            for where, others in QUERIES.items():
                what = f"{where}, sorted by {others['sort']}" if others else where
                ask(what, "runs/", where=where, limit=100, **others)
    return durations


def config_of(random: Random) -> dict[str, Any]:
    """A config with 50 values."""
    model = {f"size_{number}": random.random() for number in range(CONFIGS - 20)}
    others = {f"option_{number}": random.choice(["a", "b", 1, 2.5]) for number in range(18)}
    return {"optim": {"lr": random.random(), "name": "adam"}, "model": model, **others}


if __name__ == "__main__":
    main()
