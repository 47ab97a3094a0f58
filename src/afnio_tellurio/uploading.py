"""Uploading: bringing the runs of one backend to another."""

from __future__ import annotations

import datetime as dt
import os
import uuid
from typing import TYPE_CHECKING

import attrs
import msgspec

from afnio_tellurio import projects
from afnio_tellurio.delivery.journal_file import (
    CREATE,
    JournalFile,
    journals_folder,
    remove_journal,
    write_journal,
)
from afnio_tellurio.delivery.records import Header
from afnio_tellurio.delivery.recovery import deliver, locked
from afnio_tellurio.entities import MetricSummary, RunStatus
from afnio_tellurio.errors import BackendUnreachableError, TellurioError
from afnio_tellurio.files import make_private_directory
from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path
    from typing import Any

    from afnio_tellurio.client import TellurioClient
    from afnio_tellurio.run import Run

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


@attrs.frozen
class UploadedRun:
    """What became of one run.

    Attributes:
        name: The run's name where it comes from.
        name_there: Its name where it goes to: another one where that was taken. None if it did not
            get that far.
        metrics: How many metrics it has.
        is_new: Whether something was uploaded now, or would be in a dry run.
        problem: Why it was not, or None.
    """

    name: str
    name_there: str | None
    metrics: int
    is_new: bool
    problem: str | None = None


class _Upload(msgspec.Struct):
    """What is kept of one upload, so that repeating it does nothing.

    Attributes:
        run_uuid: The run at the other backend.
        name: Its name there.
        is_written: Whether its journal was written: when that is gone, all of it is delivered.
    """

    run_uuid: str
    name: str
    is_written: bool = False


def upload(
    runs: Iterable[Run],
    source: TellurioClient,
    target: TellurioClient,
    *,
    dry_run: bool = False,
    progress: Callable[[Run, int, int], None] | None = None,
) -> Iterator[UploadedRun]:
    """Brings finished runs to another backend: names, steps, times and final status are kept.

    Each goes through a journal, as what a dead process left does. So an upload that was interrupted
    is taken up where it was, and one that is done is not repeated.

    Args:
        runs: The runs.
        source: Where they are.
        target: Where to bring them; the namespace must exist there.
        dry_run: Only say what would be done.
        progress: Told the run, how many of its metrics are there, and how many it has.

    Returns:
        What became of each run, one by one.
    """
    for run in runs:
        try:
            yield _upload_run(run, source, target, dry_run=dry_run, progress=progress)
        except BackendUnreachableError:
            # The others would wait for it in vain, one after the other.
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
    summary: dict[str, MetricSummary] = run.summary(source)
    total = sum(metric.count for metric in summary.values())
    if run.status is RunStatus.RUNNING:
        return UploadedRun(run.name, None, total, is_new=False, problem="it is still running")
    record = _record_path(run, target)
    known = _read(record)
    if known is None:
        if dry_run:
            return UploadedRun(run.name, None, total, is_new=True)
        known = _created(run, target)
        _write(record, known)
    path = journals_folder() / _header(run, target, known).file_name()
    if known.is_written and not path.exists():
        return UploadedRun(run.name, known.name, total, is_new=False)
    if dry_run:
        return UploadedRun(run.name, known.name, total, is_new=True)
    if not known.is_written:
        metrics = _metrics(run, source)
        write_journal(journals_folder(), _header(run, target, known), metrics, run.status.value)
        known.is_written = True
        _write(record, known)

    def show(count: int) -> None:
        if progress is not None:
            progress(run, count, total)

    problem = _delivered(path, target, show)
    return UploadedRun(run.name, known.name, total, is_new=True, problem=problem)


def _delivered(path: Path, target: TellurioClient, progress: Callable[[int], None]) -> str | None:
    with locked(path) as is_ours:
        if not is_ours:
            return "another process uploads it"
        journal = JournalFile.open(path)
        try:
            problem = deliver(target, journal, progress).problem
        finally:
            journal.close()
    if problem is None:
        remove_journal(path)
    return problem


def _place(run: Run) -> tuple[str, str, str]:
    if run.organization is None or run.project is None:
        raise ValueError(f"run {run.name!r} has no organization or no project")
    return run.organization.slug, run.project.slug, run.uuid


def _created(run: Run, target: TellurioClient) -> _Upload:
    """Creates the run, and its project where there is none, at the other backend."""
    namespace_slug, project_slug, run_uuid = _place(run)
    there = projects.get_project(namespace_slug, project_slug, target)
    if there is None:
        display_name = run.project.display_name if run.project else project_slug
        there = projects.create_project(namespace_slug, display_name, "RESTRICTED", target)
    created = target.create_run(
        namespace_slug,
        there.slug,
        name=run.name,
        description=run.description,
        status=RunStatus.RUNNING.value,
        idempotency_key=str(uuid.uuid5(uuid.UUID(run_uuid), "upload")),
    )
    return _Upload(str(created.uuid), created.name)


def _header(run: Run, target: TellurioClient, known: _Upload) -> Header:
    namespace_slug, project_slug, run_uuid = _place(run)
    return Header(
        backend=target.name_in_journals,
        is_local=target.is_local,
        namespace_slug=namespace_slug,
        project_slug=project_slug,
        run_uuid=known.run_uuid,
        run_name=known.name,
        writer=str(uuid.uuid5(uuid.UUID(run_uuid), "writer")),
        owns_run=True,
    )


def _metrics(run: Run, source: TellurioClient) -> Iterator[tuple[int | None, int, str, Any]]:
    for metric in source.list_metrics(*_place(run), name=None):
        when = (metric.timestamp - _EPOCH) // _MICROSECOND if metric.timestamp else 0
        yield metric.step, when, metric.name, metric.value


def _record_path(run: Run, target: TellurioClient) -> Path:
    place = uuid.uuid5(uuid.NAMESPACE_URL, target.name_in_journals)
    return read_settings().home / "uploads" / f"{run.uuid}.{place}.json"


def _read(record: Path) -> _Upload | None:
    try:
        return msgspec.json.decode(record.read_bytes(), type=_Upload)
    except FileNotFoundError:
        return None


def _write(record: Path, known: _Upload) -> None:
    make_private_directory(record.parent)
    unfinished = record.with_suffix(".new")
    fd = os.open(unfinished, CREATE | os.O_TRUNC, 0o600)
    with open(fd, "wb") as file:  # noqa: PTH123 - the permissions
        file.write(msgspec.json.encode(known))
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(record)
