"""Creates a run again that its backend has lost."""

from __future__ import annotations

import uuid
from contextlib import suppress
from typing import TYPE_CHECKING

from afnio_tellurio.api import operations
from afnio_tellurio.errors import ConflictError, InvalidResponseError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from afnio_tellurio.api.calling import RunPath
    from afnio_tellurio.api.connection import Connection


def restore_run(
    connection: Connection, path: RunPath, *, name: str, details: Mapping[str, Any]
) -> None:
    """Creates a run that the backend lost, with its UUID, and its project if that is gone too.

    Several processes may do so at once: the run is created once.

    Args:
        connection: The backend.
        path: The run.
        name: Its name; a number is appended if another run has taken the name.
        details: What else it was created with, as the body of `createRun`.

    Raises:
        ConflictError: The run was deleted on purpose, or belongs to another project.
        NotFoundError: The namespace does not exist.
        InvalidResponseError: The answer is invalid, or the backend has created a run with another
            UUID.
    """
    namespace_slug, project_slug, run_uuid = path
    if operations.get_project(connection, namespace_slug, project_slug) is None:
        # A conflict means that another process has created it meanwhile.
        with suppress(ConflictError):
            operations.create_project(
                connection, namespace_slug, display_name=project_slug, visibility="RESTRICTED"
            )
    run = operations.create_run(
        connection,
        namespace_slug,
        project_slug,
        name=name,
        status="RUNNING",
        # So a backend that ignores the UUID creates at most one run, even if asked repeatedly.
        idempotency_key=str(uuid.uuid5(uuid.UUID(run_uuid), "restore")),
        run_uuid=run_uuid,
        details=details,
    )
    if str(run.uuid) != run_uuid.lower():
        raise InvalidResponseError(
            f"Cannot create run: {connection.url} was asked to create the run {run_uuid} and "
            f"created {run.uuid}",
            operation="createRun",
        )
