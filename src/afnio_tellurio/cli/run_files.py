"""The command that lists and downloads the files of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import afnio_tellurio as te
from afnio_tellurio.cli.arguments import Commands, path_type, with_file_names
from afnio_tellurio.cli.artifacts import with_progress
from afnio_tellurio.cli.finding import find_run
from afnio_tellurio.cli.layout import table
from afnio_tellurio.cli.printing import complain, format_date
from afnio_tellurio.notices import printable, show_progress
from afnio_tellurio.sizes import counted_bytes

if TYPE_CHECKING:
    import argparse

    from afnio_tellurio.artifacts.saving import FileToSave

#: The extensions of files of series, by content type without parameters.
_EXTENSIONS = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/gif": ".gif",
    "image/webp": ".webp",
    "audio/wav": ".wav",
    "audio/mpeg": ".mp3",
    "audio/ogg": ".ogg",
    "audio/flac": ".flac",
    "text/plain": ".txt",
    "text/html": ".html",
}


def add_commands(commands: Commands) -> None:
    """Adds `files`."""
    files = commands.add_parser(
        "files",
        help="list or download the files of a run",
        description="Lists the files of a run, also the images, sounds and texts of its series. "
        "--download saves them below DIR; those of a series as NAME/STEP with an extension.",
        epilog="example: afnio-tellurio files acme/digits/first --prefix samples",
    )
    files.add_argument("run", metavar="NAMESPACE/PROJECT/RUN", type=path_type(3))
    files.add_argument("--prefix", metavar="TEXT", help="only paths that start with this text")
    with_file_names(
        files.add_argument("--download", metavar="DIR", type=Path, help="save them in this folder")
    )
    files.add_argument("--json", action="store_true", help="print JSON")
    files.set_defaults(command=_files)


def _files(options: argparse.Namespace) -> int:
    run = find_run(options.run)
    try:
        files = run.files(options.prefix)
    except te.NotFoundError as error:
        raise LookupError(f"This backend does not keep files of runs: {error}") from error
    downloaded = 0
    if files and options.download is not None:
        downloaded = _download(run, files, options.download)
    if options.json:
        print(json.dumps(list(map(_facts, files)), indent=2))
    elif not files:
        complain("No files match." if options.prefix else "The run has no files.")
    elif options.download is None:
        _print_table(files)
    else:
        same = len(files) - downloaded
        unchanged = f" ({same:,} already there)" if same else ""
        count = "1 file" if len(files) == 1 else f"{len(files):,} files"
        size = counted_bytes(sum(file.size for file in files))
        folder = printable(str(options.download))
        print(f"{folder}: {count}{unchanged}, {size} of {printable(run.name)}")
    return 0


def _print_table(files: list[te.RunFile]) -> None:
    rows = [
        [
            file.path,
            file.kind,
            "-" if file.step is None else str(file.step),
            counted_bytes(file.size),
            format_date(file.timestamp),
        ]
        for file in files
    ]
    print(table(["FILE", "KIND", "STEP", "SIZE", "LOGGED"], rows, numbers={"STEP", "SIZE"}))


def _download(run: te.Run, files: list[te.RunFile], folder: Path) -> int:
    from afnio_tellurio.artifacts.saving import save_below

    wanted = [_to_save(run, file) for file in files]
    try:
        return save_below(folder, with_progress(wanted, sum(file.size for file in files)))
    finally:
        # Clears the progress before the next message.
        show_progress("")


def _to_save(run: te.Run, file: te.RunFile) -> FileToSave:
    from afnio_tellurio.artifacts.remote_files import streamed
    from afnio_tellurio.artifacts.saving import FileToSave

    download = run._downloader(file, None)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    return FileToSave(
        _path_of(file),
        file.digest,
        file.size,
        executable=False,
        open_stream=lambda: streamed(download, file.size),
    )


def _path_of(file: te.RunFile) -> str:
    """Where a file is saved: those of a series have a path in common."""
    if file.step is None:
        return file.path
    content_type = (file.content_type or "").partition(";")[0].strip().lower()
    return f"{file.path}/{file.step}{_EXTENSIONS.get(content_type, '')}"


def _facts(file: te.RunFile) -> dict[str, Any]:
    return {
        "path": file.path,
        "kind": file.kind,
        "step": file.step,
        "size": file.size,
        "digest": file.digest,
        "content_type": file.content_type,
        "timestamp": file.timestamp.isoformat(),
    }
