"""The command that prints shell completion scripts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from afnio_tellurio.cli.arguments import Commands

_SHELLS = ("bash", "zsh", "fish", "powershell")


def add_commands(commands: Commands) -> None:
    """Adds `completion`."""
    completion = commands.add_parser(
        "completion",
        help="print a shell completion script",
        description="Prints a script that completes every command, option and choice. Pressing "
        "Tab doesn't start Python.",
        epilog="example: afnio-tellurio completion bash",
    )
    completion.add_argument(
        "shell",
        metavar="SHELL",
        nargs="?",
        choices=_SHELLS,
        help=f"{', '.join(_SHELLS)}; default: $SHELL",
    )
    completion.set_defaults(command=_complete)


def _complete(options: argparse.Namespace) -> int:
    import shtab

    shell = options.shell or Path(os.environ.get("SHELL", "")).stem
    if shell not in _SHELLS:
        options.usage.error(f"completion requires a SHELL: {', '.join(_SHELLS)}")
    print(shtab.complete(options.root_parser, shell))
    return 0
