"""The arguments that commands have in common."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


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
