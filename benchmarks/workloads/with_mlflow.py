"""mlflow with SQLite; each call returns when the metric is recorded."""

from __future__ import annotations

import time
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from workloads import Log

#: The most metrics that it takes in one call.
BATCH = 1000
#: Peers are not installed where types are checked.
mlflow: Any = import_module("mlflow")


@contextmanager
def recording() -> Generator[Log]:
    with mlflow.start_run():

        def log(name: str, value: float, step: int) -> None:
            mlflow.log_metric(name, value, step=step)

        yield log


def log_folder(folder: Path) -> None:
    mlflow.log_artifacts(str(folder))


def log_run(name: str, curves: dict[str, list[float]]) -> None:
    client = mlflow.MlflowClient()
    now = time.time_ns() // 10**6
    # With a call for each metric, this would take minutes.
    metrics = [
        mlflow.entities.Metric(metric, value, now + step, step)
        for metric, values in curves.items()
        for step, value in enumerate(values)
    ]
    with mlflow.start_run(run_name=name) as run:
        for first in range(0, len(metrics), BATCH):
            client.log_batch(run.info.run_id, metrics=metrics[first : first + BATCH])


def steps() -> list[int]:
    client = mlflow.MlflowClient()
    (run,) = client.search_runs(["0"])
    return [metric.step for metric in client.get_metric_history(run.info.run_id, "loss")]
