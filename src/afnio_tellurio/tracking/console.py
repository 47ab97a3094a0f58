"""Records what the process prints, as rows of a table."""

from __future__ import annotations

import logging
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any, Protocol

from afnio_tellurio.errors import RunFinishedError
from afnio_tellurio.forks import ForkStep, at_fork
from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.logs import log
from afnio_tellurio.notices import PREFIX
from afnio_tellurio.settings.limits import MAX_CONSOLE_BYTES
from afnio_tellurio.tracking.console_lines import LineAssembler
from afnio_tellurio.tracking.deferring import Deferrer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TABLE = "console"
STREAMS = ("stdout", "stderr")
#: Characters of a printed text that are recorded at once.
_PART = 2**16

_lock = threading.RLock()
_deferrer = Deferrer()


def checked_console(call: str, console: Any) -> bool:
    """Whether to record what the process prints.

    Raises:
        TypeError: It is not a bool.
    """
    if not isinstance(console, bool):
        raise TypeError(f"{call}: console is {console!r}; it must be True or False")
    return console


class RowsLog(Protocol):
    """A run, as this module sees it."""

    def log_rows(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Logs rows of a table; see `Run.log_rows`."""
        ...


class Console:
    """Records what the process prints while a run is open."""

    def __init__(self, run: RowsLog) -> None:
        self._run = run
        self._taps: list[_Tap] = []
        self._bytes_left = MAX_CONSOLE_BYTES
        self.begin_anew()
        _consoles.add(self)

    def begin_anew(self) -> None:
        """Forgets unfinished lines: a forked child leaves them to its parent."""
        self._assembling = threading.Lock()
        self._assemblers = {name: LineAssembler() for name in STREAMS}

    def start(self) -> None:
        """Starts to record the streams that the process prints to now."""
        with _lock:
            taps = [tap for tap in map(_tap, STREAMS) if tap is not None]
            # One of them may be the other one: `sys.stderr = sys.stdout`.
            self._taps = list(dict.fromkeys(taps))
            for tap in self._taps:
                tap.tellurio_consoles = (*tap.tellurio_consoles, self)

    def stop(self) -> None:
        """Records unfinished lines, and leaves the streams as they were."""
        with _lock:
            taps, self._taps = self._taps, []
            for tap in taps:
                others = tuple(each for each in tap.tellurio_consoles if each is not self)
                tap.tellurio_consoles = others
                # If the program has replaced the stream, ours only passes on from now on.
                if not others and getattr(sys, tap.tellurio_name) is tap:
                    setattr(sys, tap.tellurio_name, tap.tellurio_stream)
        for tap in taps:
            self.add(tap.tellurio_name, None)

    def add(self, stream: str, text: str | None) -> None:
        """Records the lines that a text completes; `None` completes the last one.

        It raises only what a signal handler raised: `print` must not fail for it.
        """
        try:
            if text is None:
                self._record(stream, None)
                return
            # In parts: the rows of a text with millions of lines would fill the memory.
            for start in range(0, len(text), _PART):
                self._record(stream, text[start : start + _PART])
        except RunFinishedError:
            # The run ended meanwhile.
            return
        except Exception as error:  # noqa: BLE001 - the application's `print` must not fail
            raise_foreign(error)
            log(logging.DEBUG, f"a line of the console was not recorded: {error!r}")

    def _record(self, stream: str, text: str | None) -> None:
        if self._bytes_left < 0:
            return
        # A thread that holds the lock does not come here again: its calls are deferred.
        with self._assembling:
            assembler = self._assemblers[stream]
            lines = assembler.take_rest() if text is None else assembler.add(text)
            rows = self._rows(stream, lines)
        if rows:
            self._run.log_rows(TABLE, rows)

    def _rows(self, stream: str, lines: list[str]) -> list[dict[str, str]]:
        rows: list[dict[str, str]] = []
        for line in lines:
            if self._bytes_left < 0:
                break
            self._bytes_left -= len(line.encode()) + 1
            if self._bytes_left < 0:
                line = f"[the rest is not recorded: it exceeds {MAX_CONSOLE_BYTES:,} bytes]"  # noqa: PLW2901
            rows.append({"stream": stream, "line": line})
        return rows


class _Tap:
    """A standard stream that also hands over what is printed.

    It passes for the stream itself: libraries look at its class, and at any attribute.
    """

    tellurio_name: str
    tellurio_stream: Any
    tellurio_consoles: tuple[Console, ...]

    def __init__(self, name: str, stream: Any) -> None:
        self.tellurio_name = name
        self.tellurio_stream = stream
        self.tellurio_consoles = ()

    def write(self, text: Any, /) -> Any:
        written = self.tellurio_stream.write(text)
        if self.tellurio_consoles:
            _hand_over(self, text)
        return written

    def writelines(self, lines: Iterable[Any], /) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tellurio_stream, name)

    def __setattr__(self, name: str, value: Any) -> None:
        # Another library that replaces `write` calls ours: on the stream, it would call itself.
        if name in _OWN:
            object.__setattr__(self, name, value)
        else:
            setattr(self.tellurio_stream, name, value)

    def __delattr__(self, name: str) -> None:
        if name in _OWN:
            object.__delattr__(self, name)
        else:
            delattr(self.tellurio_stream, name)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride] - nobody sets it
        return self.tellurio_stream.__class__

    def __dir__(self) -> list[str]:
        return dir(self.tellurio_stream)

    def __repr__(self) -> str:
        return repr(self.tellurio_stream)

    def __iter__(self) -> Any:
        return iter(self.tellurio_stream)

    def __next__(self) -> Any:
        return next(self.tellurio_stream)

    def __enter__(self) -> Any:
        self.tellurio_stream.__enter__()
        return self

    def __exit__(self, *error: object) -> Any:
        return self.tellurio_stream.__exit__(*error)


_OWN = {"write", "writelines", "tellurio_name", "tellurio_stream", "tellurio_consoles"}


def _tap(name: str) -> _Tap | None:
    """The tap in the place of a standard stream; `None` if the process does not have the stream."""
    stream: Any = getattr(sys, name)
    # Not `isinstance`: it passes for the stream.
    if stream is None or type(stream) is _Tap:
        return stream
    tap = _Tap(name, stream)
    setattr(sys, name, tap)
    return tap


def _hand_over(tap: _Tap, text: Any) -> None:
    # What starts so is our own message, maybe in the middle of recording something.
    if isinstance(text, str) and not text.startswith(PREFIX):
        _deferrer.call(lambda: _record(tap, text))


def _record(tap: _Tap, text: str) -> None:
    for console in tap.tellurio_consoles:
        console.add(tap.tellurio_name, text)


_consoles: weakref.WeakSet[Console] = weakref.WeakSet()


def _leave_lines_to_parent() -> None:
    global _lock  # noqa: PLW0603
    _lock = threading.RLock()
    _deferrer.begin_anew()
    for console in list(_consoles):
        console.begin_anew()


at_fork(ForkStep.CONSOLE, in_child=_leave_lines_to_parent)
