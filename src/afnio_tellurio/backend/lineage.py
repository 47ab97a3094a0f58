"""The operations on which runs created and used which versions of artifacts."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from afnio_tellurio.backend.artifact_structs import (
    ArtifactDirection,
    ArtifactRun,
    ArtifactUse,
    RunArtifact,
)
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
)
from afnio_tellurio.backend.store import lineage as stored_lineage
from afnio_tellurio.backend.structs import Step, encode
from afnio_tellurio.backend.version_references import version_of, version_response

_MAX_PAGE = 1000

_artifact_use = msgspec.json.Decoder(ArtifactUse)


class _Cursor(NamedTuple):
    """The last item of a page."""

    id: Step


def list_run_artifacts(call: Call) -> Answer:
    """Returns the versions that the run created and used, in the order in which it did."""
    limit, cursor = integer_of(call, "limit", 1, _MAX_PAGE), cursor_of(call, _Cursor)
    direction = call.parameter("direction")
    if direction is not None and direction not in list(ArtifactDirection):
        raise Refusal(400, {"direction": [f"{quoted(direction)} is not a valid choice."]})
    with call.database.reading() as connection:
        rows = stored_lineage.list_run_artifacts(
            connection,
            run_of(connection, call),
            direction=direction,
            after=0 if cursor is None else cursor.id,
            limit=rows_for(limit),
        )
    page, headers = page_of(rows, limit, lambda row: _Cursor(row.id))
    artifacts = [
        RunArtifact(
            direction=row.direction,
            artifact=row.artifact,
            version=f"v{row.number}",
            type=row.type,
            digest=row.digest,
            size=row.size,
            timestamp=rfc3339(row.time),
        )
        for row in page
    ]
    return Answer(200, encode(artifacts), headers)


def use_artifact(call: Call) -> Answer:
    """Records a version as an input of the run, once."""
    body = call.decode_body(_artifact_use)
    with call.database.writing() as connection:
        run, project = run_of(connection, call), project_of(connection, call)
        version = version_of(connection, project, body.artifact, body.version)
        stored_lineage.add_use(connection, run, version, stored_lineage.INPUT, current_time())
        return version_response(200, connection, version)


def list_artifact_runs(call: Call) -> Answer:
    """Returns the runs that created and used the version, in the order in which they did."""
    limit, cursor = integer_of(call, "limit", 1, _MAX_PAGE), cursor_of(call, _Cursor)
    with call.database.reading() as connection:
        version = version_of(
            connection,
            project_of(connection, call),
            call.path["artifact_name"],
            call.path["version"],
        )
        rows = stored_lineage.list_artifact_runs(
            connection,
            version,
            after=0 if cursor is None else cursor.id,
            limit=rows_for(limit),
        )
    page, headers = page_of(rows, limit, lambda row: _Cursor(row.id))
    runs = [
        ArtifactRun(row.direction, row.run_uuid, row.run_name, rfc3339(row.time)) for row in page
    ]
    return Answer(200, encode(runs), headers)
