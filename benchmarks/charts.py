"""Runs to look at, and what charts ask of the embedded backend; see `sampling.py`, `page.py`."""

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
    from collections.abc import Iterator

PROJECTS = "/api/v0/bench/projects/"
BATCH = 1000
NAMES = 10
JSON = {"Content-Type": "application/json"}


@contextmanager
def backend() -> Iterator[httpx.Client]:
    """The embedded backend in process, at the place where the SDK has it."""
    database = Path(os.environ["TELLURIO_HOME"]) / "tellurio.db"
    opened = open_backend(database)
    with httpx.Client(
        base_url="http://embedded", transport=httpx.WSGITransport(app=opened), timeout=60
    ) as client:
        yield client
    opened.close()


def fill(runs: int, names: int, points: int, long: int) -> list[str]:
    """A project of many finished runs, one to be live, and one of a run with a long metric.

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
    """Logs all metrics of some runs of the project `live`, ten times a second."""
    with backend() as client:
        paths = [start(client, "live", f"live_{number}") for number in range(runs)]
    found = [te.get_run("bench", "live", path.split("/")[-2]) for path in paths]
    print("ready", flush=True)
    for step in range(10 * seconds):
        for run in found:
            for name in range(names):
                run.log(f"train/metric_{name}", 1 / (step + 1))
        time.sleep(0.1)
    return []


def start(client: httpx.Client, project: str, name: str) -> str:
    """The path of a new run."""
    runs = f"{PROJECTS}{project}/runs/"
    made = (
        client.post(runs, json={"name": f"{name}_{uuid.uuid4().hex[:8]}"}).raise_for_status().json()
    )
    return f"{runs}{made['uuid']}/"


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
    """The milliseconds of each request for a chart of so many points, and of the polls after it."""
    found: dict[str, list[float]] = {"first": [], "unchanged": [], "grown": [], "zoomed": []}
    with backend() as client:
        client.post(PROJECTS, json={"display_name": "long"}).raise_for_status()
        path = start(client, "long", "long")
        send(client, path, [metric("loss", step, 1) for step in range(count)])
        asked = {"run": path.split("/")[-2], "name": "loss", "buckets": buckets}

        def ask(part: str, **others: Any) -> Any:
            before = time.perf_counter()
            answer = client.get(f"{PROJECTS}long/metrics/sample/", params=asked | others)
            found[part].append((time.perf_counter() - before) * 1000)
            return answer.raise_for_status().json()

        for repetition in range(repetitions):
            cursor = ask("first")["cursor"]
            ask("zoomed", from_step=count // 2, to_step=count // 2 + count // 50)
            ask("unchanged", cursor=cursor)
            first = count + 100 * repetition
            send(client, path, [metric("loss", step, 1) for step in range(first, first + 100)])
            ask("grown", cursor=cursor)
    return found


def write(requests: int) -> object:
    """The milliseconds of each batch that is recorded, with what charts are made of and without."""
    kept = sampling.keep_tiles
    found: dict[str, list[float]] = {"with": [], "without": []}
    with backend() as client:
        client.post(PROJECTS, json={"display_name": "writing"}).raise_for_status()
        paths = {way: start(client, "writing", way) for way in found}
        writer = str(uuid.uuid4())
        for number in range(requests):
            content = batch(writer, number * BATCH)
            # In turn, so that a busy moment of the machine falls on both.
            for way, path in paths.items():
                sampling.keep_tiles = kept if way == "with" else lambda *_: None
                before = time.perf_counter()
                answer = client.post(f"{path}metrics/batch/", content=content, headers=JSON)
                found[way].append((time.perf_counter() - before) * 1000)
                answer.raise_for_status()
    sampling.keep_tiles = kept
    return found


def batch(writer: str, first: int) -> bytes:
    values = [
        metric(f"metric_{number % NAMES}", number // NAMES, number % NAMES)
        for number in range(first, first + BATCH)
    ]
    body = {"writer": writer, "first_sequence_number": first, "metrics": values}
    return json.dumps(body).encode()
