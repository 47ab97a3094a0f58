"""Renames or describes a run, and notices a backend that ignores it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from afnio_tellurio.api import operations
from afnio_tellurio.api.entities import RunRecord, read_run
from afnio_tellurio.errors import InvalidResponseError

if TYPE_CHECKING:
    from afnio_tellurio.api.connection import Connection
    from afnio_tellurio.api.operations import RunPath


def change_run(
    run: RunRecord,
    connection: Connection,
    path: RunPath,
    *,
    name: str | None,
    description: str | None,
) -> None:
    """Changes what is not None, at the backend and then in the run.

    Raises:
        InvalidResponseError: The backend ignored a change.
    """
    model = operations.update_run(connection, path, name=name, description=description)
    changed = read_run(RunRecord, model, "updateRun", path.namespace_slug)
    run.name = changed.name
    run.description = changed.description
    run.date_updated = changed.date_updated
    ignored: list[str] = []
    if name is not None and not _is_named(changed.name, name):
        ignored.append("name")
    if description is not None and (changed.description or "") != description:
        ignored.append("description")
    if ignored:
        raise InvalidResponseError(
            f"update: {connection.url} ignored the new {' and '.join(ignored)} of run "
            f"{changed.name!r}; use a backend that supports the change",
            operation="updateRun",
        )


def _is_named(name: str, wanted: str) -> bool:
    """Whether a run got the wanted name; one that is taken gets a number."""
    rest = name.removeprefix(wanted)
    return name.startswith(wanted) and (not rest or re.fullmatch(r"_\d+", rest) is not None)
