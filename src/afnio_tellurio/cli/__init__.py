"""The afnio-tellurio command."""

from __future__ import annotations

import sys

# Type checkers treat this as typing.TYPE_CHECKING; importing typing takes 10 ms.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command.

    Returns:
        The exit status: 0, or 1 on failure. Usage errors exit with 2.
    """
    try:
        # Ctrl-C may arrive during this import, which takes longer than many commands.
        from afnio_tellurio.cli.commands import run

        return run(arguments)
    except KeyboardInterrupt:
        from contextlib import suppress

        if sys.stderr:
            # If stderr can't be written, nobody can see the message.
            with suppress(OSError):
                print("afnio-tellurio: interrupted", file=sys.stderr, flush=True)
        return 1
