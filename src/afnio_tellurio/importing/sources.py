"""What can be imported, and how its kind is detected."""

from __future__ import annotations

import zipfile
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from afnio_tellurio.bundles.reading import open_bundle
from afnio_tellurio.copying_runs import CopiedRun, copy_runs
from afnio_tellurio.errors import BackendUnreachableError
from afnio_tellurio.importing import mlflow, neptune, tensorboard, trackio, wandb, wandb_api
from afnio_tellurio.importing.damaged_runs import DamagedRun, DamageError, damage_named
from afnio_tellurio.importing.imported_runs import RunToImport
from afnio_tellurio.importing.wandb_api import WandbSource
from afnio_tellurio.interruptions import raise_foreign

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from afnio_tellurio.client import TellurioClient
    from afnio_tellurio.copying_runs import Progress, TargetProject
    from afnio_tellurio.importing.imported_runs import FoundRun

#: What reads the runs of each kind.
_READERS: dict[str, Callable[[Path, Counter[str]], Iterator[FoundRun]]] = {
    "mlflow": mlflow.read_runs,
    "neptune": neptune.read_runs,
    "tensorboard": tensorboard.read_runs,
    "trackio": trackio.read_runs,
    "wandb": wandb.read_runs,
}


class ImportResult(NamedTuple):
    """The result for one run.

    Attributes:
        run: The result.
        skipped: What is not imported: the number of each kind.
        left_out: What is not imported that a person can repair, each with what to do.
    """

    run: CopiedRun
    skipped: Counter[str]
    left_out: Sequence[str] = ()


def import_runs(
    path: Path | WandbSource,
    kind: str | None,
    project: TargetProject,
    target: TellurioClient,
    *,
    skipped: Counter[str],
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Iterator[ImportResult]:
    """Imports runs; repeating it continues, and changes nothing.

    Args:
        path: The file, the folder, or the project of wandb.
        kind: The kind of what is there; default what is detected.
        project: Where the runs are imported to.
        target: The backend.
        skipped: Counts what is not imported and belongs to no run.
        dry_run: Whether to only report what would be imported.
        progress: Called after each request.

    Yields:
        The result for each run, one by one.

    Raises:
        ValueError: The kind cannot be detected, or nothing of the kind is there.
        OSError: It cannot be read.
    """
    if isinstance(path, WandbSource):
        if kind not in {None, "wandb"}:
            raise ValueError(f"{path} is of the kind wandb, not {kind}")
        runs = wandb_api.read_runs(path, skipped)
    else:
        kind = detected_kind(path) if kind is None else kind
        if kind == "bundle":
            yield from _import_bundles(path, project, target, dry_run=dry_run, progress=progress)
            return
        runs = _READERS[kind](path, skipped)
    for run in runs:
        if isinstance(run, DamagedRun):
            yield ImportResult(_uncopied(run.name, run.problem), Counter())
            continue
        try:
            with damage_named(run.source_id):
                copy = RunToImport(run, project)
        except DamageError as error:
            yield ImportResult(_uncopied(str(run.name), str(error)), Counter())
            continue
        for result in copy_runs([copy], target, dry_run=dry_run, progress=progress):
            yield ImportResult(result, copy.skipped, run.left_out)


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
        except (ValueError, OSError) as error:
            raise_foreign(error)
            yield ImportResult(_uncopied(each.name, str(error)), Counter())


def _uncopied(name: str, problem: str) -> CopiedRun:
    return CopiedRun(name, None, 0, is_new=False, problem=problem)


def detected_kind(path: Path) -> str:
    """Returns the kind of a file or a folder.

    Raises:
        FileNotFoundError: It does not exist.
        ValueError: It is of no known kind.
    """
    kind = _kind_of_folder(path) if path.is_dir() else _kind_of_file(path)
    if kind is None:
        raise ValueError(f"{path} has nothing that can be imported; name its kind with --from")
    return kind


def _kind_of_folder(folder: Path) -> str | None:
    if any(folder.glob("*.zip")):
        return "bundle"
    if mlflow.is_folder(folder):
        return "mlflow"
    problem: Exception | None = None
    for pattern in ("*.db", *_PATTERNS):
        for file in sorted(folder.glob(pattern) if pattern == "*.db" else folder.rglob(pattern)):
            try:
                if (kind := _kind_of_file(file)) is not None:
                    return kind
            except (OSError, ValueError) as error:
                raise_foreign(error)
                # Others may tell the kind.
                problem = problem or error
    if problem is not None:
        raise problem
    return None


def _kind_of_file(file: Path) -> str | None:
    if zipfile.is_zipfile(file):
        return "bundle"
    for kind, is_of_kind in _DETECTORS.items():
        if is_of_kind(file):
            return kind
    # So that a file that is missing or unreadable is not of an unknown kind.
    file.open("rb").close()
    return None


_DETECTORS: dict[str, Callable[[Path], bool]] = {
    "tensorboard": tensorboard.is_file,
    "mlflow": mlflow.is_database,
    "trackio": trackio.is_project,
    "wandb": wandb.is_file,
    "neptune": neptune.is_file,
}
#: The names of the files below a folder; the first kind that is there counts.
_PATTERNS = {"run-*.wandb": "wandb", "*tfevents*": "tensorboard", "*.parquet": "neptune"}
