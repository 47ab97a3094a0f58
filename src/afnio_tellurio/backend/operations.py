"""The operations on keys, projects and runs, one function each, named after its operationId.

Each takes a `Call` and gives an `Answer`. What cannot be done is raised as a `Refusal`.
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

# The operations: who


def verify_api_key(call: Call) -> Answer:
    """Says whom the API key belongs to."""
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
    identity, name, slug, created, last_run, visibility, *organisation = row
    last = None if last_run is None else rfc3339(last_run)
    return structs.Project(
        identity, name, slug, rfc3339(created), last, visibility, "OWNER", *organisation
    )


def list_namespaces(call: Call) -> Answer:
    """All namespaces, by slug."""
    with call.database.reading() as connection:
        rows = connection.execute(
            "SELECT uuid, slug, display_name FROM namespaces ORDER BY slug"
        ).fetchall()
    return Answer(200, structs.encode([structs.Namespace(*row) for row in rows]))


def list_projects(call: Call) -> Answer:
    """All projects of the namespace, by slug."""
    with call.database.reading() as connection:
        namespace = namespace_of(connection, call)
        rows = connection.execute(
            f"{_PROJECT} WHERE p.namespace = ? ORDER BY p.slug", (namespace,)
        ).fetchall()
    return Answer(200, structs.encode([_project_answer(row) for row in rows]))


def create_project(call: Call) -> Answer:
    """Creates a project in the namespace."""
    wanted = call.decoded(_project_create)
    slug = slugify(wanted.display_name)
    if not slug:
        raise Refusal(400, {"display_name": ["It has no letter or digit to make a slug of."]})
    with call.database.writing() as connection:
        namespace = namespace_of(connection, call, create=True)
        made = connection.execute(
            "INSERT INTO projects (uuid, namespace, slug, display_name, visibility, created) "
            "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id",
            (
                str(uuid.uuid4()),
                namespace,
                slug,
                wanted.display_name,
                wanted.visibility,
                current_time(),
            ),
        ).fetchone()
        if made is None:
            where = call.path["namespace_slug"]
            raise Refusal(409, {"detail": f"A project with the slug {slug} exists in {where}."})
        row = connection.execute(f"{_PROJECT} WHERE p.id = ?", made).fetchone()
    return Answer(201, structs.encode(_project_answer(row)))


def get_project(call: Call) -> Answer:
    """The project with this slug."""
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


def _one_run(connection: sqlite3.Connection, run: int) -> bytes:
    return structs.encode(
        _run_answer(connection.execute(f"{_RUN} WHERE r.id = ?", (run,)).fetchone())
    )


def _free_name(
    connection: sqlite3.Connection, project: int, name: str | UnsetType, run: int
) -> str:
    """The name, or the first of `name_1`, `name_2`, ... that no other run of the project has."""
    wanted = random_run_name() if isinstance(name, UnsetType) else name
    candidate, number = wanted, 0
    while connection.execute(
        "SELECT 1 FROM runs WHERE project = ? AND name = ? AND id <> ?", (project, candidate, run)
    ).fetchone():
        number += 1
        candidate = f"{wanted}_{number}"
    return candidate


def list_runs(call: Call) -> Answer:
    """The runs of the project that pass all filters given, newest first."""
    limit = integer_of(call, "limit", 1, _MAX_RUNS)
    status = call.word("status")
    if status is not None and status not in list(structs.RunStatus):
        raise Refusal(400, {"status": [f'"{status}" is not a valid choice.']})
    filters = [
        ("r.status = ?", status),
        ("r.name = ?", call.word("name")),
        ("r.created >= ?", time_of(call, "created_after")),
        ("r.updated >= ?", time_of(call, "updated_after")),
        ("r.created < ?", time_of(call, "created_before")),
        ("r.id < ?", cursor_of(call, int)),
    ]
    given = [(condition, value) for condition, value in filters if value is not None]
    where = " AND ".join(["r.project = ?", *(condition for condition, _ in given)])
    with call.database.reading() as connection:
        rows = connection.execute(
            f"{_RUN} WHERE {where} ORDER BY r.id DESC LIMIT ?",
            (
                project_of(connection, call),
                *(value for _, value in given),
                -1 if limit is None else limit + 1,
            ),
        ).fetchall()
    # One more than a page holds was read, to tell whether there is another.
    shown = rows if limit is None else rows[:limit]
    headers = [next_cursor(shown[-1][0])] if len(rows) > len(shown) else []
    return Answer(200, structs.encode([_run_answer(row) for row in shown]), headers)


def create_run(call: Call) -> Answer:
    """Creates a run, once for each idempotency key and each UUID."""
    wanted = call.decoded(_run_create)
    key = call.headers.get("idempotency-key")
    if key is not None and not 1 <= len(key) <= 255:  # noqa: PLR2004 - the contract's bound
        raise Refusal(400, {"Idempotency-Key": ["Give 1 to 255 characters."]})
    with call.database.writing() as connection:
        project = project_of(connection, call)
        run = _created_before(connection, project, key, wanted.uuid)
        if run is None:
            now = current_time()
            (run,) = connection.execute(
                "INSERT INTO runs (uuid, project, user, name, description, status, created, "
                "updated, idempotency_key) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
                (
                    str(uuid.uuid4() if wanted.uuid is UNSET else wanted.uuid),
                    project,
                    user_of(connection, call.user),
                    _free_name(connection, project, wanted.name, 0),
                    wanted.description,
                    wanted.status,
                    now,
                    now,
                    key,
                ),
            ).fetchone()
        return Answer(201, _one_run(connection, run))


def _created_before(
    connection: sqlite3.Connection, project: int, key: str | None, run_uuid: UUID | UnsetType
) -> int | None:
    """The id of the run that an earlier request with this key or this UUID created."""
    by_key = connection.execute(
        "SELECT id, uuid FROM runs WHERE project = ? AND idempotency_key = ?", (project, key)
    ).fetchone()
    if isinstance(run_uuid, UnsetType):
        return None if by_key is None else by_key[0]
    wanted = str(run_uuid)
    if by_key is not None and by_key[1] != wanted:
        raise Refusal(409, {"detail": f"The idempotency key belongs to the run {by_key[1]}."})
    by_uuid = connection.execute(
        "SELECT id, project FROM runs WHERE uuid = ?", (wanted,)
    ).fetchone()
    if by_uuid is not None and by_uuid[1] != project:
        raise Refusal(409, {"detail": f"The run {wanted} belongs to another project."})
    if by_uuid is None and is_deleted_run(connection, wanted):
        raise Refusal(409, {"detail": f"The run {wanted} was deleted."})
    return None if by_uuid is None else by_uuid[0]


def get_run(call: Call) -> Answer:
    """The run with this UUID."""
    with call.database.reading() as connection:
        return Answer(200, _one_run(connection, run_of(connection, call)))


def update_run(call: Call) -> Answer:
    """Changes the fields given and leaves the others as they are."""
    wanted = call.decoded(_run_update)
    with call.database.writing() as connection:
        run = run_of(connection, call)
        changes: dict[str, Any] = {}
        if wanted.status is not UNSET:
            changes["status"] = wanted.status
        if wanted.name is not UNSET:
            changes["name"] = _free_name(connection, project_of(connection, call), wanted.name, run)
        if wanted.description is not UNSET:
            changes["description"] = wanted.description
        if changes:
            changes["updated"] = current_time()
            columns = ", ".join(f"{column} = ?" for column in changes)
            connection.execute(
                f"UPDATE runs SET {columns} WHERE id = ?",  # noqa: S608 - the columns are ours
                (*changes.values(), run),
            )
        return Answer(200, _one_run(connection, run))


def delete_run(call: Call) -> Answer:
    """Deletes the run and its metrics."""
    with call.database.writing() as connection:
        run = run_of(connection, call)
        connection.execute("INSERT INTO deleted_runs SELECT uuid FROM runs WHERE id = ?", (run,))
        connection.execute("DELETE FROM runs WHERE id = ?", (run,))
    return Answer(204)
