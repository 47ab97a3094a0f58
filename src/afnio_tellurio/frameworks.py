"""Frameworks that the program has imported and that have an active run of their own: it is ours.

Their integrations stand on the rest of the package, so they are loaded here by name.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from afnio_tellurio.api.connection import Connection


class _Bridge(Protocol):
    """What an integration does when a run starts and ends, and at a login."""

    def share_run(self, run: object, connection: Connection | None) -> None: ...

    def release_run(self, run: object, successor: object | None) -> None: ...

    def share_key(self, connection: Connection) -> str | None: ...


def share_run(run: object, connection: Connection | None) -> None:
    """Makes a run the active one of afnio, and signs afnio in.

    Args:
        run: The run.
        connection: The connection to its backend; `None` if tracking is disabled.
    """
    bridge = _bridge_to_afnio()
    if bridge is not None:
        bridge.share_run(run, connection)


def release_run(run: object, successor: object | None) -> None:
    """Makes another open run the active one of afnio, or none, if this run is its active one."""
    bridge = _bridge_to_afnio()
    if bridge is not None:
        bridge.release_run(run, successor)


def share_key(connection: Connection) -> str | None:
    """Signs afnio in with the key of a connection; returns the ID of its new session, if any."""
    bridge = _bridge_to_afnio()
    return None if bridge is None else bridge.share_key(connection)


def _bridge_to_afnio() -> _Bridge | None:
    if "afnio.tellurio.run_context" not in sys.modules:
        return None
    return cast("_Bridge", import_module("afnio_tellurio.integrations.afnio_bridge"))
