"""What requests and answers hold, written independently of the generated client.

A mistake of the generator must not cancel itself out; a test holds these structs against the
contract.
"""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID  # noqa: TC003 - msgspec reads the annotation

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

MAX_STEP = 2**63 - 1
MAX_BATCH = 1000

# At least one character that is no white space, spelt out: readers of patterns differ in `\s`.
_VISIBLE = r"[^\t-\r\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"
Name = Annotated[str, Meta(min_length=1, max_length=255, pattern=_VISIBLE)]
DisplayName = Annotated[str, Meta(min_length=1, max_length=255)]
Step = Annotated[int, Meta(ge=0, le=MAX_STEP)]
Time = Annotated[dt.datetime, Meta(tz=True)]


class Visibility(StrEnum):
    """Who may see a project."""

    TEAM = "TEAM"
    RESTRICTED = "RESTRICTED"
    PUBLIC = "PUBLIC"


class RunStatus(StrEnum):
    """Where a run stands."""

    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    CRASHED = "CRASHED"
    FAILED = "FAILED"


class ProjectCreate(Struct):
    """The body of createProject."""

    display_name: DisplayName
    visibility: Visibility = Visibility.TEAM


class RunCreate(Struct):
    """The body of createRun."""

    uuid: UUID | UnsetType = UNSET
    name: Name | UnsetType = UNSET
    description: str | None = None
    status: RunStatus = RunStatus.RUNNING


class RunUpdate(Struct):
    """The body of updateRun."""

    status: RunStatus | UnsetType = UNSET
    name: Name | UnsetType = UNSET
    description: str | UnsetType | None = UNSET


class MetricCreate(Struct):
    """The body of logMetric. The value stays the JSON that came, so that it is kept exactly."""

    name: Name
    value: Raw
    step: Step | UnsetType = UNSET
    timestamp: Time | UnsetType = UNSET


class MetricBatch(Struct):
    """The body of logMetricBatch."""

    writer: UUID
    first_sequence_number: Annotated[int, Meta(ge=0, le=MAX_STEP - MAX_BATCH)]
    metrics: Annotated[list[MetricCreate], Meta(min_length=1, max_length=MAX_BATCH)]


class ApiKeyOwner(Struct):
    """An answer of verifyApiKey."""

    email: str
    username: str
    message: str


class Namespace(Struct):
    """An answer about a namespace."""

    uuid: str
    slug: str
    display_name: str


class Project(Struct):
    """An answer about a project."""

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


class RunProject(Struct):
    """The project in an answer about a run."""

    uuid: str
    display_name: str
    slug: str


class RunUser(Struct):
    """The user in an answer about a run."""

    uuid: str
    username: str
    slug: str


class Run(Struct):
    """An answer about a run."""

    uuid: str
    name: str
    description: str | None
    status: str
    date_created: str
    date_updated: str
    project: RunProject
    user: RunUser


class Metric(Struct, gc=False):
    """An answer about a metric."""

    name: str
    # What is a number in Python is one in JSON; a `Raw` where it is not.
    value: Any
    step: int
    timestamp: str


class MetricBatchReceipt(Struct):
    """An answer of logMetricBatch."""

    accepted: int
    next_sequence_number: int


class MetricSummary(Struct):
    """A metric in an answer of summarizeMetrics."""

    count: int
    first_step: int
    last_step: int
    last: Raw
    minimum: Raw
    maximum: Raw
    last_timestamp: str


class MetricBucket(Struct):
    """A range of steps in an answer of sampleMetric."""

    first_step: int
    last_step: int
    minimum: Raw
    maximum: Raw
    last: Raw
    count: int


class ProjectMetric(Struct):
    """A metric name in an answer of listProjectMetrics."""

    name: str
    runs: int
    is_numeric: bool
    last_timestamp: str


class SummaryColumns(Struct):
    """A metric in an answer of summarizeProjectMetrics. What is a number is one in JSON."""

    name: str
    run_uuid: list[str]
    count: list[int]
    first_step: list[int]
    last_step: list[int]
    last: list[Raw]
    minimum: list[Any]
    maximum: list[Any]
    last_timestamp: list[str]


class SampledSeries(Struct):
    """A series in an answer of sampleProjectMetrics. What is a number is one in JSON."""

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
    """An answer of sampleProjectMetrics."""

    cursor: str
    series: list[SampledSeries]


class RunNotFoundError(Struct):
    """The answer to a request for a run that does not exist."""

    detail: str
    deleted: bool | UnsetType


class SequenceGapError(Struct):
    """The answer to a batch that starts too late."""

    detail: str
    next_sequence_number: int


encode = msgspec.json.Encoder().encode
