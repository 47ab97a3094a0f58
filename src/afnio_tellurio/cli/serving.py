"""The command that serves the embedded backend."""

from __future__ import annotations

import argparse
import secrets
from typing import TYPE_CHECKING

import afnio_tellurio as te
from afnio_tellurio.settings import SERVE_HOST, SERVE_PORT, read_settings

if TYPE_CHECKING:
    from afnio_tellurio.cli.arguments import Commands


def add_commands(commands: Commands) -> None:
    """Adds `serve`."""
    serve = commands.add_parser(
        "serve",
        help="serve the runs of this machine over HTTP",
        epilog="example: afnio-tellurio serve --port 0 --namespace acme",
    )
    serve.add_argument("--host", default=SERVE_HOST, help="address to listen on (%(default)s)")
    serve.add_argument(
        "--port", type=_port, default=SERVE_PORT, help="port; 0 for any free one (%(default)s)"
    )
    serve.add_argument("--api-key", metavar="KEY", help="the key to ask for; default a new one")
    serve.add_argument("--user", metavar="NAME", help="whose key it is; default yours")
    serve.add_argument("--email", metavar="ADDR", help="the user's e-mail address")
    serve.add_argument(
        "--namespace",
        metavar="SLUG",
        action="append",
        default=[],
        help="a namespace to have besides the user's own; may be repeated",
    )
    serve.set_defaults(command=_serve)


def _port(word: str) -> int:
    if not word.isdecimal() or int(word) >= 2**16:
        raise argparse.ArgumentTypeError(f"{word!r} is not a port; give a number from 0 to 65535")
    return int(word)


def _serve(options: argparse.Namespace) -> int:
    from afnio_tellurio.local import BackendUser, open_backend
    from afnio_tellurio.local.server import Server

    user = BackendUser.of_this_machine()
    if options.user or options.email:
        name = options.user or user.username
        user = BackendUser(name, options.email or f"{name}@localhost")
    api_key = options.api_key or secrets.token_urlsafe(32)
    database = read_settings().database
    # What dead processes had logged to it is delivered when it is opened so.
    te.TellurioClient.local(database).close()
    backend = open_backend(
        database,
        user=user,
        api_key=api_key,
        namespaces=options.namespace,
        any_namespace=False,
    )
    try:
        server = Server(backend, options.host, options.port)
        try:
            print(f"Serving {database} at {server.url} (Ctrl-C ends it)", flush=True)
            if not options.api_key:
                print(f"API key, shown only now: {api_key}", flush=True)
            server.run()
        except KeyboardInterrupt:
            return 0
        finally:
            server.close()
    finally:
        backend.close()
    return 0
