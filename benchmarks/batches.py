"""Batch requests to the embedded backend, and the time of their validation; see `validation.py`."""
# ruff: noqa: SLF001 - the measured functions are private

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import msgspec

from afnio_tellurio.backend import metrics, open_backend
from afnio_tellurio.backend.requests import BackendUser, Body, Call

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

PROJECTS = "/api/v0/acme/projects/"
SERVE = "import sys; from afnio_tellurio.cli import main; sys.exit(main())"
NAMES = 10
JSON = {"Content-Type": "application/json"}
#: Without types, which hide private functions.
INSIDE: Any = metrics


def requests(count: int, repetitions: int, over_http: int) -> object:
    """The nanoseconds of each whole request, of validating its body, and of decoding it alone."""
    writer = str(uuid.uuid4())
    bodies = [batch(writer, number * count, count) for number in range(repetitions)]
    decode = msgspec.json.Decoder().decode
    with served() if over_http else in_process() as client:
        client.post(PROJECTS, json={"display_name": "Bench"}).raise_for_status()
        runs = f"{PROJECTS}bench/runs/"
        path = (
            f"{runs}{client.post(runs, json={}).raise_for_status().json()['uuid']}/metrics/batch/"
        )

        def post(body: bytes) -> None:
            answer = client.post(path, content=body, headers=JSON)
            assert answer.json()["accepted"] == count, answer.text

        # In turn, so that a busy moment of the machine affects all of them.
        durations: dict[str, list[int]] = {"whole": [], "validation": [], "parsing": []}
        for body in bodies:
            for part, work in (("whole", post), ("validation", validate), ("parsing", decode)):
                durations[part].append(duration(work, body))
    return durations


def batch(writer: str, first: int, count: int) -> bytes:
    """A body as the sender makes it."""
    metrics = [
        {
            "name": f"train/metric_{number % NAMES}",
            "value": 1 / (first + number + 1),
            "step": (first + number) // NAMES,
            "timestamp": "2026-11-23T10:15:30.123456Z",
        }
        for number in range(count)
    ]
    text = json.dumps({"writer": writer, "first_sequence_number": first, "metrics": metrics})
    return text.encode()


def validate(body: bytes) -> None:
    """Does what `metrics.log_metric_batch` does with a body before it opens the database."""
    unused: Any = None
    call = Call(
        database=unused,
        pace=unused,
        user=BackendUser("ada", "ada@example.com"),
        any_namespace=True,
        path={},
        query=[],
        headers={},
        body=Body("application/json", body),
    )
    INSIDE._stored_all(call.decode_body(INSIDE._metric_batch).metrics)


def duration(work: Callable[[bytes], object], body: bytes) -> int:
    before = time.perf_counter_ns()
    work(body)
    return time.perf_counter_ns() - before


@contextmanager
def in_process() -> Generator[httpx.Client]:
    backend = open_backend(Path("tellurio.db"))
    transport = httpx.WSGITransport(app=backend)
    with httpx.Client(base_url="http://embedded", transport=transport) as client:
        yield client
    backend.close()


@contextmanager
def served() -> Generator[httpx.Client]:
    command = [sys.executable, "-c", SERVE, "serve", "--port", "0"]
    command += ["--namespace", "acme", "--api-key", "the-key"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = next(word for word in server.stdout.readline().split() if word.startswith("http"))
        headers = {"Authorization": "Api-Key the-key"}
        with httpx.Client(base_url=url, headers=headers) as client:
            yield client
    finally:
        server.terminate()
        server.communicate()
