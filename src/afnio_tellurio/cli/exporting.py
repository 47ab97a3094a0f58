"""The command that writes what was logged to a file."""

from __future__ import annotations

import csv
import json
import os
import secrets
import stat
import sys
from contextlib import contextmanager, suppress
from glob import escape
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import afnio_tellurio as te
from afnio_tellurio.cli.arguments import Commands, metric_names, place_of, with_file_names
from afnio_tellurio.locking import try_lock
from afnio_tellurio.notices import printable, show_progress
from afnio_tellurio.settings.limits import METRICS_PAGE
from afnio_tellurio.validation import encoded_value

if TYPE_CHECKING:
    import argparse
    import datetime as dt
    from collections.abc import Callable, Generator, Iterable, Iterator

    Page = list[tuple[str, int, Any, dt.datetime | None]]

_COLUMNS = ("name", "step", "value", "timestamp")
_FORMAT_OF_SUFFIX = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
_SPECIAL_NUMBERS = {"NaN", "Infinity", "-Infinity"}
#: Integers up to here are floats without a loss.
_EXACT = 2**53


def add_commands(commands: Commands) -> None:
    """Adds `export`."""
    export = commands.add_parser(
        "export",
        help="write what a run logged as CSV, JSON lines or Parquet",
        description="Writes each value with its metric, step and time. In CSV a value that is no "
        "number is JSON. In Parquet it is JSON in a column of its own, and so is an integer that "
        "a double does not hold. FILE is there whole or not at all.",
        epilog="example: afnio-tellurio export acme/digits/first --output first.csv",
    )
    export.add_argument("run", metavar="NAMESPACE/PROJECT/RUN", type=place_of(3))
    with_file_names(
        export.add_argument(
            "--output",
            metavar="FILE",
            type=Path,
            help="replaced when the export is whole, and not touched before; default stdout",
        )
    )
    export.add_argument(
        "--format",
        choices=("csv", "jsonl", "parquet"),
        help="default as FILE ends, else csv; parquet takes pyarrow",
    )
    export.add_argument("--metrics", metavar="A,B", type=metric_names, help="only these metrics")
    export.set_defaults(command=_export, usage=export)


def _export(options: argparse.Namespace) -> int:
    output: Path | None = options.output
    suffix = output.suffix.lower() if output else ""
    kind = options.format or _FORMAT_OF_SUFFIX.get(suffix, "csv")
    if kind == "parquet" and output is None:
        options.usage.error("parquet is no text; give --output FILE")
    write = _WRITERS[kind]
    if kind == "parquet":
        _pyarrow("pyarrow")
    run = te.get_run(*options.run)
    pages = _pages(run, options.metrics)
    if output is not None or _is_file(sys.stdout):
        pages = _shown(run, pages, options.metrics)
    try:
        if output is None:
            if sys.stdout:
                write(pages, sys.stdout.buffer)
            return 0
        with _whole_file(output) as file:
            count = write(pages, file)
    finally:
        # Whatever is said next stands where the progress stood.
        show_progress("")
    print(f"{printable(str(output))}: {count} values of {printable(run.name)}")
    return 0


def _is_file(stream: IO[Any] | None) -> bool:
    """Whether what is written is kept out of the terminal, where progress would be among it."""
    return stream is not None and stat.S_ISREG(os.fstat(stream.fileno()).st_mode)


def _pages(run: te.Run, wanted: list[str] | None) -> Iterator[Page]:
    if run.organization is None or run.project is None:
        raise LookupError(f"run {run.name!r} has nothing to export: TELLURIO_MODE is disabled")
    for name in [None] if wanted is None else wanted:
        points = run.iter_metrics(name)
        while page := list(islice(points, METRICS_PAGE)):
            yield [
                point
                if point.value.__class__ is int
                else point._replace(value=encoded_value(point.value))
                for point in page
            ]


def _shown(run: te.Run, pages: Iterable[Page], wanted: list[str] | None) -> Iterator[Page]:
    """The pages, with the progress on a terminal."""
    summaries = run.summary() if sys.stderr and sys.stderr.isatty() else {}
    total = sum(found.count for name, found in summaries.items() if not wanted or name in wanted)
    count = 0
    for page in pages:
        count += len(page)
        show_progress(f"{printable(run.name)}: {count:,} of {max(total, count):,} values")
        yield page


@contextmanager
def _whole_file(path: Path) -> Generator[IO[bytes]]:
    """A file that takes its name when it is whole; what was there before stays until then."""
    path = path.resolve()
    if path.exists() and not path.is_file():
        # A pipe or a device has no name to take.
        with _naming(path), path.open("wb") as file:
            yield file
        return
    _remove_abandoned(path)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with _naming(path), part.open("xb") as file:
            # Where files cannot be locked, an abandoned one is left where it is.
            with suppress(OSError):
                try_lock(file.fileno())
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        with suppress(FileNotFoundError):
            part.unlink()


def _remove_abandoned(path: Path) -> None:
    """Removes what exports to this file left when they were killed: nobody has it locked."""
    for part in path.parent.glob(f".{escape(path.name)}.*.part"):
        # One that is empty may be another export's that is about to lock it.
        with suppress(OSError):
            with part.open("rb+") as file:
                is_abandoned = part.stat().st_size > 0 and try_lock(file.fileno())
            if is_abandoned:
                part.unlink()


@contextmanager
def _naming(path: Path) -> Generator[None]:
    """Says which file it is that cannot be written."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


def _write_csv(pages: Iterable[Page], file: IO[bytes]) -> int:
    lines = _Utf8Lines(file)
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(_COLUMNS)
    count = 0
    for page in pages:
        writer.writerows(
            (
                name,
                step,
                value
                if value.__class__ is float or value.__class__ is int or _is_special(value)
                else json.dumps(value),
                timestamp and timestamp.isoformat(),
            )
            for name, step, value, timestamp in page
        )
        lines.flush()
        count += len(page)
    return count


class _Utf8Lines:
    """What a `csv.writer` writes to: `io.TextIOWrapper` would close the file with itself."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._lines: list[str] = []
        self.write = self._lines.append

    def flush(self) -> None:
        self._file.write("".join(self._lines).encode("utf-8", "backslashreplace"))
        self._lines.clear()


def _write_json_lines(pages: Iterable[Page], file: IO[bytes]) -> int:
    import msgspec

    encoder = msgspec.json.Encoder()
    count = 0
    for page in pages:
        rows = [dict(zip(_COLUMNS, row, strict=True)) for row in page]
        try:
            file.write(encoder.encode_lines(rows))
        except UnicodeEncodeError:
            # A surrogate that stands alone: Python's own encoder escapes it.
            text = "".join(f"{json.dumps(row, default=str)}\n" for row in rows)
            file.write(text.encode("ascii"))
        count += len(page)
    return count


def _write_parquet(pages: Iterable[Page], file: IO[bytes]) -> int:
    arrow, parquet = _pyarrow("pyarrow"), _pyarrow("pyarrow.parquet")
    schema = arrow.schema(
        [
            ("name", arrow.string()),
            ("step", arrow.int64()),
            ("value", arrow.float64()),
            ("json", arrow.string()),
            ("timestamp", arrow.timestamp("us", tz="UTC")),
        ]
    )
    count = 0
    with parquet.ParquetWriter(file, schema) as writer:
        for page in pages:
            names, steps, values, timestamps = zip(*page, strict=True) if page else [()] * 4
            numbers = [_double(value) for value in values]
            columns = [
                names,
                steps,
                numbers,
                [
                    json.dumps(value) if number is None else None
                    for value, number in zip(values, numbers, strict=True)
                ],
                timestamps,
            ]
            arrays = [
                arrow.array(column, kind)
                for column, kind in zip(columns, schema.types, strict=True)
            ]
            writer.write_batch(arrow.record_batch(arrays, schema=schema))
            count += len(page)
    return count


def _double(value: Any) -> float | None:
    if value.__class__ is float:
        return float(value)
    if value.__class__ is int:
        return float(value) if abs(value) <= _EXACT else None
    return float(value) if _is_special(value) else None


def _is_special(value: Any) -> bool:
    return value.__class__ is str and value in _SPECIAL_NUMBERS


def _pyarrow(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f"parquet takes pyarrow, which cannot be imported ({error}); install it: "
            "pip install pyarrow"
        ) from error


_WRITERS: dict[str, Callable[[Iterable[Page], IO[bytes]], int]] = {
    "csv": _write_csv,
    "jsonl": _write_json_lines,
    "parquet": _write_parquet,
}
