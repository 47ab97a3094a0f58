"""The commands on the disk space of this machine: what takes it, and freeing it."""

from __future__ import annotations

import json
import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from afnio_tellurio.cli.layout import table
from afnio_tellurio.interruptions import ignored
from afnio_tellurio.settings.settings import read_settings
from afnio_tellurio.sizes import counted_bytes

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

    from afnio_tellurio.cli.arguments import Commands


class _Room(NamedTuple):
    """Files, and their bytes."""

    files: int
    bytes: int


def add_commands(commands: Commands) -> None:
    """Adds `gc` and `du`."""
    collect = commands.add_parser(
        "gc",
        help="remove stored files that nothing refers to from the local database",
        description="Removes the bytes of files that no artifact and no run has, a day after their "
        "upload, uploads that expired, and what crashes left. This also happens by itself, in "
        "small steps.",
        epilog="example: afnio-tellurio gc --dry-run",
    )
    collect.add_argument("--dry-run", action="store_true", help="only count it")
    collect.add_argument(
        "--cache",
        action="store_true",
        help="empty the cache of downloaded files and prompts too, also of files in use",
    )
    collect.add_argument("--json", action="store_true", help="print JSON")
    collect.set_defaults(command=_gc)

    usage = commands.add_parser(
        "du",
        help="show what takes disk space on this machine",
        description="Shows the size of the local database, of the files of artifacts and runs by "
        "project and by type, of what waits for delivery, and of the cache of downloaded files.",
        epilog="example: afnio-tellurio du",
    )
    usage.add_argument("--json", action="store_true", help="print JSON")
    usage.set_defaults(command=_du)


def _gc(options: argparse.Namespace) -> int:
    from afnio_tellurio.artifacts.cache import Emptied, empty_cache
    from afnio_tellurio.backend.store.blob_removal import Removed, remove_all
    from afnio_tellurio.backend.store.database import Database

    settings = read_settings()
    removed = Removed(0, 0, 0, 0, 0)
    # A machine that only sends runs to a server has a cache, and no database.
    if settings.database.exists() or not options.cache:
        with closing(Database(settings.database, create=False)) as database:
            removed = remove_all(database, dry_run=options.dry_run)
    cache = Emptied(0, 0)
    if options.cache:
        cache = empty_cache(settings.cache, dry_run=options.dry_run)
    if options.json:
        facts = {"dry_run": options.dry_run, **removed._asdict(), "cache": cache._asdict()}
        print(json.dumps(facts, indent=2))
        return 0
    counts = [
        (removed.blobs, "blob"),
        (removed.files, "file"),
        (removed.uploads, "expired upload"),
        (removed.parts, "unfinished file"),
        (cache.files, "cached file"),
    ]
    parts = [f"{count:,} {name}{'' if count == 1 else 's'}" for count, name in counts if count]
    verb = "Would remove" if options.dry_run else "Removed"
    if parts:
        size = counted_bytes(removed.bytes + cache.bytes)
        print(f"{verb} {', '.join(parts)}: {size}")
    else:
        print("Nothing to remove")
    return 0


def _du(options: argparse.Namespace) -> int:
    facts = _usage_facts()
    print(json.dumps(facts, indent=2) if options.json else _describe(facts))
    return 0


def _usage_facts() -> dict[str, Any]:
    from afnio_tellurio.backend.store.blob_files import BlobFolder
    from afnio_tellurio.backend.store.database import Database
    from afnio_tellurio.backend.store.usage import usage_of_projects, usage_of_types

    settings = read_settings()
    path = settings.database
    projects: list[dict[str, Any]] = []
    types: list[dict[str, Any]] = []
    # A machine that only sends runs to a server has no database.
    if path.exists():
        with closing(Database(path, create=False)) as database, database.reading() as connection:
            projects = [project._asdict() for project in usage_of_projects(connection)]
            types = [each._asdict() for each in usage_of_types(connection)]
    blobs = BlobFolder(path).path
    uploads = settings.home / "uploads"
    waiting = [
        file
        for folder in (settings.journals, uploads)
        for files in folder.glob("*.files")
        for file in _files_below(files)
    ]
    journals = [file for file in settings.journals.glob("*") if file.is_file()]
    return {
        "database": {"path": str(path), "bytes": _room(path.parent.glob(f"{path.name}*")).bytes},
        "blobs": {"path": str(blobs), **_room(_files_below(blobs))._asdict()},
        "projects": projects,
        "types": types,
        "waiting": {
            "journal_bytes": _room(journals).bytes,
            **_room(waiting)._asdict(),
        },
        "cache": {
            "path": str(settings.cache),
            **_room(_files_below(settings.cache))._asdict(),
        },
    }


def _files_below(folder: Path) -> Iterator[Path]:
    for root, _folders, names in os.walk(folder):
        for name in names:
            yield Path(root, name)


def _room(paths: Iterable[Path]) -> _Room:
    count = size = 0
    for path in paths:
        # Another process may remove it meanwhile.
        with ignored(FileNotFoundError):
            size += path.stat(follow_symlinks=False).st_size
            count += 1
    return _Room(count, size)


def _describe(facts: dict[str, Any]) -> str:
    database, blobs, waiting = facts["database"], facts["blobs"], facts["waiting"]
    cache = facts["cache"]
    rows = [
        ["database", counted_bytes(database["bytes"]), database["path"]],
        ["stored files", counted_bytes(blobs["bytes"]), blobs["path"]],
        ["journals", counted_bytes(waiting["journal_bytes"]), "wait for delivery"],
        ["captured files", counted_bytes(waiting["bytes"]), "wait for delivery"],
        ["cache", counted_bytes(cache["bytes"]), cache["path"]],
    ]
    parts = [table(["WHAT", "SIZE", "WHERE"], rows, numbers={"SIZE"})]
    if facts["projects"]:
        header = ["PROJECT", "ALL FILES", "ARTIFACTS", "RUN FILES", "UNUSED"]
        lines = [
            [
                f"{project['namespace_slug']}/{project['project_slug']}",
                *(
                    counted_bytes(project[name])
                    for name in ("bytes", "artifacts", "run_files", "unused")
                ),
            ]
            for project in facts["projects"]
        ]
        parts.append(table(header, lines, numbers=header[1:]))
    if facts["types"]:
        lines = [[each["type"], counted_bytes(each["bytes"])] for each in facts["types"]]
        parts.append(table(["ARTIFACT TYPE", "SIZE"], lines, numbers={"SIZE"}))
    return "\n\n".join(parts)
