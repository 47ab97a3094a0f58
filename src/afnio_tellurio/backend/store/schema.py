"""The tables of a database, and their format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from afnio_tellurio.backend.store.artifact_tables import ARTIFACT_TABLES
from afnio_tellurio.backend.store.database_files import read_only_error
from afnio_tellurio.backend.store.moving import is_unfinished
from afnio_tellurio.backend.store.upgrades import UPGRADES
from afnio_tellurio.errors import DatabaseError

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

#: Identifies our databases, and the format of their tables.
APPLICATION_ID = 0x54454C55
FORMAT = 9
#: A row of `deleted_runs` for runs that were deleted before their UUIDs were recorded.
UNKNOWN_DELETED_RUNS = ""
# `runs_by_status` is for counting alone: other statements, which do not name its condition, would
# read runs in its order, which is slower than that of their creation.
# Columns with long values are the last ones of a row, so that filters need not read them.
# A project without a namespace and a run without a project are deleted, see `trash`.
_TABLES = """
CREATE TABLE namespaces (
  id INTEGER PRIMARY KEY, uuid TEXT NOT NULL, slug TEXT NOT NULL UNIQUE, display_name TEXT NOT NULL
) STRICT;
CREATE TABLE users (
  id INTEGER PRIMARY KEY, uuid TEXT NOT NULL, username TEXT NOT NULL UNIQUE, slug TEXT NOT NULL
) STRICT;
CREATE TABLE projects (
  id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE,
  namespace INTEGER REFERENCES namespaces ON DELETE CASCADE,
  slug TEXT NOT NULL, display_name TEXT NOT NULL, visibility TEXT NOT NULL, created INTEGER NOT
  NULL, former_namespace INTEGER, deleted INTEGER, UNIQUE (namespace, slug)
) STRICT;
CREATE INDEX projects_by_deletion ON projects (deleted) WHERE deleted IS NOT NULL;
CREATE TABLE runs (
  id INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT NOT NULL UNIQUE,
  project INTEGER REFERENCES projects ON DELETE CASCADE,
  user INTEGER NOT NULL REFERENCES users,
  name TEXT NOT NULL, description TEXT, status TEXT NOT NULL,
  created INTEGER NOT NULL, updated INTEGER NOT NULL, idempotency_key TEXT,
  group_name TEXT, job_type TEXT, parent_uuid TEXT, ended INTEGER, ended_because TEXT, notes TEXT,
  former_project INTEGER, deleted INTEGER,
  config TEXT NOT NULL DEFAULT '{}', environment TEXT,
  UNIQUE (project, name), UNIQUE (project, idempotency_key)
) STRICT;
CREATE INDEX runs_by_creation ON runs (project, created);
CREATE INDEX runs_by_deletion ON runs (deleted) WHERE deleted IS NOT NULL;
CREATE INDEX runs_by_former_project ON runs (former_project, deleted) WHERE deleted IS NOT NULL;
CREATE INDEX runs_by_status ON runs (project, status, updated, deleted) WHERE deleted IS NULL;
CREATE TABLE run_tags (
  run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE, tag TEXT NOT NULL, PRIMARY KEY (run, tag)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_tags_by_tag ON run_tags (tag);
CREATE TABLE run_changes (
  run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE, number INTEGER NOT NULL,
  idempotency_key TEXT, config_changed INTEGER, config_patch TEXT,
  PRIMARY KEY (run, number), UNIQUE (run, idempotency_key)
) STRICT, WITHOUT ROWID;
CREATE TABLE series (
  id INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE, name TEXT NOT
  NULL, count INTEGER NOT NULL, first_step INTEGER NOT NULL, last_step INTEGER NOT NULL, last_value,
  last_json TEXT, last_timestamp INTEGER NOT NULL, minimum, maximum, tile_width INTEGER,
  chunked INTEGER NOT NULL DEFAULT 0, chunked_step INTEGER NOT NULL DEFAULT -1,
  loose_step INTEGER, UNIQUE (run, name)
);
CREATE TABLE chunks (
  series INTEGER NOT NULL REFERENCES series ON DELETE CASCADE, step INTEGER NOT NULL, arrival
  INTEGER NOT NULL, last_step INTEGER NOT NULL, count INTEGER NOT NULL, data BLOB NOT NULL,
  PRIMARY KEY (series, step, arrival)
) STRICT;
CREATE TABLE loose (
  series INTEGER NOT NULL REFERENCES series ON DELETE CASCADE, arrival INTEGER NOT NULL,
  count INTEGER NOT NULL, form INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (series, arrival)
) STRICT;
CREATE TABLE tiles (
  series INTEGER NOT NULL REFERENCES series ON DELETE CASCADE, width INTEGER NOT NULL, tile INTEGER
  NOT NULL, count INTEGER NOT NULL, step INTEGER NOT NULL, arrival INTEGER NOT NULL, value, json
  TEXT, timestamp INTEGER NOT NULL, minimum, maximum, PRIMARY KEY (series, width, tile)
) WITHOUT ROWID;
CREATE TABLE tables (
  id INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE, name TEXT NOT
  NULL, count INTEGER NOT NULL, bytes INTEGER NOT NULL, last_timestamp INTEGER NOT NULL,
  row_key TEXT, UNIQUE (run, name)
) STRICT;
CREATE TABLE table_rows (
  table_id INTEGER NOT NULL REFERENCES tables ON DELETE CASCADE, number INTEGER NOT NULL,
  timestamp INTEGER NOT NULL, json TEXT NOT NULL, PRIMARY KEY (table_id, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE writers (
  run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE, writer TEXT NOT NULL, next INTEGER NOT
  NULL, PRIMARY KEY (run, writer)
) STRICT, WITHOUT ROWID;
CREATE TABLE deleted_runs (uuid TEXT NOT NULL PRIMARY KEY) STRICT, WITHOUT ROWID;
"""


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Creates the tables in an empty file or upgrades them; rejects files of other programs.

    After an upgrade, `moving` has to move the points.
    """
    # Checked before any write: the file of another program must not change.
    if _format_of(connection, path) == FORMAT:
        return
    connection.execute("BEGIN IMMEDIATE")
    # Another process may have done it first.
    file_format = _format_of(connection, path)
    if file_format == 0:
        for statement in (_TABLES + ARTIFACT_TABLES).split(";\n"):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    else:
        for older_format in range(file_format, FORMAT):
            UPGRADES[older_format](connection)
    connection.execute(f"PRAGMA user_version={FORMAT}")
    connection.execute("COMMIT")


def require_current(connection: sqlite3.Connection, path: Path) -> None:
    """Rejects a database that this version cannot read without writing to it."""
    file_format = _format_of(connection, path)
    if file_format != FORMAT:
        problem = "is empty" if file_format == 0 else f"has the older format {file_format}"
        raise read_only_error(path, f"{problem} and cannot be upgraded")
    if is_unfinished(connection):
        raise read_only_error(path, "has an unfinished upgrade that cannot go on")


def require_unchanged(connection: sqlite3.Connection, path: Path) -> None:
    """Rejects a database whose format was changed after this process opened it.

    The first statement of each transaction: it also takes the read lock.
    """
    (file_format,) = connection.execute("PRAGMA user_version").fetchone()
    if file_format > FORMAT:
        raise DatabaseError(
            f"the database {path} was upgraded by a newer version while it was in use: "
            f"{_newer_format(file_format)}, and start this program again"
        )
    if file_format < FORMAT:
        raise DatabaseError(
            f"the database {path} was replaced while it was in use, by one of the older format "
            f"{file_format}; start this program again to upgrade it"
        )


def _newer_format(file_format: int) -> str:
    return (
        f"it has format {file_format}, but this afnio-tellurio supports formats up to {FORMAT}; "
        "upgrade afnio-tellurio"
    )


def _format_of(connection: sqlite3.Connection, path: Path) -> int:
    """Returns the format of our database; 0 for an empty file."""
    # First: another process may make the tables and the id meanwhile, in one transaction.
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application == APPLICATION_ID:
        if version > FORMAT:
            raise DatabaseError(
                f"the database {path} cannot be used: {_newer_format(version)} or use another file"
            )
        return int(version)
    if application or tables:
        raise DatabaseError(
            f"the database {path} belongs to another program; use another file, "
            "or another folder with TELLURIO_HOME"
        )
    return 0
