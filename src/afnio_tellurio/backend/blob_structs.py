"""The bodies of requests and responses about blobs and uploads, see `structs`."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from afnio_tellurio.backend.structs import ErrorCode

#: The contract's pattern of a SHA-256.
DIGEST_PATTERN = "[0-9a-f]{64}"
MAX_BLOBS = 1000

_INT64 = {"format": "int64"}
Digest = Annotated[str, Meta(pattern=f"^{DIGEST_PATTERN}$")]


class BlobReference(Struct):
    """A blob in the body of checkBlobs."""

    digest: Digest
    size: Annotated[int, Meta(ge=0, extra_json_schema=_INT64)]


class BlobCheck(Struct):
    """The body of checkBlobs."""

    blobs: Annotated[list[BlobReference], Meta(min_length=1, max_length=MAX_BLOBS)]


class UploadCreate(Struct):
    """The body of createUpload."""

    digest: Digest
    size: Annotated[int, Meta(ge=1, extra_json_schema=_INT64)]


class MissingBlobs(Struct):
    """The response of checkBlobs."""

    missing: list[str]


class MissingBlobsError(Struct):
    """The response to a request that refers to blobs that the project does not have."""

    detail: str
    missing: list[str]
    code: ErrorCode = ErrorCode.BLOBS_MISSING


class Upload(Struct):
    """An upload in a response."""

    uuid: str
    digest: str
    size: int
    part_size: int
    received: list[int]
