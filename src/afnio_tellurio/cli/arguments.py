"""The arguments that commands have in common."""

from __future__ import annotations

import argparse
import shutil
import textwrap
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

Commands: TypeAlias = "argparse._SubParsersAction[CommandParser]"  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


class CommandParser(argparse.ArgumentParser):
    """The parser of one command, whose example stays one line that can be copied."""

    def __init__(self, *, description: str | None = None, **keywords: Any) -> None:
        width = shutil.get_terminal_size().columns - 2
        super().__init__(
            description=description and textwrap.fill(description, max(width, 20)),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **keywords,
        )


def with_file_names(argument: argparse.Action) -> None:
    """Lets shells complete an argument with the names of files."""
    vars(argument)["complete"] = "file"


def place_of(least: int, most: int | None = None) -> Callable[[str], list[str]]:
    """The type of an argument that names a namespace, a project of it or a run of that.

    Args:
        least: The parts that there must be.
        most: The parts that there may be; default as many.
    """

    def place(word: str) -> list[str]:
        # A run's name may hold slashes.
        found = word.split("/", (most or least) - 1)
        if len(found) < least or not all(found):
            wanted = ["NAMESPACE", "PROJECT", "RUN"][:least]
            raise argparse.ArgumentTypeError(f"{word!r} is not {'/'.join(wanted)}")
        return found

    return place


def metric_names(word: str) -> list[str]:
    """The type of an argument that names metrics, with commas between them."""
    names = [name.strip() for name in word.split(",")]
    if not all(names):
        raise argparse.ArgumentTypeError(f"{word!r} has an empty name; write A,B")
    return list(dict.fromkeys(names))


def positive(word: str) -> int:
    """The type of an argument that is a number from 1."""
    if not (word.isascii() and word.isdecimal() and int(word)):
        raise argparse.ArgumentTypeError(f"{word!r} is not a number from 1")
    return int(word)
