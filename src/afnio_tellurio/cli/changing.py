"""The commands that change runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import afnio_tellurio as te
from afnio_tellurio.cli.arguments import Commands, path_type
from afnio_tellurio.cli.finding import find_run
from afnio_tellurio.notices import printable

if TYPE_CHECKING:
    import argparse


def add_commands(commands: Commands) -> None:
    """Adds `rename` and `tag`."""
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

    tag = commands.add_parser(
        "tag",
        help="add and remove tags of a run",
        epilog="example: afnio-tellurio tag acme/digits/brave_pasta_123 baseline --remove draft",
    )
    tag.add_argument("run", metavar="NAMESPACE/PROJECT/RUN", type=path_type(3))
    tag.add_argument("add", metavar="TAG", nargs="*", help="tags to add")
    tag.add_argument(
        "--remove", metavar="TAG", nargs="+", action="extend", default=[], help="tags to remove"
    )
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


def _tag(options: argparse.Namespace) -> int:
    if not (options.add or options.remove):
        options.usage.error("tag requires a TAG to add, or --remove TAG")
    namespace, project, _name = options.run
    run = find_run(options.run)
    run.tag(*options.add, remove=options.remove)
    # A thread delivers a change of a run that another process has open.
    run.flush()
    tags = te.get_run(namespace, project, run.uuid).tags
    print(f"Tags of {printable(run.name)}: {printable(', '.join(tags)) or '-'}")
    # A warning has named a backend that does not keep tags.
    is_kept = {*options.add} - {*options.remove} <= {*tags}
    return 0 if is_kept else 1
