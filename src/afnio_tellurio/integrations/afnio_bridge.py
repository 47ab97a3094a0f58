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
from contextlib import ExitStack
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.notices import warn_once
from afnio_tellurio.settings.urls import is_this_machine

if TYPE_CHECKING:
    from afnio_tellurio.api.connection import Connection

#: The URL of afnio's WebSocket unless the user sets another one.
_PLATFORM = "wss://platform.tellurio.ai"
#: Seconds to wait for an answer of the WebSocket.
_CONNECT_TIMEOUT = 10

#: For one thread at a time: afnio has one WebSocket.
_lock = threading.Lock()
#: The URLs and keys that failed, which a further run does not try again.
_failed: set[tuple[str, str]] = set()


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
        _sign_in(connection, again=False)
    else:
        warn_once(
            "Tracking locally: metrics of afnio's Trainer arrive in this run. Its models, backward "
            "passes and optimizers need a run of the platform: use `afnio-tellurio login`, and "
            "unset TELLURIO_MODE."
        )


def release_run(run: object, successor: object | None) -> None:
    """Makes another open run the active one of afnio, or none, if this run is its active one."""
    try:
        run_context: Any = import_module("afnio.tellurio.run_context")
        try:
            active = run_context.get_active_run()
        except ValueError:  # it has no active run
            active = None
        if active is run:
            run_context.set_active_run(successor)
    except Exception as error:  # noqa: BLE001 - afnio may change
        raise_foreign(error, by_type=False)
        warn_once(f"this version of afnio goes on with a run that has ended: {error!r}")


def share_key(connection: Connection) -> str | None:
    """Connects afnio's WebSocket with the key of a connection, if both lead to one backend.

    Returns:
        The ID of the new session. `None` if afnio is connected already, goes to another backend,
        or cannot be connected; the last two are reported.
    """
    return _sign_in(connection, again=True)


def _sign_in(connection: Connection, *, again: bool) -> str | None:
    key = connection.key.value
    if not key:
        return None
    try:
        clients: Any = import_module("afnio.tellurio._client_manager")
        client, websocket = clients.get_default_clients(login=False)
        attempt = (websocket.ws_url, key)
        if attempt in _failed and not again:
            return None
        _failed.discard(attempt)
        try:
            return _connect(connection, key, client, websocket)
        except BaseException:  # raised again
            _failed.add(attempt)
            raise
    except Exception as error:  # noqa: BLE001 - afnio may change
        raise_foreign(error, by_type=False)
        # afnio's own exception does not have the reason.
        cause = error.__cause__ or error.__context__ or error
        reason = (str(cause) or type(cause).__name__).replace(key, "***")
        warn_once(
            f"afnio is not connected to {connection.url}, so its models and backward passes do not "
            f"work; runs are tracked. The reason: {reason}"
        )
        return None


def _connect(connection: Connection, key: str, client: Any, websocket: Any) -> str | None:
    refusal = _reason_to_withhold(connection, websocket.base_url)
    if refusal is not None:
        warn_once(
            f"afnio does not get the key of {connection.url}: {refusal}. It signs in by itself, "
            "with the key that it finds, when it first needs the platform"
        )
        return None
    background: Any = import_module("afnio.tellurio._eventloop")._event_loop_thread  # noqa: SLF001
    if background.thread is threading.current_thread() or not background.thread.is_alive():
        # In a forked child, for example: afnio itself would wait forever.
        return None
    if not _lock.acquire(timeout=_CONNECT_TIMEOUT):
        return None
    try:
        if websocket.api_key == key and _is_open(websocket):
            return None
        connecting = asyncio.run_coroutine_threadsafe(_open(websocket, key), background.loop)
        try:
            session = connecting.result(2 * _CONNECT_TIMEOUT)
        finally:
            connecting.cancel()
    finally:
        _lock.release()
    if _host_of(client.base_url) == _host_of(connection.url):
        client.api_key = key
    session_id: str | None = session.get("session_id")
    return session_id


def _reason_to_withhold(connection: Connection, websocket_url: str) -> str | None:
    """Why a WebSocket must not get the key: it leads elsewhere, or others could read the key."""
    host = _host_of(websocket_url)
    is_chosen = websocket_url != _PLATFORM and connection.settings.is_named
    if host != _host_of(connection.url) and not is_chosen:
        return f"its WebSocket leads to {websocket_url}; set TELLURIO_BACKEND_WS_BASE_URL"
    if websocket_url.startswith("wss:") or connection.settings.allow_plain_http:
        return None
    if not is_this_machine(host):
        return f"{websocket_url} is not encrypted; use wss://"
    if getproxies() and not proxy_bypass(host):
        # websockets uses them for this machine too.
        return f"a proxy could read it; set NO_PROXY={host}"
    return None


def _host_of(url: str) -> str:
    return urlsplit(url).hostname or ""


async def _open(websocket: Any, key: str) -> dict[str, str]:
    """Connects again; a failure leaves the connection as it was."""
    before = (websocket.connection, websocket.listener_task, websocket.api_key)
    with ExitStack() as quiet:
        set_level = import_module("afnio.logging_config").set_logger_level
        # afnio would report a failure too, at length, and websockets the key.
        quiet.enter_context(set_level("afnio.tellurio.websocket_client", logging.CRITICAL + 1))
        quiet.enter_context(set_level("websockets.client", logging.INFO))
        try:
            connecting = websocket.connect(api_key=key, retries=1)
            session: dict[str, str] = await asyncio.wait_for(connecting, _CONNECT_TIMEOUT)
        except BaseException:  # raised again
            after = (websocket.connection, websocket.listener_task)
            websocket.connection, websocket.listener_task, websocket.api_key = before
            if after[0] is not before[0]:
                await _discard(*after)
            raise
        # afnio would connect it again without a key.
        await _discard(*before[:2])
    return session


async def _discard(connection: Any, listener: Any) -> None:
    if listener is not None:
        listener.cancel()
    if connection is not None:
        await connection.close()


def _is_open(websocket: Any) -> bool:
    connection, listener = websocket.connection, websocket.listener_task
    if connection is None or listener is None or listener.done():
        return False
    return bool(connection.state.name == "OPEN")
