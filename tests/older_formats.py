"""Turns a database into one of an older format, as an earlier version of this package wrote it."""

import contextlib
import sqlite3

#: The tables of format 3 that differ from those of today.
_FORMAT_3 = """
CREATE TABLE projects (
  id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE,
  namespace INTEGER NOT NULL REFERENCES namespaces ON DELETE CASCADE,
  slug TEXT NOT NULL, display_name TEXT NOT NULL, visibility TEXT NOT NULL, created INTEGER NOT
  NULL, UNIQUE (namespace, slug)
) STRICT;
CREATE TABLE runs (
  id INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT NOT NULL UNIQUE,
  project INTEGER NOT NULL REFERENCES projects ON DELETE CASCADE,
  user INTEGER NOT NULL REFERENCES users,
  name TEXT NOT NULL, description TEXT, status TEXT NOT NULL,
  created INTEGER NOT NULL, updated INTEGER NOT NULL, idempotency_key TEXT,
  UNIQUE (project, name), UNIQUE (project, idempotency_key)
) STRICT;
CREATE TABLE tiles (
  series INTEGER NOT NULL REFERENCES series ON DELETE CASCADE, tile INTEGER NOT NULL, count INTEGER
  NOT NULL, step INTEGER NOT NULL, arrival INTEGER NOT NULL, value, json TEXT, timestamp INTEGER NOT
  NULL, minimum, maximum, PRIMARY KEY (series, tile)
) WITHOUT ROWID;
"""


def make_older(path, number):
    """Turns a database of the current format into an older one, with the same content."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        sequence = connection.execute("SELECT name, seq FROM sqlite_sequence").fetchall()
        connection.execute("DROP INDEX runs_by_creation")
        for statement in _FORMAT_3.strip().removesuffix(";").split(";"):
            table = statement.split()[2]
            connection.execute(statement.replace(f" {table} ", " older ", 1))
            if table != "tiles":
                connection.execute(f"INSERT INTO older SELECT * FROM {table}")
            connection.execute(f"DROP TABLE {table}")
            connection.execute(f"ALTER TABLE older RENAME TO {table}")
        connection.execute("DELETE FROM sqlite_sequence")
        connection.executemany("INSERT INTO sqlite_sequence VALUES (?, ?)", sequence)
        # Format 3 had few wide tiles; these are wrong, and no longer used.
        connection.execute("UPDATE series SET tile_width = 4096 WHERE tile_width IS NOT NULL")
        connection.execute(
            "INSERT INTO tiles SELECT id, 0, 1, 0, 0, 0, NULL, 0, 0, 0 FROM series "
            "WHERE tile_width IS NOT NULL"
        )
        if number < 3:
            connection.execute("DROP TABLE deleted_runs")
        if number < 2:
            connection.execute("DROP TABLE tiles")
            connection.execute("ALTER TABLE series DROP COLUMN tile_width")
        connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("COMMIT")
