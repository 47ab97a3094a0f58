"""Whether other threads are in certain functions at this moment, seen from their stacks.

A counter of the threads that are inside would be wrong for ever after a signal handler raised
between the entry and the count. A stack cannot be wrong: a function that was left is not on it.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from types import CodeType, FrameType

#: Seconds between two looks at the stacks.
_INTERVAL = 0.0005


def other_threads_inside(codes: Collection[CodeType], resting: Collection[CodeType] = ()) -> bool:
    """Whether another thread runs one of these functions.

    To keep threads out, first set a flag that the functions check as they begin, then poll this
    until it is false: a thread that began before the flag was set is seen here, and one that began
    later sees the flag.

    Args:
        codes: The code objects of plain functions. A generator is on the stack only while it runs.
        resting: Code objects of functions in which a thread rests: the nearest function of `codes`
            below on the stack does not count meanwhile.
    """
    own = threading.get_ident()
    return any(
        stack_holds(frame, codes, resting)
        for thread, frame in sys._current_frames().items()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        if thread != own
    )


def stack_holds(
    frame: FrameType | None, codes: Collection[CodeType], resting: Collection[CodeType] = ()
) -> bool:
    """Whether one of these functions is on the stack that ends with a frame.

    Args:
        frame: The newest frame.
        codes: As for `other_threads_inside`.
        resting: As for `other_threads_inside`.
    """
    rests = False
    for each in frames_below(frame):
        if each.f_code in resting:
            rests = True
        elif each.f_code in codes:
            if not rests:
                return True
            rests = False
    return False


def own_frame() -> FrameType:
    """The newest frame of this thread: the caller's."""
    return sys._getframe(1)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


def newest_frames() -> Collection[FrameType]:
    """The newest frame of each thread."""
    return sys._current_frames().values()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


def frames_below(frame: FrameType | None) -> Iterator[FrameType]:
    """A frame, its caller, the caller of that, and so on."""
    while frame is not None:
        yield frame
        frame = frame.f_back


def wait_until_left(codes: Collection[CodeType], timeout: float) -> bool:
    """Waits until other threads have left the calls of some functions that they are in now.

    Calls that begin meanwhile are not waited for.

    Args:
        codes: As for `other_threads_inside`.
        timeout: Seconds to wait at most.

    Returns:
        Whether they have left.
    """
    inside = [frame for frame in _frames_of_other_threads() if frame.f_code in codes]
    deadline = time.monotonic() + timeout
    while inside:
        if time.monotonic() > deadline:
            return False
        time.sleep(_INTERVAL)
        # The frames are kept, so that no other frame has the identity of one.
        running = set(map(id, _frames_of_other_threads()))
        inside = [frame for frame in inside if id(frame) in running]
    return True


def _frames_of_other_threads() -> Iterator[FrameType]:
    own = threading.get_ident()
    for thread, innermost in sys._current_frames().items():  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        if thread != own:
            yield from frames_below(innermost)
