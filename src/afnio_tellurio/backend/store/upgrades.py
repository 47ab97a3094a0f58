"""Upgrades of databases with older tables.

Each works on the tables as they were at its time, with statements of its own: those of today would
change with the next format. What is derived from other tables is made again after the last upgrade.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from afnio_tellurio.backend.store.artifact_tables import ARTIFACT_TABLES

if TYPE_CHECKING:
    import sqlite3


def _add_tiles(connection: sqlite3.Connection) -> None:
    """Adds tiles of long series for sampling."""
    connection.execute("ALTER TABLE series ADD COLUMN tile_width INTEGER")
    connection.execute(
        "CREATE TABLE tiles (series INTEGER NOT NULL REFERENCES series ON DELETE CASCADE, "
        "tile INTEGER NOT NULL, count INTEGER NOT NULL, step INTEGER NOT NULL, "
        "arrival INTEGER NOT NULL, value, json TEXT, timestamp INTEGER NOT NULL, minimum, maximum, "
        "PRIMARY KEY (series, tile)) WITHOUT ROWID"
    )


def _add_deleted_runs(connection: sqlite3.Connection) -> None:
    """Adds the table for the UUIDs of deleted runs; an empty one if runs were deleted before."""
    connection.execute(
        "CREATE TABLE deleted_runs (uuid TEXT NOT NULL PRIMARY KEY) STRICT, WITHOUT ROWID"
    )
    connection.execute(
        "INSERT INTO deleted_runs SELECT '' FROM sqlite_sequence "
        "WHERE name = 'runs' AND seq > (SELECT count(*) FROM runs)"
    )


def _add_levels_and_removal(connection: sqlite3.Connection) -> None:
    """Adds tiles of several widths, marks of deleted runs and projects, and the index of runs."""
    last_ids = connection.execute("SELECT name, seq FROM sqlite_sequence").fetchall()
    for table, column in (("projects", "namespace"), ("runs", "project")):
        _drop_not_null(connection, table, column)
    # IDs of deleted runs are not used again.
    connection.execute("DELETE FROM sqlite_sequence")
    connection.executemany("INSERT INTO sqlite_sequence VALUES (?, ?)", last_ids)
    connection.execute("CREATE INDEX runs_by_creation ON runs (project, created)")
    connection.execute("DROP TABLE tiles")
    connection.execute(
        "CREATE TABLE tiles (series INTEGER NOT NULL REFERENCES series ON DELETE CASCADE, "
        "width INTEGER NOT NULL, tile INTEGER NOT NULL, count INTEGER NOT NULL, "
        "step INTEGER NOT NULL, arrival INTEGER NOT NULL, value, json TEXT, "
        "timestamp INTEGER NOT NULL, minimum, maximum, "
        "PRIMARY KEY (series, width, tile)) WITHOUT ROWID"
    )
    connection.execute("UPDATE series SET tile_width = NULL")


def _add_details_of_runs(connection: sqlite3.Connection) -> None:
    """Adds configs, tags, groups and ends of runs, and the trash.

    A run that ended did so at its last update. What was deleted is to be removed at once.
    """
    for column in (
        "group_name TEXT",
        "job_type TEXT",
        "parent_uuid TEXT",
        "ended INTEGER",
        "ended_because TEXT",
        "notes TEXT",
        "former_project INTEGER",
        "deleted INTEGER",
        "config TEXT NOT NULL DEFAULT '{}'",
        "environment TEXT",
    ):
        connection.execute(f"ALTER TABLE runs ADD COLUMN {column}")
    connection.execute("UPDATE runs SET ended = updated WHERE status <> 'RUNNING'")
    connection.execute("ALTER TABLE projects ADD COLUMN former_namespace INTEGER")
    connection.execute("ALTER TABLE projects ADD COLUMN deleted INTEGER")
    connection.execute("UPDATE runs SET deleted = 0 WHERE project IS NULL")
    connection.execute("UPDATE projects SET deleted = 0 WHERE namespace IS NULL")
    for statement in (
        "projects_by_deletion ON projects (deleted)",
        "runs_by_deletion ON runs (deleted)",
        "runs_by_former_project ON runs (former_project, deleted)",
    ):
        connection.execute(f"CREATE INDEX {statement} WHERE deleted IS NOT NULL")
    connection.execute(
        "CREATE TABLE run_tags (run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE, "
        "tag TEXT NOT NULL, PRIMARY KEY (run, tag)) STRICT, WITHOUT ROWID"
    )
    connection.execute("CREATE INDEX run_tags_by_tag ON run_tags (tag)")
    connection.execute(
        "CREATE TABLE run_changes (run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE, "
        "number INTEGER NOT NULL, idempotency_key TEXT, config_changed INTEGER, "
        "config_patch TEXT, PRIMARY KEY (run, number), UNIQUE (run, idempotency_key)) "
        "STRICT, WITHOUT ROWID"
    )


def _add_tables_of_runs(connection: sqlite3.Connection) -> None:
    """Adds the tables that runs have, and their rows."""
    connection.execute(
        "CREATE TABLE tables (id INTEGER PRIMARY KEY, "
        "run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE, name TEXT NOT NULL, "
        "count INTEGER NOT NULL, bytes INTEGER NOT NULL, last_timestamp INTEGER NOT NULL, "
        "row_key TEXT, UNIQUE (run, name)) STRICT"
    )
    connection.execute(
        "CREATE TABLE table_rows (table_id INTEGER NOT NULL REFERENCES tables ON DELETE CASCADE, "
        "number INTEGER NOT NULL, timestamp INTEGER NOT NULL, json TEXT NOT NULL, "
        "PRIMARY KEY (table_id, number)) STRICT, WITHOUT ROWID"
    )


def _add_chunks(connection: sqlite3.Connection) -> None:
    """Adds chunks and loose points; `moving` moves the points into chunks after the upgrade."""
    connection.execute("ALTER TABLE points RENAME TO old_points")
    connection.execute(
        "CREATE TABLE chunks (series INTEGER NOT NULL REFERENCES series ON DELETE CASCADE, "
        "step INTEGER NOT NULL, arrival INTEGER NOT NULL, last_step INTEGER NOT NULL, "
        "count INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (series, step, arrival)) STRICT"
    )
    connection.execute(
        "CREATE TABLE loose (series INTEGER NOT NULL REFERENCES series ON DELETE CASCADE, "
        "arrival INTEGER NOT NULL, count INTEGER NOT NULL, form INTEGER NOT NULL, "
        "data BLOB NOT NULL, PRIMARY KEY (series, arrival)) STRICT"
    )
    for column in (
        "chunked INTEGER NOT NULL DEFAULT 0",
        "chunked_step INTEGER NOT NULL DEFAULT -1",
        "loose_step INTEGER",
    ):
        connection.execute(f"ALTER TABLE series ADD COLUMN {column}")
    connection.execute("UPDATE series SET chunked = count, chunked_step = last_step")


def _add_artifacts(connection: sqlite3.Connection) -> None:
    """Adds the tables of blobs, artifacts, and files of runs."""
    for statement in ARTIFACT_TABLES.split(";\n"):
        connection.execute(statement)


def _add_index_of_statuses(connection: sqlite3.Connection) -> None:
    """Adds the index that counts the runs of projects."""
    connection.execute(
        "CREATE INDEX runs_by_status ON runs (project, status, updated, deleted) "
        "WHERE deleted IS NULL"
    )


def _drop_not_null(connection: sqlite3.Connection, table: str, column: str) -> None:
    """Copies a table: SQLite cannot change a column. Foreign keys are not enforced here yet."""
    (statement,) = connection.execute(
        "SELECT sql FROM sqlite_schema WHERE name = ?", (table,)
    ).fetchone()
    columns = statement.partition("(")[2].replace(f"{column} INTEGER NOT NULL", f"{column} INTEGER")
    connection.execute(f"CREATE TABLE new_table ({columns}")
    connection.execute(f"INSERT INTO new_table SELECT * FROM {table}")  # noqa: S608 - a constant
    connection.execute(f"DROP TABLE {table}")
    connection.execute(f"ALTER TABLE new_table RENAME TO {table}")


#: Functions that upgrade each older format to the next.
UPGRADES = {
    1: _add_tiles,
    2: _add_deleted_runs,
    3: _add_levels_and_removal,
    4: _add_details_of_runs,
    5: _add_tables_of_runs,
    6: _add_chunks,
    7: _add_artifacts,
    8: _add_index_of_statuses,
}
