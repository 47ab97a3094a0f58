"""The thread that brings journals to the disk, whatever the backends do meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from afnio_tellurio.clock import monotonic
from afnio_tellurio.delivery.worker import Worker
from afnio_tellurio.settings.limits import SYNCHRONIZE_INTERVAL

if TYPE_CHECKING:
    from collections.abc import Callable

    from afnio_tellurio.delivery.outbox import Outbox


class Synchronizer(Worker):
    """Calls fsync on the journals, and writes lines that a full disk left in memory.

    Args:
        outboxes: Returns the outboxes of the process.
        is_resting: Returns whether every sender is idle. The application wakes idle senders only,
            so while one works, this thread looks for new lines by itself.
    """

    def __init__(
        self, outboxes: Callable[[], list[Outbox]], is_resting: Callable[[], bool]
    ) -> None:
        super().__init__("tellurio-disk")
        self._outboxes = outboxes
        self._is_resting = is_resting

    def _pause(self) -> float | None:
        times = [due for outbox in self._outboxes() if (due := outbox.disk_due()) is not None]
        if times:
            return max(0.0, min(times) - monotonic())
        return None if self._is_resting() else SYNCHRONIZE_INTERVAL

    def _has_work(self) -> bool:
        return False

    def _turn(self) -> None:
        self._empty_bell()
        for outbox in self._outboxes():
            outbox.keep_on_disk()
