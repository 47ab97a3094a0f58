"""Requests that record metrics: batches in the form that the backend knows, and single ones."""

from __future__ import annotations

import datetime as dt
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from tellurio_api import models
from tellurio_api.api.metrics import log_metric as log_metric_operation
from tellurio_api.api.metrics import log_metric_batch as log_metric_batch_operation
from tellurio_api.types import UNSET

from afnio_tellurio.api.answers import AnswerFields
from afnio_tellurio.api.calling import RunPath, run_parameters
from afnio_tellurio.errors import ApiError
from afnio_tellurio.special_numbers import remove_backslashes

if TYPE_CHECKING:
    import uuid
    from collections.abc import Sequence

    from afnio_tellurio.api.connection import Connection

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
#: The step of a metric, or None; for a row of a table, a list with its key if it has one.
Place = int | None | list[str]


class LoggedMetrics(NamedTuple):
    """Metrics and rows of tables to record, in columns.

    Attributes:
        names: Their names.
        values: Their values as JSON, see `special_numbers`.
        places: Their steps, or what they have in its place.
        timestamps: When they were logged, in microseconds since 1970.
    """

    names: Sequence[str]
    values: Sequence[msgspec.Raw]
    places: Sequence[Place]
    timestamps: Sequence[int]


def log_metric_batch(
    connection: Connection, path: RunPath, *, writer: uuid.UUID, first: int, metrics: LoggedMetrics
) -> int:
    """Records metrics of one writer, numbered from `first`; returns the next expected number."""
    is_failure = False
    if connection.knows_columns is not False:
        try:
            following = _send(connection, path, _columns(writer, first, metrics))
        except ApiError as error:
            is_failure = error.status_code == HTTPStatus.INTERNAL_SERVER_ERROR
            if not _is_of_older_backend(error, connection.knows_columns):
                raise
        else:
            connection.knows_columns = True
            return following
    following = _send(connection, path, _objects(writer, first, metrics))
    # Not before: the metrics themselves may be what it refused. And a failure may pass.
    if not is_failure:
        connection.knows_columns = False
    return following


def _is_of_older_backend(error: ApiError, knows_columns: bool | None) -> bool:
    """Whether this may be the answer of a backend that does not know columns.

    By the contract it is 415. It may also look for the field `metrics`, or fail.
    """
    if error.status_code == HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
        return True
    if knows_columns:
        return False
    if error.status_code in {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY}:
        return b'"metrics"' in error.response.content
    return error.status_code == HTTPStatus.INTERNAL_SERVER_ERROR


def _send(
    connection: Connection, path: RunPath, body: models.MetricBatch | models.MetricBatchColumns
) -> int:
    receipt = connection.call(
        models.MetricBatchReceipt,
        log_metric_batch_operation.sync_detailed,
        **run_parameters(connection, path),
        body=body,
    )
    field = AnswerFields("logMetricBatch")
    return field.integer("next_sequence_number", receipt.next_sequence_number)


def _columns(writer: uuid.UUID, first: int, metrics: LoggedMetrics) -> models.MetricBatchColumns:
    names: dict[str, int] = {}
    indexes = [names.setdefault(name, len(names)) for name in metrics.names]
    body = models.MetricBatchColumns(
        writer=writer,
        first_sequence_number=first,
        names=list(names),
        name=indexes,
        value=list(metrics.values),
        timestamp=list(metrics.timestamps),
    )
    kinds = set(map(type, metrics.places))
    if list in kinds:
        places = metrics.places
        body.is_row = [isinstance(place, list) for place in places]
        body.row_key = [place[0] if isinstance(place, list) and place else None for place in places]
    if int in kinds:
        body.step = [place if isinstance(place, int) else None for place in metrics.places]
    return body


def _objects(writer: uuid.UUID, first: int, metrics: LoggedMetrics) -> models.MetricBatch:
    return models.MetricBatch(
        writer=writer,
        first_sequence_number=first,
        metrics=[_object(metrics, index) for index in range(len(metrics.names))],
    )


def _object(metrics: LoggedMetrics, index: int) -> models.MetricCreate:
    place = metrics.places[index]
    value = remove_backslashes(bytes(metrics.values[index]))
    metric = models.MetricCreate(
        name=metrics.names[index],
        value=msgspec.Raw(value),
        timestamp=_EPOCH + metrics.timestamps[index] * _MICROSECOND,
    )
    if isinstance(place, list):
        metric.is_row = True
        metric.row_key = place[0] if place else UNSET
    elif place is not None:
        metric.step = place
    return metric


def log_metric(connection: Connection, path: RunPath, metrics: LoggedMetrics) -> None:
    """Records the first of these metrics by itself."""
    connection.call(
        models.Metric,
        log_metric_operation.sync_detailed,
        **run_parameters(connection, path),
        body=_object(metrics, 0),
    )
