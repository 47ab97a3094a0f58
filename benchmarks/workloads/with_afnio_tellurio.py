"""afnio-tellurio with its embedded backend."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import afnio_tellurio as te

if TYPE_CHECKING:
    from collections.abc import Generator

    from workloads import Log


@contextmanager
def recording() -> Generator[Log]:
    with te.init("bench", "bench") as run:

        def log(name: str, value: float, step: int) -> None:
            run.log(name, value, step=step)

        yield log


def read(count: int) -> list[float]:
    """The seconds that it takes to read `count` points back, in a list."""
    run = next(te.runs("bench", "bench"))
    before = time.perf_counter()
    history = run.metrics("loss")
    seconds = time.perf_counter() - before
    assert len(history) == count
    return [seconds]


def steps() -> list[int]:
    newest = next(te.runs("bench", "bench"))
    return list(te.get_run("bench", "bench", newest.uuid).metrics("loss").steps)
