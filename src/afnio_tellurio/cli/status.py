"""The command that tells what the settings are, and whether they work."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import afnio_tellurio as te
from afnio_tellurio.cli.printing import table
from afnio_tellurio.notices import mark_as_shown, printable
from afnio_tellurio.settings.settings import Mode, Settings, read_settings
from afnio_tellurio.settings.settings_file import VARIABLES

if TYPE_CHECKING:
    import argparse

    from afnio_tellurio.cli.arguments import Commands

#: Of a key that is so long, the last characters are shown, by which its owner knows it.
_TELLING_KEY = 16
_SHOWN_OF_KEY = 4


def add_commands(commands: Commands) -> None:
    """Adds `status`."""
    status = commands.add_parser(
        "status",
        help="show the settings, where each came from, and whether the backend answers",
        description="Shows each setting and where it came from, whether the backend answers, and "
        "how many journals wait to be delivered. Fails where the backend does not answer.",
        epilog="example: afnio-tellurio status",
    )
    status.add_argument("--json", action="store_true", help="print JSON")
    status.set_defaults(command=_status)


def _status(options: argparse.Namespace) -> int:
    from afnio_tellurio.delivery.recovery import list_orphans

    settings = read_settings()
    for problem in settings.problems:
        # They are printed with the rest.
        mark_as_shown(problem)
    backend = _backend(settings)
    facts = {
        "settings": _facts(settings),
        "backend": backend,
        "waiting_journals": len(list(list_orphans(settings.journals))),
        "problems": list(settings.problems),
    }
    print(json.dumps(facts, indent=2) if options.json else _described(facts))
    return int(backend["problem"] is not None)


def _facts(settings: Settings) -> dict[str, dict[str, Any]]:
    facts = {
        name: {"value": _plain(getattr(settings, name)), "source": settings.sources[name]}
        for name in VARIABLES
        if name not in {"port", "api_key"}
    }
    facts["api_key"] = _key(settings)
    return facts


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | float) else str(value)


def _key(settings: Settings) -> dict[str, Any]:
    from afnio_tellurio.api import auth

    try:
        found = auth.find_credential(settings)
    except (te.CredentialsError, ValueError):
        # Whatever needs the key tells why.
        source = "environment" if settings.api_key else "credentials file"
        return {"value": None, "source": source}
    if found is None:
        return {"value": None, "source": "default"}
    shown = found.key[-_SHOWN_OF_KEY:] if len(found.key) >= _TELLING_KEY else ""
    return {"value": f"…{shown}", "source": found.source}


def _backend(settings: Settings) -> dict[str, Any]:
    """Where runs go, and whether they can."""
    from afnio_tellurio.default_client import goes_online

    if settings.mode is Mode.DISABLED:
        return {"tracks_to": None, "username": None, "problem": None}
    where = settings.url
    try:
        is_online = goes_online(settings)
        where = settings.url if is_online else str(settings.database)
        # Not the client of other commands, which tells what is printed here.
        with te.TellurioClient() if is_online else te.TellurioClient.local() as client:
            username = client.login()["username"]
    except (te.TellurioError, ValueError) as error:
        return {"tracks_to": where, "username": None, "problem": str(error)}
    return {"tracks_to": where, "username": username, "problem": None}


def _described(facts: dict[str, Any]) -> str:
    rows = [
        [name, _shown(fact["value"]), fact["source"]] for name, fact in facts["settings"].items()
    ]
    backend, waiting = facts["backend"], facts["waiting_journals"]
    lines = [table(["SETTING", "VALUE", "SOURCE"], rows), ""]
    if backend["tracks_to"] is None:
        lines.append("Tracking is disabled.")
    else:
        lines.append(f"Runs are tracked to {printable(backend['tracks_to'])}")
        told = backend["problem"] or f"It answers, and knows you as {backend['username']}."
        lines.append(printable(told))
    if waiting:
        noun = "journal waits" if waiting == 1 else "journals wait"
        lines.append(f"{waiting} {noun} to be delivered: run afnio-tellurio sync.")
    return "\n".join([*lines, *map(printable, facts["problems"])])


def _shown(value: Any) -> str:
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
