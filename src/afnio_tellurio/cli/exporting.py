"""The command that exports the values of a run."""

from __future__ import annotations

import csv
import errno
import hashlib
import json
import os
import secrets
import stat
import sys
from array import array
from contextlib import contextmanager, suppress
from glob import escape
from importlib import import_module
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import afnio_tellurio as te
from afnio_tellurio.cli.arguments import (
    QUOTING_HELP,
    Commands,
    metric_names,
    path_type,
    require_metrics,
    with_file_names,
)
from afnio_tellurio.cli.finding import find_run
from afnio_tellurio.cli.printing import complain, value_count
from afnio_tellurio.files import synchronize
from afnio_tellurio.locking import try_lock
from afnio_tellurio.notices import printable, show_progress
from afnio_tellurio.validation import json_value

if TYPE_CHECKING:
    import argparse
    import datetime as dt
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from afnio_tellurio.api.metric_lists import ListedMetrics

    Page = list[ListedMetrics]
    Row = tuple[str, int, Any, dt.datetime | None]

#: File systems hold names of up to 255 bytes, and a temporary file has 15 more than its prefix.
_MAX_PREFIX_BYTES = 240
#: The parts of the path of a run; a project has one less.
_RUN_PARTS = 3
_COLUMNS = ("name", "step", "value", "timestamp")
_FORMAT_OF_SUFFIX = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
#: What a spreadsheet takes for the start of a formula; some take full-width characters too.
_FORMULA_STARTS = (*"=+-@", *"\uff1d\uff0b\uff0d\uff20", "\t", "\r", "\n")


def add_commands(commands: Commands) -> None:
    """Adds `export`."""
    export = commands.add_parser(
        "export",
        help="export a run's values as CSV, JSON lines or Parquet",
        description="Writes each value with its metric, step and time. CSV stores values that "
        "aren't numbers as JSON, and puts ' before names that a spreadsheet would run as "
        "formulas. Parquet stores them in a separate JSON column, along with "
        "integers that a double can't represent exactly. FILE is written atomically and "
        "overwrites an existing file.",
        epilog="example: afnio-tellurio export acme/digits/first --output first.csv",
    )
    export.add_argument("run", metavar="NAMESPACE/PROJECT[/RUN]", type=path_type(2, 3))
    with_file_names(
        export.add_argument(
            "--output",
            metavar="FILE",
            type=Path,
            help="output file, written atomically (default: stdout)",
        )
    )
    export.add_argument(
        "--format",
        choices=("csv", "jsonl", "parquet"),
        help="default: from FILE's extension; csv without one; parquet requires pyarrow",
    )
    export.add_argument(
        "--metrics", metavar="A,B", type=metric_names, help=f"only these metrics; {QUOTING_HELP}"
    )
    with_file_names(
        export.add_argument(
            "--bundle",
            metavar="FILE",
            type=Path,
            help="write everything of the run, with its artifacts and files, to one file that "
            "`import` reads; for a whole project, to a file for each run in this folder; "
            "requires pyarrow",
        )
    )
    export.set_defaults(command=_export, usage=export)


def _export(options: argparse.Namespace) -> int:
    if options.bundle is not None:
        return _export_bundles(options)
    if len(options.run) < _RUN_PARTS:
        options.usage.error("a whole project is exported with --bundle FOLDER")
    output: Path | None = options.output
    file_format = options.format or _format_of(output, options.usage)
    if file_format == "parquet" and output is None:
        options.usage.error("Parquet needs --output FILE")
    write = _WRITERS[file_format]
    if file_format == "parquet":
        _import_pyarrow("pyarrow")
    run = find_run(options.run)
    if options.metrics is not None:
        require_metrics(options.metrics, run.summary(), f"Run {run.name!r} has no metric")
    pages = _pages(run, options.metrics)
    if output is not None or _is_file(sys.stdout):
        pages = _with_progress(run, pages, options.metrics)
    try:
        if output is None:
            if sys.stdout:
                write(_shown(pages) if sys.stdout.isatty() else pages, sys.stdout.buffer)
            return 0
        with _open_atomically(output) as file:
            count = write(pages, file)
    finally:
        # Clears the progress before the next message.
        show_progress("")
    print(f"{printable(str(output))}: {value_count(count)} of {printable(run.name)}")
    return 0


def _format_of(output: Path | None, usage: argparse.ArgumentParser) -> str:
    """Returns the format that the extension of a file names; ends the process if none does."""
    suffix = output.suffix if output else ""
    if suffix and suffix.lower() not in _FORMAT_OF_SUFFIX:
        *others, last = _FORMAT_OF_SUFFIX
        usage.error(
            f"unknown extension {suffix!r} of --output; use {', '.join(others)} or {last}, or "
            "choose the format with --format csv, jsonl or parquet"
        )
    return _FORMAT_OF_SUFFIX.get(suffix.lower(), "csv")


def _export_bundles(options: argparse.Namespace) -> int:
    for option in ("output", "format", "metrics"):
        if getattr(options, option) is not None:
            options.usage.error(f"--{option} cannot be used with --bundle")
    if len(options.run) == _RUN_PARTS:
        _export_bundle(te.get_run(*options.run), options.bundle)
        return 0
    failed = False
    # The oldest first, so that parents are imported before their children.
    for run in list(te.runs(*options.run))[::-1]:
        if run.status is te.RunStatus.RUNNING:
            failed = True
            complain(f"{printable(run.name)}: not exported: it is still running")
            continue
        options.bundle.mkdir(parents=True, exist_ok=True)
        date = "" if run.date_created is None else run.date_created.strftime("%Y%m%d-%H%M%S-%f-")
        _export_bundle(run, options.bundle / f"{date}{run.uuid}.zip")
    return int(failed)


def _export_bundle(run: te.Run, path: Path) -> None:
    from afnio_tellurio.api.calling import RunPath
    from afnio_tellurio.bundles.writing import write_bundle
    from afnio_tellurio.client import connection_of
    from afnio_tellurio.default_client import default_client

    assert run.organization is not None
    assert run.project is not None
    name = printable(run.name)

    def show(count: int) -> None:
        show_progress(f"{name}: {count:,} values")

    place = RunPath(run.organization.slug, run.project.slug, run.uuid)
    try:
        with _open_atomically(path) as file:
            contents = write_bundle(connection_of(default_client()), place, file, show)
    finally:
        show_progress("")
    count = contents.metrics + sum(table.rows for table in contents.tables)
    print(f"{printable(str(path))}: {value_count(count)} of {name}")


def _is_file(stream: IO[Any] | None) -> bool:
    """Returns whether the stream is a file, where progress on the terminal can't mix with it."""
    return stream is not None and stat.S_ISREG(os.fstat(stream.fileno()).st_mode)


def _pages(run: te.Run, names: list[str] | None) -> Iterator[Page]:
    from afnio_tellurio.api.metric_lists import restored

    for name in [None] if names is None else names:
        for page in run._pages_of_metrics(name):  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
            yield [part._replace(values=_plain(restored(part))) for part in page]


def _plain(values: Sequence[Any]) -> Sequence[Any]:
    """Returns numbers as they are, and any other value as JSON has it."""
    if isinstance(values, array) or set(map(type, values)) <= {int, float}:
        return values
    return [
        value if value.__class__ is int or value.__class__ is float else json_value(value)
        for value in values
    ]


def _rows(page: Page) -> Iterator[Row]:
    from afnio_tellurio.api.metric_lists import datetime_of

    for part in page:
        for step, value, time in zip(part.steps, part.values, part.times, strict=True):
            yield part.name, step, value, None if time is None else datetime_of(time)


def _with_progress(run: te.Run, pages: Iterable[Page], names: list[str] | None) -> Iterator[Page]:
    """Yields the pages and shows the progress if stderr is a terminal."""
    summaries = run.summary() if sys.stderr and sys.stderr.isatty() else {}
    total = sum(metric.count for name, metric in summaries.items() if not names or name in names)
    count = 0
    for page in pages:
        count += _size(page)
        show_progress(f"{printable(run.name)}: {count:,} of {max(total, count):,} values")
        yield page


@contextmanager
def _open_atomically(path: Path) -> Generator[IO[bytes]]:
    """Opens a temporary file that replaces `path` when the block completes."""
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "No such directory", str(path.parent))
    path = path.resolve()
    if path.exists() and not path.is_file():
        # A pipe or a device can't be replaced.
        with _named_errors(path), path.open("wb") as file:
            yield file
        return
    _remove_abandoned_parts(path)
    part = path.with_name(f".{_part_prefix(path)}.{secrets.token_hex(4)}.part")
    try:
        with _named_errors(path), part.open("xb") as file:
            # If the file system has no locks, abandoned files are never removed.
            with suppress(OSError):
                try_lock(file.fileno())
            yield file
            file.flush()
            synchronize(file.fileno())
        part.replace(path)
    finally:
        with suppress(FileNotFoundError):
            part.unlink()


def _remove_abandoned_parts(path: Path) -> None:
    """Removes the temporary files of killed exports to this file: the ones without a lock."""
    for part in path.parent.glob(f".{escape(_part_prefix(path))}.*.part"):
        # Another export may have just created an empty one and be about to lock it.
        with suppress(OSError):
            with part.open("rb+") as file:
                is_abandoned = part.stat().st_size > 0 and try_lock(file.fileno())
            if is_abandoned:
                part.unlink()


def _part_prefix(path: Path) -> str:
    """The beginning of the name of a temporary file: the file's, if the rest fits behind it."""
    name = path.name
    if len(os.fsencode(name)) <= _MAX_PREFIX_BYTES:
        return name
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:16]


@contextmanager
def _named_errors(path: Path) -> Generator[None]:
    """Names the file in errors about writing it, in the place of its temporary one."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            error.filename = str(path)
        raise


def _size(page: Page) -> int:
    return sum(len(part.steps) for part in page)


def _shown(pages: Iterable[Page]) -> Iterator[Page]:
    """Yields the pages with names and texts that cannot control a terminal."""
    for page in pages:
        yield [
            part._replace(
                name=printable(part.name), values=list(map(_printable_value, part.values))
            )
            for part in page
        ]


def _printable_value(value: Any) -> Any:
    if value.__class__ is str:
        return printable(value)
    if value.__class__ is list:
        return [_printable_value(item) for item in value]
    if value.__class__ is dict:
        return {printable(name): _printable_value(item) for name, item in value.items()}
    return value


def _cell(name: str) -> str:
    """A name that a spreadsheet does not run as a formula."""
    return f"'{name}" if name.startswith(_FORMULA_STARTS) else name


def _write_csv(pages: Iterable[Page], file: IO[bytes]) -> int:
    lines = _Utf8Lines(file)
    # Python quotes only characters that are in the line terminator.
    writer = csv.writer(lines, lineterminator=_Utf8Lines.TERMINATOR)
    writer.writerow(_COLUMNS)
    count = 0
    for page in pages:
        writer.writerows(
            (
                _cell(name),
                step,
                _in_words(value)
                if value.__class__ is float or value.__class__ is int
                else json.dumps(value),
                timestamp and timestamp.isoformat(),
            )
            for name, step, value, timestamp in _rows(page)
        )
        lines.flush()
        count += _size(page)
    return count


def _write_all(file: IO[bytes], data: bytes) -> None:
    """Writes data to a file, or to stdout, which has no buffer if Python is told so.

    Then a write to a full disk, or to a pipe that is closed meanwhile, may end early.
    """
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


class _Utf8Lines:
    """The target of a `csv.writer`; unlike `io.TextIOWrapper`, it never closes the file.

    Its lines end with a line feed only.
    """

    TERMINATOR = "\r\n"

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._lines: list[str] = []

    def write(self, line: str) -> None:
        """Receives one line from the writer."""
        self._lines.append(f"{line.removesuffix(self.TERMINATOR)}\n")

    def flush(self) -> None:
        _write_all(self._file, "".join(self._lines).encode("utf-8", "backslashreplace"))
        self._lines.clear()


def _write_json_lines(pages: Iterable[Page], file: IO[bytes]) -> int:
    import msgspec

    encoder = msgspec.json.Encoder()
    count = 0
    for page in pages:
        rows = [
            dict(zip(_COLUMNS, (name, step, _in_words(value), timestamp), strict=True))
            for name, step, value, timestamp in _rows(page)
        ]
        try:
            _write_all(file, encoder.encode_lines(rows))
        except UnicodeEncodeError:
            # A lone surrogate: Python's own encoder escapes it.
            text = "".join(f"{json.dumps(row, default=str)}\n" for row in rows)
            _write_all(file, text.encode("ascii"))
        count += len(rows)
    return count


def _write_parquet(pages: Iterable[Page], file: IO[bytes]) -> int:
    from afnio_tellurio.api.parquet import metric_batch, metric_schema

    arrow, parquet = _import_pyarrow("pyarrow"), _import_pyarrow("pyarrow.parquet")
    count = 0
    with parquet.ParquetWriter(file, metric_schema(arrow)) as writer:
        for page in pages:
            writer.write_batch(metric_batch(arrow, page, _text_beside))
            count += _size(page)
    return count


def _text_beside(value: Any, number: float | None) -> str | None:
    return json.dumps(value) if number is None else None


def _in_words(value: Any) -> Any:
    """Returns a word for NaN and the infinities, and any other value as it is."""
    return json_value(value) if value.__class__ is float and value - value != 0 else value


def _import_pyarrow(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f"Parquet requires pyarrow, which can't be imported ({error}); run: pip install pyarrow"
        ) from error


_WRITERS: dict[str, Callable[[Iterable[Page], IO[bytes]], int]] = {
    "csv": _write_csv,
    "jsonl": _write_json_lines,
    "parquet": _write_parquet,
}
