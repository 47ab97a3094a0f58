"""trackio, recording on this machine."""

from __future__ import annotations

from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from workloads import Log

#: Peers are not installed where types are checked.
trackio: Any = import_module("trackio")


@contextmanager
def recording() -> Generator[Log]:
    trackio.init(project="bench", name="bench")

    def log(name: str, value: float, step: int) -> None:
        trackio.log({name: value}, step=step)

    yield log
    trackio.finish()


def log_folder(folder: Path) -> None:
    artifact = trackio.Artifact("files", type="dataset")
    artifact.add_dir(str(folder))
    trackio.log_artifact(artifact)


def log_run(name: str, curves: dict[str, list[float]]) -> None:
    trackio.init(project="bench", name=name)
    for step, values in enumerate(zip(*curves.values(), strict=True)):
        trackio.log(dict(zip(curves, values, strict=True)), step=step)
    trackio.finish()


def steps() -> list[int]:
    storage: Any = import_module("trackio.sqlite_storage").SQLiteStorage
    return [entry["step"] for entry in storage.get_logs("bench", "bench") if "loss" in entry]
