"""The commands that change runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import afnio_tellurio as te
from afnio_tellurio.cli.arguments import Commands, path_type
from afnio_tellurio.cli.finding import find_run
from afnio_tellurio.cli.printing import complain
from afnio_tellurio.cli.selecting import add_selection, check_selection, selected_runs
from afnio_tellurio.notices import printable

if TYPE_CHECKING:
    import argparse

_RUN_PARTS = 3


def add_commands(commands: Commands) -> None:
    """Adds `rename`, `note` and `tag`."""
    rename = commands.add_parser(
        "rename",
        help="rename a run, or change its notes, group or job type",
        epilog="example: afnio-tellurio rename acme/digits/brave_pasta_123 baseline",
    )
    rename.add_argument("run", metavar="NAMESPACE/PROJECT/RUN", type=path_type(3))
    rename.add_argument(
        "new_name", metavar="NAME", nargs="?", help="a number is appended if the name is taken"
    )
    rename.add_argument("--notes", metavar="TEXT", help="new notes; '' removes them")
    rename.add_argument("--group", metavar="TEXT", help="new group; '' removes it")
    rename.add_argument("--job-type", metavar="TEXT", help="new job type; '' removes it")
    rename.set_defaults(command=_rename)

    note = commands.add_parser(
        "note",
        help="set the notes of a run, or add to them",
        epilog="example: afnio-tellurio note acme/digits/brave_pasta_123 'too slow' --append",
    )
    note.add_argument("run", metavar="NAMESPACE/PROJECT/RUN", type=path_type(3))
    note.add_argument("text", metavar="TEXT", help="'' removes the notes")
    note.add_argument("--append", action="store_true", help="add a line to the notes")
    note.set_defaults(command=_note)
    _add_tag(commands)


def _add_tag(commands: Commands) -> None:
    tag = commands.add_parser(
        "tag",
        help="add and remove tags of runs",
        description="Adds each TAG to a run, or to all runs that match, and removes each -TAG.",
        epilog="example: afnio-tellurio tag acme/digits/brave_pasta_123 baseline -draft",
    )
    tag.add_argument("path", metavar="NAMESPACE/PROJECT[/RUN]", type=path_type(2, 3))
    tag.add_argument(
        "add",
        metavar="TAG",
        nargs="*",
        type=_added_tag,
        help="tags to add; -TAG removes one; put -- before a tag that starts with -",
    )
    tag.add_argument(
        "--remove", metavar="TAG", nargs="+", action="extend", default=[], help="tags to remove"
    )
    tag.minus = "--remove"
    add_selection(tag)
    tag.set_defaults(command=_tag)


def _rename(options: argparse.Namespace) -> int:
    labels = {"notes": options.notes, "group": options.group, "job_type": options.job_type}
    changes: dict[str, Any] = {
        name: text or None for name, text in labels.items() if text is not None
    }
    if options.new_name is None and not changes:
        options.usage.error("rename requires NAME, --notes, --group or --job-type")
    run = find_run(options.run)
    old_name = run.name
    run.update(options.new_name, **changes)
    if options.new_name is not None:
        print(f"Renamed {printable(old_name)} to {printable(run.name)}")
    if changes:
        changed = ", ".join(name.replace("_", " ") for name in changes)
        print(f"Changed {changed} of {printable(run.name)}")
    return 0


def _note(options: argparse.Namespace) -> int:
    run = find_run(options.run)
    notes: str = options.text
    if options.append and run.notes:
        notes = f"{run.notes}\n{notes}"
    # Notes that are appended to must not replace those of another process.
    run.update(notes=notes or None, if_unchanged=options.append)
    print(
        f"Changed notes of {printable(run.name)}"
        if notes
        else f"Removed notes of {printable(run.name)}"
    )
    return 0


def _added_tag(text: str) -> str:
    """The argument type for a tag to add: +TAG is TAG, beside -TAG."""
    return text.removeprefix("+")


def _tag(options: argparse.Namespace) -> int:
    if not (options.add or options.remove):
        options.usage.error("tag requires a TAG to add, or a -TAG to remove")
    check_selection(options)
    if options.where is not None:
        return _tag_matching(options)
    if len(options.path) < _RUN_PARTS:
        options.usage.error("tag requires NAMESPACE/PROJECT/RUN, or --where FILTER")
    return 0 if _tag_run(find_run(options.path), options) else 1


def _tag_matching(options: argparse.Namespace) -> int:
    runs = selected_runs(options, "Change the tags of {}?")
    if not runs:
        return 0 if runs is None else 1
    are_kept = [_tag_run(run, options) for run in runs]
    return 0 if all(are_kept) else 1


def _tag_run(run: te.Run, options: argparse.Namespace) -> bool:
    """Changes the tags of a run; returns False if the backend does not keep them."""
    namespace, project, *_name = options.path
    missing = {*options.remove} - {*run.tags}
    if missing and options.where is None:
        complain(printable(f"{run.name} has no tag {', '.join(map(repr, sorted(missing)))}"))
    run.tag(*options.add, remove=options.remove)
    # A thread delivers a change of a run that another process has open.
    run.flush()
    tags = te.get_run(namespace, project, run.uuid).tags
    print(f"Tags of {printable(run.name)}: {printable(', '.join(tags)) or '-'}")
    # A warning has named a backend that does not keep tags.
    return {*options.add} - {*options.remove} <= {*tags}
