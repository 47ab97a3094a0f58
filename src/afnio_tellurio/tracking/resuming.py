"""Resuming a run that has ended, such as that of a job that was stopped and starts again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from afnio_tellurio.api import operations
from afnio_tellurio.api.entities import read_run
from afnio_tellurio.api.operations import RunPath
from afnio_tellurio.client import connection_of
from afnio_tellurio.clock import monotonic
from afnio_tellurio.deadlines import within
from afnio_tellurio.delivery.recording import Recording
from afnio_tellurio.delivery.recovery import deliver_journals_of_run
from afnio_tellurio.delivery.senders import settle
from afnio_tellurio.errors import NotFoundError, TellurioError, may_have_arrived
from afnio_tellurio.tracking.active import open_runs
from afnio_tellurio.tracking.details import as_changes
from afnio_tellurio.tracking.finding import runs_named
from afnio_tellurio.tracking.run import Run
from afnio_tellurio.tracking.safeguard import safeguard

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from afnio_tellurio.api.connection import Connection
    from afnio_tellurio.api.entities import RunStatus
    from afnio_tellurio.client import TellurioClient

#: Seconds between looks at a journal that another process holds.
_INTERVAL = 0.05


def resume_run(
    client: TellurioClient,
    namespace_slug: str,
    project_slug: str,
    *,
    name: str,
    description: str | None,
    status: RunStatus,
    details: Mapping[str, Any],
) -> tuple[Run, Recording | None] | None:
    """Opens the newest run of a name again, whose journal is there first.

    So a later process can end the run if this one dies before the answer, or the answer is lost.

    Returns:
        The run and its recording, or None if the project has no run of this name. A run that is
        open in this process is not changed, and comes without a recording.

    Raises:
        TellurioError: A request failed; or within `TELLURIO_EXIT_TIMEOUT`, a journal could not be
            delivered, or another process on this machine did not end the run.
    """
    try:
        named = runs_named(client, namespace_slug, project_slug, name)
    except NotFoundError:
        # The project does not exist yet.
        return None
    if not named:
        return None
    run = named[0]
    if any(each.uuid == run.uuid for each in open_runs()):
        return run, None
    connection = connection_of(client)
    path = RunPath(namespace_slug, project_slug, run.uuid)
    _wait_for_its_end(connection, path.run_uuid, name)
    with safeguard:
        recording = Recording(connection, path, run_name=run.name, owns_run=True)
        try:
            fields = {"status": status.value, **as_changes(details)}
            if description is not None:
                fields["description"] = description
            model = operations.update_run(connection, path, fields)
            run = read_run(Run, model, "updateRun", namespace_slug)
        except BaseException as error:  # raised again: the journal must not stay in use
            recording.give_up(is_certain=not may_have_arrived(error))
            raise
    return run, recording


def _wait_for_its_end(connection: Connection, run_uuid: str, name: str) -> None:
    """Waits until all that was logged to a run is delivered, and no process here owns it.

    A journal that is delivered later would end the run once more.
    """
    deadline = monotonic() + connection.settings.exit_timeout
    settle(connection, "updateRun", run_uuid)
    with within(deadline):
        while True:
            problem = deliver_journals_of_run(connection, run_uuid)
            if problem is None:
                return
            if monotonic() >= deadline:
                raise TellurioError(f"init: run {name!r} cannot be resumed: {problem}")
            time.sleep(_INTERVAL)
