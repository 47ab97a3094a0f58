"""The embedded backend: a WSGI application that implements the contract on SQLite."""

from afnio_tellurio.backend.application import Backend, open_backend
from afnio_tellurio.backend.requests import BackendUser

__all__ = ["Backend", "BackendUser", "open_backend"]
