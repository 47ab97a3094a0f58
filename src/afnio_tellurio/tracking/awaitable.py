"""For event loops: each function does in a thread what its twin waits for."""

from __future__ import annotations

import threading
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from afnio_tellurio.api.entities import RunStatus
from afnio_tellurio.settings.limits import RUNS_PAGE
from afnio_tellurio.tracking.awaiting import run_in_thread
from afnio_tellurio.tracking.end_reasons import CANCELED
from afnio_tellurio.tracking.finding import get_run, runs
from afnio_tellurio.tracking.functions import get_active_run, make_active, open_run
from afnio_tellurio.tracking.safeguard import end

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import AsyncIterator, Iterable

    from afnio_tellurio.api.connection import Connection
    from afnio_tellurio.api.entities import RunRecord
    from afnio_tellurio.client import TellurioClient
    from afnio_tellurio.delivery.outbox import DeliveryReceipt
    from afnio_tellurio.tracking.run import Run

T = TypeVar("T")


async def ainit(
    namespace_slug: str,
    project_display_name: str,
    name: str | None = None,
    description: str | None = None,
    status: RunStatus | str | None = RunStatus.RUNNING,
    client: TellurioClient | None = None,
    *,
    config: Any = None,
    tags: Iterable[str] = (),
    group: str | None = None,
    job_type: str | None = None,
    notes: str | None = None,
    parent: RunRecord | str | None = None,
    system_metrics: bool | float = False,
    console: bool = False,
    key: str | None = None,
    resume: bool | str = False,
) -> Run:
    """Does what `init` does, without blocking the event loop of asyncio, trio, or anyio.

    If the task is canceled meanwhile, the run ends as `FAILED`.
    """
    opening = _Opening()

    def work() -> tuple[Run, Connection | None]:
        return opening.finish(
            *open_run(
                namespace_slug,
                project_display_name,
                name,
                description,
                status,
                client,
                config=config,
                tags=tags,
                group=group,
                job_type=job_type,
                notes=notes,
                parent=parent,
                system_metrics=system_metrics,
                console=console,
                key=key,
                resume=resume,
            )
        )

    try:
        run, connection = await run_in_thread(work)
    except BaseException:  # raised again: nobody would end the run
        opening.abandon()
        raise
    return make_active(run, connection)


class _Opening:
    """A run that a thread opens for a task, which may be canceled at any time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_abandoned = False
        self._run: Run | None = None

    def finish(self, run: Run, connection: Connection | None) -> tuple[Run, Connection | None]:
        """Hands over the open run, or ends it if the task was canceled."""
        with self._lock:
            self._run = run
            is_abandoned = self._is_abandoned
        if is_abandoned:
            end(run, RunStatus.FAILED, CANCELED)
        return run, connection

    def abandon(self) -> None:
        """Ends the run, now or as soon as it is open."""
        with self._lock:
            self._is_abandoned = True
            run = self._run
        if run is not None:
            threading.Thread(
                target=end,
                args=(run, RunStatus.FAILED, CANCELED),
                name="tellurio-await",
                daemon=True,
            ).start()


async def aruns(
    namespace_slug: str,
    project: str,
    client: TellurioClient | None = None,
    *,
    status: RunStatus | str | None = None,
    created_after: dt.datetime | None = None,
    created_before: dt.datetime | None = None,
    tag: str | None = None,
    group: str | None = None,
    job_type: str | None = None,
    parent: RunRecord | str | None = None,
    where: str | None = None,
    sort: str | None = None,
    limit: int | None = None,
) -> AsyncIterator[Run]:
    """Does what `runs` does, without blocking the event loop of asyncio, trio, or anyio.

    The first page is requested when the iteration starts, and errors are raised then.
    """
    iterator = await run_in_thread(
        lambda: runs(
            namespace_slug,
            project,
            client,
            status=status,
            created_after=created_after,
            created_before=created_before,
            tag=tag,
            group=group,
            job_type=job_type,
            parent=parent,
            where=where,
            sort=sort,
            limit=limit,
        )
    )
    while page := await run_in_thread(lambda: list(islice(iterator, RUNS_PAGE))):
        for run in page:
            yield run


async def aget_run(
    namespace_slug: str, project: str, run: str, client: TellurioClient | None = None
) -> Run:
    """Does what `get_run` does, without blocking the event loop of asyncio, trio, or anyio."""
    return await run_in_thread(lambda: get_run(namespace_slug, project, run, client))


async def afinish(
    client: TellurioClient | None = None, status: RunStatus | str | None = RunStatus.COMPLETED
) -> DeliveryReceipt:
    """Does what `finish` does, without blocking the event loop of asyncio, trio, or anyio.

    Raises:
        ValueError: No run is active.
    """
    return await get_active_run().afinish(client, status)
