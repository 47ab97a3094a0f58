"""Files that values of another tracker refer to, and where they are on this disk.

A path in a source may be of anyone: only files below the folder of the source are read.
"""

from __future__ import annotations

import mimetypes
from typing import TYPE_CHECKING, NamedTuple

from afnio_tellurio.artifact_paths import check_path
from afnio_tellurio.artifacts.media import content_type_of
from afnio_tellurio.importing.imported_runs import ImportedFile
from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.settings.limits import MAX_STEP

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from afnio_tellurio.importing.imported_runs import ImportedRun

_HTML = "text/html; charset=utf-8"


class Medium(NamedTuple):
    """A value that refers to files.

    Attributes:
        name: The name of the value.
        type: What the other tracker calls it; what is counted if a file is missing.
        paths: The paths of its files below the folder of the source.
        step: The step.
        time: When it was logged, in microseconds since 1970, or 0.
        captions: The number of captions, for which a run has no place.
    """

    name: str
    type: str
    paths: list[str]
    step: int
    time: int
    captions: int = 0


def add_medium(run: ImportedRun, folders: Iterable[Path], medium: Medium) -> list[Path]:
    """Adds the files of a value to a run, as a series of its name; counts those that it cannot.

    Args:
        run: The run.
        folders: Where the files may be.
        medium: The value.

    Returns:
        The files that were found.
    """
    found: list[Path] = []
    if medium.captions:
        run.skipped["captions"] += medium.captions
    if not medium.paths:
        run.skipped[medium.type] += 1
    for index, path in enumerate(medium.paths):
        file = next(filter(None, (find_file(folder, path) for folder in folders)), None)
        name = medium.name if len(medium.paths) == 1 else f"{medium.name}/{index}"
        if file is None:
            run.skipped[medium.type] += 1
            continue
        found.append(file)
        kind, content_type = _kind_of(medium.type, file)
        step: int | None = medium.step
        if kind == "file":
            # Only media are series.
            name, step = f"{name}/{medium.step}{file.suffix}", None
        try:
            check_path(name)
        except ValueError as error:
            raise_foreign(error)
            run.skipped["files with an invalid path"] += 1
            continue
        if not 0 <= medium.step <= MAX_STEP:
            run.skipped["files with an invalid step"] += 1
            continue
        run.files.append(ImportedFile(name, file, medium.time, kind, step, content_type))
    return found


def find_file(folder: Path, path: str) -> Path | None:
    """Returns the regular file with a path below a folder, or None; no link is followed."""
    try:
        top = folder.resolve()
        file = top / path
        is_below = file != top and file.is_relative_to(top)
        return file if is_below and file.resolve() == file and file.is_file() else None
    except (OSError, ValueError) as error:
        raise_foreign(error)
        # Too long, or with a character that no path has.
        return None


def _kind_of(type_: str, file: Path) -> tuple[str, str | None]:
    """Returns the kind and the content type of a file; images and sounds begin like one."""
    for kind in ("image", "audio"):
        if kind in type_ and (content_type := content_type_of(file, kind)) is not None:
            return kind, content_type
    if "html" in type_:
        return "html", _HTML
    return "file", mimetypes.guess_type(file.name)[0]
