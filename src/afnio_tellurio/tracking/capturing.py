"""Records where a run comes from, in a thread: `init` does not wait for it."""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Any

from afnio_tellurio.deadlines import seconds_left
from afnio_tellurio.forks import importing
from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.logs import log

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds that the end of a run waits for it, at most.
PATIENCE = 2.0
#: By process and redaction: the runs of one process come from the same place.
_environments: dict[tuple[int, bool], dict[str, Any]] = {}


def start_capture(record: Callable[[dict[str, Any]], None], *, redact: bool) -> Callable[[], None]:
    """Reads the environment of this process and records it, in a thread.

    Args:
        record: Called with the environment.
        redact: Whether credentials in arguments are replaced.

    Returns:
        A function that waits until it is recorded, up to `PATIENCE` and the deadline.
    """

    def capture() -> None:
        try:
            record(_environment(redact=redact))
        except Exception as error:  # noqa: BLE001 - what is only informative must not trouble a program
            log(logging.DEBUG, f"the environment of a run was not recorded: {error!r}")

    thread = threading.Thread(target=capture, name="tellurio-capture", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise_foreign(error)
        # The interpreter is shutting down and starts no threads.
        return lambda: None
    return lambda: thread.join(seconds_left(PATIENCE))


def _environment(*, redact: bool) -> dict[str, Any]:
    key = os.getpid(), redact
    if key not in _environments:
        # Not at the top: it takes 10 ms to import.
        with importing():
            from afnio_tellurio.tracking.environment import read_environment

        _environments[key] = read_environment(redact=redact)
    return _environments[key]
