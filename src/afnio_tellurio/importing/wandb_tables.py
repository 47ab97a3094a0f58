"""Tables of wandb, as rows. Their files have the columns and the data, as Python writes JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from afnio_tellurio.importing.imported_runs import ImportedRow
from afnio_tellurio.interruptions import raise_foreign

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: wandb's names for the types of values with a table; a file of the second one has new rows only.
TABLES = {"table-file", "incremental-table-file"}
#: A file is read at once. wandb itself allows 200,000 rows.
_MAX_BYTES = 2**28
_STEP = "_step"


class TableFile(NamedTuple):
    """A table that was logged.

    Attributes:
        name: Its name.
        file: Where it is.
        step: The step.
        time: When it was logged, in microseconds since 1970.
    """

    name: str
    file: Path
    step: int
    time: int


def read_rows(table: TableFile) -> Iterator[ImportedRow]:
    """Yields the rows of a table, each with its step.

    Raises:
        OSError: It cannot be read.
        ValueError: It is too large, or not a table.
    """
    if table.file.stat().st_size > _MAX_BYTES:
        raise ValueError(f"{table.file} has more than {_MAX_BYTES:,} bytes")
    columns, data = _content(table.file)
    for cells in data:
        fields = {_STEP: table.step, **dict(zip(columns, cells, strict=True))}
        yield ImportedRow(table.name, table.time, fields)


def _content(file: Path) -> tuple[list[str], list[list[Any]]]:
    try:
        content: Any = json.loads(file.read_bytes())
    except RecursionError as error:
        raise_foreign(error)
        raise ValueError(f"{file} is nested too deep") from error
    columns: Any = content.get("columns") if isinstance(content, dict) else None  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    data: Any = content.get("data") if isinstance(content, dict) else None  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    if not isinstance(columns, list) or not isinstance(data, list):
        raise ValueError(f"{file} has no columns or no data")  # noqa: TRY004 - the file is invalid
    names = [str(column) for column in columns]  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    rows: list[Any] = data  # pyright: ignore[reportUnknownVariableType]
    if len(set(names)) < len(names):
        raise ValueError(f"{file} has a column twice")
    if any(not isinstance(cells, list) or len(cells) != len(names) for cells in rows):  # pyright: ignore[reportUnknownArgumentType]
        raise ValueError(f"{file} has rows of another length")
    return names, rows
