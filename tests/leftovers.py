"""What a test leaves in the process, and the next one must not find."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def close_default_clients() -> None:
    """What the environment named in one test is gone in the next."""
    module = sys.modules.get("afnio_tellurio.default_client")
    if module is not None:
        while module._clients:
            module._clients.popitem()[1].close()


@contextmanager
def own_default_clients() -> Iterator[None]:
    """Lets a block share no client with the rest of the test, as if it were another process."""
    import afnio_tellurio.default_client as module

    before, module._clients = module._clients, {}
    try:
        yield
    finally:
        close_default_clients()
        module._clients = before


def end_active_run() -> None:
    import afnio_tellurio as te

    try:
        run = te.get_active_run()
    except ValueError:
        return
    run._end(te.RunStatus.FAILED)


def drop_outboxes() -> None:
    """What could not be delivered stays behind: its backend is gone."""
    sender = sys.modules.get("afnio_tellurio.delivery.sender")
    for outbox in sender.sender.outboxes() if sender else ():
        outbox.close()
