"""Any value of a program as JSON, bounded and without credentials."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, cast

from afnio_tellurio.special_numbers import SPECIAL_NUMBERS
from afnio_tellurio.tracking.redaction import redact_config, redact_text
from afnio_tellurio.validation import UnfitError, encoded_scalar

#: Characters of one text; the rest is cut.
MAX_TEXT = 10_000
#: Items of one list or mapping; the rest is cut.
MAX_ITEMS = 100
#: Levels of lists and mappings; what is deeper becomes a text.
MAX_DEPTH = 8
#: A credential at the place of the cut is recognized if it ends before this many characters more.
_BEYOND_CUT = 1_000
#: What turns an object of dspy or pydantic into a mapping.
_CONVERSIONS = ("toDict", "model_dump")


def plain_fields(fields: Mapping[str, Any], max_text: int = MAX_TEXT) -> dict[str, Any]:
    """The fields as JSON values: an object that JSON does not have becomes its `repr`.

    A mark takes the place of credentials, as in the config of a run. Texts are cut after `max_text`
    characters, lists and mappings after 100 items.
    """
    return redact_config(
        {_cut(str(name), max_text): _plain(value, max_text, 0) for name, value in fields.items()}
    )[0]


def plain_text(text: str, max_text: int = MAX_TEXT) -> str:
    """The text without credentials, cut after `max_text` characters."""
    return _cut(redact_text(text[: max_text + _BEYOND_CUT]), max_text, len(text))


def _plain(value: Any, max_text: int, depth: int) -> Any:
    if isinstance(value, str):
        return plain_text(value, max_text)
    try:
        scalar = encoded_scalar(value)
    except UnfitError:
        pass
    else:
        return SPECIAL_NUMBERS.get(scalar, scalar) if isinstance(scalar, str) else scalar
    if depth < MAX_DEPTH:
        fields = _fields(value)
        if fields is not None:
            items = islice(fields.items(), MAX_ITEMS)
            return {
                _cut(str(key), max_text): _plain(item, max_text, depth + 1) for key, item in items
            }
        if isinstance(value, list | tuple | set | frozenset):
            members = islice(cast("Iterable[Any]", value), MAX_ITEMS)
            return [_plain(item, max_text, depth + 1) for item in members]
    return plain_text(_described(value), max_text)


def _fields(value: Any) -> Mapping[Any, Any] | None:
    """The fields of a mapping, or of an object of dspy or pydantic, else None."""
    fields = value
    convert = next((name for name in _CONVERSIONS if hasattr(type(value), name)), None)  # pyright: ignore[reportUnknownArgumentType]
    if convert is not None:
        try:
            fields = getattr(value, convert)()
        except Exception:  # noqa: BLE001 - code of the user, and its repr is recorded instead
            return None
    return fields if isinstance(fields, Mapping) else None  # pyright: ignore[reportUnknownVariableType]


def _described(value: Any) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - code of the user, whose failure is recorded
        return f"<{type(value).__name__}, whose repr raised {type(error).__name__}>"


def _cut(text: str, length: int, length_before: int | None = None) -> str:
    length_before = len(text) if length_before is None else length_before
    if len(text) > length:
        text = f"{text[:length]}... [{length_before:,} characters]"
    # A surrogate of half a character cannot be stored.
    return text.encode(errors="backslashreplace").decode()
