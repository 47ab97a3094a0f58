"""The config of a run as plain JSON."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, cast

from afnio_tellurio.settings.limits import MAX_VALUE_BYTES, MAX_VALUE_DEPTH
from afnio_tellurio.validation import UnfitError, encoded_scalar, has_no_dimensions

#: An item takes two bytes as JSON or more: one of its own, and a comma.
_MAX_ITEMS = MAX_VALUE_BYTES // 2
_BINARY = (bytes, bytearray, memoryview)
_WANTED = "it must be a string, number, bool, None, or a list or mapping of these"
_SOURCES = (
    "a mapping, an argparse.Namespace, or an instance of a dataclass, an attrs class or a "
    "pydantic model"
)


def checked_config(call: str, config: Any, label: str = "config") -> dict[str, Any]:
    """A copy of a config as plain JSON values: NaN and the infinities become strings.

    Args:
        call: The function that is called, for messages.
        config: A mapping, an `argparse.Namespace`, or an instance of a dataclass, an attrs class
            or a pydantic model. It may contain any of these.
        label: The name of the argument, for messages.

    Raises:
        TypeError: It contains a type that JSON does not have.
        ValueError: It contains a value that JSON or the contract cannot represent, is too large,
            nested too deep, or contains itself.
    """
    try:
        fields = _Conversion().convert(config, MAX_VALUE_DEPTH)
    except UnfitError as unfit:
        place = label + "".join(_path_part(part) for part in reversed(unfit.path))
        raise unfit.kind(f"{call}: {place} {unfit.reason}") from None
    if not isinstance(fields, dict):
        kind = type(config).__name__
        raise TypeError(f"{call}: {label} is of type {kind}; it must be {_SOURCES}")
    check_config_size(call, fields, label)  # pyright: ignore[reportUnknownArgumentType]
    return cast("dict[str, Any]", fields)


def check_config_size(call: str, config: Any, label: str = "config") -> None:
    """Checks that a backend can hold a config, in its JSON form.

    Raises:
        ValueError: It is too large.
    """
    import msgspec  # not for a command line that only reads its arguments

    # As the journal and a request encode it.
    size = len(msgspec.json.encode(config))
    if size > MAX_VALUE_BYTES:
        raise ValueError(
            f"{call}: {label} has {size:,} bytes as JSON; it may have up to {MAX_VALUE_BYTES:,}. "
            "Write the large part to a file and record the file's path"
        )


def flattened(config: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a config by their dotted paths, such as `{"optim.lr": 0.1}`.

    Lists and empty mappings are values. A key with a dot is in quotes: `{'"a.b"': 1}`.
    """
    values: dict[str, Any] = {}
    for name, value in config.items():
        key = f'"{name}"' if "." in name else name
        if isinstance(value, Mapping) and value:
            inner = flattened(cast("Mapping[str, Any]", value))
            values.update({f"{key}.{path}": leaf for path, leaf in inner.items()})
        else:
            values[key] = value
    return values


def merged(config: Any, patch: Any) -> Any:
    """The config with a JSON Merge Patch applied (RFC 7396).

    Both arguments stay as they are. The result shares the lists, and the mappings without a
    change, with them.
    """
    if not isinstance(patch, Mapping):
        return patch
    result = dict(cast("Mapping[str, Any]", config)) if isinstance(config, Mapping) else {}
    for key, value in cast("Mapping[str, Any]", patch).items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


class _Conversion:
    """One conversion: the items so far, and the containers around the current one."""

    def __init__(self) -> None:
        self._items = 0
        self._around: set[int] = set()

    def convert(self, value: Any, levels: int) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, enum.Enum):
            return self.convert(value.value, levels)
        if isinstance(value, str | int | float):
            return encoded_scalar(value)
        content = _contained(value)
        if content is None:
            return _converted_scalar(value)
        if id(value) in self._around:
            raise UnfitError(ValueError, "contains itself; remove the reference")
        if not levels:
            raise UnfitError(
                ValueError, f"is nested deeper than {MAX_VALUE_DEPTH} levels; flatten it"
            )
        self._around.add(id(value))
        converted = self._convert_content(content, levels - 1)
        self._around.remove(id(value))
        return converted

    def _convert_content(self, content: Mapping[Any, Any] | Iterable[Any], levels: int) -> Any:
        if isinstance(content, Mapping):
            fields: dict[str, Any] = {}
            for key, item in cast("Any", content).items():
                fields[_converted_key(key)] = self._convert_item(key, item, levels)
            return fields
        items = [self._convert_item(place, item, levels) for place, item in enumerate(content)]
        if not isinstance(content, AbstractSet):
            return items
        try:
            # A set has no order, and equal configs must be equal as JSON.
            return sorted(items)
        except TypeError:
            raise UnfitError(
                TypeError, "is a set whose items cannot be sorted; use a list"
            ) from None

    def _convert_item(self, place: Any, item: Any, levels: int) -> Any:
        self._items += 1
        if self._items > _MAX_ITEMS:
            raise UnfitError(
                ValueError,
                f"exceeds {MAX_VALUE_BYTES:,} bytes as JSON together with what precedes it; "
                "write the large part to a file and record the file's path",
            )
        try:
            return self.convert(item, levels)
        except UnfitError as unfit:
            unfit.path.append(place)
            raise


def _contained(value: Any) -> Mapping[Any, Any] | Iterable[Any] | None:
    """The content of a container; None if the value is a scalar."""
    if isinstance(value, type):
        raise UnfitError(
            TypeError, f"is the class {value.__name__}; pass an instance, or its name as a string"
        )
    # Asking an abstract class is slow.
    if isinstance(value, dict | list | tuple) or _is_mapping_or_list(value):
        return cast("Mapping[Any, Any] | Iterable[Any]", value)
    if _is_namespace(value):
        return cast("dict[str, Any]", vars(value))
    kind = value.__class__
    if hasattr(kind, "model_fields") and callable(getattr(value, "model_dump", None)):
        return _dumped_model(value)
    if hasattr(kind, "__attrs_attrs__"):
        fields = kind.__attrs_attrs__
    elif dataclasses.is_dataclass(kind):
        fields = dataclasses.fields(kind)
    else:
        return None
    # A field without a default may not be set yet.
    return {
        field.name: getattr(value, field.name) for field in fields if hasattr(value, field.name)
    }


def _is_mapping_or_list(value: Any) -> bool:
    return isinstance(value, Mapping | AbstractSet) or (
        isinstance(value, Sequence) and not isinstance(value, _BINARY)
    )


def _dumped_model(model: Any) -> Mapping[Any, Any] | Iterable[Any]:
    try:
        dumped: Any = model.model_dump(mode="json")
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise UnfitError(kind, f"cannot be dumped as JSON: {error}") from None
    # The dump of a root model may be anything.
    is_container = isinstance(dumped, dict | list)
    return cast("dict[Any, Any] | list[Any]", dumped) if is_container else {"root": dumped}


def _is_namespace(value: Any) -> bool:
    # A program that has one has imported argparse.
    argparse = sys.modules.get("argparse")
    return argparse is not None and isinstance(value, argparse.Namespace)


def _is_path(value: Any) -> bool:
    return isinstance(value, os.PathLike) and isinstance(os.fspath(cast("Any", value)), str)


def _converted_scalar(value: Any) -> Any:
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if _is_path(value):
        return encoded_scalar(os.fspath(value))
    dtype_kind = getattr(getattr(value, "dtype", None), "kind", "")
    if has_no_dimensions(value) and dtype_kind != "m":
        # NumPy writes its times in ISO 8601.
        return str(value) if dtype_kind == "M" else encoded_scalar(value)
    raise UnfitError(TypeError, f"is {_kind_of(value)}; {_WANTED}{_advice(value)}")


def _kind_of(value: Any) -> str:
    kind = type(value).__name__
    return "a function" if kind in {"function", "builtin_function_or_method"} else f"of type {kind}"


def _advice(value: Any) -> str:
    if hasattr(value, "tolist"):
        return "; use its .tolist()"
    if isinstance(value, dt.timedelta):
        return "; use its .total_seconds()"
    if callable(value):
        return "; use its name"
    if isinstance(value, Iterable):
        return "; convert it to a list"
    return "; use str() of it"


def _converted_key(key: Any) -> str:
    if not isinstance(key, str):
        raise UnfitError(
            TypeError,
            f"has the key {key!r} of type {type(key).__name__}; JSON has only string keys: "
            f"use {str(key)!r}",
        )
    try:
        return cast("str", encoded_scalar(str.__str__(key)))
    except UnfitError as unfit:
        raise UnfitError(unfit.kind, f"has the key {key!r}, which {unfit.reason}") from None


def _path_part(part: Any) -> str:
    return f".{part}" if isinstance(part, str) and part.isidentifier() else f"[{part!r}]"
