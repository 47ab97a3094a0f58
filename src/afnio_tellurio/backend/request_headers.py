"""Headers of requests that several operations read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from afnio_tellurio.backend.requests import Refusal

if TYPE_CHECKING:
    from afnio_tellurio.backend.requests import Call


def idempotency_key_of(call: Call) -> str | None:
    """Returns the key that the client chose for this request, or None."""
    key = call.headers.get("idempotency-key")
    if key is not None and not 1 <= len(key) <= 255:  # noqa: PLR2004 - the contract's bound
        raise Refusal(400, {"Idempotency-Key": ["Must have 1 to 255 characters."]})
    return key
