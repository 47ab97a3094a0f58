"""A run of another tracker, and how it is copied to a backend."""

from __future__ import annotations

import datetime as dt
import hashlib
import mimetypes
import uuid
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from afnio_tellurio.api.artifact_entities import RunFile
from afnio_tellurio.api.entities import RunStatus
from afnio_tellurio.artifact_paths import check_path
from afnio_tellurio.copied_values import count_of, marks_of
from afnio_tellurio.copying_files import FilesDelivery
from afnio_tellurio.copying_runs import RunToCopy, create_run_in, find_copy
from afnio_tellurio.delivery.records import End, datetime_of
from afnio_tellurio.importing.damaged_runs import DamagedRun, damage_named, items_of
from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.settings.limits import MAX_NAME_LENGTH, MAX_STEP, MAX_TAGS
from afnio_tellurio.tracking.details import checked_details
from afnio_tellurio.validation import check_size, checked_name, encoded_value

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Generator, Iterable, Iterator
    from pathlib import Path

    from afnio_tellurio.api.artifact_entities import ArtifactFile
    from afnio_tellurio.api.calling import RunPath
    from afnio_tellurio.api.connection import Connection
    from afnio_tellurio.copied_values import Value
    from afnio_tellurio.copying_runs import Change, CreatedRun, TargetProject

#: Why a run was imported that its tracker did not end.
UNFINISHED = {"kind": "vanished", "message": "It had not ended when it was imported."}
_READ_BYTES = 2**20


class Point(NamedTuple):
    """A value of a metric.

    Attributes:
        name: The name of the metric.
        step: Its step; None for the next one.
        value: Its value.
        time: When it was logged, in microseconds since 1970, or 0.
    """

    name: str
    step: int | None
    value: Any
    time: int


class ImportedRow(NamedTuple):
    """A row of a table.

    Attributes:
        table: The name of the table.
        time: When it was logged, in microseconds since 1970, or 0.
        fields: Its fields.
    """

    table: str
    time: int
    fields: dict[str, Any]


class ImportedFile(NamedTuple):
    """A file of a run.

    Attributes:
        path: Its path in the run.
        file: Where it is.
        time: When it was logged, in microseconds since 1970.
        kind: What it is, such as `"image"`.
        step: Its step if it is one of a series, or None.
        content_type: The content type of its bytes, or None if its name says it.
    """

    path: str
    file: Path
    time: int
    kind: str = "file"
    step: int | None = None
    content_type: str | None = None


class ImportedVersion(NamedTuple):
    """A version of an artifact that a run created.

    Attributes:
        artifact: The name of the artifact.
        name: What names the version among those of the run.
        fields: The type, the description, the metadata and the aliases.
        files: Its files.
        places: Where those are that are not references, by their paths.
    """

    artifact: str
    name: str
    fields: dict[str, Any]
    files: list[ArtifactFile]
    places: dict[str, Path]


def _no_points() -> Iterable[Point]:
    return ()


def _no_rows() -> Iterable[ImportedRow]:
    return ()


@dataclass(kw_only=True)
class ImportedRun:
    """A run as another tracker recorded it. Times are in microseconds since 1970.

    Attributes:
        tool: The name of the tracker.
        source_id: What identifies the run among all of the tracker.
        name: Its name.
        status: The status that it is to end with.
        because: Why it ended, as `EndReason` of the contract, or None.
        started: When it started, or None.
        ended: When it ended, or None.
        config: Its config.
        tags: Its tags.
        group: Its group, or None.
        job_type: Its job type, or None.
        notes: Its notes, or None.
        parent_id: The `source_id` of its parent, or None.
        user: Who created it, or None.
        facts: What else is known of its origin; kept in its environment.
        points: Yields its values, in the same order each time.
        rows: Yields the rows of its tables, in the same order each time.
        files: Its files.
        versions: The versions of artifacts that it created.
        skipped: What is not imported: the number of each kind.
        left_out: What is not imported that a person can repair: what is wrong, and what to do.
    """

    tool: str
    source_id: str
    name: str
    status: str = RunStatus.COMPLETED.value
    because: dict[str, Any] | None = None
    started: int | None = None
    ended: int | None = None
    config: dict[str, Any] = field(default_factory=dict[str, Any])
    tags: list[str] = field(default_factory=list[str])
    group: str | None = None
    job_type: str | None = None
    notes: str | None = None
    parent_id: str | None = None
    user: str | None = None
    facts: dict[str, Any] = field(default_factory=dict[str, Any])
    points: Callable[[], Iterable[Point]] = _no_points
    rows: Callable[[], Iterable[ImportedRow]] = _no_rows
    files: list[ImportedFile] = field(default_factory=list[ImportedFile])
    versions: list[ImportedVersion] = field(default_factory=list[ImportedVersion])
    skipped: Counter[str] = field(default_factory=Counter[str])
    left_out: list[str] = field(default_factory=list[str])


#: What a reader finds.
FoundRun: TypeAlias = ImportedRun | DamagedRun


class RunToImport(RunToCopy):
    """A run of another tracker that is copied to a project.

    Args:
        run: The run.
        project: The project.
    """

    def __init__(self, run: ImportedRun, project: TargetProject) -> None:
        super().__init__(
            project.key_of(_uuid_of(run.tool, run.source_id)),
            _printable(run.name).strip()[:MAX_NAME_LENGTH] or run.source_id[:MAX_NAME_LENGTH],
            project.namespace_slug,
            project.slug,
        )
        run.started = _time_or_zero(run.started) or None
        run.ended = _time_or_zero(run.ended) or None
        self.run = run
        #: What is not imported: the number of each kind.
        self.skipped = run.skipped
        self._project = project
        self._place = f"the run {run.source_id} of {run.tool}"
        # The last one of each path and step, which replaces the others.
        self._files = {(file.path, file.step): file for file in run.files}
        of_versions = sum(len(version.files) for version in run.versions)
        self.files = len(self._files) + of_versions

    def count(self) -> int:
        """Returns the number of its values; counts what is skipped."""
        # Before anything is created.
        with damage_named(self._place):
            self._known_origin()
        before = Counter(self.run.skipped)
        self.marks = marks_of(self.values())
        refused = self.run.skipped - before
        # `values` is called again.
        self.run.skipped = Counter(before)
        texts = filter(None, (self.run.group, self.run.job_type))
        left_out = Counter(
            {
                "files replaced by later ones": len(self.run.files) - len(self._files),
                "invalid tags": len(self.run.tags) - len(self._tags()),
                "invalid groups or job types": sum(not _is_name(text) for text in texts),
            }
        )
        # Without those that are 0.
        self.skipped = before + refused + left_out
        self.file_marks = {
            **{_mark_of_version(each): len(each.files) for each in self.run.versions},
            **dict.fromkeys(map(_mark_of, self._files.values()), 1),
        }
        return count_of(self.marks)

    def create_at(self, target: Connection) -> CreatedRun:
        """Creates the run."""
        run = self.run
        parent = None
        if run.parent_id is not None:
            parent_key = self._project.key_of(_uuid_of(run.tool, run.parent_id))
            parent = find_copy(parent_key, target)
        details = self._details(target, parent)
        if run.started is not None:
            details = {**details, "date_created": datetime_of(run.started).isoformat()}
        return create_run_in(self._project, target, self, details)

    def details(self, target: Connection) -> dict[str, Any]:
        """Returns its config, tags, and so on."""
        return self._details(target, None)

    def _details(self, target: Connection, parent: str | None) -> dict[str, Any]:
        run = self.run
        with damage_named(self._place):
            return checked_details(
                "import",
                target.settings,
                config=run.config,
                tags=self._tags(),
                group=run.group if _is_name(run.group) else None,
                job_type=run.job_type if _is_name(run.job_type) else None,
                notes=run.notes,
                parent=parent,
            )

    def _tags(self) -> list[str]:
        return [tag for tag in self.run.tags if _is_name(tag)][:MAX_TAGS]

    def values(self) -> Iterator[Value]:
        """Yields its values and rows, without invalid ones."""
        following: Counter[str] = Counter()
        for point in items_of(self._place, self.run.points()):
            step = following[point.name] if point.step is None else point.step
            # SQLite stores anything in a column of integers.
            if not isinstance(step, int) or not 0 <= step <= MAX_STEP:  # pyright: ignore[reportUnnecessaryIsInstance]
                self.run.skipped["values with an invalid step"] += 1
                continue
            following[point.name] = step + 1
            try:
                name = checked_name("import", "metric name", point.name)
                value = encoded_value(point.value)
                check_size("import", name, value)
            except (TypeError, ValueError) as error:
                raise_foreign(error)
                self.run.skipped["invalid values"] += 1
                continue
            yield step, _time_or_zero(point.time), name, value
        yield from self._rows()

    def _rows(self) -> Iterator[Value]:
        for row in items_of(self._place, self.run.rows()):
            try:
                name = checked_name("import", "table name", row.table)
                fields = encoded_value(row.fields)
                check_size("import", name, fields)
            except (TypeError, ValueError) as error:
                raise_foreign(error)
                self.run.skipped["invalid rows"] += 1
                continue
            yield [], _time_or_zero(row.time), name, fields

    def changes(self) -> Iterator[Change]:
        """Yields its origin."""
        key = str(uuid.uuid5(uuid.UUID(self.key), "environment"))
        yield key, 0, {"environment": {"imported_from": self._known_origin()}}

    def _known_origin(self) -> Any:
        run = self.run
        origin = {
            "tool": run.tool,
            "run": run.source_id,
            "user": run.user,
            "date_created": None if run.started is None else datetime_of(run.started).isoformat(),
            **run.facts,
        }
        return encoded_value({name: value for name, value in origin.items() if value is not None})

    def end(self) -> End:
        """Returns how it ended."""
        return End(self.run.status, self.run.ended, self.run.because)

    def copy_files(self, target: Connection, there: RunPath, known: Collection[str]) -> int:
        """Copies the versions that it created, and its files, except known ones."""
        delivery = FilesDelivery(target, there, self.key)
        count = 0
        for version in self.run.versions:
            if _mark_of_version(version) in known:
                continue
            stream = partial(_open_file, version.places)
            count += delivery.add_version(
                version.artifact, version.fields, version.files, stream, version.name
            )
        for file in self._files.values():
            if _mark_of(file) not in known:
                delivery.add_local_file(_run_file(file), file.file)
                count += 1
        return count


def _mark_of(file: ImportedFile) -> str:
    return _digest_of("file", file.path, file.step, file.time, file.file.stat().st_size)


def _mark_of_version(version: ImportedVersion) -> str:
    return _digest_of("version", version.artifact, version.name)


def _digest_of(*parts: Any) -> str:
    return hashlib.blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def add_files(run: ImportedRun, folder: Path, without: Container[Path] = ()) -> None:
    """Adds the files below a folder to a run; counts those that cannot be files of a run.

    Args:
        run: The run.
        folder: The folder.
        without: Files that are not added.
    """
    for file in sorted(folder.rglob("*")):
        if file in without or (file.is_dir() and not file.is_symlink()):
            continue
        path = file.relative_to(folder).as_posix()
        try:
            check_path(path)
        except ValueError as error:
            raise_foreign(error)
            run.skipped["files with an invalid path"] += 1
            continue
        if file.is_symlink() or not file.is_file():
            run.skipped["links"] += 1
            continue
        run.files.append(ImportedFile(path, file, round(file.stat().st_mtime * 1e6)))


@contextmanager
def _open_file(places: dict[str, Path], file: ArtifactFile) -> Generator[Iterable[bytes]]:
    with places[file.path].open("rb") as stream:
        yield iter(partial(stream.read, _READ_BYTES), b"")


def _run_file(file: ImportedFile) -> RunFile:
    hasher = hashlib.sha256()
    size = 0
    with file.file.open("rb") as stream:
        while piece := stream.read(_READ_BYTES):
            hasher.update(piece)
            size += len(piece)
    return RunFile(
        path=file.path,
        kind=file.kind,
        step=file.step,
        size=size,
        digest=hasher.hexdigest(),
        content_type=file.content_type or mimetypes.guess_type(file.path)[0],
        timestamp=datetime_of(file.time),
    )


def _time_or_zero(time: int | None) -> int:
    """Returns a time in microseconds since 1970, or 0 if it has no date."""
    has_date = time is not None and abs(time) < 2**63 and microseconds(time / 1e6) != 0
    return time if time is not None and has_date else 0


def _printable(name: str) -> str:
    """Returns a name with a mark for each byte of a file name that is not UTF-8."""
    return name.encode("utf-8", "replace").decode()


def _is_name(text: str | None) -> bool:
    return text is not None and bool(text.strip()) and len(text) <= MAX_NAME_LENGTH


def _uuid_of(tool: str, source_id: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{tool}:{source_id}"))


def microseconds(seconds: float) -> int:
    """Returns a time in seconds since 1970 in microseconds, or 0 if it has no date."""
    first, last = dt.datetime.min, dt.datetime.max  # noqa: DTZ901
    limits = (first - _EPOCH).total_seconds(), (last - _EPOCH).total_seconds()
    return round(seconds * 1e6) if limits[0] < seconds < limits[1] else 0


_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001
