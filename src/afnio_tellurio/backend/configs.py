"""JSON objects of runs: checking them, and merging patches into configs, with exact numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec

from afnio_tellurio.backend.requests import Refusal
from afnio_tellurio.backend.store import values
from afnio_tellurio.backend.structs import encode

if TYPE_CHECKING:
    from afnio_tellurio.backend.structs import RawObject

MAX_OBJECT_BYTES = 8_000_000


def _exact_number(text: str) -> msgspec.Raw:
    return msgspec.Raw(text.encode("ascii"))


# Numbers with a fraction or an exponent stay as they are; integers may have any size.
_decode = msgspec.json.Decoder(float_hook=_exact_number).decode


def checked_object(fields: RawObject, field_name: str) -> str:
    """Returns an object of a request as JSON without white space.

    Raises:
        Refusal: It is too large or nested too deeply, or has a number that does not fit a double.
    """
    data = encode(fields)
    try:
        values.stored(msgspec.Raw(data))
        data = encode(_decode(data))
    except (ValueError, RecursionError) as error:
        raise Refusal(400, {field_name: [f"{error}."]}) from None
    _require_size(data, field_name)
    return data.decode("utf-8")


def merged_config(config: str, patch: str) -> str:
    """Returns a config after a JSON Merge Patch, as RFC 7396 defines it.

    Both are JSON that `checked_object` returned, so no change of the config means equal text.

    Raises:
        Refusal: The new config is too large.
    """
    data = encode(_merged(_decode(config), _decode(patch)))
    _require_size(data, "config")
    return data.decode("utf-8")


def _merged(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    fields = cast("dict[str, Any]", target) if isinstance(target, dict) else {}
    for name, value in cast("dict[str, Any]", patch).items():
        if value is None:
            fields.pop(name, None)
        else:
            fields[name] = _merged(fields.get(name), value)
    return fields


def _require_size(data: bytes, what: str) -> None:
    if len(data) > MAX_OBJECT_BYTES:
        detail = f"{what} has {len(data)} bytes; it may have up to {MAX_OBJECT_BYTES}."
        raise Refusal(413, {"detail": detail})
