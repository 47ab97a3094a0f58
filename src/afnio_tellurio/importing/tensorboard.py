"""Event files of TensorBoard: records with checksums, each with a message of Protocol Buffers.

Scalars and texts become values, and hyperparameters the config. A folder with event files is a run.
"""

from __future__ import annotations

import struct
from collections import Counter
from functools import partial
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from afnio_tellurio.api.entities import RunStatus
from afnio_tellurio.importing.checksums import masked_crc32c
from afnio_tellurio.importing.damaged_runs import read_run
from afnio_tellurio.importing.imported_runs import ImportedRun, Point, microseconds
from afnio_tellurio.importing.protobuf import Field, Message, ProtobufError, varint
from afnio_tellurio.interruptions import raise_foreign

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from afnio_tellurio.importing.imported_runs import FoundRun

_HEADER = struct.Struct("<QI")
_CHECKSUM = struct.Struct("<I")
#: What a value may hold instead of a number, by the number of its field.
_MEDIA = {3: "histograms", 4: "images", 5: "histograms", 6: "audio clips"}
#: What an event may hold instead of values.
_OTHER_EVENTS = {4: "graphs", 6: "log messages", 8: "run metadata", 9: "graphs"}
_HPARAMS = "hparams"
#: `session_end_info.status`.
_FAILURE = 2
#: DataType: the format of `struct` of one element of `tensor_content`, and the field of a list.
_NUMBERS = {
    1: ("f", 5), 2: ("d", 6), 3: ("i", 7), 4: ("B", 7), 5: ("h", 7), 6: ("b", 7), 9: ("q", 10),
    10: ("?", 11), 17: ("H", 7), 19: ("e", 13), 22: ("I", 16), 23: ("Q", 17),
}  # fmt: skip
_FLOAT, _STRING, _BFLOAT16, _HALF = 1, 7, 14, 19


class _Event(NamedTuple):
    time: float
    step: int
    message: Message


def is_file(path: Path) -> bool:
    """Returns whether a file is an event file."""
    return "tfevents" in path.name


def read_runs(path: Path, _skipped: Counter[str]) -> Iterator[FoundRun]:
    """Yields a run for each folder with event files, and for a single file its own.

    Raises:
        OSError: A file cannot be read.
        ValueError: No event file is there.
    """
    if path.is_dir():
        files = sorted(file for file in path.rglob("*tfevents*") if file.is_file())
    else:
        files = [path]
    folders: dict[Path, list[Path]] = {}
    for file in files:
        folders.setdefault(file.parent, []).append(file)
    if not folders:
        raise ValueError(f"{path} has no event files of TensorBoard")
    for folder in sorted(folders):
        relative = folder.relative_to(path if path.is_dir() else folder).as_posix()
        name = folder.resolve().name if relative == "." else relative
        yield read_run(name, folder, partial(_scanned, folders[folder], name))


def _scanned(files: list[Path], name: str) -> ImportedRun:
    return _Scan(files, name).run


class _Scan:
    """What the first pass over the files of a run finds.

    Attributes:
        run: The run.
    """

    def __init__(self, files: list[Path], name: str) -> None:
        self._files = files
        #: When the first file was opened. Of a run that was given its times, others may be earlier.
        self._opened: float | None = None
        self._first: float | None = None
        self._last = 0.0
        self.run = ImportedRun(tool="tensorboard", source_id="", name=name)
        skipped = self.run.skipped
        for file in files:
            for event in _events(file, skipped, verify=True):
                self._see(event, skipped)
        self.run.source_id = f"{files[0].name}:{self._opened}"
        self.run.facts = {"files": [file.name for file in files]}
        self.run.points = self._points
        if self._first is not None:
            self.run.started = microseconds(self._first)
            self.run.ended = self.run.ended or microseconds(self._last)

    def _see(self, event: _Event, skipped: Counter[str]) -> None:
        self._opened = event.time if self._opened is None else self._opened
        self._first = event.time if self._first is None else min(self._first, event.time)
        self._last = max(self._last, event.time)
        for number, kind in _OTHER_EVENTS.items():
            if event.message.has(number):
                skipped[kind] += 1
        for value in _summary_values(event):
            if value.plugin == _HPARAMS:
                self._see_hparams(value.content)
            elif value.kind is not None:
                skipped[value.kind] += 1

    def _see_hparams(self, content: bytes) -> None:
        message = Message(content)
        start, end = message.message(3), message.message(4)
        for entry in start.messages(1):
            self.run.config[entry.last(1).text] = _json_value(entry.last(2).data)
        self.run.group = start.last(4).text or self.run.group
        if end.last(1).integer == _FAILURE:
            self.run.status = RunStatus.FAILED.value
        if end.has(2):
            self.run.ended = microseconds(end.last(2).real)

    def _points(self) -> Iterator[Point]:
        for file in self._files:
            for event in _events(file, Counter(), verify=False):
                for value in _summary_values(event):
                    if value.kind is None and value.plugin != _HPARAMS:
                        yield Point(value.tag, event.step, value.value, microseconds(event.time))


def _events(file: Path, skipped: Counter[str], *, verify: bool) -> Iterator[_Event]:
    with file.open("rb") as stream:
        for record in _records(stream, skipped, verify=verify):
            try:
                message = Message(record)
            except ProtobufError as error:
                raise_foreign(error)
                skipped["damaged records"] += 1
                continue
            yield _Event(message.last(1).real, message.last(2).signed, message)


def _records(stream: IO[bytes], skipped: Counter[str], *, verify: bool) -> Iterator[bytes]:
    while header := stream.read(_HEADER.size):
        if len(header) < _HEADER.size:
            skipped["cut records"] += 1
            return
        size, checksum = _HEADER.unpack(header)
        if masked_crc32c(header[:8]) != checksum:
            # Where the next one starts is unknown.
            skipped["damaged ends of files"] += 1
            return
        data = stream.read(size)
        end = stream.read(_CHECKSUM.size)
        if len(data) < size or len(end) < _CHECKSUM.size:
            skipped["cut records"] += 1
            return
        if verify and masked_crc32c(data) != _CHECKSUM.unpack(end)[0]:
            skipped["damaged records"] += 1
            continue
        yield data


class _SummaryValue(NamedTuple):
    """A value of an event.

    Attributes:
        tag: Its name.
        plugin: The plugin that shows it.
        content: The data of the plugin.
        kind: What it is if it is not imported, else None.
        value: The value.
    """

    tag: str
    plugin: str
    content: bytes
    kind: str | None
    value: Any


def _summary_values(event: _Event) -> list[_SummaryValue]:
    try:
        summaries = event.message.messages(5)
        return [_summary_value(each) for summary in summaries for each in summary.messages(1)]
    except ProtobufError as error:
        raise_foreign(error)
        return [_SummaryValue("", "", b"", "damaged records", None)]


def _summary_value(message: Message) -> _SummaryValue:
    plugin = message.message(9, 1)
    name = plugin.last(1).text
    value: Any = None
    kind: str | None = "empty values"
    for number, media in _MEDIA.items():
        kind = media if message.has(number) else kind
    if message.has(2):
        value, kind = message.last(2).real, None
    elif message.has(8) and name != _HPARAMS:
        value = _tensor_value(message.message(8))
        kind = None if value is not None else f"tensors of {name}" if name else "tensors"
    return _SummaryValue(message.last(1).text, name, plugin.last(2).data, kind, value)


def _tensor_value(message: Message) -> Any:
    """Returns a number, a text, or a list of texts; None for another tensor."""
    kind, content = message.last(1).integer, message.last(4).data
    if kind == _STRING:
        texts = [field.text for field in message.all(8)]
        return texts[0] if len(texts) == 1 else texts or None
    dimensions = message.message(2).messages(2)
    if any(size.last(1).signed != 1 for size in dimensions):
        return None
    return _element(kind, content) if content else _listed_number(kind, message)


def _element(kind: int, content: bytes) -> Any:
    if kind == _BFLOAT16:
        kind, content = _FLOAT, b"\0\0" + content
    if kind not in _NUMBERS:
        return None
    form = struct.Struct(f"<{_NUMBERS[kind][0]}")
    return form.unpack(content)[0] if len(content) == form.size else None


def _listed_number(kind: int, message: Message) -> Any:
    """Returns the number in a list of one; a list that is missing is zero, as in TensorFlow."""
    if kind not in _NUMBERS and kind != _BFLOAT16:
        return None
    form, number = _NUMBERS.get(kind, ("", 13))
    field = message.last(number)
    bits = varint(field.data, 0)[0] if field.data and form not in ("f", "d") else field.integer
    if kind in (_HALF, _BFLOAT16):
        return _element(kind, struct.pack("<H", bits & 0xFFFF))
    if form in ("f", "d"):
        return _element(kind, field.data) if field.data else field.real
    value = Field(number, bits, b"").signed
    return bool(value) if form == "?" else value % 2**64 if form == "Q" else value


def _json_value(data: bytes) -> Any:
    """Returns the value of a `google.protobuf.Value`."""
    message = Message(data)
    if message.has(2):
        return message.last(2).real
    if message.has(3):
        return message.last(3).text
    if message.has(4):
        return bool(message.last(4).integer)
    if message.has(6):
        return [_json_value(field.data) for field in message.message(6).all(1)]
    return None
