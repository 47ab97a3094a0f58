"""Exceptions of the application that come up inside the SDK, told from failures of the SDK.

Python runs a signal handler between any two instructions of the main thread. What it raises there,
the time limit of a job queue for example, comes up inside whatever the SDK does at that moment. It
belongs to the application, whatever its type is: a handler may raise `TimeoutError` too.
"""

from __future__ import annotations

import inspect
import itertools
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

#: The packages whose exceptions are failures of ours: this one, and what does its work.
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
    """The exception of the application that an exception is, or was made from.

    Libraries wrap what they do not expect: where a signal handler raises `TimeoutError`, httpx
    raises `ReadTimeout` from it.

    Args:
        error: What was caught.
        by_type: Whether a type of the application's counts. It must not where code of others is
            called that raises types of its own: a keyring, or a handler of logging.

    Returns:
        The first exception, of `error` and what it was made from, that a signal handler raised or
        that is of a type of the application's; `None` where all are failures of ours.
    """
    for cause in _causes(error):
        if (by_type and _is_of_application(type(cause))) or is_from_signal_handler(cause):
            return cause
    return None


def raise_foreign(error: BaseException, *, by_type: bool = True) -> None:
    """Raises the exception of the application that an exception is, or was made from, if any.

    It raises the very exception, with its own cause and context. Call it where `error` was caught.

    Args:
        error: What was caught.
        by_type: As for `foreign_cause`.
    """
    foreign = foreign_cause(error, by_type=by_type)
    if foreign is None:
        return
    context = foreign.__context__
    try:
        raise foreign
    finally:
        # The wrapping of a library is none of its history.
        foreign.__context__ = context


def is_from_signal_handler(error: BaseException) -> bool:
    """Whether a signal handler raised an exception, or called what raised it."""
    return any(_was_handed(frame, before) for before, frame in itertools.pairwise(_frames(error)))


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or _replaced(cause)


def _replaced(error: BaseException) -> BaseException | None:
    """The exception that was being handled inside the call that raised an exception.

    httpcore raises what it makes of an exception `from None`, so only the context tells. But the
    context may also be what the application was handling when it called the SDK. That one was
    caught outside.
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


def _was_handed(frame: FrameType, interrupted: FrameType) -> bool:
    """Whether a function got the frame before it as an argument, as only a signal handler does."""
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
