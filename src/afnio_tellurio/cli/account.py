"""The commands that sign in and out, and tell as whom one is signed in."""

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
_PLACES = {
    "environment": "TELLURIO_API_KEY",
    "keyring": "the system keyring",
    "credentials file": "the credentials file",
}


def add_commands(commands: Commands) -> None:
    """Adds `login`, `logout` and `whoami`."""
    login = commands.add_parser(
        "login",
        help="sign in to the backend",
        description="Asks for an API key, has the backend check it, and keeps it in the system "
        "keyring, or where there is none in a file that only you can read. A key that is there "
        "already is checked, and kept if it is good.",
        epilog="example: afnio-tellurio login",
    )
    given = login.add_mutually_exclusive_group()
    given.add_argument(
        "--api-key",
        metavar="KEY",
        help="the key; other users can read it in the list of processes: prefer one of the others",
    )
    given.add_argument(
        "--api-key-stdin", action="store_true", help="read the key from standard input"
    )
    login.add_argument(
        "--relogin", action="store_true", help="ask for a new key, whatever is there already"
    )
    login.set_defaults(command=_login, usage=login)

    logout = commands.add_parser(
        "logout",
        help="remove the stored API key of the backend",
        epilog="example: afnio-tellurio logout",
    )
    logout.set_defaults(command=_logout)

    whoami = commands.add_parser(
        "whoami",
        help="tell as whom you are signed in",
        epilog="example: afnio-tellurio whoami",
    )
    whoami.add_argument("--json", action="store_true", help="print JSON")
    whoami.set_defaults(command=_whoami)


def _login(options: argparse.Namespace) -> int:
    client = _client()
    if client.is_local:
        owner = client.login()
        print(f"Runs are kept on this machine, as {printable(owner['username'])}: no key is needed")
        return 0
    if options.api_key is not None:
        return _signed_in(client, options.api_key)
    if options.api_key_stdin:
        return _signed_in(client, _read_key(options))
    found = None if options.relogin else _found(client)
    return _ask(client, options) if found is None else _checked(client, options, found)


def _client() -> te.TellurioClient:
    """The backend that the settings name."""
    from afnio_tellurio.settings.settings import Mode, read_settings

    settings = read_settings()
    if settings.mode is Mode.LOCAL:
        return te.TellurioClient.local(settings.database)
    return te.TellurioClient()


def _found(client: te.TellurioClient) -> Credential | None:
    from afnio_tellurio.api.auth import find_credential
    from afnio_tellurio.client import connection_of

    return find_credential(connection_of(client).settings)


def _read_key(options: argparse.Namespace) -> str:
    usage: argparse.ArgumentParser = options.usage
    if sys.stdin is None:
        usage.error("--api-key-stdin: standard input is closed")
    if sys.stdin.isatty():
        usage.error("--api-key-stdin is for a pipe or a file; leave it out to be asked, unseen")
    try:
        return sys.stdin.read()
    except UnicodeDecodeError:
        pass
    # Not from that exception, which holds what was read.
    raise ValueError("what came on standard input is no text")


def _signed_in(client: te.TellurioClient, api_key: str) -> int:
    from afnio_tellurio.api.auth import checked_key, read_stored
    from afnio_tellurio.client import connection_of

    checked = checked_key("the API key", api_key)
    if checked is None:
        raise ValueError("the API key is empty")
    try:
        owner = client.login(checked)
    except te.InvalidAPIKeyError as error:
        raise ValueError(_refusal("this API key", client, error)) from None
    kept = read_stored(connection_of(client).settings)
    if kept is None or kept.key != checked:
        # The login has said why.
        return 1
    print(
        f"Signed in to {client.url} as {printable(owner['username'])}; the key is kept in "
        f"{_PLACES[kept.source]}"
    )
    used = _found(client)
    if used and used.key != checked:
        complain(
            "afnio-tellurio login: TELLURIO_API_KEY is set to another key, and comes first; "
            "unset it"
        )
    return 0


def _refusal(what: str, client: te.TellurioClient, error: te.InvalidAPIKeyError) -> str:
    return f"{client.url} refuses {what}: {printable(error.words).rstrip('.')}"


def _checked(client: te.TellurioClient, options: argparse.Namespace, found: Credential) -> int:
    place = _PLACES[found.source]
    try:
        owner = client.login()
    except te.InvalidAPIKeyError as error:
        refusal = _refusal(f"the key in {place}", client, error)
        if found.source == "environment":
            raise ValueError(f"{refusal}; set it to another, or unset it and repeat this") from None
        from afnio_tellurio.api.auth import can_ask

        if not can_ask():
            raise ValueError(f"{refusal}; give a new one with --api-key-stdin") from None
        complain(f"afnio-tellurio login: {refusal}")
        return _ask(client, options)
    print(
        f"Signed in to {client.url} as {printable(owner['username'])} with the key in {place} "
        "(--relogin takes another)"
    )
    return 0


def _ask(client: te.TellurioClient, options: argparse.Namespace) -> int:
    from afnio_tellurio.api.auth import ask_for_key

    usage: argparse.ArgumentParser = options.usage
    for left in reversed(range(_ATTEMPTS)):
        try:
            key = ask_for_key(client.url)
            if key is None:
                usage.error(
                    "there is no terminal to ask for the API key; give it with --api-key-stdin, "
                    "or set TELLURIO_API_KEY"
                )
            return _signed_in(client, key)
        except (KeyboardInterrupt, EOFError) as error:
            # The cursor still stands behind the question.
            complain("")
            if isinstance(error, EOFError):
                raise ValueError("no API key was given") from None  # noqa: TRY004 - nothing came
            raise
        except ValueError as error:
            if not left or isinstance(error, te.BackendUnreachableError):
                raise
            complain(f"afnio-tellurio login: {error}")
    raise AssertionError("the last attempt returns or raises")


def _logout(_options: argparse.Namespace) -> int:
    from afnio_tellurio.api.auth import remove_stored
    from afnio_tellurio.settings.settings import read_settings

    settings = read_settings()
    url = settings.url
    removed, problem = remove_stored(settings)
    if removed:
        places = " and ".join(_PLACES[place] for place in removed)
        print(f"The API key for {url} is removed from {places}")
    else:
        print(f"No API key for {url} is stored")
    if settings.api_key:
        print("TELLURIO_API_KEY is set, and still gives one; unset it")
    if problem:
        complain(f"afnio-tellurio logout: {problem}; a key may be left in it")
    return int(problem is not None)


def _whoami(options: argparse.Namespace) -> int:
    client = _client()
    found = None if client.is_local else _found(client)
    if found is None and not client.is_local:
        raise ValueError(f"not signed in to {client.url}; sign in with: afnio-tellurio login")
    from afnio_tellurio.client import connection_of

    owner, address = client.login(), connection_of(client).address
    if options.json:
        facts = {"backend": address, **owner, "key_source": found and found.source}
        print(json.dumps(facts, indent=2, ensure_ascii=False))
        return 0
    print(printable(owner["username"]))
    print(f"backend  {printable(address)}")
    print(f"e-mail   {printable(owner['email'])}")
    print(f"key      {_PLACES[found.source] if found else 'none is needed'}")
    return 0
