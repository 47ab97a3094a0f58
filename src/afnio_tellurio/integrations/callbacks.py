"""What the callbacks of frameworks do alike: record to a run, and never stop a training."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from afnio_tellurio.errors import TellurioError
from afnio_tellurio.notices import warn_once
from afnio_tellurio.special_numbers import SPECIAL_NUMBERS
from afnio_tellurio.tracking.configuration import checked_config
from afnio_tellurio.tracking.functions import get_active_run
from afnio_tellurio.validation import UnfitError, checked_name, encoded_scalar

if TYPE_CHECKING:
    from afnio_tellurio.tracking.run import Run

#: The levels of a config in which single values are replaced.
_MAX_DEPTH = 8


class RunRecorder:
    """Records what a framework reports.

    Values that a run refuses are skipped or converted. A run that has ended, or cannot record, is
    reported once.

    Args:
        run: The run; default the one that is active at the start of a training.
    """

    def __init__(self, run: Run | None) -> None:
        self._is_given = run is not None
        self._run = run

    def start(self) -> Run:
        """Finds the run of the training that starts.

        Raises:
            ValueError: There is no run: none was passed, and none is active.
        """
        if not self._is_given:
            self._run = get_active_run()
        return self.run

    @property
    def run(self) -> Run:
        """The run that it records to."""
        return self.start() if self._run is None else self._run

    def log_numbers(self, metrics: Mapping[Any, Any], step: Any = None) -> None:
        """Logs the metrics whose values are numbers."""
        run, numbers = self.run, numbers_of(metrics)
        if not numbers:
            return
        try:
            run.log_metrics(numbers, _as_step(step))
        except TellurioError as error:
            warn_once(f"metrics of the training are not recorded: {error}")

    def update_config(self, config: Any) -> None:
        """Merges a config; the type of a value that cannot be recorded takes its place."""
        run = self.run
        try:
            run.update_config(plain(config))
        except (TypeError, ValueError, TellurioError) as error:
            # It is too large, or the run has ended.
            warn_once(f"the config of the training is not recorded: {error}")


def numbers_of(metrics: Mapping[Any, Any]) -> dict[str, bool | int | float]:
    """The metrics whose values are numbers, or tensors without dimensions."""
    numbers: dict[str, bool | int | float] = {}
    for key, value in metrics.items():
        number = as_number(value)
        if number is None:
            continue
        try:
            numbers[checked_name("log_metrics", "metric name", str(key))] = number
        except ValueError as error:
            warn_once(f"a metric of the training is skipped: {error}")
    return numbers


def as_number(value: Any) -> bool | int | float | None:
    """The value as a Python number, or None if it is not a number that can be logged."""
    if isinstance(value, str):
        return None
    try:
        encoded = encoded_scalar(value)
    except UnfitError:
        return None
    return SPECIAL_NUMBERS.get(encoded) if isinstance(encoded, str) else encoded


def plain(value: Any, depth: int = 0) -> Any:
    """The value as a config can hold it: what cannot be recorded becomes the name of its type."""
    try:
        return checked_config("update_config", {"value": value})["value"]
    except (TypeError, ValueError):
        content = _content(value) if depth < _MAX_DEPTH else None
    if isinstance(content, Mapping):
        return {str(key): plain(item, depth + 1) for key, item in content.items()}
    if content is not None:
        return [plain(item, depth + 1) for item in content]
    # Not its text, which may hold a credential.
    return getattr(value, "__name__", type(value).__name__)


def _content(value: Any) -> Mapping[Any, Any] | list[Any] | tuple[Any, ...] | None:
    if isinstance(value, Mapping | list | tuple):
        return value  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, argparse.Namespace):
        return vars(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return None


def _as_step(step: Any) -> int | None:
    """A step of 0 or more. Frameworks may pass it as a float."""
    number = as_number(step)
    return int(number) if number is not None and 0 <= number < 2**53 else None
