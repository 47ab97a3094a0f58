"""The embedded backend: a WSGI application that implements the contract on SQLite."""

from afnio_tellurio.local.application import Backend, open_backend
from afnio_tellurio.local.requests import BackendUser

__all__ = ["Backend", "BackendUser", "open_backend"]
