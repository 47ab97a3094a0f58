"""What records beside the program while a run is open, on request."""

from __future__ import annotations

from typing import Protocol

from afnio_tellurio.tracking.console import Console, RowsLog
from afnio_tellurio.tracking.system_metrics import MetricsLog, SystemMetrics


class Recorder(Protocol):
    """Records until the run ends. If the run could not be ended, it is started again."""

    def start(self) -> None:
        """Starts to record."""
        ...

    def stop(self) -> None:
        """Records what is left, and stops. It raises nothing, and may be called twice."""
        ...


class _Log(MetricsLog, RowsLog, Protocol):
    """A run, as the recorders see it."""


def make_recorders(run: _Log, *, system_interval: float | None, console: bool) -> list[Recorder]:
    """The recorders that a program asks for."""
    recorders: list[Recorder] = []
    if system_interval is not None:
        recorders.append(SystemMetrics(run, system_interval))
    if console:
        recorders.append(Console(run))
    return recorders
