"""Runs that cannot be read: each is reported by name, and the others are imported."""

from __future__ import annotations

import sqlite3
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from afnio_tellurio.interruptions import raise_foreign

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from pathlib import Path

Item = TypeVar("Item")
_ADVICE = "repair or remove it there, and repeat the import: it continues with what is missing"
#: What code raises that reads values of another type, or other bytes, than the tracker writes.
#: `NotImplementedError` is of pyarrow.
_DAMAGE = (
    *(ValueError, LookupError, TypeError, AttributeError, ArithmeticError, OSError),
    *(RecursionError, NotImplementedError, struct.error, sqlite3.Error),
)


class DamagedRun(NamedTuple):
    """A run, or a file with runs, that cannot be read.

    Attributes:
        name: The name of the run or of the file.
        problem: What is wrong, and what to do.
    """

    name: str
    problem: str


class DamageError(ValueError):
    """Something in a source is damaged; the message says what to do."""


@contextmanager
def damage_named(place: object) -> Generator[None]:
    """Names the place in the errors of damaged data.

    Args:
        place: What is read, such as a path.

    Raises:
        DamageError: It is damaged.
    """
    try:
        yield
    except DamageError:
        raise
    except _DAMAGE as error:
        raise_foreign(error, by_type=False)
        what = str(error) or type(error).__name__
        text = what if str(place) in what else f"{place}: {what}"
        raise DamageError(f"{text}; {_ADVICE}") from error


def read_run(name: str, place: object, read: Callable[[], Item]) -> Item | DamagedRun:
    """Returns a run, or what is wrong with it.

    Args:
        name: The name for reports.
        place: Where it is.
        read: Reads it.
    """
    try:
        with damage_named(place):
            return read()
    except DamageError as error:
        return DamagedRun(name, str(error))


def read_files(
    files: Iterable[Path], read: Callable[[Path], Iterator[Item]]
) -> Iterator[Item | DamagedRun]:
    """Yields the runs of some files; in the place of those of a damaged file, what is wrong.

    Args:
        files: The files.
        read: Reads the runs of one.
    """
    for file in files:
        try:
            with damage_named(file):
                yield from read(file)
        except DamageError as error:
            yield DamagedRun(file.name, str(error))


def items_of(place: object, items: Iterable[Item]) -> Iterator[Item]:
    """Yields what another iterable yields, and names the place in its errors.

    Raises:
        DamageError: The source is damaged.
    """
    iterator = iter(items)
    while True:
        with damage_named(place):
            try:
                item = next(iterator)
            except StopIteration:
                return
        yield item
