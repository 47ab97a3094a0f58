"""The manifest of a version of an artifact, whose SHA-256 is the digest of the version."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable


class ManifestFile(msgspec.Struct, omit_defaults=True, gc=False):
    """A file of a version. The order of the fields is the order in the manifest.

    Attributes:
        path: Its path, see `artifact_paths`.
        digest: The SHA-256 of its bytes in hexadecimal; a file with a reference may lack it.
        size: Its size in bytes; a file with a reference may lack it.
        executable: Whether it can be executed.
        reference: Where the bytes are if the backend does not have them, or None.
    """

    path: str
    digest: str | None = None
    size: int | None = None
    executable: bool = False
    reference: str | None = None


_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(list[ManifestFile])


def encode_manifest(files: Iterable[ManifestFile]) -> bytes:
    """Returns the manifest of files: the same bytes for the same files, in whatever order."""
    # Strings sort by code points, which is the order of their bytes in UTF-8.
    return _encode(sorted(files, key=attrgetter("path")))


def decode_manifest(manifest: bytes) -> list[ManifestFile]:
    """Returns the files of a manifest. Neither their paths nor their values are checked.

    Raises:
        ValueError: The bytes are not those that `encode_manifest` returns for any files.
    """
    try:
        files = _decoder.decode(manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"it is not a manifest: {error}") from error
    if encode_manifest(files) != manifest:
        raise ValueError("it is not encoded as a manifest must be")
    return files
