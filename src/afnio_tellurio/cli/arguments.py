"""Argument types that several commands share."""

from __future__ import annotations

import argparse
import difflib
import re
import shutil
import textwrap
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from afnio_tellurio.filters.names import similar_names
from afnio_tellurio.notices import quoted_argument

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

Commands: TypeAlias = "argparse._SubParsersAction[CommandParser]"  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
#: In the help of options whose type is `metric_names`.
QUOTING_HELP = "put a name that has a comma in double quotes"
#: Names that a message lists.
_LISTED = 10
#: From here, two words are one that is mistyped; see `difflib.get_close_matches`.
_SAME_WORD = 0.85
#: A name in a list, up to the comma after it.
_METRIC_NAME = re.compile(r'\s*(?:"((?:[^"]|"")*)"\s*|([^,]*)),')


class CommandParser(argparse.ArgumentParser):
    """The parser of one command; its example stays on one line so that it can be copied."""

    def __init__(self, *, description: str | None = None, **keywords: Any) -> None:
        width = shutil.get_terminal_size().columns - 2
        super().__init__(
            description=description and textwrap.fill(description, max(width, 20)),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **keywords,
        )
        # The commands of a command replace it by their own.
        self.set_defaults(usage=self)
        #: The option whose value `-VALUE` is, for a command that has no options of one letter.
        self.minus: str | None = None

    def parse_known_args(  # pyright: ignore[reportIncompatibleMethodOverride]  # overloads
        self, args: Any = None, namespace: Any = None
    ) -> Any:
        """Reads arguments; see `minus`."""
        if args is not None and self.minus:
            args = self._without_minus(args)
        return super().parse_known_args(args, namespace)

    def _without_minus(self, arguments: Sequence[str]) -> list[str]:
        """Writes `-VALUE` as `--option=VALUE`, first: a list of values would end there."""
        options = [name for name in self._option_string_actions if name.startswith("--")]
        end = list(arguments).index("--") if "--" in arguments else len(arguments)
        removed: list[str] = []
        others: list[str] = []
        for text in arguments[:end]:
            if not re.match("-[^-]", text) or text in self._option_string_actions:
                others.append(text)
                continue
            if difflib.get_close_matches(f"-{text}", options, 1, _SAME_WORD):
                self.refuse([text])
            removed.append(f"{self.minus}={text[1:]}")
        return [*removed, *others, *arguments[end:]]

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Adds a similar choice to the message about an invalid one."""
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            hint = suggestion(str(value), list(map(str, action.choices or ())))
            if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
                # There are too many to list.
                hint = hint or f"; {self.prog} --help lists the commands"
                error.message = f"invalid choice: {value!r}"
            error.message += hint
            raise

    def error(self, message: str) -> NoReturn:
        """Ends the process; says how to write a value that looks like an option."""
        option = re.fullmatch(
            r"argument (?:.*/)?(--[\w-]+): expected (?:one|at least one) argument", message
        )
        if option:
            message += f"; if it starts with -, write {option[1]}=VALUE"
        super().error(message)

    def refuse(self, unknown: Sequence[str]) -> NoReturn:
        """Ends the process because of arguments that the command does not know."""
        options = [name for name in self._option_string_actions if name.startswith("--")]
        first = unknown[0]
        hint = suggestion(first.partition("=")[0], options) if first.startswith("-") else ""
        self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")


def suggestion(name: str, names: Collection[str]) -> str:
    """Returns the end of a message about an unknown name: a similar one, if there is one."""
    similar = similar_names(name, names, 1)
    return f"; did you mean {similar[0]!r}?" if similar else ""


def with_file_names(argument: argparse.Action) -> None:
    """Makes shells complete an argument with file names."""
    vars(argument)["complete"] = "file"


def path_type(
    least: int, most: int | None = None, *, last: str = "RUN"
) -> Callable[[str], list[str]]:
    """Returns an argument type that splits a path such as NAMESPACE/PROJECT/RUN.

    Args:
        least: The minimum number of parts.
        most: The maximum number of parts; default `least`.
        last: What the third part is.
    """
    names = ["NAMESPACE", "PROJECT", last][: most or least]
    expected = "/".join(names[:least]) + "".join(f"[/{name}" for name in names[least:])
    expected += "]" * len(names[least:])

    def split_path(text: str) -> list[str]:
        # A run's name may contain slashes.
        parts = text.split("/", (most or least) - 1)
        if len(parts) < least or not all(parts):
            hint = ""
            if last == "RUN" and parts[0]:
                is_project = len(parts) > 1 and parts[1]
                listing = "runs" if is_project else "projects"
                path = quoted_argument("/".join(parts[:2]) if is_project else parts[0])
                hint = f"; to list its {listing}: afnio-tellurio {listing} {path}"
            raise argparse.ArgumentTypeError(f"Expected {expected}, got {text!r}{hint}")
        return parts

    return split_path


def namespace_slug(text: str) -> str:
    """The argument type for NAMESPACE."""
    if "/" in text:
        raise argparse.ArgumentTypeError(f"Expected NAMESPACE, got {text!r}")
    return text


def metric_names(text: str) -> list[str]:
    """The argument type for metric names, separated by commas; a name may be in double quotes."""
    names = [
        quoted.replace('""', '"') if quoted else plain.strip()
        for quoted, plain in _METRIC_NAME.findall(f"{text},")
    ]
    if not all(names):
        raise argparse.ArgumentTypeError(f"{text!r} contains an empty name; use A,B")
    return list(dict.fromkeys(names))


def require_metrics(names: Sequence[str], logged: Collection[str], problem: str) -> None:
    """Raises a `LookupError` for a name that was not logged, such as a misspelled one."""
    missing = [name for name in names if name not in logged]
    if missing:
        hint = suggestion(missing[0], logged) or listed_names(list(map(_quoted_name, logged)))
        raise LookupError(f"{problem} {missing[0]!r}{hint}")


def _quoted_name(name: str) -> str:
    """A name as `metric_names` reads it."""
    if "," not in name and not name.startswith('"') and name == name.strip():
        return name
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def listed_names(logged: Collection[str]) -> str:
    """Returns the end of a message about an unknown name: what was logged, if anything was."""
    more = ", ..." if len(logged) > _LISTED else ""
    return f"; logged: {', '.join(sorted(logged)[:_LISTED])}{more}" if logged else ""


def positive_integer(text: str) -> int:
    """The argument type for an integer of 1 or more."""
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"Must be 1 or more, got {text!r}")
    return int(text)
