"""The run: a handle to log to, finish and read back one execution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import attrs

from afnio_tellurio.api.entities import RunStatus
from afnio_tellurio.client import TellurioClient, connection_of
from afnio_tellurio.clock import monotonic
from afnio_tellurio.deadlines import seconds_left, within
from afnio_tellurio.delivery.journal_appending import JournalSealedError
from afnio_tellurio.delivery.outbox import DeliveryReceipt
from afnio_tellurio.delivery.recording import Recording
from afnio_tellurio.errors import RunFinishedError
from afnio_tellurio.interruptions import foreign_cause, raise_foreign
from afnio_tellurio.notices import warn
from afnio_tellurio.settings.limits import MAX_REMEMBERED_NAMES, MAX_STEP, OBJECT_BATCH_METRICS
from afnio_tellurio.tracking.announcements import render_run
from afnio_tellurio.tracking.awaiting import run_in_thread
from afnio_tellurio.tracking.capturing import start_capture
from afnio_tellurio.tracking.ending import end_now, end_run, finish_run, leave_end, requested_end
from afnio_tellurio.tracking.rows import checked_key, checked_rows
from afnio_tellurio.tracking.run_artifacts import RunWithArtifacts
from afnio_tellurio.tracking.safeguard import deactivate, outcome_of, safeguard
from afnio_tellurio.tracking.statuses import ENDED
from afnio_tellurio.validation import (
    accept_missing_value,
    check_size,
    checked_name,
    checked_step,
    encoded_value,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import TracebackType

    from afnio_tellurio.delivery.outbox import Outbox
    from afnio_tellurio.delivery.records import End
    from afnio_tellurio.tracking.recorders import Recorder


@attrs.define(eq=False, slots=False)
class Run(RunWithArtifacts):
    """One execution of an agent, a workflow or an experiment.

    Threads may share it. As a context manager (`with` or `async with`) it ends as `COMPLETED`, or
    as `CRASHED` if the block raises; the block's exception always reaches the caller.

    Attributes:
        uuid: The run's UUID.
        name: The run's name, unique in its project.
        description: A description, or `None`.
        status: The status.
        date_created: When it was created, with time zone.
        date_updated: When the run itself was last changed, with time zone.
        date_ended: When it ended, with time zone; `None` while it runs.
        ended_because: Why it ended, if that is known, else `None`.
        config: What it is configured with, to read; `update_config` changes it.
        tags: Its tags, sorted; `tag` changes them.
        group: The group that it belongs to, or `None`.
        job_type: What it does within its group, or `None`.
        notes: Notes, or `None`.
        parent_uuid: The UUID of the run that it is a part of, or `None`.
        environment: Where it came from: its arguments, Python, packages, host, git commit, and
            more. `None` if that is unknown, or if the run is from a list.
        organization: The namespace that owns its project.
        extra: The fields of a backend that is newer than this SDK, by name.
        project: Its project.
        user: The user who created it.
    """

    _recording: Recording | None = attrs.field(init=False, repr=False, default=None)
    _wait_for_capture: Callable[[], None] | None = attrs.field(init=False, repr=False, default=None)
    _recorders: Sequence[Recorder] = attrs.field(init=False, repr=False, default=())
    # What a coroutine decided, before a thread of its own ends the run.
    _chosen_end: End | None = attrs.field(init=False, repr=False, default=None)

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
            problem = self._end(*outcome_of(error))
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
        # If it is canceled, the process may end before the thread starts.
        self._chosen_end = end_now(*outcome_of(error))
        await run_in_thread(lambda: self.__exit__(kind, error, traceback), is_shielded=True)

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
        self._append_all("log_metrics", step, pairs, client)

    def log_rows(
        self,
        name: str,
        rows: Iterable[Mapping[str, Any]],
        key: str | None = None,
        client: TellurioClient | None = None,
    ) -> None:
        """Appends rows to a table of the run, as safely as metrics.

        Tables and metrics may have the same names. Several processes may log to one table.

        Args:
            name: The table's name, 1 to 255 characters.
            rows: The rows, each a mapping from the names of fields to values of JSON, of up to
                8,000,000 bytes. Rows may have different fields.
            key: The field that identifies a row, 1 to 255 characters; each row must have it. When
                the table is read, a row replaces an earlier one with the same value. Default the
                key that the table already has, if any.
            client: The client to use; default the one that the run was started with.

        Raises:
            TypeError: The name is not a string, a row not a mapping, or a value not JSON; nothing
                is recorded then.
            ValueError: The name or key is empty or too long, or a row lacks the key, is too large
                or cannot be stored unchanged; nothing is recorded then.
            RunFinishedError: The run is finished.
        """
        name = checked_name("log_rows", "table name", name)
        key = checked_key("log_rows", key)
        pairs = [(name, row) for row in checked_rows("log_rows", name, rows, key)]
        self._append_all("log_rows", [] if key is None else [key], pairs, client)

    def _append_all(
        self,
        call: str,
        place: int | list[str] | None,
        pairs: Sequence[tuple[str, Any]],
        client: TellurioClient | None,
    ) -> None:
        if self.status in ENDED:
            raise self._finished_error(call)
        recording = self._recording
        outbox = recording.outbox if recording is not None and client is None else None
        if outbox is None:
            outbox = self._outbox_for(client)
        try:
            for start in range(0, len(pairs), OBJECT_BATCH_METRICS):
                outbox.append_all(place, pairs[start : start + OBJECT_BATCH_METRICS])
        except JournalSealedError:
            raise self._finished_error(call) from None
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
        return self._finish(client, requested_end(status))

    def _finish(self, client: TellurioClient | None, end: End) -> DeliveryReceipt:
        recording, deadline = self._record(), self._deadline()
        with recording.held_for_end(deadline), within(deadline):
            if self.status not in ENDED:
                self._settle_capture()
                try:
                    finish_run(self, recording, self._client_for(client), end, deadline)
                finally:
                    if not self._has_ended():
                        self._chosen_end = None
                        self._start_recorders(self._recorders)
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
        self._chosen_end = end = requested_end(status)
        return await run_in_thread(lambda: self._finish(client, end))

    def _end(self, status: RunStatus, because: Mapping[str, Any] | None = None) -> str | None:
        """Ends the run without ever raising, as the end of a block or of the process must.

        A run that this process only logs to is not ended; its metrics are delivered.

        Args:
            status: The final status.
            because: Why it ended, as `EndReason` of the contract, or None.

        Returns:
            The problem, if there was one; it has been reported already.

        Raises:
            BaseException: Ctrl-C, or what a signal handler of the application raised meanwhile; the
                end of the run is left to the sender, or to a later process.
        """
        if self.status in ENDED:
            deactivate(self)
            return None
        end = self._chosen_end or end_now(status, because)
        try:
            deadline, recording = self._deadline(), self._record()
            # Another thread may be ending it, with another status: the first one counts.
            with within(deadline), recording.held_for_end(deadline):
                if self._has_ended():
                    return None
                self._settle_capture()
                problem = end_run(self, recording, self._client_for(None), end, deadline)
        except Exception as error:  # noqa: BLE001
            if foreign_cause(error) is not None:
                self._leave_end(end)
                raise_foreign(error)
            # No error of ours may take the place of the application's own exception.
            problem = f"run {self.name!r} could not be ended as {status}: {error}"
        except BaseException:  # raised again, once the end is left to a later moment
            self._leave_end(end)
            raise
        finally:
            deactivate(self)
        if problem is not None:
            warn(problem)
        return problem

    def _capture(self) -> None:
        """Records where the run comes from, unless the user does not want that."""
        settings = self._settings(None)
        if settings.capture:
            self._wait_for_capture = start_capture(self._record_environment, redact=settings.redact)

    def _record_environment(self, environment: dict[str, Any]) -> None:
        self._change_details("init", {"environment": environment}, None)
        self.environment = environment

    def _start_recorders(self, recorders: Sequence[Recorder]) -> None:
        self._recorders = recorders
        for recorder in recorders:
            recorder.start()

    def _stop_recorders(self) -> None:
        for recorder in self._recorders:
            recorder.stop()

    def _settle_capture(self) -> None:
        self._stop_recorders()
        wait, self._wait_for_capture = self._wait_for_capture, None
        if wait is not None:
            wait()

    def _has_ended(self) -> bool:
        return self.status in ENDED

    def _leave_end(self, end: End) -> None:
        if self.status not in ENDED:
            warn(leave_end(self, self._record(), self._chosen_end or end))
        self._stop_recorders()

    def _append_change(
        self, call: str, fields: Mapping[str, Any], client: TellurioClient | None
    ) -> None:
        outbox = self._outbox_for(client)
        try:
            outbox.append_change(fields)
        except JournalSealedError:
            raise self._finished_error(call) from None
        if outbox.waker.is_idle:
            outbox.waker.wake()

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
        remedy = "start a new one with init"
        if safeguard.is_ending:
            remedy = "the process is exiting: register an exit hook that logs after init"
        return RunFinishedError(f"{call}: run {self.name!r} {state}; {remedy}")

    def _deadline(self) -> float:
        timeout = self._connection_for(None).settings.exit_timeout
        # The end of the process has one deadline for all runs.
        return monotonic() + seconds_left(timeout)


Run.__module__ = "afnio_tellurio"


accept_missing_value(Run.log)

# Names that are valid, so that a metric's second value costs no check.
_checked_names: set[str] = set()


def _checked_metric_name(call: str, name: Any) -> str:
    checked = checked_name(call, "metric name", name)
    if len(_checked_names) < MAX_REMEMBERED_NAMES:
        _checked_names.add(checked)
    return checked


def capture_environment(run: Run) -> None:
    """Records where a run comes from, in a thread."""
    run._capture()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


def start_recorders(run: Run, recorders: Sequence[Recorder]) -> None:
    """Starts what records beside the program until the run ends."""
    run._start_recorders(recorders)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


def bind_run(
    run: Run, client: TellurioClient, project_slug: str, recording: Recording | None = None
) -> None:
    """Binds a run to the client that it was found with, and to its recording if it has one."""
    run._bind(client, project_slug, recording)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
