"""The Parquet files of the cache: written once, and then never changed."""

from __future__ import annotations

import hashlib
import io
import math
import os
import secrets
from array import array
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from afnio_tellurio.api.frames import arrow_numbers, imported
from afnio_tellurio.api.metric_lists import ListedMetrics, restored
from afnio_tellurio.api.parquet import arrow_times, time_type
from afnio_tellurio.files import CREATE, synchronize
from afnio_tellurio.interruptions import ignored
from afnio_tellurio.settings.limits import PIECE_BYTES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

#: Rows after which a file is complete, at the end of the run that is written.
FILE_ROWS = 2**20
#: Rows that are in memory at one time: a row group, which queries skip or read as a whole.
_GROUP_ROWS = 2**17
_SUFFIX = ".parquet"
#: In a key of a series: the UUID of a run has no line feed.
_SEPARATOR = "\n"

#: The names of metrics whose rows are removed, by the UUID of their run; None for all of its rows.
Removed = dict[str, set[str] | None]


class PointFile(msgspec.Struct):
    """A complete file.

    Attributes:
        name: Its name in the folder.
        size: Its bytes.
        sha256: Their digest.
        changed: When it was changed, in nanoseconds since 1970.
        rows: The number of points.
        runs: The UUIDs of the runs that have points in it.
    """

    name: str
    size: int
    sha256: str
    changed: int
    rows: int
    runs: list[str]

    def is_whole(self, folder: Path) -> bool:
        """Returns whether the file is there as it was written."""
        path = folder / self.name
        try:
            status = path.stat(follow_symlinks=False)
        except FileNotFoundError:
            return False
        if status.st_size != self.size:
            return False
        if status.st_mtime_ns != self.changed:
            # A copy of the folder has other times.
            if digest_of(path) != self.sha256:
                return False
            self.changed = status.st_mtime_ns
        return True


def digest_of(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Arrow(NamedTuple):
    """The modules of pyarrow."""

    core: Any
    compute: Any
    parquet: Any

    @classmethod
    def load(cls, call: str) -> Arrow:
        """Imports them.

        Raises:
            ImportError: pyarrow is not installed.
        """
        names = ("pyarrow", "pyarrow.compute", "pyarrow.parquet")
        return cls(*(imported(call, name) for name in names))

    def schema(self) -> Any:
        """The columns of each file."""
        text = self.core.string()
        return self.core.schema(
            [
                ("run", text),
                ("run_uuid", text),
                ("name", text),
                ("step", self.core.int64()),
                ("value", self.core.float64()),
                ("timestamp", time_type(self.core)),
            ]
        )


def number_rows(arrow: Arrow, run: tuple[str, str], part: ListedMetrics) -> Any:
    """A batch of rows with the numbers of a metric of a run.

    Args:
        arrow: The modules of pyarrow.
        run: The name and the UUID of the run.
        part: The metrics; those that are not numbers are left out.
    """
    steps, values, times = part.steps, restored(part), part.times
    if not isinstance(values, array):
        are_numbers = [value.__class__ is float or value.__class__ is int for value in values]
        if not all(are_numbers):
            steps, values, times = (
                [item for item, is_number in zip(column, are_numbers, strict=True) if is_number]
                for column in (steps, values, times)
            )
        values = array("d", map(_nearest_double, values))
    elif values.typecode != "d":
        values = array("d", values)
    repeated = (
        arrow.core.repeat(arrow.core.scalar(text, arrow.core.string()), len(values))
        for text in (*run, part.name)
    )
    columns = [
        *repeated,
        arrow_numbers(arrow.core, steps),
        arrow_numbers(arrow.core, values),
        arrow_times(arrow.core, times),
    ]
    return arrow.core.record_batch(columns, schema=arrow.schema())


def _nearest_double(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        # An integer beyond the doubles, which rounds to infinity.
        return math.inf if value > 0 else -math.inf


class PointWriter:
    """Writes one file; its content is on the disk, or it is gone, when the writer is closed.

    Args:
        arrow: The modules of pyarrow.
        folder: The folder of the cache.
    """

    def __init__(self, arrow: Arrow, folder: Path) -> None:
        self._arrow = arrow
        self._path = folder / f"{secrets.token_hex(16)}{_SUFFIX}"
        self._runs: set[str] = set()
        self._waiting: list[Any] = []
        self._waiting_rows = 0
        self.rows = 0

    @cached_property
    def _file(self) -> _HashedFile:
        return _HashedFile(os.open(self._path, CREATE | os.O_EXCL, 0o600))

    @cached_property
    def _writer(self) -> Any:
        # The numbers of a metric seldom repeat.
        return self._arrow.parquet.ParquetWriter(
            self._file,
            self._arrow.schema(),
            use_dictionary=["run", "run_uuid", "name"],
            column_encoding={"step": "DELTA_BINARY_PACKED", "timestamp": "DELTA_BINARY_PACKED"},
            compression="snappy",
        )

    def add(self, batch: Any) -> None:
        """Writes a batch of rows, or keeps it until there are enough of them."""
        if not len(batch):
            return
        self._runs.update(batch.column("run_uuid").unique().to_pylist())
        self._waiting.append(batch)
        self._waiting_rows += len(batch)
        self.rows += len(batch)
        if self._waiting_rows >= _GROUP_ROWS:
            self._write_waiting()

    def _write_waiting(self) -> None:
        table = self._arrow.core.Table.from_batches(self._waiting)
        self._writer.write_table(table, row_group_size=_GROUP_ROWS)
        self._waiting.clear()
        self._waiting_rows = 0

    def close(self) -> PointFile | None:
        """Completes the file; returns None if it has no rows, and does not exist.

        Raises:
            OSError: The disk does not take it.
        """
        if not self.rows:
            return None
        if self._waiting:
            self._write_waiting()
        self._writer.close()
        self._file.finish()
        status = self._path.stat()
        return PointFile(
            name=self._path.name,
            size=status.st_size,
            sha256=self._file.hasher.hexdigest(),
            changed=status.st_mtime_ns,
            rows=self.rows,
            runs=sorted(self._runs),
        )

    def discard(self) -> None:
        """Removes the file, which another one may follow with the same rows."""
        if "_file" in self.__dict__:
            with ignored(OSError):
                self._file.close()
            with ignored(OSError):
                self._path.unlink()


class _HashedFile(io.RawIOBase):
    """A file that is written once, and hashed meanwhile."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._file = os.fdopen(fd, "wb", buffering=PIECE_BYTES)
        self._position = 0
        self.hasher = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def write(self, data: Any) -> int:
        self._file.write(data)
        self.hasher.update(data)
        self._position += len(data)
        return len(data)

    def finish(self) -> None:
        """Returns when the disk has the content."""
        self._file.flush()
        synchronize(self._file.fileno())
        self.close()

    def close(self) -> None:
        if not self.closed:
            try:
                self._file.close()
            finally:
                super().close()


def rewrite(
    arrow: Arrow,
    folder: Path,
    files: Sequence[PointFile],
    removed: Removed,
    names: Mapping[str, str],
) -> list[PointFile]:
    """Writes the rows of files to new ones, and returns those.

    Args:
        arrow: The modules of pyarrow.
        folder: The folder of the cache.
        files: The files.
        removed: The rows to leave out.
        names: The names of runs that have another name now, by their UUIDs.

    Raises:
        OSError: The disk does not take them.
    """
    written: list[PointFile] = []
    writer = PointWriter(arrow, folder)
    try:
        for batch in _batches(arrow, folder, files):
            writer.add(_renamed(arrow, _without(arrow, batch, removed), names))
            if writer.rows >= FILE_ROWS:
                written += _closed(writer)
                writer = PointWriter(arrow, folder)
        written += _closed(writer)
    except BaseException:  # raised again: an interrupted call must leave no file behind
        writer.discard()
        raise
    return written


def _closed(writer: PointWriter) -> list[PointFile]:
    file = writer.close()
    return [] if file is None else [file]


def _batches(arrow: Arrow, folder: Path, files: Iterable[PointFile]) -> Iterator[Any]:
    for file in files:
        with arrow.parquet.ParquetFile(folder / file.name) as source:
            yield from source.iter_batches(_GROUP_ROWS)


def _without(arrow: Arrow, batch: Any, removed: Removed) -> Any:
    runs = [run for run, names in removed.items() if names is None]
    series = [f"{run}{_SEPARATOR}{name}" for run, names in removed.items() for name in names or ()]
    if runs:
        batch = batch.filter(_is_not_in(arrow, batch.column("run_uuid"), runs))
    if series:
        keys = arrow.compute.binary_join_element_wise(
            batch.column("run_uuid"), batch.column("name"), _SEPARATOR
        )
        batch = batch.filter(_is_not_in(arrow, keys, series))
    return batch


def _is_not_in(arrow: Arrow, column: Any, texts: Collection[str]) -> Any:
    values = arrow.core.array(texts, arrow.core.string())
    return arrow.compute.invert(arrow.compute.is_in(column, value_set=values))


def _renamed(arrow: Arrow, batch: Any, names: Mapping[str, str]) -> Any:
    if not names:
        return batch
    text = arrow.core.string()
    found = arrow.compute.index_in(
        batch.column("run_uuid"), value_set=arrow.core.array(list(names), text)
    )
    new = arrow.core.array(list(names.values()), text).take(found)
    column = arrow.compute.coalesce(new, batch.column("run"))
    return batch.set_column(0, "run", column)
