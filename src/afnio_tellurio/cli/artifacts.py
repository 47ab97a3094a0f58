"""The commands that list, show, download and verify artifacts."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from afnio_tellurio.cli import artifact_changes, artifact_diff
from afnio_tellurio.cli.arguments import Commands, path_type, with_file_names
from afnio_tellurio.cli.artifact_references import (
    add_reference,
    find_version,
    list_artifacts,
    list_versions,
    slug_of,
)
from afnio_tellurio.cli.finding import find_projects
from afnio_tellurio.cli.layout import table
from afnio_tellurio.cli.printing import complain, file_count, format_date, short_json
from afnio_tellurio.notices import printable, show_progress
from afnio_tellurio.sizes import counted_bytes

if TYPE_CHECKING:
    import argparse
    from collections.abc import Generator, Iterable, Iterator, Sequence

    import afnio_tellurio as te
    from afnio_tellurio.artifacts.saving import FileToSave

#: The parts of NAMESPACE/PROJECT.
_PROJECT_PARTS = 2
#: Files on a screen; --files and JSON have all.
_MAX_FILES = 50


def add_commands(commands: Commands) -> None:
    """Adds `artifacts` and `artifact`."""
    artifacts = commands.add_parser(
        "artifacts",
        help="list artifacts, of a project, of a namespace, or of all",
        epilog="example: afnio-tellurio artifacts acme/digits --type model",
    )
    artifacts.add_argument(
        "path",
        metavar="NAMESPACE[/PROJECT]",
        nargs="?",
        type=path_type(1, 2),
        default=[],
        help="default: every namespace",
    )
    artifacts.add_argument("--type", metavar="TYPE", help="only artifacts of this type")
    artifacts.add_argument("--json", action="store_true", help="print JSON")
    artifacts.set_defaults(command=_artifacts)

    artifact = commands.add_parser(
        "artifact",
        help="show, download, upload, change and compare versions of an artifact",
        description="Commands for one artifact. NAMESPACE/PROJECT/NAME names its newest version; a "
        "version, an alias or sha256:DIGEST follows a colon.",
        epilog="example: afnio-tellurio artifact show acme/digits/model:best",
    )
    actions = artifact.add_subparsers(dest="action", metavar="ACTION", required=True)
    _add_reading(actions)
    _add_downloading(actions)
    artifact_diff.add_actions(actions)
    artifact_changes.add_actions(actions)


def _add_reading(actions: Commands) -> None:
    show = actions.add_parser(
        "show",
        help="show a version, its files, and the runs that created and used it",
        epilog="example: afnio-tellurio artifact show acme/digits/model:best",
    )
    add_reference(show)
    show.add_argument("--files", action="store_true", help=f"all files, not only {_MAX_FILES}")
    show.add_argument("--json", action="store_true", help="print JSON")
    show.set_defaults(command=_show)

    versions = actions.add_parser(
        "versions",
        help="list the versions of an artifact, newest first",
        epilog="example: afnio-tellurio artifact versions acme/digits/model",
    )
    versions.add_argument(
        "artifact", metavar="NAMESPACE/PROJECT/NAME", type=path_type(3, last="NAME")
    )
    versions.add_argument("--json", action="store_true", help="print JSON")
    versions.set_defaults(command=_versions)


def _add_downloading(actions: Commands) -> None:
    download = actions.add_parser(
        "download",
        help="download the files of a version",
        description="Downloads the files of a version and compares their digests. A file that is "
        "there with the same bytes is not downloaded again; one with other bytes is replaced when "
        "the download is complete. References are left out.",
        epilog="example: afnio-tellurio artifact download acme/digits/model:best --to model",
    )
    add_reference(download)
    with_file_names(
        download.add_argument(
            "--to", metavar="DIR", type=Path, help="folder (default: artifacts/NAME-VERSION)"
        )
    )
    download.add_argument(
        "--include",
        metavar="PATTERN",
        nargs="+",
        action="extend",
        help="only files that match one, as in .gitignore: '*.json'",
    )
    download.add_argument("--json", action="store_true", help="print JSON")
    download.set_defaults(command=_download)

    verify = actions.add_parser(
        "verify",
        help="download the files of a version, keep none, and compare their digests",
        epilog="example: afnio-tellurio artifact verify acme/digits/model",
    )
    add_reference(verify)
    verify.set_defaults(command=_verify)


def _artifacts(options: argparse.Namespace) -> int:
    artifacts = _find_artifacts(options.path, options.type)
    if options.json:
        facts = [{"project": place, **_summary_facts(each)} for place, each in artifacts]
        print(json.dumps(facts, indent=2))
        return 0
    if not artifacts:
        complain(
            "No artifacts match."
            if options.type is not None
            else "No artifacts yet; log_artifact() creates one."
        )
        return 0
    has_projects = len(options.path) < _PROJECT_PARTS
    rows = [
        [
            *([place] if has_projects else []),
            artifact.name,
            artifact.type,
            artifact.latest or "-",
            str(artifact.version_count),
            counted_bytes(artifact.size),
            format_date(artifact.date_updated),
        ]
        for place, artifact in artifacts
    ]
    header = ["PROJECT"] if has_projects else []
    header += ["ARTIFACT", "TYPE", "LATEST", "VERSIONS", "SIZE", "UPDATED"]
    print(table(header, rows, numbers={"VERSIONS", "SIZE"}))
    return 0


def _find_artifacts(path: Sequence[str], kind: str | None) -> list[tuple[str, te.ArtifactSummary]]:
    """Lists artifacts, each with its NAMESPACE/PROJECT."""
    if len(path) == _PROJECT_PARTS:
        namespace, project = path
        places = [(namespace, slug_of(project))]
    else:
        found = find_projects(path[0] if path else None)
        places = [(namespace, project.slug) for namespace, project in found]
    return [
        (f"{namespace}/{slug}", artifact)
        for namespace, slug in places
        for artifact in list_artifacts(namespace, slug, kind)
    ]


def _summary_facts(artifact: te.ArtifactSummary) -> dict[str, Any]:
    return {
        "name": artifact.name,
        "type": artifact.type,
        "latest": artifact.latest,
        "version_count": artifact.version_count,
        "size": artifact.size,
        "date_created": artifact.date_created.isoformat(),
        "date_updated": artifact.date_updated.isoformat(),
    }


def _versions(options: argparse.Namespace) -> int:
    versions = list_versions(options.artifact)
    if options.json:
        print(json.dumps(list(map(_version_facts, versions)), indent=2))
        return 0
    rows = [
        [
            str(version.version),
            ", ".join(version.aliases) or "-",
            counted_bytes(version.size or 0),
            format_date(version.date_created),
            str(version.digest)[:12],
            (version.description or "-").split("\n")[0],
        ]
        for version in versions
    ]
    header = ["VERSION", "ALIASES", "SIZE", "CREATED", "DIGEST", "DESCRIPTION"]
    print(table(header, rows, numbers={"SIZE"}))
    return 0


def _version_facts(version: te.Artifact) -> dict[str, Any]:
    from afnio_tellurio.validation import json_value

    return {
        "name": version.name,
        "type": version.type,
        "version": version.version,
        "aliases": list(version.aliases),
        "digest": version.digest,
        "size": version.size,
        "date_created": version.date_created and version.date_created.isoformat(),
        "description": version.description,
        "metadata": json_value(version.metadata),
    }


def _show(options: argparse.Namespace) -> int:
    artifact = find_version(options.artifact)
    producer, consumers, files = artifact.producer, artifact.consumers, artifact.files
    if options.json:
        facts = {
            **_version_facts(artifact),
            "producer": producer and _link_facts(producer),
            "consumers": list(map(_link_facts, consumers)),
            "files": list(map(_file_facts, files)),
        }
        print(json.dumps(facts, indent=2))
        return 0
    facts = {
        "artifact": artifact.name,
        "type": artifact.type,
        "version": str(artifact.version),
        "aliases": ", ".join(artifact.aliases),
        "digest": str(artifact.digest),
        "size": f"{counted_bytes(artifact.size or 0)} in {file_count(len(files))}",
        "created": format_date(artifact.date_created),
        "producer": (producer and _named(producer)) or "-",
        "consumers": ", ".join(dict.fromkeys(map(_named, consumers))) or "-",
        "description": artifact.description or "",
    }
    rows = [
        [label if number == 0 else "", line]
        for label, text in facts.items()
        if text
        for number, line in enumerate(text.split("\n"))
    ]
    print(table([], rows))
    if artifact.metadata:
        fields = _version_facts(artifact)["metadata"]
        print("\nMETADATA")
        print(table([], [[name, short_json(value)] for name, value in fields.items()]))
    _print_files(files, len(files) if options.files else _MAX_FILES)
    return 0


def _print_files(files: Sequence[te.ArtifactFile], most: int) -> None:
    rows = [
        [
            file.path,
            "-" if file.size is None else counted_bytes(file.size),
            file.reference or str(file.digest)[:12],
        ]
        for file in files[:most]
    ]
    print("\nFILES")
    print(table(["PATH", "SIZE", "DIGEST"], rows, numbers={"SIZE"}))
    if most < len(files):
        print(f"\n{len(files) - most} more files; --files shows all")


def _named(link: te.ArtifactLink) -> str:
    return link.run_name or link.run_uuid


def _link_facts(link: te.ArtifactLink) -> dict[str, Any]:
    return {
        "run_uuid": link.run_uuid,
        "run_name": link.run_name,
        "timestamp": link.timestamp.isoformat(),
    }


def _file_facts(file: te.ArtifactFile) -> dict[str, Any]:
    return {
        "path": file.path,
        "size": file.size,
        "digest": file.digest,
        "executable": file.executable,
        "reference": file.reference,
    }


def _download(options: argparse.Namespace) -> int:
    from afnio_tellurio.artifacts.saving import save_below

    artifact = find_version(options.artifact)
    files = artifact._files_to_save(options.include)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    if options.include and not files:
        raise LookupError(
            f"no file of {artifact.name}:{artifact.version} matches {' '.join(options.include)}"
        )
    folder: Path = options.to or artifact._default_folder()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    size = sum(file.size for file in files)
    try:
        downloaded = save_below(folder, with_progress(files, size))
    finally:
        # Clears the progress before the next message.
        show_progress("")
    if options.json:
        facts = {
            "name": artifact.name,
            "version": artifact.version,
            "folder": str(folder),
            "files": len(files),
            "size": size,
            "downloaded": downloaded,
        }
        print(json.dumps(facts, indent=2))
        return 0
    same = len(files) - downloaded
    unchanged = f" ({same:,} already there)" if same else ""
    print(
        f"{printable(str(folder))}: {file_count(len(files))}{unchanged}, "
        f"{counted_bytes(size)} of {printable(f'{artifact.name}:{artifact.version}')}"
    )
    return 0


def with_progress(files: Sequence[FileToSave], size: int) -> list[FileToSave]:
    """Returns files that show how many bytes were downloaded, on a terminal."""
    received = 0

    def counted(pieces: Iterable[bytes]) -> Iterator[bytes]:
        nonlocal received
        for piece in pieces:
            received += len(piece)
            show_progress(f"{counted_bytes(received)} of {counted_bytes(size)}")
            yield piece

    def with_count(file: FileToSave) -> FileToSave:
        @contextmanager
        def open_stream() -> Generator[Iterable[bytes]]:
            with file.open_stream() as pieces:
                yield counted(pieces)

        return file._replace(open_stream=open_stream)

    return list(map(with_count, files))


def _verify(options: argparse.Namespace) -> int:
    artifact = find_version(options.artifact)
    artifact.verify()
    files = [file for file in artifact.files if file.reference is None]
    size = sum(file.size or 0 for file in files)
    print(
        f"{printable(f'{artifact.name}:{artifact.version}')}: verified "
        f"{file_count(len(files))}, {counted_bytes(size)}"
    )
    return 0
