"""Stores the bytes of blobs, in rows or files, and then records them."""

from __future__ import annotations

import hashlib
import itertools
import os
import stat
import time
from typing import TYPE_CHECKING, Self

from afnio_tellurio.backend.store.blob_files import (
    MAX_IN_ROW,
    BlobFolder,
    discard,
    make_unchangeable,
    pieces_of,
    reporting_disk,
)
from afnio_tellurio.backend.store.blobs import NewBlob, record_blobs
from afnio_tellurio.backend.store.projects import find_namespace, find_project
from afnio_tellurio.errors import DatabaseError
from afnio_tellurio.interruptions import raise_foreign

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable
    from pathlib import Path

    from afnio_tellurio.backend.store.database import Database


class WrongDigestError(ValueError):
    """The bytes of a blob do not have its SHA-256."""


class BlobWriter:
    """Writes blobs for one transaction. Temporary files are removed at its end.

    Args:
        database: The database.
    """

    def __init__(self, database: Database) -> None:
        self._folder = BlobFolder(database.path)
        self._blobs: dict[str, NewBlob] = {}
        self._files: dict[str, Path] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for path in self._files.values():
            discard(path)

    def add(self, digest: str, pieces: Iterable[bytes]) -> None:
        """Takes the bytes of a blob; a large one is on the disk when this returns.

        Raises:
            WrongDigestError: The bytes have another SHA-256.
            DatabaseError: The disk does not take them.
        """
        head, pieces = b"", iter(pieces)
        while len(head) <= MAX_IN_ROW and (piece := next(pieces, b"")):
            head += piece
        if len(head) <= MAX_IN_ROW:
            if hashlib.sha256(head).hexdigest() != digest:
                raise WrongDigestError("the bytes have another SHA-256")
            self._blobs[digest] = NewBlob(digest, len(head), head)
            return
        with reporting_disk(self._folder):
            written = self._folder.write(itertools.chain([head], pieces))
        if written.digest != digest:
            discard(written.path)
            raise WrongDigestError("the bytes have another SHA-256")
        self._take(digest, written.size, written.path)

    def add_file(self, path: Path, digest: str, size: int) -> None:
        """Takes a file with these bytes, which never changes: by another link to it, or a copy.

        Raises:
            ValueError: It is not a regular file of this size.
            WrongDigestError: It had to be read, and has another SHA-256.
            DatabaseError: The disk does not take it.
        """
        with reporting_disk(self._folder):
            status = os.lstat(path)
            if not stat.S_ISREG(status.st_mode) or status.st_size != size:
                raise ValueError(f"{path} is not a file of {size} bytes")
            if size > MAX_IN_ROW and (link := self._linked(path)):
                self._take(digest, size, link)
                return
            with path.open("rb", buffering=0) as file:
                self.add(digest, pieces_of(file))

    def add_upload(self, path: Path, digest: str, size: int) -> None:
        """Takes the file of an upload with these bytes, by another link to it if there are links.

        Raises:
            DatabaseError: The disk does not take it.
        """
        with reporting_disk(self._folder):
            if size <= MAX_IN_ROW:
                self.add(digest, [path.read_bytes()])
                return
            self._take(digest, size, self._linked(path) or path)

    def _linked(self, path: Path) -> Path | None:
        """Returns a temporary link to a file, which becomes unchangeable; None without links."""
        link = self._folder.new_part()
        try:
            os.link(path, link)
        except OSError as error:
            raise_foreign(error)
            # Another disk, or one that has no links.
            return None
        try:
            make_unchangeable(link)
        except BaseException:  # raised again: what is not complete must not stay
            discard(link)
            raise
        return link

    def _take(self, digest: str, size: int, path: Path) -> None:
        if digest in self._files:
            discard(path)
            return
        self._files[digest] = path
        self._blobs[digest] = NewBlob(digest, size, None)

    def place(self) -> None:
        """Moves the files to their places. Call it before the transaction of `record`."""
        with reporting_disk(self._folder):
            self._folder.place(self._files)
        self._files.clear()

    def record(self, connection: sqlite3.Connection, project: int) -> None:
        """Records the blobs in a project.

        Raises:
            DatabaseError: Another process has just removed one of them.
        """
        with reporting_disk(self._folder):
            for blob in self._blobs.values():
                if blob.data is None and not self._folder.has(blob.digest, blob.size):
                    raise DatabaseError(
                        f"the blob {blob.digest} was removed while it was stored; store it again"
                    )
        record_blobs(connection, project, self._blobs.values(), time.time_ns() // 1000)


def adopt_files(
    database: Database, project_of: tuple[str, str], files: Iterable[tuple[Path, str, int]]
) -> None:
    """Stores files, which never change, as blobs: by other links to them, or copies.

    Args:
        database: The database.
        project_of: The slugs of the namespace and the project.
        files: Each with the SHA-256 and the number of its bytes.

    Raises:
        LookupError: The project does not exist.
        ValueError: One is not a regular file of this size, or its bytes have another SHA-256.
        DatabaseError: The disk does not take them.
    """
    with database.reading() as connection:
        _project(connection, project_of)
    with BlobWriter(database) as writer:
        for path, digest, size in files:
            writer.add_file(path, digest, size)
        writer.place()
        with database.writing() as connection:
            writer.record(connection, _project(connection, project_of))


def _project(connection: sqlite3.Connection, slugs: tuple[str, str]) -> int:
    namespace = find_namespace(connection, slugs[0])
    project = find_project(connection, namespace, slugs[1])
    if project is None:
        raise LookupError(f"the project {slugs[0]}/{slugs[1]} does not exist")
    return project
