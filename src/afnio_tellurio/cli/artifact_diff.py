"""The command that compares two versions of artifacts."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from afnio_tellurio.cli.artifact_references import add_reference, find_version
from afnio_tellurio.cli.layout import table
from afnio_tellurio.notices import printable
from afnio_tellurio.sizes import counted_bytes
from afnio_tellurio.tracking.artifact_diff import changes_between, text_diff

if TYPE_CHECKING:
    import argparse

    import afnio_tellurio as te
    from afnio_tellurio.cli.arguments import Commands
    from afnio_tellurio.tracking.artifact_diff import FileChange


def add_actions(actions: Commands) -> None:
    """Adds `artifact diff`."""
    diff = actions.add_parser(
        "diff",
        help="compare the files of two versions",
        description="Lists the files that were added, removed or changed, and prints how the lines "
        "of changed files differ if both are UTF-8 text of up to 1 MiB.",
        epilog="example: afnio-tellurio artifact diff acme/digits/model:v0 acme/digits/model:best",
    )
    add_reference(diff, "old")
    add_reference(diff, "new")
    diff.add_argument("--stat", action="store_true", help="only the list of files")
    diff.add_argument("--json", action="store_true", help="print JSON")
    diff.set_defaults(command=_diff)


def _diff(options: argparse.Namespace) -> int:
    old, new = find_version(options.old), find_version(options.new)
    changes = changes_between(old, new)
    diffs = [None if options.stat else _text_diff(old, new, change) for change in changes]
    if options.json:
        facts = [_facts(change, diff) for change, diff in zip(changes, diffs, strict=True)]
        print(json.dumps(facts, indent=2))
        return 0
    if not changes:
        print(f"{_label(old)} and {_label(new)} have the same files")
        return 0
    rows = [[change.kind, change.path, _size(change.old), _size(change.new)] for change in changes]
    print(table(["CHANGE", "PATH", "OLD SIZE", "NEW SIZE"], rows, numbers={"OLD SIZE", "NEW SIZE"}))
    for diff in diffs:
        if diff:
            print(f"\n{_shown(diff)}", end="")
    return 0


def _text_diff(old: te.Artifact, new: te.Artifact, change: FileChange) -> str | None:
    """The lines of a changed file that differ; the list shows the others."""
    if change.kind != "changed":
        return None
    return text_diff(old, new, change, _label(old), _label(new))


def _shown(diff: str) -> str:
    """The text, on a terminal without control characters."""
    if not (sys.stdout and sys.stdout.isatty()):
        return diff
    return "".join(f"{printable(line.expandtabs())}\n" for line in diff.split("\n")[:-1])


def _label(artifact: te.Artifact) -> str:
    return printable(f"{artifact.name}:{artifact.version}")


def _size(file: te.ArtifactFile | None) -> str:
    return "-" if file is None or file.size is None else counted_bytes(file.size)


def _facts(change: FileChange, diff: str | None) -> dict[str, Any]:
    old, new = change.old, change.new
    return {
        "path": change.path,
        "change": change.kind,
        "old_size": old and old.size,
        "new_size": new and new.size,
        "old_digest": old and old.digest,
        "new_digest": new and new.digest,
        "diff": diff,
    }
