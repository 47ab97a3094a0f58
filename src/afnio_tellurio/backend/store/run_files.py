"""The files of a run: single ones, and series over steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from afnio_tellurio.backend.store import changes
from afnio_tellurio.backend.store.pages import rows_within

if TYPE_CHECKING:
    import sqlite3

#: The step of a file that has no step.
NO_STEP = -1


class NewRunFile(NamedTuple):
    """A file to log.

    Attributes:
        path: Its path, or the name of the series.
        step: Its step, or `NO_STEP`.
        kind: What it is.
        blob: The id of its blob.
        content_type: The content type that the program declared, or None.
        timestamp: Microseconds since 1970.
        idempotency_key: The key of the request, or None.
    """

    path: str
    step: int
    kind: str
    blob: int
    content_type: str | None
    timestamp: int
    idempotency_key: str | None


class RunFileRow(NamedTuple):
    """A file of a run.

    Attributes:
        path: Its path, or the name of the series.
        step: Its step, or `NO_STEP`.
        kind: What it is.
        blob: The id of its blob.
        content_type: The content type that the program declared, or None.
        timestamp: Microseconds since 1970.
        digest: The digest of its blob.
        size: Its bytes.
    """

    path: str
    step: int
    kind: str
    blob: int
    content_type: str | None
    timestamp: int
    digest: str
    size: int

    def length(self) -> int:
        """Returns about how many characters it has in a response."""
        return len(self.path) + len(self.content_type or "")


_RUN_FILE = """
SELECT f.path, f.step, f.kind, f.blob, f.content_type, f.timestamp, b.digest, b.size
FROM run_files f JOIN blobs b ON b.id = f.blob
"""


def list_run_files(
    connection: sqlite3.Connection,
    run: int,
    *,
    prefix: str,
    kind: str | None,
    after: tuple[str, int],
    limit: int,
    length: int,
) -> list[RunFileRow]:
    """Returns the files of a run, sorted by path and step.

    Args:
        connection: A connection in a transaction.
        run: The id of the run.
        prefix: The text with which their paths start.
        kind: Their kind; None for all.
        after: The path and step of the file before the first one.
        limit: The maximum number; -1 for all.
        length: The characters after which a list of several files ends.
    """
    cursor = connection.execute(
        f"{_RUN_FILE} WHERE f.run = :run AND (f.path, f.step) > (:path, :step) "
        "AND f.path >= :prefix AND substr(f.path, 1, :prefix_length) = :prefix "
        "AND (:kind IS NULL OR f.kind = :kind) ORDER BY f.path, f.step LIMIT :limit",
        {
            "run": run,
            "path": after[0],
            "step": after[1],
            "prefix": prefix,
            "prefix_length": len(prefix),
            "kind": kind,
            "limit": limit,
        },
    )
    return rows_within(map(RunFileRow._make, cursor), length, RunFileRow.length)


def find_run_file(
    connection: sqlite3.Connection, run: int, path: str, step: int | None
) -> RunFileRow | None:
    """Returns the file with exactly this path and step, by default the last step, or None."""
    row = connection.execute(
        f"{_RUN_FILE} WHERE f.run = :run AND f.path = :path "
        "AND (:step IS NULL OR f.step = :step) ORDER BY f.step DESC LIMIT 1",
        {"run": run, "path": path, "step": step},
    ).fetchone()
    return None if row is None else RunFileRow._make(row)


def find_by_idempotency_key(
    connection: sqlite3.Connection, run: int, key: str
) -> RunFileRow | None:
    """Returns the file that the request with this key logged, or None."""
    row = connection.execute(
        f"{_RUN_FILE} WHERE f.run = ? AND f.idempotency_key = ?", (run, key)
    ).fetchone()
    return None if row is None else RunFileRow._make(row)


def is_replaced(connection: sqlite3.Connection, run: int, key: str) -> bool:
    """Returns whether the request with this key logged a file that was replaced since."""
    return changes.is_update_known(connection, run, _replaced(key))


def _replaced(key: str) -> str:
    # Among the changes of the run, but not as the key of one.
    return f"file:{key}"


def put_run_file(connection: sqlite3.Connection, run: int, file: NewRunFile) -> int | None:
    """Records a file in place of the one with the same path and step.

    Returns:
        The id of the blob that the other file had, or None.
    """
    previous = connection.execute(
        "SELECT blob, idempotency_key FROM run_files WHERE run = ? AND path = ? AND step = ?",
        (run, file.path, file.step),
    ).fetchone()
    connection.execute(
        "INSERT INTO run_files (run, path, step, kind, blob, content_type, timestamp, "
        "idempotency_key) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (run, path, step) DO UPDATE SET kind = excluded.kind, blob = excluded.blob, "
        "content_type = excluded.content_type, timestamp = excluded.timestamp, "
        "idempotency_key = excluded.idempotency_key",
        (run, *file),
    )
    if previous is None:
        return None
    blob: int = previous[0]
    key: str | None = previous[1]
    if key is not None:
        # A request that is repeated after a lost answer must not undo this one.
        changes.add_change(
            connection,
            run,
            idempotency_key=_replaced(key),
            config_changed=None,
            config_patch=None,
        )
    return blob
