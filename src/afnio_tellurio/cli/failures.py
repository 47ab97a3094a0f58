"""Explains to people why a command failed."""

from __future__ import annotations

import re

import afnio_tellurio as te
from afnio_tellurio.cli.finding import missing_project
from afnio_tellurio.cli.layout import columns_of
from afnio_tellurio.notices import printable

#: A message of the library may start with the function that was called.
_CALL = re.compile(r"([a-z_]+): ")
#: The number of an error of the system, whose text follows.
_ERROR_NUMBER = re.compile(r"\[Errno -?\d+\] ")


class InvalidFilterError(ValueError):
    """A filter or an order is invalid.

    Args:
        option: The option that has it.
        text: The filter.
        problem: What is invalid.
        position: The number of characters before that.
    """

    def __init__(self, option: str, text: str, problem: str, position: int) -> None:
        super().__init__(f"Invalid {option}: {problem}")
        self.text = text
        self.position = position


def explain(error: Exception) -> str:
    """Returns a message about an error: one line, or three for a part of a filter."""
    if isinstance(error, InvalidFilterError):
        return _explain_filter(error)
    if isinstance(error, te.ApiError):
        return printable(_explain_answer(error))
    if isinstance(error, OSError) and error.strerror and error.filename:
        # Without the number.
        return printable(f"{error.strerror}: {error.filename!r}")
    text = str(error)
    call = _CALL.match(text)
    if call and _is_function(call[1]):
        text = text[call.end() :]
    has_number = isinstance(error, te.TellurioError | OSError)
    return printable(without_error_number(text) if has_number else text)


def _is_function(name: str) -> bool:
    # Only the command line has upload.
    return name == "upload" or any(hasattr(each, name) for each in (te, te.Run, te.Artifact))


def without_error_number(text: str) -> str:
    """Returns a message without the number of an error of the system."""
    return _ERROR_NUMBER.sub("", text, count=1)


#: Characters of a filter on a line, around what is invalid.
_SHOWN = 72


def _explain_filter(error: InvalidFilterError) -> str:
    text = printable(error.text)
    start = max(0, error.position - _SHOWN // 2) if len(text) > _SHOWN else 0
    shown = text[start : start + _SHOWN]
    caret = " " * columns_of(shown[: error.position - start])
    return f"{printable(str(error))}\n  {shown}\n  {caret}^"


def _explain_answer(error: te.ApiError) -> str:
    namespace = error.identifiers.get("namespace_slug")
    project = error.identifiers.get("project_slug")
    if isinstance(error, te.NotFoundError) and namespace and project:
        try:
            missing = missing_project(namespace, project)
        except LookupError as other:
            if not isinstance(other, te.TellurioError):
                return str(other)
        except te.TellurioError:
            # The answer itself is all that is known.
            pass
        else:
            if missing:
                return missing
    is_explained = error.response.headers.get("content-type", "").startswith("application/json")
    if is_explained and isinstance(error, te.BadRequestError | te.NotFoundError):
        # The name of the parameter of the request is not what the user typed.
        return error.words.removeprefix("where: ").removeprefix("sort: ")
    return str(error)
