"""Uploads: blobs that arrive in parts. The bytes are in one file for each, beside the blobs."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from afnio_tellurio.backend.store.blob_files import BlobFolder

#: Microseconds without a new part after which an upload expires.
KEPT = 7 * 24 * 60 * 60 * 1_000_000
#: Verifications that go on in this process.
_MAX_VERIFICATIONS = 64


class UploadRow(NamedTuple):
    """An upload.

    Attributes:
        id: Its id.
        uuid: Its UUID.
        digest: The SHA-256 of its blob.
        size: The size of its blob in bytes.
        part_size: The size of each part except for the last one.
        updated: When it began or got its last part, in microseconds since 1970.
    """

    id: int
    uuid: str
    digest: str
    size: int
    part_size: int
    updated: int

    @property
    def part_count(self) -> int:
        """The number of its parts."""
        return -(-self.size // self.part_size)

    def offset_of(self, number: int) -> int:
        """Returns the position of a part."""
        return (number - 1) * self.part_size

    def size_of(self, number: int) -> int:
        """Returns the size of a part."""
        return min(self.part_size, self.size - self.offset_of(number))


_SELECT = "SELECT id, uuid, digest, size, part_size, updated FROM uploads"


def path_of(folder: BlobFolder, upload_uuid: str) -> Path:
    """Returns the path of the file of an upload."""
    return folder.parts / f"{upload_uuid}.upload"


def find_upload(
    connection: sqlite3.Connection, project: int, upload_uuid: str, now: int
) -> UploadRow | None:
    """Returns an upload of a project, or None if it does not exist or is expired."""
    return _only(
        connection.execute(
            f"{_SELECT} WHERE uuid = ? AND project = ? AND updated > ?",
            (upload_uuid, project, now - KEPT),
        )
    )


def find_upload_of(connection: sqlite3.Connection, project: int, digest: str) -> UploadRow | None:
    """Returns the upload of a blob, also an expired one, or None without one."""
    return _only(
        connection.execute(f"{_SELECT} WHERE project = ? AND digest = ?", (project, digest))
    )


def _only(rows: Any) -> UploadRow | None:
    row = rows.fetchone()
    return None if row is None else UploadRow._make(row)


def insert_upload(connection: sqlite3.Connection, project: int, upload: UploadRow) -> None:
    """Records an upload; its id is assigned."""
    connection.execute(
        "INSERT INTO uploads (uuid, project, digest, size, part_size, updated) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        (
            upload.uuid,
            project,
            upload.digest,
            upload.size,
            upload.part_size,
            upload.updated,
        ),
    )


def remove_upload(connection: sqlite3.Connection, upload_uuid: str) -> None:
    """Removes an upload; its file has to be removed after the transaction."""
    connection.execute("DELETE FROM uploads WHERE uuid = ?", (upload_uuid,))


def received_parts(connection: sqlite3.Connection, upload: int) -> list[int]:
    """Returns the numbers of the parts that an upload has, in order."""
    rows = connection.execute(
        "SELECT number FROM upload_parts WHERE upload = ? ORDER BY number", (upload,)
    )
    return [number for (number,) in rows]


def has_part(connection: sqlite3.Connection, upload: int, number: int) -> bool:
    """Returns whether an upload has a part."""
    row = connection.execute(
        "SELECT 1 FROM upload_parts WHERE upload = ? AND number = ?", (upload, number)
    ).fetchone()
    return row is not None


def record_part(connection: sqlite3.Connection, upload: int, number: int, now: int) -> None:
    """Records a part, which the disk has."""
    connection.execute(
        "INSERT INTO upload_parts VALUES (?, ?) ON CONFLICT DO NOTHING", (upload, number)
    )
    connection.execute("UPDATE uploads SET updated = ? WHERE id = ?", (now, upload))


class Verification:
    """The SHA-256 of the bytes of an upload that were read so far.

    Attributes:
        position: The number of these bytes.
    """

    def __init__(self) -> None:
        self.position = 0
        self._digest = hashlib.sha256()

    def update(self, piece: bytes) -> None:
        """Takes the next bytes."""
        self._digest.update(piece)
        self.position += len(piece)

    def hexdigest(self) -> str:
        """Returns the SHA-256."""
        return self._digest.hexdigest()


#: By process, since a fork may happen within `update`, and by UUID. Who holds the lock of the file
#: uses the entry.
_verifications: dict[tuple[int, str], Verification] = {}


def verification_of(upload_uuid: str) -> Verification:
    """Returns the verification of an upload that has begun in this process, or a new one."""
    for key in list(_verifications)[:-_MAX_VERIFICATIONS]:
        _verifications.pop(key, None)
    return _verifications.setdefault((os.getpid(), upload_uuid), Verification())


def forget_verification(upload_uuid: str) -> None:
    """Ends the verification of an upload."""
    _verifications.pop((os.getpid(), upload_uuid), None)
