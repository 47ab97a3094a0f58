"""What a test leaves in the process, and the next one must not find."""

from __future__ import annotations

import sys


def close_default_clients() -> None:
    """What the environment named in one test is gone in the next."""
    module = sys.modules.get("afnio_tellurio.default_client")
    if module is not None:
        while module._clients:
            module._clients.popitem()[1].close()


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
