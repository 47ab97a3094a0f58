"""Resuming a run that has ended, such as that of a job that was stopped and starts again."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Literal

from afnio_tellurio.api import operations
from afnio_tellurio.api.calling import RunPath
from afnio_tellurio.api.entities import read_run
from afnio_tellurio.client import connection_of
from afnio_tellurio.clock import monotonic
from afnio_tellurio.deadlines import within
from afnio_tellurio.delivery.recording import Recording
from afnio_tellurio.delivery.recovery import deliver_journals_of_run
from afnio_tellurio.delivery.senders import settle
from afnio_tellurio.errors import NotFoundError, TellurioError, may_have_arrived, was_deleted
from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.tracking.active import open_runs
from afnio_tellurio.tracking.details import as_changes
from afnio_tellurio.tracking.finding import runs_named
from afnio_tellurio.tracking.run import Run, bind_run
from afnio_tellurio.tracking.safeguard import safeguard
from afnio_tellurio.validation import checked_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from afnio_tellurio.api.connection import Connection
    from afnio_tellurio.api.entities import RunStatus
    from afnio_tellurio.client import TellurioClient

#: The namespace of the UUIDs of keys. It never changes: runs are found by it.
_KEYS = uuid.UUID("6d1f7e52-0d0e-5b6c-9a3e-3f6b0c1c7a44")
#: Runs of one key, deleted one after the other, that are looked for.
_MAX_GENERATIONS = 100
#: Seconds between looks at a journal that another process holds.
_INTERVAL = 0.05


def checked_resume(
    resume: Any, name: str | None, key: Any
) -> tuple[Literal["never", "allow", "must"], str | None]:
    """Whether to resume a run, and its key.

    Raises:
        TypeError: `resume` is not a bool or a string, or the key is not a string.
        ValueError: There is no such word, the key is empty or too long, or there is neither a key
            nor a name to find the run by.
    """
    if key is not None:
        key = checked_name("init", "key", key)
    words: dict[Any, Literal["never", "allow", "must"]] = {
        False: "never", True: "allow", "never": "never", "allow": "allow", "must": "must",
    }  # fmt: skip
    message = f"init: resume is {resume!r}; it must be 'never', 'allow', 'must', or a bool"
    if not isinstance(resume, bool | str):
        raise TypeError(message)
    if resume not in words:
        raise ValueError(message)
    word = words[resume]
    if word != "never" and name is None and key is None:
        raise ValueError(
            f"init: resume is {resume!r}, but there is no key and no name; pass one of them"
        )
    return word, key


def resume_if_asked(
    client: TellurioClient,
    namespace_slug: str,
    project_slug: str,
    resume: Literal["never", "allow", "must"],
    **wanted: Any,
) -> tuple[Run, Recording | None] | None:
    """Does what `_resume_run` does, if that is asked for.

    Raises:
        LookupError: The run must be resumed, and does not exist.
        TellurioError: The run must not be resumed, and exists; or as for `_resume_run`.
    """
    name, key = wanted["name"], wanted["key"]
    if resume == "never":
        run = key and _find_run(client, namespace_slug, project_slug, name=None, key=key)
        if run:
            raise TellurioError(
                f"init: run {run.name!r} has the key {key!r}; pass resume='allow' to go on with "
                "it, or another key"
            )
        return None
    resumed = _resume_run(client, namespace_slug, project_slug, **wanted)
    if resumed is None and resume == "must":
        what = f"named {name!r}" if key is None else f"with the key {key!r}"
        raise LookupError(
            f"init: {namespace_slug}/{project_slug} has no run {what} to resume; "
            "resume='allow' starts one"
        )
    return resumed


def _resume_run(
    client: TellurioClient,
    namespace_slug: str,
    project_slug: str,
    *,
    name: str | None,
    key: str | None,
    description: str | None,
    status: RunStatus,
    details: Mapping[str, Any],
) -> tuple[Run, Recording | None] | None:
    """Opens the run of a key, or the newest one of a name, again; its journal is there first.

    So a later process can end the run if this one dies before the answer, or the answer is lost.

    Returns:
        The run and its recording, or None if the project has no such run. A run that is open in
        this process is not changed, and comes without a recording.

    Raises:
        TellurioError: A request failed; or within `TELLURIO_EXIT_TIMEOUT`, a journal could not be
            delivered, or another process on this machine did not end the run.
    """
    run = _find_run(client, namespace_slug, project_slug, name=name, key=key)
    if run is None:
        return None
    if any(each.uuid == run.uuid for each in open_runs()):
        return run, None
    connection = connection_of(client)
    path = RunPath(namespace_slug, project_slug, run.uuid)
    _wait_for_its_end(connection, path.run_uuid, run.name)
    with safeguard:
        recording = Recording(connection, path, run_name=run.name, owns_run=True)
        try:
            fields = {"status": status.value, **as_changes(details, run)}
            if description is not None:
                fields["description"] = description
            model = operations.update_run(connection, path, fields)
            run = read_run(Run, model, "updateRun", namespace_slug)
        except BaseException as error:  # raised again: the journal must not stay in use
            recording.give_up(is_certain=not may_have_arrived(error))
            raise
    return run, recording


def _find_run(
    client: TellurioClient,
    namespace_slug: str,
    project_slug: str,
    *,
    name: str | None,
    key: str | None,
) -> Run | None:
    """Finds the run of a key, or without one the newest run of a name.

    Raises:
        TellurioError: A request failed.
    """
    if key is None:
        try:
            named = runs_named(client, namespace_slug, project_slug, name or "")
        except NotFoundError:
            # The project does not exist yet.
            return None
        return named[0] if named else None
    return _find_by_key(client, namespace_slug, project_slug, key)[1]


def _find_by_key(
    client: TellurioClient, namespace_slug: str, project_slug: str, key: str
) -> tuple[str, Run | None]:
    """The UUID that a caller's key names, and its run if there is one.

    Every process finds the same one. After the run was deleted, its UUID is never free again, and
    the key names the next UUID.

    Raises:
        TellurioError: A request failed, or too many runs of the key were deleted.
    """
    connection = connection_of(client)
    run_uuid = uuid.uuid5(_KEYS, f"{namespace_slug}/{project_slug}/{key}")
    for _generation in range(_MAX_GENERATIONS):
        path = RunPath(namespace_slug, project_slug, str(run_uuid))
        try:
            model = operations.get_run(connection, path)
        except LookupError as error:
            raise_foreign(error)
            if isinstance(error, NotFoundError) and was_deleted(error):
                run_uuid = uuid.uuid5(run_uuid, "next")
                continue
            return path.run_uuid, None
        run = read_run(Run, model, "getRun", namespace_slug)
        bind_run(run, client, project_slug)
        return path.run_uuid, run
    raise TellurioError(
        f"init: {_MAX_GENERATIONS} runs with the key {key!r} were deleted; use another key"
    )


def uuid_of_key(client: TellurioClient, namespace_slug: str, project_slug: str, key: str) -> str:
    """The UUID for a new run with a caller's key."""
    return _find_by_key(client, namespace_slug, project_slug, key)[0]


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
