"""The command that prints shell completion scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from afnio_tellurio.cli.arguments import Commands


def add_commands(commands: Commands) -> None:
    """Adds `completion`."""
    completion = commands.add_parser(
        "completion",
        help="print a shell completion script",
        description="Prints a script that completes every command, option and choice. Pressing "
        "Tab doesn't start Python.",
        epilog="example: afnio-tellurio completion bash",
    )
    completion.add_argument("shell", choices=("bash", "zsh", "fish", "powershell"))
    completion.set_defaults(command=_complete)


def _complete(options: argparse.Namespace) -> int:
    import shtab

    print(shtab.complete(options.root_parser, options.shell))
    return 0
