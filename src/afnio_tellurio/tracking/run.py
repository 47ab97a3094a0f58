"""The run: a handle to log to, finish and read back one execution."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Self, overload

import attrs

from afnio_tellurio.api import operations
from afnio_tellurio.api.answers import is_finite_number
from afnio_tellurio.api.entities import RunRecord, RunStatus
from afnio_tellurio.api.metrics import (
    MetricHistory,
    MetricPoint,
    MetricSummary,
    last_of_ranges,
    read_histories,
    read_history,
    read_points,
    read_summary,
    summarize,
)
from afnio_tellurio.api.operations import RunPath
from afnio_tellurio.client import TellurioClient, connection_of
from afnio_tellurio.clock import monotonic
from afnio_tellurio.deadlines import seconds_left, within
from afnio_tellurio.default_client import default_client
from afnio_tellurio.delivery.journal import JournalSealedError
from afnio_tellurio.delivery.outbox import DeliveryReceipt
from afnio_tellurio.delivery.recording import Recording
from afnio_tellurio.delivery.senders import settle
from afnio_tellurio.errors import RunFinishedError
from afnio_tellurio.interruptions import foreign_cause, raise_foreign
from afnio_tellurio.notices import warn
from afnio_tellurio.settings.limits import BATCH_METRICS, MAX_REMEMBERED_NAMES, MAX_STEP
from afnio_tellurio.tracking.announcements import render_run
from afnio_tellurio.tracking.awaiting import run_in_thread
from afnio_tellurio.tracking.changing import change_run
from afnio_tellurio.tracking.ending import end_run, finish_run, leave_end
from afnio_tellurio.tracking.safeguard import deactivate, safeguard, status_after
from afnio_tellurio.tracking.statuses import ENDED, checked_status
from afnio_tellurio.validation import (
    accept_missing_value,
    check_size,
    checked_buckets,
    checked_name,
    checked_step,
    checked_text,
    encoded_value,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

    from afnio_tellurio.api.connection import Connection
    from afnio_tellurio.delivery.outbox import Outbox


@attrs.define(eq=False, slots=False)
class Run(RunRecord):
    """One execution of an agent, a workflow or an experiment.

    Threads may share it. As a context manager (`with` or `async with`) it ends as `COMPLETED`, or
    as `CRASHED` if the block raises; the block's exception always reaches the caller.

    Attributes:
        uuid: The run's UUID.
        name: The run's name, unique in its project.
        description: A description, or `None`.
        status: The status.
        date_created: When it was created, with time zone.
        date_updated: When its status, name or description was last changed, with time zone.
        organization: The namespace that owns its project.
        extra: The fields of a backend that is newer than this SDK, by name.
        project: Its project.
        user: The user who created it.
    """

    _client: TellurioClient | None = attrs.field(init=False, repr=False, default=None)
    # As the caller passed it: an answer need not repeat it.
    _project_slug: str | None = attrs.field(init=False, repr=False, default=None)
    _recording: Recording | None = attrs.field(init=False, repr=False, default=None)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: dict[int, Any]) -> Self:
        # A trainer that is copied logs to the same run.
        return self

    def __getstate__(self) -> dict[str, Any]:
        if self._client is None:
            return vars(self)
        path = self._path()
        raise TypeError(
            f"run {self.name!r} cannot be pickled; in the other process, use "
            f"te.attach({path.namespace_slug!r}, {path.project_slug!r}, {self.name!r})"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            problem = self._end(status_after(error))
        except KeyboardInterrupt:
            # Ctrl-C interrupts the waiting only; the program goes on.
            return
        except Exception as interruption:  # reported: the block's own exception goes on
            if error is None:
                raise
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
        await run_in_thread(lambda: self.__exit__(kind, error, traceback))

    def log(
        self, name: str, value: Any, step: int | None = None, client: TellurioClient | None = None
    ) -> None:
        """Logs one metric. When it returns, the metric is in a file; a thread delivers it.

        Args:
            name: The metric's name, 1 to 255 characters. The part before a `/` groups it with
                others.
            value: Any value of JSON of up to 8,000,000 bytes, NaN or an infinity. A NumPy scalar,
                or a tensor without dimensions, is converted to a Python number.
            step: The step, 0 or more; default the greatest of this metric plus one. Steps may come
                in any order, and equal ones are all kept.
            client: The client to use; default the one that the run was started with.

        Raises:
            TypeError: The name is not a string, the step not an integer, or the value not JSON.
            ValueError: The name is empty or too long, the step out of range, or the value is too
                large or cannot be stored unchanged.
            RunFinishedError: The run is finished.
        """
        # The common case first, and without a call: this runs in the innermost loop of users.
        if name.__class__ is not str or name not in _checked_names:
            name = _checked_metric_name("log", name)
        if step is not None and not (step.__class__ is int and 0 <= step <= MAX_STEP):
            step = checked_step(step)
        kind = value.__class__
        if kind is float:
            if value - value != 0.0:
                value = encoded_value(value)
        elif not (kind is int and -MAX_STEP <= value <= MAX_STEP):
            value = encoded_value(value)
            check_size("log", name, value)
        if self.status in ENDED:
            raise self._finished_error("log")
        recording = self._recording
        outbox = recording.outbox if recording is not None and client is None else None
        if outbox is None:
            outbox = self._outbox_for(client)
        try:
            outbox.append(step, name, value)
        except JournalSealedError:
            raise self._finished_error("log") from None
        if outbox.waker.is_idle:
            outbox.waker.wake()

    def log_metrics(
        self,
        metrics: Mapping[str, Any],
        step: int | None = None,
        client: TellurioClient | None = None,
    ) -> None:
        """Logs several metrics of one step at once.

        Args:
            metrics: The values by metric name; see `log`.
            step: The step of all of them, 0 or more; default the greatest of each metric plus one.
            client: The client to use; default the one that the run was started with.

        Raises:
            TypeError: As with `log`; nothing is recorded then.
            ValueError: As with `log`; nothing is recorded then.
            RunFinishedError: The run is finished.
        """
        step = checked_step(step)
        pairs: list[tuple[str, Any]] = []
        for name, value in metrics.items():
            pairs.append((_checked_metric_name("log_metrics", name), encoded_value(value)))
            check_size("log_metrics", *pairs[-1])
        if self.status in ENDED:
            raise self._finished_error("log_metrics")
        recording = self._recording
        outbox = recording.outbox if recording is not None and client is None else None
        if outbox is None:
            outbox = self._outbox_for(client)
        try:
            for start in range(0, len(pairs), BATCH_METRICS):
                outbox.append_all(step, pairs[start : start + BATCH_METRICS])
        except JournalSealedError:
            raise self._finished_error("log_metrics") from None
        if outbox.waker.is_idle:
            outbox.waker.wake()

    def _outbox_for(self, client: TellurioClient | None) -> Outbox:
        safeguard.watch_exit()
        return self._record().open_outbox(None if client is None else connection_of(client))

    def _record(self) -> Recording:
        recording = self._recording
        if recording is None:
            recording = Recording(
                self._connection_for(None), self._path(), run_name=self.name, owns_run=False
            )
            # Another thread, or a signal handler that logs, may have been here meanwhile.
            recording = self.__dict__.setdefault("_first_recording", recording)
            self._recording = recording
        return recording

    @property
    def url(self) -> str | None:
        """The address of the run's page, or `None` if it has none: `serve` is not running."""
        path = self._path()
        return self._client_for(None).web_address(
            path.namespace_slug, path.project_slug, self.uuid, self.name
        )

    def _repr_html_(self) -> str:
        return render_run(self, None if self.project is None else self.url)

    def flush(self, timeout: float | None = None) -> DeliveryReceipt:
        """Waits until the backend has everything that this process logged to the run.

        Args:
            timeout: The seconds to wait at most; default without limit.

        Returns:
            The number of accepted and rejected metrics.

        Raises:
            ValueError: The timeout is negative or NaN.
            DeliveryError: The metrics were not delivered in that time, or delivery has stopped.
        """
        if timeout is not None and not timeout >= 0:
            raise ValueError(f"flush: timeout is {timeout!r}; it must be 0 or more")
        deadline = None if timeout is None else monotonic() + timeout
        if self._recording is not None:
            self._recording.require("flush", deadline)
        return self._receipt()

    async def aflush(self, timeout: float | None = None) -> DeliveryReceipt:  # noqa: ASYNC109
        """Does what `flush` does, without blocking the event loop."""
        return await run_in_thread(lambda: self.flush(timeout))

    def finish(
        self,
        client: TellurioClient | None = None,
        status: RunStatus | str | None = RunStatus.COMPLETED,
    ) -> DeliveryReceipt:
        """Delivers the logged metrics, then ends the run. Calling it again does nothing.

        It waits up to `TELLURIO_EXIT_TIMEOUT` seconds, 30 by default.

        Args:
            client: The client to use; default the one that the run was started with.
            status: How the run ended, a `RunStatus` or its word; `None` means `COMPLETED`.

        Returns:
            The number of accepted and rejected metrics.

        Raises:
            TypeError: The status is not a string.
            ValueError: There is no such status, or a run cannot end with it.
            DeliveryError: The backend could not be told. The run is still open, its metrics stay on
                the disk, and `finish` can be called again.
        """
        status = RunStatus.COMPLETED if status is None else checked_status("finish", status)
        if status not in ENDED:
            raise ValueError(f"finish: status is {status}; it must be COMPLETED, CRASHED or FAILED")
        recording, deadline = self._record(), self._deadline()
        with recording.held_for_end(deadline), within(deadline):
            if self.status not in ENDED:
                finish_run(self, recording, self._client_for(client), status, deadline)
            else:
                # The call that ended it may have been interrupted, or ran out of time.
                undelivered = recording.find_undelivered(deadline)
                if undelivered is not None:
                    raise undelivered.problem("finish")
                recording.close()
            deactivate(self)
        return self._receipt()

    async def afinish(
        self,
        client: TellurioClient | None = None,
        status: RunStatus | str | None = RunStatus.COMPLETED,
    ) -> DeliveryReceipt:
        """Does what `finish` does, without blocking the event loop."""
        return await run_in_thread(lambda: self.finish(client, status))

    def _end(self, status: RunStatus) -> str | None:
        """Ends the run without ever raising, as the end of a block or of the process must.

        A run that this process only logs to is not ended; its metrics are delivered.

        Returns:
            The problem, if there was one; it has been reported already.

        Raises:
            BaseException: Ctrl-C, or what a signal handler of the application raised meanwhile; the
                end of the run is left to the sender, or to a later process.
        """
        if self.status in ENDED:
            deactivate(self)
            return None
        try:
            deadline, recording = self._deadline(), self._record()
            # Another thread may be ending it, with another status: the first one counts.
            with within(deadline), recording.held_for_end(deadline):
                if self._has_ended():
                    return None
                problem = end_run(self, recording, self._client_for(None), status, deadline)
        except Exception as error:  # noqa: BLE001
            if foreign_cause(error) is not None:
                self._leave_end(status)
                raise_foreign(error)
            # No error of ours may take the place of the application's own exception.
            problem = f"run {self.name!r} could not be ended as {status}: {error}"
        except BaseException:  # raised again, once the end is left to a later moment
            self._leave_end(status)
            raise
        finally:
            deactivate(self)
        if problem is not None:
            warn(problem)
        return problem

    def _has_ended(self) -> bool:
        return self.status in ENDED

    def _leave_end(self, status: RunStatus) -> None:
        if self.status not in ENDED:
            warn(leave_end(self, self._record(), status))

    @overload
    def metrics(self, name: str, client: TellurioClient | None = None) -> MetricHistory: ...

    @overload
    def metrics(
        self, name: None = None, client: TellurioClient | None = None
    ) -> dict[str, MetricHistory]: ...

    def metrics(
        self, name: str | None = None, client: TellurioClient | None = None
    ) -> MetricHistory | dict[str, MetricHistory]:
        """Reads back the logged values.

        Args:
            name: The metric's name; default all metrics.
            client: The client to use; default the one that the run was started with.

        Returns:
            The history of that metric, empty if nothing was logged under that name; or, without a
            name, the history of each metric by its name.

        Raises:
            TypeError: The name is not a string.
            ValueError: The name is empty or too long.
            TellurioError: The request failed.
        """
        if name is not None:
            name = checked_name("metrics", "metric name", name)
        connection = self._settled("listMetrics", client)
        pages = operations.list_metrics(connection, self._path(), name=name)
        metrics = chain.from_iterable(pages)
        return read_histories(metrics) if name is None else read_history(name, metrics)

    @overload
    async def ametrics(self, name: str, client: TellurioClient | None = None) -> MetricHistory: ...

    @overload
    async def ametrics(
        self, name: None = None, client: TellurioClient | None = None
    ) -> dict[str, MetricHistory]: ...

    async def ametrics(
        self, name: str | None = None, client: TellurioClient | None = None
    ) -> MetricHistory | dict[str, MetricHistory]:
        """Does what `metrics` does, without blocking the event loop."""
        return await run_in_thread(lambda: self.metrics(name, client))

    def iter_metrics(
        self, name: str | None = None, client: TellurioClient | None = None
    ) -> Iterator[MetricPoint]:
        """Reads back the logged values one by one, for runs that are too large for the memory.

        The first page is requested at once, each further one when it is needed.

        Args:
            name: The metric's name; default all metrics.
            client: The client to use; default the one that the run was started with.

        Returns:
            An iterator over the values, in the order in which the backend recorded them.

        Raises:
            TypeError: The name is not a string.
            ValueError: The name is empty or too long.
            TellurioError: The request failed; the iterator raises it for further pages.
        """
        if name is not None:
            name = checked_name("iter_metrics", "metric name", name)
        connection = self._settled("listMetrics", client)
        pages = operations.list_metrics(connection, self._path(), name=name)
        # Here, so that the call itself raises.
        return read_points([next(pages)], pages)

    def summary(self, client: TellurioClient | None = None) -> dict[str, MetricSummary]:
        """Reads back a summary of each metric.

        Args:
            client: The client to use; default the one that the run was started with.

        Returns:
            The summary of each metric, by its name.

        Raises:
            TellurioError: The request failed.
        """
        connection = self._settled("summarizeMetrics", client)
        summaries = operations.summarize_metrics(connection, self._path())
        if summaries is None:
            histories = self.metrics(client=client)
            return {name: summarize(history) for name, history in histories.items()}
        return {name: read_summary(summaries[name]) for name in sorted(summaries)}

    def curve(
        self, name: str, buckets: int = 1000, client: TellurioClient | None = None
    ) -> tuple[list[int], list[float]]:
        """Reads back one numeric metric as a line to draw, however many values it has.

        Args:
            name: The metric's name.
            buckets: The maximum number of points, 1 to 10,000. Each is the last value in a range of
                steps; the width of the ranges is a power of two.
            client: The client to use; default the one that the run was started with.

        Returns:
            Steps and values, in step order, without values that are not finite numbers.

        Raises:
            ValueError: `buckets` is not a number from 1 to 10,000.
            TellurioError: The request failed.
        """
        checked_buckets("curve", buckets)
        connection = self._settled("sampleMetric", client)
        sampled = operations.sample_metric(connection, self._path(), name=name, buckets=buckets)
        if sampled is None:
            points = last_of_ranges(self.metrics(name, client), buckets)
        else:
            points = [(bucket.last_step, bucket.last) for bucket in sampled]
        drawable = [(step, value) for step, value in points if is_finite_number(value)]
        return [step for step, _ in drawable], [float(value) for _, value in drawable]

    def update(
        self,
        name: str | None = None,
        description: str | None = None,
        client: TellurioClient | None = None,
        *,
        if_unchanged: bool = False,
    ) -> None:
        """Renames or describes the run, which may be finished.

        Args:
            name: The new name; default unchanged. A number is appended if another run of the
                project has the name.
            description: The new description; default unchanged.
            client: The client to use; default the one that the run was started with.
            if_unchanged: Whether to refuse the update if the status, name, or description of the
                run was changed since this object had its last answer from the backend.

        Raises:
            TypeError: The name or the description is not a string.
            ValueError: Neither is passed, or the name is empty or too long.
            NotFoundError: The run does not exist.
            RunChangedError: The run was changed, and `if_unchanged` is true. Nothing was updated,
                unless the message says otherwise; read the run again with `get_run`, and update
                that.
            InvalidResponseError: The backend ignored a change: not every backend supports them.
            TellurioError: The request failed; or `if_unchanged` is true, and the backend does not
                support it: then nothing was sent.
        """
        if name is None and description is None:
            raise ValueError("update: nothing to change; pass name or description")
        if name is not None:
            name = checked_name("update", "run name", name)
        if description is not None:
            description = checked_text("update", "description", description)
        self._change(name, description, client, if_unchanged=if_unchanged)

    def _change(
        self,
        name: str | None,
        description: str | None,
        client: TellurioClient | None,
        *,
        if_unchanged: bool,
    ) -> None:
        change_run(
            self,
            self._connection_for(client),
            self._path(),
            name=name,
            description=description,
            if_unchanged=if_unchanged,
        )

    def _bind(
        self, client: TellurioClient, project_slug: str, recording: Recording | None = None
    ) -> None:
        """Sets where the run came from, and the recording if it ends with this process."""
        self._client = client
        self._project_slug = project_slug
        if recording is not None:
            safeguard.watch_exit()
            self._recording = recording

    def _receipt(self) -> DeliveryReceipt:
        return DeliveryReceipt(0, 0, 0) if self._recording is None else self._recording.receipt()

    def _finished_error(self, call: str) -> RunFinishedError:
        state = f"is finished ({self.status})" if self.status in ENDED else "is being finished"
        return RunFinishedError(f"{call}: run {self.name!r} {state}; start a new one with init")

    def _client_for(self, client: TellurioClient | None) -> TellurioClient:
        return client or self._client or default_client()

    def _connection_for(self, client: TellurioClient | None) -> Connection:
        return connection_of(self._client_for(client))

    def _settled(self, operation: str, client: TellurioClient | None) -> Connection:
        """The connection to read from, once it has what was logged to the run."""
        connection = self._connection_for(client)
        settle(connection, operation, self.uuid)
        return connection

    def _deadline(self) -> float:
        timeout = self._connection_for(None).settings.exit_timeout
        # The end of the process has one deadline for all runs.
        return monotonic() + seconds_left(timeout)

    def _path(self) -> RunPath:
        project_slug = self._project_slug or (self.project.slug if self.project else None)
        if self.organization is None or project_slug is None:
            raise ValueError(
                f"run {self.name!r} has no organization or no project, so it cannot be addressed; "
                "use a run from init, runs or get_run"
            )
        return RunPath(self.organization.slug, project_slug, self.uuid)


Run.__module__ = "afnio_tellurio"


accept_missing_value(Run.log)

# Names that are valid, so that a metric's second value costs no check.
_checked_names: set[str] = set()


def _checked_metric_name(call: str, name: Any) -> str:
    checked = checked_name(call, "metric name", name)
    if len(_checked_names) < MAX_REMEMBERED_NAMES:
        _checked_names.add(checked)
    return checked


def bind_run(
    run: Run, client: TellurioClient, project_slug: str, recording: Recording | None = None
) -> None:
    """Binds a run to the client that it was found with, and to its recording if it has one."""
    run._bind(client, project_slug, recording)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


def source_of(run: Run, client: TellurioClient | None) -> tuple[Connection, RunPath]:
    """The connection to read a run from, and the run's path."""
    return run._connection_for(client), run._path()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
