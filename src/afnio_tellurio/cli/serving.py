"""The command that serves the embedded backend and its web page."""

from __future__ import annotations

import argparse
import errno
import getpass
import logging
import os
import sys
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import afnio_tellurio as te
from afnio_tellurio.cli.browsers import has_display, start_browser
from afnio_tellurio.logs import logger
from afnio_tellurio.settings.limits import SERVE_HOST, SERVE_PORT
from afnio_tellurio.settings.settings import read_settings
from afnio_tellurio.settings.urls import backend_url, is_this_machine

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from afnio_tellurio.backend.server import Server
    from afnio_tellurio.backend.site import Site
    from afnio_tellurio.cli.arguments import Commands

#: Number of ports to try, from the default port on.
_PORT_ATTEMPTS = 20


def add_commands(commands: Commands) -> None:
    """Adds `serve`."""
    serve = commands.add_parser(
        "serve",
        help="view local runs in a browser, and serve them over HTTP",
        description="Serves local runs: a web page at the printed link, and the API for "
        "programs that have the API key.",
        epilog="example: afnio-tellurio serve --port 0 --namespace acme --no-browser",
    )
    serve.add_argument(
        "--host",
        default=SERVE_HOST,
        help="address to listen on (default: %(default)s); other machines need an API key",
    )
    serve.add_argument(
        "--port",
        type=_port,
        help=f"port to listen on; 0 for any free port (default: {SERVE_PORT} or the next free one)",
    )
    serve.add_argument(
        "--public-url",
        metavar="URL",
        type=_public_url,
        help="where browsers and programs reach it under another name, such as that of a TLS "
        "proxy: https://runs.example.com",
    )
    serve.add_argument("--no-browser", action="store_true", help="don't open a browser")
    serve.add_argument(
        "--api-key",
        metavar="KEY",
        help="API key clients must use (visible in `ps`; prefer --api-key-stdin; default: "
        "generated)",
    )
    serve.add_argument("--api-key-stdin", action="store_true", help="read the key from stdin")
    serve.add_argument("--user", metavar="NAME", help="its owner (default: you)")
    serve.add_argument("--email", metavar="ADDR", help="the owner's e-mail address")
    serve.add_argument(
        "--namespace",
        metavar="SLUG",
        action="append",
        default=[],
        help="a namespace besides the owner's; may be repeated",
    )
    serve.set_defaults(command=_serve)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**16:
        raise argparse.ArgumentTypeError(f"{text!r} isn't a valid port; must be 0 to 65535")
    return int(text)


def _public_url(text: str) -> str:
    if not text.isascii():
        raise argparse.ArgumentTypeError(f"{text!r} isn't ASCII; write the host as xn--...")
    try:
        return backend_url("the public URL", text, None)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _serve(options: argparse.Namespace) -> int:
    import secrets

    from afnio_tellurio.backend import BackendUser, open_backend
    from afnio_tellurio.backend.site import Site

    chosen_key = _read_key(options)
    if chosen_key is None and not is_this_machine(options.host):
        options.usage.error(f"--host {options.host} needs --api-key-stdin or --api-key")
    user = BackendUser.of_this_machine()
    if options.user or options.email:
        name = options.user or user.username
        user = BackendUser(name, options.email or f"{name}@localhost")
    api_key = chosen_key or secrets.token_urlsafe(32)
    database = read_settings().database
    # It delivers what processes that have died, or die meanwhile, logged to the database.
    recovery = te.TellurioClient.local(database)
    backend = open_backend(
        database, user=user, api_key=api_key, namespaces=options.namespace, any_namespace=False
    )
    try:
        site = Site(backend, api_key=api_key, host=options.host, public_url=options.public_url)
        server = _listen(site, options.host, options.port)
        try:
            print(f"Serving {database} at {server.url} (press Ctrl-C to stop)", flush=True)
            if chosen_key is None:
                print(f"API key (won't be shown again): {api_key}", flush=True)
            if options.port != 0:
                # Otherwise, browsers would find it under another address.
                port = urlsplit(server.url).port
                sessions = database.with_name(f"{database.name}-sessions-{port}")
                site.keep_sessions(sessions, chosen_key)
            _serve_until_interrupted(server, site, database, options)
        except KeyboardInterrupt:
            return 0
        finally:
            server.close()
    finally:
        backend.close()
        recovery.close()
    return 0


def _read_key(options: argparse.Namespace) -> str | None:
    if options.api_key is not None and options.api_key_stdin:
        options.usage.error("Pass --api-key or --api-key-stdin, not both")
    key: str | None = options.api_key
    if options.api_key_stdin:
        key = sys.stdin.readline().strip() if sys.stdin else ""
    if key is not None and not (key and key.isascii() and key.isprintable() and " " not in key):
        options.usage.error("The API key is empty or contains invalid characters")
    return key


def _listen(site: Site, host: str, port: int | None) -> Server:
    """Returns a server on this port, or on the first free default port."""
    from afnio_tellurio.backend.server import Server

    if port is not None:
        return Server(site, host, port, authorizes=site.authorizes)
    for candidate in range(SERVE_PORT, SERVE_PORT + _PORT_ATTEMPTS - 1):
        try:
            return Server(site, host, candidate, authorizes=site.authorizes)
        except OSError as error:
            if getattr(error.__cause__, "errno", None) != errno.EADDRINUSE:
                raise
    return Server(site, host, SERVE_PORT + _PORT_ATTEMPTS - 1, authorizes=site.authorizes)


def _serve_until_interrupted(
    server: Server, site: Site, database: Path, options: argparse.Namespace
) -> None:
    from afnio_tellurio.served import served_at

    url = options.public_url or _local_url(server.url)
    # Browsers send no fragment: no log of a proxy has the token.
    link = f"{url}/#token={site.token}"
    with (
        served_at(database, url),
        _browser(link, database, is_wanted=not options.no_browser),
        _log_on_stderr(),
    ):
        print(f"Open in your browser (link valid for 10 minutes): {link}", flush=True)
        if options.public_url is None:
            _print_ssh_command(url)
        server.run()


@contextmanager
def _log_on_stderr() -> Generator[None, None, None]:
    """Writes to stderr what fails inside the server, with tracebacks."""
    # Without stderr, the handler would fail for each message.
    handler = logging.StreamHandler(sys.stderr) if sys.stderr else logging.NullHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    names = (logger.name, "waitress")
    for name in names:
        logging.getLogger(name).addHandler(handler)
    try:
        yield
    finally:
        for name in names:
            logging.getLogger(name).removeHandler(handler)


def _print_ssh_command(url: str) -> None:
    """Prints how to forward the port, if this is an SSH session."""
    connection = os.environ.get("SSH_CONNECTION", "").split()
    if connection:
        host, _, port = url.removeprefix("http://").rpartition(":")
        ssh_host = connection[2] if len(connection) > 2 else "HOST"  # noqa: PLR2004
        destination = f"{getpass.getuser()}@{ssh_host}"
        print(f"From your own machine: ssh -L {port}:{host}:{port} {destination}", flush=True)


def _local_url(url: str) -> str:
    """Returns the URL on this machine of a server that may listen on every address."""
    return url.replace("://0.0.0.0:", "://127.0.0.1:").replace("://[::]:", "://[::1]:")


@contextmanager
def _browser(link: str, database: Path, *, is_wanted: bool) -> Generator[None, None, None]:
    """Opens the link in a graphical browser, if there is one."""
    if not (is_wanted and has_display()):
        yield
        return
    # A private file that redirects: other users could read the link in the list of processes.
    redirect = database.absolute().with_name(f"{database.name}-open-{os.getpid()}.html")
    with os.fdopen(os.open(redirect, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(
            f'<!doctype html><meta http-equiv="refresh" content="0;url={escape(link)}">'
            f'<a href="{escape(link)}">View runs</a>\n'
        )
    try:
        start_browser(redirect.as_uri())
        yield
    finally:
        redirect.unlink(missing_ok=True)
