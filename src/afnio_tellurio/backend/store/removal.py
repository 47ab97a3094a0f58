"""Removes what was deleted in slices, so that no other writer has to wait for long.

Deleting only moves to the trash, see `trash`. What was there for 30 days, or is to be purged, is
removed by the request that purges, by later requests that write, also of other processes, and by a
backend that opens the database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from afnio_tellurio.backend.store import blobs, trash
from afnio_tellurio.backend.store.connections import gate
from afnio_tellurio.clock import monotonic

if TYPE_CHECKING:
    import sqlite3

    from afnio_tellurio.backend.store.database import Database

#: Rows that one transaction removes, and seconds after which it stops earlier: large values, or a
#: slow disk.
SLICE_ROWS = 5_000
SLICE_TIME = 0.025
#: Rows that one statement removes, and the seconds of one after which the next removes one row:
#: 100 values of 8 MB take longer than others may have to wait.
_STATEMENT_ROWS = 100
_STATEMENT_TIME = 0.005
#: Removing a series, a run or a chunk takes as long as removing this many small rows.
_ROWS_OF_ITEM = 25
#: Seconds between two slices, at least. Another program that waits for the lock looks every 25 ms
#: at first, so it finds the lock free once.
_PAUSE = 0.03

_DELETED_RUN = """
SELECT id FROM (SELECT id FROM runs WHERE deleted = 0 LIMIT 1) UNION ALL
SELECT r.id FROM projects p JOIN runs r ON r.project = p.id WHERE p.deleted = 0 UNION ALL
SELECT r.id FROM projects p JOIN runs r ON r.former_project = p.id AND r.deleted IS NOT NULL
WHERE p.deleted = 0 LIMIT 1
"""
_DELETED_VERSION = """
SELECT id, artifact FROM (SELECT id, artifact FROM artifact_versions WHERE deleted = 0 LIMIT 1)
UNION ALL
SELECT v.id, a.id FROM projects p JOIN artifacts a ON a.project = p.id
JOIN artifact_versions v ON v.artifact = a.id WHERE p.deleted = 0 LIMIT 1
"""
#: A version goes with the run that created it, unless it has an alias or another run has it.
_LEAVE_RUN = """
UPDATE artifact_versions SET run = NULL, deleted = CASE WHEN EXISTS (
  SELECT 1 FROM artifact_aliases l WHERE l.version = artifact_versions.id
) OR EXISTS (
  SELECT 1 FROM artifact_uses u JOIN runs r ON r.id = u.run
  WHERE u.version = artifact_versions.id AND u.run <> :run
    AND (r.deleted IS NULL OR r.deleted > 0)
) THEN deleted ELSE 0 END
WHERE id IN (SELECT id FROM artifact_versions WHERE run = :run LIMIT :limit)
"""
_REMOVE_ARTIFACTS = """
DELETE FROM artifacts WHERE id IN (
  SELECT a.id FROM projects p JOIN artifacts a ON a.project = p.id WHERE p.deleted = 0 LIMIT ?
)
"""
_MARK_BLOBS = """
UPDATE blobs SET unused_since = 0 WHERE id IN (
  SELECT b.id FROM projects p JOIN blobs b ON b.project = p.id
  WHERE p.deleted = 0 AND b.unused_since IS NOT 0
  AND NOT EXISTS (SELECT 1 FROM artifact_files WHERE blob = b.id)
  AND NOT EXISTS (SELECT 1 FROM run_files WHERE blob = b.id) LIMIT ?
)
"""
_MARK_UPLOADS = """
UPDATE uploads SET updated = 0 WHERE id IN (
  SELECT u.id FROM projects p JOIN uploads u ON u.project = p.id
  WHERE p.deleted = 0 AND u.updated > 0 LIMIT ?
)
"""
_REMOVE_PROJECTS = """
DELETE FROM projects WHERE id IN (
  SELECT id FROM projects WHERE deleted = 0
  AND NOT EXISTS (SELECT 1 FROM blobs WHERE project = projects.id)
  AND NOT EXISTS (SELECT 1 FROM uploads WHERE project = projects.id)
  AND NOT EXISTS (SELECT 1 FROM artifacts WHERE project = projects.id) LIMIT ?
)
"""


def remove_deleted(database: Database, *, seconds: float = 0.0) -> None:
    """Removes one slice of what is not kept, and more for up to this many seconds."""
    give_up_at = monotonic() + seconds
    while (held := remove_slice(database)) is not None and monotonic() < give_up_at:
        # As long as the slice took: who waits for long looks less often. A fork does not have to
        # wait for this pause.
        gate.pass_through(max(_PAUSE, held))


def remove_slice(database: Database) -> float | None:
    """Removes up to `SLICE_ROWS` rows that the trash does not keep.

    Returns:
        The seconds for which it held the lock, or None if there is no more to remove.
    """
    with database.reading() as connection:
        if not trash.is_anything_expired(connection):
            return None
    with database.writing() as connection:
        began = monotonic()
        work = _Slice(connection)
        work.remove()
    return monotonic() - began if work.is_spent else None


class _Slice:
    """The work of one transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._rows = SLICE_ROWS
        self._ends_at = monotonic() + SLICE_TIME

    @property
    def is_spent(self) -> bool:
        """Whether the next transaction must go on."""
        return self._rows <= 0 or monotonic() >= self._ends_at

    def remove(self) -> None:
        # What is removed in part must not be restored, even if the clock is set back.
        trash.purge_expired(self._connection)
        while not self.is_spent:
            run = self._connection.execute(_DELETED_RUN).fetchone()
            if run is None:
                break
            self._remove_run(run[0])
        while not self.is_spent:
            version = self._connection.execute(_DELETED_VERSION).fetchone()
            if version is None:
                self._remove_projects()
                return
            self._remove_version(*version)

    def _remove_run(self, run: int) -> None:
        execute = self._connection.execute
        while series := execute("SELECT id FROM series WHERE run = ?", (run,)).fetchone():
            # Their rows are long.
            self._remove_rows("chunks", "series", "step, arrival", series[0], _ROWS_OF_ITEM)
            self._remove_rows("loose", "series", "arrival", series[0], _ROWS_OF_ITEM)
            self._remove_rows("tiles", "series", "width, tile", series[0])
            if self.is_spent:
                return
            execute("DELETE FROM series WHERE id = ?", series)
            self._rows -= _ROWS_OF_ITEM
        while table := execute("SELECT id FROM tables WHERE run = ?", (run,)).fetchone():
            self._remove_rows("table_rows", "table_id", "number", table[0])
            if self.is_spent:
                return
            execute("DELETE FROM tables WHERE id = ?", table)
            self._rows -= _ROWS_OF_ITEM
        self._remove_rows("writers", "run", "writer", run)
        self._remove_rows("run_tags", "run", "tag", run)
        self._remove_rows("run_changes", "run", "number", run)
        self._remove_files("run_files", "run", "path, step", run)
        self._remove_rows("artifact_uses", "run", "version, direction", run)
        self._leave_run(run)
        if self.is_spent:
            return
        execute(
            "INSERT INTO deleted_runs SELECT uuid FROM runs WHERE id = ? ON CONFLICT DO NOTHING",
            (run,),
        )
        execute("DELETE FROM runs WHERE id = ?", (run,))
        self._rows -= _ROWS_OF_ITEM

    def _leave_run(self, run: int) -> None:
        count = _STATEMENT_ROWS
        while count == _STATEMENT_ROWS and not self.is_spent:
            limits = {"run": run, "limit": _STATEMENT_ROWS}
            count = self._connection.execute(_LEAVE_RUN, limits).rowcount
            self._rows -= count

    def _remove_version(self, version: int, artifact: int) -> None:
        self._remove_files("artifact_files", "version", "path", version)
        self._remove_rows("artifact_aliases", "version", "alias", version)
        self._remove_rows("artifact_uses", "version", "id", version)
        self._remove_rows("artifact_requests", "version", "project, idempotency_key", version)
        if self.is_spent:
            return
        execute = self._connection.execute
        execute("DELETE FROM artifact_versions WHERE id = ?", (version,))
        # An artifact without versions keeps its next number as long as its project is there.
        execute(
            "DELETE FROM artifacts WHERE id = ? "
            "AND project IN (SELECT id FROM projects WHERE deleted = 0) "
            "AND NOT EXISTS (SELECT 1 FROM artifact_versions v WHERE v.artifact = artifacts.id)",
            (artifact,),
        )
        self._rows -= _ROWS_OF_ITEM

    def _remove_files(self, table: str, owner: str, key: str, identity: int) -> None:
        """Removes the rows of files, and lets their blobs be removed if no other file has them."""
        execute = self._connection.execute
        while not self.is_spent:
            rows = execute(
                f"SELECT blob, {key} FROM {table} WHERE {owner} = ? ORDER BY {key} LIMIT ?",  # noqa: S608 - constant names
                (identity, _STATEMENT_ROWS),
            ).fetchall()
            if not rows:
                return
            last = rows[-1][1:]
            bound = f"({key}) <= ({', '.join('?' * len(last))})"
            execute(f"DELETE FROM {table} WHERE {owner} = ? AND {bound}", (identity, *last))  # noqa: S608
            ids = {blob for blob, *_ in rows if blob is not None}
            blobs.mark_unused(self._connection, ids, 0)
            self._rows -= 2 * len(rows)

    def _remove_rows(
        self, table: str, owner: str, key: str, identity: int, weight: int = 1
    ) -> None:
        """Removes the rows of a run or series, the first ones by primary key first."""
        execute = self._connection.execute
        last: tuple[Any, ...] | None = ()
        count = 1
        while last is not None and not self.is_spent:
            began = monotonic()
            last = execute(
                f"SELECT {key} FROM {table} WHERE {owner} = ? ORDER BY {key} LIMIT 1 OFFSET ?",  # noqa: S608 - constant names
                (identity, min(-(-self._rows // weight), count) - 1),
            ).fetchone()
            condition, bound = f"{owner} = ?", last or ()
            if last is not None:
                condition += f" AND ({key}) <= ({', '.join('?' * len(last))})"
            removed = execute(f"DELETE FROM {table} WHERE {condition}", (identity, *bound))  # noqa: S608
            self._rows -= removed.rowcount * weight
            # A statement cannot be stopped, and the sizes of the values are unknown until then.
            is_quick = monotonic() - began < _STATEMENT_TIME
            count = min(2 * count, _STATEMENT_ROWS) if is_quick else 1

    def _remove_projects(self) -> None:
        # `blob_removal` removes their blobs and uploads first, with the files.
        for statement in (_REMOVE_ARTIFACTS, _MARK_BLOBS, _MARK_UPLOADS, _REMOVE_PROJECTS):
            self._rows -= self._connection.execute(statement, (self._rows,)).rowcount
            if self.is_spent:
                return
