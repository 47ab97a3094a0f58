"""afnio in the same process: one active run, and one sign-in.

afnio 0.3 logs the metrics of its `Trainer` to the run in `afnio.tellurio.run_context`. It runs
models, backward passes and optimizers on the platform, through a WebSocket of its own, for the same
run. So our run becomes its active one, and its WebSocket is connected with our key.

Nothing here raises: afnio may change, and runs are tracked without it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.notices import warn_once
from afnio_tellurio.settings.urls import is_this_machine

if TYPE_CHECKING:
    from afnio_tellurio.api.connection import Connection

#: The URL of afnio's WebSocket unless the user sets another one.
_PLATFORM = "wss://platform.tellurio.ai"
#: Seconds to wait for an answer of the WebSocket.
_CONNECT_TIMEOUT = 10


def share_run(run: object, connection: Connection | None) -> None:
    """Makes a run the active one of afnio, and signs afnio in.

    Args:
        run: The run.
        connection: The connection to its backend; `None` if tracking is disabled.
    """
    try:
        import_module("afnio.tellurio.run_context").set_active_run(run)
    except Exception as error:  # noqa: BLE001 - afnio may change
        raise_foreign(error, by_type=False)
        warn_once(f"this version of afnio cannot log to our runs: {error!r}")
        return
    if connection is None:
        return
    if not connection.is_local:
        share_key(connection)
    else:
        warn_once(
            "Tracking locally: metrics of afnio's Trainer arrive in this run. Its models, backward "
            "passes and optimizers need a run of the platform: use `afnio-tellurio login`, and "
            "unset TELLURIO_MODE."
        )


def release_run(run: object) -> None:
    """Leaves afnio without an active run, if this run is its active one."""
    try:
        run_context: Any = import_module("afnio.tellurio.run_context")
        try:
            active = run_context.get_active_run()
        except ValueError:  # it has no active run
            active = None
        if active is run:
            run_context.set_active_run(None)
    except Exception as error:  # noqa: BLE001 - afnio may change
        raise_foreign(error, by_type=False)
        warn_once(f"this version of afnio goes on with a run that has ended: {error!r}")


def share_key(connection: Connection) -> str | None:
    """Connects afnio's WebSocket with the key of a connection, if both lead to one backend.

    Returns:
        The ID of the new session. `None` if afnio is connected already, goes to another backend,
        or cannot be connected; the last is reported.
    """
    key = connection.key.value
    if not key:
        return None
    try:
        return _connect(connection, key)
    except Exception as error:  # noqa: BLE001 - afnio may change
        raise_foreign(error, by_type=False)
        reason = (str(error) or type(error).__name__).replace(key, "***")
        warn_once(
            f"afnio is not connected to {connection.url}, so its models and backward passes do not "
            f"work; runs are tracked. The reason: {reason}"
        )
        return None


def _connect(connection: Connection, key: str) -> str | None:
    clients: Any = import_module("afnio.tellurio._client_manager")
    client, websocket = clients.get_default_clients(login=False)
    if websocket.connection is not None and websocket.api_key == key:
        return None
    if not _may_have_key(connection, websocket.base_url):
        return None
    background: Any = import_module("afnio.tellurio._eventloop")._event_loop_thread  # noqa: SLF001
    if background.thread is threading.current_thread() or not background.thread.is_alive():
        # In a forked child, for example: afnio itself would wait forever.
        return None
    # afnio would report a failure too, at length.
    with import_module("afnio.logging_config").set_logger_level(
        "afnio.tellurio.websocket_client", logging.CRITICAL + 1
    ):
        connecting = asyncio.run_coroutine_threadsafe(
            websocket.connect(api_key=key, retries=1), background.loop
        )
        try:
            session = connecting.result(_CONNECT_TIMEOUT)
        finally:
            connecting.cancel()
    # Only now: while its client has no key, afnio tries to sign in by itself.
    client.api_key = key
    session_id: str | None = session.get("session_id")
    return session_id


def _may_have_key(connection: Connection, websocket_url: str) -> bool:
    """Whether a WebSocket leads to our backend or the user chose it, and it hides the key."""
    parts = urlsplit(websocket_url)
    host = parts.hostname or ""
    is_chosen = websocket_url != _PLATFORM or host == urlsplit(connection.url).hostname
    is_private = parts.scheme == "wss" or is_this_machine(host)
    return is_chosen and (is_private or connection.settings.allow_plain_http)
