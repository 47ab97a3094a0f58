"""Integers in requests: JSON Schema allows to write 3 as 3.0."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal

import msgspec

from afnio_tellurio.backend import structs

_INTEGER_FIELDS = ("first_sequence_number", "step", "name", "timestamp", "size", "keep")
#: Fields with lists of objects.
_LIST_FIELDS = ("metrics", "files", "blobs")


def with_integers(body: bytes) -> bytes:
    """Writes integer fields such as 3.0, which JSON Schema allows, as 3. Keeps metric values."""
    try:
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError:
        return body
    for name in _LIST_FIELDS:
        with suppress(msgspec.ValidationError):
            items = msgspec.json.decode(fields.get(name, b"[]"), type=list[msgspec.Raw])
            if items:
                encoded = b",".join(with_integers(bytes(item)) for item in items)
                fields[name] = msgspec.Raw(b"[" + encoded + b"]")
    for name in _INTEGER_FIELDS:
        if name in fields:
            fields[name] = _as_integer(fields[name])
    return structs.encode(fields)


def _as_integer(raw: msgspec.Raw) -> msgspec.Raw:
    text = bytes(raw).decode("utf-8")
    if text.startswith("["):
        items = msgspec.json.decode(text, type=list[msgspec.Raw])
        return msgspec.Raw(b"[%b]" % b",".join(bytes(_as_integer(item)) for item in items))
    try:
        number = float(text)
    except ValueError:
        return raw
    if not number.is_integer() or abs(number) > structs.MAX_STEP:
        return raw
    # Not converted from the float, which is exact up to 53 bits only.
    exact = Decimal(text) if number else Decimal(0)
    return msgspec.Raw(b"%d" % int(exact)) if exact == int(exact) else raw
