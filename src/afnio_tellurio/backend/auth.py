"""The operation on API keys, named after its operationId."""

from __future__ import annotations

from afnio_tellurio.backend import structs
from afnio_tellurio.backend.requests import Answer, Call


def verify_api_key(call: Call) -> Answer:
    """Returns the owner of the API key."""
    owner = structs.ApiKeyOwner(call.user.email, call.user.username, "API key is valid.")
    return Answer(200, structs.encode(owner))
