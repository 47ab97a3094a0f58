"""Waits for events that only polling shows."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from children import GUARD

if TYPE_CHECKING:
    from collections.abc import Callable


def wait_until(is_true: Callable[[], object], interval: float = 0.005) -> None:
    """Polls until a condition holds."""
    deadline = time.monotonic() + GUARD
    while not is_true():
        assert time.monotonic() < deadline, "the event did not occur"
        time.sleep(interval)
