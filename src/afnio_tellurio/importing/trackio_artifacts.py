"""Versions of artifacts of trackio, whose bytes are in a folder beside the database."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from afnio_tellurio.api.artifact_entities import ArtifactFile
from afnio_tellurio.artifact_paths import check_paths
from afnio_tellurio.importing import databases
from afnio_tellurio.importing.imported_runs import ImportedVersion
from afnio_tellurio.importing.media import find_file
from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.tracking.artifact_arguments import (
    checked_aliases,
    checked_artifact_name,
    checked_description,
    checked_metadata,
    checked_size,
    checked_type,
    checked_uri,
)

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from afnio_tellurio.importing.imported_runs import ImportedRun

_TABLES = {"artifacts", "artifact_versions", "artifact_aliases"}
_DIGEST = re.compile("[0-9a-f]{64}")
#: Every backend has it at the newest version.
_LATEST = "latest"


class _Entry(msgspec.Struct):
    """A file in the manifest of a version; one with an address is a reference."""

    path: str
    digest: str
    size: int | None = None
    ref: str | None = None


def add_versions(run: ImportedRun, file: Path, database: sqlite3.Connection, run_id: str) -> None:
    """Adds the versions that a run created; counts those that cannot be imported.

    Args:
        run: The run.
        file: The database.
        database: The same, opened.
        run_id: The ID of the run there.

    Raises:
        ValueError: A column is of another type.
    """
    if not databases.tables_of(database) >= _TABLES:
        return
    blobs = file.parent / "artifacts" / file.stem / "blobs" / "sha256"
    rows = database.execute(
        "SELECT v.id, v.version, v.manifest, v.metadata, a.name, a.type, a.description "
        "FROM artifact_versions AS v JOIN artifacts AS a ON a.id = v.artifact_id "
        "WHERE v.producer_run_id = ? ORDER BY v.id",
        (run_id,),
    ).fetchall()
    for row in rows:
        found = database.execute(
            "SELECT alias FROM artifact_aliases WHERE artifact_version_id = ? ORDER BY alias",
            (row["id"],),
        )
        aliases = [alias for (alias,) in found if alias != _LATEST]
        try:
            version = _version(row, aliases, blobs)
        except (TypeError, ValueError, msgspec.DecodeError, RecursionError) as error:
            raise_foreign(error)
            run.skipped["invalid versions of artifacts"] += 1
            continue
        if version is None:
            run.skipped["versions of artifacts without their files"] += 1
        else:
            run.versions.append(version)


def _version(row: sqlite3.Row, aliases: list[Any], blobs: Path) -> ImportedVersion | None:
    """Returns a version, or None if the bytes of a file are missing."""
    entries = msgspec.json.decode(row["manifest"], type=list[_Entry])
    check_paths(entry.path for entry in entries)
    metadata = msgspec.json.decode(row["metadata"] or "{}", type=dict[str, Any])
    name = checked_artifact_name("import", row["name"])
    version = ImportedVersion(
        artifact=name,
        name=f"{name}:v{row['version']}",
        fields={
            "type": checked_type("import", row["type"]),
            "description": checked_description("import", row["description"]),
            "metadata": checked_metadata("import", metadata),
            "aliases": checked_aliases("import", aliases),
        },
        files=[_file(entry) for entry in entries],
        places={},
    )
    for file in version.files:
        if file.reference is not None:
            continue
        digest = file.digest or ""
        place = find_file(blobs, f"{digest[:2]}/{digest}")
        if place is None or place.stat().st_size != file.size:
            return None
        version.places[file.path] = place
    return version


def _file(entry: _Entry) -> ArtifactFile:
    is_digest = _DIGEST.fullmatch(entry.digest) is not None
    if entry.ref is not None:
        # Its digest may be another checksum, or its address.
        digest = entry.digest if is_digest else None
        size, uri = checked_size("import", entry.size), checked_uri("import", entry.ref)
        return ArtifactFile(entry.path, size, digest, reference=uri)
    if not is_digest or entry.size is None:
        raise ValueError(f"the file {entry.path!r} has no digest or no size")
    return ArtifactFile(entry.path, entry.size, entry.digest)
