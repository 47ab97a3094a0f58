"""The blobs of projects: sequences of bytes, each named by its SHA-256."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from afnio_tellurio.backend.store.blob_files import MAX_IN_ROW

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable


class BlobRow(NamedTuple):
    """A blob of a project.

    Attributes:
        id: Its id.
        digest: Its SHA-256.
        size: Its size in bytes.
    """

    id: int
    digest: str
    size: int


class NewBlob(NamedTuple):
    """A blob to record.

    Attributes:
        digest: Its SHA-256.
        size: Its size in bytes.
        data: Its bytes, if they belong into its row.
    """

    digest: str
    size: int
    data: bytes | None


def find_blobs(
    connection: sqlite3.Connection, project: int, digests: Iterable[str]
) -> dict[str, BlobRow]:
    """Returns the blobs of a project with these digests. The file of a large one may be missing."""
    rows = connection.execute(
        "SELECT id, digest, size FROM blobs WHERE project = ? "
        "AND digest IN (SELECT value FROM json_each(?))",
        (project, json.dumps(list(digests))),
    )
    return {row[1]: BlobRow._make(row) for row in rows}


def read_data(connection: sqlite3.Connection, blob: int) -> bytes | None:
    """Returns the bytes of a blob that are in its row, or None if the blob is gone."""
    row = connection.execute("SELECT data FROM blobs WHERE id = ?", (blob,)).fetchone()
    return None if row is None else row[0]


def record_blobs(
    connection: sqlite3.Connection, project: int, blobs: Iterable[NewBlob], now: int
) -> None:
    """Records blobs of a project, or keeps those that it has for longer.

    The file of each large one must be in its place in this transaction.
    """
    blobs = list(blobs)
    connection.executemany(
        "INSERT INTO blobs (project, digest, size, unused_since, data) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (project, digest) DO UPDATE SET size = excluded.size, data = excluded.data, "
        "unused_since = CASE WHEN unused_since IS NOT NULL THEN excluded.unused_since END",
        [(project, blob.digest, blob.size, now, blob.data) for blob in blobs],
    )
    connection.executemany(
        "DELETE FROM blob_removals WHERE digest = ?",
        [(blob.digest,) for blob in blobs if blob.size > MAX_IN_ROW],
    )


def mark_used(connection: sqlite3.Connection, blobs: Iterable[int]) -> None:
    """Keeps blobs that a file refers to from now on."""
    connection.executemany(
        "UPDATE blobs SET unused_since = NULL WHERE id = ? AND unused_since IS NOT NULL",
        [(blob,) for blob in blobs],
    )


def mark_unused(connection: sqlite3.Connection, blobs: Iterable[int], now: int) -> None:
    """Lets `blob_removal` remove blobs, unless another file refers to them.

    Args:
        connection: A connection in a transaction that has removed the files that did.
        blobs: The ids of the blobs.
        now: The time from which they are kept for a while; 0 to remove them soon.
    """
    connection.executemany(
        "UPDATE blobs SET unused_since = ? WHERE id = ? AND unused_since IS NULL "
        "AND NOT EXISTS (SELECT 1 FROM artifact_files WHERE blob = blobs.id) "
        "AND NOT EXISTS (SELECT 1 FROM run_files WHERE blob = blobs.id)",
        [(now, blob) for blob in blobs],
    )
