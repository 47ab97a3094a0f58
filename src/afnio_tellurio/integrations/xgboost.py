"""A callback for XGBoost."""
# XGBoost need not be installed where types are checked.
# pyright: reportMissingImports=false, reportUnknownVariableType=false, reportUntypedBaseClass=false
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from xgboost import Booster
from xgboost.callback import TrainingCallback

from afnio_tellurio.integrations.callbacks import RunRecorder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from afnio_tellurio.tracking.run import Run

__all__ = ["TellurioCallback"]


class TellurioCallback(TrainingCallback):
    """Logs the metrics of each boosting round as `DATA/METRIC`, and records the parameters.

    For `xgboost.cv`, it logs the mean, and the standard deviation as `DATA/METRIC_std`. A training
    that continues with a model continues its steps. The run stays open.

    Args:
        run: The run; default the one that is active when the training starts.
    """

    def __init__(self, run: Run | None = None) -> None:
        super().__init__()
        self._recorder = RunRecorder(run)
        self._first_round = 0

    def before_training(self, model: Any) -> Any:
        """Records the parameters of the model.

        Raises:
            ValueError: There is no run: none was passed, and none is active.
        """
        self._recorder.start()
        self._first_round = 0
        if isinstance(model, Booster):
            self._first_round = model.num_boosted_rounds()
            self._recorder.update_config(_with_numbers(json.loads(model.save_config())))
        return model

    def after_iteration(
        self, model: Any, epoch: int, evals_log: Mapping[str, Mapping[str, Sequence[Any]]]
    ) -> bool:
        """Logs the metrics of a round; returns False, so that the training goes on."""
        del model
        numbers: dict[str, Any] = {}
        for data, metrics in evals_log.items():
            for metric, values in metrics.items():
                latest = values[-1]
                # Cross-validation has a mean and a deviation.
                mean, deviation = latest if isinstance(latest, tuple) else (latest, None)
                numbers[f"{data}/{metric}"] = mean
                numbers[f"{data}/{metric}_std"] = deviation
        self._recorder.log_numbers(
            {name: number for name, number in numbers.items() if number is not None},
            self._first_round + epoch,
        )
        return False

    def after_training(self, model: Any) -> Any:
        """Records the best round, if early stopping has found one."""
        if isinstance(model, Booster):
            best = {name: model.attr(name) for name in ("best_iteration", "best_score")}
            found = {name: _with_numbers(text) for name, text in best.items() if text is not None}
            self._recorder.update_config(found)
        return model


def _with_numbers(value: Any) -> Any:
    """The parameters of XGBoost, in which numbers are strings, with numbers."""
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return {name: _with_numbers(item) for name, item in fields.items()}
    if isinstance(value, list):
        return [_with_numbers(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, str):
        for convert in (int, float):
            try:
                return convert(value)
            except ValueError:
                continue
    return value
