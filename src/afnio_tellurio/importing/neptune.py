"""Parquet files that neptune-exporter wrote; it requires pyarrow.

`SOURCE` is the folder of the data, or the one with the folders `data` and `files`. Each row is a
value of one attribute of one run: a parameter, a point of a series, or the path of a file.
"""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from afnio_tellurio.api.entities import RunStatus
from afnio_tellurio.api.frames import imported
from afnio_tellurio.artifact_paths import check_path
from afnio_tellurio.delivery.records import microseconds_of
from afnio_tellurio.importing.damaged_runs import DamagedRun, DamageError, damage_named, read_run
from afnio_tellurio.importing.imported_runs import ImportedFile, ImportedRun, Point
from afnio_tellurio.interruptions import raise_foreign

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator
    from pathlib import Path

    from afnio_tellurio.importing.imported_runs import FoundRun

_COLUMNS = {
    *("project_id", "run_id", "attribute_path", "attribute_type", "step", "timestamp"),
    *("int_value", "float_value", "string_value", "bool_value", "datetime_value"),
    *("string_set_value", "file_value", "histogram_value"),
}
#: The column of the values of each type.
_VALUES = {
    "float": "float_value",
    "int": "int_value",
    "string": "string_value",
    "bool": "bool_value",
    "datetime": "datetime_value",
    "string_set": "string_set_value",
    "float_series": "float_value",
    "string_series": "string_value",
    "histogram_series": "histogram_value",
    "file": "file_value",
    "file_series": "file_value",
}
_PARAMETERS = {"float", "int", "string", "bool", "datetime", "string_set"}
_SERIES = {"float_series", "string_series", "histogram_series"}
_BATCH_ROWS = 10_000
_PART = re.compile(r"(.*)_part_(\d+)\.parquet")


def is_file(path: Path) -> bool:
    """Returns whether a file looks like one of neptune-exporter."""
    return path.suffix == ".parquet"


def read_runs(path: Path, skipped: Counter[str]) -> Iterator[FoundRun]:
    """Yields the runs of a file, or of all files below a folder.

    Args:
        path: The file or the folder.
        skipped: Counts files with other columns.

    Raises:
        ImportError: pyarrow is not installed.
        OSError: A file cannot be read.
        ValueError: No such file is there.
    """
    imported("import", "pyarrow")
    runs: dict[tuple[str, str], list[Path]] = {}
    damaged: dict[str, DamagedRun] = {}
    for file in sorted(path.rglob("*.parquet"), key=_order) if path.is_dir() else [path]:
        try:
            with damage_named(file):
                found = _runs_in(file)
        except DamageError as error:
            damaged[_order(file)[0]] = DamagedRun(file.name, str(error))
            continue
        if found is None:
            skipped["other Parquet files"] += 1
            continue
        for key in found:
            runs.setdefault(key, []).append(file)
    if not runs and not damaged:
        raise ValueError(f"{path} has no Parquet files of neptune-exporter")
    yield from damaged.values()
    root = path / "files" if path.is_dir() else path.parent / "files"
    for (project, run_id), files in runs.items():
        # A run may have more in another part of its export.
        if not any(_order(file)[0] in damaged for file in files):
            yield read_run(run_id, files[0], partial(_scanned, files, project, run_id, root))


def _scanned(files: list[Path], project: str, run_id: str, root: Path) -> ImportedRun:
    return _Scan(files, project, run_id, root).run


def _runs_in(file: Path) -> list[tuple[str, str]] | None:
    """Returns the projects and IDs of the runs in a file, or None if it is another one."""
    parquet = imported("import", "pyarrow.parquet")
    if not set(parquet.read_schema(file).names) >= _COLUMNS:
        return None
    rows = _rows([file], ["project_id", "run_id"])
    return list(dict.fromkeys((row["project_id"], row["run_id"]) for row in rows))


def _order(file: Path) -> tuple[str, int]:
    part = _PART.fullmatch(file.name)
    place = file.parent.as_posix()
    return (f"{place}/{part[1]}", int(part[2])) if part else (f"{place}/{file.name}", 0)


def _rows(files: list[Path], columns: list[str]) -> Iterator[dict[str, Any]]:
    parquet = imported("import", "pyarrow.parquet")
    for file in files:
        with parquet.ParquetFile(file) as reader:
            try:
                for batch in reader.iter_batches(batch_size=_BATCH_ROWS, columns=columns):
                    yield from batch.to_pylist()
            except (OSError, NotImplementedError) as error:
                raise_foreign(error, by_type=False)
                codecs = sorted(_unknown_codecs(reader.metadata))
                if not codecs:
                    raise
                raise DamageError(
                    f"{file} is compressed with {', '.join(codecs)}, which this build of pyarrow "
                    "does not read; write it again with Snappy or ZSTD where another tool reads "
                    "it, and repeat the import"
                ) from error


def _unknown_codecs(metadata: Any) -> set[str]:
    """Returns the compressions in a file that pyarrow cannot read."""
    arrow = imported("import", "pyarrow")
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    codecs = {
        group.column(index).compression for group in groups for index in range(group.num_columns)
    }
    unknown: set[str] = set()
    for codec in codecs - {"UNCOMPRESSED"}:
        try:
            is_known = arrow.Codec.is_available(codec.lower())
        except ValueError as error:
            raise_foreign(error)
            is_known = False
        if not is_known:
            unknown.add(codec)
    return unknown


class _Scan:
    """What the first pass over the rows of a run finds.

    Attributes:
        run: The run.
    """

    def __init__(self, files: list[Path], project: str, run_id: str, root: Path) -> None:
        self._files = files
        self._root = root
        self._multiplier = 1
        self._system: dict[str, Any] = {}
        self.run = ImportedRun(tool="neptune", source_id=f"{project}/{run_id}", name=run_id)
        for row in self._rows_of_run():
            self._see(row)
        self._finish(project)

    def _rows_of_run(self) -> Iterator[dict[str, Any]]:
        for row in _rows(self._files, sorted(_COLUMNS)):
            if f"{row['project_id']}/{row['run_id']}" == self.run.source_id:
                yield row

    def _see(self, row: dict[str, Any]) -> None:
        path, kind = row["attribute_path"], row["attribute_type"]
        if kind not in _VALUES:
            self.run.skipped["unknown attributes"] += 1
            return
        value = _json_value(row[_VALUES[kind]])
        if kind in _PARAMETERS:
            system = path.startswith("sys/")
            (self._system if system else self.run.config)[path] = value
        elif kind in _SERIES:
            step = row["step"]
            while step is not None and step * self._multiplier % 1 != 0:
                self._multiplier *= 10
            time = _microseconds(row["timestamp"])
            self.run.ended = max(time, self.run.ended or 0) or None
        else:
            self._see_file(path, row, value)

    def _see_file(self, path: str, row: dict[str, Any], value: Any) -> None:
        if row["attribute_type"] == "file_series":
            step = row["step"] or Decimal(0)
            path = f"{path}/{step.normalize():f}"
        place: dict[str, Any] = value or {}
        file = self._find_file(str(place.get("path") or ""))
        if file is None:
            self.run.skipped["files that are not in the source"] += 1
            return
        try:
            check_path(path)
        except ValueError as error:
            raise_foreign(error)
            self.run.skipped["files with an invalid path"] += 1
            return
        self.run.files.append(ImportedFile(path, file, _microseconds(row["timestamp"])))

    def _find_file(self, relative: str) -> Path | None:
        """Returns a file below the folder of the files, and no other, whatever its path is."""
        top = self._root.resolve()
        for folder in (self._root, self._root / self._files[0].parent.name):
            file = folder / relative
            if file.is_file() and file.resolve().is_relative_to(top):
                return file
        return None

    def _finish(self, project: str) -> None:
        run, system = self.run, self._system
        run.group = _text(system.get("sys/name"))
        run.notes = _text(system.get("sys/description"))
        run.user = _text(system.get("sys/owner"))
        run.tags = [*(system.get("sys/tags") or ()), *(system.get("sys/group_tags") or ())]
        run.started = _moment(system.get("sys/creation_time"))
        run.ended = run.ended or _moment(system.get("sys/modification_time"))
        if system.get("sys/failed") is True:
            run.status = RunStatus.FAILED.value
        run.facts = {
            "project": project,
            "attributes": system or None,
            "step_multiplier": self._multiplier if self._multiplier > 1 else None,
        }
        run.points = self._points

    def _points(self) -> Iterator[Point]:
        for row in self._rows_of_run():
            kind, step = row["attribute_type"], row["step"]
            if kind in _SERIES:
                yield Point(
                    row["attribute_path"],
                    None if step is None else int(step * self._multiplier),
                    _json_value(row[_VALUES[kind]]),
                    _microseconds(row["timestamp"]),
                )


def _json_value(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    return value


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _moment(text: Any) -> int | None:
    return microseconds_of(dt.datetime.fromisoformat(text)) if isinstance(text, str) else None


def _microseconds(time: dt.datetime | None) -> int:
    return 0 if time is None else microseconds_of(time)
