"""The lines that people see about a run: one when it starts, and one when it ends."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from afnio_tellurio.notices import duration, tell

if TYPE_CHECKING:
    from afnio_tellurio.api.entities import RunRecord
    from afnio_tellurio.client import TellurioClient
    from afnio_tellurio.delivery.outbox import DeliveryReceipt
    from afnio_tellurio.delivery.recording import Recording


def tell_started(
    run: RunRecord, client: TellurioClient, namespace_slug: str, project_slug: str
) -> None:
    """Shows that a run has started, and where to view it."""
    where = _view_with(run, client, namespace_slug, project_slug)
    tell(f"Started run {run.name} in {namespace_slug}/{project_slug}. View: ", where=where)


def tell_ended(run: RunRecord, recording: Recording, client: TellurioClient) -> None:
    """Shows how a run ended, how long it took, and how many values this process logged."""
    rest = ""
    if run.date_created is not None and run.date_updated is not None:
        seconds = (run.date_updated - run.date_created).total_seconds()
        rest += f" in {duration(seconds)}"
    rest += f" ({_count(recording.receipt())}). View: "
    namespace_slug, project_slug, _run_uuid = recording.path
    where = _view_with(run, client, namespace_slug, project_slug)
    tell(f"Run {run.name} ", status=run.status.value.lower(), rest=rest, where=where)


def _count(receipt: DeliveryReceipt) -> str:
    accepted = "1 value" if receipt.accepted == 1 else f"{receipt.accepted:,} values"
    return f"{accepted}, {receipt.rejected} rejected" if receipt.rejected else accepted


def _view_with(
    run: RunRecord, client: TellurioClient, namespace_slug: str, project_slug: str
) -> str:
    address = client.web_address(namespace_slug, project_slug, run.uuid, run.name)
    if address is not None:
        return address
    # A shell takes the quoted name literally.
    path = shlex.quote(f"{namespace_slug}/{project_slug}/{run.name}")
    return f"afnio-tellurio show {path}"
