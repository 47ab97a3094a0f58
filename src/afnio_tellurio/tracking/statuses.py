"""The statuses that a caller passes."""

from __future__ import annotations

from typing import Any

from afnio_tellurio.api.entities import RunStatus
from afnio_tellurio.filters.values import near_status

#: The statuses of a run that has ended.
ENDED = frozenset({RunStatus.COMPLETED, RunStatus.CRASHED, RunStatus.FAILED})


def checked_status(call: str, status: Any) -> RunStatus:
    """The status that an argument names: a `RunStatus`, or its word, such as `"CRASHED"`.

    Raises:
        TypeError: It is not a string.
        ValueError: There is no such status.
    """
    allowed = ", ".join(RunStatus)
    if not isinstance(status, str):
        raise TypeError(f"{call}: status is {status!r}; it must be one of {allowed}")
    if str(status) not in RunStatus.__members__:
        near = near_status(status)
        hint = f"; did you mean {near}?" if near else ""
        raise ValueError(f"{call}: status is {str(status)!r}; it must be one of {allowed}{hint}")
    return RunStatus(str(status))
