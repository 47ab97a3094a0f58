"""What the command prints without a command: its help, and the newest runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import afnio_tellurio as te
from afnio_tellurio.cli.listing import newest_runs, runs_table
from afnio_tellurio.cli.printing import complain
from afnio_tellurio.notices import hide_location

if TYPE_CHECKING:
    import argparse

_NEWEST = 5


def start(parser: argparse.ArgumentParser) -> int:
    """Prints the help, and the newest runs if there are any."""
    print(parser.format_help(), end="", flush=True)
    runs = _find_runs()
    if runs:
        print(f"\nNewest runs:\n{runs_table(runs)}")
    return 0


def _find_runs() -> list[te.Run]:
    from afnio_tellurio.default_client import goes_online
    from afnio_tellurio.settings.settings import Mode, read_settings

    settings = read_settings()
    is_disabled = settings.mode is Mode.DISABLED
    if is_disabled or not (goes_online(settings) or settings.database.exists()):
        return []
    hide_location()
    try:
        return newest_runs(None, _NEWEST)
    except (te.TellurioError, LookupError) as error:
        from afnio_tellurio.cli.failures import explain

        complain(f"afnio-tellurio: can't list the newest runs: {explain(error)}")
        return []
