"""How a run ends whose notebook starts a newer one: the cells tell whether it went wrong."""

from __future__ import annotations

import sys
import weakref
from typing import Any

from afnio_tellurio.api.entities import RunStatus

#: The shells whose cells are watched, and how many cells of each have failed.
_failures: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
#: How many had failed when a run of a notebook became active.
_failures_before: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()


def note_cells(run: Any) -> None:
    """Notes that a run becomes active, if this is a notebook."""
    shell = _find_shell()
    if shell is None:
        return
    if shell not in _failures:
        _failures[shell] = 0
        shell.events.register("post_run_cell", _count)
    _failures_before[run] = _failures[shell]


def status_of_superseded(run: Any) -> RunStatus:
    """The status of a run that a newer one supersedes.

    In a notebook, people run cells again instead of calling `finish`: there it is complete, unless
    a cell has failed since it became active.
    """
    shell = _find_shell()
    before = _failures_before.get(run)
    if shell is not None and before is not None and _failures.get(shell) == before:
        return RunStatus.COMPLETED
    return RunStatus.FAILED


def _count(result: Any) -> None:
    shell = _find_shell()
    if shell in _failures and not result.success:
        _failures[shell] += 1


def _find_shell() -> Any:
    get_ipython = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = get_ipython() if get_ipython is not None else None
    return shell if hasattr(shell, "kernel") else None
