"""Lines for people: through the logger, in a notebook, or on stderr.

Nothing here raises, whatever logging handlers or a replaced stderr do, except the exception of a
signal handler.
"""

from __future__ import annotations

import html
import importlib
import logging
import os
import select
import shlex
import sys
import unicodedata
from typing import TYPE_CHECKING, Any, TextIO

from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.logs import is_configured, log, reaches_handler
from afnio_tellurio.settings.settings import is_quiet

if TYPE_CHECKING:
    from afnio_tellurio.settings.settings import Settings

#: How a line on stderr begins.
PREFIX = "afnio-tellurio: "
#: Seconds that a line waits for a full stderr.
_WRITE_TIMEOUT = 1.0
_GREEN, _RED = "32", "31"
_COLORS = {"completed": _GREEN, "crashed": _RED, "failed": _RED}
#: Persian words and family emoji contain them, and they do not control a terminal.
JOINERS = "\u200c\u200d"

_shown: set[str] = set()
#: What `_shown` has if lines about where runs are saved are hidden.
_LOCATION = "location"


def tell(before: str, *, status: str = "", rest: str = "", where: str = "", code: str = "") -> None:
    """Shows a line of information.

    Args:
        before: The line, or its beginning.
        status: The status of a run, colored on a terminal.
        rest: The text after it.
        where: How to view a run; an address is a link in a notebook.
        code: What a cell has to run to view it, if that is not an address.
    """
    parts = [printable(part) for part in (before, status, rest, where)]
    if is_configured():
        log(logging.INFO, "".join(parts))
    elif not is_quiet() and not _display_in_notebook(parts, code):
        if status and shows_colors(sys.stderr):
            parts[1] = f"\x1b[{_COLORS.get(status, '0')}m{status}\x1b[0m"
        _print("".join(parts))


def tell_location(message: str) -> None:
    """Shows where runs are saved, unless the program hides it."""
    if _LOCATION not in _shown:
        tell(message)


def hide_location() -> None:
    """Makes `tell_location` show nothing from now on."""
    _shown.add(_LOCATION)


def warn(message: str) -> None:
    """Shows a warning.

    It may be the only message about data that waits or is lost. So it goes to stderr if the logger
    is disabled, its level or its handlers' is above a warning's, or a handler fails.
    """
    text = printable(message)
    is_logged = reaches_handler(logging.WARNING, text) and log(logging.WARNING, text)
    if not is_logged and not is_quiet():
        _print(text)


def warn_once(message: str) -> None:
    """Shows a warning, unless this process has shown it before."""
    if message not in _shown:
        _shown.add(message)
        warn(message)


def mark_as_shown(message: str) -> None:
    """Marks a message as already shown, so that `warn_once` skips it."""
    _shown.add(message)


def warn_of_settings(settings: Settings) -> None:
    """Reports unknown settings, once."""
    for problem in settings.problems:
        warn_once(problem)


def show_progress(message: str) -> bool:
    """Shows a line that the next one replaces, if stderr is a terminal; returns True if it is."""
    if not _is_terminal(sys.stderr) or is_quiet():
        return False
    try:
        _write(sys.stderr, f"\r\x1b[K{message}")
    except Exception as error:  # noqa: BLE001
        # The terminal may go away at any time.
        raise_foreign(error, by_type=False)
    return True


def printable(text: str) -> str:
    """The text without control characters: names may contain any character."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        "�"
        if unicodedata.category(mark) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and mark not in JOINERS
        else mark
        for mark in text
    )


def quoted_argument(text: str) -> str:
    """An argument of a command to copy: quoted for a shell, and not taken for an option."""
    quoted = shlex.quote(text)
    return f"-- {quoted}" if text.startswith("-") else quoted


def shows_colors(stream: TextIO | None) -> bool:
    """Whether a stream is a terminal that shows colors, and the user wants them."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return _is_terminal(stream)


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except Exception as error:  # noqa: BLE001 - it is closed, or a program replaced it
        raise_foreign(error, by_type=False)
        return False


def _print(text: str) -> None:
    if sys.stderr is None:
        # `print` would use stdout instead.
        return
    try:
        if _is_writable(sys.stderr):
            # Not `print`, which writes the end of the line apart: another thread may write between.
            _write(sys.stderr, f"{PREFIX}{text}\n")
    except Exception as error:  # noqa: BLE001
        # stderr is closed, a signal came in the middle of another line, or a program replaced it:
        # the line cannot be shown, and that must not hurt.
        raise_foreign(error, by_type=False)


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
    except UnicodeEncodeError:
        # A program may have replaced stderr by a stream that refuses what its encoding lacks.
        stream.write(text.encode("ascii", "backslashreplace").decode("ascii"))
    # Later: a replaced stderr may lack `flush`.
    stream.flush()


def _is_writable(stream: TextIO) -> bool:
    """Whether a line can be written without waiting forever: a full pipe may have no reader."""
    try:
        descriptor = stream.fileno()
        return bool(select.select([], [descriptor], [], _WRITE_TIMEOUT)[1])
    except Exception as error:  # noqa: BLE001
        # It is not a file, or cannot be waited for, as on Windows.
        raise_foreign(error, by_type=False)
        return True


def _display_in_notebook(parts: list[str], code: str) -> bool:
    """Displays a line, if this is a notebook: it would show what goes to stderr as an error."""
    ipython: Any = sys.modules.get("IPython")
    if ipython is None:
        return False
    text, where = "".join(parts[:-1]), parts[-1]
    if where.startswith(("http://", "https://")):
        address = html.escape(where)
        shown = f'<a href="{address}" target="_blank" rel="noopener">{address}</a>'
    else:
        where = code or where
        shown = where and f"<code>{html.escape(where)}</code>"
    line = f"<div>{html.escape(text)}{shown}</div>"
    content = {"text/html": line, "text/plain": f"{text}{where}"}
    try:
        if not hasattr(ipython.get_ipython(), "kernel"):
            return False
        importlib.import_module("IPython.display").display(content, raw=True)
    except Exception as error:  # noqa: BLE001
        # The kernel is going away: the line is printed.
        raise_foreign(error, by_type=False)
        return False
    return True


_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def duration(seconds: float) -> str:
    """A time for people: `3.2 s`, `5 min 7 s`, `2 h 5 min`, `1 d 2 h`."""
    # A clock that was set back makes no negative time.
    seconds = max(seconds, 0.0)
    if round(seconds, 1) < _MINUTE:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"
