"""Every command, and how each ends."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import afnio_tellurio as te
from afnio_tellurio.cli import (
    account,
    changing,
    comparing,
    completing,
    exporting,
    listing,
    looking,
    serving,
    status,
    syncing,
)
from afnio_tellurio.cli.arguments import CommandParser
from afnio_tellurio.cli.printing import complain
from afnio_tellurio.notices import printable

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

#: These are of use where tracking is disabled, too.
_ASKING_FOR_NO_RUN = {"login", "logout", "whoami", "status", "sync", "serve", "completion"}
_DISK_IS_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def run(arguments: Sequence[str] | None) -> int:
    """Runs a command, and gives its exit status; see `main`."""
    name = "afnio-tellurio"
    try:
        with _output():
            options = _parser().parse_args(arguments)
            name = f"{name} {options.name}"
            if options.name not in _ASKING_FOR_NO_RUN:
                _require_tracking()
            exit_status: int = options.command(options)
            return exit_status
    except BrokenPipeError:
        # Whoever read our output has enough.
        return 1
    except Exception as error:
        # The tree of exceptions takes long to import, and most commands end without one.
        if not isinstance(error, (te.TellurioError, LookupError, ValueError, OSError, ImportError)):
            raise
        complain(f"{name}: {printable(str(error))}")
        return 1


def _require_tracking() -> None:
    """Refuses to look at or change runs that a program in the same place would not track.

    It would be answered with what no backend has: an empty run for every name.
    """
    from afnio_tellurio.settings.settings import Mode, read_settings

    settings = read_settings()
    if settings.mode is Mode.DISABLED:
        raise ValueError(
            f"{settings.sources['mode']} is 'disabled', so there are no runs; "
            "set it to auto, online or local"
        )


@contextmanager
def _output() -> Generator[None]:
    """Standard output that takes every name, and is written to its end, or given up, here."""
    if sys.stdout is None:
        # Closed by whoever started us: nobody wants it.
        yield
        return
    # Not every stream that a program puts there has it.
    reconfigure: Any = getattr(sys.stdout, "reconfigure", None)
    if reconfigure:
        reconfigure(errors="backslashreplace")
    try:
        yield
    except OSError as error:
        # Where nothing is kept back, printing fails at once.
        if error.errno in _DISK_IS_FULL and error.filename is None:
            error.filename = "standard output"
        raise
    finally:
        try:
            sys.stdout.flush()
        except OSError as error:
            # Python would try again when it exits, and complain.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            error.filename = "standard output"
            raise


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="afnio-tellurio",
        description="Looks at tracked runs, exports, changes, delivers and serves them; signs in.",
    )
    parser.add_argument("--version", action="version", version=f"afnio-tellurio {te.__version__}")
    commands = parser.add_subparsers(
        dest="name", metavar="COMMAND", required=True, parser_class=CommandParser
    )
    for module in (
        listing,
        looking,
        comparing,
        exporting,
        changing,
        syncing,
        serving,
        account,
        status,
        completing,
    ):
        module.add_commands(commands)
    parser.set_defaults(whole=parser)
    return parser
