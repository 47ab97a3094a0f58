"""The embedded backend: the contract's operations on SQLite, as a WSGI application."""

from afnio_tellurio.local.application import Backend, open_backend
from afnio_tellurio.local.requests import BackendUser

__all__ = ["Backend", "BackendUser", "open_backend"]
