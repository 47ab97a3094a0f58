"""Writes a bundle, page by page."""

from __future__ import annotations

import hashlib
import io
import uuid
import zipfile
from functools import partial
from typing import IO, TYPE_CHECKING, Any

import attrs
import msgspec

from afnio_tellurio.api import operations
from afnio_tellurio.api.entities import RunRecord, RunStatus, read_run
from afnio_tellurio.api.frames import imported
from afnio_tellurio.api.metric_lists import list_metrics, restored
from afnio_tellurio.api.parquet import metric_batch, metric_schema
from afnio_tellurio.artifacts.saving import DamagedFileError
from afnio_tellurio.bundles import layout
from afnio_tellurio.copying_files import ServedFiles
from afnio_tellurio.delivery.senders import settle
from afnio_tellurio.validation import encoded_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

    from afnio_tellurio.api.calling import RunPath
    from afnio_tellurio.api.connection import Connection

#: Each member has this time, so that the same run makes the same bytes.
_TIME = (1980, 1, 1, 0, 0, 0)


def write_bundle(
    source: Connection, path: RunPath, file: IO[bytes], progress: Callable[[int], None]
) -> layout.Contents:
    """Writes everything of a run that has ended.

    Args:
        source: The backend that has it.
        path: The run.
        file: The file to write to.
        progress: Called with the number of metrics that are written.

    Returns:
        What was written.

    Raises:
        ImportError: pyarrow is not installed.
        ValueError: The run is still running, or a file was changed by the backend.
        TellurioError: A request failed.
    """
    # Before anything else is done.
    imported("export --bundle", "pyarrow")
    settle(source, "listMetrics", path.run_uuid)
    run = read_run(RunRecord, operations.get_run(source, path), "getRun", path.namespace_slug)
    if run.status is RunStatus.RUNNING:
        raise ValueError(f"run {run.name!r} is still running; export it when it has ended")
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as bundle:
        return _Writing(source, path, bundle).write(run, progress)


class _Writing:
    def __init__(self, source: Connection, path: RunPath, bundle: zipfile.ZipFile) -> None:
        self._source = source
        self._path = path
        self._bundle = bundle

    def write(self, run: RunRecord, progress: Callable[[int], None]) -> layout.Contents:
        files = ServedFiles(self._source, self._path)
        contents = layout.Contents(
            kind=layout.KIND,
            format=layout.FORMAT,
            run=_bundled(run),
            metrics=self._write_metrics(progress),
            tables=self._write_tables(),
            versions=self._write_versions(files),
            inputs=[
                layout.BundledInput(link.artifact, link.digest) for link in files.links("input")
            ],
            files=self._write_files(files),
        )
        self._write_json(layout.RUN, contents)
        return contents

    def _open(self, name: str) -> IO[bytes]:
        info = zipfile.ZipInfo(name, _TIME)
        # The default depends on the system.
        info.create_system, info.external_attr = 3, 0o600 << 16
        return self._bundle.open(info, "w", force_zip64=True)

    def _write_json(self, name: str, content: Any) -> None:
        with self._open(name) as member:
            member.write(msgspec.json.encode(content))

    def _write_metrics(self, progress: Callable[[int], None]) -> int:
        arrow = imported("export --bundle", "pyarrow")
        parquet = imported("export --bundle", "pyarrow.parquet")
        schema = metric_schema(arrow)
        count = 0
        with self._open(layout.METRICS) as member:
            counting = _Counting(member)
            with parquet.ParquetWriter(counting, schema, compression="snappy") as writer:
                for page in list_metrics(self._source, self._path):
                    for part in page:
                        exact = part._replace(values=restored(part))
                        writer.write_batch(metric_batch(arrow, [exact], _text_beside))
                        count += len(part.steps)
                    progress(count)
        return count

    def _write_tables(self) -> list[layout.BundledTable]:
        tables: list[layout.BundledTable] = []
        for model in operations.list_tables(self._source, self._path) or ():
            count = 0
            with self._open(layout.table_member(len(tables))) as member:
                for page in operations.list_rows(self._source, self._path, name=model.name):
                    rows = [
                        layout.BundledRow(row.timestamp, row.value.additional_properties)
                        for row in page
                    ]
                    member.write(msgspec.json.Encoder().encode_lines(rows))
                    count += len(rows)
            tables.append(layout.BundledTable(model.name, model.row_key, count))
        return tables

    def _write_versions(self, files: ServedFiles) -> int:
        """Writes the manifests of all versions, and then each blob once."""
        blobs: dict[str, Callable[[], AbstractContextManager[Iterable[bytes]]]] = {}
        links = files.links("output")
        for number, link in enumerate(links):
            version, members = files.version(link)
            for file in members:
                if file.reference is None and file.digest is not None:
                    blobs[file.digest] = partial(files.open_version_file, link, file)
            manifest = layout.BundledVersion(
                uuid=version.uuid,
                artifact=version.artifact,
                version=version.version,
                type=version.type,
                description=version.description,
                metadata=version.metadata,
                aliases=[alias for alias in version.aliases if alias != "latest"],
                files=[
                    layout.BundledVersionFile(**attrs.asdict(file))  # pyright: ignore[reportUnknownArgumentType]
                    for file in members
                ],
            )
            self._write_json(layout.version_member(number), manifest)
        for digest in sorted(blobs):
            self._write_blob(layout.blob_member(digest), digest, blobs[digest])
        return len(links)

    def _write_files(self, files: ServedFiles) -> list[layout.BundledFile]:
        listed = files.files()
        blobs = {file.digest: file for file in listed}
        for digest in sorted(blobs):
            stream = partial(files.open_file, blobs[digest])
            self._write_blob(layout.file_member(digest), digest, stream)
        return [layout.BundledFile(**attrs.asdict(file)) for file in listed]

    def _write_blob(
        self, name: str, digest: str, stream: Callable[[], AbstractContextManager[Iterable[bytes]]]
    ) -> None:
        hasher = hashlib.sha256()
        with self._open(name) as member, stream() as pieces:
            for piece in pieces:
                hasher.update(piece)
                member.write(piece)
        if hasher.hexdigest() != digest:
            raise DamagedFileError(f"the bytes of the file {digest} are not those that were logged")


class _Counting(io.RawIOBase):
    """A member of a zip, which has no `tell`, as pyarrow writes to it."""

    def __init__(self, member: IO[bytes]) -> None:
        super().__init__()
        self._member = member
        self._position = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def write(self, data: Any) -> int:
        written = self._member.write(data)
        self._position += written
        return written


def _text_beside(value: Any, _number: float | None) -> str | None:
    # Also of integers that are doubles: they are read back as integers.
    if value.__class__ is float:
        return None
    return msgspec.json.encode(encoded_value(value)).decode()


def _bundled(run: RunRecord) -> layout.BundledRun:
    because = run.ended_because
    reason = None
    if because is not None:
        reason = layout.BundledEnd(
            because.kind, because.type, because.message, because.traceback, because.signal
        )
    return layout.BundledRun(
        uuid=uuid.UUID(run.uuid),
        name=run.name,
        description=run.description,
        status=run.status.value,
        namespace=None if run.organization is None else run.organization.slug,
        project=None if run.project is None else run.project.slug,
        project_name=None if run.project is None else run.project.display_name,
        username=None if run.user is None else run.user.username,
        date_created=run.date_created,
        date_ended=run.date_ended,
        ended_because=reason,
        config=dict(run.config),
        tags=list(run.tags),
        group=run.group,
        job_type=run.job_type,
        notes=run.notes,
        parent_uuid=None if run.parent_uuid is None else uuid.UUID(run.parent_uuid),
        environment=run.environment or {},
    )
