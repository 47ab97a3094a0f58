"""CRC-32C, which event files of TensorBoard have: `zlib` has only another CRC-32."""

from __future__ import annotations

_POLYNOMIAL = 0x82F63B78


def _entry(number: int) -> int:
    for _ in range(8):
        number = number >> 1 ^ (_POLYNOMIAL if number & 1 else 0)
    return number


_TABLE = tuple(map(_entry, range(256)))


def crc32c(data: bytes) -> int:
    """Returns the checksum of bytes."""
    crc = 0xFFFFFFFF
    table = _TABLE
    for byte in data:
        crc = crc >> 8 ^ table[crc & 0xFF ^ byte]
    return crc ^ 0xFFFFFFFF


def masked_crc32c(data: bytes) -> int:
    """Returns the checksum as event files have it: rotated and increased."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
