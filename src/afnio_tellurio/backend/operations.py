"""The operations on keys, projects and runs: one function per operationId, named after it.

Each takes a `Call` and returns an `Answer`, or raises a `Refusal`.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, UnsetType
from slugify import slugify

from afnio_tellurio.backend import structs
from afnio_tellurio.backend.requests import (
    Answer,
    Call,
    Refusal,
    current_time,
    cursor_of,
    integer_of,
    is_deleted_run,
    namespace_of,
    next_cursor,
    project_of,
    rfc3339,
    run_of,
    time_of,
    user_of,
)
from afnio_tellurio.backend.run_names import random_run_name

if TYPE_CHECKING:
    import sqlite3
    from uuid import UUID

_MAX_RUNS = 1000

# The operations: API keys


def verify_api_key(call: Call) -> Answer:
    """Returns the owner of the API key."""
    owner = structs.ApiKeyOwner(call.user.email, call.user.username, "API key is valid.")
    return Answer(200, structs.encode(owner))


# The operations: projects

_PROJECT = """
SELECT p.uuid, p.display_name, p.slug, p.created, (SELECT max(created) FROM runs WHERE project =
p.id), p.visibility, n.uuid, n.display_name, n.slug FROM projects p JOIN namespaces n ON n.id =
p.namespace
"""
_project_create = msgspec.json.Decoder(structs.ProjectCreate)


def _project_answer(row: Any) -> structs.Project:
    identity, name, slug, created, last_run, visibility, *organization = row
    last = None if last_run is None else rfc3339(last_run)
    return structs.Project(
        identity, name, slug, rfc3339(created), last, visibility, "OWNER", *organization
    )


def list_namespaces(call: Call) -> Answer:
    """Returns all namespaces, sorted by slug."""
    with call.database.reading() as connection:
        rows = connection.execute(
            "SELECT uuid, slug, display_name FROM namespaces ORDER BY slug"
        ).fetchall()
    return Answer(200, structs.encode([structs.Namespace(*row) for row in rows]))


def list_projects(call: Call) -> Answer:
    """Returns all projects of the namespace, sorted by slug."""
    with call.database.reading() as connection:
        namespace = namespace_of(connection, call)
        rows = connection.execute(
            f"{_PROJECT} WHERE p.namespace = ? ORDER BY p.slug", (namespace,)
        ).fetchall()
    return Answer(200, structs.encode([_project_answer(row) for row in rows]))


def create_project(call: Call) -> Answer:
    """Creates a project in the namespace."""
    body = call.decode_body(_project_create)
    slug = slugify(body.display_name)
    if not slug:
        raise Refusal(400, {"display_name": ["Must contain a letter or digit for the slug."]})
    with call.database.writing() as connection:
        namespace = namespace_of(connection, call, create=True)
        created = connection.execute(
            "INSERT INTO projects (uuid, namespace, slug, display_name, visibility, created) "
            "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id",
            (
                str(uuid.uuid4()),
                namespace,
                slug,
                body.display_name,
                body.visibility,
                current_time(),
            ),
        ).fetchone()
        if created is None:
            detail = f"A project with the slug {slug} exists in {call.path['namespace_slug']}."
            raise Refusal(409, {"detail": detail})
        row = connection.execute(f"{_PROJECT} WHERE p.id = ?", created).fetchone()
    return Answer(201, structs.encode(_project_answer(row)))


def get_project(call: Call) -> Answer:
    """Returns the project with this slug."""
    with call.database.reading() as connection:
        project = project_of(connection, call)
        row = connection.execute(f"{_PROJECT} WHERE p.id = ?", (project,)).fetchone()
    return Answer(200, structs.encode(_project_answer(row)))


def delete_project(call: Call) -> Answer:
    """Deletes the project, its runs and their metrics."""
    with call.database.writing() as connection:
        project = project_of(connection, call)
        connection.execute(
            "INSERT INTO deleted_runs SELECT uuid FROM runs WHERE project = ?", (project,)
        )
        connection.execute("DELETE FROM projects WHERE id = ?", (project,))
    return Answer(204)


# The operations: runs

_RUN = """
SELECT r.id, r.uuid, r.name, r.description, r.status, r.created, r.updated,
  p.uuid, p.display_name, p.slug, u.uuid, u.username, u.slug
FROM runs r JOIN projects p ON p.id = r.project JOIN users u ON u.id = r.user
"""
_run_create = msgspec.json.Decoder(structs.RunCreate)
_run_update = msgspec.json.Decoder(structs.RunUpdate)


def _run_answer(row: Any) -> structs.Run:
    _id, identity, name, description, status, created, updated, *others = row
    project, user = structs.RunProject(*others[:3]), structs.RunUser(*others[3:])
    return structs.Run(
        identity, name, description, status, rfc3339(created), rfc3339(updated), project, user
    )


def _encode_run(connection: sqlite3.Connection, run: int) -> bytes:
    return structs.encode(
        _run_answer(connection.execute(f"{_RUN} WHERE r.id = ?", (run,)).fetchone())
    )


def _free_name(
    connection: sqlite3.Connection, project: int, name: str | UnsetType, run: int
) -> str:
    """Returns the name, or the first of `name_1`, `name_2`, ... that is free in the project."""
    base = random_run_name() if isinstance(name, UnsetType) else name
    candidate, number = base, 0
    while connection.execute(
        "SELECT 1 FROM runs WHERE project = ? AND name = ? AND id <> ?", (project, candidate, run)
    ).fetchone():
        number += 1
        candidate = f"{base}_{number}"
    return candidate


def list_runs(call: Call) -> Answer:
    """Returns the runs of the project that match all filters, newest first."""
    limit = integer_of(call, "limit", 1, _MAX_RUNS)
    status = call.parameter("status")
    if status is not None and status not in list(structs.RunStatus):
        raise Refusal(400, {"status": [f'"{status}" is not a valid choice.']})
    filters = [
        ("r.status = ?", status),
        ("r.name = ?", call.parameter("name")),
        ("r.created >= ?", time_of(call, "created_after")),
        ("r.updated >= ?", time_of(call, "updated_after")),
        ("r.created < ?", time_of(call, "created_before")),
        ("r.id < ?", cursor_of(call, int)),
    ]
    used_filters = [(condition, value) for condition, value in filters if value is not None]
    where = " AND ".join(["r.project = ?", *(condition for condition, _ in used_filters)])
    with call.database.reading() as connection:
        rows = connection.execute(
            f"{_RUN} WHERE {where} ORDER BY r.id DESC LIMIT ?",
            (
                project_of(connection, call),
                *(value for _, value in used_filters),
                -1 if limit is None else limit + 1,
            ),
        ).fetchall()
    # One extra row was read; it shows whether there is a next page.
    page = rows if limit is None else rows[:limit]
    headers = [next_cursor(page[-1][0])] if len(rows) > len(page) else []
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
            now = current_time()
            (run,) = connection.execute(
                "INSERT INTO runs (uuid, project, user, name, description, status, created, "
                "updated, idempotency_key) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
                (
                    str(uuid.uuid4() if body.uuid is UNSET else body.uuid),
                    project,
                    user_of(connection, call.user),
                    _free_name(connection, project, body.name, 0),
                    body.description,
                    body.status,
                    now,
                    now,
                    key,
                ),
            ).fetchone()
        return Answer(201, _encode_run(connection, run))


def _existing_run(
    connection: sqlite3.Connection, project: int, key: str | None, run_uuid: UUID | UnsetType
) -> int | None:
    """Returns the id of the run that an earlier request with this key or UUID created."""
    by_key = connection.execute(
        "SELECT id, uuid FROM runs WHERE project = ? AND idempotency_key = ?", (project, key)
    ).fetchone()
    if isinstance(run_uuid, UnsetType):
        return None if by_key is None else by_key[0]
    wanted_uuid = str(run_uuid)
    if by_key is not None and by_key[1] != wanted_uuid:
        raise Refusal(409, {"detail": f"The idempotency key belongs to the run {by_key[1]}."})
    by_uuid = connection.execute(
        "SELECT id, project FROM runs WHERE uuid = ?", (wanted_uuid,)
    ).fetchone()
    if by_uuid is not None and by_uuid[1] != project:
        raise Refusal(409, {"detail": f"The run {wanted_uuid} belongs to another project."})
    if by_uuid is None and is_deleted_run(connection, wanted_uuid):
        raise Refusal(409, {"detail": f"The run {wanted_uuid} was deleted."})
    return None if by_uuid is None else by_uuid[0]


def get_run(call: Call) -> Answer:
    """Returns the run with this UUID."""
    with call.database.reading() as connection:
        return Answer(200, _encode_run(connection, run_of(connection, call)))


def update_run(call: Call) -> Answer:
    """Changes the fields in the body and keeps the others."""
    body = call.decode_body(_run_update)
    with call.database.writing() as connection:
        run = run_of(connection, call)
        changes: dict[str, Any] = {}
        if body.status is not UNSET:
            changes["status"] = body.status
        if body.name is not UNSET:
            changes["name"] = _free_name(connection, project_of(connection, call), body.name, run)
        if body.description is not UNSET:
            changes["description"] = body.description
        if changes:
            changes["updated"] = current_time()
            columns = ", ".join(f"{column} = ?" for column in changes)
            connection.execute(
                f"UPDATE runs SET {columns} WHERE id = ?",  # noqa: S608 - constant column names
                (*changes.values(), run),
            )
        return Answer(200, _encode_run(connection, run))


def delete_run(call: Call) -> Answer:
    """Deletes the run and its metrics."""
    with call.database.writing() as connection:
        run = run_of(connection, call)
        connection.execute("INSERT INTO deleted_runs SELECT uuid FROM runs WHERE id = ?", (run,))
        connection.execute("DELETE FROM runs WHERE id = ?", (run,))
    return Answer(204)
