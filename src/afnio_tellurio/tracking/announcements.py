"""What people see of a run: a line when it starts, one when it ends, and a table in a notebook."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from afnio_tellurio.api.html_tables import describe, render_text
from afnio_tellurio.notices import duration, printable, quoted_argument, tell

if TYPE_CHECKING:
    from afnio_tellurio.api.entities import RunRecord
    from afnio_tellurio.client import TellurioClient
    from afnio_tellurio.delivery.outbox import DeliveryReceipt
    from afnio_tellurio.delivery.recording import Recording

#: How a notebook shows the curves of a run that has no page.
_CODE = "te.show(run)"

#: Characters of one fact of a run in a table, at most.
_LENGTH = 300


def tell_started(
    run: RunRecord, client: TellurioClient, namespace_slug: str, project_slug: str
) -> None:
    """Shows that a run has started, and where to view it."""
    where = _view_with(run, client, namespace_slug, project_slug)
    before = f"Started run {run.name} in {namespace_slug}/{project_slug}. View: "
    tell(before, where=where, code=_CODE)


def tell_ended(run: RunRecord, recording: Recording, client: TellurioClient) -> None:
    """Shows how a run ended, how long it took, and how many values this process logged."""
    rest = ""
    if run.date_created is not None and run.date_ended is not None:
        seconds = max(0.0, (run.date_ended - run.date_created).total_seconds())
        rest += f" in {duration(seconds)}"
    rest += f" ({_count(recording.receipt())}). View: "
    namespace_slug, project_slug, _run_uuid = recording.path
    where = _view_with(run, client, namespace_slug, project_slug)
    tell(f"Run {run.name} ", status=run.status.value.lower(), rest=rest, where=where, code=_CODE)


def _count(receipt: DeliveryReceipt) -> str:
    accepted = "1 value" if receipt.accepted == 1 else f"{receipt.accepted:,} values"
    return f"{accepted}, {receipt.rejected} rejected" if receipt.rejected else accepted


def _view_with(
    run: RunRecord, client: TellurioClient, namespace_slug: str, project_slug: str
) -> str:
    address = client.web_address(namespace_slug, project_slug, run.uuid, run.name)
    if address is not None:
        return address
    # What is shown of some names is not what they are.
    name = run.name if printable(run.name) == run.name else run.uuid
    return f"afnio-tellurio show {quoted_argument(f'{namespace_slug}/{project_slug}/{name}')}"


def render_run(run: RunRecord, address: str | None) -> str:
    """Renders a run as an HTML table, as this process knows it.

    Args:
        run: The run.
        address: The address of its page, or None.
    """
    project = ""
    if run.organization is not None and run.project is not None:
        project = f"{run.organization.slug}/{run.project.slug}"
    created = ""
    if run.date_created is not None:
        created = f"{run.date_created.astimezone():%Y-%m-%d %H:%M:%S %Z}"
    name = render_text(run.name)
    if address is not None:
        name = f'<a href="{escape(address)}" target="_blank" rel="noopener">{name}</a>'
    texts = {
        "Status": run.status.value.lower(),
        "Project": project,
        "Created": created,
        "Ended because": str(run.ended_because or ""),
        "Tags": ", ".join(run.tags),
        "Config": describe(run.config) if run.config else "",
        "Description": run.description or "",
    }
    cells = {"Run": name}
    cells |= {title: render_text(text, _LENGTH) for title, text in texts.items() if text}
    rows = "".join(
        f'<tr><th scope="row" style="text-align:left">{title}</th>'
        f'<td style="text-align:left">{cell}</td></tr>'
        for title, cell in cells.items()
    )
    return f"<table>{rows}</table>"
