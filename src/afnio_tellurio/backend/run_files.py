"""The operations on the files of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple

import msgspec
from msgspec import UnsetType

from afnio_tellurio.artifact_paths import check_path
from afnio_tellurio.backend.artifact_contents import blobs_missing
from afnio_tellurio.backend.artifact_structs import RunFile, RunFileCreate
from afnio_tellurio.backend.blob_answers import blob_answer
from afnio_tellurio.backend.request_headers import idempotency_key_of
from afnio_tellurio.backend.requests import (
    Answer,
    Call,
    Refusal,
    current_time,
    cursor_of,
    integer_of,
    length_for,
    not_found,
    page_of,
    project_of,
    quoted,
    required_parameter,
    rfc3339,
    rows_for,
    run_of,
    storable_microseconds_of,
)
from afnio_tellurio.backend.store import blobs as stored_blobs
from afnio_tellurio.backend.store import run_files as stored_files
from afnio_tellurio.backend.structs import MAX_STEP, encode

if TYPE_CHECKING:
    import sqlite3

_MAX_FILES = 10_000
#: The kind of files without steps.
_FILE = "file"

_file_create = msgspec.json.Decoder(RunFileCreate)


class _Cursor(NamedTuple):
    """The last file of a page."""

    path: str
    step: Annotated[int, msgspec.Meta(ge=stored_files.NO_STEP, le=MAX_STEP)]


def _file_answer(row: stored_files.RunFileRow) -> RunFile:
    return RunFile(
        path=row.path,
        kind=row.kind,
        digest=row.digest,
        size=row.size,
        step=None if row.step == stored_files.NO_STEP else row.step,
        content_type=row.content_type,
        timestamp=rfc3339(row.timestamp),
    )


def list_run_files(call: Call) -> Answer:
    """Returns the files of the run, sorted by path and step; fewer than the limit if large."""
    limit = integer_of(call, "limit", 1, _MAX_FILES)
    cursor = cursor_of(call, _Cursor)
    with call.database.reading() as connection:
        rows = stored_files.list_run_files(
            connection,
            run_of(connection, call),
            prefix=call.parameter("prefix") or "",
            kind=call.parameter("kind"),
            after=("", stored_files.NO_STEP) if cursor is None else cursor,
            limit=rows_for(limit),
            length=length_for(limit),
        )
    page, headers = page_of(
        rows, limit, lambda row: _Cursor(row.path, row.step), stored_files.RunFileRow.length
    )
    return Answer(200, encode([_file_answer(row) for row in page]), headers)


def log_run_file(call: Call) -> Answer:
    """Records a file of the run once per idempotency key."""
    body, key = call.decode_body(_file_create), idempotency_key_of(call)
    timestamp = _check(body)
    with call.database.writing() as connection:
        run = run_of(connection, call)
        known = None if key is None else _known_file(connection, run, key, body)
        if known is not None:
            return Answer(201, encode(_file_answer(known)))
        project = project_of(connection, call)
        blob = stored_blobs.find_blobs(connection, project, [body.digest]).get(body.digest)
        if blob is None:
            raise blobs_missing([body.digest])
        file = stored_files.NewRunFile(
            path=body.path,
            step=_step_in(connection, run, body),
            kind=body.kind,
            blob=blob.id,
            content_type=body.content_type,
            timestamp=timestamp,
            idempotency_key=key,
        )
        previous = stored_files.put_run_file(connection, run, file)
        stored_blobs.mark_used(connection, [blob.id])
        if previous is not None:
            stored_blobs.mark_unused(connection, [previous], 0)
        row = stored_files.find_run_file(connection, run, file.path, file.step)
    assert row is not None
    return Answer(201, encode(_file_answer(row)))


def _known_file(
    connection: sqlite3.Connection, run: int, key: str, body: RunFileCreate
) -> stored_files.RunFileRow | None:
    """Returns what an earlier request with this key logged, or has been replaced by, or None."""
    known = stored_files.find_by_idempotency_key(connection, run, key)
    if known is None and stored_files.is_replaced(connection, run, key):
        step = stored_files.NO_STEP if body.kind == _FILE else body.step
        known = stored_files.find_run_file(connection, run, body.path, step)
    return known


def _check(body: RunFileCreate) -> int:
    """Checks the body of logRunFile and returns its time, in microseconds since 1970."""
    try:
        check_path(body.path)
    except ValueError as error:
        raise Refusal(400, {"path": [f"{error}."]}) from None
    if body.kind == _FILE and body.step is not None:
        raise Refusal(400, {"step": ["A file of the kind file has no step."]})
    if isinstance(body.timestamp, UnsetType):
        return current_time()
    try:
        return storable_microseconds_of(body.timestamp)
    except ValueError as error:
        raise Refusal(400, {"timestamp": [f"{error}."]}) from None


def _step_in(connection: sqlite3.Connection, run: int, body: RunFileCreate) -> int:
    if body.kind == _FILE:
        return stored_files.NO_STEP
    if body.step is not None:
        return body.step
    last = stored_files.find_run_file(connection, run, body.path, None)
    step = 0 if last is None else last.step + 1
    if step > MAX_STEP:
        raise Refusal(400, {"step": ["The last step is the maximum; pass a step."]})
    return step


def download_run_file(call: Call) -> Answer:
    """Returns a file of the run, or a part of it. Its path is only compared with others."""
    path = required_parameter(call, "path")
    step = integer_of(call, "step", 0, MAX_STEP)
    with call.database.reading() as connection:
        file = stored_files.find_run_file(connection, run_of(connection, call), path, step)
    if file is None:
        words = "" if step is None else f" at step {step}"
        raise not_found(f"File {quoted(path)}{words} of the run {call.path['run_uuid']}")
    return blob_answer(call, digest=file.digest, size=file.size, blob=file.blob)
