"""A callback for studies of Optuna."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from afnio_tellurio.errors import TellurioError
from afnio_tellurio.integrations.callbacks import RunRecorder, plain
from afnio_tellurio.notices import warn_once

if TYPE_CHECKING:
    from afnio_tellurio.tracking.run import Run

__all__ = ["TellurioCallback"]

#: The table of a run with one row for each trial.
_TABLE = "trials"


class TellurioCallback:
    """Logs the trials of a study, for `study.optimize(callbacks=[TellurioCallback()])`.

    Each trial becomes a row of the table `trials`. A completed one also logs `value`, `best_value`,
    and its numeric parameters as `params/NAME`, at the step of its number. If a study has several
    objectives, it logs `values/NAME` or `values/0`, `values/1`, and so on instead. The config of
    the run has the name and the directions of the study in `study`. The run stays open.

    Args:
        run: The run; default the one that is active when the first trial ends.
    """

    def __init__(self, run: Run | None = None) -> None:
        self._recorder = RunRecorder(run)
        self._recorded_studies: set[str] = set()

    def __call__(self, study: Any, trial: Any) -> None:
        """Logs a trial that has ended.

        Raises:
            ValueError: There is no run: none was passed, and none is active.
        """
        if study.study_name not in self._recorded_studies:
            self._recorded_studies.add(study.study_name)
            directions = [direction.name.lower() for direction in study.directions]
            self._recorder.update_config(
                {"study": {"name": study.study_name, "directions": directions}}
            )
        self._recorder.log_numbers(_metrics(study, trial), trial.number)
        try:
            self._recorder.run.log_rows(_TABLE, [_row(trial)], key="number")
        except TellurioError as error:
            warn_once(f"trials are not recorded: {error}")


def _metrics(study: Any, trial: Any) -> dict[str, Any]:
    # The state by its name, without importing Optuna.
    if trial.state.name != "COMPLETE":
        return {}
    metrics = {f"params/{name}": value for name, value in trial.params.items()}
    if len(study.directions) > 1:
        names = study.metric_names or range(len(study.directions))
        values = zip(names, trial.values, strict=False)
        return metrics | {f"values/{name}": value for name, value in values}
    metrics["value"] = trial.values[0]
    try:
        metrics["best_value"] = study.best_value
    except ValueError:  # no trial satisfies the constraints
        return metrics
    return metrics


def _row(trial: Any) -> dict[str, Any]:
    values, duration = trial.values, trial.duration
    row: dict[str, Any] = {"number": trial.number, "state": trial.state.name.lower()}
    if values is not None:
        row |= {"value": values[0]} if len(values) == 1 else {"values": list(values)}
    row["params"] = plain(trial.params)
    row["duration"] = None if duration is None else duration.total_seconds()
    return row
