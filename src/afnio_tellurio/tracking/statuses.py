"""The statuses that a caller passes."""

from __future__ import annotations

from typing import Any

from afnio_tellurio.api.entities import RunStatus

#: The statuses of a run that has ended.
ENDED = frozenset({RunStatus.COMPLETED, RunStatus.CRASHED, RunStatus.FAILED})


def check_status(call: str, status: Any) -> None:
    """Checks that an argument is a `RunStatus`.

    Raises:
        TypeError: It is not.
    """
    if not isinstance(status, RunStatus) or status not in RunStatus.__members__:
        allowed = ", ".join(f"RunStatus.{member}" for member in RunStatus)
        raise TypeError(f"{call}: status is {status!r}; it must be one of {allowed}")
