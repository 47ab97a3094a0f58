"""Delivering what waits on the disk, and copying the runs of one backend to another."""

from __future__ import annotations

import uuid
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from afnio_tellurio.api import operations
from afnio_tellurio.api.calling import RunPath
from afnio_tellurio.api.entities import RunRecord, RunStatus, read_run
from afnio_tellurio.api.metric_lists import list_metrics, restored
from afnio_tellurio.client import TellurioClient, connection_of, open_database
from afnio_tellurio.copying_files import FilesDelivery, ServedFiles, copy_files
from afnio_tellurio.copying_runs import CopiedRun, CreatedRun, RunToCopy, copy_runs
from afnio_tellurio.delivery.records import End, microseconds_of
from afnio_tellurio.delivery.recovery import (
    SyncedJournal,
    address_of,
    deliver_journals,
    list_journals,
    may_live_elsewhere,
    unreadable,
)
from afnio_tellurio.delivery.resending import reopen_rejected, reopen_undeliverable
from afnio_tellurio.delivery.senders import settle
from afnio_tellurio.errors import BackendUnreachableError, DatabaseError, TellurioError
from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.settings.settings import read_settings
from afnio_tellurio.validation import encoded_value

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from typing import Any

    from afnio_tellurio.api.connection import Connection
    from afnio_tellurio.copied_values import Value
    from afnio_tellurio.copying_runs import Change, Progress
    from afnio_tellurio.delivery.journal_file import JournalFile
    from afnio_tellurio.tracking.run import Run


def upload(
    runs: Iterable[Run],
    source: TellurioClient,
    target: TellurioClient,
    *,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Iterator[CopiedRun]:
    """Copies finished runs to another backend, with names, steps, times and final status.

    Args:
        runs: The runs.
        source: The backend that has them.
        target: The backend to copy them to; the namespace must exist there.
        dry_run: Whether to only report what would be uploaded.
        progress: Called after each request.

    Returns:
        The result for each run, one by one.
    """
    served = (_ServedRun(run, source) for run in runs)
    return copy_runs(served, target, dry_run=dry_run, progress=progress)


class _ServedRun(RunToCopy):
    """A run of another backend.

    Args:
        run: The run.
        source: The backend that has it.
    """

    def __init__(self, run: Run, source: TellurioClient) -> None:
        path = _path(run)
        super().__init__(run.uuid, run.name, path.namespace_slug, path.project_slug)
        self._run = run
        self._client = source
        self._source = connection_of(source)

    def count(self) -> int:
        run = self._run
        if run.status is RunStatus.RUNNING:
            self.obstacle = "it is still running"
        total = sum(metric.count for metric in run.summary(self._client).values())
        return total + sum(table.count for table in run.tables(self._client).values())

    def create_at(self, target: Connection) -> CreatedRun:
        return _create_there(self._run, target)

    def values(self) -> Iterator[Value]:
        return chain(_metrics(self._run, self._source), _rows(self._run, self._source))

    def changes(self) -> Iterator[Change]:
        return _changes(self._run, self._source)

    def end(self) -> End:
        return _end_of(self._run)

    def copy_files(
        self,
        target: Connection,
        there: RunPath,
        known: Collection[str],  # noqa: ARG002
    ) -> int:
        source = ServedFiles(self._source, _path(self._run))
        return copy_files(source, FilesDelivery(target, there, self.key))


def _path(run: Run) -> RunPath:
    if run.organization is None or run.project is None:
        raise ValueError(f"run {run.name!r} has no organization or no project")
    return RunPath(run.organization.slug, run.project.slug, run.uuid)


def _create_there(run: Run, target: Connection) -> CreatedRun:
    """Creates the run at the target, and its project if necessary."""
    namespace_slug, project_slug, run_uuid = _path(run)
    project = operations.get_project(target, namespace_slug, project_slug)
    if project is None:
        project = operations.create_project(
            target,
            namespace_slug,
            display_name=run.project.display_name if run.project else project_slug,
            visibility="RESTRICTED",
        )
    created = operations.create_run(
        target,
        namespace_slug,
        project.slug,
        name=run.name,
        status=RunStatus.RUNNING.value,
        idempotency_key=str(uuid.uuid5(uuid.UUID(run_uuid), "upload")),
        details=_details_of(run),
    )
    return CreatedRun(str(created.uuid), created.name)


def _details_of(run: Run) -> dict[str, Any]:
    """What a run is beside its metrics, as the body of `createRun`."""
    details = {
        "description": run.description,
        "config": dict(run.config),
        "tags": list(run.tags),
        "group": run.group,
        "job_type": run.job_type,
        "notes": run.notes,
        "parent_uuid": run.parent_uuid,
        "date_created": run.date_created and run.date_created.isoformat(),
    }
    return {name: value for name, value in details.items() if value}


def _end_of(run: Run) -> End:
    reason = run.ended_because
    because = None if reason is None else attrs.asdict(reason, filter=_is_of_the_contract)
    time = None if run.date_ended is None else microseconds_of(run.date_ended)
    return End(run.status.value, time, because)


def _is_of_the_contract(field: attrs.Attribute[Any], _value: Any) -> bool:
    return field.name != "extra"


def _metrics(run: Run, source: Connection) -> Iterator[Value]:
    settle(source, "listMetrics", run.uuid)
    for metrics in chain.from_iterable(list_metrics(source, _path(run))):
        values = restored(metrics)
        for step, value, time in zip(metrics.steps, values, metrics.times, strict=True):
            yield step, time or 0, metrics.name, encoded_value(value)


def _rows(run: Run, source: Connection) -> Iterator[Value]:
    for table in operations.list_tables(source, _path(run)) or ():
        for row in chain.from_iterable(operations.list_rows(source, _path(run), name=table.name)):
            fields = row.value.additional_properties
            # A row from before the table had the key need not have it.
            place = [table.row_key] if table.row_key in fields else []
            yield place, microseconds_of(row.timestamp), table.name, fields


def _changes(run: Run, source: Connection) -> Iterator[Change]:
    """What the run was not created with. Lists of runs leave it out."""
    model = operations.get_run(source, _path(run))
    environment = read_run(RunRecord, model, "getRun", _path(run).namespace_slug).environment
    if environment is not None:
        key = str(uuid.uuid5(uuid.UUID(run.uuid), "environment"))
        yield key, 0, {"environment": environment}


def _run_finder(
    connection_for: Callable[[JournalFile], Connection],
) -> Callable[[JournalFile], bool]:
    """Returns a function that returns True if the backend of a journal has its run."""
    absent: set[str] = set()

    def is_there(journal: JournalFile) -> bool:
        connection, header = connection_for(journal), journal.header
        if connection.address in absent:
            return False
        path = RunPath(header.namespace_slug, header.project_slug, header.run_uuid)
        try:
            operations.get_run(connection.for_delivery, path)
        except LookupError as error:
            raise_foreign(error)
            return False
        except BackendUnreachableError:
            # Not again for each journal, each after a timeout.
            absent.add(connection.address)
            return False
        return True

    return is_there


def sync(*, other_hosts: bool = False, rejected: bool = False) -> list[SyncedJournal]:
    """Delivers the metrics that dead processes logged, and ends their runs.

    A run that its process did not end is set to `CRASHED`. Journals of live processes are left to
    them. What was logged to a run in the trash is delivered once the run is restored. Repeating it
    is safe.

    Args:
        other_hosts: Whether to deliver the journals of other machines too, if the folder of the
            journals is on a network file system. There a live process on another machine may look
            dead; make sure that the runs' programs have ended.
        rejected: Whether to also send metrics and files again that a backend rejected, because it
            may accept them now. Each `.rejected` file and each `.rejected-files` folder becomes a
            journal and is delivered like one. What the backend rejects again is kept again.

    Returns:
        The result for each journal.
    """
    settings = read_settings()
    clients: dict[tuple[str, bool], TellurioClient] = {}

    def connection_for(journal: JournalFile) -> Connection:
        if not other_hosts and may_live_elsewhere(journal):
            raise TellurioError(
                f"its process on {journal.header.host} may still be running; when it has ended, "
                "run afnio-tellurio sync on that machine, or with --other-hosts"
            )
        key = address, is_local = address_of(journal), journal.header.is_local
        if key not in clients:
            if is_local and not Path(address).exists():
                raise DatabaseError(
                    f"the database {address} does not exist; put it back there, start a run, which "
                    "creates a new one, or remove the journal to discard its metrics"
                )
            clients[key] = (
                open_database(settings, Path(address), create=False)
                if is_local
                else TellurioClient(address)
            )
        return connection_of(clients[key])

    try:
        reopen_undeliverable(settings.journals, _run_finder(connection_for))
        paths = list_journals(settings.journals)
    except OSError as error:
        raise_foreign(error)
        return [SyncedJournal(path=str(settings.journals), problem=unreadable(error))]
    try:
        results = list(deliver_journals(paths, connection_for))
        if rejected:
            journals, problems = reopen_rejected(settings.journals)
            results += [*problems, *deliver_journals(journals, connection_for)]
        return results
    finally:
        for client in clients.values():
            client.close()
