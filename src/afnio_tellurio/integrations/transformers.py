"""A callback for the `Trainer` of Hugging Face transformers."""
# transformers need not be installed where types are checked.
# pyright: reportMissingImports=false, reportUnknownVariableType=false, reportUntypedBaseClass=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from afnio_tellurio.integrations.callbacks import RunRecorder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from afnio_tellurio.tracking.run import Run

__all__ = ["TellurioCallback"]

_PHASES = ("eval_", "test_")


class TellurioCallback(TrainerCallback):
    """Logs what a `Trainer` logs, at its global step, and records its arguments.

    Metrics are named as other trackers name them, such as `train/loss` and `eval/loss`. The config
    of the run has the training arguments in `args`, and the config of the model in `model`. Only
    the process of rank zero logs. The run stays open.

    Args:
        run: The run; default the one that is active when the training starts.
    """

    def __init__(self, run: Run | None = None) -> None:
        super().__init__()
        self._recorder = RunRecorder(run)

    def on_train_begin(self, args: Any, state: Any, control: Any, **objects: Any) -> None:  # noqa: ARG002
        """Records the training arguments and the config of the model.

        Raises:
            ValueError: There is no run: none was passed, and none is active.
        """
        if not state.is_world_process_zero:
            return
        self._recorder.start()
        # Marks stand in the place of tokens.
        settings = {
            name: value for name, value in args.to_dict().items() if not name.endswith("_token")
        }
        config: dict[str, Any] = {"args": settings}
        model_config: Any = getattr(objects.get("model"), "config", None)
        if hasattr(model_config, "to_dict"):
            model_config = model_config.to_dict()
        if isinstance(model_config, dict):
            config["model"] = model_config
        self._recorder.update_config(config)

    def on_log(
        self,
        args: Any,  # noqa: ARG002
        state: Any,
        control: Any,  # noqa: ARG002
        logs: Mapping[str, Any] | None = None,
        **_objects: Any,
    ) -> None:
        """Logs the numbers."""
        if state.is_world_process_zero and logs:
            named = {_metric_name(name): value for name, value in logs.items()}
            self._recorder.log_numbers(named, state.global_step)


def _metric_name(name: str) -> str:
    for phase in _PHASES:
        if name.startswith(phase):
            return f"{phase.removesuffix('_')}/{name.removeprefix(phase)}"
    return f"train/{name}"
