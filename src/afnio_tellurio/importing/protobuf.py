"""Reads messages of Protocol Buffers field by field, without their schema."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_VARINT_BYTES = 10
_CONTINUES = 0x80
_SIGN = 1 << 63


class ProtobufError(ValueError):
    """Bytes are not a message."""


class Field(NamedTuple):
    """A field of a message.

    Attributes:
        number: Its number in the schema.
        integer: Its value if it is a number; the bits of a float.
        data: Its value if it is a string, bytes, a message, or packed numbers.
        is_wide: Whether a float has 64 bits.
    """

    number: int
    integer: int
    data: bytes
    is_wide: bool = False

    @property
    def signed(self) -> int:
        """The value of an int32 or int64."""
        return (self.integer ^ _SIGN) - _SIGN

    @property
    def real(self) -> float:
        """The value of a float or double."""
        if self.is_wide:
            (number,) = struct.unpack("<d", struct.pack("<Q", self.integer))
        else:
            (number,) = struct.unpack("<f", struct.pack("<I", self.integer))
        return float(number)

    @property
    def text(self) -> str:
        """The value of a string."""
        return self.data.decode("utf-8", "replace")


class Message:
    """The fields of a message by their numbers.

    Args:
        data: The bytes of the message.

    Raises:
        ProtobufError: They are not a message.
    """

    def __init__(self, data: bytes) -> None:
        self.fields: dict[int, list[Field]] = {}
        for field in fields_of(data):
            self.fields.setdefault(field.number, []).append(field)

    def all(self, number: int) -> list[Field]:
        """Returns the fields with a number."""
        return self.fields.get(number, [])

    def last(self, number: int) -> Field:
        """Returns the last field with a number, which counts; an empty one if it is missing."""
        return self.fields[number][-1] if number in self.fields else Field(number, 0, b"")

    def messages(self, number: int) -> list[Message]:
        """Returns the messages with a number."""
        return [Message(field.data) for field in self.all(number)]

    def message(self, *numbers: int) -> Message:
        """Returns the message inside others; an empty one if it is missing."""
        message = self
        for number in numbers:
            message = Message(message.last(number).data)
        return message

    def has(self, number: int) -> bool:
        """Returns whether there is a field with a number."""
        return number in self.fields


def fields_of(message: bytes) -> Iterator[Field]:
    """Yields the fields of a message in their order.

    Raises:
        ProtobufError: The bytes are not a message.
    """
    position, end = 0, len(message)
    while position < end:
        key, position = varint(message, position)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, position = varint(message, position)
            yield Field(number, value, b"")
            continue
        if kind == _BYTES:
            size, position = varint(message, position)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise ProtobufError(f"a field has the unknown wire type {kind}")
        if position + size > end:
            raise ProtobufError("a field is longer than its message")
        data = message[position : position + size]
        position += size
        if kind == _BYTES:
            yield Field(number, 0, data)
        else:
            yield Field(number, int.from_bytes(data, "little"), b"", kind == _FIXED64)


def varint(data: bytes, position: int) -> tuple[int, int]:
    """Returns the number at a position, and the position after it.

    Raises:
        ProtobufError: It is cut, or longer than 64 bits.
    """
    number = 0
    for index in range(_MAX_VARINT_BYTES):
        if position >= len(data):
            raise ProtobufError("a number is cut")
        byte = data[position]
        position += 1
        number |= (byte & 0x7F) << (7 * index)
        if not byte & _CONTINUES:
            return number & (2**64 - 1), position
    raise ProtobufError("a number has more than 64 bits")
