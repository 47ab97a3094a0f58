"""The commands that sign in, sign out and show the signed-in user."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import afnio_tellurio as te
from afnio_tellurio.cli.printing import complain
from afnio_tellurio.notices import printable

if TYPE_CHECKING:
    import argparse

    from afnio_tellurio.api.auth import Credential
    from afnio_tellurio.cli.arguments import Commands

_ATTEMPTS = 3
_SOURCE_NAMES = {
    "environment": "TELLURIO_API_KEY",
    "keyring": "the system keyring",
    "credentials file": "the credentials file",
}


def add_commands(commands: Commands) -> None:
    """Adds `login`, `logout` and `whoami`."""
    login = commands.add_parser(
        "login",
        help="sign in to the backend",
        description="Prompts for an API key, verifies it with the backend, and stores it in the "
        "system keyring or, without a keyring, in a file that only you can read. A key that is "
        "already stored is verified, and kept if it is valid.",
        epilog="example: afnio-tellurio login",
    )
    key_options = login.add_mutually_exclusive_group()
    key_options.add_argument(
        "--api-key",
        metavar="KEY",
        help="the API key (visible in `ps`; prefer the prompt or --api-key-stdin)",
    )
    key_options.add_argument("--api-key-stdin", action="store_true", help="read the key from stdin")
    login.add_argument(
        "--relogin", action="store_true", help="prompt for a new key even if one is stored"
    )
    login.set_defaults(command=_login)

    logout = commands.add_parser(
        "logout",
        help="remove the stored API key of the backend",
        epilog="example: afnio-tellurio logout",
    )
    logout.set_defaults(command=_logout)

    whoami = commands.add_parser(
        "whoami",
        help="show the signed-in user",
        epilog="example: afnio-tellurio whoami",
    )
    whoami.add_argument("--json", action="store_true", help="print JSON")
    whoami.set_defaults(command=_whoami)


def _login(options: argparse.Namespace) -> int:
    client = _client()
    if client.is_local:
        owner = client.login()
        username = printable(owner["username"])
        print(f"Runs are saved on this machine as {username}; no API key is needed")
        return 0
    if options.api_key is not None:
        return _sign_in(client, options.api_key)
    if options.api_key_stdin:
        return _sign_in(client, _read_key(options))
    credential = None if options.relogin else _find_credential(client)
    if credential is None:
        return _prompt_for_key(client, options)
    return _verify_stored_key(client, options, credential)


def _client() -> te.TellurioClient:
    """Returns a client for the backend in the settings."""
    from afnio_tellurio.settings.settings import Mode, read_settings

    settings = read_settings()
    if settings.mode is Mode.LOCAL:
        return te.TellurioClient.local(settings.database)
    return te.TellurioClient()


def _find_credential(client: te.TellurioClient) -> Credential | None:
    from afnio_tellurio.api.auth import find_credential
    from afnio_tellurio.client import connection_of

    return find_credential(connection_of(client).settings)


def _read_key(options: argparse.Namespace) -> str:
    usage: argparse.ArgumentParser = options.usage
    if sys.stdin is None:
        usage.error("--api-key-stdin: stdin is closed")
    if sys.stdin.isatty():
        usage.error("--api-key-stdin reads a pipe or a file; omit it for a hidden prompt")
    try:
        return sys.stdin.read()
    except UnicodeDecodeError:
        pass
    # Raised outside the handler: that exception contains the input.
    raise ValueError("Standard input isn't valid text")


def _sign_in(client: te.TellurioClient, api_key: str) -> int:
    from afnio_tellurio.api.auth import checked_key, read_stored
    from afnio_tellurio.client import connection_of

    valid_key = checked_key("the API key", api_key)
    if valid_key is None:
        raise ValueError("The API key is empty")
    try:
        owner = client.login(valid_key)
    except te.InvalidAPIKeyError as error:
        raise ValueError(_rejection("this API key", client, error)) from None
    stored = read_stored(connection_of(client).settings)
    if stored is None or stored.key != valid_key:
        # `client.login` has printed the reason.
        return 1
    print(
        f"Signed in to {client.url} as {printable(owner['username'])}; key stored in "
        f"{_SOURCE_NAMES[stored.source]}"
    )
    effective = _find_credential(client)
    if effective and effective.key != valid_key:
        complain(
            "afnio-tellurio login: TELLURIO_API_KEY is set to a different key, which takes "
            "precedence; unset it"
        )
    return 0


def _rejection(key: str, client: te.TellurioClient, error: te.InvalidAPIKeyError) -> str:
    return f"{client.url} rejected {key}: {printable(error.words).rstrip('.')}"


def _verify_stored_key(
    client: te.TellurioClient, options: argparse.Namespace, credential: Credential
) -> int:
    source = _SOURCE_NAMES[credential.source]
    try:
        owner = client.login()
    except te.InvalidAPIKeyError as error:
        rejection = _rejection(f"the key in {source}", client, error)
        if credential.source == "environment":
            raise ValueError(f"{rejection}; change or unset it, then try again") from None
        from afnio_tellurio.api.auth import can_ask

        if not can_ask():
            raise ValueError(f"{rejection}; pass a new key with --api-key-stdin") from None
        complain(f"afnio-tellurio login: {rejection}")
        return _prompt_for_key(client, options)
    print(
        f"Signed in to {client.url} as {printable(owner['username'])} with the key in {source} "
        "(use --relogin to change it)"
    )
    return 0


def _prompt_for_key(client: te.TellurioClient, options: argparse.Namespace) -> int:
    from afnio_tellurio.client import ask_for_key

    usage: argparse.ArgumentParser = options.usage
    for attempts_left in reversed(range(_ATTEMPTS)):
        try:
            key = ask_for_key(client)
            if key is None:
                usage.error(
                    "Can't prompt for the API key without a terminal; pass --api-key-stdin or "
                    "set TELLURIO_API_KEY"
                )
            return _sign_in(client, key)
        except (KeyboardInterrupt, EOFError) as error:
            # The cursor is still after the prompt.
            complain("")
            if isinstance(error, EOFError):
                raise ValueError("No API key was entered") from None  # noqa: TRY004 - no input
            raise
        except ValueError as error:
            if not attempts_left or isinstance(error, te.BackendUnreachableError):
                raise
            complain(f"afnio-tellurio login: {error}")
    raise AssertionError("the last attempt returns or raises")


def _logout(_options: argparse.Namespace) -> int:
    from afnio_tellurio.api.auth import remove_stored
    from afnio_tellurio.settings.settings import read_settings

    settings = read_settings()
    url = settings.url
    sources, problem = remove_stored(settings)
    if sources:
        names = " and ".join(_SOURCE_NAMES[source] for source in sources)
        print(f"Removed the API key for {url} from {names}")
    else:
        print(f"No API key is stored for {url}")
    if settings.api_key:
        print("TELLURIO_API_KEY is still set; unset it to sign out")
    if problem:
        complain(f"afnio-tellurio logout: {problem}; it may still contain a key")
    return int(problem is not None)


def _whoami(options: argparse.Namespace) -> int:
    client = _client()
    credential = None if client.is_local else _find_credential(client)
    if credential is None and not client.is_local:
        raise ValueError(
            f"Not signed in to {client.url}{_where_runs_go()}; run: afnio-tellurio login"
        )
    from afnio_tellurio.client import connection_of

    owner, address = client.login(), connection_of(client).address
    if options.json:
        source = credential and credential.source
        facts = {"backend": address, **owner, "key_source": source}
        print(json.dumps(facts, indent=2))
        return 0
    print(printable(owner["username"]))
    print(f"backend  {printable(address)}")
    print(f"e-mail   {printable(owner['email'])}")
    print(f"key      {_SOURCE_NAMES[credential.source] if credential else 'not needed'}")
    return 0


def _where_runs_go() -> str:
    from afnio_tellurio.default_client import goes_online
    from afnio_tellurio.settings.settings import read_settings

    return "" if goes_online(read_settings()) else ", so runs are saved on this machine"
