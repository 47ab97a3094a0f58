"""Checks of arguments, before anything is recorded."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Mapping
from typing import Any

from slugify import slugify

from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.settings.limits import (
    MAX_BUCKETS,
    MAX_NAME_LENGTH,
    MAX_STEP,
    MAX_VALUE_BYTES,
    MAX_VALUE_DEPTH,
)
from afnio_tellurio.special_numbers import SPECIAL_NUMBERS, escape_word, plain

#: Python does not convert longer integers to or from text by default
#: (`sys.set_int_max_str_digits`: 4,300 digits).
_MAX_INTEGER_BITS = 14_000
_SLUG = re.compile(r"[-a-zA-Z0-9_]+")
_FLOAT_BYTES = 8
#: The kinds of dtype of NumPy's times and differences of times.
_TIME_KINDS = ("M", "m")
#: The most that one character of a string takes as JSON.
_CHARACTER_BYTES = len("\\u0000")
_SPELLINGS = {number: spelling for spelling, number in SPECIAL_NUMBERS.items()}


def checked_text(call: str, what: str, text: Any) -> str:
    """A string that JSON and UTF-8 can hold.

    Raises:
        TypeError: It is not a string.
        ValueError: It contains half of a surrogate pair.
    """
    if not isinstance(text, str):
        hint = (
            "; log_metrics takes a mapping" if call == "log" and isinstance(text, Mapping) else ""
        )
        kind = type(text).__name__  # pyright: ignore[reportUnknownArgumentType]
        raise TypeError(f"{call}: {what} is {text!r}, a {kind}; it must be a string{hint}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{call}: {what} contains {text[error.start]!r} at {error.start}, half of a surrogate "
            "pair, which UTF-8 cannot encode; replace it"
        ) from None
    # msgspec encodes no subclass of str, such as NumPy's.
    return str.__str__(text)


def checked_name(call: str, what: str, name: Any) -> str:
    """The name of a metric, run or project.

    Raises:
        TypeError: It is not a string.
        ValueError: It is blank or too long.
    """
    text = checked_text(call, what, name)
    if not text or text.isspace():
        raise ValueError(f"{call}: {what} is empty; it must have at least one visible character")
    if len(text) > MAX_NAME_LENGTH:
        raise ValueError(
            f"{call}: {what} has {len(text)} characters ({text[:40]!r}...); "
            f"it may have up to {MAX_NAME_LENGTH}"
        )
    return text


def checked_slug(call: str, what: str, slug: Any) -> str:
    """The slug of a namespace or project.

    Raises:
        TypeError: It is not a string.
        ValueError: It is not a slug.
    """
    text = checked_name(call, what, slug)
    if not _SLUG.fullmatch(text):
        raise ValueError(
            f"{call}: {what} is {text!r}; a slug contains only letters, digits, - and _, "
            "as in an address"
        )
    return text


def project_slug(call: str, display_name: Any) -> str:
    """The slug of a project, given its display name or its slug.

    Raises:
        TypeError: The name is not a string.
        ValueError: It is blank, too long, or without a slug.
    """
    return checked_display_name(call, display_name)[1]


def checked_display_name(call: str, display_name: Any) -> tuple[str, str]:
    """The display name of a project, and its slug.

    Raises:
        TypeError: The name is not a string.
        ValueError: It is blank, too long, or without a slug.
    """
    name = checked_name(call, "project display name", display_name)
    slug = slugify(name)
    if not slug:
        raise ValueError(
            f"{call}: project display name {name!r} has no slug; "
            "it must have at least one letter or digit"
        )
    return name, slug


def checked_step(step: Any, call: str = "log") -> int | None:
    """The step of a metric; a NumPy integer is converted to an int.

    Raises:
        TypeError: It is not an integer.
        ValueError: It is negative or too large.
    """
    if step is None:
        return None
    try:
        # A bool has an index, but True as a step is a mistake.
        number = None if isinstance(step, bool) else operator.index(step)
    except TypeError as error:
        raise_foreign(error)
        number = None
    if number is None:
        raise TypeError(
            f"{call}: step is {step!r}, a {type(step).__name__}; "
            "it must be an integer, 0 or more, or None"
        )
    if not 0 <= number <= MAX_STEP:
        raise ValueError(f"{call}: step is {number}; it must be from 0 to {MAX_STEP}, or None")
    return number


def checked_buckets(call: str, buckets: Any) -> int:
    """The number of points of a curve.

    Raises:
        ValueError: It is less than 1 or more than 10,000.
    """
    if buckets not in range(1, MAX_BUCKETS + 1):
        raise ValueError(
            f"{call}: buckets is {buckets!r}; it must be a number from 1 to {MAX_BUCKETS}"
        )
    return int(buckets)


def check_limit(call: str, limit: Any) -> None:
    """Checks a maximum number of results.

    Raises:
        TypeError: It is not an integer.
        ValueError: It is less than 1.
    """
    if limit is None:
        return
    if isinstance(limit, bool) or not isinstance(limit, int):
        raise TypeError(f"{call}: limit is {limit!r}; it must be an integer")
    if limit < 1:
        raise ValueError(f"{call}: limit is {limit!r}; it must be 1 or more")


def accept_missing_value(log: Any) -> None:
    """Lets `log` itself refuse a call such as `log({"loss": 1})`, with a hint at `log_metrics`.

    Type checkers still require a value.
    """
    log.__defaults__ = (..., *log.__defaults__)


def encoded_value(value: Any, subject: str = "log: value") -> Any:
    """A copy of the value for JSON, see `special_numbers`.

    Args:
        value: The value; `...` if the caller passed none.
        subject: The function that is called, and what the value is, for messages.

    Raises:
        TypeError: It contains a type that JSON does not have.
        ValueError: It contains a value that JSON or the contract cannot represent.
    """
    if value is ...:
        raise TypeError("log: the value is missing; use log(name, value), or log_metrics(mapping)")
    try:
        return _encoded(value, MAX_VALUE_DEPTH)
    except UnfitError as unfit:
        place = "".join(f"[{key!r}]" for key in reversed(unfit.path))
        raise unfit.kind(f"{subject}{place} {unfit.reason}") from None


def json_value(value: Any) -> Any:
    """A copy of the value for people: in JSON, with words for NaN and the infinities.

    Raises:
        TypeError: It contains a type that JSON does not have.
        ValueError: It contains a value that JSON or the contract cannot represent.
    """
    return plain(encoded_value(value))


def encoded_scalar(value: Any) -> Any:
    """A string, number, bool or None for JSON, also of a scalar of an array library.

    Raises:
        UnfitError: It is anything else, or JSON or the contract cannot represent it.
    """
    return plain(_encoded(value, 0))


def has_no_dimensions(value: Any) -> bool:
    """Whether it is a scalar of an array library: its shape is empty, a tuple or a list."""
    shape = getattr(value, "shape", None)
    return shape is not None and hasattr(shape, "__len__") and len(shape) == 0


def check_size(call: str, name: str, value: Any) -> None:
    """Checks that a request can hold the value.

    Args:
        call: The function that is called.
        name: The metric's name.
        value: The value in its JSON form.

    Raises:
        ValueError: It is too large.
    """
    if not isinstance(value, str | list | dict):
        return
    if isinstance(value, str) and len(value) <= MAX_VALUE_BYTES // _CHARACTER_BYTES - 1:
        return
    import msgspec  # not for a command line that only reads its arguments

    # As the journal and a request encode it.
    size = len(msgspec.json.encode(value))
    if size > MAX_VALUE_BYTES:
        raise ValueError(
            f"{call}: the value of {name!r} has {size:,} bytes as JSON; it may have up to "
            f"{MAX_VALUE_BYTES:,}. Log a summary, or write it to a file and log the file's path"
        )


class UnfitError(Exception):
    """A value is unfit for JSON.

    Attributes:
        kind: What the caller raises: TypeError or ValueError.
        reason: What is wrong, to follow the place of the value in a message.
        path: The keys and indices that lead to it, from the inside out.
    """

    def __init__(self, kind: type[Exception], reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
        self.path: list[Any] = []


def _encoded(value: Any, levels: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        return _encoded_float(value)
    if isinstance(value, int):
        if value.bit_length() > _MAX_INTEGER_BITS:
            raise UnfitError(ValueError, f"is an integer of {value.bit_length()} bits; use a float")
        return int(value)
    if isinstance(value, str):
        return escape_word(_encoded_string(value))
    if isinstance(value, dict | list | tuple):
        if not levels:
            raise UnfitError(
                ValueError, f"is nested deeper than {MAX_VALUE_DEPTH} levels, or contains itself"
            )
        return _encoded_items(value, levels)  # pyright: ignore[reportUnknownArgumentType]
    return _encoded(_array_scalar(value), levels)


def _array_scalar(value: Any) -> bool | float | str:
    """Converts a NumPy scalar, or a 0-d tensor of another library, to a Python value."""
    kind = type(value).__name__
    if getattr(getattr(value, "dtype", None), "kind", "") in _TIME_KINDS:
        # Its item is a bare integer for some units.
        raise UnfitError(TypeError, f"is of type {kind}, which JSON does not have; log str(value)")
    if has_no_dimensions(value):
        item = value
        for method in ("numpy", "item"):  # TensorFlow's have only `numpy`
            if callable(getattr(item, method, None)):
                item = getattr(item, method)()
        if isinstance(item, bool | int | float | str):
            return item
        if hasattr(item, "__float__"):
            number = float(item)
            is_wide = getattr(getattr(item, "dtype", None), "itemsize", 0) > _FLOAT_BYTES
            if is_wide and number != item and not math.isnan(number):
                raise UnfitError(
                    ValueError, f"is {item}, which has more digits than a float; log float(value)"
                )
            return number
    hint = "; convert it to a list" if hasattr(value, "__iter__") else ""
    if hasattr(value, "tolist"):
        hint = "; use its .tolist()"
    raise UnfitError(TypeError, f"is of type {kind}, which cannot be logged{hint}")


def _encoded_float(value: float) -> float | str:
    number = float(value)
    return number if math.isfinite(number) else _SPELLINGS.get(number, "NaN")


def _encoded_string(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise UnfitError(
            ValueError, "contains half of a surrogate pair, which UTF-8 cannot encode; replace it"
        ) from None
    return str.__str__(value)


def _encoded_items(value: dict[Any, Any] | list[Any] | tuple[Any, ...], levels: int) -> Any:
    place: Any = None
    try:
        if not isinstance(value, dict):
            items: list[Any] = []
            for item in value:
                place = len(items)
                items.append(_encoded(item, levels - 1))
            return items
        fields: dict[str, Any] = {}
        for place, item in value.items():
            fields[_encoded_key(place)] = _encoded(item, levels - 1)
    except UnfitError as unfit:
        unfit.path.append(place)
        raise
    return fields


def _encoded_key(key: Any) -> str:
    if not isinstance(key, str):
        raise UnfitError(
            TypeError, f"is under a key of type {type(key).__name__}; JSON has only string keys"
        )
    return _encoded_string(key)
