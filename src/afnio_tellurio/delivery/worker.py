"""A daemon thread that starts when there is work, and ends when there has been none for a while."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from queue import Empty, SimpleQueue

from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.notices import warn_once
from afnio_tellurio.settings.limits import FIRST_RETRY_DELAY, LINGER_TIME


class Worker:
    """A thread that works in turns. Subclasses say when a turn is due and what it does.

    Threads of the application never take a lock that the thread needs: an exception of a signal
    handler could leave it locked, and the thread would wait forever.

    Attributes:
        is_idle: Whether the thread must be woken if there is work.
    """

    def __init__(self, name: str) -> None:
        self.is_idle = True
        self._name = name
        # The only queue of the standard library that a signal handler may use at any time.
        self._bell: SimpleQueue[None] = SimpleQueue()
        # Locked by the thread while it lives: if two are started, one ends at once.
        self._is_running = threading.Lock()

    def wake(self) -> None:
        """Wakes the thread: a turn is due."""
        if self._bell.empty():
            self._bell.put(None)
        self._start()

    def _start(self) -> bool:
        """Starts the thread unless it runs; returns True if it runs now."""
        if self._is_running.locked():
            return True
        try:
            threading.Thread(target=self._run, name=self._name, daemon=True).start()
        except RuntimeError as error:
            raise_foreign(error)
            # The interpreter is shutting down and starts no threads.
            return False
        return True

    def _run(self) -> None:
        if not self._is_running.acquire(blocking=False):
            return
        try:
            while self._work():
                pass
        finally:
            self.is_idle = True
            self._is_running.release()
        if not self._bell.empty():
            # It was woken while it ended.
            self._start()

    def _work(self) -> bool:
        try:
            if not self._wait():
                return False
            self._turn()
        except Exception as error:  # noqa: BLE001 - delivery continues
            warn_once(f"delivery failed: {error!r}")
            time.sleep(FIRST_RETRY_DELAY)
        return True

    def _wait(self) -> bool:
        """Waits until a turn is due; returns False if there is no work."""
        pause = self._pause()
        if pause == 0:
            self.is_idle = False
            return True
        self.is_idle = True
        # Once more: the application wakes an idle thread only.
        pause = self._pause()
        is_woken = pause == 0
        if not is_woken:
            with suppress(Empty):
                self._bell.get(timeout=LINGER_TIME if pause is None else pause)
                is_woken = True
        self.is_idle = False
        return is_woken or pause is not None or self._has_work()

    def _empty_bell(self) -> None:
        with suppress(Empty):
            self._bell.get(block=False)

    def _pause(self) -> float | None:
        """The seconds until a turn is due; `None` if nothing is due until the thread is woken."""
        raise NotImplementedError

    def _has_work(self) -> bool:
        """Whether the thread must stay although nothing is due."""
        raise NotImplementedError

    def _turn(self) -> None:
        raise NotImplementedError
