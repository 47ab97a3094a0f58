"""afnio-tellurio with its embedded backend."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import afnio_tellurio as te

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def recording() -> Iterator[Callable[[str, float, int], None]]:
    with te.init("bench", "bench") as run:

        def log(name: str, value: float, step: int) -> None:
            run.log(name, value, step=step)

        yield log


def read(count: int) -> float:
    """The seconds that it takes to read so many back."""
    run = next(te.runs("bench", "bench"))
    before = time.perf_counter()
    found = run.metrics("loss")
    seconds = time.perf_counter() - before
    assert len(found) == count
    return seconds


def steps() -> list[int]:
    newest = next(te.runs("bench", "bench"))
    return list(te.get_run("bench", "bench", newest.uuid).metrics("loss").steps)
