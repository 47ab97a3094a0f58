"""The same workload with each tool: `with_NAME.py` implements `Workload`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    Log = Callable[[str, float, int], None]


class Workload(Protocol):
    """What each module here has."""

    def recording(self) -> AbstractContextManager[Log]:
        """Starts a run, yields a function that logs a name, value and step, and ends the run."""
        ...

    def log_folder(self, folder: Path) -> None:
        """Logs the files of a folder as an artifact of the run; only of tools that have them."""
        ...

    def log_run(self, name: str, curves: dict[str, list[float]]) -> None:
        """Logs a whole run, with values by metric; only of tools that have a page."""
        ...

    def steps(self) -> list[int]:
        """The step of each "loss" that a later process can read back from the run."""
        ...
