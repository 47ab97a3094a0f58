"""The records of a `.wandb` file: the log format of LevelDB, with a header and another checksum.

A file has blocks of 32 KiB. A record is a chunk, or several if it does not fit into the block.
"""

from __future__ import annotations

import struct
from typing import IO, TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator
    from pathlib import Path

_IDENT = b":W&B"
_MAGIC = 0xBEE1
_VERSION = 0
_FILE_HEADER = struct.Struct("<4sHB")
_CHUNK_HEADER = struct.Struct("<IHB")
_BLOCK_BYTES = 32 * 2**10
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
#: Not in files: the last chunk of a file is cut.
_CUT = -1


def has_header(path: Path) -> bool:
    """Returns whether a file starts like a `.wandb` file."""
    with path.open("rb") as file:
        return file.read(len(_IDENT)) == _IDENT


def records_of(path: Path, skipped: Counter[str]) -> Iterator[bytes]:
    """Yields the records of a file.

    Args:
        path: The file.
        skipped: Counts damaged and cut records.

    Raises:
        OSError: It cannot be read.
        ValueError: It is not such a file, or of a newer version.
    """
    with path.open("rb") as file:
        block = file.read(_BLOCK_BYTES)
        if len(block) < _FILE_HEADER.size:
            raise ValueError(f"{path} is not a .wandb file")
        if _FILE_HEADER.unpack_from(block) != (_IDENT, _MAGIC, _VERSION):
            raise ValueError(f"{path} is not a .wandb file of version {_VERSION}")
        record: bytearray | None = None
        is_cut = False
        for kind, data in _chunks_of_file(file, block, skipped):
            if kind == _CUT:
                is_cut = True
            elif kind in (_FULL, _FIRST):
                record = bytearray(data)
            elif record is not None:
                record += data
            if record is not None and kind in (_FULL, _LAST):
                yield bytes(record)
                record = None
        if record is not None or is_cut:
            skipped["cut records"] += 1


def _chunks_of_file(
    file: IO[bytes], block: bytes, skipped: Counter[str]
) -> Iterator[tuple[int, bytes]]:
    start = _FILE_HEADER.size
    while block:
        yield from _chunks(block, start, skipped)
        block, start = file.read(_BLOCK_BYTES), 0


def _chunks(block: bytes, start: int, skipped: Counter[str]) -> Iterator[tuple[int, bytes]]:
    """Yields the types and contents of the chunks of a block, up to one that is damaged."""
    while start + _CHUNK_HEADER.size <= len(block):
        checksum, size, kind = _CHUNK_HEADER.unpack_from(block, start)
        if kind == 0 and size == 0:
            # The rest of the block was never written.
            return
        begin = start + _CHUNK_HEADER.size
        start = begin + size
        if start > len(block):
            if len(block) < _BLOCK_BYTES:
                yield _CUT, b""
            else:
                skipped["damaged records"] += 1
            return
        data = block[begin:start]
        if kind not in (_FULL, _FIRST, _MIDDLE, _LAST) or crc32(data, crc32(bytes([kind]))) != (
            checksum
        ):
            skipped["damaged records"] += 1
            return
        yield kind, data
