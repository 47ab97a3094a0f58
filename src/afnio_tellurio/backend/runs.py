"""The operations on runs: one function per operationId, named after it.

Each takes a `Call` and returns an `Answer`, or raises a `Refusal`.
"""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from afnio_tellurio.backend import configs, structs
from afnio_tellurio.backend.request_headers import idempotency_key_of
from afnio_tellurio.backend.requests import (
    Answer,
    Call,
    Refusal,
    boolean_of,
    current_time,
    cursor_of,
    integer_of,
    length_for,
    page_of,
    project_of,
    quoted,
    rfc3339,
    rows_for,
    run_of,
    storable_microseconds_of,
)
from afnio_tellurio.backend.run_names import random_run_name
from afnio_tellurio.backend.store import changes as stored_changes
from afnio_tellurio.backend.store import runs as stored_runs
from afnio_tellurio.backend.store import trash
from afnio_tellurio.backend.structs import ErrorCode

if TYPE_CHECKING:
    import datetime as dt
    import sqlite3
    from uuid import UUID

_MAX_CHANGES = 1000
#: An entity tag, and a list of them with empty items, as RFC 9110 has them.
_ENTITY_TAG = re.compile(r'(?:W/)?"[!#-~\u0080-\u00ff]*"')
_IF_MATCH = re.compile(
    rf"[ \t,]*{_ENTITY_TAG.pattern}(?:[ \t]*,[ \t,]*{_ENTITY_TAG.pattern})*[ \t,]*"
)

_run_create = msgspec.json.Decoder(structs.RunCreate)
_run_update = msgspec.json.Decoder(structs.RunUpdate)
_tags = msgspec.json.Decoder(list[str])


class _ChangeCursor(NamedTuple):
    """The last change of a page."""

    number: structs.Step


def run_answer(row: stored_runs.RunRow) -> structs.Run:
    """Returns the run of a response."""
    return structs.Run(
        uuid=row.uuid,
        name=row.name,
        description=row.description,
        status=row.status,
        date_created=rfc3339(row.created),
        date_updated=rfc3339(row.updated),
        etag=_entity_tag(row),
        project=structs.RunProject(row.project_uuid, row.project_display_name, row.project_slug),
        user=structs.RunUser(row.user_uuid, row.username, row.user_slug),
        config=_raw(row.config),
        tags=sorted(_tags.decode(row.tags)),
        group=row.group_name,
        job_type=row.job_type,
        notes=row.notes,
        parent_uuid=row.parent_uuid,
        date_ended=None if row.ended is None else rfc3339(row.ended),
        ended_because=_raw(row.ended_because or "null"),
        environment=UNSET if row.environment is None else _raw(row.environment),
    )


def _raw(text: str) -> msgspec.Raw:
    return msgspec.Raw(text.encode("utf-8"))


def _run_response(status: int, connection: sqlite3.Connection, run: int) -> Answer:
    row = stored_runs.read_run(connection, run)
    return Answer(status, structs.encode(run_answer(row)), [("ETag", _entity_tag(row))])


def _entity_tag(row: stored_runs.RunRow) -> str:
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


def create_run(call: Call) -> Answer:
    """Creates a run once per idempotency key and UUID."""
    body = call.decode_body(_run_create)
    key = idempotency_key_of(call)
    config = configs.checked_object(body.config, "config")
    with call.database.writing() as connection:
        project = project_of(connection, call)
        run = _existing_run(connection, project, key, body.uuid)
        if run is None:
            now = current_time()
            created = _time_in("date_created", body.date_created)
            run = stored_runs.insert_run(
                connection,
                project,
                run_uuid=str(uuid.uuid4() if body.uuid is UNSET else body.uuid),
                user=stored_runs.add_user(connection, call.user.username, call.user.slug),
                name=_free_name(connection, project, body.name, 0),
                description=body.description,
                status=body.status,
                created=now if created is None else min(created, now),
                updated=now,
                ended=None if body.status == structs.RunStatus.RUNNING else now,
                idempotency_key=key,
                group_name=body.group,
                job_type=body.job_type,
                parent_uuid=None if body.parent_uuid is None else str(body.parent_uuid),
                notes=body.notes,
                config=config,
            )
            stored_changes.change_tags(connection, run, add=body.tags, remove=())
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
    """Changes the fields in the body and keeps the others, once per idempotency key."""
    update = _Update.of(call.decode_body(_run_update))
    key = idempotency_key_of(call)
    entity_tags = _entity_tags_in(call)
    with call.database.writing() as connection:
        run = run_of(connection, call)
        if key is not None and stored_changes.is_update_known(connection, run, key):
            return _run_response(200, connection, run)
        row = stored_runs.read_run(connection, run)
        if entity_tags is not None and _entity_tag(row) not in entity_tags:
            raise Refusal(
                412, {"detail": f"Run {row.uuid} was changed; it has the tag {_entity_tag(row)}."}
            )
        wanted = update.columns(row)
        if "name" in wanted:
            wanted["name"] = _free_name(
                connection, project_of(connection, call), wanted["name"], run
            )
        changes = {
            column: value for column, value in wanted.items() if getattr(row, column) != value
        }
        patch = update.config_patch if "config" in changes else None
        if key is not None or patch is not None:
            stored_changes.add_change(
                connection,
                run,
                idempotency_key=key,
                config_changed=None if patch is None else update.config_changed,
                config_patch=patch,
            )
        has_other_tags = stored_changes.change_tags(
            connection, run, add=update.body.add_tags, remove=update.body.remove_tags
        )
        if changes or has_other_tags:
            # A clock that was set back, or that is coarse, must not hide a change.
            changes["updated"] = max(current_time(), row.updated + 1)
            stored_runs.update_run(connection, run, changes)
        return _run_response(200, connection, run)


class _Update(NamedTuple):
    """The body of updateRun, checked. Times are in microseconds since 1970.

    Attributes:
        body: The body.
        config_patch: The patch of the config as JSON, or None.
        environment: The environment as JSON, or None.
        config_changed: When the config was changed.
        date_ended: The time of the end in the body, or None.
        now: The time of receipt.
    """

    body: structs.RunUpdate
    config_patch: str | None
    environment: str | None
    config_changed: int
    date_ended: int | None
    now: int

    @classmethod
    def of(cls, body: structs.RunUpdate) -> _Update:
        now = current_time()
        changed = _time_in("config_changed", body.config_changed)
        return cls(
            body,
            config_patch=_object_in("config_patch", body.config_patch),
            environment=_object_in("environment", body.environment),
            config_changed=now if changed is None else changed,
            date_ended=_time_in("date_ended", body.date_ended),
            now=now,
        )

    def columns(self, row: stored_runs.RunRow) -> dict[str, Any]:
        """Returns the columns of a run that the body has, with their new values."""
        body = self.body
        wanted = {
            "name": body.name,
            "description": body.description,
            "group_name": body.group,
            "job_type": body.job_type,
            "notes": body.notes,
        }
        columns = {name: value for name, value in wanted.items() if value is not UNSET}
        if self.environment is not None:
            columns["environment"] = self.environment
        if self.config_patch is not None:
            columns["config"] = configs.merged_config(row.config, self.config_patch)
        return {**columns, **self._columns_of_status(row)}

    def _columns_of_status(self, row: stored_runs.RunRow) -> dict[str, Any]:
        status, reason = self.body.status, self.body.ended_because
        if status is UNSET:
            return {}
        if status == structs.RunStatus.RUNNING:
            return {"status": status, "ended": None, "ended_because": None}
        ended = self.date_ended
        if ended is None:
            # The first end of a run counts.
            ended = self.now if row.ended is None else row.ended
        columns: dict[str, Any] = {"status": status, "ended": ended}
        if reason is not UNSET:
            encoded = None if reason is None else structs.encode(reason).decode("utf-8")
            columns["ended_because"] = encoded
        return columns


def _object_in(field_name: str, fields: structs.RawObject | UnsetType) -> str | None:
    return None if isinstance(fields, UnsetType) else configs.checked_object(fields, field_name)


def _time_in(field_name: str, date: dt.datetime | UnsetType) -> int | None:
    if isinstance(date, UnsetType):
        return None
    try:
        return storable_microseconds_of(date)
    except ValueError as error:
        raise Refusal(400, {field_name: [f"{error}."]}) from None


def list_config_changes(call: Call) -> Answer:
    """Returns the changes of the run's config in the order in which they were made."""
    limit = integer_of(call, "limit", 1, _MAX_CHANGES)
    cursor = cursor_of(call, _ChangeCursor)
    with call.database.reading() as connection:
        rows = stored_changes.list_config_changes(
            connection,
            run_of(connection, call),
            after=0 if cursor is None else cursor.number,
            limit=rows_for(limit),
            length=length_for(limit),
        )
    page, headers = page_of(
        rows,
        limit,
        lambda row: _ChangeCursor(row.number),
        stored_changes.ConfigChangeRow.length,
    )
    changes = [structs.ConfigChange(rfc3339(row.changed), _raw(row.patch)) for row in page]
    return Answer(200, structs.encode(changes), headers)


def _entity_tags_in(call: Call) -> set[str] | None:
    """Returns the strong entity tags that If-Match lists; None if every run matches."""
    header = call.headers.get("if-match")
    if header is None or header == "*":
        return None
    if not _IF_MATCH.fullmatch(header):
        message = f"{quoted(header)} is not * or a list of tags in double quotes."
        raise Refusal(400, {"If-Match": [message]})
    return {tag for tag in _ENTITY_TAG.findall(header) if not tag.startswith("W/")}


def delete_run(call: Call) -> Answer:
    """Moves the run and its metrics to the trash, or purges them."""
    is_purge = boolean_of(call, "purge")
    with call.database.writing() as connection:
        if is_purge:
            trash.purge_run(connection, run_of(connection, call, or_trashed=True))
        else:
            trash.trash_run(connection, run_of(connection, call))
    return Answer(204)


def restore_run(call: Call) -> Answer:
    """Moves the run back from the trash of its project; one that is not there stays as it is."""
    with call.database.writing() as connection:
        run = run_of(connection, call, or_trashed=True)
        trashed_name = trash.name_of_run(connection, run)
        if trashed_name is not None:
            name = _free_name(connection, project_of(connection, call), trashed_name, run)
            trash.restore_run(connection, run, name=name, now=current_time())
        return _run_response(200, connection, run)
