"""Runs the commands and handles their output and errors."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import afnio_tellurio as te
from afnio_tellurio.cli import (
    account,
    artifacts,
    changing,
    comparing,
    completing,
    exporting,
    importing,
    listing,
    looking,
    opening,
    run_files,
    serving,
    starting,
    status,
    storage,
    syncing,
    tables,
    trash,
    watching,
)
from afnio_tellurio.cli.arguments import CommandParser
from afnio_tellurio.cli.printing import complain
from afnio_tellurio.notices import hide_location

if TYPE_CHECKING:
    import argparse
    from collections.abc import Generator, Sequence

#: Commands that also work while tracking is disabled.
_WORKING_WHEN_DISABLED = {
    *("login", "logout", "whoami", "status", "sync", "serve", "completion", "gc", "du"),
}
#: What people type for a command that has another name.
_ALIASES = {"ls": "runs", "list": "runs"}
_DISK_FULL_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def run(arguments: Sequence[str] | None) -> int:
    """Runs a command and returns its exit status; see `main`."""
    name = "afnio-tellurio"
    try:
        with _guarded_output():
            options = _read_arguments(sys.argv[1:] if arguments is None else list(arguments))
            if options.name is None:
                return starting.start(options.root_parser)
            name = f"{name} {options.name}"
            if "action" in options:
                # Of a command that has commands of its own.
                name = f"{name} {options.action}"
            if options.name not in _WORKING_WHEN_DISABLED:
                _require_tracking()
            # Nothing is tracked from here.
            hide_location()
            exit_status: int = options.command(options)
            return exit_status
    except BrokenPipeError:
        # The reader closed the pipe, as `head` does.
        return 1
    except Exception as error:  # raised again unless it is one of ours or of the user's input
        # Importing these classes is slow, and most commands raise nothing.
        if not isinstance(error, (te.TellurioError, LookupError, ValueError, OSError, ImportError)):
            raise
        from afnio_tellurio.cli.failures import explain

        complain(f"{name}: {explain(error)}")
        return 1


def _read_arguments(arguments: list[str]) -> argparse.Namespace:
    if arguments and arguments[0] == "help":
        arguments = [*arguments[1:], "--help"]
    if arguments and arguments[0] in _ALIASES:
        arguments[0] = _ALIASES[arguments[0]]
    options, unknown = _parser().parse_known_args(arguments)
    if unknown:
        options.usage.refuse(unknown)
    return options


def _require_tracking() -> None:
    """Raises an error if tracking is disabled.

    Otherwise, every run name would return an empty run that no backend has.
    """
    from afnio_tellurio.settings.settings import Mode, read_settings

    settings = read_settings()
    if settings.mode is Mode.DISABLED:
        raise ValueError(
            f"{settings.sources['mode']} is 'disabled', so no runs are available; "
            "set it to auto, online or local"
        )


@contextmanager
def _guarded_output() -> Generator[None]:
    """Makes stdout accept any character, and flushes it or discards it at the end."""
    if sys.stdout is None:
        # The caller closed it, so it doesn't want output.
        yield
        return
    # A program may replace stdout with a stream that lacks this method.
    reconfigure: Any = getattr(sys.stdout, "reconfigure", None)
    if reconfigure:
        reconfigure(errors="backslashreplace")
    try:
        yield
    except OSError as error:
        # Without a buffer, printing fails immediately.
        if error.errno in _DISK_FULL_ERRORS and error.filename is None:
            error.filename = "stdout"
        raise
    finally:
        try:
            sys.stdout.flush()
        except OSError as error:
            # Otherwise Python flushes again at exit and prints an error.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            error.filename = "stdout"
            raise


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="afnio-tellurio",
        description="View, compare, export, and sync experiment runs and their artifacts.",
    )
    parser.add_argument("--version", action="version", version=f"afnio-tellurio {te.__version__}")
    commands = parser.add_subparsers(dest="name", metavar="COMMAND", parser_class=CommandParser)
    for module in (
        listing,
        looking,
        tables,
        comparing,
        watching,
        opening,
        exporting,
        importing,
        artifacts,
        run_files,
        changing,
        trash,
        syncing,
        storage,
        serving,
        account,
        status,
        completing,
    ):
        module.add_commands(commands)
    parser.set_defaults(root_parser=parser)
    return parser
