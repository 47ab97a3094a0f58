"""The operation that lists runs."""

from __future__ import annotations

from afnio_tellurio.backend import structs
from afnio_tellurio.backend.requests import (
    Answer,
    Call,
    Refusal,
    current_time,
    integer_of,
    project_of,
    quoted,
    time_of,
    uuid_of,
)
from afnio_tellurio.backend.run_queries import RunQuery
from afnio_tellurio.backend.runs import run_answer
from afnio_tellurio.backend.store.run_lists import RunFilters, Selection

_MAX_RUNS = 1000


def list_runs(call: Call) -> Answer:
    """Returns the runs of the project that match all filters."""
    limit = integer_of(call, "limit", 1, _MAX_RUNS)
    query, filters = RunQuery.of(call), _filters_of(call)
    with call.database.reading() as connection:
        project = project_of(connection, call)
        query.require_known(connection, project)
        selection = Selection(project, *query, current_time(), filters)
        page, headers = query.read_page(connection, selection, limit)
    applied = [name for name in ("where", "sort") if getattr(query, name) is not None]
    if applied:
        headers.append(("Applied-Parameters", ", ".join(applied)))
    return Answer(200, structs.encode([run_answer(listed.row) for listed in page]), headers)


def _filters_of(call: Call) -> RunFilters:
    status = call.parameter("status")
    if status is not None and status not in list(structs.RunStatus):
        raise Refusal(400, {"status": [f"{quoted(status)} is not a valid choice."]})
    return RunFilters(
        status=status,
        name=call.parameter("name"),
        created_from=time_of(call, "created_after"),
        updated_from=time_of(call, "updated_after"),
        created_before=time_of(call, "created_before"),
        tag=call.parameter("tag"),
        group_name=call.parameter("group"),
        job_type=call.parameter("job_type"),
        parent_uuid=uuid_of(call, "parent_uuid"),
    )
