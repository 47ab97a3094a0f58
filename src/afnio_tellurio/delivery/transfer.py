"""The delivery of one journal to its backend: batches, rejections, failures and retries."""

from __future__ import annotations

import datetime as dt
import random
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from afnio_tellurio.api import operations
from afnio_tellurio.api.calling import LACKING, RunPath
from afnio_tellurio.api.details import named_details, warn_of_ignored_details
from afnio_tellurio.api.entities import read_etag
from afnio_tellurio.api.metric_batches import LoggedMetrics, log_metric, log_metric_batch
from afnio_tellurio.api.retries import retry_after
from afnio_tellurio.artifacts.opening import ChangedFileError
from afnio_tellurio.clock import monotonic
from afnio_tellurio.delivery.file_transfer import FileTransfer, files_folder
from afnio_tellurio.delivery.records import (
    BACKSLASHES_FORMAT,
    UPLOAD,
    Batch,
    Change,
    End,
    Metrics,
    datetime_of,
    writer_of,
)
from afnio_tellurio.delivery.restoring import restore_run
from afnio_tellurio.errors import (
    ApiError,
    BadRequestError,
    ConflictError,
    InvalidAPIKeyError,
    InvalidResponseError,
    NotFoundError,
    PayloadTooLargeError,
    PermissionDeniedError,
    TellurioError,
    counted_metrics,
    is_gone,
    never_had_run,
)
from afnio_tellurio.interruptions import ignored, raise_foreign
from afnio_tellurio.notices import warn
from afnio_tellurio.settings.limits import (
    BATCH_METRICS,
    FIRST_RETRY_DELAY,
    MAX_RETRY_DELAY,
    OBJECT_BATCH_METRICS,
    REFUSALS_IN_A_ROW,
)
from afnio_tellurio.special_numbers import add_backslashes

if TYPE_CHECKING:
    from afnio_tellurio.api.connection import Connection
    from afnio_tellurio.delivery.journal_file import JournalFile

_NUMBER_STARTS = frozenset(b"%c" % digit for digit in b"-0123456789")
#: Errors that concern the whole run, not one request: retrying is useless.
_FINAL_ERRORS = (InvalidAPIKeyError, PermissionDeniedError, NotFoundError)


class RecordedEnd(NamedTuple):
    """The end of a run, recorded by its backend.

    Attributes:
        time: When it was recorded, with a time zone.
        etag: The ETag of the run since then, or None.
    """

    time: dt.datetime
    etag: str | None


class Transfer:
    """Delivers one journal to its backend, batch by batch.

    Attributes:
        stopped: The error that stopped it, or None.
        rejected: The number of metrics that the backend rejected.
        ended: The end of the run as the backend recorded it, or None.
        last_error: Why the last attempt failed, or None.
        holding: Why it holds, or None: the backend refuses everything, or the end of the run. It is
            tried again with growing pauses, for which nobody waits.
        has_restored: Whether the run was created again because the backend had lost it.
        not_before: When the next attempt is due, on the monotonic clock.
    """

    def __init__(self, connection: Connection, journal: JournalFile) -> None:
        self.connection = connection
        self.journal = journal
        self.stopped: TellurioError | None = None
        self.rejected = 0
        self.ended: RecordedEnd | None = None
        self.last_error: TellurioError | None = None
        self.holding: str | None = None
        self.not_before = 0.0
        self._asked_until = 0.0
        self._failures = 0
        self._limit = BATCH_METRICS
        # How many metrics to send one by one before the next batch: at first, and still.
        self._singles = 0
        self._singles_left = 0
        # Metrics that the backend refused one after another, and one that it accepted before.
        self._refusals = 0
        self._accepted: Batch | None = None
        # The start of a segment that the backend cannot have as a part of the one before.
        self._confirmed_segment: int | None = None
        self._has_rewound = False
        self.has_restored = False
        self.is_gone = False
        self._is_restored = False
        header = journal.header
        self._path = RunPath(header.namespace_slug, header.project_slug, header.run_uuid)
        self.files = FileTransfer(connection, self._path, journal.path)

    @property
    def batch_limit(self) -> int:
        """How many metrics the next batch may have."""
        knows_columns = self.connection.for_delivery.knows_columns
        return min(self._limit, BATCH_METRICS if knows_columns else OBJECT_BATCH_METRICS)

    def send(self, batch: Batch) -> bool:
        """Sends a batch, or a part of it; returns True if the next one is due at once."""
        if batch.change is None:
            return self._send_metrics(batch)
        if batch.change.kind == UPLOAD:
            return self._send_upload(batch, batch.change)
        return self._send_change(batch, batch.change)

    def _send_metrics(self, batch: Batch) -> bool:
        batch = batch._replace(metrics=batch.metrics.part(0, self.batch_limit))
        is_question = batch.missing > 0 and batch.segment != self._confirmed_segment
        if is_question:
            # The position may be older than what the backend has. Then it has metrics after those
            # that cannot be read, under the number that they have in the present segment.
            batch = batch._replace(segment=self.journal.position.segment, missing=0)
        following: int | None = None
        try:
            if not self._singles_left:
                following = self._send_batch(batch)
            if following is None:
                self._send_single(batch)
        except (BadRequestError, PayloadTooLargeError) as error:
            return self._handle_rejection(batch, error)
        except ConflictError as error:
            if is_question:
                # It has none of them: they start a segment of their own.
                self._confirmed_segment = batch.metrics.number
                return True
            return self._rewind(batch, error)
        except NotFoundError as error:
            return self.restore(error)
        except TellurioError as error:
            return self.put_off(error)
        if following is None:
            self._singles_left -= 1
            self.journal.acknowledge_single(batch)
        else:
            self._singles = 0
            self._accepted = _one_number_of(batch) or self._accepted
            self.journal.acknowledge(batch, following)
        self._refusals = 0
        self._note_success()
        return True

    def _send_change(self, batch: Batch, change: Change) -> bool:
        fields = dict(change.fields)
        if "config_patch" in fields:
            fields["config_changed"] = datetime_of(change.time).isoformat()
        try:
            run = operations.update_run(
                self.connection.for_delivery, self._path, fields, idempotency_key=change.key
            )
        except (BadRequestError, PayloadTooLargeError) as error:
            warn(
                f"run {self.journal.header.run_name!r}: the backend rejected a change of "
                f"{named_details(change.fields)}: {error.words}"
            )
        except NotFoundError as error:
            return self.restore(error)
        except TellurioError as error:
            return self.put_off(error)
        else:
            warn_of_ignored_details(self.connection, run, change.fields)
        self.journal.acknowledge_change(batch, change)
        self._note_success()
        return True

    def _send_upload(self, batch: Batch, upload: Change) -> bool:
        try:
            is_complete = self.files.step(upload)
        except (TellurioError, OSError, ValueError) as error:
            raise_foreign(error)
            if not self._is_lost(error, upload):
                return False
            self._reject_upload(upload, error)
            is_complete = True
        if is_complete:
            self.journal.acknowledge_change(batch, upload)
            # Otherwise they are removed with the journal.
            with ignored(OSError):
                self.files.remove_files(upload)
        self._note_success()
        return True

    def _is_lost(self, error: Exception, upload: Change) -> bool:
        """Returns True if an upload can never be delivered; else it is put off."""
        if isinstance(error, NotFoundError):
            return self._lacks_upload(error, upload)
        if isinstance(error, TellurioError):
            if _is_refusal(error):
                return True
            if _is_lacking(error):
                self._hold_files(error)
            else:
                self.put_off(error)
            return False
        # If the whole folder is not there, it is elsewhere at the moment, or its disk is.
        is_removed = (
            isinstance(error, FileNotFoundError) and files_folder(self.journal.path).is_dir()
        )
        if isinstance(error, OSError) and not is_removed:
            self.put_off(TellurioError(f"the files to upload cannot be read: {error}"))
            return False
        return True

    def _lacks_upload(self, error: NotFoundError, upload: Change) -> bool:
        """Finds out what is missing: True for what an upload refers to; else it is put off."""
        try:
            operations.get_run(self.connection.for_delivery, self._path)
        except NotFoundError as problem:
            self.restore(problem)
        except TellurioError as problem:
            self.put_off(problem)
        else:
            if "alias" in upload.fields or "uses" in upload.fields:
                return True
            self._hold_files(error)
        return False

    def _hold_files(self, error: TellurioError) -> bool:
        reason = (
            "the backend does not support artifacts; upgrade it, then deliver the files with: "
            f"afnio-tellurio sync ({error})"
        )
        # Not as this error, after which nothing is tried again.
        self.put_off(TellurioError(reason))
        self.holding = reason
        return False

    def _reject_upload(self, upload: Change, error: Exception) -> None:
        message = self.files.reject(self.journal.header, upload, error)
        warn(f"run {self.journal.header.run_name!r}: {message}")

    def end(self, end: End) -> bool:
        """Sends the end of the run; returns True if the backend has recorded it."""
        try:
            run = operations.update_run(self.connection.for_delivery, self._path, end_fields(end))
        except NotFoundError as error:
            self.restore(error)
            return False
        except BadRequestError as error:
            self.hold_end(end.status, error)
            return False
        except TellurioError as error:
            self.put_off(error)
            return False
        # The run has ended, even if the time in the response has no time zone.
        time = run.date_updated
        time = time if time.tzinfo is not None else dt.datetime.now(dt.UTC)
        self.ended = RecordedEnd(time, read_etag(run))
        self._note_success()
        return True

    def hold_end(self, status: str, error: BadRequestError) -> None:
        """Holds, because the backend refuses the status to end the run with."""
        self._hold(
            f"the backend refuses the status {status}; end the run with another one, or upgrade "
            f"the backend: {error}",
            error,
        )

    def _hold(self, reason: str, error: ApiError) -> bool:
        self.put_off(error)
        self.holding = reason
        return False

    @property
    def problem(self) -> str | None:
        """Why not everything is delivered, or None."""
        if self.stopped is None and self.holding is not None:
            return self.holding
        error = self.stopped or self.last_error
        return None if error is None else str(error)

    def hurry(self) -> None:
        """Makes the next attempt as soon as the backend allows it, because a caller waits."""
        self.stopped = self.holding = None
        self.not_before = self._asked_until

    def _send_batch(self, batch: Batch) -> int | None:
        """Sends a batch in one request.

        Returns:
            The next sequence number to send, or None if the backend does not accept batches now: it
            is an old one, or a proxy answered in its place.
        """
        try:
            return self._send_all(batch)
        except ApiError as error:
            if never_had_run(error) or error.status_code not in LACKING:
                raise
        # Either the run or the operation does not exist: a single metric shows which.
        self._singles = min(max(1, 2 * self._singles), OBJECT_BATCH_METRICS)
        self._singles_left = self._singles
        return None

    def _send_all(self, batch: Batch) -> int:
        first = batch.metrics.number - batch.segment
        following = self._log_batch(batch)
        end = first + len(batch.metrics)
        # A higher number: it has later metrics too, from a request whose response was lost.
        if following != end and not (
            following > end and self.journal.may_be_expected(batch.segment + following)
        ):
            raise InvalidResponseError(
                f"Cannot log metrics: the request had {len(batch.metrics)} metrics from number "
                f"{first} on, but the backend expects {following} next",
                operation="logMetricBatch",
            )
        return batch.segment + following

    def _log_batch(self, batch: Batch) -> int:
        return log_metric_batch(
            self.connection.for_delivery,
            self._path,
            writer=writer_of(self.journal.header.writer, batch.segment),
            first=batch.metrics.number - batch.segment,
            metrics=self._logged(batch.metrics),
        )

    def _logged(self, metrics: Metrics) -> LoggedMetrics:
        values = metrics.values
        if self.journal.header.format < BACKSLASHES_FORMAT:
            values = [msgspec.Raw(add_backslashes(bytes(value))) for value in values]
        return LoggedMetrics(metrics.names, values, metrics.places, metrics.times)

    def _rewind(self, batch: Batch, error: ConflictError) -> bool:
        """Goes back to the number that the backend expects: it was restored from a backup."""
        expected = batch.segment + _expected_number(error)
        if self._has_rewound or expected >= batch.metrics.number:
            return self.put_off(error)
        self._has_rewound = True
        # If it has nothing of this segment, it may lack earlier segments too.
        self._accepted = None
        self.rejected -= self.journal.rewind(expected if expected > batch.segment else 0)
        return True

    def restore(self, error: NotFoundError) -> bool:
        """Creates the run again, to resend everything, if the backend has lost it.

        Returns:
            True if the run exists again; else the error is handled like any other.
        """
        if not never_had_run(error) or self._is_restored:
            self.is_gone = is_gone(error)
            return self.put_off(error)
        try:
            restore_run(
                self.connection.for_delivery,
                self._path,
                name=self.journal.header.run_name,
                details=self.journal.birth(),
            )
        except TellurioError as failure:
            return self.put_off(failure)
        self.has_restored = self._is_restored = True
        self._accepted = None
        self.rejected -= self.journal.rewind_to_start()
        return True

    def _send_single(self, batch: Batch) -> None:
        log_metric(self.connection.for_delivery, self._path, self._logged(batch.metrics))

    def _handle_rejection(self, batch: Batch, error: ApiError) -> bool:
        if len(batch.metrics) > 1 and not self._singles_left:
            # One of them is invalid; halving finds it in a few requests.
            self._limit = len(batch.metrics) // 2
            return True
        self._refusals += 1
        is_suspect = self._refusals >= REFUSALS_IN_A_ROW and not self.journal.has_only_rejected
        if is_suspect and self._accepted is not None:
            try:
                # It has this one and skips it, unless it refuses it now.
                self._log_batch(self._accepted)
            except (BadRequestError, PayloadTooLargeError):
                # It refuses even what it has accepted: the metric itself may be valid.
                return self._hold_metrics(error)
            except TellurioError as trouble:
                self._accepted = None
                return self.put_off(trouble)
            self._refusals = 0
        try:
            self.journal.reject(batch, error.words)
        except OSError as trouble:
            raise_foreign(trouble)
            return self.put_off(TellurioError(f"a rejected metric cannot be written: {trouble}"))
        self.rejected += 1
        if self.rejected == 1:
            warn(
                f"run {self.journal.header.run_name!r}: the backend rejected the metric "
                f"{batch.metrics.names[0]!r}: {error.words}; rejected metrics are written to "
                f"{self.journal.path.with_suffix('.rejected')}; when the backend may accept them, "
                "send them again with: afnio-tellurio sync --rejected"
            )
        # One by one if several were refused in a row: then halving takes many requests for each.
        self._limit = BATCH_METRICS if self._refusals == 1 else 1
        # One metric for each attempt is set aside, so that others behind it have their turn.
        return self._hold_metrics(error) if is_suspect and self._accepted is None else True

    def _hold_metrics(self, error: ApiError) -> bool:
        self._limit = 1
        return self._hold(
            f"the backend has refused {counted_metrics(self._refusals)} in a row, and nothing was "
            f"accepted since; the last answer was: {error}",
            error,
        )

    def put_off(self, error: TellurioError) -> bool:
        """Schedules the next attempt or stops; returns False."""
        self.last_error, self.holding = error, None
        if isinstance(error, _FINAL_ERRORS) or self.connection.is_closed:
            self.stopped = error
            return False
        delay = min(MAX_RETRY_DELAY, FIRST_RETRY_DELAY * 2 ** min(self._failures, 16))
        self._failures += 1
        # Half of it is random: processes that lost a backend must not all return at once.
        delay *= random.uniform(0.5, 1)  # noqa: S311
        now = monotonic()
        self._asked_until = now + (
            retry_after(error.response) if isinstance(error, ApiError) else 0.0
        )
        self.not_before = max(now + delay, self._asked_until)
        return False

    def _note_success(self) -> None:
        self._failures = 0
        self._has_rewound = self._is_restored = False
        self.last_error = self.holding = None
        self.not_before = self._asked_until = 0.0
        self._limit = min(BATCH_METRICS, self._limit * 2)


def end_fields(end: End) -> dict[str, Any]:
    """The end of a run as the body of `updateRun`."""
    fields: dict[str, Any] = {"status": end.status}
    if end.time is not None:
        fields["date_ended"] = datetime_of(end.time).isoformat()
    if end.because is not None:
        fields["ended_because"] = end.because
    return fields


def _is_refusal(error: TellurioError) -> bool:
    """Whether a backend would refuse the same upload again."""
    if isinstance(error, ConflictError):
        return error.code == "type_taken"
    return isinstance(error, BadRequestError | PayloadTooLargeError | ChangedFileError)


def _is_lacking(error: TellurioError) -> bool:
    return isinstance(error, ApiError) and error.status_code in LACKING


def _one_number_of(batch: Batch) -> Batch | None:
    """The last metric of a batch with a number as its value: others may be large."""
    metrics = batch.metrics
    for index in reversed(range(len(metrics))):
        if bytes(metrics.values[index])[:1] in _NUMBER_STARTS:
            return Batch(metrics.part(index, index + 1), batch.segment)
    return None


def _expected_number(error: ConflictError) -> int:
    """The sequence number that the backend expects next, or 0 if its response has no number."""
    try:
        body: Any = error.response.json()
    except (ValueError, RecursionError) as problem:
        raise_foreign(problem)
        return 0
    number: Any = body.get("next_sequence_number") if isinstance(body, dict) else None  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    return number if isinstance(number, int) and number > 0 else 0
