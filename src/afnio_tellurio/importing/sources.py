"""What can be imported, and how its kind is detected."""

from __future__ import annotations

import sqlite3
import zipfile
from collections import Counter
from contextlib import closing
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from afnio_tellurio.bundles.reading import BundleError, open_bundle
from afnio_tellurio.copying_runs import CopiedRun, copy_runs
from afnio_tellurio.errors import BackendUnreachableError
from afnio_tellurio.importing.imported_runs import ImportedRun, RunToImport
from afnio_tellurio.interruptions import raise_foreign

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from afnio_tellurio.client import TellurioClient
    from afnio_tellurio.copying_runs import Progress, TargetProject

#: The module of each kind.
_MODULES = {
    "tensorboard": "afnio_tellurio.importing.tensorboard",
}


class ImportResult(NamedTuple):
    """The result for one run.

    Attributes:
        run: The result.
        skipped: What is not imported: the number of each kind.
    """

    run: CopiedRun
    skipped: Counter[str]


def import_runs(
    path: Path,
    kind: str | None,
    project: TargetProject,
    target: TellurioClient,
    *,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Iterator[ImportResult]:
    """Imports the runs of a file or a folder; repeating it continues, and changes nothing.

    Args:
        path: The file or the folder.
        kind: The kind of what is there; default what is detected.
        project: Where the runs are imported to.
        target: The backend.
        dry_run: Whether to only report what would be imported.
        progress: Called after each request.

    Yields:
        The result for each run, one by one.

    Raises:
        ValueError: The kind cannot be detected, or nothing of the kind is there.
        OSError: It cannot be read.
    """
    kind = detected_kind(path) if kind is None else kind
    if kind == "bundle":
        yield from _import_bundles(path, project, target, dry_run=dry_run, progress=progress)
        return
    runs: Any = import_module(_MODULES[kind]).read_runs(path)
    run: ImportedRun
    for run in runs:
        copy = RunToImport(run, project)
        for result in copy_runs([copy], target, dry_run=dry_run, progress=progress):
            yield ImportResult(result, copy.skipped)


def _import_bundles(
    path: Path,
    project: TargetProject,
    target: TellurioClient,
    *,
    dry_run: bool,
    progress: Progress | None,
) -> Iterator[ImportResult]:
    paths = sorted(path.glob("*.zip")) if path.is_dir() else [path]
    for each in paths:
        try:
            with open_bundle(each, project) as run:
                for result in copy_runs([run], target, dry_run=dry_run, progress=progress):
                    yield ImportResult(result, Counter())
        except BackendUnreachableError:
            raise
        except (BundleError, OSError) as error:
            raise_foreign(error)
            problem = CopiedRun(each.name, None, 0, is_new=False, problem=str(error))
            yield ImportResult(problem, Counter())


def detected_kind(path: Path) -> str:
    """Returns the kind of a file or a folder.

    Raises:
        FileNotFoundError: It does not exist.
        ValueError: It is of no known kind.
    """
    if path.is_dir():
        kind = _kind_of_folder(path)
    else:
        with path.open("rb") as file:
            start = file.read(16)
        kind = _kind_of_file(path, start)
    if kind is None:
        raise ValueError(f"{path} has nothing that can be imported; name its kind with --from")
    return kind


def _kind_of_folder(folder: Path) -> str | None:
    if any(folder.glob("*.zip")):
        return "bundle"
    for pattern, kind in _PATTERNS.items():
        if any(folder.rglob(pattern)):
            return kind
    return None


#: What the folder of a tracker has.
_PATTERNS = {
    "*tfevents*": "tensorboard",
}


def _kind_of_file(path: Path, start: bytes) -> str | None:
    if zipfile.is_zipfile(path):
        return "bundle"
    if "tfevents" in path.name:
        return "tensorboard"
    if start.startswith(b"SQLite format 3\0"):
        return _kind_of_database(path)
    return None


def _kind_of_database(path: Path) -> str | None:
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
        rows = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        tables = {name for (name,) in rows}
    return next((kind for kind, known in _TABLES.items() if known <= tables), None)


#: The tables of the database of a tracker.
_TABLES: dict[str, set[str]] = {}
