"""Runs: starting, logging, finishing and reading them back."""

from __future__ import annotations

import datetime as dt
import os
import threading
import time
import uuid
import weakref
from contextlib import suppress
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

import attrs

from afnio_tellurio import projects
from afnio_tellurio.active import activate, deactivate, get_active_run, is_success, safeguard
from afnio_tellurio.announcements import tell_ended, tell_started
from afnio_tellurio.client import TellurioClient, default_client
from afnio_tellurio.delivery.journal import JournalSealedError
from afnio_tellurio.delivery.recovery import deliver_orphans_of_run, say_orphans
from afnio_tellurio.delivery.sender import (
    DeliveryReceipt,
    Outbox,
    open_outbox,
    sender,
    wait_visibly,
)
from afnio_tellurio.entities import (
    MetricHistory,
    MetricSummary,
    RunRecord,
    RunStatus,
    is_finite_number,
)
from afnio_tellurio.errors import BadRequestError, ConflictError, RunFinishedError
from afnio_tellurio.interruptions import foreign_cause, raise_foreign
from afnio_tellurio.notices import warn
from afnio_tellurio.settings import (
    BATCH_METRICS,
    MAX_BUCKETS,
    MAX_REMEMBERED_NAMES,
    MAX_STEP,
    configured_timeout,
    is_disabled,
)
from afnio_tellurio.validation import (
    checked_name,
    checked_slug,
    checked_step,
    checked_text,
    encoded_value,
    project_slug,
)

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

_ENDED = {RunStatus.COMPLETED, RunStatus.CRASHED, RunStatus.FAILED}


@attrs.define(eq=False, slots=False)
class Run(RunRecord):
    """One execution of an agent, a workflow or an experiment.

    Threads may share it. As a context manager (`with` or `async with`) it ends as `COMPLETED`, or
    as `CRASHED` when the block raises; the block's exception always reaches the caller.

    Attributes:
        uuid: The run's UUID.
        name: The run's name, unique in its project.
        description: What the run is about, or `None`.
        status: Where it stands.
        date_created: When it was created, with time zone.
        date_updated: When its status, name or description was last changed, with time zone.
        organization: The namespace that owns its project.
        project: Its project.
        user: Who created it.
    """

    _client: TellurioClient | None = attrs.field(init=False, repr=False, default=None)
    # As it was asked for: a backend need not repeat it.
    _project_slug: str | None = attrs.field(init=False, repr=False, default=None)
    _lock: threading.RLock = attrs.field(init=False, repr=False, factory=threading.RLock)
    # What this process logs, for each client that it is logged through.
    _outboxes: dict[int, Outbox] = attrs.field(init=False, repr=False, factory=dict[int, Outbox])
    _outbox: Outbox | None = attrs.field(init=False, repr=False, default=None)
    # Whether the run ends with this process: it does not where it was found or attached to.
    _is_owned: bool = attrs.field(init=False, repr=False, default=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        normal = error is None or (isinstance(error, SystemExit) and is_success(error.code))
        try:
            problem = self.end(RunStatus.COMPLETED if normal else RunStatus.CRASHED)
        except KeyboardInterrupt:
            # Ctrl-C means the waiting here; the program goes on.
            return
        except Exception as interruption:
            if error is None:
                raise
            # The block's exception goes on.
            problem = f"the end of run {self.name!r} was interrupted: {interruption!r}"
        if problem and error is not None:
            error.add_note(f"afnio-tellurio: {problem}")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await _in_daemon_thread(lambda: self.__exit__(kind, error, traceback))

    def log(
        self, name: str, value: Any, step: int | None = None, client: TellurioClient | None = None
    ) -> None:
        """Logs one metric. When it returns, the metric is in a file; it is delivered beside.

        Args:
            name: The metric's name, 1 to 255 characters. The part before a `/` groups it with
                others.
            value: Anything JSON can hold, and NaN and the infinities. A scalar of NumPy, or a
                tensor without dimensions, is taken as the number it is.
            step: The step, from 0; default the greatest of this metric plus one. Steps may come in
                any order, and equal ones are all kept.
            client: The client to use; default the one that the run was started with.

        Raises:
            TypeError: The name is no string, the step no integer, or JSON cannot hold the value.
            ValueError: The name is empty or too long, the step out of range, or the value cannot be
                kept as it is.
            RunFinishedError: The run is finished.
        """
        # The common case first, and without a call: this runs in the innermost loop of users.
        if name.__class__ is not str or name not in _checked_names:
            _check_metric_name("log", name)
        if step is not None and not (step.__class__ is int and 0 <= step <= MAX_STEP):
            step = checked_step(step)
        kind = value.__class__
        if kind is float:
            if value - value != 0.0:
                value = encoded_value(value)
        elif not (kind is int and -MAX_STEP <= value <= MAX_STEP):
            value = encoded_value(value)
        if self.status in _ENDED:
            raise self._finished_error("log")
        outbox = self._outbox if client is None else self._outboxes.get(id(client))
        if outbox is None:
            outbox = self._outbox_for(client)
        try:
            outbox.append(step, name, value)
        except JournalSealedError:
            raise self._finished_error("log") from None
        if sender.is_idle:
            sender.wake()

    def log_metrics(
        self,
        metrics: Mapping[str, Any],
        step: int | None = None,
        client: TellurioClient | None = None,
    ) -> None:
        """Logs several metrics of one step at once.

        Args:
            metrics: The values by metric name; see `log`.
            step: The step of them all, from 0; default the greatest of each metric plus one.
            client: The client to use; default the one that the run was started with.

        Raises:
            TypeError: As with `log`; nothing is recorded then.
            ValueError: As with `log`; nothing is recorded then.
            RunFinishedError: The run is finished.
        """
        step = checked_step(step)
        pairs: list[tuple[str, Any]] = []
        for name, value in metrics.items():
            _check_metric_name("log_metrics", name)
            pairs.append((name, encoded_value(value)))
        if self.status in _ENDED:
            raise self._finished_error("log_metrics")
        outbox = self._outbox if client is None else self._outboxes.get(id(client))
        if outbox is None:
            outbox = self._outbox_for(client)
        try:
            for start in range(0, len(pairs), BATCH_METRICS):
                outbox.append_all(step, pairs[start : start + BATCH_METRICS])
        except JournalSealedError:
            raise self._finished_error("log_metrics") from None
        if sender.is_idle:
            sender.wake()

    def flush(self, timeout: float | None = None) -> DeliveryReceipt:
        """Waits until the backend has everything that this process logged to the run.

        Args:
            timeout: How many seconds to wait at most; default as long as it takes.

        Returns:
            How many metrics were accepted and rejected.

        Raises:
            DeliveryError: It is not delivered in that time, or delivery has ended.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        for outbox in list(self._outboxes.values()):
            outbox.require("flush", deadline and deadline - time.monotonic())
        return self._receipt()

    async def aflush(self, timeout: float | None = None) -> DeliveryReceipt:  # noqa: ASYNC109
        """Does what `flush` does, without blocking the event loop."""
        return await _in_daemon_thread(lambda: self.flush(timeout))

    def finish(
        self, client: TellurioClient | None = None, status: RunStatus | None = RunStatus.COMPLETED
    ) -> DeliveryReceipt:
        """Delivers what is on its way, then ends the run. Ending it again does nothing.

        It waits at most `TELLURIO_EXIT_TIMEOUT` seconds, 30 by default.

        Args:
            client: The client to use; default the one that the run was started with.
            status: How the run ended; `None` means `COMPLETED`.

        Returns:
            How many metrics were accepted and rejected.

        Raises:
            TypeError: The status is no `RunStatus`.
            ValueError: The status is none that a run can end with.
            DeliveryError: The backend could not be told. The run is still open, what was logged
                stays on the disk, and `finish` can be called again.
        """
        status = RunStatus.COMPLETED if status is None else status
        _check_status("finish", status)
        if status not in _ENDED:
            raise ValueError(f"finish: status is {status}; give COMPLETED, CRASHED or FAILED")
        with self._lock:
            if self.status not in _ENDED:
                try:
                    undelivered = self._deliver_end(
                        client, status, time.monotonic() + configured_timeout()
                    )
                except BaseException:
                    # Ctrl-C, say: the run is as open as it was before.
                    self._reopen(client, status)
                    raise
                if undelivered is not None:
                    self._reopen(client, status)
                    raise undelivered.problem("finish")
                for outbox in self._outboxes.values():
                    if outbox.journal.lost:
                        raise outbox.problem("finish")
            else:
                # What ended it may have been interrupted, or had no time.
                deadline = time.monotonic() + configured_timeout()
                for outbox in list(self._outboxes.values()):
                    if not wait_visibly(outbox, deadline):
                        raise outbox.problem("finish")
                self._close_outboxes()
            deactivate(self)
        return self._receipt()

    def _reopen(self, client: TellurioClient | None, status: RunStatus) -> None:
        """Goes on with a run that could not be ended, unless the backend knows its end already."""
        last = self._outbox_for(client)
        last.wanted_status = None
        if last.transfer.ended is not None:
            self.status = status
            return
        for outbox in self._outboxes.values():
            outbox.journal.unseal()

    async def afinish(
        self, client: TellurioClient | None = None, status: RunStatus | None = RunStatus.COMPLETED
    ) -> DeliveryReceipt:
        """Does what `finish` does, without blocking the event loop."""
        return await _in_daemon_thread(lambda: self.finish(client, status))

    def _deliver_end(
        self, client: TellurioClient | None, status: RunStatus, deadline: float
    ) -> Outbox | None:
        """Delivers everything and then the status; gives what could not be delivered in time."""
        last = self._outbox_for(client)
        # What is logged from now on is refused: delivery must come to an end.
        for outbox in self._outboxes.values():
            outbox.journal.seal()
        for outbox in list(self._outboxes.values()):
            if outbox is not last and not wait_visibly(outbox, deadline):
                return outbox
        deliver_orphans_of_run(self._client_for(client), self.uuid)
        last.wanted_status = status
        if not wait_visibly(last, deadline):
            return last
        self.status = status
        self.date_updated = last.transfer.ended
        tell_ended(self, self._receipt(), self._client_for(client), *self._path()[:2])
        self._close_outboxes()
        return None

    def _close_outboxes(self) -> None:
        for outbox in list(self._outboxes.values()):
            outbox.close()

    def end(self, status: RunStatus) -> str | None:
        """Ends the run without ever raising, as the end of a block or of the process must.

        A run that this process only logs to is not ended; what it logged is delivered.

        Returns:
            What went wrong, if something did; it has been said already.

        Raises:
            BaseException: Ctrl-C, or what a signal handler of the application raised meanwhile; the
                end of the run is left to the sender, or to a later process.
        """
        try:
            problem = self._ended_problem(status)
        except Exception as error:  # noqa: BLE001
            if foreign_cause(error) is not None:
                self._warn_of_interruption(status)
                raise_foreign(error)
            # Whatever it is, it must not take the place of the application's own exception.
            problem = f"run {self.name!r} could not be ended as {status}: {error}"
        except BaseException:
            self._warn_of_interruption(status)
            raise
        finally:
            deactivate(self)
        if problem is not None:
            warn(problem)
        return problem

    def _warn_of_interruption(self, status: RunStatus) -> None:
        if self.status not in _ENDED:
            warn(self._left_behind(status, self._outbox_for(None)))

    def _ended_problem(self, status: RunStatus) -> str | None:
        deadline = time.monotonic() + configured_timeout()
        if self.status in _ENDED:
            return None
        if self._is_owned:
            undelivered = self._deliver_end(None, status, deadline)
            if undelivered is not None:
                return self._left_behind(status, undelivered)
        for outbox in list(self._outboxes.values()):
            if not wait_visibly(outbox, deadline) or outbox.journal.lost:
                return str(outbox.problem("exit"))
        return None

    def _left_behind(self, status: RunStatus, undelivered: Outbox) -> str:
        """Leaves the end to the sender, and to another process when this one is gone."""
        if self._is_owned:
            outbox = self._outbox_for(None)
            outbox.journal.end(status)
            outbox.wanted_status = status
            self.status = status
        what = f"run {self.name!r} could not be ended as {status}"
        if undelivered.tell_stop():
            # The reason, the file and the remedy are said, perhaps hours ago.
            return f"{what}: it waits with {undelivered.receipt().waiting} metrics, as said before"
        return str(undelivered.problem(what))

    @overload
    def metrics(self, name: str, client: TellurioClient | None = None) -> MetricHistory: ...

    @overload
    def metrics(
        self, name: None = None, client: TellurioClient | None = None
    ) -> dict[str, MetricHistory]: ...

    def metrics(
        self, name: str | None = None, client: TellurioClient | None = None
    ) -> MetricHistory | dict[str, MetricHistory]:
        """Reads back what was logged.

        Args:
            name: The metric's name; default all metrics.
            client: The client to use; default the one that the run was started with.

        Returns:
            The history of that metric, empty when nothing was logged under that name; or, without a
            name, the history of each metric by its name.

        Raises:
            TypeError: The name is no string.
            ValueError: The name is empty or too long.
            ApiError: The backend answered with an error.
            BackendUnreachableError: The backend could not be reached.
            InvalidResponseError: The backend's answer makes no sense.
        """
        if name is not None:
            checked_name("metrics", "metric name", name)
        found = self._client_for(client).list_metrics(*self._path(), name=name)
        if name is not None:
            return MetricHistory.from_models(name, found)
        return MetricHistory.by_name(found)

    def summary(self, client: TellurioClient | None = None) -> dict[str, MetricSummary]:
        """Reads back each metric in short.

        Args:
            client: The client to use; default the one that the run was started with.

        Returns:
            One summary for each metric, by its name.

        Raises:
            ApiError: The backend answered with an error.
            BackendUnreachableError: The backend could not be reached.
            InvalidResponseError: The backend's answer makes no sense.
        """
        summaries = self._client_for(client).summarize_metrics(*self._path())
        if summaries is None:
            histories = self.metrics(client=client)
            return {name: MetricSummary.from_history(what) for name, what in histories.items()}
        return {name: MetricSummary.from_model(summaries[name]) for name in sorted(summaries)}

    def curve(
        self, name: str, buckets: int = 1000, client: TellurioClient | None = None
    ) -> tuple[list[int], list[float]]:
        """Reads back one numeric metric as a line to draw, however many values it has.

        Args:
            name: The metric's name.
            buckets: At most so many points, 1 to 10,000: the last value in each of so many ranges
                of steps, or fewer, as their width is a power of two.
            client: The client to use; default the one that the run was started with.

        Returns:
            Steps and values, in step order; values that are no finite number are left out.

        Raises:
            ValueError: The buckets are no number from 1 to 10,000.
            ApiError: The backend answered with an error.
            BackendUnreachableError: The backend could not be reached.
            InvalidResponseError: The backend's answer makes no sense.
        """
        # A program without types may say anything.
        if buckets not in range(1, MAX_BUCKETS + 1):
            raise ValueError(
                f"curve: buckets is {buckets!r}; give a number from 1 to {MAX_BUCKETS}"
            )
        sampled = self._client_for(client).sample_metric(*self._path(), name=name, buckets=buckets)
        if sampled is None:
            points = _last_of_ranges(self.metrics(name, client), buckets)
        else:
            points = [(bucket.last_step, bucket.last) for bucket in sampled]
        drawable = [(step, value) for step, value in points if is_finite_number(value)]
        return [step for step, _ in drawable], [float(value) for _, value in drawable]

    def update(
        self,
        name: str | None = None,
        description: str | None = None,
        client: TellurioClient | None = None,
    ) -> None:
        """Renames or describes the run, which may be finished.

        Args:
            name: The new name; default the name that it has. A name that another run of the project
                has gets a number appended.
            description: The new description; default the one that it has.
            client: The client to use; default the one that the run was started with.

        Raises:
            TypeError: The name or the description is no string.
            ValueError: Neither is given, or the name is empty or too long.
            NotFoundError: The run does not exist.
            ApiError: The backend answered with another error.
            BackendUnreachableError: The backend could not be reached.
            InvalidResponseError: The backend's answer makes no sense.
        """
        if name is None and description is None:
            raise ValueError("update: nothing is to be changed; give name or description")
        if name is not None:
            checked_name("update", "run name", name)
        if description is not None:
            checked_text("update", "description", description)
        self._change(name, description, client)

    def _change(
        self, name: str | None, description: str | None, client: TellurioClient | None
    ) -> None:
        path = self._path()
        model = self._client_for(client).update_run(*path, name=name, description=description)
        changed = RunRecord.from_model(model, "updateRun", path[0])
        self.name = changed.name
        self.description = changed.description
        self.date_updated = changed.date_updated

    def bind(self, client: TellurioClient, project_slug: str, *, owned: bool = False) -> None:
        """Keeps where the run came from, and whether it ends with this process."""
        self._client = client
        self._project_slug = project_slug
        self._is_owned = owned
        if owned:
            # From the start: the journal of a process that died tells that its run has crashed.
            self._outbox_for(None)

    def _outbox_for(self, client: TellurioClient | None) -> Outbox:
        with self._lock:
            client = self._client_for(client)
            outbox = self._outboxes.get(id(client))
            if outbox is None:
                namespace_slug, project_slug, run_uuid = self._path()
                outbox = open_outbox(
                    client,
                    namespace_slug=namespace_slug,
                    project_slug=project_slug,
                    run_uuid=run_uuid,
                    run_name=self.name,
                    owns_run=self._is_owned and not self._outboxes,
                )
                # A signal handler that logs may have been here meanwhile.
                outbox = self._outboxes.setdefault(id(client), outbox)
                if not self._is_owned:
                    weakref.finalize(self, outbox.release).atexit = False
                safeguard.watch_exit()
                _logging_runs.add(self)
            if client is self._client:
                self._outbox = outbox
            return outbox

    def forget_inherited(self) -> None:
        """In a forked child: logs through a journal of its own, to a run that its parent ends."""
        self._lock = threading.RLock()
        self._outboxes = {}
        self._outbox = None
        self._is_owned = False

    def _receipt(self) -> DeliveryReceipt:
        receipts = [outbox.receipt() for outbox in self._outboxes.values()]
        return DeliveryReceipt(
            accepted=sum(receipt.accepted for receipt in receipts),
            waiting=sum(receipt.waiting for receipt in receipts),
            rejected=sum(receipt.rejected for receipt in receipts),
        )

    def _finished_error(self, call: str) -> RunFinishedError:
        return RunFinishedError(
            f"{call}: run {self.name!r} is finished ({self.status}); start a new one with init"
        )

    def _client_for(self, client: TellurioClient | None) -> TellurioClient:
        return client or self._client or default_client()

    def _path(self) -> tuple[str, str, str]:
        project_slug = self._project_slug or (self.project.slug if self.project else None)
        if self.organization is None or project_slug is None:
            raise ValueError(
                f"run {self.name!r} has no organization or no project, so it cannot be addressed; "
                "use a run that init, runs or get_run gave"
            )
        return self.organization.slug, project_slug, self.uuid


def init(
    namespace_slug: str,
    project_display_name: str,
    name: str | None = None,
    description: str | None = None,
    status: RunStatus | None = RunStatus.RUNNING,
    client: TellurioClient | None = None,
) -> Run:
    """Starts a run and makes it the active one.

    The project is created, with visibility `RESTRICTED`, where it does not exist. A run that is
    still active in this process is ended as `FAILED` first. A run still open when the process ends
    is ended then: as `COMPLETED` after a normal end, as `CRASHED` after an unhandled exception, a
    `sys.exit` with a status that is not zero, or SIGTERM.

    Args:
        namespace_slug: The slug of the organisation or user that owns the project.
        project_display_name: The project's name as people see it.
        name: The run's name; default a random one such as `brave_pasta_123`. A name that exists in
            the project gets a number appended.
        description: What the run is about.
        status: The status to start with; `None` means `RUNNING`.
        client: The client to use; default the environment's.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: A name is empty or too long, the namespace is no slug, or the project's name has
            none.
        NotFoundError: The namespace does not exist.
        InvalidAPIKeyError: The API key is missing or refused.
        ApiError: The backend answered with another error.
        BackendUnreachableError: The backend could not be reached.
        InvalidResponseError: The backend's answer makes no sense.
        DatabaseError: The embedded backend cannot use its database.
    """
    checked_slug("init", "namespace slug", namespace_slug)
    slug = project_slug("init", project_display_name)
    if name is not None:
        checked_name("init", "run name", name)
    if description is not None:
        checked_text("init", "description", description)
    status = RunStatus.RUNNING if status is None else status
    _check_status("init", status)
    if client is None and is_disabled():
        run: Run = _DisabledRun(str(uuid.UUID(int=0)), name or "disabled", description, status)
    else:
        client = client or default_client()
        with safeguard:
            slug = _ensure_project(client, namespace_slug, slug, project_display_name)
            created = client.create_run(
                namespace_slug,
                slug,
                name=name,
                description=description,
                status=status,
                idempotency_key=str(uuid.uuid4()),
            )
        run = Run.from_model(created, "createRun", namespace_slug)
        run.bind(client, slug, owned=True)
        say_orphans()
        tell_started(run, client, namespace_slug, slug)
    superseded = activate(run)
    if superseded is not None:
        superseded.end(RunStatus.FAILED)
    return run


def _ensure_project(
    client: TellurioClient, namespace_slug: str, slug: str, display_name: str
) -> str:
    project = projects.get_project(namespace_slug, slug, client)
    if project is None:
        try:
            project = projects.create_project(namespace_slug, display_name, "RESTRICTED", client)
        except (ConflictError, BadRequestError):
            # Another process may have created it in between; the platform is not known to say so
            # with 409.
            project = projects.get_project(namespace_slug, slug, client)
            if project is None:
                raise
    return project.slug


def log(
    name: str, value: Any, step: int | None = None, client: TellurioClient | None = None
) -> None:
    """Logs one metric to the active run; see `Run.log`.

    Raises:
        ValueError: No run is active.
    """
    get_active_run().log(name, value, step, client)


def finish(
    client: TellurioClient | None = None, status: RunStatus | None = RunStatus.COMPLETED
) -> DeliveryReceipt:
    """Ends the active run; see `Run.finish`.

    Raises:
        ValueError: No run is active.
    """
    return get_active_run().finish(client, status)


def log_metrics(
    metrics: Mapping[str, Any], step: int | None = None, client: TellurioClient | None = None
) -> None:
    """Logs several metrics of one step to the active run; see `Run.log_metrics`.

    Raises:
        ValueError: No run is active.
    """
    get_active_run().log_metrics(metrics, step, client)


def flush(timeout: float | None = None) -> DeliveryReceipt:
    """Waits until the backend has what was logged to the active run; see `Run.flush`.

    Raises:
        ValueError: No run is active.
    """
    return get_active_run().flush(timeout)


def runs(
    namespace_slug: str,
    project: str,
    client: TellurioClient | None = None,
    *,
    status: RunStatus | None = None,
    created_after: dt.datetime | None = None,
    created_before: dt.datetime | None = None,
    limit: int | None = None,
) -> Iterator[Run]:
    """The runs of a project that pass all filters given, newest first.

    The first page is asked for at once, each other when it is needed.

    Args:
        namespace_slug: The slug of the namespace that owns the project.
        project: The project's slug or display name.
        client: The client to use; default the environment's.
        status: Only runs with this status.
        created_after: Only runs created at this time, which has a zone, or later.
        created_before: Only runs created before this time, which has a zone.
        limit: At most so many, the newest; default all.

    Returns:
        An iterator over the runs. It raises as this call does where a later page cannot be had.

    Raises:
        TypeError: A name is no string, the status no `RunStatus`, or a time no `datetime`.
        ValueError: A name is empty, too long or has no slug, a time has no zone, or the limit is
            less than 1.
        NotFoundError: The project does not exist.
        ApiError: The backend answered with another error.
        BackendUnreachableError: The backend could not be reached.
        InvalidResponseError: The backend's answer makes no sense.
    """
    checked_slug("runs", "namespace slug", namespace_slug)
    slug = project_slug("runs", project)
    if status is not None:
        _check_status("runs", status)
    for name, time_given in (("created_after", created_after), ("created_before", created_before)):
        _check_time("runs", name, time_given)
    if limit is not None and limit < 1:
        raise ValueError(f"runs: limit is {limit!r}; give a number from 1")
    if client is None and is_disabled():
        return iter(())
    client = client or default_client()
    pages = client.list_run_pages(
        namespace_slug,
        slug,
        status=status,
        created_after=created_after,
        created_before=created_before,
        limit=limit,
    )

    def passing(models: list[Any]) -> list[Run]:
        # A backend without the filters gives them all, and is not known to keep an order.
        found = [
            run
            for run in (Run.from_model(model, "listRuns", namespace_slug) for model in models)
            if (status is None or run.status == status)
            and _is_between(run.date_created, created_after, created_before)
        ]
        return _newest_first(found, client, slug)

    # Here, so that what is wrong is raised by the call.
    first = passing(next(pages))
    return islice(chain(first, chain.from_iterable(map(passing, pages))), limit)


def get_run(
    namespace_slug: str, project: str, run: str, client: TellurioClient | None = None
) -> Run:
    """Finds a run.

    Args:
        namespace_slug: The slug of the namespace that owns the project.
        project: The project's slug or display name.
        run: The run's UUID or name.
        client: The client to use; default the environment's.

    Raises:
        TypeError: A name is no string.
        ValueError: A name is empty, too long or has no slug.
        NotFoundError: The project does not exist.
        LookupError: The project has no such run; a `NotFoundError` where the backend says so
            itself.
        ApiError: The backend answered with another error.
        BackendUnreachableError: The backend could not be reached.
        InvalidResponseError: The backend's answer makes no sense.
    """
    checked_slug("get_run", "namespace slug", namespace_slug)
    slug = project_slug("get_run", project)
    checked_name("get_run", "run", run)
    if client is None and is_disabled():
        return _DisabledRun(str(uuid.UUID(int=0)), run, None, RunStatus.RUNNING)
    client = client or default_client()
    try:
        run_uuid = str(uuid.UUID(run))
    except ValueError:
        return _named("get_run", client, namespace_slug, slug, run)
    found = Run.from_model(client.get_run(namespace_slug, slug, run_uuid), "getRun", namespace_slug)
    found.bind(client, slug)
    return found


def delete_run(
    namespace_slug: str, project: str, run: str, client: TellurioClient | None = None
) -> None:
    """Deletes a run and its metrics.

    Args:
        namespace_slug: The slug of the namespace that owns the project.
        project: The project's slug or display name.
        run: The run's UUID or name.
        client: The client to use; default the environment's.

    Raises:
        TypeError: A name is no string.
        ValueError: A name is empty, too long or has no slug, or the run is the active one of this
            process.
        NotFoundError: The project does not exist.
        LookupError: The project has no such run; a `NotFoundError` where the backend says so
            itself.
        ApiError: The backend answered with another error.
        BackendUnreachableError: The backend could not be reached.
        DeliveryError: What was logged to the run before could not be delivered.
    """
    checked_slug("delete_run", "namespace slug", namespace_slug)
    slug = project_slug("delete_run", project)
    checked_name("delete_run", "run", run)
    if client is None and is_disabled():
        return
    client = client or default_client()
    try:
        run_uuid = str(uuid.UUID(run))
    except ValueError:
        run_uuid = _named("delete_run", client, namespace_slug, slug, run).uuid
    try:
        active = get_active_run().uuid
    except ValueError:
        active = None
    if active == run_uuid:
        raise ValueError(f"delete_run: run {run!r} is active in this process; finish it first")
    client.delete_run(namespace_slug, slug, run_uuid)


def attach(
    namespace_slug: str, project: str, run: str, client: TellurioClient | None = None
) -> Run:
    """Makes a run that another process started the active one of this process, to log to it.

    The run goes on when this process ends: whoever started it finishes it. So do the ranks of one
    job log to one run.

    Args:
        namespace_slug: The slug of the namespace that owns the project.
        project: The project's slug or display name.
        run: The run's UUID or name.
        client: The client to use; default the environment's.

    Raises:
        TypeError: A name is no string.
        ValueError: A name is empty, too long or has no slug.
        RunFinishedError: The run is finished.
        NotFoundError: The project does not exist.
        LookupError: The project has no such run.
        ApiError: The backend answered with another error.
        BackendUnreachableError: The backend could not be reached.
        InvalidResponseError: The backend's answer makes no sense.
    """
    found = get_run(namespace_slug, project, run, client)
    if found.status in _ENDED:
        raise RunFinishedError(
            f"attach: run {found.name!r} is finished ({found.status}); start a new one with init"
        )
    try:
        active = get_active_run()
    except ValueError:
        pass
    else:
        if active.uuid == found.uuid:
            return active
        active.end(RunStatus.FAILED)
    activate(found)
    return found


def _named(call: str, client: TellurioClient, namespace_slug: str, slug: str, name: str) -> Run:
    named = _runs(client, namespace_slug, slug, name=name)
    if not named:
        raise LookupError(f"{call}: {namespace_slug}/{slug} has no run named {name!r}") from None
    return named[0]


def _runs(client: TellurioClient, namespace_slug: str, slug: str, *, name: str) -> list[Run]:
    found = [
        Run.from_model(model, "listRuns", namespace_slug)
        for model in client.list_runs(namespace_slug, slug, name=name)
    ]
    return _newest_first(found, client, slug)


def _newest_first(found: list[Run], client: TellurioClient, slug: str) -> list[Run]:
    for run in found:
        run.bind(client, slug)
    # The platform is not known to keep an order.
    oldest = dt.datetime.min.replace(tzinfo=dt.UTC)
    return sorted(found, key=lambda run: run.date_created or oldest, reverse=True)


def _check_time(call: str, name: str, given: Any) -> None:
    if given is not None and not isinstance(given, dt.datetime):
        raise TypeError(f"{call}: {name} is {given!r}; give a datetime")
    if given is not None and given.tzinfo is None:
        raise ValueError(
            f"{call}: {name} is {given.isoformat()}, which has no zone; "
            "give one, with .astimezone() for this machine's"
        )


def _is_between(
    created: dt.datetime | None, earliest: dt.datetime | None, end: dt.datetime | None
) -> bool:
    if created is None:
        return earliest is None and end is None
    return (earliest is None or created >= earliest) and (end is None or created < end)


def _last_of_ranges(history: MetricHistory, buckets: int) -> list[tuple[int, Any]]:
    """The last value in each of at most so many ranges of steps, as `sampleMetric` has them."""
    if not history.steps:
        return []
    first, last = history.steps[0], history.steps[-1]
    width = 1
    while last // width - first // width >= buckets:
        width *= 2
    points = zip(history.steps, history.values, strict=True)
    return list({step // width: (step, value) for step, value in points}.values())


def _check_status(call: str, status: Any) -> None:
    if not isinstance(status, RunStatus) or status not in RunStatus.__members__:
        allowed = ", ".join(f"RunStatus.{member}" for member in RunStatus)
        raise TypeError(f"{call}: status is {status!r}; give one of {allowed}")


Run.__module__ = "afnio_tellurio"


class _DisabledRun(Run):
    """What `init` gives when `TELLURIO_MODE` is `disabled`: every call does nothing."""

    def log(
        self, name: str, value: Any, step: int | None = None, client: TellurioClient | None = None
    ) -> None:
        pass

    def log_metrics(
        self,
        metrics: Mapping[str, Any],
        step: int | None = None,
        client: TellurioClient | None = None,
    ) -> None:
        pass

    def finish(
        self,
        client: TellurioClient | None = None,  # noqa: ARG002
        status: RunStatus | None = RunStatus.COMPLETED,
    ) -> DeliveryReceipt:
        self.end(RunStatus.COMPLETED if status is None else status)
        return self._receipt()

    def end(self, status: RunStatus) -> None:
        if self.status not in _ENDED:
            self.status = status
        deactivate(self)

    def _change(
        self,
        name: str | None,
        description: str | None,
        client: TellurioClient | None,  # noqa: ARG002
    ) -> None:
        self.name = name or self.name
        self.description = self.description if description is None else description

    def metrics(self, name: str | None = None, client: TellurioClient | None = None) -> Any:  # noqa: ARG002
        return {} if name is None else MetricHistory(name, [], [], [])

    def summary(self, client: TellurioClient | None = None) -> dict[str, MetricSummary]:  # noqa: ARG002
        return {}

    def curve(
        self,
        name: str,  # noqa: ARG002
        buckets: int = 1000,  # noqa: ARG002
        client: TellurioClient | None = None,  # noqa: ARG002
    ) -> tuple[list[int], list[float]]:
        return [], []


def place_of(run: Run, client: TellurioClient | None) -> tuple[TellurioClient, str, str] | None:
    """The client that reads a run, and its namespace and project; `None` if it is disabled."""
    if isinstance(run, _DisabledRun):
        return None
    where = run._path()[:2]  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    return (run._client_for(client), *where)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


_logging_runs: weakref.WeakSet[Run] = weakref.WeakSet()
# Names that were found good, so that a metric's second value costs no check.
_checked_names: set[str] = set()


def _check_metric_name(call: str, name: Any) -> None:
    checked = checked_name(call, "metric name", name)
    if len(_checked_names) < MAX_REMEMBERED_NAMES:
        _checked_names.add(str(checked))


def _forget_in_child() -> None:
    for run in list(_logging_runs):
        run.forget_inherited()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)


T = TypeVar("T")


async def _in_daemon_thread(work: Callable[[], T]) -> T:
    """Runs blocking work beside the event loop.

    Not in the loop's own pool: the interpreter joins its threads at exit, however long they take.
    """
    import asyncio  # it is there already where this runs, and takes 30 ms elsewhere

    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        outcome: tuple[T | None, BaseException | None]
        try:
            outcome = work(), None
        except BaseException as error:  # noqa: BLE001 - it is raised again where it is awaited
            outcome = None, error
        # The loop may be closed: then nobody waits any more.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, *outcome)

    threading.Thread(target=run, name="tellurio-await", daemon=True).start()
    return await done
