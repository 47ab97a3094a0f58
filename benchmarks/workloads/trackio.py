"""trackio, recording on this machine."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import trackio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def recording() -> Iterator[Callable[[str, float, int], None]]:
    trackio.init(project="bench", name="bench")

    def log(name: str, value: float, step: int) -> None:
        trackio.log({name: value}, step=step)

    yield log
    trackio.finish()


def steps() -> list[int]:
    from trackio.sqlite_storage import SQLiteStorage

    return [entry["step"] for entry in SQLiteStorage.get_logs("bench", "bench") if "loss" in entry]
