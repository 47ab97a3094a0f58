"""What a person is told: through the logger, or on stderr where none is set up.

Nothing here raises, whatever handlers of logging, or what stands in for stderr, do: only what a
signal handler raises meanwhile goes on.
"""

from __future__ import annotations

import html
import importlib
import logging
import os
import select
import sys
import unicodedata
from typing import TYPE_CHECKING, Any, TextIO

from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.logs import is_configured, log, reaches_handler
from afnio_tellurio.settings import is_quiet

if TYPE_CHECKING:
    from afnio_tellurio.settings import Settings

#: Seconds that a line waits for somebody to read standard error.
_WRITE_TIMEOUT = 1.0
_GREEN, _RED = "32", "31"
_COLOURS = {"COMPLETED": _GREEN, "CRASHED": _RED, "FAILED": _RED}
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
#: Persian words and family emoji are written with them, and they steer nothing.
JOINERS = "\u200c\u200d"

_said: set[str] = set()


def tell(before: str, *, status: str = "", rest: str = "", where: str = "") -> None:
    """Says something worth knowing, once.

    Args:
        before: What is said, or its beginning.
        status: The status of a run, coloured at a terminal.
        rest: What comes then.
        where: Where a run can be looked at: an address is a link in a notebook.
    """
    parts = [printable(part) for part in (before, status, rest, where)]
    if is_configured():
        log(logging.INFO, "".join(parts))
    elif not is_quiet() and not _displayed_in_notebook(parts):
        if status and shows_colours(sys.stderr):
            parts[1] = f"\x1b[{_COLOURS.get(status, '0')}m{status}\x1b[0m"
        _print("".join(parts))


def warn(message: str) -> None:
    """Says that something is wrong.

    It may be the only word about data that waits or is lost. So it goes to stderr where the logger
    is disabled, its level or its handlers' is above a warning's, or a handler fails.
    """
    text = printable(message)
    is_logged = reaches_handler(logging.WARNING) and log(logging.WARNING, text)
    if not is_logged and not is_quiet():
        _print(text)


def warn_once(message: str) -> None:
    """Says that something is wrong, unless this process has said so before."""
    if message not in _said:
        _said.add(message)
        warn(message)


def count_as_said(message: str) -> None:
    """Has `warn_once` leave a message to whoever shows it in another way."""
    _said.add(message)


def warn_of_settings(settings: Settings) -> None:
    """Points out what is no setting, once."""
    for problem in settings.problems:
        warn_once(problem)


def show_progress(message: str) -> bool:
    """Shows a line that the next one replaces, where standard error is a terminal; says whether."""
    if not _is_terminal(sys.stderr) or is_quiet():
        return False
    try:
        print(f"\r\x1b[K{message}", end="", file=sys.stderr, flush=True)  # noqa: T201
    except Exception as error:  # noqa: BLE001
        # The terminal may go away at any time, and whoever waits goes on.
        raise_foreign(error, by_type=False)
    return True


def printable(text: str) -> str:
    """The text without what could steer a terminal: names are whatever somebody chose."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        "�"
        if unicodedata.category(mark) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and mark not in JOINERS
        else mark
        for mark in text
    )


def duration(seconds: float) -> str:
    """Returns a duration such as `3.2 s`, `5 min 7 s`, `2 h 5 min` or `1 d 2 h`."""
    # A value that rounds to 60.0 s must not be printed as seconds.
    if round(seconds, 1) < _MINUTE:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"


def shows_colours(stream: TextIO | None) -> bool:
    """Whether a stream is a terminal that shows colours, and the user wants any."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return _is_terminal(stream)


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except Exception as error:  # noqa: BLE001 - it is closed, or a program put something there
        raise_foreign(error, by_type=False)
        return False


def _print(text: str) -> None:
    if sys.stderr is None:
        # `print` would take standard output for it.
        return
    try:
        if _is_taken(sys.stderr):
            # Not with `flush=True`, which not all have that a program puts there.
            print(f"afnio-tellurio: {text}", file=sys.stderr)  # noqa: T201
            sys.stderr.flush()
    except Exception as error:  # noqa: BLE001
        # Standard error is closed, a signal came in the middle of another line, or a program put
        # something of its own there: there is nobody to tell, and that must not hurt.
        raise_foreign(error, by_type=False)


def _is_taken(stream: TextIO) -> bool:
    """Whether a line can be written without waiting for ever: a full pipe may have no reader."""
    try:
        descriptor = stream.fileno()
        return bool(select.select([], [descriptor], [], _WRITE_TIMEOUT)[1])
    except Exception as error:  # noqa: BLE001
        # It is no file, or not one that can be waited for, as on Windows.
        raise_foreign(error, by_type=False)
        return True


def _displayed_in_notebook(parts: list[str]) -> bool:
    """Displays a line with a link, where this is a notebook and there is an address."""
    before, status, rest, where = parts
    ipython: Any = sys.modules.get("IPython")
    if ipython is None or not where.startswith(("http://", "https://")):
        return False
    address, text = html.escape(where), html.escape(f"{before}{status}{rest}")
    link = f'{text}<a href="{address}" target="_blank" rel="noopener">{address}</a>'
    content = {"text/html": f"<div>{link}</div>", "text/plain": "".join(parts)}
    try:
        if not hasattr(ipython.get_ipython(), "kernel"):
            return False
        importlib.import_module("IPython.display").display(content, raw=True)
    except Exception as error:  # noqa: BLE001
        # The kernel is going away: the line is printed.
        raise_foreign(error, by_type=False)
        return False
    return True
