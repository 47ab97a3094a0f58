"""The SDK's logger. A failing handler of the application cannot hurt the SDK."""

from __future__ import annotations

import logging
import sys
import threading
from typing import TYPE_CHECKING, Any

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
    """Whether a message reaches a handler that is read, past the levels and filters."""
    if not logger.isEnabledFor(level):
        return False
    try:
        record = logger.makeRecord(logger.name, level, "", 0, "%s", (message,), None)
        return bool(logger.filter(record)) and any(
            handler.level <= level and handler.filter(record) and _is_read(handler)
            for handler in _handlers()
        )
    except Exception as failure:  # noqa: BLE001 - filters and factories are the application's
        raise_foreign(failure, by_type=False)
        return False


def _is_read(handler: logging.Handler) -> bool:
    """Whether a handler's messages arrive, as far as can be told.

    Those in a queue of this process need a thread: its listener may not be started yet, or may be
    stopped by the time the process ends. Those in memory need another handler.
    """
    if getattr(getattr(handler, "stream", None), "closed", False) is True:
        return False
    # Imported by a program that uses them.
    handlers: Any = sys.modules.get("logging.handlers")
    if handlers and isinstance(handler, handlers.MemoryHandler):
        target: Any = getattr(handler, "target", None)
        return target is not None and _is_read(target)
    queues: Any = sys.modules.get("queue")
    if not handlers or not queues or not isinstance(handler, handlers.QueueHandler):
        return True
    queue: Any = getattr(handler, "queue", None)
    if not isinstance(queue, queues.Queue | queues.SimpleQueue):
        # Of another process, or of a library.
        return True
    return any(_has(thread, queue) for thread in threading.enumerate())


def _has(thread: threading.Thread, queue: object) -> bool:
    """Whether a thread's target, arguments or attributes include a queue."""
    state: dict[str, Any] = vars(thread)
    parts: list[Any] = [*state.values(), *(state.get("_args") or ())]
    parts += (state.get("_kwargs") or {}).values()
    owner: Any = getattr(state.get("_target"), "__self__", None)
    parts += getattr(owner, "__dict__", {}).values()
    return any(part is queue for part in parts)


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
