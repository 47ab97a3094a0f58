"""The afnio-tellurio command."""

from __future__ import annotations

import sys

# Type checkers take this for typing.TYPE_CHECKING, whose module takes 10 ms to be imported.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command.

    Returns:
        The exit status: 0, or 1 when it failed. A wrong usage exits with 2.
    """
    try:
        # Ctrl-C may come while this is imported, which takes longer than many a command.
        from afnio_tellurio.cli.commands import run

        return run(arguments)
    except KeyboardInterrupt:
        from contextlib import suppress

        if sys.stderr:
            # Where it takes nothing more there is nobody to tell.
            with suppress(OSError):
                print("afnio-tellurio: interrupted", file=sys.stderr, flush=True)
        return 1
