"""The layout of a bundle: the names of its members, and what `run.json` and manifests hold.

A bundle is a zip whose members are stored, not compressed: Parquet and most blobs are compressed
already, and a small file cannot expand to a large one.

What a backend would refuse is invalid here too: so nothing is recorded of a bundle that it refuses.
"""

import datetime as dt
import re
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from afnio_tellurio.api.artifact_entities import ARTIFACT_NAME
from afnio_tellurio.settings.limits import (
    MAX_ARTIFACT_TYPE,
    MAX_DESCRIPTION,
    MAX_END_TEXT,
    MAX_END_TYPE,
    MAX_NAME_LENGTH,
    MAX_REFERENCE,
    MAX_REFERENCE_BYTES,
    MAX_STEP,
    MAX_TAGS,
)

#: The version of the format.
FORMAT = 1
KIND = "afnio-tellurio run"
RUN = "run.json"
METRICS = "metrics.parquet"
#: The name of each member that a bundle may have.
MEMBER = re.compile(
    r"run\.json|metrics\.parquet|tables/\d{4,9}\.ndjson|artifacts/\d{4,9}\.json"
    r"|(?:artifacts/blobs|files)/[0-9a-f]{64}"
)
#: Bytes of `run.json` and of a manifest.
MAX_JSON_BYTES = 64 * 2**20
#: The columns of `metrics.parquet` and their types.
COLUMNS = {
    "name": "string",
    "step": "int64",
    "value": "double",
    "json": "string",
    "timestamp": "timestamp[us, tz=UTC]",
}

_Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME_LENGTH)]
_ArtifactName = Annotated[str, Meta(pattern=rf"\A(?:{ARTIFACT_NAME.pattern})\Z")]
_Word = Annotated[str, Meta(min_length=1, max_length=MAX_ARTIFACT_TYPE)]
_EndWord = Annotated[str, Meta(max_length=MAX_ARTIFACT_TYPE)]
_EndText = Annotated[str, Meta(max_length=MAX_END_TEXT)]
_Digest = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
_Size = Annotated[int, Meta(ge=0, le=MAX_REFERENCE_BYTES)]


def table_member(number: int) -> str:
    """The name of the member with the rows of a table."""
    return f"tables/{number:04}.ndjson"


def version_member(number: int) -> str:
    """The name of the member with the manifest of a version."""
    return f"artifacts/{number:04}.json"


def blob_member(digest: str) -> str:
    """The name of the member with the bytes of files of versions."""
    return f"artifacts/blobs/{digest}"


def file_member(digest: str) -> str:
    """The name of the member with the bytes of files of the run."""
    return f"files/{digest}"


class BundledEnd(msgspec.Struct, omit_defaults=True):
    """Why the run ended."""

    kind: _EndWord
    type: Annotated[str, Meta(max_length=MAX_END_TYPE)] | None = None
    message: _EndText | None = None
    traceback: _EndText | None = None
    signal: _EndWord | None = None


class BundledRun(msgspec.Struct, kw_only=True):
    """What the run is beside its metrics, tables and files."""

    uuid: UUID
    name: str
    description: str | None = None
    status: str
    namespace: str | None = None
    project: str | None = None
    project_name: str | None = None
    username: str | None = None
    date_created: dt.datetime | None = None
    date_ended: dt.datetime | None = None
    ended_because: BundledEnd | None = None
    config: dict[str, Any] = {}
    tags: Annotated[list[_Name], Meta(max_length=MAX_TAGS)] = []
    group: _Name | None = None
    job_type: _Name | None = None
    notes: str | None = None
    parent_uuid: UUID | None = None
    environment: dict[str, Any] = {}


class BundledTable(msgspec.Struct):
    """A table; its rows are in `tables/`."""

    name: str
    key: str | None
    rows: int


class BundledRow(msgspec.Struct):
    """A line of a member in `tables/`."""

    timestamp: dt.datetime
    row: dict[str, Any]


class BundledInput(msgspec.Struct):
    """A version that the run used."""

    artifact: _ArtifactName
    digest: _Digest


class BundledFile(msgspec.Struct):
    """A file of the run; its bytes are in `files/`."""

    path: str
    kind: _Word
    step: Annotated[int, Meta(ge=0, le=MAX_STEP)] | None
    size: _Size
    digest: _Digest
    content_type: Annotated[str, Meta(max_length=255)] | None
    timestamp: dt.datetime


class BundledVersionFile(msgspec.Struct, omit_defaults=True):
    """A file of a version; its bytes are in `artifacts/blobs/`, unless it is a reference."""

    path: str
    size: _Size | None
    digest: _Digest | None
    executable: bool = False
    reference: Annotated[str, Meta(min_length=1, max_length=MAX_REFERENCE)] | None = None


class BundledVersion(msgspec.Struct):
    """A manifest: a version that the run created, and its files."""

    uuid: str
    artifact: _ArtifactName
    version: str
    type: _Word
    description: Annotated[str, Meta(max_length=MAX_DESCRIPTION)] | None
    metadata: dict[str, Any]
    aliases: Annotated[list[_ArtifactName], Meta(max_length=MAX_TAGS)]
    files: list[BundledVersionFile]


class Contents(msgspec.Struct):
    """The content of `run.json`."""

    kind: str
    format: int
    run: BundledRun
    metrics: int
    tables: list[BundledTable]
    versions: int
    inputs: list[BundledInput]
    files: list[BundledFile]
