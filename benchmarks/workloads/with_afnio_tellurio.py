"""afnio-tellurio with its embedded backend."""

from __future__ import annotations

import time
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING

import afnio_tellurio as te

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from workloads import Log


@contextmanager
def recording() -> Generator[Log]:
    with te.init("bench", "bench") as run:

        def log(name: str, value: float, step: int) -> None:
            run.log(name, value, step=step)

        yield log


def log_folder(folder: Path) -> None:
    te.log_artifact(folder, "files", type="dataset")


def log_run(name: str, curves: dict[str, list[float]]) -> None:
    with te.init("bench", "bench", name) as run:
        for metric, values in curves.items():
            for step, value in enumerate(values):
                run.log(metric, value, step=step)


def log_parts(count: int, parts: int) -> list[float]:
    """The seconds of each part of a series of `count` points, until the part is delivered."""
    durations: list[float] = []
    with te.init("bench", "bench") as run:
        for part in range(parts):
            before = time.perf_counter()
            for step in range(part * count // parts, (part + 1) * count // parts):
                run.log("loss", 1 / (step + 1), step=step)
            receipt = run.flush()
            durations.append(time.perf_counter() - before)
            assert receipt.accepted == (part + 1) * count // parts, receipt
    return durations


def read(count: int, is_arrow: int = 0) -> list[float]:
    """The seconds that it takes to read `count` points back, in a list.

    Args:
        count: The number of points.
        is_arrow: 0 for the values as a Python list, 1 for an Arrow table.
    """
    if is_arrow:
        import_module("pyarrow")  # its import is not measured
    run = next(te.runs("bench", "bench"))
    before = time.perf_counter()
    history = run.metrics("loss")
    points = history.to_arrow() if is_arrow else history.values
    seconds = time.perf_counter() - before
    assert len(points) == count
    return [seconds]


def steps() -> list[int]:
    newest = next(te.runs("bench", "bench"))
    return list(te.get_run("bench", "bench", newest.uuid).metrics("loss").steps)
