"""Shows output that is longer than the terminal in a pager."""

from __future__ import annotations

import io
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING

from afnio_tellurio.cli.layout import is_terminal

if TYPE_CHECKING:
    import argparse
    from collections.abc import Generator
    from typing import TextIO


def add_pager_option(command: argparse.ArgumentParser) -> None:
    """Adds `--no-pager`."""
    command.add_argument(
        "--no-pager",
        dest="pager",
        action="store_false",
        help="print long output at once, instead of showing it in $PAGER (default: less)",
    )


@contextmanager
def paged(options: argparse.Namespace) -> Generator[None]:
    """Shows what is printed meanwhile in a pager, if it is longer than the terminal."""
    pager = _pager() if options.pager and is_terminal() else []
    if not pager:
        yield
        return
    terminal, held = sys.stdout, io.BytesIO()
    stand_in = _HeldTerminal(
        held, terminal.encoding, "backslashreplace", newline="\n", write_through=True
    )
    is_complete = False
    try:
        with redirect_stdout(stand_in):
            yield
        is_complete = True
    finally:
        text = held.getvalue()
        is_long = text.count(b"\n") >= shutil.get_terminal_size().lines
        # The user sees an error, or the end after Ctrl-C, without leaving a pager first.
        if not (is_complete and is_long and _show(pager, text, terminal)):
            terminal.write(text.decode(terminal.encoding))


class _HeldTerminal(io.TextIOWrapper):
    """Stands for a terminal while what is printed to it is kept."""

    def isatty(self) -> bool:
        return True


def _pager() -> list[str]:
    """The program and its arguments; empty without one, or if the user wants none."""
    if os.environ.get("TERM") == "dumb":
        return []
    try:
        words = shlex.split(os.environ.get("PAGER", "less"), posix=os.name == "posix")
    except ValueError:
        # A quote is not closed.
        return []
    if not words or words[0] == "cat":
        return []
    program = shutil.which(words[0])
    return [program, *words[1:]] if program else []


def _show(pager: list[str], text: bytes, terminal: TextIO) -> bool:
    """Runs a pager until the user leaves it; returns False if it cannot start."""
    terminal.flush()
    # Without these, less shows escape codes, and clears the screen when it ends.
    environment = {"LESS": "FRX", "LV": "-c", **os.environ}
    with tempfile.TemporaryFile() as file:
        # Not a pipe: Ctrl-C would end writing to it.
        file.write(text)
        file.seek(0)
        try:
            process = subprocess.Popen(  # noqa: S603 - the program that the user chose
                pager, stdin=file, stdout=terminal, env=environment
            )
        except OSError:
            # It is not a program.
            return False
        while True:
            try:
                process.wait()
            except KeyboardInterrupt:
                # The pager got it too, and uses it to stop a search.
                continue
            return True
