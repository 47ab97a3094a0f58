"""The command that uploads pending data and copies local runs to a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import afnio_tellurio as te
from afnio_tellurio.cli.arguments import Commands, path_type
from afnio_tellurio.cli.failures import without_error_number
from afnio_tellurio.cli.printing import complain, file_count, value_count
from afnio_tellurio.notices import printable, show_progress
from afnio_tellurio.sizes import counted_bytes

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

    from afnio_tellurio.copying_runs import CopiedRun

_PROGRESS_WIDTH = 30


def add_commands(commands: Commands) -> None:
    """Adds `sync`."""
    sync = commands.add_parser(
        "sync",
        help="upload pending data, or copy local runs to a server",
        description="Uploads data left by processes that died and closes their runs. With "
        "NAMESPACE/PROJECT[/RUN] and --to, copies finished local runs to a server.",
        epilog="example: afnio-tellurio sync acme/digits --to https://platform.tellurio.ai",
    )
    sync.add_argument("runs", metavar="NAMESPACE/PROJECT[/RUN]", nargs="?", type=path_type(2, 3))
    sync.add_argument("--to", metavar="URL", help="the server to copy runs to")
    sync.add_argument(
        "--dry-run", action="store_true", help="with --to: show what would be uploaded"
    )
    sync.add_argument(
        "--other-hosts",
        action="store_true",
        help="also upload journals of other machines, whose programs must have ended",
    )
    sync.add_argument(
        "--rejected",
        action="store_true",
        help="also send metrics and files again that a backend rejected before",
    )
    sync.set_defaults(command=_sync)


def _sync(options: argparse.Namespace) -> int:
    if bool(options.runs) != bool(options.to):
        options.usage.error("Uploading requires both NAMESPACE/PROJECT[/RUN] and --to URL")
    for option in ("other_hosts", "rejected"):
        if options.to and getattr(options, option):
            name = option.replace("_", "-")
            options.usage.error(f"--{name} cannot be used with --to")
    if options.to:
        return _upload(options)
    if options.dry_run:
        options.usage.error("--dry-run requires NAMESPACE/PROJECT[/RUN] and --to URL")
    journals = te.sync(other_hosts=options.other_hosts, rejected=options.rejected)
    for journal in journals:
        if journal.problem is not None:
            problem = printable(without_error_number(journal.problem))
            complain(f"{printable(str(journal.path))}: {problem}")
            continue
        text = f"{printable(str(journal.run_name))}: {_delivered(journal)} uploaded"
        text += f", {journal.rejected} rejected" if journal.rejected else ""
        text += f", {file_count(journal.rejected_files)} refused" if journal.rejected_files else ""
        text += f", {journal.lost} lost to corruption" if journal.lost else ""
        print(text + (f", closed as {journal.status}" if journal.status else ""))
    if not journals:
        print("Nothing to sync.")
    return int(any(journal.problem is not None for journal in journals))


def _delivered(journal: te.SyncedJournal) -> str:
    if not journal.files and not journal.rejected_files:
        return value_count(journal.delivered)
    files = f"{file_count(journal.files)} ({counted_bytes(journal.bytes)})"
    return f"{value_count(journal.delivered)} and {files}" if journal.delivered else files


def _upload(options: argparse.Namespace) -> int:
    from afnio_tellurio.uploading import upload

    namespace_slug, project, *names = options.runs
    failed = False
    with te.TellurioClient.local() as source, te.TellurioClient(options.to) as target:
        if names:
            runs = [te.get_run(namespace_slug, project, names[0], source)]
        else:
            runs = list(te.runs(namespace_slug, project, source))[::-1]
        for run in _without_progress(
            upload(runs, source, target, dry_run=options.dry_run, progress=_show_progress)
        ):
            name = printable(run.name)
            if run.problem is not None:
                failed = True
                complain(f"{name}: not uploaded: {printable(without_error_number(run.problem))}")
                continue
            is_renamed = run.name_there is not None and run.name_there != run.name
            new_name = f" as {printable(str(run.name_there))}" if is_renamed else ""
            verb = "would be uploaded" if options.dry_run else "uploaded"
            files = f" and {file_count(run.files)}" if run.files else ""
            result = f"{value_count(run.metrics)}{files} {verb}"
            result = result if run.is_new else "already uploaded"
            print(f"{name}: {result}{new_name}")
    return int(failed)


def _without_progress(runs: Iterable[CopiedRun]) -> Iterator[CopiedRun]:
    """Yields the runs and clears the progress before each, and at the end."""
    try:
        for run in runs:
            show_progress("")
            yield run
    finally:
        show_progress("")


def _show_progress(name: str, count: int, total: int) -> None:
    part = count / total if total else 1.0
    bar = "#" * round(part * _PROGRESS_WIDTH)
    show_progress(f"{printable(name)} [{bar:<{_PROGRESS_WIDTH}}] {count}/{total} values")
