"""Tells exceptions of the application that surface inside the SDK from failures of the SDK.

Python runs a signal handler between any two instructions of the main thread. An exception that the
handler raises, such as the time limit of a job queue, surfaces inside the code that the SDK runs at
that moment. It belongs to the application, whatever its type: a handler may raise `TimeoutError`.
"""

from __future__ import annotations

import inspect
import itertools
import sys
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType, TracebackType

#: The packages whose exceptions are failures of the SDK: this one and its dependencies.
_OUR_PACKAGES = frozenset(
    {
        "afnio_tellurio",
        "anyio",
        "attr",
        "attrs",
        "brotli",
        "brotlicffi",
        "certifi",
        "dateutil",
        "h11",
        "h2",
        "httpcore",
        "httpx",
        "idna",
        "msgspec",
        "platformdirs",
        "plotext",
        "shtab",
        "slugify",
        "sniffio",
        "socksio",
        "tellurio_api",
        "text_unidecode",
        "waitress",
        "zstandard",
    }
)


def foreign_cause(error: BaseException, *, by_type: bool = True) -> BaseException | None:
    """Finds the application's exception in a caught exception and its causes.

    Libraries wrap unexpected exceptions: if a signal handler raises `TimeoutError`, httpx raises
    `ReadTimeout` from it.

    Args:
        error: The caught exception.
        by_type: Whether a type that the application defines is enough. Pass False around calls
            into third-party code with its own exception types: a keyring, or a logging handler.

    Returns:
        The first exception, of `error` and its causes, that a signal handler raised or whose type
        the application defines; `None` if all are failures of the SDK.
    """
    for cause in _causes(error):
        if (by_type and _is_of_application(type(cause))) or is_from_signal_handler(cause):
            return cause
    return None


def raise_foreign(error: BaseException, *, by_type: bool = True) -> None:
    """Raises the application's exception again if a caught exception is one, or was caused by one.

    It raises the same object, with its own cause and context. Call it where `error` was caught.

    Args:
        error: The caught exception.
        by_type: As for `foreign_cause`.
    """
    foreign = foreign_cause(error, by_type=by_type)
    if foreign is None:
        return
    context = foreign.__context__
    try:
        raise foreign
    finally:
        # The exceptions that a library wrapped it in are not part of its history.
        foreign.__context__ = context


class ignored(AbstractContextManager[None]):  # noqa: N801 - used like contextlib.suppress
    """Ignores failures of the SDK with these types, and no exception of the application.

    Args:
        kinds: The types.
    """

    def __init__(self, *kinds: type[Exception]) -> None:
        self._kinds = kinds

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> bool:
        return isinstance(error, self._kinds) and foreign_cause(error) is None


def is_from_signal_handler(error: BaseException) -> bool:
    """Whether an exception was raised in a signal handler, or in a function that it called."""
    return any(_received(frame, before) for before, frame in itertools.pairwise(_frames(error)))


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or _suppressed_cause(cause)


def _suppressed_cause(error: BaseException) -> BaseException | None:
    """The context of an exception, if it was caught inside the call that raised the exception.

    httpcore maps exceptions with `from None`, so only the context shows the original one. But the
    context may also be an exception that the application was handling when it called the SDK; that
    one was caught outside and does not count.
    """
    context = error.__context__
    if context is None or context.__traceback__ is None:
        return None
    is_inside = any(frame is context.__traceback__.tb_frame for frame in _frames(error))
    return context if is_inside else None


def _is_of_application(kind: type[BaseException]) -> bool:
    package = str(kind.__module__).partition(".")[0]
    return package not in _OUR_PACKAGES and package not in sys.stdlib_module_names


def _frames(error: BaseException) -> Iterator[FrameType]:
    traceback = error.__traceback__
    while traceback is not None:
        yield traceback.tb_frame
        traceback = traceback.tb_next


def _received(frame: FrameType, interrupted: FrameType) -> bool:
    """Whether a function got its caller's frame as an argument, as only a signal handler does."""
    code = frame.f_code
    if not code.co_flags & inspect.CO_OPTIMIZED:
        # The body of a module or of a class takes no arguments.
        return False
    count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & inspect.CO_VARARGS)
    arguments: list[Any] = [frame.f_locals.get(name) for name in code.co_varnames[:count]]
    return any(
        argument is interrupted
        or (isinstance(argument, tuple) and any(item is interrupted for item in argument))  # pyright: ignore[reportUnknownVariableType]
        for argument in arguments
    )
