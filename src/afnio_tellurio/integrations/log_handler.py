"""A handler of logging that records what a program logs, as rows of a table."""

from __future__ import annotations

import datetime as dt
import logging
from typing import TYPE_CHECKING, Any

from afnio_tellurio.errors import RunFinishedError
from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.tracking.active import active_run
from afnio_tellurio.tracking.deferring import Deferrer
from afnio_tellurio.validation import checked_name

if TYPE_CHECKING:
    from afnio_tellurio.tracking.run import Run

__all__ = ["TellurioHandler"]

#: Characters of a message or a traceback.
_MAX_TEXT = 65_536
_OURS = "afnio_tellurio"
#: What they log in one of our threads is about the delivery of a run.
_CLIENTS = frozenset({"httpx", "httpcore"})
_OUR_THREADS = "tellurio-"

_formatter = logging.Formatter()
_deferrer = Deferrer()


class TellurioHandler(logging.Handler):
    """Records what a program logs, as rows of a table of a run.

    A row has the `time` in UTC, the `level`, the `logger`, the `message`, and, if there are any,
    the `exception` and the `stack`. Messages of this library itself are not recorded. A message
    from within another one is recorded after it. Without an open run there is nothing to record to.
    """

    def __init__(
        self, run: Run | None = None, level: int | str = logging.NOTSET, table: str = "logs"
    ) -> None:
        """Makes a handler, to be added to a logger or named in a configuration.

        Args:
            run: The run to log to; default the active run of the thread that logs.
            level: The lowest level to record.
            table: The name of the table, 1 to 255 characters.

        Raises:
            TypeError: The name of the table is not a string.
            ValueError: It is empty or too long, or there is no such level.
        """
        super().__init__(level)
        self._run = run
        self._table = checked_name("TellurioHandler", "table name", table)

    def emit(self, record: logging.LogRecord) -> None:
        """Records a message. What prevents that goes to `handleError`, as in every handler."""
        _deferrer.call(lambda: self._record(record))

    def _record(self, record: logging.LogRecord) -> None:
        try:
            run: Run | None = active_run() if self._run is None else self._run
            if run is not None and not _is_about_us(record):
                run.log_rows(self._table, [_row(record)])
        except RunFinishedError:
            # The run has ended; what is logged later has no place in it.
            return
        except RecursionError:
            raise
        except Exception as error:  # noqa: BLE001 - logging must not fail
            raise_foreign(error, by_type=False)
            self.handleError(record)


def _is_about_us(record: logging.LogRecord) -> bool:
    # The record of another process, made from its attributes, may have no name.
    package = str(record.name).partition(".")[0]
    if package in _CLIENTS:
        return (record.threadName or "").startswith(_OUR_THREADS)
    return package == _OURS


def _row(record: logging.LogRecord) -> dict[str, Any]:
    row = {
        "time": dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(
            timespec="microseconds"
        ),
        "level": record.levelname,
        "logger": record.name,
        "message": _text(record.getMessage()),
    }
    # A process that hands over its records may have made the text of an exception already.
    exception = record.exc_text
    if record.exc_info:
        is_real = record.exc_info[0] is not None
        exception = _formatter.formatException(record.exc_info) if is_real else None
    if exception:
        row["exception"] = _text(exception)
    if record.stack_info:
        row["stack"] = _text(record.stack_info)
    return row


def _text(text: str) -> str:
    """The text within bounds, with a mark for what UTF-8 cannot encode."""
    if len(text) > _MAX_TEXT:
        text = f"{text[:_MAX_TEXT]}… [cut]"
    return text if text.isascii() else text.encode(errors="replace").decode()
