"""The operations on runs: one function per operationId, named after it.

Each takes a `Call` and returns an `Answer`, or raises a `Refusal`.
"""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from afnio_tellurio.backend import structs
from afnio_tellurio.backend.requests import (
    Answer,
    Call,
    Refusal,
    current_time,
    cursor_of,
    integer_of,
    page_of,
    project_of,
    quoted,
    rfc3339,
    rows_for,
    run_of,
    time_of,
)
from afnio_tellurio.backend.run_names import random_run_name
from afnio_tellurio.backend.store import runs as stored_runs
from afnio_tellurio.backend.structs import ErrorCode

if TYPE_CHECKING:
    import sqlite3
    from uuid import UUID

_MAX_RUNS = 1000
#: An entity tag, and a list of them with empty items, as RFC 9110 has them.
_TAG = re.compile(r'(?:W/)?"[!#-~\u0080-\u00ff]*"')
_IF_MATCH = re.compile(rf"[ \t,]*{_TAG.pattern}(?:[ \t]*,[ \t,]*{_TAG.pattern})*[ \t,]*")

_run_create = msgspec.json.Decoder(structs.RunCreate)
_run_update = msgspec.json.Decoder(structs.RunUpdate)


class _Cursor(NamedTuple):
    """The last run of a page."""

    created: structs.Step
    id: structs.Step


def _run_answer(row: stored_runs.RunRow) -> structs.Run:
    return structs.Run(
        uuid=row.uuid,
        name=row.name,
        description=row.description,
        status=row.status,
        date_created=rfc3339(row.created),
        date_updated=rfc3339(row.updated),
        etag=_tag(row),
        project=structs.RunProject(row.project_uuid, row.project_display_name, row.project_slug),
        user=structs.RunUser(row.user_uuid, row.username, row.user_slug),
    )


def _run_response(status: int, connection: sqlite3.Connection, run: int) -> Answer:
    row = stored_runs.read_run(connection, run)
    return Answer(status, structs.encode(_run_answer(row)), [("ETag", _tag(row))])


def _tag(row: stored_runs.RunRow) -> str:
    """Returns the ETag of a run. Every change makes the time of the update a later one."""
    return f'"{row.updated:x}"'


def _free_name(
    connection: sqlite3.Connection, project: int, name: str | UnsetType, run: int
) -> str:
    """Returns the name, or one of `name_1`, `name_2`, ... that is free in the project."""
    base = random_run_name() if isinstance(name, UnsetType) else name

    def is_taken(number: int) -> bool:
        candidate = f"{base}_{number}" if number else base
        return stored_runs.is_name_taken(connection, project, candidate, run)

    if not is_taken(0):
        return base
    # By doubling, then by halving: thousands of runs may share a name, and other writers wait.
    taken, free = 0, 1
    while is_taken(free):
        taken, free = free, 2 * free
    while free - taken > 1:
        middle = (taken + free) // 2
        taken, free = (middle, free) if is_taken(middle) else (taken, middle)
    return f"{base}_{free}"


def list_runs(call: Call) -> Answer:
    """Returns the runs of the project that match all filters, newest first."""
    limit = integer_of(call, "limit", 1, _MAX_RUNS)
    status = call.parameter("status")
    if status is not None and status not in list(structs.RunStatus):
        raise Refusal(400, {"status": [f"{quoted(status)} is not a valid choice."]})
    filters = stored_runs.RunFilters(
        status=status,
        name=call.parameter("name"),
        created_from=time_of(call, "created_after"),
        updated_from=time_of(call, "updated_after"),
        created_before=time_of(call, "created_before"),
        older_than=cursor_of(call, _Cursor),
    )
    with call.database.reading() as connection:
        rows = stored_runs.list_runs(
            connection,
            project_of(connection, call),
            filters,
            rows_for(limit),
        )
    page, headers = page_of(rows, limit, lambda row: _Cursor(row.created, row.id))
    return Answer(200, structs.encode([_run_answer(row) for row in page]), headers)


def create_run(call: Call) -> Answer:
    """Creates a run once per idempotency key and UUID."""
    body = call.decode_body(_run_create)
    key = call.headers.get("idempotency-key")
    if key is not None and not 1 <= len(key) <= 255:  # noqa: PLR2004 - the contract's bound
        raise Refusal(400, {"Idempotency-Key": ["Must have 1 to 255 characters."]})
    with call.database.writing() as connection:
        project = project_of(connection, call)
        run = _existing_run(connection, project, key, body.uuid)
        if run is None:
            run = stored_runs.insert_run(
                connection,
                project,
                run_uuid=str(uuid.uuid4() if body.uuid is UNSET else body.uuid),
                user=stored_runs.add_user(connection, call.user.username, call.user.slug),
                name=_free_name(connection, project, body.name, 0),
                description=body.description,
                status=body.status,
                created=current_time(),
                idempotency_key=key,
            )
        return _run_response(201, connection, run)


def _existing_run(
    connection: sqlite3.Connection, project: int, key: str | None, run_uuid: UUID | UnsetType
) -> int | None:
    """Returns the id of the run that an earlier request with this key or UUID created."""
    by_key = stored_runs.find_by_idempotency_key(connection, project, key)
    if isinstance(run_uuid, UnsetType):
        return None if by_key is None else by_key[0]
    wanted_uuid = str(run_uuid)
    if by_key is not None and by_key[1] != wanted_uuid:
        raise Refusal(
            409,
            {"detail": f"The idempotency key belongs to the run {by_key[1]}."},
            code=ErrorCode.KEY_TAKEN,
        )
    by_uuid = stored_runs.find_in_any_project(connection, wanted_uuid)
    if by_uuid is not None and by_uuid[1] != project:
        raise Refusal(
            409,
            {"detail": f"The run {wanted_uuid} belongs to another project."},
            code=ErrorCode.UUID_TAKEN,
        )
    if by_uuid is None and stored_runs.is_deleted(connection, wanted_uuid):
        detail = f"The run {wanted_uuid} was deleted."
        raise Refusal(409, {"detail": detail}, code=ErrorCode.RUN_DELETED)
    return None if by_uuid is None else by_uuid[0]


def get_run(call: Call) -> Answer:
    """Returns the run with this UUID."""
    with call.database.reading() as connection:
        return _run_response(200, connection, run_of(connection, call))


def update_run(call: Call) -> Answer:
    """Changes the fields in the body and keeps the others."""
    body = call.decode_body(_run_update)
    wanted_tags = _tags_in(call)
    with call.database.writing() as connection:
        run = run_of(connection, call)
        row = stored_runs.read_run(connection, run)
        if wanted_tags is not None and _tag(row) not in wanted_tags:
            raise Refusal(
                412, {"detail": f"Run {row.uuid} was changed; it has the tag {_tag(row)}."}
            )
        changes: dict[str, Any] = {}
        if body.status is not UNSET:
            changes["status"] = body.status
        if body.name is not UNSET:
            changes["name"] = _free_name(connection, project_of(connection, call), body.name, run)
        if body.description is not UNSET:
            changes["description"] = body.description
        if changes:
            # A clock that was set back, or that is coarse, must not hide a change.
            changes["updated"] = max(current_time(), row.updated + 1)
            stored_runs.update_run(connection, run, changes)
        return _run_response(200, connection, run)


def _tags_in(call: Call) -> set[str] | None:
    """Returns the strong tags that If-Match lists; None if every run matches."""
    header = call.headers.get("if-match")
    if header is None or header == "*":
        return None
    if not _IF_MATCH.fullmatch(header):
        message = f"{quoted(header)} is not * or a list of tags in double quotes."
        raise Refusal(400, {"If-Match": [message]})
    return {tag for tag in _TAG.findall(header) if not tag.startswith("W/")}


def delete_run(call: Call) -> Answer:
    """Deletes the run and its metrics."""
    with call.database.writing() as connection:
        stored_runs.delete_run(connection, run_of(connection, call))
    return Answer(204)
