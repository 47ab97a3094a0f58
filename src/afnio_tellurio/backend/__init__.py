"""The embedded backend: the contract's operations on SQLite, as a WSGI application."""

from afnio_tellurio.backend.application import Backend, open_backend
from afnio_tellurio.backend.requests import BackendUser

__all__ = ["Backend", "BackendUser", "open_backend"]
