"""Columns for the frames of pandas, polars and pyarrow, which are imported when they are used."""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_NOT_A_TIME = -(2**63)


def imported(call: str, package: str) -> Any:
    """Imports a package that a conversion requires.

    Raises:
        ImportError: It is not installed.
    """
    try:
        return import_module(package)
    except ImportError as error:
        raise ImportError(
            f"{call}: {package} cannot be imported ({error}); "
            f"install it with: pip install {package}",
            name=package,
        ) from error


class Tabular(ABC):
    """Rows that become the frames of pandas, polars, and pyarrow."""

    __slots__ = ()

    @abstractmethod
    def _columns(self) -> dict[str, list[Any]]:
        """Returns the values of each column, `None` where a row lacks it."""

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame` of the rows; what a row lacks is missing.

        Raises:
            ImportError: pandas is not installed.
        """
        return imported("to_pandas", "pandas").DataFrame(self._unified())

    def to_polars(self) -> Any:
        """A `polars.DataFrame` of the rows; what a row lacks is null.

        Raises:
            ImportError: polars is not installed.
            OverflowError: There is an integer too large for a column.
            TypeError: The values of a column have several types, which no column can hold.
        """
        return polars_frame(self._unified(), {}, {})

    def to_arrow(self) -> Any:
        """A `pyarrow.Table` of the rows; what a row lacks is null.

        Raises:
            ImportError: pyarrow is not installed.
            OverflowError: There is an integer too large for a column.
            TypeError: The values of a column have several types, which no column can hold.
            ValueError: As `TypeError`; pyarrow raises either, depending on the types.
        """
        arrow = imported("to_arrow", "pyarrow")
        columns: dict[str, Any] = {}
        for name, values in self._unified().items():
            try:
                columns[name] = arrow.array(values)
            except OverflowError as error:
                raise OverflowError(
                    f"to_arrow: {name!r} has an integer too large for a column; use to_pandas()"
                ) from error
            except (arrow.ArrowTypeError, arrow.ArrowInvalid) as error:
                raise type(error)(
                    f"to_arrow: the values of {name!r} have several types, which no column can "
                    f"hold ({error}); use to_pandas()"
                ) from error
        return arrow.table(columns)

    def _unified(self) -> dict[str, list[Any]]:
        return {name: unified(values) for name, values in self._columns().items()}


def unified(values: list[Any]) -> list[Any]:
    """The values of a column, with floats in place of integers if there are floats too."""
    # One type for the column. A column of integers stays one.
    kinds = set(map(type, values))
    if kinds == {int, float}:
        return list(map(float, values))
    return list(map(_as_floats, values)) if kinds - {type(None)} == {int, float} else values


def numpy_values(numpy: Any, values: Sequence[Any]) -> Any:
    """An array of numbers or booleans, or else of objects."""
    if isinstance(values, array):
        return numpy.array(values)
    kinds = set(map(type, values))
    kind: Any = float if kinds <= {int, float} else bool if kinds == {bool} else object
    if kinds == {int} and min(values) >= -(2**63) and max(values) < 2**63:
        kind = numpy.int64
    column = numpy.empty(len(values), kind)
    # Not `array`, which would make lists of one length into further dimensions.
    column[:] = list(map(float, values)) if kind is float else values
    return column


def arrow_numbers(arrow: Any, numbers: Sequence[Any]) -> Any:
    """An array of Arrow: of integers, or of doubles if they are packed so."""
    if not isinstance(numbers, array):
        return arrow.array(numbers, arrow.int64())
    kind = arrow.float64() if numbers.typecode == "d" else arrow.int64()
    return arrow.Array.from_buffers(kind, len(numbers), [None, arrow.py_buffer(numbers)])


def or_missing(times: Sequence[int | None]) -> Sequence[int]:
    """Times as NumPy has them: its least integer stands for a missing one."""
    if isinstance(times, array):
        return times  # pyright: ignore[reportUnknownVariableType]
    return [_NOT_A_TIME if time is None else time for time in times]


def polars_frame(
    columns: Mapping[str, list[Any]], labels: Mapping[str, str], types: Mapping[str, Any]
) -> Any:
    """A `polars.DataFrame` of columns.

    Args:
        columns: The values of each column.
        labels: What to call a column in messages, if it is not its name.
        types: The types of columns that cannot show them.

    Raises:
        ImportError: polars is not installed.
        OverflowError: There is an integer too large for a column.
        TypeError: The values of a column have several types, or are objects with several keys.
    """
    polars = imported("to_polars", "polars")
    columns = {
        # It would take all values for integers, and round.
        name: list(map(_as_floats, values))
        if _kinds(values) - {type(None)} == {int, float}
        else values
        for name, values in columns.items()
    }
    frame = polars.DataFrame(columns, schema_overrides=types)
    for name, values in columns.items():
        # It drops or rounds values that do not fit the type of the first list or object.
        if frame[name].dtype.is_nested() and repr(frame[name].to_list()) != repr(values):
            raise TypeError(
                f"to_polars: the values of {labels.get(name, name)!r} have several types, which no "
                "column can hold; use values, or to_pandas()"
            )
    return frame


def _kinds(values: list[Any]) -> set[type]:
    """The types of the values, and of the items of lists."""
    kinds = set(map(type, values))
    if list in kinds:
        kinds.discard(list)
        kinds.update(*(_kinds(value) for value in values if isinstance(value, list)))  # pyright: ignore[reportUnknownArgumentType]
    return kinds


def _as_floats(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_floats(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return value if value is None else float(value)
