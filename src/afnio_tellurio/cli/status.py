"""The command that shows the settings and whether the backend is reachable."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import afnio_tellurio as te
from afnio_tellurio.cli.failures import explain
from afnio_tellurio.cli.layout import table
from afnio_tellurio.cli.printing import file_count
from afnio_tellurio.notices import mark_as_shown, printable
from afnio_tellurio.settings.settings import Mode, Settings, read_settings
from afnio_tellurio.settings.settings_file import VARIABLES

if TYPE_CHECKING:
    import argparse

    from afnio_tellurio.cli.arguments import Commands

#: The last characters of a key of this length or more are shown, so its owner can recognize it.
_MIN_SHOWN_KEY_LENGTH = 16
_SHOWN_KEY_CHARACTERS = 4


def add_commands(commands: Commands) -> None:
    """Adds `status`."""
    status = commands.add_parser(
        "status",
        help="show the settings, their sources, and whether the backend is reachable",
        description="Shows each setting and its source, whether the backend is reachable, how "
        "many journals are waiting to be uploaded, and how many files were refused. Fails if the "
        "backend isn't reachable.",
        epilog="example: afnio-tellurio status",
    )
    status.add_argument("--json", action="store_true", help="print JSON")
    status.set_defaults(command=_status)


def _status(options: argparse.Namespace) -> int:
    from afnio_tellurio.delivery.recovery import list_orphans
    from afnio_tellurio.delivery.rejected_files import count_rejected

    settings = read_settings()
    for problem in settings.problems:
        # Printed with the other facts.
        mark_as_shown(problem)
    backend = _backend_facts(settings)
    facts = {
        "settings": _facts(settings),
        "backend": backend,
        "waiting_journals": len(list(list_orphans(settings.journals))),
        "rejected_files": count_rejected(settings.journals),
        "problems": list(settings.problems),
    }
    print(json.dumps(facts, indent=2) if options.json else _describe(facts))
    return int(backend["problem"] is not None)


def _facts(settings: Settings) -> dict[str, dict[str, Any]]:
    facts = {
        name: {"value": _json_value(getattr(settings, name)), "source": settings.sources[name]}
        for name in VARIABLES
        if name not in {"port", "api_key"}
    }
    facts["api_key"] = _key_facts(settings)
    return facts


def _json_value(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | float) else str(value)


def _key_facts(settings: Settings) -> dict[str, Any]:
    from afnio_tellurio.api import auth

    try:
        credential = auth.find_credential(settings)
    except (te.CredentialsError, ValueError):
        # Reported as the backend's problem.
        source = "environment" if settings.api_key else "credentials file"
        return {"value": None, "source": source}
    if credential is None:
        return {"value": None, "source": "default"}
    is_long = len(credential.key) >= _MIN_SHOWN_KEY_LENGTH
    end = credential.key[-_SHOWN_KEY_CHARACTERS:] if is_long else ""
    return {"value": f"…{end}", "source": credential.source}


def _backend_facts(settings: Settings) -> dict[str, Any]:
    """Returns where runs are saved, and the problem if they can't be."""
    from afnio_tellurio.default_client import goes_online

    if settings.mode is Mode.DISABLED:
        return {"tracks_to": None, "username": None, "problem": None}
    target = settings.url
    try:
        is_online = goes_online(settings)
        target = settings.url if is_online else str(settings.database)
        # Unlike the default client, this one doesn't announce where runs are saved.
        with te.TellurioClient() if is_online else te.TellurioClient.local() as client:
            username = client.login()["username"]
    except (te.TellurioError, ValueError) as error:
        return {"tracks_to": target, "username": None, "problem": explain(error)}
    return {"tracks_to": target, "username": username, "problem": None}


def _describe(facts: dict[str, Any]) -> str:
    rows = [
        [name, _format(fact["value"]), fact["source"]] for name, fact in facts["settings"].items()
    ]
    backend, waiting = facts["backend"], facts["waiting_journals"]
    lines = [table(["SETTING", "VALUE", "SOURCE"], rows), ""]
    if backend["tracks_to"] is None:
        lines.append("Tracking is disabled.")
    else:
        lines.append(f"Runs are saved to {printable(backend['tracks_to'])}")
        connection = backend["problem"] or f"Connected as {backend['username']}."
        lines.append(printable(connection))
    if waiting:
        subject = "journal is" if waiting == 1 else "journals are"
        lines.append(f"{waiting} {subject} waiting to be uploaded; run: afnio-tellurio sync")
    if rejected := facts["rejected_files"]:
        verb = "was" if rejected == 1 else "were"
        lines.append(
            f"{file_count(rejected)} {verb} refused and kept; when the backend may accept them, "
            "run: afnio-tellurio sync --rejected"
        )
    return "\n".join([*lines, *map(printable, facts["problems"])])


def _format(value: Any) -> str:
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
