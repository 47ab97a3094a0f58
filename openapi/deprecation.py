"""Warnings about what the contract deprecates."""

import functools
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ParamSpec, TypeVar, cast

import attrs

from .types import UNSET

P = ParamSpec("P")
R = TypeVar("R")

_WITHOUT_WARNINGS = "_without_warnings"


class Deprecations:
    """What the functions of one operation warn of, at the line that calls them.

    It decorates them. An asynchronous one warns when it is called, not when it is awaited: that may
    be the event loop's doing.

    Args:
        always: The warnings about the operation itself, and about parameters that it requires.
        parameters: The warnings about other parameters, by their names in Python.
        checks_body: Whether the body may contain something that is deprecated.
    """

    def __init__(
        self, always: list[str], parameters: Mapping[str, str], *, checks_body: bool
    ) -> None:
        self._always = always
        self._parameters = parameters
        self._checks_body = checks_body

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorates a function."""

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            for message in self._messages(kwargs):
                warnings.warn(message, DeprecationWarning, stacklevel=2)
            return function(*args, **kwargs)

        setattr(call, _WITHOUT_WARNINGS, function)
        return call

    def _messages(self, arguments: Mapping[str, Any]) -> Iterator[str]:
        yield from self._always
        for name, message in self._parameters.items():
            if arguments.get(name, UNSET) is not UNSET:
                yield message
        if self._checks_body:
            yield from dict.fromkeys(_messages_of(arguments.get("body")))


def without_warnings(function: Callable[P, R]) -> Callable[P, R]:
    """Returns a function of the API that does not warn.

    It is for libraries, whose callers did not choose what they call.
    """
    return cast("Callable[P, R]", getattr(function, _WITHOUT_WARNINGS, function))


def _messages_of(value: object) -> Iterator[str]:
    """The warnings about deprecated fields that are set, and objects of deprecated schemas."""
    if isinstance(value, dict):
        for item in cast("dict[str, object]", value).values():
            yield from _messages_of(item)
    elif isinstance(value, list):
        for item in cast("list[object]", value):
            yield from _messages_of(item)
    elif attrs.has(kind := type(value)):
        if message := getattr(value, "__deprecated__", None):
            yield message
        for field in attrs.fields(kind):
            item = getattr(value, field.name)
            if item is not UNSET:
                if message := field.metadata.get("deprecated"):
                    yield message
                yield from _messages_of(item)


__all__ = ["Deprecations", "without_warnings"]
