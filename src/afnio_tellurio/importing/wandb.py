"""Runs that wandb recorded offline: `run-*.wandb` files, of which a resumed run has several."""

from __future__ import annotations

import json
import re
from collections import Counter
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec

from afnio_tellurio.api.entities import RunStatus
from afnio_tellurio.importing.damaged_runs import DamagedRun, DamageError, damage_named, read_run
from afnio_tellurio.importing.imported_runs import (
    UNFINISHED,
    ImportedRow,
    ImportedRun,
    Point,
    add_files,
)
from afnio_tellurio.importing.leveldb_log import has_header, records_of
from afnio_tellurio.importing.media import add_medium
from afnio_tellurio.importing.protobuf import Field, Message, ProtobufError
from afnio_tellurio.importing.wandb_artifacts import add_versions
from afnio_tellurio.importing.wandb_history import FILES, History, Row, restored
from afnio_tellurio.importing.wandb_tables import TABLES, TableFile, read_rows
from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.special_numbers import SPECIAL_NUMBERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from afnio_tellurio.importing.imported_runs import FoundRun

_HISTORY, _SUMMARY, _CONFIG, _STATS, _METRIC = 2, 3, 5, 7, 12
_ARTIFACT, _RUN, _EXIT, _ENVIRONMENT = 8, 17, 18, 26
#: Records that are counted only.
_OTHERS = {
    4: "console records", 9: "TensorBoard folders", 10: "alerts", 13: "console records",
    24: "links of artifacts", 25: "used artifacts",
    27: "console records",
}  # fmt: skip
#: Records about the file, and not about the run.
_BOOKKEEPING = {1, 6, 11, 16, 19, 20, 21, 22, 23, 100, 200}

#: The folder of media in that of the files.
_MEDIA = "media"
#: Files of wandb itself. Their content is imported from records, without credentials.
_OWN_FILES = ("config.yaml", "wandb-metadata.json", "wandb-summary.json")


def is_file(path: Path) -> bool:
    """Returns whether a file is a `.wandb` file."""
    return path.suffix == ".wandb" and has_header(path)


def read_runs(path: Path, skipped: Counter[str]) -> Iterator[FoundRun]:
    """Yields the run of a file, or the runs of all files below a folder.

    Args:
        path: The file or the folder.
        skipped: Counts files without a run.

    Raises:
        OSError: A file cannot be read.
        ValueError: No such file is there, or a file is not one.
    """
    files = sorted(path.rglob("run-*.wandb")) if path.is_dir() else [path]
    if not files:
        raise ValueError(f"{path} has no run-*.wandb files")
    runs: dict[tuple[str, ...], list[Path]] = {}
    damaged: dict[str, DamagedRun] = {}
    for file in files:
        try:
            with damage_named(file):
                key = _run_of(file)
        except DamageError as error:
            damaged[file.stem] = DamagedRun(file.name, str(error))
            continue
        if key is None:
            skipped["files without a run"] += 1
        else:
            runs.setdefault(key, []).append(file)
    yield from damaged.values()
    for key, parts in runs.items():
        # The values of a run that was resumed are in order only if all of its files are read.
        if parts[0].stem not in damaged:
            source = path if path.is_dir() else None
            read = partial(_scanned, parts, "/".join(key), source)
            yield read_run(key[-1], parts[0], read)


def _scanned(files: list[Path], source_id: str, source: Path | None) -> ImportedRun:
    return _Scan(files, source_id, source).run


def _run_of(file: Path) -> tuple[str, ...] | None:
    """Returns what identifies the run of a file, or None if its program recorded none.

    Raises:
        ValueError: The file is damaged where its run is.
    """
    skipped: Counter[str] = Counter()
    for record in _records([file], skipped):
        if record.has(_RUN):
            run = record.message(_RUN)
            return tuple(run.last(number).text for number in (2, 3, 1))
    if skipped["damaged records"]:
        raise ValueError(f"{file} is damaged where it has the name of its run")
    return None


class _Scan:
    """What the first pass over the files of a run finds.

    Attributes:
        run: The run.
    """

    def __init__(self, files: list[Path], source_id: str, source: Path | None) -> None:
        self._files = files
        self._source = source
        self._artifacts: list[bytes] = []
        self._exit: int | None = None
        self._summary: dict[str, Any] = {}
        #: The declared x-axis of each metric, or of a pattern.
        self._axes: dict[str, str] = {}
        self.run = ImportedRun(tool="wandb", source_id=source_id, name="")
        self._seen: dict[int, Callable[[Message], None]] = {
            _RUN: self._see_run,
            _CONFIG: partial(_apply, self.run.config),
            _SUMMARY: partial(_apply, self._summary),
            _METRIC: self._see_metric,
            _EXIT: self._see_exit,
            _ENVIRONMENT: self._see_environment,
        }
        for record in _records(files, self.run.skipped):
            self._see(record)
        self._finish()

    def _see(self, record: Message) -> None:
        run = self.run
        for number in record.fields:
            if number in _OTHERS:
                run.skipped[_OTHERS[number]] += 1
            elif number not in _READ | _BOOKKEEPING:
                run.skipped["unknown records"] += 1
        self._artifacts += [field.data for field in record.all(_ARTIFACT)]
        for number, see in self._seen.items():
            if record.has(number):
                see(record.message(number))

    def _see_metric(self, message: Message) -> None:
        name, axis = message.last(1).text or message.last(2).text, message.last(4).text
        if axis:
            self._axes[name] = axis

    def _see_exit(self, message: Message) -> None:
        self._exit = message.last(1).signed

    def _see_run(self, message: Message) -> None:
        run = self.run
        _apply(run.config, message.message(4))
        _apply(self._summary, message.message(5))
        run.name = message.last(8).text or run.name or message.last(1).text
        run.group = message.last(6).text or run.group
        run.job_type = message.last(7).text or run.job_type
        run.notes = message.last(9).text or run.notes
        run.tags = [field.text for field in message.all(10)] or run.tags
        run.user = message.last(2).text or run.user
        run.facts["project"] = message.last(3).text
        run.facts["sweep"] = message.last(12).text or None
        run.facts["host"] = message.last(13).text or None
        start = message.message(17)
        started = start.last(1).signed * 1_000_000 + start.last(2).signed // 1000
        if started:
            run.started = min(started, run.started or started)

    def _see_environment(self, message: Message) -> None:
        run = self.run
        run.facts["python"] = message.last(2).text or None
        run.facts["program"] = message.last(6).text or None
        run.user = message.last(13).text or run.user

    def _finish(self) -> None:
        run = self.run
        run.config.pop("_wandb", None)
        history = History(partial(_rows, self._files), self._axes)
        history.describe(run, self._summary)
        if self._exit is None:
            run.status, run.because = RunStatus.FAILED.value, UNFINISHED
        elif self._exit:
            run.status = RunStatus.CRASHED.value
            run.because = {
                "kind": "exit",
                "message": f"The process exited with status {self._exit}.",
            }
        self._add_files(history)
        add_versions(run, self._artifacts, self._source)
        run.skipped = +run.skipped
        run.points = lambda: chain(history.points(), _system_points(self._files))

    def _add_files(self, history: History) -> None:
        # Elsewhere, a folder of this name may be of somebody else.
        folders = [file.parent for file in self._files if _is_in_own_folder(file)]
        left_out: set[Path] = set()
        tables: list[TableFile] = []
        for medium in history.media():
            found = add_medium(self.run, folders, medium)
            left_out.update(found)
            if medium.type in TABLES:
                tables += [TableFile(medium.name, file, medium.step, medium.time) for file in found]
        self.run.rows = partial(self._rows, tables)
        for folder in folders:
            files = folder.resolve() / FILES
            if files.is_symlink():
                self.run.skipped["links"] += 1
                continue
            left_out.update(files / name for name in _OWN_FILES)
            if self._exit is None:
                # wandb writes the file of a medium before the value, which a later import may find.
                early = {file for file in (files / _MEDIA).rglob("*") if file.is_file()} - left_out
                self.run.skipped["media without a value yet"] += len(early)
                left_out |= early
            add_files(self.run, files, left_out)

    def _rows(self, tables: list[TableFile]) -> Iterator[ImportedRow]:
        for table in tables:
            try:
                yield from read_rows(table)
            except ValueError as error:
                raise_foreign(error)
                self.run.skipped["invalid tables"] += 1


_READ = {_HISTORY, _SUMMARY, _CONFIG, _STATS, _METRIC, _ARTIFACT, _RUN, _EXIT, _ENVIRONMENT}


def _is_in_own_folder(file: Path) -> bool:
    run_id = re.escape(file.stem.removeprefix("run-"))
    return bool(re.match(rf"(offline-)?run-\d{{8}}_\d{{6}}-{run_id}", file.resolve().parent.name))


def _records(files: list[Path], skipped: Counter[str]) -> Iterator[Message]:
    for file in files:
        for record in records_of(file, skipped):
            try:
                yield Message(record)
            except ProtobufError as error:
                raise_foreign(error)
                skipped["damaged records"] += 1


def _rows(files: list[Path]) -> Iterator[Row]:
    for record in _records(files, Counter()):
        if record.has(_HISTORY):
            history = record.message(_HISTORY)
            nested: dict[str, Any] = {}
            _apply(nested, history)
            yield Row.of(nested, history.message(2).last(1).signed)


def _system_points(files: list[Path]) -> Iterator[Point]:
    for record in _records(files, Counter()):
        if record.has(_STATS):
            stats = record.message(_STATS)
            stamp = stats.message(2)
            time = stamp.last(1).signed * 1_000_000 + stamp.last(2).signed // 1000
            for item in stats.messages(3):
                yield Point(f"system/{item.last(1).text}", None, _value_of(item), time)


def _apply(values: dict[str, Any], changes: Message) -> None:
    """Applies a record of changes of the config or the summary."""
    for item in changes.messages(1):
        *parents, name = _path_of(item)
        place = values
        for parent in parents:
            if not isinstance(place.get(parent), dict):
                place[parent] = {}
            place = place[parent]
        place[name] = _value_of(item)
    for item in changes.messages(2):
        *parents, name = _path_of(item)
        removed_from: Any = values
        for parent in parents:
            removed_from = removed_from.get(parent) if isinstance(removed_from, dict) else None  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        if isinstance(removed_from, dict):
            removed_from.pop(name, None)  # pyright: ignore[reportUnknownMemberType]


def _path_of(item: Message) -> list[str]:
    key = item.last(1).text
    return [key] if key else [field.text for field in item.all(2)] or [""]


def _value_of(item: Message) -> Any:
    """Returns the value of an item; newer versions have a field for each type."""
    for number, read in _VALUES.items():
        if item.has(number):
            return read(item.last(number))
    return None


def _zigzag(field: Field) -> int:
    return field.integer >> 1 ^ -(field.integer & 1)


def _json_value(field: Field) -> Any:
    """Returns a value of JSON, in which Python also writes NaN and the infinities."""
    text = field.text
    if text in SPECIAL_NUMBERS:
        return SPECIAL_NUMBERS[text]
    for decode in (msgspec.json.decode, json.loads):
        # The second one is slower, and reads NaN and the infinities in lists and objects.
        try:
            return restored(decode(text))
        except (ValueError, msgspec.DecodeError, RecursionError) as error:
            raise_foreign(error)
    return text


_VALUES: dict[int, Callable[[Field], Any]] = {
    16: _json_value,
    8: _json_value,
    7: lambda field: field.text,
    6: lambda field: field.real,
    5: _zigzag,
    4: lambda field: bool(field.integer),
}
