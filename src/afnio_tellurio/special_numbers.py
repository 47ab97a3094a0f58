r"""NaN and the infinities in JSON, which has no numbers for them.

They are the words `"NaN"`, `"Infinity"` and `"-Infinity"`. So that a string that is one of these
words comes back as a string, it travels with a backslash in front (`\NaN`), and a string with
backslashes before such a word with one more. The columns of the contract, journals, and the
embedded backend's database have this form. The objects of `logMetric` and `listMetrics` have no
backslashes: there, only the other values show what a word means.
"""

from __future__ import annotations

import math
import re
from typing import Any

SPECIAL_NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_ENDINGS = ("NaN", "Infinity")
_WORD = re.compile(r"\\*(?:NaN|-?Infinity)")
# In JSON text: a string that is a word, and not the name of a field.
_BACKSLASHED = re.compile(rb'(?<![^\s\[,:])"((?:\\\\)+(?:NaN|-?Infinity)")(?!\s*:)')
_ESCAPED = re.compile(rb'(?<![^\s\[,:])"\\\\((?:\\\\)*(?:NaN|-?Infinity)")(?!\s*:)')

# An escape in JSON; in hexadecimal, of a character of ASCII that needs none.
_ESCAPE = re.compile(rb"\\(?:u00([2-7][0-9a-fA-F])|.)", re.DOTALL)


def escape_word(text: str) -> str:
    """Adds a backslash to a string that would be taken for a number, or lose a backslash."""
    return "\\" + text if text.endswith(_ENDINGS) and _WORD.fullmatch(text) else text


def restore(value: Any) -> Any:
    """Returns a value of JSON as it was logged: numbers for words, and strings unescaped."""
    if isinstance(value, str):
        if not value.endswith(_ENDINGS):
            return value
        number = SPECIAL_NUMBERS.get(value)
        if number is not None:
            return number
        return value[1:] if value[0] == "\\" and _WORD.fullmatch(value) else value
    if isinstance(value, list):
        return [restore(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, dict):
        return {name: restore(item) for name, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
    return value


def plain(value: Any) -> Any:
    """Returns a value in the form of columns as people read it, without the backslashes."""
    if isinstance(value, str):
        is_escaped = value.startswith("\\") and _WORD.fullmatch(value)
        return value[1:] if is_escaped else value
    if isinstance(value, list):
        return [plain(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
    return value


def spell_out(json: bytes) -> bytes:
    r"""Returns JSON without hexadecimal escapes of ASCII, so that each word has one spelling."""
    return _ESCAPE.sub(_spelled_out, json) if b"\\u00" in json else json


def _spelled_out(escape: re.Match[bytes]) -> bytes:
    if escape[1] is None:
        return escape[0]
    character = bytes.fromhex(escape[1].decode("ascii"))
    return b"\\" + character if character in b'"\\' else character


def add_backslashes(json: bytes) -> bytes:
    """Returns the JSON of an object of the contract with the backslashes of the columns."""
    return _BACKSLASHED.sub(rb'"\\\\\1', json) if b"\\" in json else json


def remove_backslashes(json: bytes) -> bytes:
    """Returns the JSON of a value in columns as the objects of the contract have it."""
    return _ESCAPED.sub(rb'"\1', json) if b"\\" in json else json
