"""The bodies of requests and responses about artifacts and files of runs, see `structs`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from uuid import UUID  # noqa: TC003 - msgspec reads the annotation

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from afnio_tellurio.backend.blob_structs import Digest  # noqa: TC001 - msgspec reads the annotation
from afnio_tellurio.backend.structs import (  # noqa: TC001 - msgspec reads the annotations
    RawObject,
    Step,
    Time,
)

#: The contract's pattern of the name of an artifact, and of an alias.
NAME_PATTERN = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
#: Files in one request; more are in a manifest.
MAX_FILES = 1000
MAX_ALIASES = 100

_INT64 = {"format": "int64"}
_Name = Annotated[str, Meta(pattern=f"^{NAME_PATTERN}$")]
_Word = Annotated[str, Meta(min_length=1, max_length=64)]
_Path = Annotated[str, Meta(min_length=1, max_length=1024)]
_Size = Annotated[int, Meta(ge=0, extra_json_schema=_INT64)]
_Version = Annotated[str, Meta(min_length=1, max_length=128)]


class ArtifactDirection(StrEnum):
    """How a run is connected with a version."""

    INPUT = "input"
    OUTPUT = "output"


class ArtifactFile(Struct, omit_defaults=True):
    """A file of a version, in a request or a response."""

    path: _Path
    digest: Digest | UnsetType = UNSET
    size: _Size | UnsetType = UNSET
    executable: bool = False
    reference: Annotated[str, Meta(min_length=1, max_length=8192)] | UnsetType = UNSET


class ArtifactVersionCreate(Struct):
    """The body of createArtifactVersion."""

    type: _Word
    files: Annotated[list[ArtifactFile], Meta(max_length=MAX_FILES)] | UnsetType = UNSET
    manifest_digest: Digest | UnsetType = UNSET
    description: Annotated[str, Meta(max_length=65536)] | None = None
    metadata: RawObject | UnsetType = UNSET
    aliases: Annotated[list[_Name], Meta(max_length=MAX_ALIASES)] = []
    keep: Annotated[int, Meta(ge=1, extra_json_schema=_INT64)] | UnsetType = UNSET
    run_uuid: UUID | None = None


class AliasSet(Struct):
    """The body of setArtifactAlias."""

    version: _Version


class ArtifactUse(Struct):
    """The body of useArtifact."""

    artifact: _Name
    version: _Version


class RunFileCreate(Struct):
    """The body of logRunFile."""

    path: _Path
    kind: _Word
    digest: Digest
    step: Step | None = None
    content_type: Annotated[str, Meta(max_length=255)] | None = None
    timestamp: Time | UnsetType = UNSET


class Artifact(Struct):
    """An artifact in a response."""

    name: str
    type: str
    latest: str | None
    version_count: int
    size: int
    date_created: str
    date_updated: str


class ArtifactVersion(Struct):
    """A version of an artifact in a response."""

    uuid: str
    artifact: str
    type: str
    version: str
    digest: str
    size: int
    file_count: int
    date_created: str
    aliases: list[str]
    description: str | None
    metadata: Raw
    run_uuid: str | None


class RunArtifact(Struct):
    """A version that a run created or used in a response."""

    direction: str
    artifact: str
    version: str
    type: str
    digest: str
    size: int
    timestamp: str


class ArtifactRun(Struct):
    """A run that created or used a version in a response."""

    direction: str
    run_uuid: str
    run_name: str
    timestamp: str


class RunFile(Struct):
    """A file of a run in a response."""

    path: str
    kind: str
    digest: str
    size: int
    step: int | None
    content_type: str | None
    timestamp: str
