"""The command that compares two versions of artifacts."""

from __future__ import annotations

import difflib
import io
import json
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from afnio_tellurio.cli.artifact_references import add_reference, find_version
from afnio_tellurio.cli.printing import table
from afnio_tellurio.notices import printable
from afnio_tellurio.sizes import counted_bytes

if TYPE_CHECKING:
    import argparse

    import afnio_tellurio as te
    from afnio_tellurio.cli.arguments import Commands

#: Bytes of the largest file whose lines are compared.
_MAX_TEXT = 2**20


class _Change(NamedTuple):
    """A file that two versions do not both have with the same bytes."""

    path: str
    kind: str
    old: te.ArtifactFile | None
    new: te.ArtifactFile | None


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
    changes = _changes(old, new)
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


def _changes(old: te.Artifact, new: te.Artifact) -> list[_Change]:
    """The differences, sorted by path."""
    before = {file.path: file for file in old.files}
    after = {file.path: file for file in new.files}
    changes: list[_Change] = []
    for path in sorted(before.keys() | after.keys()):
        first, second = before.get(path), after.get(path)
        if first is None or second is None:
            changes.append(_Change(path, "added" if first is None else "removed", first, second))
        elif _content(first) != _content(second):
            changes.append(_Change(path, "changed", first, second))
    return changes


def _content(file: te.ArtifactFile) -> tuple[str | None, str | None, bool]:
    return file.digest, file.reference, file.executable


def _text_diff(old: te.Artifact, new: te.Artifact, change: _Change) -> str | None:
    """The lines that differ; None if the file was not changed, or is not text."""
    if change.old is None or change.new is None or change.old.digest == change.new.digest:
        return None
    texts = [_text(old, change.old), _text(new, change.new)]
    if None in texts:
        return None
    before, after = (list(io.StringIO(text, newline="\n")) for text in texts)
    lines = difflib.unified_diff(
        before, after, f"{_label(old)}/{change.path}", f"{_label(new)}/{change.path}"
    )
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )


def _text(artifact: te.Artifact, file: te.ArtifactFile) -> str | None:
    if file.reference is not None or file.size is None or file.size > _MAX_TEXT:
        return None
    data = artifact.read_bytes(file.path)
    if b"\0" in data:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        # It is not text.
        return None


def _shown(diff: str) -> str:
    """The text, on a terminal without control characters."""
    if not (sys.stdout and sys.stdout.isatty()):
        return diff
    return "".join(f"{printable(line.expandtabs())}\n" for line in diff.split("\n")[:-1])


def _label(artifact: te.Artifact) -> str:
    return printable(f"{artifact.name}:{artifact.version}")


def _size(file: te.ArtifactFile | None) -> str:
    return "-" if file is None or file.size is None else counted_bytes(file.size)


def _facts(change: _Change, diff: str | None) -> dict[str, Any]:
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
