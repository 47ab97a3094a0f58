"""What a person is told: through the logger, or on standard error where none is set up."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

from afnio_tellurio.settings import is_quiet

if TYPE_CHECKING:
    from afnio_tellurio.settings import Settings

logger = logging.getLogger("afnio_tellurio")
logger.addHandler(logging.NullHandler())

_said: set[str] = set()


def tell(message: str) -> None:
    """Says something worth knowing, once."""
    _notice(logging.INFO, message)


def warn(message: str) -> None:
    """Says that something is wrong."""
    _notice(logging.WARNING, message)


def warn_once(message: str) -> None:
    """Says that something is wrong, unless this process has said so before."""
    if message not in _said:
        _said.add(message)
        warn(message)


def warn_of_settings(settings: Settings) -> None:
    """Points out what is no setting, once."""
    for problem in settings.problems:
        warn_once(problem)


def show_progress(message: str) -> bool:
    """Shows a line that the next one replaces, where standard error is a terminal; says whether."""
    if not sys.stderr or not sys.stderr.isatty() or is_quiet():
        return False
    print(f"\r\x1b[K{message}", end="", file=sys.stderr, flush=True)  # noqa: T201
    return True


def _notice(level: int, message: str) -> None:
    if _logging_is_configured():
        logger.log(level, "%s", message)
    elif not is_quiet():
        try:
            print(f"afnio-tellurio: {message}", file=sys.stderr, flush=True)  # noqa: T201
        except (OSError, ValueError, AttributeError):
            # Standard error is closed or missing: there is nobody to tell, and that must not hurt.
            return


def _logging_is_configured() -> bool:
    current: logging.Logger | None = logger
    while current is not None:
        if any(not isinstance(handler, logging.NullHandler) for handler in current.handlers):
            return True
        current = current.parent if current.propagate else None
    return logger.level != logging.NOTSET
