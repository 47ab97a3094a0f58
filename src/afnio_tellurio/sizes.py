"""Numbers of bytes for people."""

from __future__ import annotations

_STEP = 1000
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def counted_bytes(count: int) -> str:
    """A number of bytes with a decimal unit, for a message: `1.5 GB`."""
    number, unit = float(count), 0
    while round(number, 1) >= _STEP and unit < len(_UNITS) - 1:
        number /= _STEP
        unit += 1
    digits = 1 if unit and number < 10 * _STEP / 100 else 0
    return f"{number:.{digits}f} {_UNITS[unit]}"
