"""Another way to the backend for a client of a test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from afnio_tellurio.client import connection_of

if TYPE_CHECKING:
    import httpx

    import afnio_tellurio as te


def use_transport(client: te.TellurioClient, transport: httpx.BaseTransport) -> None:
    connection = connection_of(client)
    connection._pool.http.close()
    connection._pool.transport = transport
    connection._pool.open()
