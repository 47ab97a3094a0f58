"""The layout of a bundle: the names of its members, and what `run.json` and manifests hold.

A bundle is a zip whose members are stored, not compressed: Parquet and most blobs are compressed
already, and a small file cannot expand to a large one.
"""

import datetime as dt
import re
from typing import Any
from uuid import UUID

import msgspec

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

    kind: str
    type: str | None = None
    message: str | None = None
    traceback: str | None = None
    signal: str | None = None


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
    tags: list[str] = []
    group: str | None = None
    job_type: str | None = None
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

    artifact: str
    digest: str


class BundledFile(msgspec.Struct):
    """A file of the run; its bytes are in `files/`."""

    path: str
    kind: str
    step: int | None
    size: int
    digest: str
    content_type: str | None
    timestamp: dt.datetime


class BundledVersionFile(msgspec.Struct, omit_defaults=True):
    """A file of a version; its bytes are in `artifacts/blobs/`, unless it is a reference."""

    path: str
    size: int | None
    digest: str | None
    executable: bool = False
    reference: str | None = None


class BundledVersion(msgspec.Struct):
    """A manifest: a version that the run created, and its files."""

    uuid: str
    artifact: str
    version: str
    type: str
    description: str | None
    metadata: dict[str, Any]
    aliases: list[str]
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
