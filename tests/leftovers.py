"""Cleans up what a test leaves in the process, so that the next test does not see it."""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def close_default_clients() -> None:
    """Closes the clients that a test's environment named."""
    module = sys.modules.get("afnio_tellurio.default_client")
    if module is not None:
        while module._clients:
            module._clients.popitem()[1].close()


@contextmanager
def own_default_clients() -> Iterator[None]:
    """Uses separate default clients in a block, as if it were another process."""
    import afnio_tellurio.default_client as module

    before, module._clients = module._clients, {}
    try:
        yield
    finally:
        close_default_clients()
        module._clients = before


def end_active_run() -> None:
    """Ends the open runs."""
    import afnio_tellurio as te
    from afnio_tellurio.tracking.active import open_runs

    for run in open_runs():
        run._end(te.RunStatus.FAILED)


def drop_outboxes() -> None:
    """Drops pending data, whose backend no longer exists, so that no later test sees a retry."""
    module = sys.modules.get("afnio_tellurio.delivery.senders")
    if module is None:
        return
    outboxes = module.outboxes()
    workers = [*module.senders.values(), module.synchronizer]
    module.senders.clear()
    for sender in workers[:-1]:
        sender._outboxes.clear()
    # A journal that is closed in the middle of a step would leave a file open. And coverage is not
    # measured in a thread that a test without it has started.
    for worker in workers:
        _end_thread(worker)
    for outbox in outboxes:
        outbox.close()


def _end_thread(worker: Any) -> None:
    hook = threading.excepthook
    threading.excepthook = lambda _arguments: None
    worker._turn = sys.exit
    try:
        for thread in threading.enumerate():
            if getattr(thread, "_target", None) == worker._run:
                while thread.is_alive():
                    # Again: a turn that is in progress may have heard it.
                    worker._bell.put(None)
                    thread.join(0.01)
    finally:
        threading.excepthook = hook
        del worker._turn
