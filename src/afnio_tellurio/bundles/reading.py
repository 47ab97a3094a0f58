"""Reads a bundle, which anyone may have made: what it claims is checked before it is used."""

from __future__ import annotations

import datetime as dt
import hashlib
import tempfile
import uuid
import zipfile
from contextlib import contextmanager
from functools import partial
from typing import IO, TYPE_CHECKING, Any, TypeVar

import msgspec

from afnio_tellurio.api.artifact_entities import ArtifactFile, RunFile
from afnio_tellurio.api.entities import RunStatus
from afnio_tellurio.api.frames import imported
from afnio_tellurio.artifact_paths import check_path, check_paths
from afnio_tellurio.artifacts.saving import DamagedFileError
from afnio_tellurio.bundles import layout
from afnio_tellurio.copied_values import count_of, marks_of
from afnio_tellurio.copying_files import FilesDelivery
from afnio_tellurio.copying_runs import RunToCopy, create_run_in, find_copy
from afnio_tellurio.delivery.records import End, microseconds_of
from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.settings.limits import MAX_VALUE_BYTES, PIECE_BYTES
from afnio_tellurio.special_numbers import restore
from afnio_tellurio.tracking.artifact_arguments import checked_metadata
from afnio_tellurio.validation import check_size, checked_name, checked_step, encoded_value

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterable, Iterator
    from pathlib import Path

    from afnio_tellurio.api.calling import RunPath
    from afnio_tellurio.api.connection import Connection
    from afnio_tellurio.copied_values import Value
    from afnio_tellurio.copying_runs import Change, CreatedRun, TargetProject

T = TypeVar("T")

#: Rows that are decoded at once.
_BATCH_ROWS = 10_000
#: Rows for each byte of `metrics.parquet`, and bytes of text for each, beyond which it is a bomb:
#: encodings of equal values have no bound of their own.
_ROWS_PER_BYTE = 10
_TEXT_PER_BYTE = 1000
#: Sizes that are always allowed.
_ALLOWED_ROWS = 2**20
_ALLOWED_TEXT = 2**30
#: Bytes of a column in a group of rows, decoded.
_MAX_COLUMN_BYTES = 2**30
#: A line has a time beside the row.
_MAX_LINE_BYTES = MAX_VALUE_BYTES + 1024
_ENCRYPTED = 0x1


class BundleError(ValueError):
    """A file is not a bundle, or a damaged one."""


@contextmanager
def open_bundle(path: Path, project: TargetProject) -> Generator[BundledRunToCopy]:
    """Opens a bundle as a run that can be copied to a project.

    Raises:
        BundleError: It is not a bundle, or it is damaged.
        OSError: It cannot be read.
    """
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as bundle:
            members = _checked_members(bundle, path.stat().st_size)
            yield BundledRunToCopy(bundle, members, project)
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise_foreign(error)
        raise BundleError(f"{path} is not a whole bundle: {error}") from error


def _checked_members(bundle: zipfile.ZipFile, size: int) -> set[str]:
    members: set[str] = set()
    stored = 0
    for info in bundle.infolist():
        # Also refuses paths such as `../x`, and folders.
        if not layout.MEMBER.fullmatch(info.orig_filename):
            raise BundleError(f"it has {info.orig_filename!r}, which a bundle does not have")
        if info.filename in members:
            raise BundleError(f"it has {info.filename} twice")
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise BundleError(f"{info.filename} is compressed; members of a bundle are stored")
        if info.flag_bits & _ENCRYPTED:
            raise BundleError(f"{info.filename} is encrypted")
        members.add(info.filename)
        stored += info.file_size
    if stored > size:
        raise BundleError(f"its members claim {stored:,} bytes, and it has {size:,}: they overlap")
    for name in (layout.RUN, layout.METRICS):
        if name not in members:
            raise BundleError(f"it has no {name}")
    return members


class BundledRunToCopy(RunToCopy):
    """The run of a bundle.

    Args:
        bundle: The open zip.
        members: The names of its members.
        project: Where the run is copied to.
    """

    def __init__(self, bundle: zipfile.ZipFile, members: set[str], project: TargetProject) -> None:
        self._bundle = bundle
        self._members = members
        self._project = project
        self.contents = self._decode(layout.RUN, layout.Contents)
        if self.contents.kind != layout.KIND:
            raise BundleError(f"it is of the kind {self.contents.kind!r}, not {layout.KIND!r}")
        if self.contents.format != layout.FORMAT:
            raise BundleError(
                f"it has the format {self.contents.format}; this version reads {layout.FORMAT}; "
                "upgrade afnio-tellurio"
            )
        run = self.contents.run
        if run.status not in RunStatus.__members__ or run.status == RunStatus.RUNNING:
            raise BundleError(f"its run has the status {run.status!r}, which does not end a run")
        name = checked_name("import", "run name", run.name)
        for time in (run.date_created, run.date_ended):
            _microseconds(time)
        super().__init__(project.key_of(str(run.uuid)), name, project.namespace_slug, project.slug)

    def count(self) -> int:
        """Returns the number of metrics and rows, after checks of all members."""
        self.files = len(self.contents.files)
        for name in sorted(self._members):
            if name.startswith(("artifacts/blobs/", "files/")):
                self._verify_blob(name)
        for version in self._versions():
            check_paths(file.path for file in version.files)
            checked_metadata("import", version.metadata)
            self.files += len(version.files)
            for member in version.files:
                if member.reference is None:
                    name = layout.blob_member(member.digest or "")
                    self._check_blob(name, member.size, member.path)
        for file in self.contents.files:
            check_path(file.path)
            _aware(file.timestamp)
            if file.kind == "file" and file.step is not None:
                raise BundleError(f"{file.path!r} is a file with a step; only media are series")
            self._check_blob(layout.file_member(file.digest), file.size, file.path)
        self.marks = marks_of(self.values())
        return count_of(self.marks)

    def create_at(self, target: Connection) -> CreatedRun:
        """Creates the run."""
        run = self.contents.run
        parent = None
        if run.parent_uuid is not None:
            parent = find_copy(self._project.key_of(str(run.parent_uuid)), target)
            parent = parent or str(run.parent_uuid)
        details = {
            "description": run.description,
            "config": run.config,
            "tags": run.tags,
            "group": run.group,
            "job_type": run.job_type,
            "notes": run.notes,
            "parent_uuid": parent,
            "date_created": run.date_created and run.date_created.isoformat(),
        }
        return create_run_in(self._project, target, self, details)

    def values(self) -> Iterator[Value]:
        """Yields its metrics and rows."""
        yield from self._metrics()
        for number, table in enumerate(self.contents.tables):
            yield from self._rows(table, layout.table_member(number))

    def changes(self) -> Iterator[Change]:
        """Yields its environment."""
        run = self.contents.run
        origin = {
            "tool": "afnio-tellurio",
            "run": str(run.uuid),
            "project": f"{run.namespace}/{run.project}",
            "user": run.username,
            "date_created": None if run.date_created is None else run.date_created.isoformat(),
        }
        known = {name: value for name, value in origin.items() if value is not None}
        key = str(uuid.uuid5(uuid.UUID(self.key), "environment"))
        # The first origin stays if a copy of a copy is imported.
        yield key, 0, {"environment": {"imported_from": known, **run.environment}}

    def end(self) -> End:
        """Returns how it ended."""
        run = self.contents.run
        because = None if run.ended_because is None else msgspec.to_builtins(run.ended_because)
        return End(run.status, _microseconds(run.date_ended), because)

    def copy_files(
        self,
        target: Connection,
        there: RunPath,
        known: Collection[str],  # noqa: ARG002
    ) -> int:
        """Copies its versions and files."""
        delivery = FilesDelivery(target, there, self.key)
        count = 0
        for version in self._versions():
            fields = {
                "type": version.type,
                "description": version.description,
                "metadata": version.metadata,
                "aliases": version.aliases,
            }
            files = [ArtifactFile(**msgspec.structs.asdict(file)) for file in version.files]
            count += delivery.add_version(
                version.artifact, fields, files, self._stream_of, version.uuid
            )
        for file in self.contents.files:
            stream = partial(self._stream, layout.file_member(file.digest))
            delivery.add_file(RunFile(**msgspec.structs.asdict(file)), stream)
            count += 1
        for each in self.contents.inputs:
            delivery.add_input(each.artifact, each.digest)
        return count

    def _stream_of(self, file: ArtifactFile) -> Any:
        return self._stream(layout.blob_member(file.digest or ""))

    @contextmanager
    def _stream(self, name: str) -> Generator[Iterable[bytes]]:
        with self._bundle.open(name) as member:
            yield iter(partial(member.read, PIECE_BYTES), b"")

    def _verify_blob(self, name: str) -> None:
        hasher = hashlib.sha256()
        with self._stream(name) as pieces:
            for piece in pieces:
                hasher.update(piece)
        if hasher.hexdigest() != name.rpartition("/")[2]:
            raise DamagedFileError(f"the bytes of {name} have another digest")

    def _check_blob(self, name: str, size: int | None, path: str) -> None:
        if name not in self._members:
            raise BundleError(f"it has no {name}, the bytes of {path!r}")
        if self._bundle.getinfo(name).file_size != size:
            raise BundleError(f"{name}, the bytes of {path!r}, has another size than {size}")

    def _versions(self) -> Iterator[layout.BundledVersion]:
        for number in range(self.contents.versions):
            yield self._decode(layout.version_member(number), layout.BundledVersion)

    def _decode(self, name: str, kind: type[T]) -> T:
        if name not in self._members:
            raise BundleError(f"it has no {name}")
        if self._bundle.getinfo(name).file_size > layout.MAX_JSON_BYTES:
            raise BundleError(f"{name} has more than {layout.MAX_JSON_BYTES:,} bytes")
        return _decoded(self._bundle.read(name), kind, name)

    def _rows(self, table: layout.BundledTable, name: str) -> Iterator[Value]:
        checked = checked_name("import", "table name", table.name)
        if name not in self._members:
            raise BundleError(f"it has no {name}")
        count = 0
        with self._bundle.open(name) as member:
            while line := member.readline(_MAX_LINE_BYTES):
                row = _decoded(line, layout.BundledRow, name)
                fields = encoded_value(restore(row.row), f"import: row of {name}")
                place = [table.key] if table.key is not None and table.key in fields else []
                count += 1
                yield place, microseconds_of(_aware(row.timestamp)), checked, fields
        if count != table.rows:
            raise BundleError(f"{name} has {count} rows, and not {table.rows}")

    def _metrics(self) -> Iterator[Value]:
        arrow = imported("import", "pyarrow")
        with tempfile.TemporaryFile() as file:
            self._extract(layout.METRICS, file)
            size = file.tell()
            file.seek(0)
            problem = None
            try:
                yield from self._metrics_in(file, size)
            except arrow.ArrowException as error:
                raise_foreign(error, by_type=False)
                problem = str(error)
        if problem is not None:
            # Outside: with an error of pyarrow as its context, it would be taken for foreign.
            raise BundleError(f"{layout.METRICS} is damaged: {problem}")

    def _extract(self, name: str, file: IO[bytes]) -> None:
        with self._stream(name) as pieces:
            file.writelines(pieces)

    def _metrics_in(self, file: IO[bytes], size: int) -> Iterator[Value]:
        parquet = imported("import", "pyarrow.parquet")
        _check_columns(parquet.read_schema(file))
        # Else equal texts would be copied for each row.
        reader = parquet.ParquetFile(file, read_dictionary=["name", "json"])
        _check_size(reader.metadata, self.contents.metrics, size)
        room = max(_ALLOWED_TEXT, size * _TEXT_PER_BYTE)
        for batch in reader.iter_batches(batch_size=_BATCH_ROWS):
            names = [
                name if name is None else checked_name("import", "metric name", name)
                for name in batch.column(0).dictionary.to_pylist()
            ]
            texts = batch.column(3).dictionary.to_pylist()
            values = [_decoded_value(text) for text in texts]
            columns = (
                batch.column(0).indices.to_pylist(),
                batch.column(1).to_pylist(),
                batch.column(2).to_pylist(),
                batch.column(3).indices.to_pylist(),
                batch.column(4).cast("int64").to_pylist(),
            )
            for name, step, number, text, time in zip(*columns, strict=True):
                if name is None or step is None or (text is None and number is None):
                    raise BundleError(f"{layout.METRICS} has a row without a name, step or value")
                room -= 0 if text is None else len(texts[text])
                if room < 0:
                    raise BundleError(f"{layout.METRICS} expands to too much text")
                value = encoded_value(number) if text is None else values[text]
                yield checked_step(step, "import"), time or 0, names[name], value


def _check_columns(schema: Any) -> None:
    columns = {field.name: str(field.type) for field in schema}
    if columns != layout.COLUMNS:
        raise BundleError(f"{layout.METRICS} has the columns {columns}, not {layout.COLUMNS}")


def _check_size(metadata: Any, count: int, size: int) -> None:
    if metadata.num_rows != count:
        raise BundleError(f"{layout.METRICS} has {metadata.num_rows} rows, and not {count}")
    if metadata.num_rows > max(_ALLOWED_ROWS, size * _ROWS_PER_BYTE):
        raise BundleError(f"{layout.METRICS} has {metadata.num_rows:,} rows in {size:,} bytes")
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for index in range(group.num_columns):
            column = group.column(index)
            if column.compression not in ("SNAPPY", "UNCOMPRESSED"):
                raise BundleError(
                    f"{layout.METRICS} is compressed with {column.compression}, and not Snappy"
                )
            if column.total_uncompressed_size > _MAX_COLUMN_BYTES:
                raise BundleError(f"{layout.METRICS} has too much in one group of rows")


def _decoded_value(text: str | None) -> Any:
    if text is None:
        return None
    value = restore(_decoded(text.encode(), object, layout.METRICS))
    encoded = encoded_value(value, f"import: value in {layout.METRICS}")
    check_size("import", layout.METRICS, encoded)
    return encoded


def _decoded(data: bytes, kind: type[T], name: str) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except (ValueError, msgspec.DecodeError, RecursionError) as error:
        raise_foreign(error)
        raise BundleError(f"{name} is invalid: {error}") from error


def _microseconds(time: dt.datetime | None) -> int | None:
    return None if time is None else microseconds_of(_aware(time))


def _aware(time: dt.datetime) -> dt.datetime:
    try:
        return time.replace(tzinfo=time.tzinfo or dt.UTC).astimezone(dt.UTC)
    except OverflowError as error:
        raise_foreign(error)
        raise BundleError(f"it has the time {time}, which no date of UTC has") from error
