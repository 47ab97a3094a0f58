"""The command that opens the page of a run or a project in a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from afnio_tellurio.cli.arguments import Commands, path_type
from afnio_tellurio.cli.browsers import has_display, start_browser
from afnio_tellurio.cli.finding import find_project, find_run, list_projects

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def add_commands(commands: Commands) -> None:
    """Adds `open`."""
    opening = commands.add_parser(
        "open",
        help="open the page of a run or a project in a browser",
        description="Opens the page of a run, a project, or a namespace in a browser; without a "
        "path, the page of all projects. The page of local runs requires a running "
        "`afnio-tellurio serve`.",
        epilog="example: afnio-tellurio open acme/digits/first --print",
    )
    opening.add_argument(
        "path", metavar="NAMESPACE[/PROJECT[/RUN]]", nargs="?", type=path_type(1, 3), default=[]
    )
    opening.add_argument("--print", action="store_true", help="only print the address")
    opening.set_defaults(command=_open)


def _open(options: argparse.Namespace) -> int:
    address = _address_of(options.path)
    if options.print or not has_display():
        print(address)
    else:
        start_browser(address)
        print(f"Opening {address}")
    return 0


def _address_of(path: Sequence[str]) -> str:
    from afnio_tellurio.client import connection_of
    from afnio_tellurio.default_client import default_client
    from afnio_tellurio.served import page_url

    client = default_client()
    database = connection_of(client).database
    address = client.url if database is None else page_url(database)
    if path[2:]:
        # Also if there is no page: a run that does not exist is the first problem.
        address = find_run(path).url
    elif path[1:]:
        address = address and f"{address}/{path[0]}/projects/{find_project(*path).slug}/"
    elif path:
        list_projects(path[0])
        address = address and f"{address}/{path[0]}/"
    if address is None:
        raise ValueError("no server shows the runs of this machine; run: afnio-tellurio serve")
    return address
