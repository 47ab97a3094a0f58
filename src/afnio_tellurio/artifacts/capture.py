"""Captures the bytes of files: copies them into a folder, hashed in the same pass."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import sys
from dataclasses import dataclass
from operator import attrgetter
from typing import IO, TYPE_CHECKING

from afnio_tellurio.artifact_manifests import ManifestFile
from afnio_tellurio.artifact_paths import check_paths
from afnio_tellurio.artifacts.index import (
    PACK,
    CapturedBlob,
    FileIdentity,
    Index,
    identify,
    remove_captured,
    write_index,
)
from afnio_tellurio.artifacts.opening import ChangedFileError, open_regular, quoted, unreadable
from afnio_tellurio.artifacts.sources import BytesSource, Reference, Source
from afnio_tellurio.files import CREATE, make_private_directory, synchronize
from afnio_tellurio.interruptions import ignored, raise_foreign
from afnio_tellurio.settings.limits import IN_PLACE_BYTES, PACKED_BYTES, PIECE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from pathlib import Path

    from afnio_tellurio.artifacts.sources import AnySource

#: A name that no digest has.
_UNFINISHED = "unfinished"
#: How often a file is read if it changes meanwhile.
_ATTEMPTS = 2
#: Linux's request to share the blocks of another file: a copy that takes neither room nor time.
_FICLONE = 0x40049409


@dataclass(frozen=True, slots=True)
class Captured:
    """Files that were captured.

    Attributes:
        folder: The folder that they are in.
        index: Its content.
        stored: The bytes that were written there; less if the file system shares them.
    """

    folder: Path
    index: Index
    stored: int


def capture(
    sources: Iterable[AnySource],
    folder: Path,
    *,
    in_place_above: int | None = IN_PLACE_BYTES,
    check_room: Callable[[int], None],
) -> Captured:
    """Captures files into a new folder; on return they are on the disk.

    Args:
        sources: The files, with distinct paths in the artifact.
        folder: The folder to create; its parents are created if missing.
        in_place_above: Bytes above which a file is not copied: it is read again when it is
            delivered, and must not change before. None copies all files.
        check_room: Called with the number of bytes before they are written. If a file changes while
            it is read, its bytes count twice. What this function raises ends the capture.

    Raises:
        ChangedFileError: A file changed each time that it was read.
        FileExistsError: The folder exists.
        OSError: A file cannot be read, or the disk does not take the copy.
        ValueError: A path in the artifact is invalid, or a file is not regular.
    """
    sources = list(sources)
    check_paths(source.path_in_artifact for source in sources)
    make_private_directory(folder.parent)
    folder.mkdir(mode=0o700)
    try:
        with contextlib.closing(_Capture(folder, in_place_above, check_room)) as capturing:
            files = [capturing.add(source) for source in sources]
            capturing.synchronize()
        index = Index(sorted(files, key=attrgetter("path")), list(capturing.blobs.values()))
        write_index(folder, index)
    except BaseException:  # raised again: an interrupted call must leave no copies behind
        with ignored(OSError):
            remove_captured(folder)
        raise
    return Captured(folder, index, capturing.stored)


class _Capture:
    """A capture in progress.

    Attributes:
        blobs: The blobs by digest.
        stored: The bytes that were written.
    """

    def __init__(
        self, folder: Path, in_place_above: int | None, check_room: Callable[[int], None]
    ) -> None:
        self.blobs: dict[str, CapturedBlob] = {}
        self.stored = 0
        self._folder = folder
        self._in_place_above = sys.maxsize if in_place_above is None else in_place_above
        self._check_room = check_room
        #: Bytes of the pack that `check_room` has allowed.
        self._allowed = 0
        self._pack: IO[bytes] | None = None
        self._pack_size = 0
        self._buffer = memoryview(bytearray(PIECE_BYTES))

    def close(self) -> None:
        if self._pack is not None:
            # After a failure it may have bytes that a full disk does not take; they are removed.
            with ignored(OSError):
                self._pack.close()

    def add(self, source: AnySource) -> ManifestFile:
        """Captures a source, and returns its entry in the manifest."""
        path = source.path_in_artifact
        if isinstance(source, Reference):
            return ManifestFile(path, source.digest, source.size, reference=source.uri)
        if isinstance(source, BytesSource):
            blob = self._add_bytes(source.data)
            return ManifestFile(path, blob.digest, blob.size)
        for _ in range(_ATTEMPTS):
            added = self._add_file(source)
            if added is not None:
                return ManifestFile(path, added.digest, added.size, executable=source.executable)
        raise ChangedFileError(
            f"{quoted(source.file)} changed while it was read, {_ATTEMPTS} times; log it when "
            "nothing writes to it"
        )

    def synchronize(self) -> None:
        """Returns when the disk has all copies."""
        if self._pack is not None:
            self._pack.flush()
            synchronize(self._pack.fileno())
        # All at the end: the first takes most of the time, whatever follows it.
        for blob in self.blobs.values():
            if blob.at == "file":
                # Windows synchronizes only what is open for writing.
                fd = os.open(self._folder / blob.digest, os.O_RDWR)
                try:
                    synchronize(fd)
                finally:
                    os.close(fd)

    def _add_bytes(self, data: bytes) -> CapturedBlob:
        digest = hashlib.sha256(data).hexdigest()
        if digest not in self.blobs:
            if len(data) <= PACKED_BYTES:
                self._write_to_pack(digest, data)
            else:
                self._check_room(len(data))
                with self._new_file() as fd:
                    _write_all(fd, memoryview(data))
                self._name_file(digest, len(data))
        return self.blobs[digest]

    def _add_file(self, source: Source) -> CapturedBlob | None:
        """Captures a file, and returns None if it changed meanwhile."""
        fd = open_regular(source.file)
        try:
            before = identify(os.fstat(fd))
            if before.size > self._in_place_above:
                return self._add_in_place(source, fd, before)
            if before.size > PACKED_BYTES:
                return self._add_copy(source, fd, before)
            return self._add_small(source, fd, before)
        finally:
            os.close(fd)

    def _add_small(self, source: Source, fd: int, before: FileIdentity) -> CapturedBlob | None:
        data = b"".join(bytes(piece) for piece in self._pieces(source, fd, before.size))
        if len(data) != before.size or identify(os.fstat(fd)) != before:
            return None
        return self._add_bytes(data)

    def _add_copy(self, source: Source, fd: int, before: FileIdentity) -> CapturedBlob | None:
        self._check_room(before.size)
        hasher = hashlib.sha256()
        size = 0
        with self._new_file() as copy:
            is_shared = _share_blocks(fd, copy)
            # From here on, changes of the file do not reach shared blocks.
            is_same = is_shared and identify(os.fstat(fd)) == before
            for piece in self._pieces(source, copy if is_shared else fd, before.size):
                hasher.update(piece)
                size += len(piece)
                if not is_shared:
                    _write_all(copy, piece)
            if not is_shared:
                is_same = identify(os.fstat(fd)) == before
        if not is_same or size != before.size:
            (self._folder / _UNFINISHED).unlink()
            return None
        digest = hasher.hexdigest()
        if digest in self.blobs:
            (self._folder / _UNFINISHED).unlink()
        else:
            self._name_file(digest, size)
        return self.blobs[digest]

    def _add_in_place(self, source: Source, fd: int, before: FileIdentity) -> CapturedBlob | None:
        path = os.path.abspath(source.file)  # noqa: PTH100
        try:
            path.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"the path {quoted(path)} is not valid UTF-8, which is required of a file that is "
                "too large to be copied; rename its folder"
            ) from error
        hasher = hashlib.sha256()
        size = 0
        for piece in self._pieces(source, fd, before.size):
            hasher.update(piece)
            size += len(piece)
        # Of the path: delivery opens that, and another file may be there now.
        if size != before.size or identify(os.lstat(source.file)) != before:
            return None
        digest = hasher.hexdigest()
        if digest not in self.blobs:
            self.blobs[digest] = CapturedBlob(digest, size, f"path:{path}", before)
        return self.blobs[digest]

    def _pieces(self, source: Source, fd: int, size: int) -> Iterator[memoryview]:
        """Reads a file up to its size and a byte more: a file of /proc has more than its size.

        A piece is valid until the next one.
        """
        remaining = size + 1
        reader = io.FileIO(fd, closefd=False)
        while remaining:
            try:
                count = reader.readinto(self._buffer[:remaining])
            except OSError as error:
                raise_foreign(error)
                raise unreadable(source.file, error) from error
            if not count:
                return
            yield self._buffer[:count]
            remaining -= count

    def _write_to_pack(self, digest: str, data: bytes) -> None:
        header = f"{digest} {len(data)}\n".encode()
        wanted = len(header) + len(data)
        if wanted > self._allowed:
            self._check_room(PIECE_BYTES)
            self._allowed = PIECE_BYTES
        self._allowed -= wanted
        if self._pack is None:
            self._pack = open(  # noqa: SIM115
                _create(self._folder / PACK), "wb", buffering=PIECE_BYTES
            )
        self._pack.write(header)
        self._pack.write(data)
        offset = self._pack_size + len(header)
        self._pack_size += wanted
        self.stored += wanted
        self.blobs[digest] = CapturedBlob(digest, len(data), f"pack:{offset}")

    @contextlib.contextmanager
    def _new_file(self) -> Generator[int]:
        fd = _create(self._folder / _UNFINISHED)
        try:
            yield fd
        finally:
            os.close(fd)

    def _name_file(self, digest: str, size: int) -> None:
        (self._folder / _UNFINISHED).rename(self._folder / digest)
        self.stored += size
        self.blobs[digest] = CapturedBlob(digest, size, "file")


def _create(path: Path) -> int:
    # Readable too: a copy whose blocks are shared is hashed by reading it.
    return os.open(path, (CREATE & ~os.O_WRONLY) | os.O_RDWR | os.O_EXCL, 0o600)


def _write_all(fd: int, data: memoryview) -> None:
    """Writes data to a file.

    Raises:
        OSError: The disk has no room for all of it.
    """
    while data:
        # A write that is cut short is followed by one that fails.
        data = data[os.write(fd, data) :]


def _share_blocks(source: int, copy: int) -> bool:
    """Makes a file an exact copy of another without writing it, where the file system can."""
    if sys.platform != "linux":
        return False
    import fcntl

    try:
        fcntl.ioctl(copy, _FICLONE, source)
    except OSError as error:
        raise_foreign(error)
        # Many numbers mean that it cannot; if the disk is broken or full, so is the copy.
        return False
    return True
