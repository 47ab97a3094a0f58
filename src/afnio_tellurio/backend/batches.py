"""The batches of `logMetricBatch`, in both of their forms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from msgspec import UNSET

from afnio_tellurio.backend import structs
from afnio_tellurio.backend.requests import (
    Call,
    Refusal,
    current_time,
    storable_microseconds_of,
)
from afnio_tellurio.backend.store import values
from afnio_tellurio.backend.tables import new_row
from afnio_tellurio.special_numbers import add_backslashes, spell_out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from afnio_tellurio.backend.store.chunks import Value
    from afnio_tellurio.backend.store.tables import NewRow

#: The content type of batches and lists in columns.
COLUMNS = "application/vnd.tellurio.columns+json"

_NULL = msgspec.Raw(b"null")
_metric_batch = msgspec.json.Decoder(structs.MetricBatch)
_batch_columns = msgspec.json.Decoder(structs.MetricBatchColumns)


class Series(NamedTuple):
    """The metrics of one name in a batch, in columns.

    Attributes:
        steps: The steps; None for the step after the last one. None if that holds for all.
        values: Numbers, or other values as JSON.
        timestamps: Microseconds since 1970.
    """

    steps: Sequence[int | None] | None
    values: Sequence[Value]
    timestamps: Sequence[int]


class Batch(NamedTuple):
    """Consecutive metrics of one writer, and rows of tables.

    Attributes:
        writer: The writer.
        first: The sequence number of the first one.
        names: The names of the metrics and tables.
        name: The index in `names` of each.
        values: The value of each: a number, or JSON.
        steps: The step of each or None; None if all are.
        timestamps: The time of each, in microseconds since 1970.
        rows: The rows of tables among them, by their index.
    """

    writer: str
    first: int
    names: list[str]
    name: list[int]
    values: list[Value]
    steps: list[int | None] | None
    timestamps: list[int]
    rows: dict[int, NewRow]

    def series(self, start: int) -> dict[str, Series]:
        """Returns the metrics from this index on by their names."""
        count = len(self.name)
        if len(self.names) == 1 and not self.rows:
            steps = self.steps and self.steps[start:]
            of_name = Series(steps, self.values[start:], self.timestamps[start:])
            return {self.names[0]: of_name} if start < count else {}
        indexes: dict[str, list[int]] = {}
        for index in range(start, count):
            if index not in self.rows:
                indexes.setdefault(self.names[self.name[index]], []).append(index)
        return {name: self._part(places) for name, places in indexes.items()}

    def _part(self, places: list[int]) -> Series:
        steps = self.steps
        return Series(
            None if steps is None else [steps[place] for place in places],
            [self.values[place] for place in places],
            [self.timestamps[place] for place in places],
        )

    def rows_from(self, start: int) -> list[NewRow]:
        """Returns the rows from this index on."""
        return [row for index, row in self.rows.items() if index >= start]


def decode_batch(call: Call) -> Batch:
    """Decodes the body of `logMetricBatch` in either form."""
    if call.body.content_type == COLUMNS:
        return _from_columns(call.decode_body(_batch_columns))
    return _from_objects(call.decode_body(_metric_batch))


def _from_objects(batch: structs.MetricBatch) -> Batch:
    now = current_time()
    metrics = batch.metrics
    numbers = values.native_numbers([_NULL if each.is_row else each.value for each in metrics])
    names: dict[str, int] = {}
    result = Batch(str(batch.writer), batch.first_sequence_number, [], [], [], [], [], {})
    assert result.steps is not None
    for index, metric in enumerate(metrics):
        timestamp = timestamp_of(metric, now, "metrics", index)
        value: Value | None = numbers[index]
        if metric.is_row:
            value = 0
            result.rows[index] = row_of(metric, timestamp, index)
        elif value is None:
            value = value_of(metric.value, "metrics", f"[{index}].value: ")
        result.name.append(names.setdefault(metric.name, len(names)))
        result.values.append(value)
        result.steps.append(None if metric.step is UNSET else metric.step)
        result.timestamps.append(timestamp)
    return result._replace(names=list(names))


def _from_columns(batch: structs.MetricBatchColumns) -> Batch:
    _check_columns(batch)
    raws = batch.value
    rows = _rows_of_columns(batch)
    for index in rows:
        raws[index] = _NULL
    numbers: list[Any] = values.native_numbers(raws)
    for index, number in enumerate(numbers):
        if number is None:
            numbers[index] = 0 if index in rows else _exact(raws[index], f"[{index}]: ")
    return Batch(
        str(batch.writer),
        batch.first_sequence_number,
        batch.names,
        batch.name,
        numbers,
        None if batch.step is UNSET else batch.step,
        batch.timestamp,
        rows,
    )


def _check_columns(batch: structs.MetricBatchColumns) -> None:
    count = len(batch.name)
    for name in ("value", "timestamp", "step", "is_row", "row_key"):
        column = getattr(batch, name)
        if column is not UNSET and len(column) != count:
            message = (
                f"has {len(column)} items, and name has {count}; all columns must have as many."
            )
            raise Refusal(400, {name: [message]})
    if max(batch.name) >= len(batch.names):
        index, position = max(batch.name), batch.name.index(max(batch.name))
        message = f"[{position}]: names has {len(batch.names)} items, so {index} is out of range."
        raise Refusal(400, {"name": [message]})


def _rows_of_columns(batch: structs.MetricBatchColumns) -> dict[int, NewRow]:
    if batch.is_row is UNSET or True not in batch.is_row:
        return {}
    keys = batch.row_key
    rows: dict[int, NewRow] = {}
    for index, is_row in enumerate(batch.is_row):
        if not is_row:
            continue
        key = None if keys is UNSET else keys[index]
        name = batch.names[batch.name[index]]
        try:
            row = new_row(name, batch.value[index], key, batch.timestamp[index])
        except (ValueError, RecursionError) as error:
            raise Refusal(400, {"value": [f"[{index}]: {error}."]}) from None
        rows[index] = row
    return rows


def _exact(raw: msgspec.Raw, location: str) -> Value:
    try:
        return values.exact(raw)
    except (ValueError, RecursionError) as error:
        raise Refusal(400, {"value": [f"{location}{error}."]}) from None


def _with_backslashes(raw: msgspec.Raw) -> msgspec.Raw:
    return msgspec.Raw(add_backslashes(spell_out(bytes(raw))))


def value_of(raw: msgspec.Raw, field_name: str, location: str = "") -> Value:
    """Returns the value of a metric that is an object of its own."""
    try:
        return values.exact(_with_backslashes(raw))
    except (ValueError, RecursionError) as error:
        raise Refusal(400, {field_name: [f"{location}{error}."]}) from None


def row_of(metric: structs.MetricCreate, timestamp: int, index: int | None = None) -> NewRow:
    """Returns the row that is an object of its own."""
    key = None if metric.row_key is UNSET else metric.row_key
    try:
        return new_row(metric.name, _with_backslashes(metric.value), key, timestamp)
    except (ValueError, RecursionError) as error:
        name, location = ("value", "") if index is None else ("metrics", f"[{index}].value: ")
        raise Refusal(400, {name: [f"{location}{error}."]}) from None


def timestamp_of(
    metric: structs.MetricCreate, now: int, field_name: str, index: int | None = None
) -> int:
    """Returns the time of a metric that is an object of its own, in microseconds since 1970."""
    if metric.timestamp is UNSET:
        return now
    try:
        return storable_microseconds_of(metric.timestamp)
    except ValueError as error:
        location = "" if index is None else f"[{index}].timestamp: "
        raise Refusal(400, {field_name: [f"{location}{error}."]}) from None
