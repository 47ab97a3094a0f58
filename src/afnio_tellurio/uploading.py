"""Delivering what waits on the disk, and copying the runs of one backend to another."""

from __future__ import annotations

import uuid
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import msgspec

from afnio_tellurio.api import operations
from afnio_tellurio.api.calling import RunPath
from afnio_tellurio.api.entities import RunRecord, RunStatus, read_run
from afnio_tellurio.api.metric_lists import list_metrics, restored
from afnio_tellurio.client import TellurioClient, connection_of, open_database
from afnio_tellurio.copying_files import FilesCopy
from afnio_tellurio.delivery.journal_file import JournalFile
from afnio_tellurio.delivery.journal_writing import remove_journal, write_journal
from afnio_tellurio.delivery.records import End, Header, microseconds_of
from afnio_tellurio.delivery.recovery import (
    SyncedJournal,
    address_of,
    deliver,
    deliver_journals,
    list_journals,
    locked,
    may_live_elsewhere,
    unreadable,
)
from afnio_tellurio.delivery.resending import reopen_rejected, reopen_undeliverable
from afnio_tellurio.delivery.senders import settle
from afnio_tellurio.errors import (
    BackendUnreachableError,
    DatabaseError,
    TellurioError,
    counted_metrics,
)
from afnio_tellurio.files import make_private_directory, replace_whole
from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.settings.settings import read_settings
from afnio_tellurio.validation import encoded_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from afnio_tellurio.api.connection import Connection
    from afnio_tellurio.api.metric_batches import Place
    from afnio_tellurio.tracking.run import Run


@attrs.frozen
class UploadedRun:
    """The result for one run.

    Attributes:
        name: The run's name at the source.
        name_there: Its name at the target, with a number if it was taken; None before the run is
            created there.
        metrics: The number of its metrics and rows.
        files: The number of files that were copied now, those of artifacts included.
        is_new: Whether something was uploaded now, or would be without `dry_run`.
        problem: Why it was not uploaded, or None.
    """

    name: str
    name_there: str | None
    metrics: int
    is_new: bool
    problem: str | None = None
    files: int = 0


class _Upload(msgspec.Struct):
    """The record of one upload, so that repeating it does nothing.

    Attributes:
        run_uuid: The run at the target.
        name: Its name there.
        is_written: Whether its journal was written: once that is gone, all of it is delivered.
        total: The number of metrics in that journal, or None in records of earlier versions.
        are_files_copied: Whether its artifacts and files are copied.
    """

    run_uuid: str
    name: str
    is_written: bool = False
    total: int | None = None
    are_files_copied: bool = False


def upload(
    runs: Iterable[Run],
    source: TellurioClient,
    target: TellurioClient,
    *,
    dry_run: bool = False,
    progress: Callable[[Run, int, int], None] | None = None,
) -> Iterator[UploadedRun]:
    """Copies finished runs to another backend, with names, steps, times and final status.

    Each goes through a journal, like the metrics of a dead process. So an interrupted upload is
    continued, and a complete one is not repeated.

    Args:
        runs: The runs.
        source: The backend that has them.
        target: The backend to copy them to; the namespace must exist there.
        dry_run: Whether to only report what would be uploaded.
        progress: Called with the run, the number of its metrics at the target, and their total.

    Returns:
        The result for each run, one by one.
    """
    for run in runs:
        try:
            yield _upload_run(run, source, target, dry_run=dry_run, progress=progress)
        except BackendUnreachableError:
            # The other runs would fail as well, each after a timeout.
            raise
        except (TellurioError, LookupError, ValueError, OSError) as error:
            raise_foreign(error)
            yield UploadedRun(run.name, None, 0, is_new=False, problem=str(error))


def _upload_run(
    run: Run,
    source: TellurioClient,
    target: TellurioClient,
    *,
    dry_run: bool,
    progress: Callable[[Run, int, int], None] | None,
) -> UploadedRun:
    total = sum(metric.count for metric in run.summary(source).values())
    total += sum(table.count for table in run.tables(source).values())
    if run.status is RunStatus.RUNNING:
        return UploadedRun(run.name, None, total, is_new=False, problem="it is still running")
    connection = connection_of(target)
    record = _record_path(run, connection)
    upload = _read(record)
    if upload is None:
        if dry_run:
            return UploadedRun(run.name, None, total, is_new=True)
        upload = _create_there(run, connection)
        _write(record, upload)
    journals = connection.settings.journals
    header = _header(run, connection, upload)
    path = journals / header.file_name()
    if upload.is_written and not path.exists():
        files = 0
        if not upload.are_files_copied and not dry_run:
            files = _copy_files(run, source, target, upload, record)
        return UploadedRun(
            run.name,
            upload.name,
            total,
            is_new=files > 0,
            problem=_problem_of_resumed(upload, total),
            files=files,
        )
    if dry_run:
        return UploadedRun(run.name, upload.name, total, is_new=True)
    if not upload.is_written:
        metrics = chain(_metrics(run, connection_of(source)), _rows(run, connection_of(source)))
        changes = _changes(run, connection_of(source))
        write_journal(journals, header, metrics, changes, _end_of(run))
        upload.is_written, upload.total = True, total
        _write(record, upload)

    def show(count: int) -> None:
        if progress is not None:
            progress(run, count, total)

    problem = _deliver(path, connection, show)
    files = _copy_files(run, source, target, upload, record) if problem is None else 0
    return UploadedRun(run.name, upload.name, total, is_new=True, problem=problem, files=files)


def _problem_of_resumed(upload: _Upload, total: int) -> str | None:
    if upload.total is None or upload.total >= total:
        return None
    since = counted_metrics(total - upload.total)
    return f"it was resumed after its upload; what it logged since ({since}) is only here"


def _copy_files(
    run: Run, source: TellurioClient, target: TellurioClient, upload: _Upload, record: Path
) -> int:
    """Copies the artifacts and files of a run, once its metrics are delivered."""
    path = _path(run)
    there = RunPath(path.namespace_slug, path.project_slug, upload.run_uuid)
    files = FilesCopy(connection_of(source), connection_of(target), path, there).copy()
    upload.are_files_copied = True
    _write(record, upload)
    return files


def _deliver(path: Path, target: Connection, progress: Callable[[int], None]) -> str | None:
    with locked(path) as is_ours:
        if not is_ours:
            return "another process is uploading it"
        journal = JournalFile.open(path)
        try:
            problem = deliver(target, journal, progress).problem
        finally:
            journal.close()
    if problem is None:
        remove_journal(path)
    return problem


def _path(run: Run) -> RunPath:
    if run.organization is None or run.project is None:
        raise ValueError(f"run {run.name!r} has no organization or no project")
    return RunPath(run.organization.slug, run.project.slug, run.uuid)


def _create_there(run: Run, target: Connection) -> _Upload:
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
    return _Upload(str(created.uuid), created.name)


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
    }
    return {name: value for name, value in details.items() if value}


def _end_of(run: Run) -> End:
    reason = run.ended_because
    because = None if reason is None else attrs.asdict(reason, filter=_is_of_the_contract)
    time = None if run.date_ended is None else microseconds_of(run.date_ended)
    return End(run.status.value, time, because)


def _is_of_the_contract(field: attrs.Attribute[Any], _value: Any) -> bool:
    return field.name != "extra"


def _header(run: Run, target: Connection, upload: _Upload) -> Header:
    namespace_slug, project_slug, run_uuid = _path(run)
    return Header(
        backend=target.name_in_journals,
        is_local=target.is_local,
        namespace_slug=namespace_slug,
        project_slug=project_slug,
        run_uuid=upload.run_uuid,
        run_name=upload.name,
        writer=str(uuid.uuid5(uuid.UUID(run_uuid), "writer")),
        owns_run=True,
    )


def _metrics(run: Run, source: Connection) -> Iterator[tuple[Place, int, str, Any]]:
    settle(source, "listMetrics", run.uuid)
    for metrics in chain.from_iterable(list_metrics(source, _path(run))):
        values = restored(metrics)
        for step, value, time in zip(metrics.steps, values, metrics.times, strict=True):
            yield step, time or 0, metrics.name, encoded_value(value)


def _rows(run: Run, source: Connection) -> Iterator[tuple[Place, int, str, Any]]:
    for table in operations.list_tables(source, _path(run)) or ():
        for row in chain.from_iterable(operations.list_rows(source, _path(run), name=table.name)):
            fields = row.value.additional_properties
            # A row from before the table had the key need not have it.
            place = [table.row_key] if table.row_key in fields else []
            yield place, microseconds_of(row.timestamp), table.name, fields


def _changes(run: Run, source: Connection) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """What the run was not created with. Lists of runs leave it out."""
    model = operations.get_run(source, _path(run))
    environment = read_run(RunRecord, model, "getRun", _path(run).namespace_slug).environment
    if environment is not None:
        key = str(uuid.uuid5(uuid.UUID(run.uuid), "environment"))
        yield key, 0, {"environment": environment}


def _record_path(run: Run, target: Connection) -> Path:
    backend = uuid.uuid5(uuid.NAMESPACE_URL, target.name_in_journals)
    return target.settings.home / "uploads" / f"{run.uuid}.{backend}.json"


def _read(record: Path) -> _Upload | None:
    try:
        return msgspec.json.decode(record.read_bytes(), type=_Upload)
    except FileNotFoundError as error:
        raise_foreign(error)
        return None


def _write(record: Path, upload: _Upload) -> None:
    make_private_directory(record.parent)
    with replace_whole(record) as file:
        file.write(msgspec.json.encode(upload))


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
