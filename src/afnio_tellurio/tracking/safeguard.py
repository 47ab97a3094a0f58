"""The safeguard, which ends the open runs of this process when the process ends."""

from __future__ import annotations

import atexit
import builtins
import dis
import os
import signal
import sys
import threading
from contextlib import suppress
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from afnio_tellurio.api.entities import RunStatus
from afnio_tellurio.clock import monotonic
from afnio_tellurio.deadlines import within
from afnio_tellurio.delivery.senders import outboxes, wait_for_all
from afnio_tellurio.forks import ForkStep, at_fork
from afnio_tellurio.frameworks import release_run
from afnio_tellurio.notices import warn
from afnio_tellurio.tracking import active
from afnio_tellurio.tracking.end_reasons import (
    UNKNOWN_STATUS,
    reason_of_exception,
    reason_of_exit,
    reason_of_signal,
)
from afnio_tellurio.tracking.ending import end_now

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import FrameType, TracebackType

    from afnio_tellurio.delivery.records import End

#: Finalizers of multiprocessing with a greater priority run first; its own have 10 and less.
_BEFORE_OTHERS = 100
#: The signals that end a process by default and that it can handle.
_ENDING_SIGNALS = [
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)
]


class Endable(Protocol):
    """A run, as the safeguard sees it."""

    def _end(self, status: RunStatus, because: Mapping[str, Any] | None = None) -> str | None: ...

    def _leave_end(self, end: End) -> None: ...


_lock = threading.RLock()


def activate(run: Endable) -> Endable | None:
    """Makes a run the active one here and arms the safeguard; returns the run it supersedes."""
    with _lock:
        superseded: Endable | None = active.add(run)
        safeguard.arm()
    return superseded


def deactivate(run: Endable) -> None:
    """Deactivates a run, and disarms the safeguard if no other run is open."""
    with _lock:
        if not active.remove(run):
            return
        others = active.open_runs()
        if not others:
            safeguard.disarm()
    release_run(run, others[0] if others else None)


def end(run: Endable, status: RunStatus, because: Mapping[str, Any] | None) -> str | None:
    """Ends a run; see `Run._end`."""
    return run._end(status, because)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


def leave(run: Endable, end: End) -> None:
    """Leaves the end of a run to the sender, or to a later process; see `Run._leave_end`."""
    run._leave_end(end)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


class _Safeguard:
    """Ends the open runs when the process ends, with a status that reflects how it ended.

    Python does not pass the reason to exit hooks. The status is derived from three facts: whether
    the outermost frame of the main thread returned or an exception left it, whether Python has
    reported an exception, and the status of the last `sys.exit`.
    """

    def __init__(self) -> None:
        # The process that armed it, and the one with the exit hook: a forked child has another id.
        self._process: int | None = None
        self._watched_process: int | None = None
        self._main_frame: FrameType | None = None
        self._exit_status: Any = 0
        self._signal: int | None = None
        self._previous_handlers: dict[int, Any] = {}
        self._exit_functions: list[tuple[Any, str, Any, Any]] = []
        self._guarded: FrameType | None = None
        self._postponed: int | None = None
        #: Whether the process ends already: it waits for delivery, or runs later exit hooks.
        self.is_ending = False

    def watch_exit(self) -> None:
        """Installs the exit hook that delivers logged metrics."""
        if self._watched_process == os.getpid():
            return
        if self._watched_process is None:
            # A forked child inherits the hook.
            atexit.register(self._end_at_exit)
        self._watched_process = os.getpid()
        multiprocessing = sys.modules.get("multiprocessing.process")
        if multiprocessing is not None and multiprocessing.parent_process() is not None:
            # A worker of multiprocessing may end without running the interpreter's exit hooks.
            from multiprocessing.util import Finalize

            Finalize(None, self._end_at_worker_exit, exitpriority=_BEFORE_OTHERS)

    def arm(self) -> None:
        """Starts watching for the end of the process, to end the open runs."""
        self.watch_exit()
        self._process = os.getpid()
        self._main_frame = _outermost_frame()
        self._exit_status = UNKNOWN_STATUS
        if not self._exit_functions:
            self._watch_exit_functions()
        self._watch_signals()

    def disarm(self) -> None:
        """Stops watching for the end of the process."""
        for module, name, original, ours in self._exit_functions:
            if module.__dict__.get(name) is ours:
                setattr(module, name, original)
        self._exit_functions.clear()
        self._main_frame = None
        if threading.current_thread() is threading.main_thread():
            for number, previous in self._previous_handlers.items():
                if signal.getsignal(number) == self._on_signal:
                    signal.signal(number, previous)
            self._previous_handlers.clear()

    # Ending by return, exception or sys.exit

    def _watch_exit_functions(self) -> None:
        for module, name in ((builtins, "exit"), (builtins, "quit")):
            original = getattr(module, name, None)
            if original is not None:
                self._replace(module, name, original, self._recording_status(original))
        original = sys.exit
        ours = self._recording_status(original)
        modules: list[Any] = list(sys.modules.values())
        for module in modules:
            # Also where a module has done `from sys import exit`.
            if isinstance(module, ModuleType) and module.__dict__.get("exit") is original:
                self._replace(module, "exit", original, ours)

    def _replace(self, module: ModuleType, name: str, original: Any, ours: Any) -> None:
        self._exit_functions.append((module, name, original, ours))
        setattr(module, name, ours)

    def _recording_status(self, original: Callable[..., NoReturn]) -> Callable[..., NoReturn]:
        def exit(status: Any = None, /) -> NoReturn:  # noqa: A001
            # In another thread it ends that thread only.
            if _is_main_thread():
                self._exit_status = status
            original(status)

        return exit

    def _end_at_exit(self) -> None:
        self._end_all(*self._outcome_of_exit())

    def _end_at_worker_exit(self) -> None:
        # It runs while the exception that ended the worker's function is being handled.
        self._end_all(*outcome_of(sys.exception()))

    def _end_all(self, status: RunStatus, because: Mapping[str, Any] | None) -> None:
        deadline = monotonic() + _exit_timeout()
        self.is_ending = True
        try:
            _end_open_runs(status, because, deadline)
            undelivered = wait_for_all(deadline)
        except KeyboardInterrupt:
            undelivered = outboxes()
        for outbox in undelivered:
            if outbox.wanted_end is None and not outbox.is_reported:
                # Not reported yet.
                warn(str(outbox.problem("exit")))

    def _outcome_of_exit(self) -> tuple[RunStatus, Mapping[str, Any] | None]:
        if self._main_frame is None or not _was_left_by_exception(self._main_frame):
            return RunStatus.COMPLETED, None
        if self._signal is not None:
            return RunStatus.CRASHED, reason_of_signal(self._signal)
        error = getattr(sys, "last_value", None)
        if isinstance(error, BaseException):
            return RunStatus.CRASHED, reason_of_exception(error)
        if _is_success(self._exit_status):
            return RunStatus.COMPLETED, None
        return RunStatus.CRASHED, reason_of_exit(self._exit_status)

    # Ending by a signal

    def _watch_signals(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _ENDING_SIGNALS:
            previous = signal.getsignal(number)
            # None: a handler that was not installed from Python cannot be called from Python.
            if previous not in (self._on_signal, signal.SIG_IGN, None):
                # A sub-interpreter cannot set a handler; its process has those of the main one.
                with suppress(ValueError):
                    signal.signal(number, self._on_signal)
                    self._previous_handlers[number] = previous

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        previous = self._previous_handlers.get(number, signal.SIG_DFL)
        if self._is_guarded(frame):
            is_second, self._postponed = self._postponed is not None, number
            if callable(previous) or not is_second:
                # The main thread is inside the SDK, maybe in a transaction or holding a lock.
                return
            self.is_ending = True
        if callable(previous):
            self._signal = number
            previous(number, frame)
            return
        # Not while an end waits already: who sends a second signal does not want to wait.
        if self._process == os.getpid() and not self.is_ending:
            self.is_ending = True
            try:
                with suppress(KeyboardInterrupt):
                    because, deadline = reason_of_signal(number), monotonic() + _exit_timeout()
                    _end_open_runs(RunStatus.CRASHED, because, deadline)
            finally:
                self.is_ending = False
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)

    def _is_guarded(self, frame: FrameType | None) -> bool:
        """Whether the interrupted code, or a caller of it, is guarded."""
        while frame is not None:
            if frame is self._guarded:
                return True
            frame = frame.f_back
        return False

    def __enter__(self) -> None:
        """Postpones the ending signals while the main thread works inside the SDK.

        It remembers the caller's frame, not a depth: if a signal handler raises, the frame may stay
        remembered, but that has no effect because its function has ended.
        """
        frame = sys._getframe(1)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        if _is_main_thread() and not self._is_guarded(frame):
            self._guarded = frame

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        frame = sys._getframe()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        if _is_main_thread() and frame.f_back is self._guarded:
            self._guarded = None
            if self._postponed is not None:
                number, self._postponed = self._postponed, None
                self._on_signal(number, frame)


def outcome_of(error: BaseException | None) -> tuple[RunStatus, Mapping[str, Any] | None]:
    """The status of a run that is left by this exception, or normally, and the reason."""
    status = _status_after(error)
    if error is None or status is RunStatus.COMPLETED:
        return status, None
    return status, reason_of_exception(error)


def _status_after(error: BaseException | None) -> RunStatus:
    if error is None or isinstance(error, GeneratorExit):
        # Closing a generator is how its consumer stops early.
        return RunStatus.COMPLETED
    if isinstance(error, SystemExit):
        return RunStatus.COMPLETED if _is_success(error.code) else RunStatus.CRASHED
    module = type(error).__module__.partition(".")[0]
    if module == "click" and getattr(error, "exit_code", None) == 0:
        # Commands of click and typer end so.
        return RunStatus.COMPLETED
    if module == "optuna" and type(error).__name__ == "TrialPruned":
        return RunStatus.COMPLETED
    return RunStatus.CRASHED


def _is_success(exit_status: Any) -> bool:
    """Whether `sys.exit(exit_status)` ends a process normally."""
    return exit_status is None or (isinstance(exit_status, int) and exit_status == 0)


def _is_main_thread() -> bool:
    # Not `current_thread`, which creates an object for a thread that Python did not start.
    return threading.get_ident() == threading.main_thread().ident


def _outermost_frame() -> FrameType | None:
    frame = sys._current_frames().get(threading.main_thread().ident or 0)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    while frame is not None and frame.f_back is not None:
        frame = frame.f_back
    return frame


def _was_left_by_exception(frame: FrameType) -> bool:
    """Whether the last instruction that a frame executed was not a return."""
    return not dis.opname[frame.f_code.co_code[frame.f_lasti]].startswith("RETURN")


safeguard = _Safeguard()


def _end_open_runs(status: RunStatus, because: Mapping[str, Any] | None, deadline: float) -> None:
    """Ends all open runs by the deadline, the last one first."""
    runs: list[Endable] = active.open_runs()
    with within(deadline):
        try:
            for run in runs:
                end(run, status, because)
        except BaseException:  # raised again, once no run waits for another
            for run in runs:
                leave(run, end_now(status, because))
            raise


def _exit_timeout() -> float:
    """The longest exit timeout among the backends with open outboxes."""
    timeouts = [box.transfer.connection.settings.exit_timeout for box in outboxes()]
    return max(timeouts, default=0.0)


def _replace_lock() -> None:
    global _lock  # noqa: PLW0603
    _lock = threading.RLock()


at_fork(ForkStep.ACTIVE_RUN, in_child=_replace_lock)
