"""The operations on namespaces and projects: one function per operationId, named after it.

Each takes a `Call` and returns an `Answer`, or raises a `Refusal`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
from slugify import slugify

from afnio_tellurio.backend import structs
from afnio_tellurio.backend.requests import (
    Answer,
    Call,
    Refusal,
    boolean_of,
    current_time,
    cursor_of,
    integer_of,
    namespace_of,
    page_of,
    project_of,
    rfc3339,
    rows_for,
)
from afnio_tellurio.backend.store import projects as stored_projects
from afnio_tellurio.backend.store import trash
from afnio_tellurio.backend.structs import ErrorCode

if TYPE_CHECKING:
    import sqlite3

#: The maximum number of namespaces, and of projects, in one response.
_MAX_PAGE = 1000

_project_create = msgspec.json.Decoder(structs.ProjectCreate)


class _TrashCursor(NamedTuple):
    """The last item of a page."""

    deleted: structs.Step
    kind: str
    id: structs.Step


def _project_answer(
    connection: sqlite3.Connection, row: stored_projects.ProjectRow
) -> structs.Project:
    activity = stored_projects.read_activity(connection, row.id, current_time())
    return structs.Project(
        uuid=row.uuid,
        display_name=row.display_name,
        slug=row.slug,
        date_created=rfc3339(row.created),
        last_run_date=None if row.last_run_created is None else rfc3339(row.last_run_created),
        visibility=row.visibility,
        role="OWNER",
        org_uuid=row.namespace_uuid,
        org_display_name=row.namespace_display_name,
        org_slug=row.namespace_slug,
        run_counts=activity.counts,
        last_activity=None if activity.last is None else rfc3339(activity.last),
        runs_per_day=activity.days,
    )


def _read_project(connection: sqlite3.Connection, project: int) -> structs.Project:
    return _project_answer(connection, stored_projects.read_project(connection, project))


def list_namespaces(call: Call) -> Answer:
    """Returns the namespaces, sorted by slug."""
    limit, after = integer_of(call, "limit", 1, _MAX_PAGE), cursor_of(call, str)
    with call.database.reading() as connection:
        rows = stored_projects.list_namespaces(connection, after=after or "", limit=rows_for(limit))
    page, headers = page_of(rows, limit, lambda row: row.slug)
    return Answer(200, structs.encode([structs.Namespace(*row) for row in page]), headers)


def list_projects(call: Call) -> Answer:
    """Returns the projects of the namespace, sorted by slug."""
    limit, after = integer_of(call, "limit", 1, _MAX_PAGE), cursor_of(call, str)
    with call.database.reading() as connection:
        rows = stored_projects.list_projects(
            connection, namespace_of(connection, call), after=after or "", limit=rows_for(limit)
        )
        page, headers = page_of(rows, limit, lambda row: row.slug)
        projects = [_project_answer(connection, row) for row in page]
    return Answer(200, structs.encode(projects), headers)


def create_project(call: Call) -> Answer:
    """Creates a project in the namespace."""
    body = call.decode_body(_project_create)
    slug = slugify(body.display_name)
    if not slug:
        raise Refusal(400, {"display_name": ["Must contain a letter or digit for the slug."]})
    with call.database.writing() as connection:
        project = stored_projects.insert_project(
            connection,
            namespace_of(connection, call, create=True),
            slug=slug,
            display_name=body.display_name,
            visibility=body.visibility,
            created=current_time(),
        )
        if project is None:
            raise _slug_taken(call, slug)
        answer = _read_project(connection, project)
    return Answer(201, structs.encode(answer))


def _slug_taken(call: Call, slug: str) -> Refusal:
    detail = f"A project with the slug {slug} exists in {call.path['namespace_slug']}."
    return Refusal(409, {"detail": detail}, code=ErrorCode.SLUG_TAKEN)


def get_project(call: Call) -> Answer:
    """Returns the project with this slug, without role and organization, as the platform does."""
    with call.database.reading() as connection:
        project = _read_project(connection, project_of(connection, call))
    project = msgspec.structs.replace(
        project, role=None, org_uuid=None, org_display_name=None, org_slug=None
    )
    return Answer(200, structs.encode(project))


def delete_project(call: Call) -> Answer:
    """Moves the project, its runs and their metrics to the trash, or purges them."""
    is_purge = boolean_of(call, "purge")
    with call.database.writing() as connection:
        if is_purge:
            trash.purge_project(connection, project_of(connection, call, or_trashed=True))
        else:
            trash.trash_project(connection, project_of(connection, call))
    return Answer(204)


def restore_project(call: Call) -> Answer:
    """Moves the project that was deleted last back from the trash, or returns the one there is."""
    with call.database.writing() as connection:
        namespace = namespace_of(connection, call)
        project = trash.find_project(connection, namespace, call.path["project_slug"])
        if project is None:
            project = project_of(connection, call)
        else:
            slug = trash.slug_of_project(connection, project)
            if stored_projects.find_project(connection, namespace, slug) is not None:
                raise _slug_taken(call, slug)
            trash.restore_project(connection, project)
        answer = _read_project(connection, project)
    return Answer(200, structs.encode(answer))


def list_trash(call: Call) -> Answer:
    """Returns the projects and runs in the trash of the namespace, the ones deleted last first."""
    limit, cursor = integer_of(call, "limit", 1, _MAX_PAGE), cursor_of(call, _TrashCursor)
    with call.database.reading() as connection:
        rows = trash.list_trash(
            connection, namespace_of(connection, call), after=cursor, limit=rows_for(limit)
        )
        page, headers = page_of(
            rows, limit, lambda row: _TrashCursor(row.deleted, row.kind, row.id)
        )
        items = [
            structs.TrashedItem(
                kind=row.kind,
                uuid=row.uuid,
                name=row.name,
                project_slug=row.project_slug,
                date_deleted=rfc3339(row.deleted),
                date_purged=rfc3339(row.deleted + trash.KEPT),
                bytes=trash.bytes_of(connection, row.kind, row.id),
            )
            for row in page
        ]
    return Answer(200, structs.encode(items), headers)
