"""mlflow with SQLite; each call returns when the metric is recorded."""

from __future__ import annotations

from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from workloads import Log

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


def steps() -> list[int]:
    client = mlflow.MlflowClient()
    (run,) = client.search_runs(["0"])
    return [metric.step for metric in client.get_metric_history(run.info.run_id, "loss")]
