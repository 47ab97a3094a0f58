"""The functions of the package that start a run, and that log to and finish the active one."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any

from afnio_tellurio.api import operations
from afnio_tellurio.api.calling import RunPath
from afnio_tellurio.api.details import warn_of_ignored_details
from afnio_tellurio.api.entities import RunStatus, read_project, read_run
from afnio_tellurio.client import TellurioClient, connection_of
from afnio_tellurio.default_client import client_or_default
from afnio_tellurio.delivery.recording import Recording
from afnio_tellurio.delivery.recovery import warn_of_orphans
from afnio_tellurio.errors import (
    BadRequestError,
    ConflictError,
    RunFinishedError,
    TellurioError,
    may_have_arrived,
)
from afnio_tellurio.frameworks import share_run
from afnio_tellurio.notices import warn_once
from afnio_tellurio.settings.settings import read_settings
from afnio_tellurio.tracking.active import active_run, join, open_runs
from afnio_tellurio.tracking.announcements import tell_started
from afnio_tellurio.tracking.console import checked_console
from afnio_tellurio.tracking.details import as_attributes, checked_details, keep_details
from afnio_tellurio.tracking.disabled import DisabledRun
from afnio_tellurio.tracking.end_reasons import SUPERSEDED
from afnio_tellurio.tracking.finding import get_run
from afnio_tellurio.tracking.notebook_cells import note_cells, status_of_superseded
from afnio_tellurio.tracking.recorders import make_recorders
from afnio_tellurio.tracking.resuming import checked_resume, resume_if_asked, uuid_of_key
from afnio_tellurio.tracking.run import Run, bind_run, capture_environment, start_recorders
from afnio_tellurio.tracking.safeguard import activate, end, safeguard
from afnio_tellurio.tracking.statuses import ENDED, checked_status
from afnio_tellurio.tracking.system_metrics import checked_interval
from afnio_tellurio.validation import (
    accept_missing_value,
    checked_display_name,
    checked_name,
    checked_slug,
    checked_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from afnio_tellurio.api.connection import Connection
    from afnio_tellurio.api.entities import RunRecord
    from afnio_tellurio.delivery.outbox import DeliveryReceipt


def init(
    namespace_slug: str,
    project_display_name: str,
    name: str | None = None,
    description: str | None = None,
    status: RunStatus | str | None = RunStatus.RUNNING,
    client: TellurioClient | None = None,
    *,
    config: Any = None,
    tags: Iterable[str] = (),
    group: str | None = None,
    job_type: str | None = None,
    notes: str | None = None,
    parent: RunRecord | str | None = None,
    system_metrics: bool | float = False,
    console: bool = False,
    key: str | None = None,
    resume: bool | str = False,
) -> Run:
    """Starts a run and makes it the active one of this thread or task.

    The project is created, with visibility `RESTRICTED`, if it does not exist. A run that the same
    thread or task started before, and that is still open, is ended as `FAILED`. A run that is still
    open when the process ends is ended then: as `COMPLETED` after a normal end, as `CRASHED` after
    an unhandled exception, a `sys.exit` with a status other than zero, or SIGTERM.

    Args:
        namespace_slug: The slug of the organization or user that owns the project.
        project_display_name: The project's name as people see it.
        name: The run's name; default a random one such as `brave_pasta_123`. A number is appended
            if the project has a run of this name, unless it is resumed.
        description: A description.
        status: The status to start with, or its word; `None` means `RUNNING`.
        client: The client to use; default the environment's.
        config: What the run is configured with: a mapping, an `argparse.Namespace`, or an instance
            of a dataclass, an attrs class or a pydantic model, of any depth. What looks like a
            credential is replaced by a mark, unless `TELLURIO_REDACT` is 0. A run that is resumed
            merges it into its config.
        tags: Words to find the run by, each of 1 to 255 characters; up to 100.
        group: What the run belongs to, such as a sweep; 1 to 255 characters.
        job_type: What the run does within its group, such as `"train"`; 1 to 255 characters.
        notes: Notes of any length.
        parent: The run that this one is a part of, or its UUID. It may be of another process.
        system_metrics: Whether to log what this process and its descendants use, every 10 seconds,
            under `system/`: processors, memory, and GPUs. A number is the seconds between two
            samples, 1 or more.
        console: Whether to record the lines that this process prints to stdout and stderr while the
            run is open, in the table `console`.
        key: Your own name for the run, unique in the project, such as `"slurm-1234"`; 1 to 255
            characters. It finds the run again, whatever its name is.
        resume: Whether to resume the run of this key, or without a key the newest run of this name:
            `"allow"` or true if there is one, `"must"` requires one, and `"never"` or false
            requires that no run has the key. The run becomes `RUNNING` again, and steps continue.
            This is how a job that was stopped and starts again goes on with its run. The run must
            have ended, or its process must have died. One that is open in this process is returned
            as it is, and a parent is only for a new run.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: A name, tag, group or job type is empty or too long, the config cannot be
            recorded, the namespace is not a slug, the project's name has no slug, there is no such
            status, the time between samples is too short, or a run is to be resumed without a key
            or a name.
        LookupError: The run to resume does not exist.
        NotFoundError: The namespace does not exist.
        InvalidAPIKeyError: The API key is missing or refused.
        DatabaseError: The embedded backend cannot use its database.
        TellurioError: The request failed, a run has the key and is not to be resumed, or another
            process on this machine still owns the run to resume after `TELLURIO_EXIT_TIMEOUT`
            seconds.
    """
    return make_active(
        *open_run(
            namespace_slug,
            project_display_name,
            name,
            description,
            status,
            client,
            config=config,
            tags=tags,
            group=group,
            job_type=job_type,
            notes=notes,
            parent=parent,
            system_metrics=system_metrics,
            console=console,
            key=key,
            resume=resume,
        )
    )


def open_run(
    namespace_slug: str,
    project_display_name: str,
    name: str | None,
    description: str | None,
    status: RunStatus | str | None,
    client: TellurioClient | None,
    *,
    system_metrics: bool | float,
    console: bool,
    key: str | None,
    resume: bool | str,
    **details: Any,
) -> tuple[Run, Connection | None]:
    """Does the part of `init` that waits for the backend; see there."""
    namespace_slug = checked_slug("init", "namespace slug", namespace_slug)
    project_display_name, slug = checked_display_name("init", project_display_name)
    if name is not None:
        name = checked_name("init", "run name", name)
    if description is not None:
        description = checked_text("init", "description", description)
    status = RunStatus.RUNNING if status is None else checked_status("init", status)
    system_interval = checked_interval("init", system_metrics)
    console = checked_console("init", console)
    resume, key = checked_resume(resume, name, key)
    client = client_or_default(client)
    if client is None:
        fields = as_attributes(checked_details("init", read_settings(), **details))
        nobody = str(uuid.UUID(int=0))
        return DisabledRun(nobody, name or "disabled", description, status, **fields), None
    connection = connection_of(client)
    fields = checked_details("init", connection.settings, **details)
    resumed = resume_if_asked(
        client,
        namespace_slug,
        slug,
        resume,
        name=name,
        key=key,
        description=description,
        status=status,
        details=fields,
    )
    if resumed is None:
        if description is not None:
            fields["description"] = description
        with safeguard:
            slug = _ensure_project(connection, namespace_slug, slug, project_display_name)
            run_uuid = (
                uuid.uuid4() if key is None else uuid_of_key(client, namespace_slug, slug, key)
            )
            path = RunPath(namespace_slug, slug, str(run_uuid))
            run = _create_run(client, path, name, status, fields)
    else:
        run, recording = resumed
        if recording is None:
            return _find_open(run.uuid) or run, connection
        bind_run(run, client, slug, recording)
    capture_environment(run)
    warn_of_orphans(connection.settings.journals)
    tell_started(run, client, namespace_slug, slug)
    start_recorders(run, make_recorders(run, system_interval=system_interval, console=console))
    return run, connection


def make_active(run: Run, connection: Connection | None) -> Run:
    """Makes a run that `open_run` opened the active one of this thread or task; returns it."""
    if any(each is run for each in open_runs()):
        join(run)
        return run
    superseded = activate(run)
    if superseded is not None:
        end(superseded, status_of_superseded(superseded), SUPERSEDED)
    note_cells(run)
    share_run(run, connection)
    return run


def _create_run(
    client: TellurioClient,
    path: RunPath,
    name: str | None,
    status: RunStatus,
    details: Mapping[str, Any],
) -> Run:
    """Creates a run, whose journal is there first.

    So a later process can end the run if this one dies before the answer, or the answer is lost.
    """
    connection = connection_of(client)
    namespace_slug, project_slug, run_uuid = path
    recording = Recording(connection, path, run_name=name or "", owns_run=True)
    try:
        created = operations.create_run(
            connection,
            namespace_slug,
            project_slug,
            name=name,
            status=status,
            idempotency_key=run_uuid,
            run_uuid=run_uuid,
            details=details,
        )
        run = read_run(Run, created, "createRun", namespace_slug)
    except BaseException as error:  # raised again: the journal must not stay in use
        recording.give_up(is_certain=not may_have_arrived(error))
        raise
    if run.uuid == run_uuid:
        recording.name_run(run.name)
    else:
        # The backend chooses the UUIDs.
        recording.give_up(is_certain=True)
        path = path._replace(run_uuid=run.uuid)
        recording = Recording(connection, path, run_name=run.name, owns_run=True)
    bind_run(run, client, project_slug, recording)
    if details:
        warn_of_ignored_details(connection, created, details)
        keep_details(run, details)
        recording.record_birth(details)
    return run


def _ensure_project(
    connection: Connection, namespace_slug: str, slug: str, display_name: str
) -> str:
    """Creates the project if it does not exist; returns its slug."""
    operation = "getProject"
    project = operations.get_project(connection, namespace_slug, slug)
    if project is None:
        try:
            project = operations.create_project(
                connection, namespace_slug, display_name=display_name, visibility="RESTRICTED"
            )
            operation = "createProject"
        except TellurioError as error:
            # Another process may have created it meanwhile; the platform may answer so with 400.
            # Or the answer was lost.
            is_refused = isinstance(error, (ConflictError, BadRequestError))
            if not is_refused and not may_have_arrived(error):
                raise
            project = operations.get_project(connection, namespace_slug, slug)
            if project is None:
                raise
    found = read_project(project, operation)
    if _letters(found.display_name) not in {_letters(display_name), _letters(slug)}:
        warn_once(
            f"projects {display_name!r} and {found.display_name!r} have the same slug "
            f"{namespace_slug}/{found.slug}, so they are one project"
        )
    return found.slug


def _letters(name: str) -> str:
    """A name without what people vary in it: case, spaces, hyphens and underscores."""
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()


def _find_open(run_uuid: str) -> Run | None:
    """The handle of a run that is open in this process."""
    return next((run for run in open_runs() if run.uuid == run_uuid), None)


def attach(
    namespace_slug: str, project: str, run: str, client: TellurioClient | None = None
) -> Run:
    """Makes a run of another process the active one of this thread or task, to log to it.

    The run does not end with this process: the process that started it finishes it. This is how
    the ranks of one job log to one run.

    Args:
        namespace_slug: The slug of the namespace that owns the project.
        project: The project's slug or display name.
        run: The run's UUID or name.
        client: The client to use; default the environment's.

    Raises:
        TypeError: A name is not a string.
        ValueError: A name is empty, too long or without a slug.
        RunFinishedError: The run is finished.
        NotFoundError: The project does not exist.
        LookupError: The project has no such run.
        TellurioError: The request failed.
    """
    attached = get_run(namespace_slug, project, run, client)
    if attached.status in ENDED:
        raise RunFinishedError(
            f"attach: run {attached.name!r} is finished ({attached.status}); "
            "start a new one with init, or resume it with init(..., resume=True)"
        )
    attached = _find_open(attached.uuid) or attached
    client = client_or_default(client)
    return make_active(attached, None if client is None else connection_of(client))


def get_active_run() -> Run:
    """The active run: the one that this thread or task started last.

    A task that has started none has the run of the task that created it. A thread that has started
    none has the last run of the main thread, or else of any thread.

    Raises:
        ValueError: No run is active.
    """
    run: Run | None = active_run()
    if run is None:
        raise ValueError(
            "no run is active; start one with init(namespace_slug, project_display_name)"
        )
    return run


def log(
    name: str, value: Any, step: int | None = None, client: TellurioClient | None = None
) -> None:
    """Logs one metric to the active run; see `Run.log`.

    Raises:
        ValueError: No run is active.
    """
    get_active_run().log(name, value, step, client)


accept_missing_value(log)


def log_metrics(
    metrics: Mapping[str, Any], step: int | None = None, client: TellurioClient | None = None
) -> None:
    """Logs several metrics of one step to the active run; see `Run.log_metrics`.

    Raises:
        ValueError: No run is active.
    """
    get_active_run().log_metrics(metrics, step, client)


def log_rows(
    name: str,
    rows: Iterable[Mapping[str, Any]],
    key: str | None = None,
    client: TellurioClient | None = None,
) -> None:
    """Appends rows to a table of the active run; see `Run.log_rows`.

    Raises:
        ValueError: No run is active.
    """
    get_active_run().log_rows(name, rows, key, client)


def flush(timeout: float | None = None) -> DeliveryReceipt:
    """Waits until the backend has what was logged to the active run; see `Run.flush`.

    Raises:
        ValueError: No run is active.
    """
    return get_active_run().flush(timeout)


def finish(
    client: TellurioClient | None = None, status: RunStatus | str | None = RunStatus.COMPLETED
) -> DeliveryReceipt:
    """Ends the active run; see `Run.finish`.

    Raises:
        ValueError: No run is active.
    """
    return get_active_run().finish(client, status)
