"""The command that serves the embedded backend, and the page for looking at runs."""

from __future__ import annotations

import argparse
import errno
import getpass
import os
import subprocess
import sys
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING

import afnio_tellurio as te
from afnio_tellurio.settings.limits import SERVE_HOST, SERVE_PORT
from afnio_tellurio.settings.settings import read_settings
from afnio_tellurio.settings.urls import is_this_machine

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from afnio_tellurio.backend.server import Server
    from afnio_tellurio.backend.site import Site
    from afnio_tellurio.cli.arguments import Commands

#: What Python opens where nothing else is installed, in the terminal that `serve` prints to.
_TERMINAL_BROWSERS = ("w3m", "links", "lynx", "www-browser")
#: Ports that are tried when the first is taken.
_PORTS = 20


def add_commands(commands: Commands) -> None:
    """Adds `serve`."""
    serve = commands.add_parser(
        "serve",
        help="look at the runs of this machine in a browser, and serve them over HTTP",
        description="Serves the runs of this machine: a page for people at the address printed, "
        "and the API for programs that have the key.",
        epilog="example: afnio-tellurio serve --port 0 --namespace acme --no-browser",
    )
    serve.add_argument(
        "--host",
        default=SERVE_HOST,
        help="address to listen on (%(default)s); any but this machine's own needs a key",
    )
    serve.add_argument(
        "--port",
        type=_port,
        help=f"port; 0 for any free one (default {SERVE_PORT}, or the next that is free)",
    )
    serve.add_argument("--no-browser", action="store_true", help="open no browser")
    serve.add_argument(
        "--api-key",
        metavar="KEY",
        help="the key to ask for; lists of processes show it, unlike --api-key-stdin; "
        "default a new one",
    )
    serve.add_argument(
        "--api-key-stdin", action="store_true", help="read the key from standard input"
    )
    serve.add_argument("--user", metavar="NAME", help="whose key it is; default yours")
    serve.add_argument("--email", metavar="ADDR", help="the user's e-mail address")
    serve.add_argument(
        "--namespace",
        metavar="SLUG",
        action="append",
        default=[],
        help="a namespace to have besides the user's own; may be repeated",
    )
    serve.set_defaults(command=_serve, usage=serve)


def _port(word: str) -> int:
    if not word.isdecimal() or int(word) >= 2**16:
        raise argparse.ArgumentTypeError(f"{word!r} is not a port; give a number from 0 to 65535")
    return int(word)


def _serve(options: argparse.Namespace) -> int:
    import secrets

    from afnio_tellurio.backend import BackendUser, open_backend
    from afnio_tellurio.backend.site import Site

    given_key = _given_key(options)
    if given_key is None and not is_this_machine(options.host):
        options.usage.error(f"--host {options.host} needs --api-key-stdin or --api-key")
    user = BackendUser.of_this_machine()
    if options.user or options.email:
        name = options.user or user.username
        user = BackendUser(name, options.email or f"{name}@localhost")
    api_key = given_key or secrets.token_urlsafe(32)
    database = read_settings().database
    # What dead processes had logged to it is delivered when it is opened so.
    te.TellurioClient.local(database).close()
    backend = open_backend(
        database, user=user, api_key=api_key, namespaces=options.namespace, any_namespace=False
    )
    try:
        site = Site(backend, api_key=api_key, host=options.host)
        server = _listening(site, options.host, options.port)
        try:
            print(f"Serving {database} at {server.url} (Ctrl-C ends it)", flush=True)
            if given_key is None:
                print(f"API key, shown only now: {api_key}", flush=True)
            _serve_until_interrupted(server, site, database, is_shown=not options.no_browser)
        except KeyboardInterrupt:
            return 0
        finally:
            server.close()
    finally:
        backend.close()
    return 0


def _given_key(options: argparse.Namespace) -> str | None:
    if options.api_key is not None and options.api_key_stdin:
        options.usage.error("give --api-key or --api-key-stdin, not both")
    key: str | None = options.api_key
    if options.api_key_stdin:
        key = sys.stdin.readline().strip() if sys.stdin else ""
    if key is not None and not (key and key.isascii() and key.isprintable() and " " not in key):
        options.usage.error("the API key is empty, or holds what no header can carry")
    return key


def _listening(site: Site, host: str, port: int | None) -> Server:
    """The server at the port asked for, else at the first that is free."""
    from afnio_tellurio.backend.server import Server

    if port is not None:
        return Server(site, host, port)
    for candidate in range(SERVE_PORT, SERVE_PORT + _PORTS - 1):
        try:
            return Server(site, host, candidate)
        except OSError as error:
            if getattr(error.__cause__, "errno", None) != errno.EADDRINUSE:
                raise
    return Server(site, host, SERVE_PORT + _PORTS - 1)


def _serve_until_interrupted(server: Server, site: Site, database: Path, *, is_shown: bool) -> None:
    from afnio_tellurio.served import served_at

    url = _reachable(server.url)
    address = f"{url}/?token={site.token}"
    with served_at(database, url), _browser(address, database, is_wanted=is_shown):
        print(f"Look at the runs (this address works once): {address}", flush=True)
        _tell_how_to_forward(url)
        server.run()


def _tell_how_to_forward(url: str) -> None:
    connection = os.environ.get("SSH_CONNECTION", "").split()
    if connection:
        there, _, port = url.removeprefix("http://").rpartition(":")
        place = f"{getpass.getuser()}@{connection[2] if len(connection) > 2 else 'HOST'}"  # noqa: PLR2004
        print(f"From your own machine: ssh -L {port}:{there}:{port} {place}", flush=True)


def _reachable(url: str) -> str:
    """The address on this machine of a server that listens on every address."""
    return url.replace("://0.0.0.0:", "://127.0.0.1:").replace("://[::]:", "://[::1]:")


@contextmanager
def _browser(address: str, database: Path, *, is_wanted: bool) -> Generator[None, None, None]:
    """Opens the address in a browser, where there is one that has windows."""
    if not (is_wanted and _has_windows()):
        yield
        return
    # Not the address itself: it would stand in the list of processes, for all users to see.
    way = database.absolute().with_name(f"{database.name}-open-{os.getpid()}.html")
    with os.fdopen(os.open(way, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(
            f'<!doctype html><meta http-equiv="refresh" content="0;url={escape(address)}">'
            f'<a href="{escape(address)}">The runs</a>\n'
        )
    try:
        _open(way.as_uri())
        yield
    finally:
        way.unlink(missing_ok=True)


def _has_windows() -> bool:
    if os.environ.get("BROWSER"):
        return True
    if os.environ.get("SSH_CONNECTION"):
        return False
    if sys.platform in {"win32", "darwin"}:
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _open(address: str) -> None:
    """In a process of its own: some browsers go on till their window is closed, and talk."""
    browser = _browser_with_windows()
    if browser is None:
        return
    program = "import sys, webbrowser\nwebbrowser.get(sys.argv[1] or None).open(sys.argv[2])"
    subprocess.Popen(  # noqa: S603 - the address of a file of ours
        [sys.executable, "-c", program, browser, address],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _browser_with_windows() -> str | None:
    """The name of a browser, "" for the one that Python chooses; none where it is for terminals."""
    import webbrowser

    try:
        chosen = webbrowser.get()
    except webbrowser.Error:
        return None
    name = getattr(chosen, "basename", None) or getattr(chosen, "name", "")
    return None if any(word in str(name) for word in _TERMINAL_BROWSERS) else ""
