"""The commands that upload, name, delete and restore versions of artifacts."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import afnio_tellurio as te
from afnio_tellurio.cli.arguments import path_type, positive_integer, with_file_names
from afnio_tellurio.cli.artifact_references import (
    add_reference,
    find_version,
    missing_project,
    slug_of,
    text_of,
)
from afnio_tellurio.cli.asking import is_confirmed, require_terminal
from afnio_tellurio.notices import printable, quoted_argument, show_progress
from afnio_tellurio.sizes import counted_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from afnio_tellurio.cli.arguments import Commands


def add_actions(actions: Commands) -> None:
    """Adds `artifact upload`, `alias`, `delete` and `restore`."""
    _add_upload(actions)
    _add_changing(actions)


def _add_upload(actions: Commands) -> None:
    upload = actions.add_parser(
        "upload",
        help="upload a file or a folder as a version, without a run",
        description="Uploads a file or a folder as a new version, and returns when the backend has "
        "it. No run is recorded as its producer. If it fails, nothing is recorded; repeat it, and "
        "only what the backend lacks is sent.",
        epilog="example: afnio-tellurio artifact upload acme/digits weights.json --name model "
        "--type model --alias best",
    )
    upload.add_argument("project", metavar="NAMESPACE/PROJECT", type=path_type(2))
    with_file_names(upload.add_argument("path", metavar="PATH", type=Path))
    upload.add_argument(
        "--name",
        metavar="NAME",
        # The command itself is `name`.
        dest="artifact_name",
        help="name of the artifact (default: PATH's)",
    )
    upload.add_argument("--type", metavar="TYPE", default="file", help="default: %(default)s")
    upload.add_argument(
        "--alias", metavar="ALIAS", nargs="+", action="extend", default=[], help="aliases to set"
    )
    upload.add_argument(
        "--keep",
        metavar="N",
        type=positive_integer,
        help="keep the newest N versions without an alias, and delete older ones for good",
    )
    upload.add_argument(
        "--metadata", metavar="JSON", type=_json_object, help="an object: '{\"accuracy\": 0.9}'"
    )
    upload.add_argument("--description", metavar="TEXT")
    upload.set_defaults(command=_upload)


def _add_changing(actions: Commands) -> None:
    alias = actions.add_parser(
        "alias",
        help="make aliases name a version, or remove them",
        epilog="example: afnio-tellurio artifact alias acme/digits/model:v1 best",
    )
    add_reference(alias)
    alias.add_argument("aliases", metavar="ALIAS", nargs="+")
    alias.add_argument("--remove", action="store_true", help="remove them from the version")
    alias.set_defaults(command=_alias)

    delete = actions.add_parser(
        "delete",
        help="delete a version: move it to the trash",
        description="Moves a version to the trash for 30 days.",
        epilog="example: afnio-tellurio artifact delete acme/digits/model:v0 --yes",
    )
    add_reference(delete)
    delete.add_argument("--force", action="store_true", help="even if it has aliases")
    delete.add_argument("--purge", action="store_true", help="delete for good at once")
    delete.add_argument("--yes", action="store_true", help="skip confirmation")
    delete.set_defaults(command=_delete)

    restore = actions.add_parser(
        "restore",
        help="restore a version from the trash, without its aliases",
        epilog="example: afnio-tellurio artifact restore acme/digits/old:v0",
    )
    restore.add_argument(
        "artifact",
        metavar="NAMESPACE/PROJECT/NAME:VERSION",
        type=path_type(3, last="NAME:VERSION"),
    )
    restore.set_defaults(command=_restore)


def _json_object(text: str) -> dict[str, Any]:
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise argparse.ArgumentTypeError(f"Must be JSON ({error})") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError("Must be a JSON object")
    return value  # pyright: ignore[reportUnknownVariableType]


def _upload(options: argparse.Namespace) -> int:
    from afnio_tellurio.api.artifact_operations import ProjectPath
    from afnio_tellurio.artifact_uploads import upload_artifact
    from afnio_tellurio.client import connection_of
    from afnio_tellurio.default_client import client_or_default

    namespace, project = options.project
    client = client_or_default(None)
    if client is None:
        raise ValueError("tracking is disabled; see TELLURIO_MODE")
    try:
        artifact = upload_artifact(
            connection_of(client),
            ProjectPath(namespace, slug_of(project)),
            options.path,
            options.artifact_name,
            type=options.type,
            aliases=options.alias,
            metadata=options.metadata,
            description=options.description,
            keep=options.keep,
            show=_show_sent,
        )
    except LookupError as error:
        raise missing_project(namespace, project, error) from error
    finally:
        # Clears the progress before the next message.
        show_progress("")
    print(
        f"Uploaded {_label(artifact)} ({_aliases(artifact.aliases)}), "
        f"{counted_bytes(artifact.size or 0)}"
    )
    return 0


def _show_sent(sent: int, size: int) -> None:
    show_progress(f"{counted_bytes(sent)} of {counted_bytes(size)}")


def _alias(options: argparse.Namespace) -> int:
    artifact = find_version(options.artifact)
    if options.remove:
        missing = [alias for alias in options.aliases if alias not in artifact.aliases]
        if missing:
            raise LookupError(
                f"{artifact.name}:{artifact.version} has no alias {missing[0]!r}; it has "
                f"{_aliases(artifact.aliases)}"
            )
        artifact.unalias(*options.aliases)
    else:
        artifact.alias(*options.aliases)
    print(f"Aliases of {_label(artifact)}: {_aliases(artifact.aliases)}")
    return 0


def _delete(options: argparse.Namespace) -> int:
    artifact = find_version(options.artifact)
    named = [alias for alias in artifact.aliases if alias != "latest"]
    if named and not options.force:
        raise ValueError(
            f"{artifact.name}:{artifact.version} has aliases ({', '.join(named)}); remove them, or "
            "pass --force"
        )
    require_terminal(options)
    label, size = _label(artifact), counted_bytes(artifact.size or 0)
    aliases = f", {_aliases(artifact.aliases)}" if artifact.aliases else ""
    question = f"Delete {label} ({size}{aliases}){' for good' if options.purge else ''}?"
    if not is_confirmed(options, question):
        return 1
    artifact.delete(force=options.force, purge=options.purge)
    if options.purge:
        print(f"Deleted {label} for good")
        return 0
    namespace, project, _name = options.artifact
    place = f"{namespace}/{slug_of(project)}/{artifact.name}:{artifact.version}"
    print(
        f"Moved {label} to the trash for 30 days.\n"
        f"To restore it: afnio-tellurio artifact restore {printable(quoted_argument(place))}"
    )
    return 0


def _restore(options: argparse.Namespace) -> int:
    if ":" not in options.artifact[2]:
        options.usage.error("restore requires NAME:VERSION, such as model:v3")
    namespace, project, text = options.artifact
    try:
        artifact = te.restore_artifact(text_of(options.artifact))
    except te.NotFoundError as error:
        if te.get_project(namespace, slug_of(project)) is None:
            raise missing_project(namespace, project, error) from error
        raise LookupError(f"the trash of {namespace}/{project} has no version {text}") from error
    print(f"Restored {_label(artifact)}")
    return 0


def _label(artifact: te.Artifact) -> str:
    return printable(f"{artifact.name}:{artifact.version}")


def _aliases(aliases: Sequence[str]) -> str:
    return printable(", ".join(aliases)) or "no aliases"
