"""The client that the settings ask for, and signing in to its backend."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import replace

from afnio_tellurio.api import auth
from afnio_tellurio.client import TellurioClient, ask_for_key, connection_of, use_key_of
from afnio_tellurio.forks import ForkStep, at_fork
from afnio_tellurio.frameworks import share_key
from afnio_tellurio.notices import tell_location, warn_of_settings
from afnio_tellurio.settings.settings import Mode, Settings, read_settings

_clients: dict[Settings, TellurioClient] = {}
# Reentrant: a signal handler may ask for a client while this thread creates one.
_lock = threading.RLock()


def _renew_lock() -> None:
    global _lock  # noqa: PLW0603
    _lock = threading.RLock()


at_fork(ForkStep.DEFAULT_CLIENT, in_child=_renew_lock)


def client_or_default(client: TellurioClient | None) -> TellurioClient | None:
    """The client itself, else the one that the settings ask for; `None` if tracking is disabled.

    Raises:
        ValueError: A setting is invalid.
        DatabaseError: The embedded backend cannot use its database.
    """
    if client is not None:
        return client
    settings = read_settings()
    return None if settings.mode is Mode.DISABLED else _client_for(settings)


def default_client() -> TellurioClient:
    """The client that the settings ask for, the same one as long as they do not change.

    Raises:
        ValueError: A setting is invalid.
        DatabaseError: The embedded backend cannot use its database.
    """
    return _client_for(read_settings())


def _client_for(settings: Settings) -> TellurioClient:
    key = _backend_settings(settings)
    with _lock:
        client = _clients.get(key)
        if client is None:
            return _clients.setdefault(key, _open_client(settings))
    connection_of(client).settings = settings
    return client


def _backend_settings(settings: Settings) -> Settings:
    """The settings without those that do not concern the backend."""
    return replace(settings, quiet=False, exit_timeout=0.0, redact=True, capture=True)


def _open_client(settings: Settings) -> TellurioClient:
    warn_of_settings(settings)
    if settings.mode is not Mode.LOCAL:
        if goes_online(settings):
            return TellurioClient()
        tell_location(
            f"Tracking locally in {settings.database}. Use `afnio-tellurio login` for the "
            "platform; set TELLURIO_MODE=local to hide this."
        )
    return TellurioClient.local(settings.database)


def goes_online(settings: Settings) -> bool:
    """Whether runs go to a backend over HTTP."""
    if settings.mode is not Mode.AUTO:
        return settings.mode is Mode.ONLINE
    return settings.base_url is not None or auth.find_credential(settings) is not None


def login(api_key: str | None = None, relogin: bool = False) -> dict[str, str]:
    """Signs in to the backend that the settings name, for every call without a `client`.

    Args:
        api_key: The key; default `TELLURIO_API_KEY`, else the key that an earlier login stored for
            this backend, else it is asked for at the terminal or in the notebook. A key passed or
            entered is stored in the system keyring if it can be used, else in the credentials file.
        relogin: Whether to ignore a stored key.

    Returns:
        `{"email": ..., "username": ...}` of the key's owner, and the `"session_id"` of afnio if the
        program has imported afnio, which is signed in too.

    Raises:
        TypeError: The key is not a string.
        ValueError: No key was found, or it contains invalid characters.
        InvalidAPIKeyError: The backend refuses the key; it is neither stored nor used.
        CredentialsError: Others can read the credentials file, or it is damaged.
        TellurioError: Any other error of a request.
    """
    settings = read_settings()
    if settings.mode is Mode.DISABLED:
        return {"email": "", "username": ""}
    if settings.mode is Mode.LOCAL:
        return _client_for(settings).login(api_key, relogin)
    key = _backend_settings(settings)
    with _lock:
        client = _clients.get(key)
    if client is None or client.is_local or client.is_closed:
        client = TellurioClient()
    if auth.choose_credential(settings, api_key, relogin=relogin) is None:
        with suppress(EOFError):
            api_key = ask_for_key(client)
    owner = client.login(api_key, relogin)
    with _lock:
        _clients[key] = client
        others = [other for other in _clients.values() if other.url == client.url]
    for other in others:
        # They were made with other settings, and open runs still go through them.
        use_key_of(other, client)
    session_id = share_key(connection_of(client))
    return owner if session_id is None else {**owner, "session_id": session_id}
