"""The metrics of a run, read back: histories, summaries, curves."""

from __future__ import annotations

import datetime as dt
import math
from array import array
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs
from tellurio_api import models

from afnio_tellurio.api.answers import AnswerFields, as_numbers, check_lengths, is_numeric
from afnio_tellurio.api.frames import (
    arrow_numbers,
    imported,
    numpy_values,
    or_missing,
    polars_frame,
    unified,
)
from afnio_tellurio.api.metric_lists import (
    ListedMetrics,
    datetime_of,
    joined,
    microseconds_of,
    restored,
)
from afnio_tellurio.settings.limits import MAX_STEP

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


class MetricPoint(NamedTuple):
    """One logged value.

    Attributes:
        name: The metric's name.
        step: The step.
        value: The value; NaN and the infinities are floats.
        timestamp: When it was measured, with time zone; `None` if the backend does not say.
    """

    name: str
    step: int
    value: Any
    timestamp: dt.datetime | None


def read_points(
    loaded: list[list[ListedMetrics]], pages: Iterator[list[ListedMetrics]]
) -> Iterator[MetricPoint]:
    """The values of pages of `listMetrics`: of those that are loaded, then of the others."""
    while loaded:
        # Taken off, so that memory holds no page longer than necessary.
        yield from chain.from_iterable(map(_points, loaded.pop(0)))
    for page in pages:
        yield from chain.from_iterable(map(_points, page))


def _points(metrics: ListedMetrics) -> Iterator[MetricPoint]:
    values: Sequence[Any] = metrics.values
    if not metrics.is_exact:
        values = [as_numbers(value) if is_numeric(value) else value for value in values]
    for step, value, time in zip(metrics.steps, values, metrics.times, strict=True):
        yield MetricPoint(metrics.name, step, value, None if time is None else datetime_of(time))


def _as_list(column: Sequence[Any]) -> list[Any]:
    return column if isinstance(column, list) else list(column)


def _as_microseconds(timestamps: Sequence[Any]) -> Sequence[int | None]:
    """Times as they are kept: in microseconds since 1970, which takes less than datetimes."""
    first = next((time for time in timestamps if time is not None), None)
    if not isinstance(first, dt.datetime):
        return timestamps
    return [None if time is None else microseconds_of(time) for time in timestamps]


@attrs.frozen
class MetricHistory:
    """Every recorded value of one metric, in step order; equal steps in the order of arrival.

    Attributes:
        name: The metric's name.
    """

    name: str
    # Lists or arrays: there may be millions, and frames need no object for each.
    _steps: Sequence[int] = attrs.field(repr=False, eq=list)
    _values: Sequence[Any] = attrs.field(repr=False, eq=list)
    _timestamps: Sequence[Any] = attrs.field(repr=False, eq=list, converter=_as_microseconds)

    @cached_property
    def steps(self) -> list[int]:
        """The steps."""
        return _as_list(self._steps)

    @cached_property
    def values(self) -> list[Any]:
        """The values as they were logged.

        A backend that lists metrics as objects does not tell NaN and the infinities from the words
        for them: there they are floats if each value of the metric is a number, or a list of
        numbers at any depth, and else strings.
        """
        return _as_list(self._values)

    @cached_property
    def timestamps(self) -> list[dt.datetime | None]:
        """When each value was measured, with time zone; `None` if the backend does not say."""
        return [None if time is None else datetime_of(time) for time in self._timestamps]

    def __len__(self) -> int:
        return len(self._steps)

    def __repr__(self) -> str:
        count = len(self)
        steps = f", steps {self._steps[0]} to {self._steps[-1]}" if count else ""
        return f"MetricHistory(name={self.name!r}, {count:,} value{'s' * (count != 1)}{steps})"

    def to_numpy(self) -> dict[str, Any]:
        """NumPy arrays of equal length under the names `step`, `value` and `timestamp`.

        Returns:
            The steps as `int64`; the values as `int64`, `float64` or `bool`, or as objects if they
            are anything else; the times as `datetime64[us]` in UTC, `NaT` where they are unknown.

        Raises:
            ImportError: NumPy is not installed.
            OverflowError: There are floats, and an integer that no float is near.
        """
        numpy = imported("to_numpy", "numpy")
        return {
            "step": numpy.array(self._steps, "int64"),
            "value": numpy_values(numpy, self._values),
            "timestamp": self._numpy_times(numpy),
        }

    def _numpy_times(self, numpy: Any) -> Any:
        return numpy.array(or_missing(self._timestamps), "int64").view("datetime64[us]")

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame` with the columns `step`, `value` and `timestamp`.

        Raises:
            ImportError: pandas is not installed.
            OverflowError: There are floats, and an integer that no float is near.
        """
        pandas = imported("to_pandas", "pandas")
        numpy = imported("to_pandas", "numpy")
        times = pandas.Series(self._numpy_times(numpy)).dt.tz_localize("UTC")
        are_packed = isinstance(self._values, array)
        values = numpy.array(self._values) if are_packed else unified(self.values)
        columns = {"step": numpy.array(self._steps, "int64"), "value": values, "timestamp": times}
        frame = pandas.DataFrame(columns)
        # Columns without values get other types, which cannot be combined with other runs' columns.
        return frame if self._steps else frame.astype(_PANDAS_TYPES)

    def to_polars(self) -> Any:
        """A `polars.DataFrame` with the columns `step`, `value` and `timestamp`.

        Raises:
            ImportError: polars is not installed.
            OverflowError: There is an integer too large for a column.
            TypeError: The values have several types, or are objects with several keys, which no
                column can hold.
        """
        polars = imported("to_polars", "polars")
        times = list(self._timestamps)
        columns = {"step": self.steps, "value": unified(self.values), "timestamp": times}
        types = {"step": polars.Int64, "timestamp": polars.Int64}
        frame = polars_frame(columns, {"value": self.name}, types)
        frame = frame.cast({"timestamp": polars.Datetime("us", "UTC")})
        return frame if self.values else frame.cast({"value": polars.Float64})

    def to_arrow(self) -> Any:
        """A `pyarrow.Table` with the columns `step`, `value` and `timestamp`.

        Raises:
            ImportError: pyarrow is not installed.
            OverflowError: There is an integer too large for a column.
            TypeError: The values have several types, which no column holds.
            ValueError: As `TypeError`, inside of lists.
        """
        arrow = imported("to_arrow", "pyarrow")
        times = arrow_numbers(arrow, self._timestamps)
        values = (
            arrow_numbers(arrow, self._values)
            if isinstance(self._values, array) or not self._values
            else unified(self.values)
        )
        columns = {
            "step": arrow_numbers(arrow, self._steps),
            "value": values if len(values) else arrow.array([], arrow.float64()),
            "timestamp": times.cast(arrow.timestamp("us", "UTC")),
        }
        return arrow.table(columns)


def read_history(name: str, parts: Iterable[ListedMetrics]) -> MetricHistory:
    """The history made of answers to `listMetrics`, in any order."""
    listed = list(parts)
    if not listed:
        return MetricHistory(name, [], [], [])
    metrics = joined(listed)
    return MetricHistory(name, metrics.steps, restored(metrics), metrics.times)


def read_histories(parts: Iterable[ListedMetrics]) -> dict[str, MetricHistory]:
    """The histories made of the answers to a `listMetrics` of all metrics."""
    named: dict[str, list[ListedMetrics]] = {}
    for part in parts:
        named.setdefault(part.name, []).append(part)
    return {name: read_history(name, named[name]) for name in sorted(named)}


@attrs.frozen
class MetricCurve:
    """One metric of one run as a line to draw: a point for each range of steps that has a value.

    Attributes:
        run_uuid: The run.
        name: The metric's name.
        steps: The greatest step of each range that has a value.
        values: The value there; NaN if it is not a number, which breaks the line.
        minima: The smallest number of each range; `None` if it has no number.
        maxima: The greatest number of each range; `None` if it has no number.
        timestamps: When the value was measured; `None` if the backend does not say.
    """

    run_uuid: str
    name: str
    steps: list[int] = attrs.field(repr=False)
    values: list[float] = attrs.field(repr=False)
    minima: list[float | None] = attrs.field(repr=False)
    maxima: list[float | None] = attrs.field(repr=False)
    timestamps: list[dt.datetime | None] = attrs.field(repr=False)


def read_curve(model: models.SampledSeries) -> MetricCurve:
    """The curve of an answer to `sampleProjectMetrics`."""
    operation = "sampleProjectMetrics"
    field = AnswerFields(operation)
    columns = (model.step, model.last, model.minimum, model.maximum, model.timestamp)
    check_lengths(operation, *columns)
    values = [field.optional_number("last", value) for value in model.last]
    return MetricCurve(
        run_uuid=str(model.run_uuid),
        name=field.text("name", model.name),
        steps=[field.integer("step", step) for step in model.step],
        values=[math.nan if value is None else float(value) for value in values],
        minima=[field.optional_number("minimum", value) for value in model.minimum],
        maxima=[field.optional_number("maximum", value) for value in model.maximum],
        timestamps=[field.moment("timestamp", seconds) for seconds in model.timestamp],
    )


@attrs.frozen
class MetricSummary:
    """A summary of one metric of a run.

    Attributes:
        count: The number of recorded values.
        first_step: The smallest step.
        last_step: The greatest step.
        last: The value at the greatest step; of several, the one that arrived last.
        minimum: The smallest number, ignoring NaN; `None` if there are no numbers.
        maximum: The greatest number, ignoring NaN; `None` if there are no numbers.
        last_timestamp: When `last` was measured; `None` if the backend does not say.
        extra: The fields of a backend that is newer than this SDK, by name.
    """

    count: int
    first_step: int
    last_step: int
    last: Any
    minimum: float | None
    maximum: float | None
    last_timestamp: dt.datetime | None
    extra: dict[str, Any] = attrs.field(factory=dict[str, Any], repr=False, eq=False, kw_only=True)


def read_summary(model: models.MetricSummary, operation: str = "summarizeMetrics") -> MetricSummary:
    """The summary of an answer to `summarizeMetrics`, or to an operation like it."""
    field = AnswerFields(operation)
    numeric = model.minimum is not None or model.last == "NaN"
    return MetricSummary(
        count=field.integer("count", model.count),
        first_step=field.integer("first_step", model.first_step),
        last_step=field.integer("last_step", model.last_step),
        last=as_numbers(model.last) if numeric and is_numeric(model.last) else model.last,
        minimum=field.optional_number("minimum", model.minimum),
        maximum=field.optional_number("maximum", model.maximum),
        last_timestamp=field.date("last_timestamp", model.last_timestamp),
        extra=model.additional_properties,
    )


def read_summaries(columns: models.SummaryColumns) -> dict[str, MetricSummary]:
    """The summaries of an answer to `summarizeProjectMetrics`, by the runs' UUIDs."""
    lists = (
        columns.count,
        columns.first_step,
        columns.last_step,
        columns.last,
        columns.minimum,
        columns.maximum,
        columns.last_timestamp,
    )
    check_lengths("summarizeProjectMetrics", columns.run_uuid, *lists)
    return {
        str(run): read_summary(models.MetricSummary(*of_run), "summarizeProjectMetrics")
        for run, *of_run in zip(columns.run_uuid, *lists, strict=True)
    }


def summarize(history: MetricHistory) -> MetricSummary:
    """The summary of a history, for a backend without summaries."""
    numbers = [
        value
        for value in history.values
        if isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
    ]
    return MetricSummary(
        count=len(history),
        first_step=history.steps[0],
        last_step=history.steps[-1],
        last=history.values[-1],
        minimum=min(numbers, default=None),
        maximum=max(numbers, default=None),
        last_timestamp=history.timestamps[-1],
    )


def last_of_ranges(
    history: MetricHistory, buckets: int, steps: tuple[int, int] = (0, MAX_STEP)
) -> list[tuple[int, Any]]:
    """The last value in each of up to `buckets` ranges of steps, as `sampleMetric` returns them.

    Args:
        history: The values.
        buckets: The maximum number of ranges.
        steps: The first and the last step to include.
    """
    first, last = steps
    points = [
        (step, value)
        for step, value in zip(history.steps, history.values, strict=True)
        if first <= step <= last
    ]
    width = 1
    ranges = {step for step, _ in points}
    while len(ranges) > buckets:
        width *= 2
        ranges = {index // 2 for index in ranges}
    return list({step // width: (step, value) for step, value in points}.values())


_PANDAS_TYPES = {"step": "int64", "value": "float64", "timestamp": "datetime64[us, UTC]"}


for _kind in (MetricCurve, MetricHistory, MetricPoint, MetricSummary):
    # Tracebacks and reprs show a class as users import it; its module may change.
    _kind.__module__ = "afnio_tellurio"
