"""Removes blobs that no file refers to, in slices, and checks those that are kept.

A blob that is not used for a day loses its row. If no project has a blob with its digest any more,
the same transaction lists the digest in `blob_removals`. A later one checks that again, moves the
file away under the lock of the database, and removes it later, since a large one takes a while.
Who stores a blob moves its file to its place first, and looks for it in the transaction of its row.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from afnio_tellurio.backend.store.blob_files import (
    MAX_IN_ROW,
    BlobFolder,
    discard,
    pieces_of,
    reporting_disk,
)
from afnio_tellurio.backend.store.connections import gate
from afnio_tellurio.backend.store.uploads import KEPT as UPLOAD_KEPT
from afnio_tellurio.backend.store.uploads import path_of as path_of_upload
from afnio_tellurio.clock import monotonic
from afnio_tellurio.interruptions import ignored, raise_foreign

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator

    from afnio_tellurio.backend.store.database import Database

#: Microseconds for which an unused blob, and a file without a row, are kept.
GRACE = 24 * 60 * 60 * 1_000_000
#: Blobs, files and uploads that one transaction removes.
SLICE = 200
#: Seconds between two slices, see `removal`.
_PAUSE = 0.03
#: Rows that one transaction reads to check them.
_PAGE = 500

_DIGEST = re.compile("[0-9a-f]{64}")
_UNUSED = """
unused_since <= :expired AND NOT EXISTS (SELECT 1 FROM artifact_files WHERE blob = blobs.id)
AND NOT EXISTS (SELECT 1 FROM run_files WHERE blob = blobs.id)
"""
_IS_ANYTHING = """
SELECT EXISTS (SELECT 1 FROM blobs WHERE unused_since <= :expired)
OR EXISTS (SELECT 1 FROM blob_removals) OR EXISTS (SELECT 1 FROM uploads WHERE updated <= :stale)
"""
_COUNT_BLOBS = f"SELECT count(*), coalesce(sum(length(data)), 0) FROM blobs WHERE {_UNUSED}"  # noqa: S608 - constants
_COUNT_UPLOADS = "SELECT count(*) FROM uploads WHERE updated <= :stale"
#: For digests: 1 if a project needs the file, and 0 if it is known that none does.
_NEEDED = f"""
WITH given AS (SELECT value AS digest FROM json_each(:digests))
SELECT digest, max(NOT coalesce({_UNUSED}, 0)) FROM given JOIN blobs USING (digest) GROUP BY digest
UNION ALL
SELECT digest, 0 FROM given JOIN blob_removals USING (digest)
WHERE NOT EXISTS (SELECT 1 FROM blobs WHERE digest = given.digest)
"""  # noqa: S608 - constants


class Removed(NamedTuple):
    """What was removed, or would be.

    Attributes:
        blobs: Blobs of projects that no file refers to.
        files: Files of blobs, also those that no project has.
        uploads: Uploads that expired.
        parts: Files that never became a blob.
        bytes: The bytes on the disk of all of them.
    """

    blobs: int
    files: int
    uploads: int
    parts: int
    bytes: int


class BlobProblem(NamedTuple):
    """A blob that cannot be read as it was stored.

    Attributes:
        digest: Its SHA-256.
        problem: What is wrong.
    """

    digest: str
    problem: str


def remove_some(database: Database, *, seconds: float = 0.0) -> bool:
    """Removes one slice of what is not kept, and more for up to this many seconds.

    Returns:
        Whether there was something to remove.
    """
    if not _is_anything(database):
        return False
    give_up_at = monotonic() + seconds
    while _remove_slice(database) and monotonic() < give_up_at:
        # Another program that waits for the lock finds it free once.
        gate.pass_through(_PAUSE)
    return True


def _remove_slice(database: Database) -> bool:
    """Removes up to `SLICE` blobs, uploads and files; returns whether there is more to remove."""
    folder = BlobFolder(database.path)
    with database.writing() as connection:
        _forget_blobs(connection)
        uploads = _forget_uploads(connection)
    for upload_uuid in uploads:
        discard(path_of_upload(folder, upload_uuid))
    with database.writing() as connection, reporting_disk(folder):
        moved = _move_files(connection, folder)
    for path in moved:
        discard(path)
    return _is_anything(database)


def _is_anything(database: Database) -> bool:
    with database.reading() as connection:
        (is_anything,) = connection.execute(_IS_ANYTHING, _times()).fetchone()
    return bool(is_anything)


def _times() -> dict[str, int]:
    now = time.time_ns() // 1000
    return {"expired": now - GRACE, "stale": now - UPLOAD_KEPT}


def _forget_blobs(connection: sqlite3.Connection) -> None:
    """Removes rows of blobs, and lists the digests of files that nobody may need."""
    # A blob that a file refers to is used, whatever its row says.
    rows = connection.execute(
        f"SELECT id, digest, size, {_UNUSED} FROM blobs WHERE unused_since <= :expired "  # noqa: S608 - constants
        "ORDER BY unused_since LIMIT :limit",
        {**_times(), "limit": SLICE},
    ).fetchall()
    connection.executemany(
        "UPDATE blobs SET unused_since = NULL WHERE id = ?",
        [(blob,) for blob, _, _, is_unused in rows if not is_unused],
    )
    unused = [row for row in rows if row[3]]
    connection.executemany("DELETE FROM blobs WHERE id = ?", [(blob,) for blob, *_ in unused])
    connection.executemany(
        "INSERT INTO blob_removals SELECT :digest WHERE NOT EXISTS "
        "(SELECT 1 FROM blobs WHERE digest = :digest) ON CONFLICT DO NOTHING",
        [{"digest": digest} for _, digest, size, _ in unused if size > MAX_IN_ROW],
    )


def _forget_uploads(connection: sqlite3.Connection) -> list[str]:
    """Removes rows of expired uploads; returns their UUIDs."""
    rows = connection.execute(
        "SELECT uuid FROM uploads WHERE updated <= :stale LIMIT :limit",
        {**_times(), "limit": SLICE},
    ).fetchall()
    connection.executemany("DELETE FROM uploads WHERE uuid = ?", rows)
    return [upload_uuid for (upload_uuid,) in rows]


def _move_files(connection: sqlite3.Connection, folder: BlobFolder) -> list[Path]:
    """Moves files that no blob has away from their places; returns where they are."""
    digests = connection.execute("SELECT digest FROM blob_removals LIMIT ?", (SLICE,)).fetchall()
    moved: list[Path] = []
    for (digest,) in digests:
        if _has_row(connection, digest):
            continue
        path = folder.new_part("removed")
        try:
            folder.path_of(digest).replace(path)
        except FileNotFoundError as error:
            raise_foreign(error)
            # A crash came between moving it and the end of the transaction.
            continue
        moved.append(path)
    connection.executemany("DELETE FROM blob_removals WHERE digest = ?", digests)
    return moved


def _has_row(connection: sqlite3.Connection, digest: str) -> bool:
    row = connection.execute("SELECT 1 FROM blobs WHERE digest = ? LIMIT 1", (digest,)).fetchone()
    return row is not None


def remove_stale_parts(database: Database) -> None:
    """Removes what crashes left of files that are not complete."""
    folder = BlobFolder(database.path)
    with reporting_disk(folder):
        for part in _stale_parts(database, folder):
            discard(part.path)


def remove_all(database: Database, *, dry_run: bool = False) -> Removed:
    """Removes everything that is not kept, also what crashes left in the folder.

    Args:
        database: The database.
        dry_run: Whether only to count it.

    Raises:
        DatabaseError: The folder cannot be used.
    """
    folder = BlobFolder(database.path)
    with database.reading() as connection:
        blobs, in_rows = connection.execute(_COUNT_BLOBS, _times()).fetchone()
        (uploads,) = connection.execute(_COUNT_UPLOADS, _times()).fetchone()
    with reporting_disk(folder):
        files, parts = list(_unneeded_files(database, folder)), _stale_parts(database, folder)
    size = in_rows + sum(file.size for file in files + parts)
    if not dry_run:
        _list_for_removal(database, [file.path.name for file in files])
        while remove_some(database):
            pass
        remove_stale_parts(database)
    return Removed(blobs, len(files), uploads, len(parts), size)


def _list_for_removal(database: Database, digests: list[str]) -> None:
    for start in range(0, len(digests), _PAGE):
        with database.writing() as connection:
            connection.executemany(
                "INSERT INTO blob_removals VALUES (?) ON CONFLICT DO NOTHING",
                [(digest,) for digest in digests[start : start + _PAGE]],
            )


class _File(NamedTuple):
    """A file in the folder.

    Attributes:
        path: Its path.
        size: Its size in bytes.
        changed: When it got its name, its mode or its content, in microseconds since 1970.
    """

    path: Path
    size: int
    changed: int


def _files_in(path: Path) -> list[_File]:
    """Returns the files in a folder; none if it is missing."""
    files: list[_File] = []
    with ignored(FileNotFoundError), os.scandir(path) as entries:
        for entry in entries:
            # Another process may remove it meanwhile.
            with ignored(FileNotFoundError):
                if entry.is_file(follow_symlinks=False):
                    status = entry.stat(follow_symlinks=False)
                    changed = max(status.st_mtime_ns, status.st_ctime_ns) // 1000
                    files.append(_File(Path(entry.path), status.st_size, changed))
    return files


def _stale_parts(database: Database, folder: BlobFolder) -> list[_File]:
    """Returns the files in `.part` that nobody uses any more."""
    times = _times()
    files = _files_in(folder.parts)
    if not files:
        return []
    with database.reading() as connection:
        rows = connection.execute("SELECT uuid, updated > :stale FROM uploads", times).fetchall()
    is_kept = {path_of_upload(folder, upload_uuid): kept for upload_uuid, kept in rows}
    return [
        file
        for file in files
        if file.path.suffix == ".removed"
        or not is_kept.get(file.path, file.changed > times["expired"])
    ]


def _unneeded_files(database: Database, folder: BlobFolder) -> Iterator[_File]:
    """Yields the files of blobs that no project needs."""
    expired = _times()["expired"]
    for number in range(256):
        files = [
            file
            for file in _files_in(folder.path / f"{number:02x}")
            if _DIGEST.fullmatch(file.path.name)
        ]
        for start in range(0, len(files), _PAGE):
            page = files[start : start + _PAGE]
            digests = json.dumps([file.path.name for file in page])
            with database.reading() as connection:
                rows = connection.execute(_NEEDED, {"digests": digests, **_times()}).fetchall()
            is_needed: dict[str, int] = dict(rows)
            for file in page:
                if not is_needed.get(file.path.name, file.changed > expired):
                    yield file


def verify(database: Database) -> Iterator[BlobProblem]:
    """Reads every blob, and yields the problems of those that are not as they were stored.

    Raises:
        DatabaseError: The folder cannot be read.
    """
    folder, after, checked = BlobFolder(database.path), ("", 0), ""
    while True:
        with database.reading() as connection:
            page = connection.execute(
                "SELECT digest, id, size, data FROM blobs WHERE (digest, id) > (?, ?) "
                "ORDER BY digest, id LIMIT ?",
                (*after, _PAGE),
            ).fetchall()
        if not page:
            return
        for digest, blob, size, data in page:
            after = (digest, blob)
            problem = None
            if size <= MAX_IN_ROW:
                problem = _problem_of(digest, size, len(data or b""), [data or b""])
            elif digest != checked:
                # Projects share the file.
                checked = digest
                problem = _problem_of_file(folder, digest, size)
            if problem is not None and _is_row(database, blob):
                yield BlobProblem(digest, problem)


def _problem_of_file(folder: BlobFolder, digest: str, size: int) -> str | None:
    with reporting_disk(folder):
        try:
            file = folder.open(digest)
        except FileNotFoundError as error:
            raise_foreign(error)
            return "its file is missing"
        with file:
            return _problem_of(digest, size, os.fstat(file.fileno()).st_size, pieces_of(file))


def _problem_of(digest: str, size: int, length: int, pieces: Iterable[bytes]) -> str | None:
    if length != size:
        return f"it has {length} bytes, not {size}"
    content = hashlib.sha256()
    for piece in pieces:
        content.update(piece)
        # A fork does not have to wait for this.
        gate.pass_through()
    return None if content.hexdigest() == digest else "its bytes have another SHA-256"


def _is_row(database: Database, blob: int) -> bool:
    """Returns whether a blob still exists: its file may have been removed meanwhile."""
    with database.reading() as connection:
        row = connection.execute("SELECT 1 FROM blobs WHERE id = ?", (blob,)).fetchone()
    return row is not None
