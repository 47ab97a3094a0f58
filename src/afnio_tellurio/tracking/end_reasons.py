"""Why a run ended: an exception, a signal, the status of the process, or a newer run."""

from __future__ import annotations

import signal
import traceback
from typing import TYPE_CHECKING, Any

from afnio_tellurio.api.details import EndReason
from afnio_tellurio.settings.limits import MAX_END_TEXT, MAX_END_TYPE

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The frames of a traceback that are kept, the innermost ones, and its bytes.
MAX_FRAMES = 20
MAX_TRACEBACK_BYTES = MAX_END_TEXT

#: For a program that ended with an error without a call of `sys.exit`.
UNKNOWN_STATUS = object()
SUPERSEDED = {"kind": "superseded", "message": "The same thread or task started a newer run."}
CANCELED = {"kind": "canceled", "message": "The task that started it was canceled."}


def reason_of_exception(error: BaseException) -> dict[str, Any]:
    """The reason for a run that an exception ended."""
    if isinstance(error, SystemExit):
        return reason_of_exit(error.code)
    return {
        "kind": "exception",
        "type": _printable(_name_of(type(error)))[:MAX_END_TYPE],
        "message": _printable(_message_of(error))[:MAX_END_TEXT],
        "traceback": _end_of_traceback(error),
    }


def reason_of_signal(number: int) -> dict[str, Any]:
    """The reason for a run that a signal ended."""
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = str(number)
    return {"kind": "signal", "signal": name}


def reason_of_exit(status: Any) -> dict[str, Any]:
    """The reason for a run that ended with `sys.exit(status)`."""
    if status is UNKNOWN_STATUS:
        return {"kind": "exit", "message": "The program ended with an error."}
    if isinstance(status, int):
        return {"kind": "exit", "message": f"The program exited with status {status}."}
    return {"kind": "exit", "message": _printable(_text_of(status))[:MAX_END_TEXT]}


def as_end_reason(reason: Mapping[str, Any] | None) -> EndReason | None:
    """The reason as `Run.ended_because` has it."""
    return None if reason is None else EndReason(**reason)


def _name_of(kind: type[BaseException]) -> str:
    if kind.__module__ in {"builtins", "__main__"}:
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def _message_of(error: BaseException) -> str:
    # Python adds quotes to the message of a KeyError.
    return _text_of(error.args[0] if type(error) is KeyError and error.args else error)


def _text_of(value: Any) -> str:
    try:
        return str(value)
    except Exception as problem:  # noqa: BLE001 - an application's `__str__` may raise anything
        return f"<str() raised {type(problem).__name__}>"


def _end_of_traceback(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__, limit=-MAX_FRAMES)
    text = _printable("".join(traceback.format_list(frames)))
    end = text.encode()[-MAX_TRACEBACK_BYTES:]
    return end.decode(errors="ignore")


def _printable(text: str) -> str:
    """The text with halves of surrogate pairs replaced, which UTF-8 cannot encode."""
    return text.encode(errors="backslashreplace").decode()
