"""Checks the types of fields in responses, and converts numbers from JSON."""

from __future__ import annotations

import datetime as dt
import math
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from tellurio_api.types import UNSET

from afnio_tellurio.errors import InvalidResponseError
from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.operation_names import failure_of
from afnio_tellurio.special_numbers import SPECIAL_NUMBERS

if TYPE_CHECKING:
    import re

T = TypeVar("T")


class AnswerFields:
    """Checks the types of an answer's fields: the generated models accept any type."""

    def __init__(self, operation: str) -> None:
        self._operation = operation

    def text(self, name: str, value: Any) -> str:
        """A string."""
        return str(self._checked(name, value, str))

    def matching(self, name: str, value: Any, pattern: re.Pattern[str]) -> str:
        """A string that matches a pattern."""
        text = self.text(name, value)
        if not pattern.fullmatch(text):
            raise self._error(name, value, "valid")
        return text

    def optional_text(self, name: str, value: Any) -> str | None:
        """A string or a UUID, as a string; `None` if it is null or missing."""
        # The UUID of a namespace is text to us, and a UUID to the generated models.
        return (
            None
            if value is None or value is UNSET
            else str(self._checked(name, value, (str, UUID)))
        )

    def integer(self, name: str, value: Any) -> int:
        """An integer."""
        number: int = self._checked(name, value, int)
        return number

    def integers(self, name: str, value: Any) -> frozenset[int]:
        """A list of integers, each once."""
        items: list[Any] = self._checked(name, value, list)
        return frozenset(self.integer(f"{name}[]", item) for item in items)

    def optional_number(self, name: str, value: Any) -> Any:
        """A number, including NaN and the infinities; `None` if it is null or missing."""
        if value is None or value is UNSET:
            return None
        if isinstance(value, list) or not is_numeric(value):
            raise self._error(name, value, "a number")
        return as_numbers(value)

    def date(self, name: str, value: Any) -> dt.datetime:
        """A time with its zone."""
        date: dt.datetime = self._checked(name, value, dt.datetime)
        if date.tzinfo is None:
            raise self._error(name, date.isoformat(), "a time with its zone")
        return date

    def moment(self, name: str, value: Any) -> dt.datetime:
        """A time in seconds since 1970."""
        seconds: float = self._checked(name, value, (float, int))
        try:
            return dt.datetime.fromtimestamp(seconds, dt.UTC)
        except (ValueError, OverflowError, OSError) as error:
            raise_foreign(error)
            raise self._error(name, value, "a time in seconds since 1970") from None

    def optional_date(self, name: str, value: Any) -> dt.datetime | None:
        """A time with its zone; `None` if it is null or missing."""
        return None if value is None or value is UNSET else self.date(name, value)

    def optional(self, name: str, value: Any, kind: type[T]) -> T | None:
        """A model; `None` if it is null or missing."""
        if value is None or value is UNSET:
            return None
        model: T = self._checked(name, value, kind)
        return model

    def json_object(self, name: str, value: Any) -> dict[str, Any]:
        """A JSON object of any fields; empty if it is null or missing."""
        if value is None or value is UNSET:
            return {}
        fields: Any = getattr(value, "additional_properties", value)
        checked: dict[str, Any] = self._checked(name, fields, dict)
        return checked

    def texts(self, name: str, value: Any) -> tuple[str, ...]:
        """A list of strings; empty if it is null or missing."""
        if value is None or value is UNSET:
            return ()
        return tuple(self.text(f"{name}[]", item) for item in self._checked(name, value, list))

    def _checked(self, name: str, value: Any, kind: type[Any] | tuple[type[Any], ...]) -> Any:
        if not isinstance(value, kind) or isinstance(value, bool):
            wanted = kind if isinstance(kind, type) else kind[0]
            raise self._error(name, value, f"a {wanted.__name__}")
        return value

    def _error(self, name: str, value: Any, wanted: str) -> InvalidResponseError:
        return InvalidResponseError(
            f"{failure_of(self._operation)}: the backend answered with {name} "
            f"{value!r}, which is not {wanted}",
            operation=self._operation,
        )


def check_lengths(operation: str, first: Any, *others: Any) -> None:
    """Checks that columns are lists of one length.

    Raises:
        InvalidResponseError: They are not.
    """
    for column in (first, *others):
        if not isinstance(column, list) or len(column) != len(first):  # pyright: ignore[reportUnknownArgumentType]
            raise InvalidResponseError(
                f"{failure_of(operation)}: the backend answered with columns that do not "
                "belong together",
                operation=operation,
            )


def is_finite_number(value: Any) -> bool:
    """Whether a value can be drawn: it is a number, and one that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def is_numeric(value: Any) -> bool:
    """Whether a value of JSON is a number, or nested lists of numbers."""
    if isinstance(value, list):
        return all(map(is_numeric, value))  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(value, str):
        return value in SPECIAL_NUMBERS
    return isinstance(value, int | float) and not isinstance(value, bool)


def as_numbers(value: Any) -> Any:
    """A numeric value of JSON with NaN and the infinities as floats."""
    if isinstance(value, list):
        return [as_numbers(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return SPECIAL_NUMBERS[value] if isinstance(value, str) else value
