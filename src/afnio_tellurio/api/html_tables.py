"""Tables as HTML for notebooks: without scripts, and readable in light and dark ones."""

from __future__ import annotations

import datetime as dt
import json
from html import escape
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from afnio_tellurio.notices import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: What a table shows, at most.
MAX_SHOWN_ROWS = 20
_COLUMNS = 15
_LENGTH = 80
#: A cell's text is cut before it is made: a value may have millions of items.
_ITEMS = 40
_EDGE = "border-bottom:1px solid #8884;padding:.2em .6em;white-space:nowrap"
_NUMBER = f"{_EDGE};text-align:right;font-variant-numeric:tabular-nums"
_TEXT = f"{_EDGE};text-align:left"


def render_table(columns: Mapping[str, Sequence[Any]], count: int, title: str) -> str:
    """Renders the first rows and columns of a table.

    Args:
        columns: The values of each column.
        count: The number of rows.
        title: What the rows are.
    """
    shown = dict(islice(columns.items(), _COLUMNS))
    heads = "".join(
        f'<th scope="col" style="{_style(values[:MAX_SHOWN_ROWS])}">{render_text(name)}</th>'
        for name, values in shown.items()
    )
    rows = "".join(
        f"<tr>{''.join(_render_cell(values[row]) for values in shown.values())}</tr>"
        for row in range(min(count, MAX_SHOWN_ROWS))
    )
    left_out = {"row": count - MAX_SHOWN_ROWS, "column": len(columns) - _COLUMNS}
    more = [
        f"{left:,} more {what}{'s' * (left > 1)}" for what, left in left_out.items() if left > 0
    ]
    note = f"<div>{' and '.join(more)}</div>" if more else ""
    return (
        '<div style="overflow-x:auto"><table style="border-collapse:collapse">'
        f'<caption style="text-align:left">{render_text(title)}</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>{note}"
    )


def render_text(text: str, length: int = _LENGTH) -> str:
    """Renders the beginning of a text that a user has written."""
    return f"<bdi>{escape(printable(_cut(text, length)))}</bdi>"


def _render_cell(value: object) -> str:
    return f'<td style="{_style([value])}">{render_text(describe(value))}</td>'


def _style(values: Sequence[object]) -> str:
    known = [value for value in values if value is not None]
    return _NUMBER if known and all(map(_is_number, known)) else _TEXT


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def describe(value: Any) -> str:
    """The value as people read it, on one line."""
    match value:
        case None:
            return ""
        case float():
            return f"{value:.6g}"
        case dt.datetime():
            return f"{value.astimezone():%Y-%m-%d %H:%M:%S}"
        case list() | dict():
            return json.dumps(_first_items(value), ensure_ascii=False)
        case _:
            return str(value)


def _first_items(value: Any, depth: int = 3) -> Any:
    """The value with the first items of each list and object, and marks for the others."""
    if isinstance(value, str):
        return _cut(value)
    if not isinstance(value, list | dict):
        return value
    if not depth:
        return "…"
    more = ["…"] if len(value) > _ITEMS else []  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(value, list):
        items: list[Any] = list(chain(islice(value, _ITEMS), more))  # pyright: ignore[reportUnknownArgumentType]
        return [_first_items(item, depth - 1) for item in items]
    pairs: list[tuple[str, Any]] = list(islice(value.items(), _ITEMS))  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
    return {_cut(name): _first_items(item, depth - 1) for name, item in pairs}


def _cut(text: str, length: int = _LENGTH) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
