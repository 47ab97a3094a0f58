"""The command that renames runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import afnio_tellurio as te
from afnio_tellurio.cli.arguments import Commands, path_type
from afnio_tellurio.notices import printable

if TYPE_CHECKING:
    import argparse


def add_commands(commands: Commands) -> None:
    """Adds `rename`."""
    rename = commands.add_parser(
        "rename",
        help="rename a run",
        epilog="example: afnio-tellurio rename acme/digits/brave_pasta_123 baseline",
    )
    rename.add_argument("run", metavar="NAMESPACE/PROJECT/RUN", type=path_type(3))
    rename.add_argument(
        "new_name", metavar="NAME", help="a number is appended if the name is taken"
    )
    rename.set_defaults(command=_rename)


def _rename(options: argparse.Namespace) -> int:
    run = te.get_run(*options.run)
    old_name = run.name
    run.update(options.new_name)
    print(f"Renamed {printable(old_name)} to {printable(run.name)}")
    return 0
