"""Copies finished runs to a backend through a journal, like the metrics of a dead process.

So an interrupted copy is continued, and a complete one is not repeated.
"""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NamedTuple

import attrs
import msgspec

from afnio_tellurio.api import operations
from afnio_tellurio.api.calling import RunPath
from afnio_tellurio.api.entities import RunStatus
from afnio_tellurio.client import TellurioClient, connection_of
from afnio_tellurio.delivery.journal_file import JournalFile
from afnio_tellurio.delivery.journal_writing import remove_journal, write_journal
from afnio_tellurio.delivery.records import Header
from afnio_tellurio.delivery.recovery import deliver, locked
from afnio_tellurio.errors import BackendUnreachableError, TellurioError, counted_metrics
from afnio_tellurio.files import make_private_directory, replace_whole
from afnio_tellurio.interruptions import raise_foreign

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path
    from typing import Any

    from afnio_tellurio.api.connection import Connection
    from afnio_tellurio.api.metric_batches import Place
    from afnio_tellurio.delivery.records import End

    #: Place, time in microseconds since 1970, name and JSON form of a metric or a row of a table.
    Value = tuple[Place, int, str, Any]
    #: Idempotency key, time and body of `updateRun` of a change of a run.
    Change = tuple[str, int, dict[str, Any]]
    #: Called with the run's name, the number of its values at the target, and their total.
    Progress = Callable[[str, int, int], None]


class CreatedRun(NamedTuple):
    """A run that was created at the target."""

    uuid: str
    name: str


class RunToCopy(ABC):
    """A finished run somewhere else.

    Args:
        key: A UUID that is the same each time that the run is copied to this project.
        name: The name of the run.
        namespace_slug: The namespace at the target.
        project_slug: The project at the target.
    """

    def __init__(self, key: str, name: str, namespace_slug: str, project_slug: str) -> None:
        self.key = key
        self.name = name
        self.namespace_slug = namespace_slug
        self.project_slug = project_slug
        #: The number of its files, those of artifacts included, if it is known before the copy.
        self.files = 0
        #: Why it cannot be copied, or None.
        self.obstacle: str | None = None

    @abstractmethod
    def count(self) -> int:
        """Returns the number of its metrics and rows; checks all that can be checked before."""

    @abstractmethod
    def create_at(self, target: Connection) -> CreatedRun:
        """Creates the run at the target, and its project if necessary; once, if repeated."""

    @abstractmethod
    def values(self) -> Iterator[Value]:
        """Yields its metrics and rows, in the same order each time."""

    @abstractmethod
    def changes(self) -> Iterator[Change]:
        """Yields what the run was not created with."""

    @abstractmethod
    def end(self) -> End:
        """Returns how it ended."""

    @abstractmethod
    def copy_files(self, target: Connection, there: RunPath) -> int:
        """Copies its artifacts and files to the run there; returns their number."""


@attrs.frozen
class CopiedRun:
    """The result for one run.

    Attributes:
        name: The run's name at the source.
        name_there: Its name at the target, with a number if it was taken; None before the run is
            created there.
        metrics: The number of its metrics and rows.
        files: The number of files that were copied now, or would be without `dry_run` if it is
            known, those of artifacts included.
        is_new: Whether something was copied now, or would be without `dry_run`.
        problem: Why it was not copied, or None.
        rejected: The number of metrics and rows that the target rejected now.
    """

    name: str
    name_there: str | None
    metrics: int
    is_new: bool
    problem: str | None = None
    files: int = 0
    rejected: int = 0


class _Copy(msgspec.Struct):
    """The record of one copy, so that repeating it does nothing.

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


def copy_runs(
    runs: Iterable[RunToCopy],
    target: TellurioClient,
    *,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Iterator[CopiedRun]:
    """Copies finished runs to a backend.

    Args:
        runs: The runs.
        target: The backend; the namespaces must exist there.
        dry_run: Whether to only report what would be copied.
        progress: Called after each request.

    Yields:
        The result for each run, one by one.
    """
    for run in runs:
        try:
            yield _copy(run, connection_of(target), dry_run=dry_run, progress=progress)
        except BackendUnreachableError:
            # The other runs would fail as well, each after a timeout.
            raise
        except (TellurioError, LookupError, ValueError, OSError) as error:
            raise_foreign(error)
            yield CopiedRun(run.name, None, 0, is_new=False, problem=str(error))


class TargetProject(NamedTuple):
    """The project that runs are imported into.

    Attributes:
        namespace_slug: Its namespace.
        slug: Its slug.
        display_name: Its display name if it is created.
    """

    namespace_slug: str
    slug: str
    display_name: str

    def key_of(self, run_uuid: str) -> str:
        """Returns the key of a run for `RunToCopy`: other projects may have copies too."""
        return str(uuid.uuid5(uuid.UUID(run_uuid), f"{self.namespace_slug}/{self.slug}"))


def create_run_in(
    project: TargetProject, target: Connection, run: RunToCopy, details: dict[str, Any]
) -> CreatedRun:
    """Creates a run, and its project if necessary; once, if it is repeated.

    Args:
        project: The project.
        target: The backend.
        run: The run.
        details: Further fields of `createRun`.
    """
    if operations.get_project(target, project.namespace_slug, project.slug) is None:
        operations.create_project(
            target,
            project.namespace_slug,
            display_name=project.display_name,
            visibility="RESTRICTED",
        )
    created = operations.create_run(
        target,
        project.namespace_slug,
        project.slug,
        name=run.name,
        status=RunStatus.RUNNING.value,
        idempotency_key=run.key,
        details={name: value for name, value in details.items() if value},
    )
    return CreatedRun(str(created.uuid), created.name)


def find_copy(key: str, target: Connection) -> str | None:
    """Returns the UUID at the target of a run that was copied from this machine, or None."""
    copy = _read(_record_path(key, target))
    return None if copy is None else copy.run_uuid


def _copy(
    run: RunToCopy, target: Connection, *, dry_run: bool, progress: Progress | None
) -> CopiedRun:
    total = run.count()
    if run.obstacle is not None:
        return CopiedRun(run.name, None, total, is_new=False, problem=run.obstacle)
    record = _record_path(run.key, target)
    copy = _read(record)
    if copy is not None and _is_gone(run, copy, target):
        copy = None
    if copy is None:
        if dry_run:
            return CopiedRun(run.name, None, total, is_new=True, files=run.files)
        copy = _Copy(*run.create_at(target))
        _write(record, copy)
    journals = target.settings.journals
    header = _header(run, target, copy)
    path = journals / header.file_name()
    result = CopiedRun(run.name, copy.name, total, is_new=True)
    if copy.is_written and not path.exists():
        is_open = not copy.are_files_copied and not dry_run
        files = _copy_files(run, target, copy, record) if is_open else 0
        problem = _problem_of_resumed(copy, total)
        return attrs.evolve(result, is_new=files > 0, files=files, problem=problem)
    if dry_run:
        return result
    if not copy.is_written:
        write_journal(journals, header, run.values(), run.changes(), run.end())
        copy.is_written, copy.total = True, total
        _write(record, copy)

    def show(count: int) -> None:
        if progress is not None:
            progress(run.name, count, total)

    problem, rejected = _deliver(path, target, show)
    files = _copy_files(run, target, copy, record) if problem is None else 0
    return attrs.evolve(result, problem=problem, files=files, rejected=rejected)


def _is_gone(run: RunToCopy, copy: _Copy, target: Connection) -> bool:
    """Whether the target does not have the run anymore, or has it in the trash."""
    try:
        operations.get_run(target, RunPath(run.namespace_slug, run.project_slug, copy.run_uuid))
    except LookupError as error:
        raise_foreign(error)
        return True
    return False


def _problem_of_resumed(copy: _Copy, total: int) -> str | None:
    if copy.total is None or copy.total >= total:
        return None
    since = counted_metrics(total - copy.total)
    return f"it was resumed after its upload; what it logged since ({since}) is only here"


def _copy_files(run: RunToCopy, target: Connection, copy: _Copy, record: Path) -> int:
    """Copies the artifacts and files of a run, once its metrics are delivered."""
    there = RunPath(run.namespace_slug, run.project_slug, copy.run_uuid)
    files = run.copy_files(target, there)
    copy.are_files_copied = True
    _write(record, copy)
    return files


def _deliver(
    path: Path, target: Connection, progress: Callable[[int], None]
) -> tuple[str | None, int]:
    """Delivers a journal; returns the problem, or None, and the number of rejected values."""
    with locked(path) as is_ours:
        if not is_ours:
            return "another process is uploading it", 0
        journal = JournalFile.open(path)
        try:
            result = deliver(target, journal, progress)
        finally:
            journal.close()
    if result.problem is None:
        remove_journal(path)
    return result.problem, result.rejected


def _header(run: RunToCopy, target: Connection, copy: _Copy) -> Header:
    return Header(
        backend=target.name_in_journals,
        is_local=target.is_local,
        namespace_slug=run.namespace_slug,
        project_slug=run.project_slug,
        run_uuid=copy.run_uuid,
        run_name=copy.name,
        writer=str(uuid.uuid5(uuid.UUID(run.key), "writer")),
        owns_run=True,
    )


def _record_path(key: str, target: Connection) -> Path:
    backend = uuid.uuid5(uuid.NAMESPACE_URL, target.name_in_journals)
    return target.settings.home / "uploads" / f"{key}.{backend}.json"


def _read(record: Path) -> _Copy | None:
    try:
        return msgspec.json.decode(record.read_bytes(), type=_Copy)
    except FileNotFoundError as error:
        raise_foreign(error)
        return None


def _write(record: Path, copy: _Copy) -> None:
    make_private_directory(record.parent)
    with replace_whole(record) as file:
        file.write(msgspec.json.encode(copy))
