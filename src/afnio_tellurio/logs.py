"""The SDK's logger. A failing handler of the application cannot hurt the SDK."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from afnio_tellurio.interruptions import raise_foreign

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger("afnio_tellurio")
logger.addHandler(logging.NullHandler())

_this_thread = threading.local()


def log(level: int, message: str, error: BaseException | None = None) -> bool:
    """Logs a message, even if handlers of the application fail.

    Args:
        level: The level, such as `logging.WARNING`.
        message: The message.
        error: An exception whose traceback to log with it.

    Returns:
        True if all handlers accepted it. Messages that a handler causes while it runs are dropped.
    """
    if getattr(_this_thread, "is_logging", False):
        # A handler that logs to a run: a message about that run would call the handler again.
        return False
    try:
        _this_thread.is_logging = True
        logger.log(level, "%s", message, exc_info=error)
    except Exception as failure:  # noqa: BLE001 - handlers are the application's
        # The exception of a signal handler that ran meanwhile is not theirs.
        raise_foreign(failure, by_type=False)
        return False
    finally:
        _this_thread.is_logging = False
    return True


def reaches_handler(level: int, message: str) -> bool:
    """Whether a message reaches a handler, past the levels and filters."""
    if not logger.isEnabledFor(level):
        return False
    record = logger.makeRecord(logger.name, level, "", 0, "%s", (message,), None)
    try:
        return bool(logger.filter(record)) and any(
            handler.level <= level and handler.filter(record) for handler in _handlers()
        )
    except Exception as failure:  # noqa: BLE001 - filters are the application's
        raise_foreign(failure, by_type=False)
        return False


def is_configured() -> bool:
    """Whether the application has set up logging for the SDK."""
    return logger.level != logging.NOTSET or any(True for _ in _handlers())


def _handlers() -> Iterator[logging.Handler]:
    current: logging.Logger | None = logger
    while current is not None:
        for handler in current.handlers:
            if not isinstance(handler, logging.NullHandler):
                yield handler
        current = current.parent if current.propagate else None
