"""Metrics in the columns of Parquet files."""

from __future__ import annotations

from array import array
from itertools import chain
from typing import TYPE_CHECKING, Any

from afnio_tellurio.api.frames import arrow_numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from afnio_tellurio.api.metric_lists import ListedMetrics

#: The largest integer up to which every integer is exactly a double.
_MAX_EXACT_INTEGER = 2**53


def metric_schema(arrow: Any) -> Any:
    """The columns of a file with the metrics of one run; `json` has what a double cannot be."""
    return arrow.schema(
        [
            ("name", arrow.string()),
            ("step", arrow.int64()),
            ("value", arrow.float64()),
            ("json", arrow.string()),
            ("timestamp", time_type(arrow)),
        ]
    )


def time_type(arrow: Any) -> Any:
    """The type of the times of metrics."""
    return arrow.timestamp("us", "UTC")


def arrow_times(arrow: Any, times: Sequence[int | None]) -> Any:
    """An array of times in microseconds since 1970."""
    return arrow_numbers(arrow, times).cast(time_type(arrow))


def metric_batch(
    arrow: Any,
    parts: Sequence[ListedMetrics],
    text_of: Callable[[Any, float | None], str | None],
) -> Any:
    """A batch of rows for `metric_schema`.

    Args:
        arrow: The module `pyarrow`.
        parts: The metrics.
        text_of: Returns the cell of `json` for a value and its double, which is None if that would
            change the value.
    """
    names = [
        arrow.repeat(arrow.scalar(part.name, arrow.string()), len(part.steps)) for part in parts
    ]
    steps, times = array("q"), list(chain.from_iterable(part.times for part in parts))
    for part in parts:
        steps.extend(part.steps)
    if all(getattr(part.values, "typecode", "") == "d" for part in parts):
        packed = array("d")
        for part in parts:
            packed.extend(part.values)
        numbers, texts = arrow_numbers(arrow, packed), arrow.nulls(len(packed), arrow.string())
    else:
        values = list(chain.from_iterable(part.values for part in parts))
        doubles = list(map(_exact_double, values))
        numbers = arrow.array(doubles, arrow.float64())
        texts = arrow.array(map(text_of, values, doubles), arrow.string())
    columns = [
        arrow.chunked_array(names, arrow.string()).combine_chunks(),
        arrow_numbers(arrow, steps),
        numbers,
        texts,
        arrow_times(arrow, times),
    ]
    return arrow.record_batch(columns, schema=metric_schema(arrow))


def _exact_double(value: Any) -> float | None:
    """Returns the value as a double, or None if that would change it."""
    if value.__class__ is float:
        return float(value)
    if value.__class__ is int:
        return float(value) if abs(value) <= _MAX_EXACT_INTEGER else None
    return None
