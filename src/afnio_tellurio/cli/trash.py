"""The commands that delete runs and projects, and restore them from the trash."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import afnio_tellurio as te
from afnio_tellurio.cli.arguments import Commands, namespace_slug, path_type
from afnio_tellurio.cli.asking import is_confirmed, require_terminal
from afnio_tellurio.cli.finding import (
    existing_names,
    find_namespaces,
    find_project,
    find_run,
    list_projects,
)
from afnio_tellurio.cli.layout import table
from afnio_tellurio.cli.printing import complain, format_date, value_count
from afnio_tellurio.cli.selecting import (
    add_selection,
    check_selection,
    run_count,
    selected_runs,
)
from afnio_tellurio.notices import printable, quoted_argument

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_PATH = "NAMESPACE/PROJECT[/RUN]"
#: The parts of NAMESPACE/PROJECT/RUN.
_RUN_PARTS = 3
_KILO = 1000


def add_commands(commands: Commands) -> None:
    """Adds `delete`, `trash`, `restore` and `purge`."""
    delete = commands.add_parser(
        "delete",
        help="delete runs or a project: move them to the trash",
        description="Moves a run, or a project with its runs, to the trash for 30 days. A backend "
        "without a trash deletes it for good.",
        epilog="example: afnio-tellurio delete acme/digits/brave_pasta_123 --yes",
    )
    delete.add_argument("path", metavar=_PATH, type=path_type(2, 3))
    delete.add_argument("--purge", action="store_true", help="delete for good at once")
    add_selection(delete)
    delete.set_defaults(command=_delete)

    trash = commands.add_parser(
        "trash",
        help="list the deleted runs and projects that can be restored",
        epilog="example: afnio-tellurio trash acme",
    )
    trash.add_argument(
        "namespace",
        metavar="NAMESPACE",
        nargs="?",
        type=namespace_slug,
        help="default: every namespace",
    )
    trash.add_argument("--json", action="store_true", help="print JSON")
    trash.set_defaults(command=_trash)

    restore = commands.add_parser(
        "restore",
        help="restore a run or a project from the trash",
        description="Restores what was deleted last under this name. The UUID in the place of the "
        "name, which trash --json prints, restores another one.",
        epilog="example: afnio-tellurio restore acme/digits/calm_curry_7",
    )
    restore.add_argument("path", metavar=_PATH, type=path_type(2, 3))
    restore.set_defaults(command=_restore)

    purge = commands.add_parser(
        "purge",
        help="delete a run or a project in the trash for good",
        epilog="example: afnio-tellurio purge acme/digits/calm_curry_7 --yes",
    )
    purge.add_argument("path", metavar=_PATH, type=path_type(2, 3))
    purge.add_argument("--yes", action="store_true", help="skip confirmation")
    purge.set_defaults(command=_purge)


def _delete(options: argparse.Namespace) -> int:
    check_selection(options)
    if options.where is not None:
        return _delete_matching(options)
    namespace_slug, project, *run_name = options.path
    found: te.Run | te.Project
    if run_name:
        found = find_run(options.path)
        name = found.name
    else:
        found, name = find_project(namespace_slug, project), project
    require_terminal(options)
    if isinstance(found, te.Run):
        # Counted only for the question.
        values = 0 if options.yes else sum(metric.count for metric in found.summary().values())
        described = f"{printable(name)} ({found.status}, {value_count(values)})"
    else:
        described = f"the project {printable(name)} with its runs"
    if not is_confirmed(options, f"Delete {described}{' for good' if options.purge else ''}?"):
        return 1
    if run_name:
        te.delete_run(namespace_slug, project, found.uuid)
    else:
        te.delete_project(namespace_slug, project)
    # Also before a purge: the trash has the size.
    trashed = [item for item in te.list_trash(namespace_slug) if item.uuid == found.uuid]
    if not trashed:
        print(f"Deleted {printable(name)}")
    elif options.purge:
        _purge_item(namespace_slug, trashed[0])
    else:
        _describe_move(namespace_slug, trashed[0])
    return 0


def _delete_matching(options: argparse.Namespace) -> int:
    """Deletes the runs that match a filter."""
    namespace, project = options.path
    question = f"Delete {{}} of {namespace}/{project}{' for good' if options.purge else ''}?"
    runs = selected_runs(options, question)
    if not runs:
        return 0 if runs is None else 1
    deleted = 0
    try:
        for run in runs:
            te.delete_run(namespace, project, run.uuid, purge=options.purge)
            deleted += 1
    finally:
        # Also if one of them cannot be deleted.
        print(f"Deleted {run_count(deleted)} of {namespace}/{project}")
    if not options.purge and te.list_trash(namespace):
        print(
            f"{'It is' if deleted == 1 else 'They are'} in the trash for 30 days; see: "
            f"afnio-tellurio trash {quoted_argument(namespace)}"
        )
    return 0


def _describe_move(namespace_slug: str, item: te.TrashedItem) -> None:
    path = f"{namespace_slug}/{_path_of(item)}"
    if item.kind == "run" and printable(path) != path:
        # What is shown of the name is not what it is.
        path = f"{namespace_slug}/{item.project_slug}/{item.uuid}"
    print(
        f"Moved {printable(_name_of(item))} to the trash. It is deleted for good on "
        f"{format_date(item.date_purged)[:10]}, which frees about {_size(item.bytes)}.\n"
        f"To restore it: afnio-tellurio restore {quoted_argument(path)}"
    )


def _trash(options: argparse.Namespace) -> int:
    items = [
        (namespace, item)
        for namespace in find_namespaces(options.namespace)
        for item in te.list_trash(namespace)
    ]
    # The last deleted first, as in one namespace.
    items.sort(key=lambda each: each[1].date_deleted, reverse=True)
    if not items and options.namespace:
        # The trash of a namespace that does not exist is empty too.
        list_projects(options.namespace)
    if options.json:
        facts = [{"namespace": namespace, **_facts(item)} for namespace, item in items]
        print(json.dumps(facts, indent=2))
        return 0
    if not items:
        complain("The trash is empty.")
        return 0
    rows = [
        [
            _path_of(item) if options.namespace else f"{namespace}/{_path_of(item)}",
            item.kind,
            format_date(item.date_deleted),
            format_date(item.date_purged),
            _size(item.bytes),
        ]
        for namespace, item in items
    ]
    print(table(["NAME", "KIND", "DELETED", "KEPT UNTIL", "FREES"], rows, numbers={"FREES"}))
    return 0


def _facts(item: te.TrashedItem) -> dict[str, Any]:
    return {
        "uuid": item.uuid,
        "kind": item.kind,
        "name": item.name,
        "project_slug": item.project_slug,
        "date_deleted": item.date_deleted.isoformat(),
        "date_purged": item.date_purged.isoformat(),
        "bytes": item.bytes,
    }


def _restore(options: argparse.Namespace) -> int:
    namespace_slug, project, *run_name = options.path
    items = te.list_trash(namespace_slug)
    restored: te.Run | te.Project
    try:
        if run_name:
            restored = te.restore_run(namespace_slug, project, *run_name)
        else:
            restored = te.restore_project(namespace_slug, project)
    except LookupError as error:
        # As by its UUID, restoring a run again does nothing.
        existing = _existing_run(options.path)
        if existing is None:
            raise _not_in_trash(options.path, items) from error
        restored = existing
    name = printable(restored.name if isinstance(restored, te.Run) else restored.slug)
    was_in_trash = any(item.uuid == restored.uuid for item in items)
    print(f"Restored {name}" if was_in_trash else f"{name} was not in the trash")
    return 0


def _existing_run(path: Sequence[str]) -> te.Run | None:
    """Returns the run with this name that is not in the trash, if the path has one."""
    if len(path) != _RUN_PARTS:
        return None
    namespace, project, name = path
    try:
        return te.get_run(namespace, project, name)
    except LookupError:
        return None


def _purge(options: argparse.Namespace) -> int:
    namespace_slug, *path = options.path
    kind = "run" if len(path) > 1 else "project"
    items = te.list_trash(namespace_slug)
    for item in items:
        is_named = "/".join(path) in {_path_of(item), f"{item.project_slug}/{item.uuid}"}
        if item.kind == kind and is_named:
            break
    else:
        raise _not_in_trash(options.path, items)
    if kind == "project" and te.get_project(namespace_slug, item.project_slug) is not None:
        # The backend would purge that one.
        raise ValueError(f"there is another project {item.project_slug} now; delete it first")
    require_terminal(options)
    question = f"Delete {printable(_name_of(item))} ({_size(item.bytes)}) for good?"
    if not is_confirmed(options, question):
        return 1
    _purge_item(namespace_slug, item)
    return 0


def _not_in_trash(path: Sequence[str], items: Sequence[te.TrashedItem]) -> LookupError:
    namespace_slug, *rest = path
    if not items:
        # The trash of a namespace that does not exist is empty too.
        list_projects(namespace_slug)
    kind = "run" if len(rest) > 1 else "project"
    name = "/".join(rest)
    names = list(dict.fromkeys(_path_of(item) for item in items if item.kind == kind))
    hint = existing_names(name, names, f"Its {kind}s")
    return LookupError(f"The trash of {namespace_slug} has no {kind} {name}{hint}")


def _purge_item(namespace_slug: str, item: te.TrashedItem) -> None:
    if item.kind == "run":
        te.delete_run(namespace_slug, item.project_slug, item.uuid, purge=True)
    else:
        te.delete_project(namespace_slug, item.project_slug, purge=True)
    name = printable(_name_of(item))
    print(f"Deleted {name} for good, which freed about {_size(item.bytes)}")


def _path_of(item: te.TrashedItem) -> str:
    """Returns the rest of the path after the namespace."""
    return f"{item.project_slug}/{item.name}" if item.kind == "run" else item.project_slug


def _name_of(item: te.TrashedItem) -> str:
    return item.name if item.kind == "run" else item.project_slug


def _size(number: float) -> str:
    """Returns a number of bytes, such as `4.1 MB`."""
    if number < _KILO:
        return f"{number} B"
    units = ["kB", "MB", "GB", "TB"]
    number /= _KILO
    # What is rounded to 1000.0 has the next unit.
    while round(number, 1) >= _KILO and len(units) > 1:
        number /= _KILO
        del units[0]
    return f"{number:.1f} {units[0]}"
