"""The afnio-tellurio command."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

import afnio_tellurio as te
from afnio_tellurio.cli import looking, serving, syncing
from afnio_tellurio.cli.printing import printable

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command.

    Returns:
        The exit status: 0, or 1 when it failed. A wrong usage exits with 2.
    """
    options = _parser().parse_args(arguments)
    try:
        status: int = options.command(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has enough. Python would complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("afnio-tellurio: interrupted", file=sys.stderr)
        return 1
    except (te.TellurioError, LookupError, ValueError, OSError) as error:
        print(f"afnio-tellurio {options.name}: {printable(str(error))}", file=sys.stderr)
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="afnio-tellurio", description="Looks at tracked runs, delivers and serves them."
    )
    parser.add_argument("--version", action="version", version=f"afnio-tellurio {te.__version__}")
    commands = parser.add_subparsers(dest="name", metavar="COMMAND", required=True)
    for module in (looking, syncing, serving):
        module.add_commands(commands)
    return parser
