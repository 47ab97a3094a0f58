"""What an artifact can be made from, before anything is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from pathlib import Path


class Source(NamedTuple):
    """A file on the disk.

    Attributes:
        path_in_artifact: Its path in the artifact, with `/` between its parts.
        file: The absolute path of the file, without symbolic links.
        executable: Whether its owner can execute it.
    """

    path_in_artifact: str
    file: Path
    executable: bool


class BytesSource(NamedTuple):
    """Bytes in memory.

    Attributes:
        path_in_artifact: The path in the artifact, with `/` between its parts.
        data: The bytes.
    """

    path_in_artifact: str
    data: bytes


class Reference(NamedTuple):
    """A file that stays where it is, and is never opened.

    Attributes:
        path_in_artifact: The path in the artifact, with `/` between its parts.
        uri: Where the file is.
        digest: Its SHA-256 in hexadecimal, or None if it is unknown.
        size: Its size in bytes, or None if it is unknown.
    """

    path_in_artifact: str
    uri: str
    digest: str | None = None
    size: int | None = None


AnySource: TypeAlias = Source | BytesSource | Reference
