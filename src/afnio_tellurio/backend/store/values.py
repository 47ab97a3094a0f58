"""Stores a metric's JSON value in SQLite, exactly, and restores it.

A number that SQLite supports natively is in the column `value`. Everything else is JSON text in
the column `json`, with `value` NULL. SQLite turns NaN into NULL, so NaN is the text "NaN"; the
infinities are native.
"""

from __future__ import annotations

import json
import math
import re
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw, Struct

from afnio_tellurio.special_numbers import remove_backslashes, spell_out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from afnio_tellurio.backend.store.chunks import Value

#: Nesting levels of lists and objects in one value; the contract's limit.
MAX_DEPTH = 100
_INT64 = range(-(2**63), 2**63)
_NAN = '"NaN"'
_INFINITIES = {b'"Infinity"': math.inf, b'"-Infinity"': -math.inf}
_SPELLINGS = {"nan": b'"NaN"', "inf": b'"Infinity"', "-inf": b'"-Infinity"'}
_OBJECT_START = ord("{")
_NUMBER_STARTS = frozenset(b"-0123456789")
#: A string in JSON that is valid; possessive, since a text may be long.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
#: Opening brackets become 1 and closing ones -1.
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_decode = msgspec.json.Decoder().decode
_decode_list = msgspec.json.Decoder(list[Any]).decode


class Stored(Struct, frozen=True, gc=False):
    """A value as SQLite stores it."""

    number: int | float | None
    text: str | None

    def comparable(self) -> int | float | None:
        """Returns the number that counts for minimum and maximum, or None."""
        if self.number is not None:
            return self.number
        if self.text is not None and self.text[0] in "-0123456789":
            number = float(self.text)
            return number if math.isfinite(number) else None
        return None


def number_and_text(value: Value) -> tuple[int | float | None, str | None]:
    """Returns a value of a column of points as SQLite stores it."""
    if isinstance(value, str):
        return None, value
    return (value, None) if value == value else (None, _NAN)  # noqa: PLR0124 - false for NaN


def bounds_of(values: Sequence[Value]) -> tuple[int | float | None, int | float | None]:
    """Returns minimum and maximum of values of a column; None without numbers. NaN is ignored."""
    total: int | float
    try:
        total = sum(values)  # type: ignore[arg-type]
    except TypeError:
        total = math.nan
    # Not NaN, so neither a text nor NaN is among them.
    if total == total:  # noqa: PLR0124
        return min(values), max(values)  # type: ignore[return-value]
    numbers = [
        number
        for value in values
        if (number := Stored(*number_and_text(value)).comparable()) is not None
    ]
    return min(numbers, default=None), max(numbers, default=None)


def stored(raw: Raw) -> Stored:
    """Converts a value of a request for storage in SQLite.

    Raises:
        ValueError: The value cannot be stored exactly.
    """
    data = bytes(raw)
    if data[0] in _NUMBER_STARTS:
        return _stored_number(data)
    if data in _INFINITIES:
        return Stored(_INFINITIES[data], None)
    text = data.decode("utf-8")
    if data[0] in b"[{" and _depth(data) > MAX_DEPTH:
        raise ValueError(f"is nested deeper than {MAX_DEPTH} levels")
    if "\\u" in text or data[0] in b"[{":
        _checked(text)
    return Stored(None, text)


def exact(raw: Raw) -> Value:
    """Converts a value of a request to a number, or to the JSON of any other value.

    Raises:
        ValueError: The value cannot be stored exactly.
    """
    data = spell_out(bytes(raw))
    if data == b'"NaN"':
        return math.nan
    value = stored(Raw(data))
    return value.number if value.text is None else value.text  # type: ignore[return-value]


def stored_object(raw: Raw) -> tuple[str, dict[str, Any]]:
    """Converts an object of a request for storage in SQLite.

    Returns:
        Its JSON, and its fields.

    Raises:
        ValueError: It is not an object, or cannot be stored exactly.
    """
    data = spell_out(bytes(raw))
    if data[0] != _OBJECT_START:
        raise ValueError("must be an object, because it is a row")
    if _depth(data) > MAX_DEPTH:
        raise ValueError(f"is nested deeper than {MAX_DEPTH} levels")
    text = data.decode("utf-8")
    fields: dict[str, Any] = _checked(text)
    return text, fields


def native_numbers(raws: Sequence[Raw]) -> list[int | float | None]:
    """Converts the numbers that SQLite supports natively; returns None for the other values.

    The numbers are the same as with `stored`, but decoding all values at once is much faster.
    """
    try:
        decoded = _decode_list(b"[%b]" % b",".join(map(bytes, raws)))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return [None] * len(raws)
    return [
        value if value.__class__ is float or (value.__class__ is int and value in _INT64) else None
        for value in decoded
    ]


def _stored_number(data: bytes) -> Stored:
    if data.isdigit() or (b"." not in data and b"e" not in data and b"E" not in data):
        # `int` raises ValueError above Python's default limit of digits; few programs could read
        # a longer integer.
        integer = int(data)
        return Stored(integer, None) if integer in _INT64 else Stored(None, data.decode("ascii"))
    number = float(data)
    if number - number != 0.0:
        raise ValueError(f"{data[:40].decode('ascii')} does not fit a double")
    return Stored(number, None)


def _depth(data: bytes) -> int:
    """Returns how deep lists and objects are nested in valid JSON."""
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return MAX_DEPTH
    # Without a loop in Python, which would hold up other threads for seconds.
    brackets = _STRING.sub(b"", data).translate(_STEPS, _NO_BRACKETS)
    return max(accumulate(memoryview(brackets).cast("b")))


def _checked(text: str) -> Any:
    """Decodes JSON; raises ValueError for numeric overflow and lone surrogates."""
    try:
        # It accepts neither, and takes a tenth of the time.
        return _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError):
        pass
    document = json.loads(text, parse_float=_finite)
    json.dumps(document, ensure_ascii=False).encode("utf-8")
    return document


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:40]} does not fit a double")
    return number


def raw(number: float | None, text: str | None) -> Raw:
    """Returns a stored value as JSON."""
    if text is not None:
        return Raw(remove_backslashes(text.encode("utf-8")))
    return raw_number(number)


def raw_value(value: Value) -> Raw:
    """Returns a value as JSON, in which the words for NaN and the infinities are ambiguous."""
    return raw(None, value) if isinstance(value, str) else raw_number(value)


def encodable(column: Sequence[Value]) -> list[Any]:
    """Prepares values for the encoder, exactly, see `special_numbers`."""
    if set(map(type, column)) <= {int, float} and math.isfinite(sum(column)):  # type: ignore[arg-type]
        return list(column)
    return [
        Raw(value.encode()) if isinstance(value, str) else raw_number(value) for value in column
    ]


def raw_number(number: float | None) -> Raw:
    """Returns a number or None as JSON."""
    if number is None:
        return Raw(b"null")
    if isinstance(number, float) and not math.isfinite(number):
        return Raw(_SPELLINGS[repr(number)])
    return Raw(repr(number).encode("ascii"))
