"""Reads the first parts of several lists at once: on a slow network, each one takes its time."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from afnio_tellurio.interruptions import raise_foreign

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Key = TypeVar("Key")
Part = TypeVar("Part")


def read_ahead(
    lists: Iterable[tuple[Key, Iterator[Part]]], at_once: int
) -> Iterator[tuple[Key, Iterator[Part]]]:
    """Yields lists in their order, while threads read the first parts of those that follow.

    Args:
        lists: The parts of each list, with what it is of.
        at_once: The number of first parts that are read or kept at one time.
    """
    waiting: deque[tuple[Key, Iterator[Part]]] = deque()
    for key, parts in lists:
        waiting.append((key, parts if at_once == 1 else _started(parts)))
        if len(waiting) == at_once:
            yield waiting.popleft()
    yield from waiting


def _started(parts: Iterator[Part]) -> Iterator[Part]:
    first: Future[list[Part]] = Future()

    def read() -> None:
        try:
            first.set_result(list(islice(parts, 1)))
        except BaseException as error:  # noqa: BLE001 - raised again where the part is wanted
            first.set_exception(error)

    try:
        # A daemon, so that an interrupted program does not wait for it.
        threading.Thread(target=read, name="tellurio-scan", daemon=True).start()
    except RuntimeError as error:
        raise_foreign(error)
        # The interpreter is shutting down and starts no threads.
        read()
    return _continued(first, parts)


def _continued(first: Future[list[Part]], others: Iterator[Part]) -> Iterator[Part]:
    yield from first.result()
    yield from others
