"""Databases of trackio: one for each project."""

from __future__ import annotations

import datetime as dt
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from afnio_tellurio.delivery.records import microseconds_of
from afnio_tellurio.importing import databases
from afnio_tellurio.importing.damaged_runs import read_files, read_run
from afnio_tellurio.importing.imported_runs import ImportedRun, Point
from afnio_tellurio.importing.media import Medium, add_medium
from afnio_tellurio.importing.trackio_artifacts import add_versions
from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.special_numbers import SPECIAL_NUMBERS

if TYPE_CHECKING:
    import sqlite3
    from collections import Counter
    from collections.abc import Iterator

    from afnio_tellurio.importing.imported_runs import FoundRun

#: What is counted only: the table, the column of its run, and the kind.
_OTHERS = (
    ("alerts", "run_id", "alerts"),
    ("traces", "run_id", "traces"),
    ("external_run_artifact_links", "run_id", "versions that the run used"),
)


def is_project(path: Path) -> bool:
    """Returns whether a file is a database of trackio."""
    if not databases.is_database(path):
        return False
    with databases.opened(path) as database:
        columns = databases.columns_of(database, "metrics")
    return {"run_name", "step", "metrics", "timestamp"} <= columns


def read_runs(path: Path, _skipped: Counter[str]) -> Iterator[FoundRun]:
    """Yields the runs of a database, or of all databases in a folder.

    Args:
        path: The file or the folder.
        _skipped: Counts what belongs to no run: nothing.

    Raises:
        OSError: A file cannot be read.
        ValueError: A file is not a database of trackio.
    """
    if path.is_dir():
        yield from read_files(sorted(filter(Path.is_file, path.glob("*.db"))), _runs_of_project)
    else:
        yield from _runs_of_file(path)


def _runs_of_project(file: Path) -> Iterator[FoundRun]:
    """Yields the runs of a file in a folder, which may have other databases."""
    if is_project(file):
        yield from _runs_of_file(file)


def _runs_of_file(file: Path) -> Iterator[FoundRun]:
    with databases.opened(file) as database:
        if "metrics" not in databases.tables_of(database):
            raise ValueError(f"{file} is not a database of trackio")
        key = "run_id" if "run_id" in databases.columns_of(database, "metrics") else "run_name"
        configs = _configs(database, key)
        for row in _rows_of_runs(database, key, file.stem):
            config = configs.get(row["key"])
            read = partial(_run, file, database, key, row, config)
            yield read_run(str(row["name"]), file, read)


def _rows_of_runs(database: sqlite3.Connection, key: str, project: str) -> list[sqlite3.Row]:
    """Returns the runs that have values, system metrics, or artifacts, the oldest first."""
    parts = [f"SELECT {key} AS key, run_name, timestamp AS time FROM metrics"]  # noqa: S608 - a column
    if key in databases.columns_of(database, "system_metrics"):
        parts.append(f"SELECT {key}, run_name, timestamp FROM system_metrics WHERE {key} NOT NULL")  # noqa: S608 - a column
    links = databases.columns_of(database, "run_artifact_links")
    if key == "run_id" and "run_id" in links:
        # A run of another project may have used a version of this one.
        own = "AND ifnull(run_project, :project) = :project" if "run_project" in links else ""
        parts.append(
            "SELECT run_id, run_name, created_at FROM run_artifact_links "  # noqa: S608 - columns
            f"WHERE run_id NOT NULL AND run_name NOT NULL {own}"
        )
    return database.execute(
        "SELECT key, max(run_name) AS name, min(time) AS started, max(time) AS ended "  # noqa: S608 - constants
        f"FROM ({' UNION ALL '.join(parts)}) GROUP BY key ORDER BY min(time)",
        {"project": project},
    ).fetchall()


def _configs(database: sqlite3.Connection, key: str) -> dict[str, Any]:
    """Returns the JSON of the config of each run."""
    if "configs" not in databases.tables_of(database):
        return {}
    rows = database.execute(f"SELECT {key} AS key, config FROM configs")  # noqa: S608 - a column
    return {row["key"]: row["config"] for row in rows}


def _run(
    file: Path, database: sqlite3.Connection, key: str, row: sqlite3.Row, stored: Any
) -> ImportedRun:
    config = _json_object(stored, "its config")
    # A run that was resumed has the time of that.
    times = _time(config.get("_Created")), _time(row["started"])
    started = min(filter(None, times), default=None)
    group = config.get("_Group")
    user = config.get("_Username")
    run = ImportedRun(
        tool="trackio",
        source_id=f"{file.stem}/{row['key']}",
        name=row["name"],
        started=started,
        ended=_time(row["ended"]) or None,
        config=_restored({name: value for name, value in config.items() if name[:1] != "_"}),
        group=group if isinstance(group, str) else None,
        user=user if isinstance(user, str) else None,
        facts={"project": file.stem},
    )
    run.points = partial(_points, file, key, row["key"])
    tables = databases.tables_of(database)
    for table, column, kind in _OTHERS:
        if table in tables and key == "run_id":
            query = f"SELECT count(*) FROM {table} WHERE {column} = ?"  # noqa: S608 - constants
            run.skipped[kind] += databases.count(database, query, row["key"])
    if key == "run_id":
        run.skipped["versions that the run used"] += _count_inputs(database, tables, row["key"])
        add_versions(run, file, database, row["key"])
    _add_media(run, file, database, key, row["key"])
    run.skipped = +run.skipped
    return run


def _count_inputs(database: sqlite3.Connection, tables: set[str], run_id: str) -> int:
    if "run_artifact_links" not in tables:
        return 0
    query = "SELECT count(*) FROM run_artifact_links WHERE run_id = ? AND direction = 'input'"
    return databases.count(database, query, run_id)


def _add_media(
    run: ImportedRun, file: Path, database: sqlite3.Connection, key: str, run_id: str
) -> None:
    # The paths start with the project; those of other projects are not of this run.
    folder = file.parent / "media" / file.stem
    rows = database.execute(
        f"SELECT id, step, timestamp, metrics FROM metrics WHERE {key} = ? ORDER BY id",  # noqa: S608 - a column
        (run_id,),
    )
    for row in rows:
        time = _time(row["timestamp"])
        for name, value in _metrics(row, "metrics").items():
            if (kind := _kind_of_media(value)) is not None:
                path = value["file_path"].replace("\\", "/").removeprefix(f"{file.stem}/")
                captions = int(bool(value.get("caption")))
                step = row["step"] if isinstance(row["step"], int) else -1
                add_medium(run, [folder], Medium(name, kind, [path], step, time, captions))


def _points(file: Path, key: str, run: str) -> Iterator[Point]:
    with databases.opened(file) as database:
        rows = database.execute(
            f"SELECT id, step, timestamp, metrics FROM metrics WHERE {key} = ? ORDER BY id",  # noqa: S608 - a column
            (run,),
        )
        for row in rows:
            time = _time(row["timestamp"])
            for name, value in _metrics(row, "metrics").items():
                if _kind_of_media(value) is None:
                    yield Point(name, row["step"], _restored(value), time)
        if "system_metrics" not in databases.tables_of(database):
            return
        rows = database.execute(
            f"SELECT id, timestamp, metrics FROM system_metrics WHERE {key} = ? ORDER BY id",  # noqa: S608 - a column
            (run,),
        )
        for row in rows:
            for name, value in _metrics(row, "system_metrics").items():
                yield Point(f"system/{name}", None, _restored(value), _time(row["timestamp"]))


def _kind_of_media(value: Any) -> str | None:
    """Returns the type of a value with a file; tables and histograms have none."""
    if not isinstance(value, dict) or not isinstance(value.get("file_path"), str):  # pyright: ignore[reportUnknownMemberType]
        return None
    kind = value.get("_type")  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    return kind if isinstance(kind, str) else None


def _metrics(row: sqlite3.Row, table: str) -> dict[str, Any]:
    return _json_object(row["metrics"], f"row {row['id']} of the table {table}")


def _json_object(data: Any, place: str) -> dict[str, Any]:
    if not isinstance(data, str | bytes):
        return {}
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except (ValueError, msgspec.DecodeError, RecursionError) as error:
        raise_foreign(error)
        raise ValueError(f"{place} has invalid JSON: {error}") from error


def _restored(value: Any) -> Any:
    """Returns a value with numbers for the words that trackio stores in their place."""
    if isinstance(value, str):
        return SPECIAL_NUMBERS.get(value, value)
    if isinstance(value, list):
        return [_restored(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, dict):
        return {name: _restored(item) for name, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
    return value


def _time(text: Any) -> int:
    """Returns a time in ISO format in microseconds since 1970, or 0."""
    try:
        time = dt.datetime.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise_foreign(error)
        return 0
    return microseconds_of(time if time.tzinfo is not None else time.replace(tzinfo=dt.UTC))
