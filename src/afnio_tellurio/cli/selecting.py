"""Selects the runs that a command changes: one by its path, or those that match a filter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import afnio_tellurio as te
from afnio_tellurio.cli.asking import is_confirmed, require_terminal
from afnio_tellurio.cli.filtering import check_where
from afnio_tellurio.cli.listing import runs_table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_PROJECT_PARTS = 2


def add_selection(command: argparse.ArgumentParser) -> None:
    """Adds `--where`, `--dry-run` and `--yes`."""
    command.add_argument(
        "--where",
        metavar="FILTER",
        help="all runs of NAMESPACE/PROJECT that match, such as 'status = CRASHED'; see runs",
    )
    command.add_argument("--dry-run", action="store_true", help="only list the runs that match")
    command.add_argument("--yes", action="store_true", help="skip confirmation")


def check_selection(options: argparse.Namespace) -> None:
    """Ends the process if the path and `--where` do not fit together."""
    if options.where is not None and len(options.path) != _PROJECT_PARTS:
        options.usage.error("--where requires NAMESPACE/PROJECT, without a run")
    if options.where is None and options.dry_run:
        options.usage.error("--dry-run requires --where")


def selected_runs(options: argparse.Namespace, question: str) -> Sequence[te.Run] | None:
    """Returns the runs that match, or None if there is nothing to do, or the user declines.

    Args:
        options: With `path`, `where`, `dry_run` and `yes`.
        question: What to do with them, with `{}` in the place of their number.
    """
    check_where(options.where)
    namespace, project = options.path
    runs = list(te.runs(namespace, project, where=options.where))
    if not runs:
        print(f"No run of {namespace}/{project} matches")
        return None
    if options.dry_run:
        print(runs_table(runs))
        return None
    require_terminal(options)
    if not options.yes:
        print(runs_table(runs))
    return runs if is_confirmed(options, question.format(run_count(len(runs)))) else []


def run_count(count: int) -> str:
    """Returns a number of runs in words, such as `1 run`."""
    return "1 run" if count == 1 else f"{count:,} runs"
