"""The command that delivers what was left, and uploads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import afnio_tellurio as te
from afnio_tellurio.cli.arguments import Commands, place_of
from afnio_tellurio.cli.printing import complain
from afnio_tellurio.notices import printable, show_progress

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

    from afnio_tellurio.uploading import UploadedRun

_PROGRESS_WIDTH = 30


def add_commands(commands: Commands) -> None:
    """Adds `sync`."""
    sync = commands.add_parser(
        "sync",
        help="deliver what was not, or upload runs of this machine",
        description="Delivers what processes that are dead had logged, and ends their runs. With a "
        "project, or one run of it, and --to, uploads finished runs of this machine to a backend.",
        epilog="example: afnio-tellurio sync acme/digits --to https://platform.tellurio.ai",
    )
    sync.add_argument("runs", metavar="NAMESPACE/PROJECT[/RUN]", nargs="?", type=place_of(2, 3))
    sync.add_argument("--to", metavar="URL", help="the backend to upload to")
    sync.add_argument(
        "--dry-run", action="store_true", help="with --to: say what would be uploaded"
    )
    sync.set_defaults(command=_sync, usage=sync)


def _sync(options: argparse.Namespace) -> int:
    if bool(options.runs) != bool(options.to):
        options.usage.error("to upload, give both NAMESPACE/PROJECT[/RUN] and --to URL")
    if options.to:
        return _upload(options)
    if options.dry_run:
        options.usage.error("--dry-run is for uploading; give NAMESPACE/PROJECT[/RUN] and --to URL")
    found = te.sync()
    for journal in found:
        if journal.problem is not None:
            complain(f"{printable(str(journal.path))}: {printable(journal.problem)}")
            continue
        told = f"{printable(str(journal.run_name))}: {journal.delivered} metrics delivered"
        told += f", {journal.rejected} refused" if journal.rejected else ""
        told += f", {journal.lost} lost to damage" if journal.lost else ""
        print(told + (f", ended as {journal.status}" if journal.status else ""))
    if not found:
        print("Nothing waits to be delivered.")
    return int(any(journal.problem is not None for journal in found))


def _upload(options: argparse.Namespace) -> int:
    from afnio_tellurio.uploading import upload

    namespace_slug, project, *names = options.runs
    failed = False
    with te.TellurioClient.local() as source, te.TellurioClient(options.to) as target:
        if names:
            found = [te.get_run(namespace_slug, project, names[0], source)]
        else:
            found = list(te.runs(namespace_slug, project, source))[::-1]
        for run in _cleared(
            upload(found, source, target, dry_run=options.dry_run, progress=_show_upload)
        ):
            told = f"{printable(run.name)}: "
            if run.problem is not None:
                failed = True
                complain(f"{told}not uploaded: {printable(run.problem)}")
                continue
            is_renamed = run.name_there is not None and run.name_there != run.name
            there = f" as {printable(str(run.name_there))}" if is_renamed else ""
            verb = "would be uploaded" if options.dry_run else "uploaded"
            what = f"{run.metrics} metrics {verb}" if run.is_new else "is there already"
            print(f"{told}{what}{there}")
    return int(failed)


def _cleared(runs: Iterable[UploadedRun]) -> Iterator[UploadedRun]:
    """The runs, each without its progress, and so whatever ends them."""
    try:
        for run in runs:
            show_progress("")
            yield run
    finally:
        show_progress("")


def _show_upload(run: te.Run, count: int, total: int) -> None:
    part = count / total if total else 1.0
    bar = "#" * round(part * _PROGRESS_WIDTH)
    show_progress(f"{printable(run.name)} [{bar:<{_PROGRESS_WIDTH}}] {count}/{total} metrics")
