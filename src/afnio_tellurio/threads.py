"""Finds out from the stacks of other threads whether they are inside certain functions.

A counter of the threads inside would stay wrong forever once a signal handler raised between the
entry and the count. A stack cannot be wrong: a function that has been left is not on it.
"""

from __future__ import annotations

import gc
import sys
import time
from collections import deque
from functools import partial
from itertools import accumulate, chain, islice, repeat, takewhile
from operator import call
from typing import TYPE_CHECKING, Any

from afnio_tellurio.clock import monotonic

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from types import CodeType, FrameType

#: Seconds between two checks of the stacks.
_INTERVAL = 0.0005


def other_threads_inside(codes: Collection[CodeType], resting: Collection[CodeType] = ()) -> bool:
    """Whether another thread runs one of these functions.

    To keep threads out, first set a flag that the functions check as they begin, then poll this
    until it returns False: a thread that entered before the flag was set is found here, and one
    that enters later sees the flag.

    Args:
        codes: The code objects of plain functions. A generator is on the stack only while it runs.
        resting: Code objects of functions in which a thread rests: while it is in one, the nearest
            function of `codes` below it on the stack does not count.
    """
    return any(_holds(stack, codes, resting) for stack in _stacks_of_other_threads())


def stack_holds(
    frame: FrameType, codes: Collection[CodeType], resting: Collection[CodeType] = ()
) -> bool:
    """Whether one of these functions is on a stack of this thread.

    Args:
        frame: The newest frame of the stack.
        codes: As for `other_threads_inside`.
        resting: As for `other_threads_inside`.
    """
    return _holds(frames_below(frame), codes, resting)


def own_frame() -> FrameType:
    """The newest frame of this thread: the caller's."""
    return sys._getframe(1)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


def frames_below(frame: FrameType | None) -> Iterator[FrameType]:
    """A frame of this thread and its callers, newest first."""
    while frame is not None:
        yield frame
        frame = frame.f_back


def wait_until_left(codes: Collection[CodeType], timeout: float) -> bool:
    """Waits until other threads have returned from their present calls of some functions.

    It does not wait for calls that begin later.

    Args:
        codes: As for `other_threads_inside`.
        timeout: Seconds to wait, at most.

    Returns:
        True if all have returned in time.
    """
    inside = [frame for frame in _frames_of_other_threads() if frame.f_code in codes]
    deadline = monotonic() + timeout
    while inside:
        if monotonic() > deadline:
            return False
        time.sleep(_INTERVAL)
        # Our references keep the frames alive, so no new frame can have the id of one of them.
        running = set(map(id, _frames_of_other_threads()))
        inside = [frame for frame in inside if id(frame) in running]
    return True


def _holds(
    stack: Iterable[FrameType], codes: Collection[CodeType], resting: Collection[CodeType]
) -> bool:
    is_resting = False
    for frame in stack:
        if frame.f_code in resting:
            is_resting = True
        elif frame.f_code in codes:
            if not is_resting:
                return True
            is_resting = False
    return False


def _frames_of_other_threads() -> Iterator[FrameType]:
    return chain.from_iterable(_stacks_of_other_threads())


def _stacks_of_other_threads() -> list[list[FrameType]]:
    """The stacks of all threads but this one, each with the newest frame first.

    No thread moves while they are read: the interpreter switches threads between bytecodes, and
    one call of C reads them all. A walk in Python would miss the callers of a generator that a
    thread leaves meanwhile. The garbage collector, which that call could start, would run bytecode,
    and the frames could be freed in the middle of the walk.
    """
    snapshot: Iterator[dict[int, FrameType]] = islice(iter(sys._current_frames, None), 1)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    newest = chain.from_iterable(map(dict[int, Any].values, snapshot))
    # For each frame: frame, getattr(frame, "f_back"), getattr(that, "f_back"), ... until None.
    walks = map(accumulate, map(chain, zip(newest), repeat(repeat("f_back"))), repeat(getattr))
    walk = partial(list[list[Any]], map(list, map(takewhile, repeat(bool), walks)))
    if gc.isenabled():
        # Also in one call: an interruption must not leave the garbage collector disabled.
        calls: tuple[Any, ...] = (gc.disable, walk, gc.enable)
        steps = map(call, calls)
        _, stacks, _ = steps
        del calls, steps
    else:
        stacks = walk()
    (oldest,) = deque(frames_below(own_frame()), maxlen=1)
    others = [stack for stack in stacks if stack[-1] is not oldest]
    # This frame is in a stack that it refers to: the circle would keep what all threads hold.
    del snapshot, newest, walks, walk, stacks
    return others
