"""Checkpoints of afnio's `Trainer` as versions of an artifact, the best with the alias `best`."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Literal

from afnio_tellurio.api import artifact_operations as operations
from afnio_tellurio.api.calling import LACKING
from afnio_tellurio.clock import monotonic
from afnio_tellurio.deadlines import within
from afnio_tellurio.errors import ApiError, NotFoundError, TellurioError
from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.notices import warn, warn_once
from afnio_tellurio.tracking.artifact import Artifact
from afnio_tellurio.tracking.artifact_arguments import checked_artifact_name, checked_keep
from afnio_tellurio.tracking.disabled import DisabledRun
from afnio_tellurio.tracking.finding_artifacts import find_artifact
from afnio_tellurio.tracking.reading import source_of
from afnio_tellurio.validation import checked_name, encoded_value

if TYPE_CHECKING:
    from pathlib import Path

    from afnio_tellurio.tracking.run import Run

ARTIFACT_TYPE = "checkpoint"
#: The paths of the files in each version.
FILE, METRICS = "checkpoint.hf", "metrics.json"
#: Seconds that a training waits for the metrics of the best version of earlier runs.
_READING_TIMEOUT = 5.0


class CheckpointArtifact:
    """Logs checkpoints as versions of one artifact, and moves the alias `best`.

    Args:
        name: The name of the artifact.
        monitor: The metric that decides which version is the best.
        mode: Whether its greatest or its least value is the best.
        keep: How many of the newest versions without an alias to keep, or None for all.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: An argument is invalid.
    """

    def __init__(
        self, name: str, monitor: str, mode: Literal["max", "min"], keep: int | None
    ) -> None:
        self._name = checked_artifact_name("Tracker", name)
        self._monitor = checked_name("Tracker", "monitor", monitor)
        if mode not in {"max", "min"}:
            raise ValueError(f"Tracker: mode is {mode!r}; it must be 'max' or 'min'")
        self._sign = 1 if mode == "max" else -1
        self._keep = checked_keep("Tracker", keep)
        self._run: Run | None = None
        self._best = -math.inf
        self._is_supported = True
        # Whether the best version of earlier runs is known.
        self._is_best_known = False

    def log(self, run: Run, file: Path, position: dict[str, int], metrics: dict[str, Any]) -> None:
        """Logs a checkpoint as a version, unless the backend has no artifacts.

        Args:
            run: The run that creates the version.
            file: The checkpoint.
            position: Its epoch and step.
            metrics: The metrics of the epoch.

        Raises:
            OSError: The file cannot be read, or the disk does not take a copy.
            TellurioError: The disk has no room for the copy, or the run is finished.
            TypeError: A metric is not a JSON value.
            ValueError: The metadata is too large.
        """
        if isinstance(run, DisabledRun):
            return
        if run is not self._run:
            self._run, self._best = run, -math.inf
            self._is_supported = self._is_best_known = True
            self._read_best(run)
        if not self._is_supported:
            return
        if self._monitor not in metrics:
            warn_once(
                f"Tracker: no checkpoint becomes {self._name}:best: the epochs have no metric "
                f"{self._monitor!r}; pass one of these as monitor: {', '.join(metrics)}"
            )
        score = self._score(metrics)
        is_best = score > self._best
        artifact = Artifact(self._name, ARTIFACT_TYPE, metadata={**position, **metrics})
        artifact.add_bytes(file.read_bytes(), FILE)
        # Prompts that did not change make the same file, which would be the version of before.
        origin = encoded_value({"run": run.uuid, **position, **metrics}, METRICS)
        artifact.add_text(json.dumps(origin), METRICS)
        # An earlier version may be better, and lose its alias: it must not be deleted.
        keep = self._keep if self._is_best_known else None
        # The alias comes with the version, not after it: no crash comes between them.
        run.log_artifact(artifact, aliases=["best"] if is_best else [], keep=keep)
        if is_best:
            self._best = score

    def _score(self, metrics: dict[str, Any]) -> float:
        """The monitored metric, such that a greater one is better; NaN without a number."""
        try:
            return self._sign * float(metrics[self._monitor])
        except (KeyError, TypeError, ValueError):
            return math.nan

    def _read_best(self, run: Run) -> None:
        """Reads how good the best version is that another run, or another process, has logged."""
        try:
            with within(monotonic() + _READING_TIMEOUT):
                best = self._find_best(run)
        except TellurioError as error:
            raise_foreign(error)
            if isinstance(error, ApiError) and error.status_code in LACKING:
                self._is_supported = False
                warn(
                    "Tracker: the backend does not support artifacts, so checkpoints are only "
                    f"where the Trainer saves them ({error})"
                )
            else:
                self._is_best_known = False
                warn(
                    f"Tracker: {self._name}:best could not be read; it will name the best "
                    "checkpoint of this run, even if an earlier one is better, and this run "
                    f"deletes no versions ({error})"
                )
            return
        if best is not None:
            score = self._score(best.metadata)
            self._best = self._best if math.isnan(score) else score

    def _find_best(self, run: Run) -> Artifact | None:
        connection, path = source_of(run, None)
        project = operations.ProjectPath(*path[:2])
        try:
            return find_artifact(connection, "Tracker", f"{self._name}:best", project)
        except NotFoundError:
            # It is the first one. Or the backend has no artifacts, and refuses this too.
            operations.list_artifacts(connection, project, type=ARTIFACT_TYPE)
            return None
