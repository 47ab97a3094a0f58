"""The rows of tables that calls log: checking them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from afnio_tellurio.validation import check_size, checked_name, encoded_value


def checked_rows(call: str, name: str, rows: Any, key: str | None) -> list[dict[str, Any]]:
    """The rows in their JSON form.

    Args:
        call: The function that is called.
        name: The table's name.
        rows: The rows.
        key: The field that each row must have, or None.

    Raises:
        TypeError: They are not mappings, or a value is not JSON.
        ValueError: A row lacks the key, is too large, or cannot be stored unchanged.
    """
    if not isinstance(rows, Iterable) or isinstance(rows, Mapping | str | bytes):
        hint = "; put it in a list" if isinstance(rows, Mapping) else ""
        kind = type(rows).__name__  # pyright: ignore[reportUnknownArgumentType]
        raise TypeError(f"{call}: rows is of type {kind}; it must be an iterable of mappings{hint}")
    return [_checked_row(call, name, index, row, key) for index, row in enumerate(rows)]  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]


def _checked_row(call: str, name: str, index: int, row: Any, key: str | None) -> dict[str, Any]:
    if not isinstance(row, Mapping):
        raise TypeError(
            f"{call}: row {index} is of type {type(row).__name__}; it must be a mapping from the "
            "names of fields to values"
        )
    fields: dict[str, Any] = encoded_value(dict(row), f"{call}: row {index}")  # pyright: ignore[reportUnknownArgumentType]
    if key is not None and key not in fields:
        raise ValueError(f"{call}: row {index} has no field {key!r}, which is the key of {name!r}")
    check_size(call, name, fields)
    return fields


def checked_key(call: str, key: Any) -> str | None:
    """The field that identifies a row, or None."""
    return None if key is None else checked_name(call, "key", key)
