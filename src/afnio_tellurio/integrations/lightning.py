"""A logger for Lightning: its `Trainer` logs to a run.

It works with the packages `lightning` and `pytorch_lightning`.
"""
# Lightning need not be installed where types are checked.
# pyright: reportMissingImports=false, reportUnknownVariableType=false, reportUntypedBaseClass=false
# pyright: reportUnknownMemberType=false, reportUntypedFunctionDecorator=false

from __future__ import annotations

import inspect
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from afnio_tellurio.api.entities import RunStatus
from afnio_tellurio.integrations.callbacks import RunRecorder
from afnio_tellurio.tracking.functions import init
from afnio_tellurio.tracking.safeguard import end, outcome_of
from afnio_tellurio.tracking.statuses import ENDED

if find_spec("lightning") is not None:
    from lightning.pytorch.loggers.logger import Logger, rank_zero_experiment
    from lightning.pytorch.utilities import rank_zero_only
else:
    from pytorch_lightning.loggers.logger import Logger, rank_zero_experiment
    from pytorch_lightning.utilities import rank_zero_only

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping

    from afnio_tellurio.tracking.run import Run

__all__ = ["TellurioLogger"]

_SUCCESSES = ("success", "finished")
#: The arguments of `init` that find a run again.
_IDENTITY = ("namespace_slug", "project_display_name", "client", "key")


class TellurioLogger(Logger):
    """Logs the metrics and hyperparameters of a Lightning `Trainer` to a run.

    Only the process of rank zero logs. A run that the logger starts ends with `fit`, `test`, or
    whatever starts it, and is resumed by the next one; a run of yours stays open.

    Args:
        run: The run; default the one that is active at the start of each training, unless the
            logger is to start a run.
        new_run: The arguments of `init`, by name. With them, the logger starts a run when it is
            first used.

    Raises:
        TypeError: `init` has no such argument, requires another one, or a run is passed too.
    """

    def __init__(self, run: Run | None = None, **new_run: Any) -> None:
        super().__init__()
        if new_run:
            if run is not None:
                raise TypeError("TellurioLogger: pass a run, or arguments of init to start one")
            inspect.signature(init).bind(**new_run)
        self._new_run = new_run
        self._started: Run | None = None
        self._recorder = RunRecorder(run)

    @property
    @rank_zero_experiment
    def experiment(self) -> Run:
        """The run.

        Raises:
            ValueError: There is no run: none was passed, and none is active.
        """
        return self._started or self._open().run

    @property
    def name(self) -> str | None:
        """The slug of the run's project, or `None` in processes of other ranks."""
        if rank_zero_only.rank > 0:
            return None
        project = (self._started or self._open().run).project
        return None if project is None else project.slug

    @property
    def version(self) -> str | None:
        """The name of the run, or `None` in processes of other ranks."""
        if rank_zero_only.rank > 0:
            return None
        return (self._started or self._open().run).name

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Logs the metrics that are numbers."""
        self._open().log_numbers(metrics, step)

    @rank_zero_only
    def log_hyperparams(
        self, params: Mapping[str, Any] | Namespace | None, *_args: Any, **_keywords: Any
    ) -> None:
        """Merges the hyperparameters into the config of the run."""
        self._start()
        if params is not None:
            self._recorder.update_config(params)

    @rank_zero_only
    def log_graph(self, *_args: Any, **_keywords: Any) -> None:
        """Finds the run of the training that starts: `Trainer` calls this at each start."""
        self._start()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Ends the run if the logger started it; the exception of the training is its reason."""
        run = self._started
        if run is None:
            return
        error = sys.exception()
        if status in _SUCCESSES:
            end(run, RunStatus.COMPLETED, None)
        elif error is not None:
            end(run, *outcome_of(error))
        else:
            end(run, RunStatus.FAILED, None)

    def _start(self) -> None:
        recorder = self._open()
        if not self._new_run:
            recorder.start()

    def _open(self) -> RunRecorder:
        """Starts a run, or resumes the one that the logger has started and ended."""
        started = self._started
        if self._new_run and (started is None or started.status in ENDED):
            arguments = self._new_run
            if started is not None:
                arguments = {name: arguments[name] for name in _IDENTITY if name in arguments}
                arguments |= {"name": started.name, "resume": "allow"}
            self._started = init(**arguments)
            self._recorder = RunRecorder(self._started)
        return self._recorder
