"""The senders of this process, one for each backend, and waiting for delivery."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, TypeVar

from afnio_tellurio.clock import monotonic
from afnio_tellurio.deadlines import seconds_left
from afnio_tellurio.delivery.hosts import this_host
from afnio_tellurio.delivery.journal import Journal
from afnio_tellurio.delivery.outbox import Outbox
from afnio_tellurio.delivery.records import Header
from afnio_tellurio.delivery.sender import Sender
from afnio_tellurio.delivery.synchronizer import Synchronizer
from afnio_tellurio.forks import ForkStep, at_fork
from afnio_tellurio.notices import show_progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from afnio_tellurio.api.calling import RunPath
    from afnio_tellurio.api.connection import Connection

AnyOutbox = TypeVar("AnyOutbox", bound=Outbox)

#: By the backend's address and the lane: one that is in trouble, or uploads files, does not hold up
#: the others.
senders: dict[tuple[str, str], Sender] = {}


def outboxes(connection: Connection | None = None) -> list[Outbox]:
    """The outboxes to deliver: all, or those of one connection."""
    return [
        outbox
        for sender in list(senders.values())
        for outbox in sender.outboxes()
        if connection is None or outbox.transfer.connection is connection
    ]


def _are_resting() -> bool:
    return all(sender.is_idle for sender in list(senders.values()))


synchronizer = Synchronizer(outboxes, _are_resting)


def _sender_of(outbox: Outbox) -> Sender:
    key = outbox.transfer.connection.address, outbox.lane
    sender = senders.get(key)
    if sender is None:
        # Another thread may have made one meanwhile.
        sender = senders.setdefault(key, Sender(synchronizer.wake))
    return sender


def open_outbox(
    connection: Connection,
    path: RunPath,
    *,
    run_name: str,
    owns_run: bool,
    kind: Callable[[Connection, Journal], AnyOutbox],
) -> AnyOutbox:
    """Opens a journal for metrics or files of this process, and passes it to the sender.

    Args:
        connection: The backend to deliver to.
        path: The run.
        run_name: Its name, for messages.
        owns_run: Whether the run ends with this process.
        kind: The kind of outbox.
    """
    host = this_host()
    header = Header(
        backend=connection.name_in_journals,
        is_local=connection.is_local,
        namespace_slug=path.namespace_slug,
        project_slug=path.project_slug,
        run_uuid=path.run_uuid,
        run_name=run_name,
        writer=str(uuid.uuid4()),
        owns_run=owns_run,
        host=host.name,
        machine=host.machine,
        boot=host.boot,
    )
    outbox = kind(connection, Journal(connection.settings.journals, header))
    _sender_of(outbox).add(outbox)
    return outbox


def close_outbox(outbox: Outbox) -> None:
    """Removes an outbox from its sender and closes it."""
    _sender_of(outbox).close(outbox)


def forget_outbox(outbox: Outbox) -> None:
    """Removes an outbox from its sender."""
    _sender_of(outbox).forget(outbox)


def release_outbox(outbox: Outbox) -> None:
    """Closes an outbox as soon as all is delivered: nothing can be logged to it anymore."""
    outbox.is_released = True
    _sender_of(outbox).wake()


def resume(connection: Connection) -> None:
    """Resumes delivery through a connection after its problem is fixed."""
    for outbox in outboxes(connection):
        outbox.resume()
        _sender_of(outbox).wake()


def wait_for(outbox: Outbox, timeout: float | None) -> bool:
    """Waits until the present content of an outbox is delivered; see `Sender.wait_for`."""
    return _sender_of(outbox).wait_for(outbox, timeout)


def require_delivery(outbox: Outbox, call: str, timeout: float | None) -> None:
    """Waits until all is delivered.

    Raises:
        DeliveryError: It was not delivered within `timeout` seconds.
    """
    is_delivered = wait_for(outbox, timeout)
    if not is_delivered and outbox.transfer.holding is not None:
        # The backend refuses the end of the run only.
        is_delivered = outbox.journal.is_delivered
    if not is_delivered or outbox.journal.lost:
        raise outbox.problem(call)


def settle(connection: Connection, call: str, run_uuid: str, *, lane: str = "metrics") -> None:
    """Waits until the logged metrics, or files, of a run can be read from a backend.

    Raises:
        DeliveryError: They cannot be delivered within `TELLURIO_EXIT_TIMEOUT`.
    """
    for outbox in _outboxes_to(connection):
        if outbox.journal.header.run_uuid == run_uuid and outbox.lane == lane:
            require_delivery(outbox, call, connection.settings.exit_timeout)


def settle_project(
    connection: Connection, call: str, namespace: str, project: str, *, lane: str = "files"
) -> None:
    """Waits until the files, or metrics, logged to a project can be read from a backend.

    Raises:
        DeliveryError: They cannot be delivered within `TELLURIO_EXIT_TIMEOUT`.
    """
    for outbox in _outboxes_to(connection):
        header = outbox.journal.header
        is_of_project = (header.namespace_slug, header.project_slug) == (namespace, project)
        if is_of_project and outbox.lane == lane:
            require_delivery(outbox, call, seconds_left(connection.settings.exit_timeout))


def settle_all(connection: Connection, call: str) -> None:
    """Waits until logged metrics can be read from a backend.

    Trouble with a run that the call does not name is not the call's.

    Args:
        connection: The backend.
        call: The method and path of a request.

    Raises:
        DeliveryError: Those of a run that the path names cannot be delivered within
            `TELLURIO_EXIT_TIMEOUT`.
    """
    timeout = connection.settings.exit_timeout
    deadline = monotonic() + timeout
    for outbox in _outboxes_to(connection):
        if outbox.journal.header.run_uuid in call.lower():
            require_delivery(outbox, call, timeout)
        elif not outbox.is_stuck and outbox.transfer.last_error is None:
            wait_for(outbox, max(0.0, deadline - monotonic()))


def _outboxes_to(connection: Connection) -> list[Outbox]:
    connections = [(outbox, outbox.transfer.connection) for outbox in outboxes()]
    return [
        outbox
        for outbox, other in connections
        if other.address == connection.address and not other.is_closed
    ]


def wait_visibly(outbox: Outbox, deadline: float) -> bool:
    """Waits until an outbox is done, with progress on a terminal; returns False at the deadline."""
    is_shown = False
    try:
        while not wait_for(outbox, min(1.0, max(0.0, deadline - monotonic()))):
            if outbox.is_stuck or monotonic() >= deadline:
                return False
            left = outbox.describe_waiting()
            is_shown = show_progress(
                f"{left} left to deliver; Ctrl-C leaves them for afnio-tellurio sync"
            )
    finally:
        if is_shown:
            show_progress("")
    return True


def wait_for_all(deadline: float) -> list[Outbox]:
    """Waits until every outbox of the process is done; returns those that are not."""
    undelivered: list[Outbox] = []
    for outbox in outboxes():
        if not wait_visibly(outbox, deadline):
            undelivered.append(outbox)
        elif not outbox.journal.header.owns_run:
            close_outbox(outbox)
    return undelivered


def _forget_outboxes_of_parent() -> None:
    inherited = outboxes()
    senders.clear()
    # Its lock may be held by a thread that does not exist in the child.
    synchronizer.__init__(outboxes, _are_resting)  # type: ignore[misc]
    for outbox in inherited:
        outbox.journal.forget()


at_fork(ForkStep.SENDER, in_child=_forget_outboxes_of_parent)
