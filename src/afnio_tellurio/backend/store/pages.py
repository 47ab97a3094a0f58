"""Pages of lists whose items may be large."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

R = TypeVar("R")


def rows_within(rows: Iterable[R], length: int, length_of: Callable[[R], int]) -> list[R]:
    """Returns the rows up to the one that exceeds a length in characters, but at least two.

    The last one shows that there is another after the page.
    """
    read: list[R] = []
    for row in rows:
        read.append(row)
        length -= length_of(row)
        if length < 0 and len(read) > 1:
            break
    return read
