"""Runs to look at, and the requests of charts; see `sampling.py` and `page.py`."""

from __future__ import annotations

import json
import math
import os
import time
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

import afnio_tellurio as te
from afnio_tellurio.backend import open_backend
from afnio_tellurio.backend.store import sampling

if TYPE_CHECKING:
    from collections.abc import Generator

PROJECTS = "/api/v0/bench/projects/"
BATCH = 1000
NAMES = 10
JSON = {"Content-Type": "application/json"}


@contextmanager
def backend() -> Generator[httpx.Client]:
    """The embedded backend in process, with the database that the SDK uses."""
    database = Path(os.environ["TELLURIO_HOME"]) / "tellurio.db"
    opened = open_backend(database)
    with httpx.Client(
        base_url="http://embedded", transport=httpx.WSGITransport(app=opened), timeout=60
    ) as client:
        yield client
    opened.close()


def fill(runs: int, names: int, points: int, long: int) -> list[str]:
    """Makes projects: of many finished runs, for live runs, and of a run with a long metric.

    Returns:
        The run with the long metric.
    """
    with backend() as client:
        for project in ("many", "live", "fresh", "long"):
            client.post(PROJECTS, json={"display_name": project}).raise_for_status()
        for number in range(runs):
            path = start(client, "many", f"run_{number}")
            metrics = [
                metric(f"{'train' if name % 2 else 'val'}/metric_{name}", step, number + name)
                for name in range(names)
                for step in range(points)
            ]
            send(client, path, metrics)
            client.patch(path, json={"status": "COMPLETED"}).raise_for_status()
        path = start(client, "long", "long")
        send(client, path, [metric("loss", step, 1) for step in range(long)])
        client.patch(path, json={"status": "COMPLETED"}).raise_for_status()
    return [path.split("/")[-2]]


def grow(runs: int, names: int, seconds: int) -> object:
    """Logs all metrics of some runs of the project `live`, ten times per second."""
    with backend() as client:
        paths = [start(client, "live", f"live_{number}") for number in range(runs)]
    tracked = [te.get_run("bench", "live", path.split("/")[-2]) for path in paths]
    print("ready", flush=True)
    for step in range(10 * seconds):
        for run in tracked:
            for name in range(names):
                run.log(f"train/metric_{name}", 1 / (step + 1))
        time.sleep(0.1)
    return []


def start(client: httpx.Client, project: str, name: str) -> str:
    """Creates a run, and returns its path."""
    runs = f"{PROJECTS}{project}/runs/"
    answer = client.post(runs, json={"name": f"{name}_{uuid.uuid4().hex[:8]}"})
    return f"{runs}{answer.raise_for_status().json()['uuid']}/"


def metric(name: str, step: int, seed: int) -> dict[str, Any]:
    value = math.exp(-step / (50 + seed % 40)) + 0.05 * math.sin(step * (seed % 7 + 1))
    return {"name": name, "value": value, "step": step, "timestamp": moment(step)}


def moment(second: int) -> str:
    day, rest = divmod(second, 86_400)
    hour, rest = divmod(rest, 3600)
    return f"2026-10-{day % 28 + 1:02}T{hour:02}:{rest // 60:02}:{rest % 60:02}Z"


def send(client: httpx.Client, path: str, values: list[dict[str, Any]]) -> None:
    writer = str(uuid.uuid4())
    for first in range(0, len(values), BATCH):
        part = values[first : first + BATCH]
        body = {"writer": writer, "first_sequence_number": first, "metrics": part}
        client.post(f"{path}metrics/batch/", json=body).raise_for_status()


def sample(count: int, buckets: int, repetitions: int) -> object:
    """The milliseconds of each request for a chart of `count` points, and of later polls."""
    durations: dict[str, list[float]] = {"first": [], "unchanged": [], "grown": [], "zoomed": []}
    with backend() as client:
        client.post(PROJECTS, json={"display_name": "long"}).raise_for_status()
        path = start(client, "long", "long")
        send(client, path, [metric("loss", step, 1) for step in range(count)])
        query: dict[str, Any] = {"run": path.split("/")[-2], "name": "loss", "buckets": buckets}

        def ask(part: str, **others: Any) -> Any:
            before = time.perf_counter()
            answer = client.get(f"{PROJECTS}long/metrics/sample/", params=query | others)
            durations[part].append((time.perf_counter() - before) * 1000)
            return answer.raise_for_status().json()

        for repetition in range(repetitions):
            cursor = ask("first")["cursor"]
            ask("zoomed", from_step=count // 2, to_step=count // 2 + count // 50)
            ask("unchanged", cursor=cursor)
            first = count + 100 * repetition
            send(client, path, [metric("loss", step, 1) for step in range(first, first + 100)])
            ask("grown", cursor=cursor)
    return durations


def write(requests: int) -> object:
    """The milliseconds of each recorded batch, with and without keeping the ranges of charts."""
    kept = sampling.keep_tiles
    nothing: Any = keep_nothing
    durations: dict[str, list[float]] = {"with": [], "without": []}
    with backend() as client:
        client.post(PROJECTS, json={"display_name": "writing"}).raise_for_status()
        paths = {way: start(client, "writing", way) for way in durations}
        writer = str(uuid.uuid4())
        for number in range(requests):
            content = batch(writer, number * BATCH)
            # In turn, so that a busy moment of the machine affects both.
            for way, path in paths.items():
                sampling.keep_tiles = kept if way == "with" else nothing
                before = time.perf_counter()
                answer = client.post(f"{path}metrics/batch/", content=content, headers=JSON)
                durations[way].append((time.perf_counter() - before) * 1000)
                answer.raise_for_status()
    sampling.keep_tiles = kept
    return durations


def keep_nothing(*_arguments: object) -> None:
    """Stands for `sampling.keep_tiles`."""


def batch(writer: str, first: int) -> bytes:
    values = [
        metric(f"metric_{number % NAMES}", number // NAMES, number % NAMES)
        for number in range(first, first + BATCH)
    ]
    body = {"writer": writer, "first_sequence_number": first, "metrics": values}
    return json.dumps(body).encode()
