"""The bodies of requests and responses, written independently of the generated client.

That way, a mistake of the generator can't cancel itself out. A test compares these structs with
the contract.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID  # noqa: TC003 - msgspec reads the annotation

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from afnio_tellurio.clock import RealDatetime

MAX_STEP = 2**63 - 1
MAX_BATCH = 1000
MAX_COLUMN = 10_000
MAX_TAGS = 100
#: The contract's patterns of path and query parameters.
SLUG_PATTERN = "[-a-zA-Z0-9_]+"
UUID_PATTERN = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"

# At least one character that isn't white space, spelled out: `\s` differs between regex engines.
_VISIBLE = r"[^\t-\r\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"
Name = Annotated[str, Meta(min_length=1, max_length=255, pattern=_VISIBLE)]
DisplayName = Annotated[str, Meta(min_length=1, max_length=255)]
#: The name of a field of a row.
RowKey = Annotated[str, Meta(min_length=1, max_length=255)]
#: What JSON Schema cannot derive from the bounds.
_INT64 = {"format": "int64"}
Step = Annotated[int, Meta(ge=0, le=MAX_STEP, extra_json_schema=_INT64)]
Time = Annotated[RealDatetime, Meta(tz=True)]
#: Tags in one request.
Tags = Annotated[list[Name], Meta(max_length=MAX_TAGS)]
#: An object whose values stay raw JSON, so that their numbers are stored exactly.
RawObject = dict[str, Raw]


class Visibility(StrEnum):
    """Who may see a project."""

    TEAM = "TEAM"
    RESTRICTED = "RESTRICTED"
    PUBLIC = "PUBLIC"
    OPEN = "OPEN"


class RunStatus(StrEnum):
    """The state of a run."""

    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    CRASHED = "CRASHED"
    FAILED = "FAILED"


class ErrorCode(StrEnum):
    """The words for programs in errors."""

    INVALID = "invalid"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    SLUG_TAKEN = "slug_taken"
    RUN_DELETED = "run_deleted"
    UUID_TAKEN = "uuid_taken"
    KEY_TAKEN = "key_taken"
    SEQUENCE_GAP = "sequence_gap"
    BLOBS_MISSING = "blobs_missing"
    TYPE_TAKEN = "type_taken"
    UPLOAD_INCOMPLETE = "upload_incomplete"
    VERSION_ALIASED = "version_aliased"
    PRECONDITION_FAILED = "precondition_failed"
    TOO_LARGE = "too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    RANGE_NOT_SATISFIABLE = "range_not_satisfiable"
    NOT_IMPLEMENTED = "not_implemented"
    UNAVAILABLE = "unavailable"


class ProjectCreate(Struct):
    """The body of createProject."""

    display_name: DisplayName
    visibility: Visibility = Visibility.TEAM


class RunCreate(Struct):
    """The body of createRun."""

    uuid: UUID | UnsetType = UNSET
    date_created: Time | UnsetType = UNSET
    name: Name | UnsetType = UNSET
    description: str | None = None
    status: RunStatus = RunStatus.RUNNING
    config: RawObject = {}
    tags: Tags = []
    group: Name | None = None
    job_type: Name | None = None
    notes: str | None = None
    parent_uuid: UUID | None = None


_Kind = Annotated[str, Meta(max_length=64)]
_ErrorType = Annotated[str, Meta(max_length=1024)]
_ErrorText = Annotated[str, Meta(max_length=16384)]


class EndReason(Struct):
    """Why a run ended, in a request or a response."""

    kind: _Kind
    type: _ErrorType | None = None
    message: _ErrorText | None = None
    traceback: _ErrorText | None = None
    signal: _Kind | None = None


class RunUpdate(Struct):
    """The body of updateRun."""

    status: RunStatus | UnsetType = UNSET
    name: Name | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    config_patch: RawObject | UnsetType = UNSET
    config_changed: Time | UnsetType = UNSET
    add_tags: Tags = []
    remove_tags: Tags = []
    group: Name | UnsetType | None = UNSET
    job_type: Name | UnsetType | None = UNSET
    notes: str | UnsetType | None = UNSET
    environment: RawObject | UnsetType = UNSET
    date_ended: Time | UnsetType = UNSET
    ended_because: EndReason | UnsetType | None = UNSET


class MetricCreate(Struct):
    """The body of logMetric. The value stays raw JSON so that it is stored exactly."""

    name: Name
    value: Raw
    step: Step | UnsetType = UNSET
    timestamp: Time | UnsetType = UNSET
    is_row: bool = False
    row_key: RowKey | UnsetType = UNSET


class MetricBatch(Struct):
    """The body of logMetricBatch."""

    writer: UUID
    first_sequence_number: Annotated[
        int, Meta(ge=0, le=MAX_STEP - MAX_BATCH, extra_json_schema=_INT64)
    ]
    metrics: Annotated[list[MetricCreate], Meta(min_length=1, max_length=MAX_BATCH)]


_Index = Annotated[int, Meta(ge=0, le=MAX_COLUMN - 1, extra_json_schema=_INT64)]
#: Microseconds since 1970, in the years 1 to 9999.
_Microseconds = Annotated[
    int, Meta(ge=-62_135_596_800_000_000, le=253_402_300_799_999_999, extra_json_schema=_INT64)
]
_Column = Meta(min_length=1, max_length=MAX_COLUMN)


class MetricBatchColumns(Struct):
    """The body of logMetricBatch in columns. The values stay raw JSON."""

    writer: UUID
    first_sequence_number: Annotated[
        int, Meta(ge=0, le=MAX_STEP - MAX_COLUMN, extra_json_schema=_INT64)
    ]
    names: Annotated[list[Name], _Column]
    name: Annotated[list[_Index], _Column]
    value: Annotated[list[Raw], _Column]
    timestamp: Annotated[list[_Microseconds], _Column]
    step: Annotated[list[Step | None], _Column] | UnsetType = UNSET
    is_row: Annotated[list[bool], _Column] | UnsetType = UNSET
    row_key: Annotated[list[RowKey | None], _Column] | UnsetType = UNSET


class ApiKeyOwner(Struct):
    """The response of verifyApiKey."""

    email: str
    username: str
    message: str


class Namespace(Struct):
    """A namespace in a response."""

    uuid: str
    slug: str
    display_name: str


class Project(Struct):
    """A project in a response."""

    uuid: str
    display_name: str
    slug: str
    date_created: str
    last_run_date: str | None
    visibility: str
    role: str
    org_uuid: str
    org_display_name: str
    org_slug: str
    run_counts: dict[str, int]
    last_activity: str | None
    runs_per_day: list[int]


class RunProject(Struct):
    """The project of a run in a response."""

    uuid: str
    display_name: str
    slug: str


class RunUser(Struct):
    """The user of a run in a response."""

    uuid: str
    username: str
    slug: str


class Run(Struct):
    """A run in a response."""

    uuid: str
    name: str
    description: str | None
    status: str
    date_created: str
    date_updated: str
    etag: str
    project: RunProject
    user: RunUser
    config: Raw
    tags: list[str]
    group: str | None
    job_type: str | None
    notes: str | None
    parent_uuid: str | None
    date_ended: str | None
    #: Raw JSON of an `EndReason` or of null.
    ended_because: Raw
    environment: Raw | UnsetType


class TrashedItem(Struct):
    """A project or run in the trash in a response."""

    kind: str
    uuid: str
    name: str
    project_slug: str
    date_deleted: str
    date_purged: str
    bytes: int


class ConfigChange(Struct):
    """A change of the config of a run in a response."""

    timestamp: str
    patch: Raw


class Metric(Struct, gc=False):
    """A metric in a response."""

    name: str
    # A number, or a `Raw` with any other JSON.
    value: Any
    step: int
    timestamp: str


class PackedNumbers(Struct):
    """Numbers of 8 bytes each in a response."""

    kind: str
    base64: bytes


class MetricColumns(Struct):
    """Metrics of one name in a response, in columns."""

    name: str
    step: list[int] | PackedNumbers
    # Each is a number, or a `Raw` with any other JSON.
    value: list[Any] | PackedNumbers
    timestamp: list[int] | PackedNumbers


class Table(Struct):
    """A table in a response."""

    name: str
    count: int
    row_key: str | None
    last_timestamp: str


class TableRow(Struct, gc=False):
    """A row of a table in a response."""

    number: int
    value: Raw
    timestamp: str


class MetricBatchReceipt(Struct):
    """The response of logMetricBatch."""

    accepted: int
    next_sequence_number: int


class MetricSummary(Struct):
    """A metric in the response of summarizeMetrics."""

    count: int
    first_step: int
    last_step: int
    last: Raw
    minimum: Raw
    maximum: Raw
    last_timestamp: str


class MetricBucket(Struct):
    """A range of steps in the response of sampleMetric."""

    first_step: int
    last_step: int
    minimum: Raw
    maximum: Raw
    last: Raw
    count: int


class ProjectMetric(Struct):
    """A metric name in the response of listProjectMetrics."""

    name: str
    runs: int
    is_numeric: bool
    last_timestamp: str


class SummaryColumns(Struct):
    """A metric in the response of summarizeProjectMetrics. `Any` is a number or a `Raw`."""

    name: str
    run_uuid: list[str]
    count: list[int]
    first_step: list[int]
    last_step: list[int]
    last: list[Raw]
    minimum: list[Any]
    maximum: list[Any]
    last_timestamp: list[str]


class RunColumn(Struct):
    """A column in the response of tabulateRuns. `Any` is encoded as it is."""

    term: str
    cells: list[Any]


class RunTable(Struct):
    """The response of tabulateRuns."""

    run_uuid: list[str]
    columns: list[RunColumn]


class SampledSeries(Struct):
    """A series in the response of sampleProjectMetrics. `Any` is a number or a `Raw`."""

    run_uuid: str
    name: str
    width: int
    replaces_from: int
    step: list[int]
    timestamp: list[float]
    minimum: list[Any]
    maximum: list[Any]
    last: list[Any]
    count: list[int]


class MetricSamples(Struct):
    """The response of sampleProjectMetrics."""

    cursor: str
    series: list[SampledSeries]


class RunNotFoundError(Struct):
    """The response if a run does not exist."""

    detail: str
    deleted: bool | UnsetType
    code: ErrorCode = ErrorCode.NOT_FOUND


class SequenceGapError(Struct):
    """The response to a batch that starts too late."""

    detail: str
    next_sequence_number: int
    code: ErrorCode = ErrorCode.SEQUENCE_GAP


encode = msgspec.json.Encoder().encode
