"""The command that imports bundles and runs of other trackers."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from afnio_tellurio.cli.arguments import Commands, path_type, with_file_names
from afnio_tellurio.cli.printing import complain, file_count, value_count
from afnio_tellurio.notices import printable, show_progress

if TYPE_CHECKING:
    from afnio_tellurio.importing.sources import ImportResult
    from afnio_tellurio.importing.wandb_api import WandbSource

_KINDS = ("bundle", "mlflow", "neptune", "tensorboard", "trackio", "wandb")


def add_commands(commands: Commands) -> None:
    """Adds `import`."""
    parser = commands.add_parser(
        "import",
        help="import runs from bundles or other trackers",
        description="Imports the finished runs of a file or a folder into a project, with their "
        "names, steps, times, configs, tags, and status. Repeating it continues an interrupted "
        "import, and adds what the runs have got since a complete one.",
        epilog="example: afnio-tellurio import first.zip --project acme/imported",
    )
    with_file_names(
        parser.add_argument(
            "source",
            metavar="SOURCE",
            type=_source,
            help="a file, a folder, or wandb://ENTITY/PROJECT[/RUN], which the package wandb reads",
        )
    )
    parser.add_argument("--project", metavar="NAMESPACE/PROJECT", type=path_type(2), required=True)
    parser.add_argument(
        "--from", dest="kind", choices=_KINDS, help="default: detected from what is there"
    )
    parser.add_argument("--dry-run", action="store_true", help="only show what would be imported")
    parser.set_defaults(command=_import)


def _source(text: str) -> Path | WandbSource:
    from afnio_tellurio.importing.wandb_api import SCHEME, parse_source

    if not text.startswith(SCHEME):
        return Path(text)
    try:
        return parse_source(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _import(options: argparse.Namespace) -> int:
    from afnio_tellurio.copying_runs import TargetProject
    from afnio_tellurio.default_client import default_client
    from afnio_tellurio.importing.sources import import_runs
    from afnio_tellurio.validation import checked_display_name, checked_slug

    namespace_slug = checked_slug("import", "namespace slug", options.project[0])
    display_name, slug = checked_display_name("import", options.project[1])
    skipped: Counter[str] = Counter()
    results = import_runs(
        options.source,
        options.kind,
        TargetProject(namespace_slug, slug, display_name),
        default_client(),
        skipped=skipped,
        dry_run=options.dry_run,
        progress=_show_progress,
    )
    failed = False
    try:
        for result in results:
            show_progress("")
            failed |= result.run.problem is not None
            _report(result, "would be imported" if options.dry_run else "imported")
    finally:
        show_progress("")
    if skipped:
        print(f"Skipped: {_in_words(skipped)}")
    return int(failed)


def _report(result: ImportResult, verb: str) -> None:
    run = result.run
    name = printable(run.name)
    if run.problem is not None:
        complain(f"{name}: not imported: {printable(run.problem)}")
        return
    files = f" and {file_count(run.files)}" if run.files else ""
    values = value_count(run.metrics)
    if run.is_further:
        values = f"{run.metrics:,} more {'value' if run.metrics == 1 else 'values'}"
    text = f"{values}{files} {verb}" if run.is_new else "already imported"
    if run.name_there is not None and run.name_there != run.name:
        text += f" as {printable(run.name_there)}"
    text += f", {run.rejected} rejected" if run.rejected else ""
    print(f"{name}: {text}" + (f"; skipped: {_in_words(result.skipped)}" if result.skipped else ""))
    for problem in result.left_out:
        complain(f"{name}: {printable(problem)}")


def _in_words(skipped: Counter[str]) -> str:
    return printable(", ".join(f"{count} {kind}" for kind, count in sorted(skipped.items())))


def _show_progress(name: str, count: int, total: int) -> None:
    show_progress(f"{printable(name)}: {count:,} of {total:,} values")
