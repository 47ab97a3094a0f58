"""Ending a run: delivering what waits, then the status, or leaving both to a later moment."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from afnio_tellurio.api.entities import RunStatus, read_status, set_etag
from afnio_tellurio.client import connection_of
from afnio_tellurio.delivery.records import End, datetime_of
from afnio_tellurio.errors import counted_metrics
from afnio_tellurio.tracking.announcements import tell_ended
from afnio_tellurio.tracking.end_reasons import as_end_reason, reason_of_exception
from afnio_tellurio.tracking.redaction import redact_text
from afnio_tellurio.tracking.statuses import ENDED, checked_status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from afnio_tellurio.api.entities import RunRecord
    from afnio_tellurio.client import TellurioClient
    from afnio_tellurio.delivery.outbox import Outbox
    from afnio_tellurio.delivery.recording import Recording


def end_now(status: RunStatus, because: Mapping[str, Any] | None) -> End:
    """The end of a run at this moment; passwords and known tokens in the reason are replaced."""
    reason = None
    if because is not None:
        reason = {name: redact_text(text) for name, text in because.items()}
    return End(status.value, time.time_ns() // 1000, reason)


def requested_end(status: RunStatus | str | None) -> End:
    """The end at this moment that a call of `finish` requests.

    Raises:
        TypeError: The status is not a string.
        ValueError: There is no such status, or a run cannot end with it.
    """
    status = RunStatus.COMPLETED if status is None else checked_status("finish", status)
    if status not in ENDED:
        raise ValueError(f"finish: status is {status}; it must be COMPLETED, CRASHED or FAILED")
    error = sys.exception() if status is not RunStatus.COMPLETED else None
    return end_now(status, None if error is None else reason_of_exception(error))


def _mark_as_ended(run: RunRecord, end: End) -> None:
    run.status = read_status(end.status)
    run.date_ended = None if end.time is None else datetime_of(end.time)
    run.ended_because = as_end_reason(end.because)


def finish_run(
    run: RunRecord, recording: Recording, client: TellurioClient, end: End, deadline: float
) -> None:
    """Delivers everything and then the status.

    Raises:
        DeliveryError: Not at the deadline; the run is open again.
    """
    try:
        undelivered = _deliver_end(run, recording, client, end, deadline)
    except BaseException:  # raised again, once the run is open as before
        # After Ctrl-C, for example, the run is as open as before.
        _reopen(run, recording, client, end)
        raise
    if undelivered is not None:
        _reopen(run, recording, client, end)
        raise undelivered.problem("finish")
    # Files are delivered after the end: the run has ended, however long they take.
    undelivered = recording.find_undelivered(deadline)
    if undelivered is not None:
        raise undelivered.problem("finish")
    recording.close()
    damaged = recording.find_lost()
    if damaged is not None:
        raise damaged.problem("finish")


def _reopen(run: RunRecord, recording: Recording, client: TellurioClient, end: End) -> None:
    """Continues a run that could not be ended, unless the backend has recorded its end."""
    if not recording.reopen(connection_of(client)):
        _mark_as_ended(run, end)


def _deliver_end(
    run: RunRecord, recording: Recording, client: TellurioClient, end: End, deadline: float
) -> Outbox | None:
    """Delivers everything and then the status; returns an outbox that was not in time."""
    undelivered = recording.end(connection_of(client), end, deadline)
    if undelivered is None:
        _mark_as_ended(run, end)
        if recording.ended is not None:
            run.date_updated = recording.ended.time
            set_etag(run, recording.ended.etag)
        tell_ended(run, recording, client)
        recording.close()
    return undelivered


def end_run(
    run: RunRecord, recording: Recording, client: TellurioClient, end: End, deadline: float
) -> str | None:
    """Ends a run at the end of a block or of the process; returns the problem, if there is one.

    A run that this process only logs to is not ended; its metrics are delivered.
    """
    if recording.owns_run:
        undelivered = _deliver_end(run, recording, client, end, deadline)
        if undelivered is not None:
            return leave_end(run, recording, end, undelivered)
    unfinished = recording.find_undelivered(deadline) or recording.find_lost()
    if unfinished is None:
        if recording.owns_run:
            recording.close()
        return None
    unfinished.is_reported = True
    return str(unfinished.problem("exit"))


def leave_end(
    run: RunRecord, recording: Recording, end: End, undelivered: Outbox | None = None
) -> str:
    """Leaves the end to the sender, or to a later process; returns the message about it."""
    undelivered = undelivered or recording.open_outbox()
    if recording.owns_run and run.status not in ENDED:
        recording.leave_end(end)
        _mark_as_ended(run, end)
    problem = f"run {run.name!r} could not be ended as {end.status}"
    if undelivered.warn_of_stop():
        # The reason, the file and the remedy were reported then, perhaps hours ago.
        waiting = counted_metrics(undelivered.receipt().waiting)
        problem = f"{problem}: it waits with {waiting}, as reported before"
    else:
        problem = str(undelivered.problem(problem))
    if undelivered.is_set_aside:
        # Nothing will be delivered anymore.
        recording.close()
    return problem
