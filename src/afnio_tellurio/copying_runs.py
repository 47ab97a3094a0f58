"""Copies finished runs to a backend through a journal, like the metrics of a dead process.

So an interrupted copy is continued, and a complete one is not repeated. What a source got since
then is copied as a further part: a journal with a writer of its own, after the values before.
"""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import attrs

from afnio_tellurio.api import operations
from afnio_tellurio.api.calling import RunPath
from afnio_tellurio.api.entities import RunRecord, RunStatus, read_run
from afnio_tellurio.client import TellurioClient, connection_of
from afnio_tellurio.copied_values import count_of, has_more, values_between
from afnio_tellurio.copy_records import CopyRecord, alone, read_record, record_path, write_record
from afnio_tellurio.delivery.journal_file import JournalFile
from afnio_tellurio.delivery.journal_writing import remove_journal, write_journal
from afnio_tellurio.delivery.records import Header
from afnio_tellurio.delivery.recovery import deliver, locked
from afnio_tellurio.errors import BackendUnreachableError, TellurioError, counted_metrics
from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.tracking.details import as_changes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from pathlib import Path
    from typing import Any

    from afnio_tellurio.api.connection import Connection
    from afnio_tellurio.copied_values import Marks, Value
    from afnio_tellurio.delivery.records import End

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
        #: What tells each of its files and versions from another one, if that is known too, and
        #: the number of files of that.
        self.file_marks: dict[str, int] | None = None
        #: How far its values go, or None if that is only known when they are read.
        self.marks: Marks | None = None
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

    def details(self, target: Connection) -> dict[str, Any]:  # noqa: ARG002
        """Returns what may also change in a source that grows, as the body of `createRun`."""
        return {}

    @abstractmethod
    def copy_files(self, target: Connection, there: RunPath, known: Collection[str]) -> int:
        """Copies artifacts and files to the run there, except known ones; returns their number."""


@attrs.frozen
class CopiedRun:
    """The result for one run.

    Attributes:
        name: The run's name at the source.
        name_there: Its name at the target, with a number if it was taken; None before the run is
            created there.
        metrics: The number of its metrics and rows; of a further part, that of those.
        files: The number of files that were copied now, or would be without `dry_run` if it is
            known, those of artifacts included.
        is_new: Whether something was copied now, or would be without `dry_run`.
        problem: Why it was not copied, or None.
        rejected: The number of metrics and rows that the target rejected now.
        is_further: Whether it was copied before, and this is what it got since then.
    """

    name: str
    name_there: str | None
    metrics: int
    is_new: bool
    problem: str | None = None
    files: int = 0
    rejected: int = 0
    is_further: bool = False


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
    copy = read_record(record_path(key, target))
    return None if copy is None else copy.run_uuid


def _copy(
    run: RunToCopy, target: Connection, *, dry_run: bool, progress: Progress | None
) -> CopiedRun:
    total = run.count()
    if run.obstacle is not None:
        return CopiedRun(run.name, None, total, is_new=False, problem=run.obstacle)
    record = record_path(run.key, target)
    if dry_run:
        return _preview(run, target, record, total)
    with alone(record) as is_alone:
        if not is_alone:
            problem = "another process is copying it"
            return CopiedRun(run.name, None, total, is_new=False, problem=problem)
        return _Copying(run, target, record, total, progress).copy()


def _preview(run: RunToCopy, target: Connection, record: Path, total: int) -> CopiedRun:
    """Returns what a copy would do."""
    copy = read_record(record)
    if copy is None or _is_gone(run, copy, target):
        return CopiedRun(run.name, None, total, is_new=True, files=run.files)
    is_complete = _is_complete(run, target, copy)
    size = 0 if is_complete else copy.size_of(total)
    further = _further_part(run, copy)
    files = sum(copy.missing_files(run.file_marks, run.files))
    is_new = not is_complete or further is not None or files > 0
    return CopiedRun(
        run.name,
        copy.name,
        size + (0 if further is None else further.size),
        is_new=is_new,
        problem=None if is_new else _problem_of_resumed(copy, total),
        files=files,
        is_further=is_complete or copy.part > 0,
    )


class _Copying:
    """Copies one run, whose lock is held.

    Args:
        run: The run.
        target: The backend.
        record: Where the record of the copy is.
        total: The number of its values.
        progress: Called after each request, or None.
    """

    def __init__(
        self,
        run: RunToCopy,
        target: Connection,
        record: Path,
        total: int,
        progress: Progress | None,
    ) -> None:
        self._run = run
        self._target = target
        self._record = record
        self._total = total
        self._progress = progress

    def copy(self) -> CopiedRun:
        """Copies what is not copied yet."""
        run = self._run
        copy = read_record(self._record)
        if copy is None or _is_gone(run, copy, self._target):
            copy = self._create()
        result = CopiedRun(run.name, copy.name, 0, is_new=False, is_further=copy.part > 0)
        if _is_complete(run, self._target, copy):
            result = attrs.evolve(result, is_further=True)
            if copy.marks is None and copy.total is not None and copy.total == self._total:
                # Of an earlier version.
                copy.marks, copy.ended = run.marks, run.end()
                write_record(self._record, copy)
        else:
            result = self._deliver_part(copy, result)
        further = _further_part(run, copy) if result.problem is None else None
        if further is not None:
            copy = self._begin(further)
            result = self._deliver_part(copy, result)
        if result.problem is None and copy.missing_files(run.file_marks, run.files):
            files = self._copy_files(copy)
            result = attrs.evolve(result, files=files, is_new=result.is_new or files > 0)
        if result.problem is None and not result.is_new:
            problem = _problem_of_resumed(copy, self._total)
            result = attrs.evolve(result, problem=problem)
        return result

    def _create(self) -> CopyRecord:
        run = self._run
        copy = CopyRecord(*run.create_at(self._target))
        if run.marks is not None:
            copy.marks, copy.ended = run.marks, run.end()
            self._find_values(copy, run.marks)
        write_record(self._record, copy)
        return copy

    def _find_values(self, copy: CopyRecord, marks: Marks) -> None:
        """Finds out whether the run is complete there: another machine may have copied it.

        Raises:
            ValueError: It has ended there with other values.
        """
        there = self._path(copy)
        if operations.get_run(self._target, there).status == RunStatus.RUNNING:
            return
        summaries = operations.summarize_metrics(self._target, there) or {}
        tables = operations.list_tables(self._target, there) or ()
        found = sum(each.count for each in (*summaries.values(), *tables))
        if found != count_of(marks):
            raise ValueError(
                f"it was copied from another machine, and has {found:,} values there and "
                f"{count_of(marks):,} here; repeat it on that machine, or delete the run first"
            )
        copy.is_written, copy.total = True, found

    def _begin(self, further: CopyRecord) -> CopyRecord:
        """Records a further part, before anything of it is done."""
        status = operations.get_run(self._target, self._path(further)).status
        if status == RunStatus.RUNNING:
            raise ValueError("the run was resumed at the target; repeat this when it has ended")
        write_record(self._record, further)
        return further

    def _deliver_part(self, copy: CopyRecord, result: CopiedRun) -> CopiedRun:
        """Writes the journal of a part, and delivers it."""
        run, target = self._run, self._target
        header = _header(run, target, copy)
        path = target.settings.journals / header.file_name()
        if copy.part:
            self._reopen(copy)
        if not copy.is_written:
            # One that is there is complete, and must not change: a part of it may be delivered.
            if copy.marks is None or not path.exists():
                end = copy.ended or run.end()
                write_journal(path.parent, header, _values_of(run, copy), _changes(run, copy), end)
            copy.is_written = True
            copy.total = self._total if copy.marks is None else count_of(copy.marks)
            write_record(self._record, copy)
        size = copy.size_of(self._total)

        def show(count: int) -> None:
            if self._progress is not None:
                self._progress(run.name, count, size)

        problem, rejected = _deliver(path, target, show)
        return attrs.evolve(
            result,
            metrics=result.metrics + size,
            is_new=True,
            problem=problem,
            rejected=result.rejected + rejected,
        )

    def _reopen(self, copy: CopyRecord) -> None:
        """Resumes the run; its journal ends it again."""
        path = self._path(copy)
        model = operations.get_run(self._target, path)
        there = read_run(RunRecord, model, "getRun", path.namespace_slug)
        details = self._run.details(self._target)
        known = there.config
        config = {
            name: value
            for name, value in details.get("config", {}).items()
            if name not in known or known[name] != value
        }
        tags = [tag for tag in details.get("tags", ()) if tag not in there.tags]
        changes = {"config": config, "tags": tags}
        details = {name: value for name, value in changes.items() if value}
        fields = {"status": RunStatus.RUNNING.value, **as_changes(details, there)}
        operations.update_run(self._target, path, fields)

    def _copy_files(self, copy: CopyRecord) -> int:
        """Copies the artifacts and files of a run, once its metrics are delivered."""
        files = self._run.copy_files(self._target, self._path(copy), frozenset(copy.files or ()))
        copy.are_files_copied = True
        marks = self._run.file_marks
        copy.files = None if marks is None else sorted(marks)
        write_record(self._record, copy)
        return files

    def _path(self, copy: CopyRecord) -> RunPath:
        return RunPath(self._run.namespace_slug, self._run.project_slug, copy.run_uuid)


def _further_part(run: RunToCopy, copy: CopyRecord) -> CopyRecord | None:
    """Returns the part with what a run has got since its copy, or None.

    Raises:
        ChangedSourceError: What was copied has changed.
    """
    if run.marks is None or copy.marks is None:
        return None
    is_less = has_more(copy.marks, run.marks)
    # A run that had not ended may have, without further values.
    has_ended = _is_open(copy.ended) and copy.ended != run.end() and not is_less
    if not has_more(run.marks, copy.marks) and not has_ended:
        return None
    # Reads all of them, to compare them.
    deque(values_between(run.values(), copy.marks, copy.marks), maxlen=0)
    return CopyRecord(
        copy.run_uuid,
        copy.name,
        are_files_copied=copy.files is not None,
        part=copy.part + 1,
        start=copy.marks,
        marks=run.marks,
        ended=run.end(),
        files=copy.files,
    )


def _is_open(end: End | None) -> bool:
    return end is not None and end.because is not None and end.because.get("kind") == "vanished"


def _is_complete(run: RunToCopy, target: Connection, copy: CopyRecord) -> bool:
    path = target.settings.journals / _header(run, target, copy).file_name()
    return copy.is_written and not path.exists()


def _values_of(run: RunToCopy, copy: CopyRecord) -> Iterator[Value]:
    if copy.marks is None:
        return run.values()
    return values_between(run.values(), copy.start, copy.marks)


def _changes(run: RunToCopy, copy: CopyRecord) -> Iterator[Change]:
    for key, time, fields in run.changes():
        yield (str(uuid.uuid5(uuid.UUID(key), str(copy.part))) if copy.part else key), time, fields


def _is_gone(run: RunToCopy, copy: CopyRecord, target: Connection) -> bool:
    """Whether the target does not have the run anymore, or has it in the trash."""
    try:
        operations.get_run(target, RunPath(run.namespace_slug, run.project_slug, copy.run_uuid))
    except LookupError as error:
        raise_foreign(error)
        return True
    return False


def _problem_of_resumed(copy: CopyRecord, total: int) -> str | None:
    if copy.total is None or copy.total >= total:
        return None
    since = counted_metrics(total - copy.total)
    return f"it was resumed after its upload; what it logged since ({since}) is only here"


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


def _header(run: RunToCopy, target: Connection, copy: CopyRecord) -> Header:
    return Header(
        backend=target.name_in_journals,
        is_local=target.is_local,
        namespace_slug=run.namespace_slug,
        project_slug=run.project_slug,
        run_uuid=copy.run_uuid,
        run_name=copy.name,
        writer=str(
            uuid.uuid5(uuid.UUID(run.key), f"writer {copy.part}" if copy.part else "writer")
        ),
        owns_run=True,
    )
