"""The command that makes shells complete the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from afnio_tellurio.cli.arguments import Commands


def add_commands(commands: Commands) -> None:
    """Adds `completion`."""
    completion = commands.add_parser(
        "completion",
        help="print what makes a shell complete commands and options",
        description="Prints a script for a shell. It knows every command, option and choice, and "
        "starts nothing when Tab is pressed.",
        epilog="example: afnio-tellurio completion bash",
    )
    completion.add_argument("shell", choices=("bash", "zsh", "fish", "powershell"))
    completion.set_defaults(command=_completion)


def _completion(options: argparse.Namespace) -> int:
    import shtab

    print(shtab.complete(options.whole, options.shell))
    return 0
