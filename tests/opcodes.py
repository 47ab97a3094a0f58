"""Runs other code between any two bytecodes of a call, as Python itself may."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import afnio_tellurio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

PACKAGE = str(Path(afnio_tellurio.__file__).parent)


class Interrupted(KeyboardInterrupt):
    """The exception of a signal handler."""


def at_each_opcode(
    call: Callable[[int], Any],
    interrupt: Callable[[int], None],
    *,
    rooms: tuple[str, ...] = ("",),
    every: int = 1,
    exceptions: type[BaseException] = Interrupted,
) -> Iterator[tuple[int, BaseException | None]]:
    """Repeats a call, each time interrupted one bytecode of the SDK later.

    Args:
        call: The function to call, with the number of the turn.
        interrupt: Called in the middle; it may raise one of `exceptions`.
        rooms: Interrupts only files whose path in the package starts with one of these.
        every: Interrupts only at every Nth bytecode.
        exceptions: What the call may raise.

    Yields:
        The number of the turn, and the exception that the call raised, or None.
    """
    folders = tuple(f"{PACKAGE}/{room}" for room in rooms)
    for turn in itertools.count():
        left = turn * every

        def trace(frame: FrameType, event: str, _argument: Any) -> Any:
            nonlocal left
            if not frame.f_code.co_filename.startswith(folders):
                return None
            frame.f_trace_opcodes = True
            if event == "opcode":
                left -= 1
                if left == -1:
                    interrupt(turn)  # noqa: B023 - it is traced in this turn only
            return trace

        raised: BaseException | None = None
        before = sys.gettrace()
        # Python 3.12 traces opcodes only if a frame asked for it before.
        sys._getframe().f_trace_opcodes = True
        sys.settrace(trace)
        try:
            call(turn)
        except exceptions as error:
            raised = error
        finally:
            sys.settrace(before)
        yield turn, raised
        if left >= 0:
            return


def raise_interrupted(_turn: int) -> None:
    """Does what a Ctrl-C handler does."""
    raise Interrupted
