"""A callback for Keras 3."""
# Keras need not be installed where types are checked.
# pyright: reportMissingImports=false, reportUnknownVariableType=false, reportUntypedBaseClass=false
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keras.callbacks import Callback

from afnio_tellurio.integrations.callbacks import RunRecorder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from afnio_tellurio.tracking.run import Run

__all__ = ["TellurioCallback"]


class TellurioCallback(Callback):
    """Logs the metrics of each epoch as `epoch/NAME`, and records the optimizer.

    The run stays open.

    Args:
        run: The run; default the one that is active when the training starts.
        log_batches: Whether to log each batch too, as `batch/NAME`. Batches are counted through all
            epochs and calls of `fit`.
    """

    def __init__(self, run: Run | None = None, *, log_batches: bool = False) -> None:
        super().__init__()
        self._recorder = RunRecorder(run)
        self._log_batches = log_batches
        self._batches = 0

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Records the settings of `fit` and of the optimizer.

        Raises:
            ValueError: There is no run: none was passed, and none is active.
        """
        self._recorder.start()
        settings = {name: self.params.get(name) for name in ("epochs", "steps")}
        optimizer = getattr(self.model, "optimizer", None)
        if optimizer is not None:
            settings["optimizer"] = optimizer.get_config()
        self._recorder.update_config(settings)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Logs the numbers of an epoch."""
        self._log("epoch", logs, epoch)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Logs the numbers of a batch, if that is wanted."""
        if self._log_batches:
            self._log("batch", logs, self._batches)
        self._batches += 1

    def _log(self, group: str, logs: Mapping[str, Any] | None, step: int) -> None:
        named = {f"{group}/{name}": value for name, value in (logs or {}).items()}
        self._recorder.log_numbers(named, step)
