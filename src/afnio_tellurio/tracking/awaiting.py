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


async def run_in_thread(work: Callable[[], T]) -> T:
    """Runs blocking work beside the event loop of asyncio or trio.

    Not in asyncio's own pool: at exit the interpreter waits for its threads without limit.
    """
    trio = _trio_in_use()
    if trio is not None:
        # A canceled scope would raise at each await, before the work has begun.
        with trio.CancelScope(shield=True):
            result: T = await trio.to_thread.run_sync(work)
        return result
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
