"""Changes a run at its backend, and notices one that ignores it, or somebody else's change."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any

from afnio_tellurio.api import operations
from afnio_tellurio.api.details import named_details, warn_of_ignored_details
from afnio_tellurio.api.entities import RunRecord, etag_of, read_run, set_etag
from afnio_tellurio.errors import (
    InvalidResponseError,
    RunChangedError,
    TellurioError,
    may_be_own_change,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from afnio_tellurio.api.calling import RunPath
    from afnio_tellurio.api.connection import Connection


#: The fields that a caller may change.
_CHANGEABLE = ("name", "description", "config", "tags", "group", "job_type", "notes")


def change_run(
    run: RunRecord,
    connection: Connection,
    path: RunPath,
    changes: Mapping[str, Any],
    *,
    if_unchanged: bool,
) -> None:
    """Changes fields of a run, at the backend and then in the run.

    Raises:
        InvalidResponseError: The backend ignored a change.
        RunChangedError: The run is to be unchanged, and was changed since its last answer.
        TellurioError: The run is to be unchanged, and the backend has no ETags.
    """
    etag = _etag_for(run, connection) if if_unchanged else None
    try:
        model = operations.update_run(connection, path, changes, etag=etag)
        changed = read_run(RunRecord, model, "updateRun", path.namespace_slug)
    except RunChangedError as error:
        own_change = _find_own_change(run, connection, path, error, changes)
        if own_change is None or _ignored(own_change, changes):
            # An attempt whose answer was lost may have updated the run, and another program then.
            effect = (
                "the answer to a first attempt was lost, so this update may have been undone"
                if may_be_own_change(error)
                else "this update changed nothing"
            )
            message = (
                f"update: run {run.name!r} was changed since this program read it, and {effect}; "
                f"read the run again with get_run, and update that ({error})"
            )
            error.args = (message,)
            raise
        changed = own_change
    _adopt(run, changed)
    ignored = _ignored(changed, changes)
    if ignored:
        raise InvalidResponseError(
            f"update: {connection.url} ignored the new {named_details(ignored)} of run "
            f"{changed.name!r}; use a backend that supports the change",
            operation="updateRun",
        )


def change_ended_run(
    run: RunRecord, connection: Connection, path: RunPath, changes: Mapping[str, Any]
) -> None:
    """Changes the config or the tags of a run that has ended.

    Raises:
        TellurioError: The request failed.
    """
    # A repeated attempt must not be another change.
    key = str(uuid.uuid4())
    model = operations.update_run(connection, path, changes, idempotency_key=key)
    warn_of_ignored_details(connection, model, changes)
    _adopt(run, read_run(RunRecord, model, "updateRun", path.namespace_slug))


def _adopt(run: RunRecord, changed: RunRecord) -> None:
    for field in _CHANGEABLE:
        setattr(run, field, getattr(changed, field))
    run.date_updated = changed.date_updated
    set_etag(run, etag_of(changed))


def _etag_for(run: RunRecord, connection: Connection) -> str:
    etag = etag_of(run)
    if etag is None:
        raise TellurioError(
            f"update: {connection.url} does not answer with the etag of run {run.name!r}, so it "
            "cannot refuse the update if the run was changed, and nothing was sent; use a backend "
            "that supports it, or leave out if_unchanged"
        )
    return etag


def _find_own_change(
    run: RunRecord,
    connection: Connection,
    path: RunPath,
    error: RunChangedError,
    changes: Mapping[str, Any],
) -> RunRecord | None:
    """Reads the run again if an earlier attempt of the request may have changed it."""
    if not may_be_own_change(error):
        return None
    model = operations.get_run(connection, path)
    current = read_run(RunRecord, model, "getRun", path.namespace_slug)
    # A name with a number may be the former one.
    is_renamed = changes.get("name") in (None, current.name) or current.name != run.name
    return current if is_renamed else None


def _ignored(changed: RunRecord, changes: Mapping[str, Any]) -> list[str]:
    """The fields that do not have the wanted values."""
    return [
        field
        for field, wanted in changes.items()
        if (getattr(changed, field) or "") != (wanted or "")
        and not (field == "name" and _is_named(changed.name, wanted))
    ]


def _is_named(name: str, wanted: str) -> bool:
    """Whether a run got the wanted name; one that is taken gets a number."""
    rest = name.removeprefix(wanted)
    return name.startswith(wanted) and (not rest or re.fullmatch(r"_\d+", rest) is not None)
