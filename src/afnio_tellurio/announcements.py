"""What a person is told of a run: one line when it starts, and one when it ends."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from afnio_tellurio.notices import duration, tell

if TYPE_CHECKING:
    from afnio_tellurio.client import TellurioClient
    from afnio_tellurio.delivery.sender import DeliveryReceipt
    from afnio_tellurio.run import Run


def tell_started(run: Run, client: TellurioClient, namespace_slug: str, project_slug: str) -> None:
    """Says that a run has started, and where it can be looked at."""
    where = _where(run, client, namespace_slug, project_slug)
    tell(f"run {run.name} started in {namespace_slug}/{project_slug}; look at it: ", where=where)


def tell_ended(
    run: Run,
    receipt: DeliveryReceipt,
    client: TellurioClient,
    namespace_slug: str,
    project_slug: str,
) -> None:
    """Says how a run ended, how long it took and what was logged here."""
    rest = f", {_counted(receipt.accepted)} logged"
    if run.date_created is not None and run.date_updated is not None:
        seconds = (run.date_updated - run.date_created).total_seconds()
        rest = f" after {duration(seconds)}{rest}"
    if receipt.rejected:
        rest += f", {receipt.rejected} refused"
    where = _where(run, client, namespace_slug, project_slug)
    tell(f"run {run.name} ", status=run.status.value, rest=f"{rest}; look at it: ", where=where)


def _where(run: Run, client: TellurioClient, namespace_slug: str, project_slug: str) -> str:
    address = client.web_address(namespace_slug, project_slug, run.uuid, run.name)
    if address is not None:
        return address
    # Unlike a name, it is taken as it is by a shell.
    place = shlex.quote(f"{namespace_slug}/{project_slug}/{run.name}")
    return f"afnio-tellurio show {place}"


def _counted(metrics: int) -> str:
    return "1 metric" if metrics == 1 else f"{metrics:,} metrics"
