"""Runs and projects, made from the generated models."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
from tellurio_api import models

from afnio_tellurio.api.answers import AnswerFields
from afnio_tellurio.api.details import EndReason, RunConfig, read_end_reason

if TYPE_CHECKING:
    import datetime as dt


#: Others cannot be sent as If-Match, or match nothing there.
_STRONG_ETAG = re.compile(r'"[!#-~]*"')


class RunStatus(StrEnum):
    """The status of a run.

    Members compare, print and serialize as their string. A backend newer than this SDK may return a
    status that is not among the members. It is still a `RunStatus`, with that string as its
    `value`, and unequal to every member.
    """

    RUNNING = "RUNNING"
    """Active; accepts metrics."""
    COMPLETED = "COMPLETED"
    """Ended without an error."""
    CRASHED = "CRASHED"
    """Ended by an unhandled exception, a fatal signal, or the death of its process."""
    FAILED = "FAILED"
    """Left unfinished, or superseded by a newer `init`."""

    def __reduce_ex__(self, _protocol: Any) -> tuple[Any, ...]:
        return read_status, (self.value,)


def read_status(value: str) -> RunStatus:
    """The status in a response, which may not be among the members."""
    if value in RunStatus.__members__:
        return RunStatus(value)
    # Not in _missing_, which would make RunStatus("COMPLETE") valid in user code.
    unknown = str.__new__(RunStatus, value)
    unknown._name_ = unknown._value_ = value
    return unknown


@attrs.frozen
class RunOrg:
    """The namespace that owns a run's project: an organization's or a user's own.

    Attributes:
        slug: The namespace's slug.
        extra: The fields of a backend that is newer than this SDK, by name.
    """

    slug: str
    extra: dict[str, Any] = attrs.field(factory=dict[str, Any], repr=False, eq=False, kw_only=True)


def read_namespace(model: models.Namespace) -> RunOrg:
    """The namespace in a response to `listNamespaces`."""
    slug = AnswerFields("listNamespaces").text("slug", model.slug)
    return RunOrg(slug, extra=model.additional_properties)


@attrs.frozen
class RunProject:
    """The project that a run belongs to.

    Attributes:
        uuid: The project's UUID.
        display_name: The name that people see.
        slug: The project's slug.
        extra: The fields of a backend that is newer than this SDK, by name.
    """

    uuid: str
    display_name: str
    slug: str
    extra: dict[str, Any] = attrs.field(factory=dict[str, Any], repr=False, eq=False, kw_only=True)


def _read_run_project(model: models.RunProject, field: AnswerFields) -> RunProject:
    """The project in a response about a run."""
    return RunProject(
        uuid=str(model.uuid),
        display_name=field.text("project.display_name", model.display_name),
        slug=field.text("project.slug", model.slug),
        extra=model.additional_properties,
    )


@attrs.frozen
class RunUser:
    """The user who created a run.

    Attributes:
        uuid: The user's UUID.
        username: The user's name.
        slug: The slug of the user's own namespace.
        extra: The fields of a backend that is newer than this SDK, by name.
    """

    uuid: str
    username: str
    slug: str
    extra: dict[str, Any] = attrs.field(factory=dict[str, Any], repr=False, eq=False, kw_only=True)


def _read_user(model: models.RunUser, field: AnswerFields) -> RunUser:
    """The user in a response about a run."""
    return RunUser(
        uuid=str(model.uuid),
        username=field.text("user.username", model.username),
        slug=field.text("user.slug", model.slug),
        extra=model.additional_properties,
    )


@attrs.frozen
class Project:
    """A project, which holds runs.

    Attributes:
        uuid: The project's UUID.
        display_name: The name that people see.
        slug: The slugified display name.
        date_created: When it was created, with a time zone.
        last_run_date: When its newest run was created, or `None`.
        visibility: `"TEAM"`, `"RESTRICTED"`, `"PUBLIC"`, `"OPEN"`, or a value added later.
        role: Your role in it, for example `"OWNER"`, or `None`.
        org_uuid: The UUID of the namespace that owns it, or `None`.
        org_display_name: The name of that namespace, or `None`.
        org_slug: The slug of that namespace, or `None`.
        run_counts: The number of runs by status, without statuses that no run has, or `None` if the
            backend does not count them.
        last_activity: When a run was created or changed last, or `None`.
        runs_per_day: The number of runs that were created on each of the last 30 days, in UTC,
            today's last, or `None` if the backend does not count them.
        extra: The fields of a backend that is newer than this SDK, by name.
    """

    uuid: str
    display_name: str
    slug: str
    date_created: dt.datetime = attrs.field(repr=False)
    last_run_date: dt.datetime | None = attrs.field(repr=False)
    visibility: str
    role: str | None
    org_uuid: str | None = attrs.field(repr=False)
    org_display_name: str | None = attrs.field(repr=False)
    org_slug: str | None
    run_counts: dict[str, int] | None = attrs.field(
        default=None, repr=False, eq=False, kw_only=True
    )
    last_activity: dt.datetime | None = attrs.field(
        default=None, repr=False, eq=False, kw_only=True
    )
    runs_per_day: list[int] | None = attrs.field(default=None, repr=False, eq=False, kw_only=True)
    extra: dict[str, Any] = attrs.field(factory=dict[str, Any], repr=False, eq=False, kw_only=True)


def read_project(model: models.Project, operation: str) -> Project:
    """The project in a response to `operation`."""
    field = AnswerFields(operation)
    return Project(
        uuid=str(model.uuid),
        display_name=field.text("display_name", model.display_name),
        slug=field.text("slug", model.slug),
        date_created=field.date("date_created", model.date_created),
        last_run_date=field.optional_date("last_run_date", model.last_run_date),
        visibility=field.text("visibility", model.visibility),
        role=field.optional_text("role", model.role),
        org_uuid=field.optional_text("org_uuid", model.org_uuid),
        org_display_name=field.optional_text("org_display_name", model.org_display_name),
        org_slug=field.optional_text("org_slug", model.org_slug),
        run_counts=_counts(field, model),
        last_activity=field.optional_date("last_activity", model.last_activity),
        runs_per_day=_days(field, model),
        extra=model.additional_properties,
    )


def _counts(field: AnswerFields, model: models.Project) -> dict[str, int] | None:
    if field.optional("run_counts", model.run_counts, object) is None:
        return None
    counts = field.json_object("run_counts", model.run_counts)
    return {
        status: field.integer(f"run_counts.{status}", count) for status, count in counts.items()
    }


def _days(field: AnswerFields, model: models.Project) -> list[int] | None:
    days = field.optional("runs_per_day", model.runs_per_day, list)  # pyright: ignore[reportUnknownVariableType]
    if days is None:
        return None
    return [field.integer("runs_per_day[]", count) for count in days]  # pyright: ignore[reportUnknownVariableType]


@attrs.frozen
class TrashedItem:
    """A deleted run or project, which can be restored.

    Attributes:
        kind: `"run"`, `"project"`, or a value added later.
        uuid: Its UUID.
        name: The run's name, or the project's display name.
        project_slug: The slug of the project, or of the run's project.
        date_deleted: When it was deleted, with a time zone.
        date_purged: When the backend deletes it for good.
        bytes: About how many bytes that frees.
        extra: The fields of a backend that is newer than this SDK, by name.
    """

    kind: str
    uuid: str
    name: str
    project_slug: str
    date_deleted: dt.datetime = attrs.field(repr=False)
    date_purged: dt.datetime
    bytes: int
    extra: dict[str, Any] = attrs.field(factory=dict[str, Any], repr=False, eq=False, kw_only=True)


def read_trashed_item(model: models.TrashedItem) -> TrashedItem:
    """The run or project in a response to `listTrash`."""
    field = AnswerFields("listTrash")
    return TrashedItem(
        # An enumeration of the generated client is a string too.
        kind=str(field.text("kind", model.kind)),
        uuid=str(model.uuid),
        name=field.text("name", model.name),
        project_slug=field.text("project_slug", model.project_slug),
        date_deleted=field.date("date_deleted", model.date_deleted),
        date_purged=field.date("date_purged", model.date_purged),
        bytes=field.integer("bytes", model.bytes_),
        extra=model.additional_properties,
    )


@attrs.define(eq=False, slots=False)
class RunRecord:
    """A run as the backend describes it."""

    uuid: str
    name: str
    description: str | None = attrs.field(repr=False)
    status: RunStatus = attrs.field(converter=read_status, repr=str)
    # Of the last answer about it; None from a backend without ETags.
    _etag: str | None = attrs.field(init=False, repr=False, default=None)
    extra: dict[str, Any] = attrs.field(factory=dict[str, Any], repr=False, eq=False, kw_only=True)
    date_created: dt.datetime | None = attrs.field(default=None, repr=False)
    date_updated: dt.datetime | None = attrs.field(default=None, repr=False)
    organization: RunOrg | None = attrs.field(default=None, repr=lambda org: repr(org and org.slug))
    project: RunProject | None = attrs.field(default=None, repr=lambda p: repr(p and p.slug))
    user: RunUser | None = attrs.field(default=None, repr=False)
    config: RunConfig = attrs.field(factory=RunConfig, repr=False, kw_only=True)
    tags: tuple[str, ...] = attrs.field(default=(), repr=False, kw_only=True)
    group: str | None = attrs.field(default=None, repr=False, kw_only=True)
    job_type: str | None = attrs.field(default=None, repr=False, kw_only=True)
    notes: str | None = attrs.field(default=None, repr=False, kw_only=True)
    parent_uuid: str | None = attrs.field(default=None, repr=False, kw_only=True)
    date_ended: dt.datetime | None = attrs.field(default=None, repr=False, kw_only=True)
    ended_because: EndReason | None = attrs.field(default=None, repr=False, kw_only=True)
    environment: dict[str, Any] | None = attrs.field(default=None, repr=False, kw_only=True)


def etag_of(run: RunRecord) -> str | None:
    """The ETag of a run's last answer; `None` if the backend has none."""
    return run._etag  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


def set_etag(run: RunRecord, etag: str | None) -> None:
    """Notes the ETag of a later answer about a run."""
    run._etag = etag  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


def read_etag(model: models.Run) -> str | None:
    """The ETag of the run in a response; `None` if it is missing, weak, or nonsense."""
    etag: Any = model.etag
    return etag if isinstance(etag, str) and _STRONG_ETAG.fullmatch(etag) else None


R = TypeVar("R", bound=RunRecord)


def read_run(kind: type[R], model: models.Run, operation: str, namespace_slug: str) -> R:
    """The run in a response to `operation`."""
    field = AnswerFields(operation)
    project = field.optional("project", model.project, models.RunProject)
    user = field.optional("user", model.user, models.RunUser)
    because = field.optional("ended_because", model.ended_because, models.EndReason)
    run = kind(
        uuid=str(model.uuid),
        name=field.text("name", model.name),
        description=field.optional_text("description", model.description),
        status=read_status(field.text("status", model.status)),
        extra=model.additional_properties,
        date_created=field.date("date_created", model.date_created),
        date_updated=field.date("date_updated", model.date_updated),
        organization=RunOrg(namespace_slug),
        project=None if project is None else _read_run_project(project, field),
        user=None if user is None else _read_user(user, field),
        config=RunConfig(field.json_object("config", model.config)),
        tags=field.texts("tags", model.tags),
        group=field.optional_text("group", model.group),
        job_type=field.optional_text("job_type", model.job_type),
        notes=field.optional_text("notes", model.notes),
        parent_uuid=field.optional_text("parent_uuid", model.parent_uuid),
        date_ended=field.optional_date("date_ended", model.date_ended),
        ended_because=None if because is None else read_end_reason(because, field),
        environment=field.json_object("environment", model.environment) or None,
    )
    set_etag(run, read_etag(model))
    return run


for _kind in (Project, RunOrg, RunProject, RunStatus, RunUser, TrashedItem):
    # Tracebacks and reprs show a class as users import it; its module may change.
    _kind.__module__ = "afnio_tellurio"
