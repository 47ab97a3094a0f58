"""Blocking work beside an event loop."""

from __future__ import annotations

import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from afnio_tellurio.interruptions import ignored, raise_foreign

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

T = TypeVar("T")


async def run_in_thread(work: Callable[[], T], *, is_shielded: bool = False) -> T:
    """Runs blocking work beside the event loop of asyncio or trio. It goes on if it is canceled.

    Not in their own pools: at exit the interpreter waits for the threads of asyncio's without
    limit, and trio's starts no work in a canceled scope.

    Args:
        work: The work.
        is_shielded: Whether a canceled scope of trio waits for the work.
    """
    trio = _trio_in_use()
    if trio is not None:
        return await _run_beside_trio(trio, work, is_shielded=is_shielded)
    import asyncio  # already imported by a program with an event loop; 30 ms for others

    try:
        loop = asyncio.get_running_loop()
    except RuntimeError as error:
        raise_foreign(error)
        # A coroutine that is collected when its loop is gone still ends its blocks.
        return work()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        outcome: tuple[T | None, BaseException | None]
        try:
            outcome = work(), None
        except BaseException as error:  # noqa: BLE001 - it is raised again where it is awaited
            outcome = None, error
        # The loop may be closed: then no caller waits.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, *outcome)

    threading.Thread(target=run, name="tellurio-await", daemon=True).start()
    return await done


async def _run_beside_trio(trio: Any, work: Callable[[], T], *, is_shielded: bool) -> T:
    token, done = trio.lowlevel.current_trio_token(), trio.Event()
    outcomes: list[tuple[T, None] | tuple[None, BaseException]] = []

    def run() -> None:
        try:
            outcomes.append((work(), None))
        except BaseException as error:  # noqa: BLE001 - it is raised again where it is awaited
            outcomes.append((None, error))
        # The loop may have ended: then no caller waits.
        with suppress(trio.RunFinishedError):
            token.run_sync_soon(done.set)

    threading.Thread(target=run, name="tellurio-await", daemon=True).start()
    with trio.CancelScope(shield=is_shielded):
        await done.wait()
    ((result, error),) = outcomes
    if error is not None:
        raise error
    return result  # type: ignore[return-value]


def current_task() -> Any:
    """The task of asyncio or trio that runs this code, else None."""
    trio = _trio_in_use()
    if trio is not None:
        return trio.lowlevel.current_task()
    asyncio: Any = sys.modules.get("asyncio")
    if asyncio is not None:
        with ignored(RuntimeError):  # no loop runs in this thread
            return asyncio.current_task()
    return None


def _trio_in_use() -> Any:
    """The module trio if its loop runs this code, else None."""
    trio: Any = sys.modules.get("trio")
    if trio is not None:
        try:
            trio.lowlevel.current_task()
        except RuntimeError as error:
            raise_foreign(error)
            return None
    return trio
