"""Artifacts that runs of wandb logged offline; wandb stages their files outside of the run.

A record may be of anyone, and names any file of this disk: a file is read only if it has the MD5
that the record has, so its content was known before.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from afnio_tellurio.api.artifact_entities import ArtifactFile
from afnio_tellurio.artifact_paths import check_paths
from afnio_tellurio.importing.imported_runs import ImportedVersion
from afnio_tellurio.importing.media import find_file
from afnio_tellurio.importing.protobuf import Message
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
    from collections.abc import Iterable, Iterator

    from afnio_tellurio.importing.imported_runs import ImportedRun

_READ_BYTES = 2**20
#: wandb logs each table as an artifact too.
_TABLES = {"run_table", "wandb-run-incremental-table"}
#: Every backend has it at the newest version.
_LATEST = "latest"
#: Where wandb stages files, below its folder of data.
_STAGING = ("artifacts", "staging")
_ADVICE = (
    "copy the folder artifacts/staging of wandb, which is in WANDB_DATA_DIR or "
    "~/.local/share/wandb, into the folder that you import, and repeat the import; "
    "or log the files with log_artifact"
)


class _MissingFileError(ValueError):
    """A file of an artifact is not on this disk, or has another content."""


def add_versions(run: ImportedRun, records: Iterable[bytes], source: Path | None) -> None:
    """Adds the artifacts that a run logged; reports those that cannot be imported.

    Args:
        run: The run.
        records: The records of its artifacts, in their order.
        source: The folder that is imported, or None.
    """
    versions: dict[str, ImportedVersion] = {}
    for index, data in enumerate(records):
        name = "?"
        try:
            record = Message(data)
            name = record.last(5).text
            if record.last(4).text in _TABLES:
                run.skipped["artifacts of tables"] += 1
                continue
            # The name of the version is the same in each import.
            key = record.last(15).text or f"{name} {index}"
            versions[key] = _version(run, record, key, source)
        except (TypeError, ValueError, OSError, RecursionError) as error:
            raise_foreign(error)
            run.skipped["artifacts"] += 1
            advice = f"; {_ADVICE}" if isinstance(error, _MissingFileError) else ""
            run.left_out.append(f"the artifact {name!r} is left out: {error}{advice}")
    run.versions += versions.values()


def _version(run: ImportedRun, record: Message, key: str, source: Path | None) -> ImportedVersion:
    manifest = record.message(12)
    entries = manifest.messages(4)
    if not record.last(14).integer or record.last(100).integer:
        raise ValueError("it is a part of a version, which other runs may have changed")
    if manifest.has(5):
        raise ValueError(
            "it has more than 100,000 files; wandb lists them in a file, which is not read"
        )
    if not entries:
        raise ValueError("it has no files")
    check_paths(entry.last(1).text for entry in entries)
    name = checked_artifact_name("import", record.last(5).text)
    version = ImportedVersion(
        artifact=name,
        name=key,
        fields={
            "type": checked_type("import", record.last(4).text),
            "description": checked_description("import", record.last(7).text or None),
            "metadata": checked_metadata("import", json.loads(record.last(8).text or "{}")),
        },
        files=[],
        places={},
    )
    for entry in entries:
        _add_file(version, entry, source)
    version.fields["aliases"] = list(_aliases(run, record))
    run.skipped["tags of artifacts"] += len(record.all(19))
    return version


def _aliases(run: ImportedRun, record: Message) -> Iterator[str]:
    for alias in dict.fromkeys(field.text for field in record.all(11)):
        if alias == _LATEST:
            continue
        try:
            yield from checked_aliases("import", [alias])
        except ValueError as error:
            raise_foreign(error)
            run.skipped["invalid aliases"] += 1


def _add_file(version: ImportedVersion, entry: Message, source: Path | None) -> None:
    path, uri = entry.last(1).text, entry.last(3).text
    if uri:
        # Its digest is an MD5, another checksum, or its address.
        size = checked_size("import", entry.last(4).signed or None)
        version.files.append(
            ArtifactFile(path, size, None, reference=checked_uri("import", uri)),
        )
        return
    problem = "is not on this disk"
    for place in _places(entry.last(6).text, source):
        md5, digest, size = _digests_of(place)
        if md5 == entry.last(2).text:
            version.files.append(ArtifactFile(path, size, digest))
            version.places[path] = place
            return
        problem = f"({place}) has another MD5 than wandb recorded"
    raise _MissingFileError(f"its file {path!r} {problem}")


def _places(recorded: str, source: Path | None) -> Iterator[Path]:
    """Yields where a file is: as recorded, or in a copy of the staging folder."""
    place = Path(recorded)
    if place.is_absolute() and place.is_file():
        yield place
    parts = re.split(r"[\\/]", recorded)
    if source is not None and tuple(parts[-3:-1]) == _STAGING:
        copy = find_file(source, "/".join(parts[-3:]))
        if copy is not None:
            yield copy


def _digests_of(file: Path) -> tuple[str, str, int]:
    """Returns the MD5 as wandb writes it, the SHA-256, and the size of a file."""
    md5, sha256, size = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
    with file.open("rb") as stream:
        while piece := stream.read(_READ_BYTES):
            md5.update(piece)
            sha256.update(piece)
            size += len(piece)
    return base64.b64encode(md5.digest()).decode(), sha256.hexdigest(), size
