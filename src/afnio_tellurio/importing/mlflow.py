"""Runs of mlflow, from its SQLite database or its `mlruns` folder."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from afnio_tellurio.api.entities import RunStatus
from afnio_tellurio.importing import databases
from afnio_tellurio.importing.damaged_runs import DamagedRun, read_files, read_run
from afnio_tellurio.importing.imported_runs import (
    UNFINISHED,
    ImportedRun,
    Point,
    add_files,
)
from afnio_tellurio.interruptions import raise_foreign

if TYPE_CHECKING:
    import sqlite3
    from collections import Counter
    from collections.abc import Iterable, Iterator

    from afnio_tellurio.importing.imported_runs import FoundRun

_KILLED = {"kind": "signal", "message": "It was killed."}
#: The status of a run, as a word of the database and as a number in `meta.yaml`, and what it means.
_STATUSES: dict[str, tuple[str, dict[str, Any] | None]] = {
    "FINISHED": (RunStatus.COMPLETED.value, None),
    "FAILED": (RunStatus.FAILED.value, None),
    "KILLED": (RunStatus.CRASHED.value, _KILLED),
}
_NUMBERED = {"3": "FINISHED", "4": "FAILED", "5": "KILLED"}
_DELETED = "deleted"
_META = "meta.yaml"
#: What is in a text in the place of bytes that are not UTF-8.
_REPLACED = "\ufffd"
#: Larger ones, with many digits, are more likely names.
_MAX_NUMBER = 2**53


def is_database(path: Path) -> bool:
    """Returns whether a file is a database of mlflow."""
    if not databases.is_database(path):
        return False
    with databases.opened(path) as database:
        return {"runs", "experiments", "params", "metrics"} <= databases.tables_of(database)


def is_folder(path: Path) -> bool:
    """Returns whether a folder is an `mlruns` folder."""
    return any(path.glob(f"*/{_META}"))


def read_runs(path: Path, skipped: Counter[str]) -> Iterator[FoundRun]:
    """Yields the runs of a database or of an `mlruns` folder, parents first.

    Args:
        path: The file or the folder; a folder may have both.
        skipped: Counts what belongs to no run.

    Raises:
        OSError: A file cannot be read.
        ValueError: A file is not a database of mlflow.
    """
    if not path.is_dir():
        yield from _runs_of_database(path, skipped)
    elif is_folder(path):
        yield from _parents_first(_runs_of_folder(path, skipped))
    else:
        read = partial(_runs_of_file_in_folder, skipped)
        yield from read_files(sorted(filter(Path.is_file, path.glob("*.db"))), read)


def _runs_of_file_in_folder(skipped: Counter[str], file: Path) -> Iterator[FoundRun]:
    if is_database(file):
        yield from _runs_of_database(file, skipped)


def _parents_first(found: Iterable[FoundRun]) -> list[FoundRun]:
    """Returns runs with their parents before them, and then the damaged ones."""
    all_found = list(found)
    runs = [run for run in all_found if isinstance(run, ImportedRun)]
    damaged = [run for run in all_found if isinstance(run, DamagedRun)]
    ordered = sorted(runs, key=lambda run: (run.started or 0, run.source_id))
    known = {run.source_id: run for run in ordered}
    placed: dict[str, ImportedRun] = {}
    for run in ordered:
        family: list[ImportedRun] = []
        each: ImportedRun | None = run
        while each is not None and each not in family and each.source_id not in placed:
            family.append(each)
            each = known.get(each.parent_id or "")
        placed.update((member.source_id, member) for member in reversed(family))
    return [*placed.values(), *damaged]


def _new_run(
    run_id: str, name: str, status: str, experiment: str, tags: dict[str, str]
) -> ImportedRun:
    mapped, because = _STATUSES.get(status, (RunStatus.FAILED.value, UNFINISHED))
    own = {name: value for name, value in tags.items() if not name.startswith("mlflow.")}
    return ImportedRun(
        tool="mlflow",
        source_id=run_id,
        name=tags.get("mlflow.runName") or name or run_id,
        status=mapped,
        because=because,
        group=experiment,
        notes=tags.get("mlflow.note.content"),
        parent_id=tags.get("mlflow.parentRunId"),
        tags=[f"{name}={value}" if value else name for name, value in sorted(own.items())],
        facts={"experiment": experiment, "status": status, "tags": tags},
    )


def _runs_of_database(file: Path, skipped: Counter[str]) -> Iterator[FoundRun]:
    with databases.opened(file) as database:
        if "runs" not in databases.tables_of(database):
            raise ValueError(f"{file} is not a database of mlflow")
        rows = database.execute(
            "SELECT r.*, e.name AS experiment FROM runs AS r LEFT JOIN experiments AS e "
            "ON e.experiment_id = r.experiment_id ORDER BY r.start_time, r.run_uuid"
        ).fetchall()
        kept = [row for row in rows if row["lifecycle_stage"] != _DELETED]
        if len(kept) < len(rows):
            skipped["deleted runs"] += len(rows) - len(kept)
        if "trace_info" in databases.tables_of(database):
            traces = databases.count(database, "SELECT count(*) FROM trace_info")
            if traces:
                skipped["traces"] += traces
        runs = [
            read_run(
                str(row["name"] or row["run_uuid"]), file, partial(_run_of_row, file, database, row)
            )
            for row in kept
        ]
    yield from _parents_first(runs)


def _run_of_row(file: Path, database: sqlite3.Connection, row: sqlite3.Row) -> ImportedRun:
    run_id = row["run_uuid"]
    tags = dict(
        database.execute("SELECT key, value FROM tags WHERE run_uuid = ?", (run_id,)).fetchall()
    )
    run = _new_run(run_id, row["name"], row["status"], row["experiment"], tags)
    run.user = row["user_id"] or None
    run.started, run.ended = _microseconds(row["start_time"]), _microseconds(row["end_time"])
    params = database.execute(
        "SELECT key, value FROM params WHERE run_uuid = ? ORDER BY key", (run_id,)
    )
    run.config = {name: _parsed(value) for name, value in params}
    run.points = partial(_points_of_database, file, run_id)
    tables = databases.tables_of(database)
    if "inputs" in tables:
        datasets = databases.count(
            database, "SELECT count(*) FROM inputs WHERE destination_id = ?", run_id
        )
        run.skipped["inputs"] += datasets
    if "logged_models" in tables:
        models = databases.count(
            database, "SELECT count(*) FROM logged_models WHERE source_run_id = ?", run_id
        )
        run.skipped["logged models"] += models
    _add_artifacts(run, row["artifact_uri"], file.parent, f"{row['experiment_id']}/{run_id}")
    run.skipped = +run.skipped
    return run


def _points_of_database(file: Path, run_id: str) -> Iterator[Point]:
    with databases.opened(file) as database:
        rows = database.execute(
            "SELECT key, value, timestamp, step, is_nan FROM metrics WHERE run_uuid = ? "
            "ORDER BY key, timestamp, step, value, is_nan",
            (run_id,),
        )
        for name, value, time, step, is_nan in rows:
            yield Point(name, step, math.nan if is_nan else value, _microseconds(time) or 0)


def _add_artifacts(run: ImportedRun, uri: str | None, root: Path, place: str) -> None:
    """Adds the files of a run that are below the folder that is imported.

    Another folder may have anything, and the address may be of a person who chose it.
    """
    candidates = [root / "mlruns" / place / "artifacts", root / place / "artifacts"]
    parts = urlsplit(uri or "")
    if uri and parts.scheme in ("", "file"):
        candidates.insert(0, root / unquote(parts.path))
    top = root.resolve()
    for folder in candidates:
        if folder.is_dir() and folder.resolve().is_relative_to(top):
            add_files(run, folder)
            return
    if uri and parts.scheme not in ("", "file"):
        run.skipped["folders of artifacts that are not on this disk"] += 1
    elif candidates[0].is_dir():
        run.skipped["folders of artifacts outside the source"] += 1


def _runs_of_folder(root: Path, skipped: Counter[str]) -> Iterator[FoundRun]:
    experiments = [file.parent for file in sorted(root.glob(f"*/{_META}"))]
    return read_files(experiments, partial(_runs_of_experiment, root, skipped))


def _runs_of_experiment(root: Path, skipped: Counter[str], folder: Path) -> Iterator[FoundRun]:
    name = _read_meta(folder / _META).get("name", folder.name)
    for place in sorted(each for each in folder.iterdir() if _is_run(each)):
        fields: dict[str, str] = {}
        with suppress(OSError):
            # `read_run` says what is wrong.
            fields = _read_meta(place / _META)
        if fields.get("lifecycle_stage") == _DELETED:
            skipped["deleted runs"] += 1
            continue
        yield read_run(
            fields.get("run_name") or place.name, place, partial(_run_of_folder, root, place, name)
        )


def _is_run(folder: Path) -> bool:
    return (folder / _META).exists() or any(
        (folder / name).is_dir() for name in ("metrics", "params", "tags")
    )


def _run_of_folder(root: Path, folder: Path, experiment: str) -> ImportedRun:
    fields = _read_meta(folder / _META)
    run_id = fields.get("run_id") or fields.get("run_uuid")
    if not run_id:
        raise ValueError(f"{folder / _META} has no run_id")
    status = _NUMBERED.get(fields.get("status", ""), "RUNNING")
    tags = {name: _text(file) for name, file in _keys(folder / "tags")}
    run = _new_run(run_id, fields.get("run_name", ""), status, experiment, tags)
    run.user = fields.get("user_id") or None
    run.started = _microseconds(fields.get("start_time"))
    run.ended = _microseconds(fields.get("end_time"))
    run.config = {name: _parsed(_text(file)) for name, file in _keys(folder / "params")}
    run.points = partial(_points_of_folder, folder / "metrics")
    for name, file in [*_keys(folder / "tags"), *_keys(folder / "params")]:
        if _REPLACED in _text(file) or _REPLACED in name:
            run.skipped["texts that are not UTF-8"] += 1
    for _name, file in _keys(folder / "metrics"):
        for line in _text(file).splitlines():
            if _point("", line) is None:
                run.skipped["damaged lines"] += 1
    inputs = len(list(folder.glob("inputs/*")))
    if inputs:
        run.skipped["inputs"] += inputs
    place = folder.relative_to(root).as_posix()
    _add_artifacts(run, fields.get("artifact_uri"), root, place)
    return run


def _points_of_folder(metrics: Path) -> Iterator[Point]:
    for name, file in _keys(metrics):
        with file.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                point = _point(name, line)
                if point is not None:
                    yield point


def _point(name: str, line: str) -> Point | None:
    """Returns the value in a line: time, value, and step, which early versions lack."""
    parts = line.split()
    with suppress(ValueError, IndexError):
        time, value = int(parts[0]) * 1000, float(parts[1])
        return Point(name, int(parts[2]) if parts[2:] else None, value, time)
    return None


def _keys(folder: Path) -> list[tuple[str, Path]]:
    """The files of a folder by their keys, which may have slashes."""
    files = [file for file in sorted(folder.rglob("*")) if file.is_file() and not file.is_symlink()]
    return [(file.relative_to(folder).as_posix(), file) for file in files]


def _text(file: Path) -> str:
    return file.read_text("utf-8", errors="replace")


def _read_meta(path: Path) -> dict[str, str]:
    """Reads a `meta.yaml`, which has texts and numbers only."""
    fields: dict[str, str] = {}
    name = ""
    for line in _text(path).splitlines():
        if line[:1] in (" ", "\t"):
            # A long text goes on.
            fields[name] = f"{fields.get(name, '')} {line.strip()}".strip()
            continue
        name, _colon, value = line.partition(":")
        fields[name] = value.strip()
    return {name: _unquoted(value) for name, value in fields.items()}


def _unquoted(value: str) -> str:
    if value[:1] == "'" == value[-1:]:
        return value[1:-1].replace("''", "'")
    if value[:1] == '"':
        try:
            return str(json.loads(value))
        except ValueError as error:
            raise_foreign(error)
    return "" if value == "null" else value


def _microseconds(milliseconds: Any) -> int | None:
    try:
        return int(milliseconds) * 1000 if milliseconds else None
    except ValueError as error:
        raise_foreign(error)
        return None


def _parsed(text: str) -> Any:
    """Returns the number or boolean of which a text is the representation, else the text.

    mlflow stores the texts of all parameters.
    """
    if text in ("True", "False"):
        return text == "True"
    for kind in (int, float):
        with suppress(ValueError):
            number = kind(text)
            if repr(number) == text and abs(number) <= _MAX_NUMBER:
                return number
    return text
