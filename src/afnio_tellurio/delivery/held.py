"""Lines of a journal in memory while its file cannot be written, usually because of a full disk."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

from afnio_tellurio.clock import monotonic
from afnio_tellurio.delivery.records import (
    Batch,
    Metrics,
    Position,
    change_of,
    metrics_of,
    parsed_line,
)
from afnio_tellurio.settings.limits import (
    BATCH_BYTES,
    HELD_BYTES,
    WRITE_RETRY_DELAY,
)

if TYPE_CHECKING:
    from collections.abc import Generator

#: Seconds that the sender waits for another thread that writes the held lines.
_RESERVE_TIMEOUT = 1.0


class HeldLines:
    """The lines that could not be written to a journal's file, up to `HELD_BYTES` of them.

    Any thread may append. Only the thread that holds `lock` removes lines: those that the file has
    now, or that were delivered from memory.

    Attributes:
        lines: The lines of metrics, oldest first.
        changes: The lines of changes of the run, oldest first; they are written and sent first.
        lock: Held by the thread that writes or delivers the lines.
        dropped: The number of metrics that did not fit into memory either.
        is_number_due: Whether lines were delivered that the file does not have. The file must then
            record the number of the next metric.
    """

    def __init__(self) -> None:
        self.lines: deque[bytes] = deque()
        self.changes: deque[bytes] = deque()
        self.lock = threading.Lock()
        self.dropped = 0
        self.is_number_due = False
        self._size = 0
        # The lines that are being written.
        self._moving: list[bytes] = []
        self._trouble: OSError | None = None
        self._is_trouble_taken = False
        self._retry_at = 0.0

    def __len__(self) -> int:
        return len(self.lines)

    def __bool__(self) -> bool:
        return bool(self.lines or self.changes)

    def has_room(self, line: bytes) -> bool:
        """Whether a line fits into memory."""
        return self._size + len(line) <= HELD_BYTES

    def append(self, line: bytes) -> None:
        """Adds a line."""
        self._size += len(line)
        self.lines.append(line)

    def append_change(self, line: bytes) -> None:
        """Adds the line of a change."""
        self._size += len(line)
        self.changes.append(line)

    def drop_change(self, line: bytes) -> None:
        """Removes the line of a change, which the file or a backend has now."""
        # An interrupted call may have removed it already.
        if line in self.changes:
            self.changes.remove(line)
            self._size -= len(line)

    @contextmanager
    def reserved(self) -> Generator[bool, None, None]:
        """Keeps other threads from removing lines; yields False if one still does after a while."""
        is_reserved = self.lock.acquire(timeout=_RESERVE_TIMEOUT)
        try:
            yield is_reserved
        finally:
            if is_reserved:
                self.lock.release()

    def replace_lock(self) -> None:
        """In a forked child: a thread that does not exist there may hold the lock."""
        self.lock = threading.Lock()

    # Writing them to the file

    def next_to_write(self, count: int) -> list[bytes]:
        """The lines to write at once, up to `count`; the same again until `drop_written`.

        Many: with each write, a program that logs without a pause gets ahead by a time slice.
        """
        if not self._moving:
            self._moving = self._first(count)
        return self._moving

    def drop_written(self, written: int) -> bool:
        """Removes those of the lines to write that the file has now.

        Args:
            written: The number of bytes of them that were written.

        Returns:
            True if that is all of them.
        """
        for line in self._moving:
            written -= len(line)
            if written < 0:
                break
            # An interrupted call may have removed it already.
            if self.lines and self.lines[0] is line:
                self._size -= len(self.lines.popleft())
        self._moving = []
        return written >= 0

    def correct_size(self) -> None:
        """Called when every line is written: interrupted calls may have counted bytes wrong."""
        self._size = 0

    # Delivering them from memory

    def batch(self, position: Position, limit: int) -> Batch | None:
        """The next lines to send, if the file has nothing to send after this position.

        They must be `reserved`.
        """
        for line in list(self.changes):
            fields = parsed_line(line[:-1])
            if fields is not None:
                change = change_of(fields, -1, is_next=False)
                return Batch(Metrics.of([]), position.segment, held=[line], change=change)
        lines = self._first(limit)
        if not lines:
            return None
        number, offset = position.number, position.offset
        metrics = [
            metric
            for index, line in enumerate(lines)
            for metric in metrics_of(parsed_line(line[:-1]) or [], number + index, offset, offset)
        ]
        return Batch(Metrics.of(metrics), position.segment, held=lines)

    def drop_delivered(self, count: int) -> None:
        """Removes the first lines, which the file does not have."""
        for _ in range(min(count, len(self.lines))):
            self._size -= len(self.lines.popleft())
            self.is_number_due = True

    def _first(self, count: int) -> list[bytes]:
        lines: list[bytes] = []
        size = 0
        # By index: other threads append meanwhile.
        for index in range(min(count, len(self.lines))):
            lines.append(self.lines[index])
            size += len(lines[-1])
            if size > BATCH_BYTES:
                break
        return lines

    # Why the file cannot be written, and when to try again

    def note_trouble(self, error: OSError) -> None:
        """Notes why the file cannot be written; the next attempt is due after a while."""
        self._trouble = error
        self._retry_at = monotonic() + WRITE_RETRY_DELAY

    def take_trouble(self) -> OSError | None:
        """Why the file cannot be written; returned once, until `end_trouble`."""
        if self._trouble is None or self._is_trouble_taken:
            return None
        self._is_trouble_taken = True
        return self._trouble

    def end_trouble(self) -> None:
        """Called when the file can be written again."""
        self._trouble = None
        self._is_trouble_taken = False

    def due(self) -> float | None:
        """When to write the lines, on the monotonic clock; None without lines."""
        return self._retry_at if self else None
