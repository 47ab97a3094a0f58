"""The operations on aliases of versions of artifacts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from afnio_tellurio.backend.artifact_structs import AliasSet
from afnio_tellurio.backend.requests import Answer, Call, Refusal, not_found, project_of, quoted
from afnio_tellurio.backend.store import artifact_changes
from afnio_tellurio.backend.store import artifacts as stored_artifacts
from afnio_tellurio.backend.version_references import (
    artifact_of,
    checked_alias,
    version_of,
    version_response,
)

if TYPE_CHECKING:
    import sqlite3

_ANY = "*"
_IF_MATCH = re.compile(r'\*|"v[0-9]+"')

_alias_set = msgspec.json.Decoder(AliasSet)


def set_artifact_alias(call: Call) -> Answer:
    """Makes the alias name a version, if it names the one that the request expects."""
    alias = checked_alias(call.path["alias"], "alias")
    name = call.path["artifact_name"]
    body = call.decode_body(_alias_set)
    _check_conditions(call)
    with call.database.writing() as connection:
        project = project_of(connection, call)
        version = version_of(connection, project, name, body.version)
        artifact = artifact_of(connection, project, name)
        current = stored_artifacts.find_by_alias(connection, artifact, alias)
        _require_conditions(connection, call, current)
        artifact_changes.set_aliases(connection, version, [alias])
        return version_response(200, connection, version)


def _check_conditions(call: Call) -> None:
    expected, unexpected = call.headers.get("if-match"), call.headers.get("if-none-match")
    if expected is not None and not _IF_MATCH.fullmatch(expected):
        message = f"{quoted(expected)} is not * or a version in double quotes."
        raise Refusal(400, {"If-Match": [message]})
    if unexpected is not None and unexpected != _ANY:
        raise Refusal(400, {"If-None-Match": [f"{quoted(unexpected)} is not *."]})


def _require_conditions(connection: sqlite3.Connection, call: Call, current: int | None) -> None:
    """Refuses the request if the alias names another version than it expects."""
    expected = call.headers.get("if-match")
    if current is None:
        is_met, words = expected is None, "does not exist"
    else:
        number = stored_artifacts.read_version(connection, current).number
        is_met = expected in {None, _ANY, f'"v{number}"'} and "if-none-match" not in call.headers
        words = f"names v{number}"
    if not is_met:
        alias, name = call.path["alias"], call.path["artifact_name"]
        raise Refusal(412, {"detail": f"The alias {alias} of the artifact {name} {words}."})


def delete_artifact_alias(call: Call) -> Answer:
    """Removes the alias; the version stays."""
    alias, name = call.path["alias"], call.path["artifact_name"]
    with call.database.writing() as connection:
        artifact = artifact_of(connection, project_of(connection, call), name)
        if not artifact_changes.delete_alias(connection, artifact, alias):
            raise not_found(f"Alias {alias} of the artifact {name}")
    return Answer(204)
