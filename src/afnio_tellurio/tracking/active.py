"""The open runs of this process, and which of them is active in a thread or task.

Threads and tasks may each have a run of their own. So the active run belongs to the context
(`contextvars`) in which it was started: that of a thread, or of a task of asyncio or trio. A task
inherits the run of the task that creates it. A thread inherits nothing, so it falls back to a run
of the whole process.
"""

from __future__ import annotations

import threading
import weakref
from contextvars import ContextVar
from typing import Any

from afnio_tellurio.tracking.awaiting import current_task


class _Activation:
    """An open run, and who started it."""

    def __init__(self, run: Any, enclosing: _Activation | None) -> None:
        #: None when it is no longer open. A context may live on, and must not keep a run alive.
        self.run: Any = run
        #: What is active in the context again when this run is no longer open.
        self.enclosing = enclosing
        thread, task = threading.current_thread(), current_task()
        self.is_of_main_thread = thread is threading.main_thread()
        self._thread = weakref.ref(thread)
        self._task = None if task is None else weakref.ref(task)

    def belongs_to_others(self) -> bool:
        """Whether another thread or task started the run, and still runs."""
        thread, task = self._thread(), None
        if thread is None or not thread.is_alive():
            return False
        if self._task is not None:
            task = self._task()
            # A task of trio does not show whether it is done; it is collected soon.
            if task is None or (hasattr(task, "done") and task.done()):
                return False
        return thread is not threading.current_thread() or task is not current_task()


#: In the order in which they were started, each under the `id` of its run.
_open: dict[int, _Activation] = {}
_current: ContextVar[_Activation | None] = ContextVar("afnio_tellurio_run", default=None)


def active_run() -> Any:
    """The active run here, or None.

    It is the run that this thread or task started, or inherited from the task that created it. Else
    it is the last run of the main thread, or of any thread.
    """
    activation = _open_here()
    if activation is not None:
        return activation.run
    activations = list(_open.values())
    for activation in reversed(activations):
        if activation.is_of_main_thread:
            return activation.run
    return activations[-1].run if activations else None


def open_runs() -> list[Any]:
    """The open runs that were started in this process, or attached to; the last one first."""
    return [activation.run for activation in reversed(list(_open.values()))]


def add(run: Any) -> Any:
    """Makes a run the active one here.

    Returns:
        The run that was active here and that this one supersedes, or None: the run of another
        thread or task stays open.
    """
    before = _open_here()
    superseded = None
    if before is not None and not before.belongs_to_others():
        superseded, before = before.run, before.enclosing
    activation = _Activation(run, before)
    _open[id(run)] = activation
    _current.set(activation)
    return superseded


def join(run: Any) -> None:
    """Makes an open run, perhaps of another thread, the active one here."""
    activation = _open.get(id(run))
    if activation is not None:
        _current.set(activation)


def remove(run: Any) -> bool:
    """Removes a run that is no longer open; returns True if it was."""
    activation = _open.pop(id(run), None)
    if activation is None:
        return False
    activation.run = None
    return True


def _open_here() -> _Activation | None:
    activation = _current.get()
    while activation is not None and activation.run is None:
        activation = activation.enclosing
    return activation
