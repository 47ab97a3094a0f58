"""What the SDK hands out, made from the generated models: statuses, projects, metrics."""

from __future__ import annotations

import datetime as dt
import math
import operator
from enum import StrEnum
from importlib import import_module
from itertools import islice
from typing import TYPE_CHECKING, Any, Self, TypeVar
from uuid import UUID

import attrs
from tellurio_api import models
from tellurio_api.types import UNSET

from afnio_tellurio.errors import InvalidResponseError
from afnio_tellurio.settings import METRICS_PAGE

if TYPE_CHECKING:
    from collections.abc import Iterable

T = TypeVar("T")


class _AnswerFields:
    """Holds an answer's fields to their types: the generated models hand over whatever came."""

    def __init__(self, operation: str) -> None:
        self._operation = operation

    def text(self, name: str, value: Any) -> str:
        return str(self._checked(name, value, str))

    def optional_text(self, name: str, value: Any) -> str | None:
        # The UUID of a namespace is text to us, and a UUID to the generated models.
        return (
            None
            if value is None or value is UNSET
            else str(self._checked(name, value, (str, UUID)))
        )

    def integer(self, name: str, value: Any) -> int:
        number: int = self._checked(name, value, int)
        return number

    def optional_number(self, name: str, value: Any) -> Any:
        if value is None or value is UNSET:
            return None
        if isinstance(value, list) or not _is_numeric(value):
            raise self._error(name, value, "a number")
        return _as_numbers(value)

    def date(self, name: str, value: Any) -> dt.datetime:
        date: dt.datetime = self._checked(name, value, dt.datetime)
        if date.tzinfo is None:
            raise self._error(name, date.isoformat(), "a time with its zone")
        return date

    def moment(self, name: str, value: Any) -> dt.datetime:
        seconds: float = self._checked(name, value, (float, int))
        try:
            return dt.datetime.fromtimestamp(seconds, dt.UTC)
        except (ValueError, OverflowError, OSError):
            raise self._error(name, value, "a time in seconds since 1970") from None

    def optional_date(self, name: str, value: Any) -> dt.datetime | None:
        return None if value is None or value is UNSET else self.date(name, value)

    def optional(self, name: str, value: Any, kind: type[T]) -> T | None:
        if value is None or value is UNSET:
            return None
        model: T = self._checked(name, value, kind)
        return model

    def _checked(self, name: str, value: Any, kind: type[Any] | tuple[type[Any], ...]) -> Any:
        if not isinstance(value, kind) or isinstance(value, bool):
            wanted = kind if isinstance(kind, type) else kind[0]
            raise self._error(name, value, f"a {wanted.__name__}")
        return value

    def _error(self, name: str, value: Any, wanted: str) -> InvalidResponseError:
        return InvalidResponseError(
            f"{self._operation}: the backend answered with {name} {value!r}, which is not {wanted}",
            operation=self._operation,
        )


class RunStatus(StrEnum):
    """Where a run stands.

    A member compares, prints and serialises as its word. A backend newer than this SDK may answer
    with a word that is not among the members; it arrives as a `RunStatus` all the same, with that
    word as its `value`, unequal to every member.
    """

    RUNNING = "RUNNING"
    """Active, accepts metrics."""
    COMPLETED = "COMPLETED"
    """Ended with no error."""
    CRASHED = "CRASHED"
    """Ended by an unhandled exception, a fatal signal or a process that died."""
    FAILED = "FAILED"
    """Left unfinished, or superseded by a newer `init`."""

    @classmethod
    def from_model(cls, status: models.RunStatus | str) -> Self:
        """The status of an answer, which may hold a word that is not among the members."""
        word = str(status)
        if word in cls.__members__:
            return cls(word)
        # Not through _missing_: that would let RunStatus("COMPLETE") pass for a status in user
        # code.
        unknown = str.__new__(cls, word)
        unknown._name_ = unknown._value_ = word
        return unknown

    def __reduce_ex__(self, _protocol: Any) -> tuple[Any, ...]:
        return _status_from_word, (self.value,)


def _status_from_word(word: str) -> RunStatus:
    return RunStatus.from_model(word)


@attrs.frozen
class RunOrg:
    """The namespace that owns a run's project: an organisation, or a user's own.

    Attributes:
        slug: The namespace's slug.
    """

    slug: str

    @classmethod
    def from_model(cls, model: models.Namespace) -> Self:
        """The namespace of an answer to `listNamespaces`."""
        return cls(_AnswerFields("listNamespaces").text("slug", model.slug))


@attrs.frozen
class RunProject:
    """The project that a run belongs to.

    Attributes:
        uuid: The project's UUID.
        display_name: The name as people see it.
        slug: The project's slug.
    """

    uuid: str
    display_name: str
    slug: str

    @classmethod
    def from_model(cls, model: models.RunProject, field: _AnswerFields) -> Self:
        """The project in the answer about a run."""
        return cls(
            uuid=str(model.uuid),
            display_name=field.text("project.display_name", model.display_name),
            slug=field.text("project.slug", model.slug),
        )


@attrs.frozen
class RunUser:
    """The user who created a run.

    Attributes:
        uuid: The user's UUID.
        username: The user's name.
        slug: The slug of the user's own namespace.
    """

    uuid: str
    username: str
    slug: str

    @classmethod
    def from_model(cls, model: models.RunUser, field: _AnswerFields) -> Self:
        """The user in the answer about a run."""
        return cls(
            uuid=str(model.uuid),
            username=field.text("user.username", model.username),
            slug=field.text("user.slug", model.slug),
        )


@attrs.frozen
class Project:
    """A project, which holds runs.

    Attributes:
        uuid: The project's UUID.
        display_name: The name as people see it.
        slug: The slugified display name.
        date_created: When it was created, with time zone.
        last_run_date: When its newest run was created, or `None`.
        visibility: `"TEAM"`, `"RESTRICTED"`, `"PUBLIC"`, or a newer word of the backend's.
        role: What you may do in it, for example `"OWNER"`, or `None`.
        org_uuid: The UUID of the namespace that owns it, or `None`.
        org_display_name: The name of that namespace, or `None`.
        org_slug: The slug of that namespace, or `None`.
    """

    uuid: str
    display_name: str
    slug: str
    date_created: dt.datetime = attrs.field(repr=False)
    last_run_date: dt.datetime | None = attrs.field(repr=False)
    visibility: str
    role: str | None
    org_uuid: str | None = attrs.field(repr=False)
    org_display_name: str | None = attrs.field(repr=False)
    org_slug: str | None

    @classmethod
    def from_model(cls, model: models.Project, operation: str) -> Self:
        """The project of an answer to `operation`."""
        field = _AnswerFields(operation)
        return cls(
            uuid=str(model.uuid),
            display_name=field.text("display_name", model.display_name),
            slug=field.text("slug", model.slug),
            date_created=field.date("date_created", model.date_created),
            last_run_date=field.optional_date("last_run_date", model.last_run_date),
            visibility=field.text("visibility", model.visibility),
            role=field.optional_text("role", model.role),
            org_uuid=field.optional_text("org_uuid", model.org_uuid),
            org_display_name=field.optional_text("org_display_name", model.org_display_name),
            org_slug=field.optional_text("org_slug", model.org_slug),
        )


@attrs.define(eq=False, slots=False)
class RunRecord:
    """What a backend says of a run."""

    uuid: str
    name: str
    description: str | None = attrs.field(repr=False)
    status: RunStatus = attrs.field(converter=_status_from_word, repr=str)
    date_created: dt.datetime | None = attrs.field(default=None, repr=False)
    date_updated: dt.datetime | None = attrs.field(default=None, repr=False)
    organization: RunOrg | None = attrs.field(default=None, repr=lambda org: repr(org and org.slug))
    project: RunProject | None = attrs.field(default=None, repr=lambda p: repr(p and p.slug))
    user: RunUser | None = attrs.field(default=None, repr=False)

    @classmethod
    def from_model(cls, model: models.Run, operation: str, namespace_slug: str) -> Self:
        """The run of an answer to `operation`."""
        field = _AnswerFields(operation)
        project = field.optional("project", model.project, models.RunProject)
        user = field.optional("user", model.user, models.RunUser)
        return cls(
            uuid=str(model.uuid),
            name=field.text("name", model.name),
            description=field.optional_text("description", model.description),
            status=RunStatus.from_model(field.text("status", model.status)),
            date_created=field.date("date_created", model.date_created),
            date_updated=field.date("date_updated", model.date_updated),
            organization=RunOrg(namespace_slug),
            project=None if project is None else RunProject.from_model(project, field),
            user=None if user is None else RunUser.from_model(user, field),
        )


@attrs.frozen
class MetricHistory:
    """Every recorded value of one metric, in step order; equal steps in order of arrival.

    Attributes:
        name: The metric's name.
        steps: The steps.
        values: The values. Where the metric is numeric (each value is a number, or a list of
            numbers at any depth), NaN and the infinities are floats. Elsewhere they are the strings
            `"NaN"`, `"Infinity"` and `"-Infinity"`, as they travel in JSON.
        timestamps: When each value was measured, with time zone; `None` where the backend does not
            say.
    """

    name: str
    steps: list[int] = attrs.field(repr=False)
    values: list[Any] = attrs.field(repr=False)
    timestamps: list[dt.datetime | None] = attrs.field(repr=False)

    def __len__(self) -> int:
        return len(self.steps)

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame` with the columns `step`, `value` and `timestamp`.

        Raises:
            ImportError: pandas is not installed.
            OverflowError: There are floats, and an integer that no float is near.
        """
        frame = _installed("to_pandas", "pandas").DataFrame(self._columns())
        # Of nothing it makes columns of numbers, which cannot be put beside those of other runs.
        return frame if self.steps else frame.astype(_PANDAS_TYPES)

    def to_polars(self) -> Any:
        """A `polars.DataFrame` with the columns `step`, `value` and `timestamp`.

        Raises:
            ImportError: polars is not installed.
            OverflowError: There is an integer too large for a column.
            TypeError: The values have several types, or are objects with several keys, which no
                column holds.
        """
        polars = _installed("to_polars", "polars")
        columns = self._columns()
        values = columns["value"]
        if _kinds(values) - {type(None)} == {int, float}:
            # It would take integers for all, and round.
            values = columns["value"] = list(map(_as_floats, values))
        types = {"step": polars.Int64, "timestamp": polars.Datetime("us", "UTC")}
        frame = polars.DataFrame(columns, schema_overrides=types)
        if not values:
            return frame.cast({"value": polars.Float64})
        # What does not fit into the first list or object it leaves out, or rounds.
        if frame["value"].dtype.is_nested() and repr(frame["value"].to_list()) != repr(values):
            raise TypeError(
                f"to_polars: the values of {self.name!r} have several types, which no column "
                "holds; take them from values, or with to_pandas()"
            )
        return frame

    def to_arrow(self) -> Any:
        """A `pyarrow.Table` with the columns `step`, `value` and `timestamp`.

        Raises:
            ImportError: pyarrow is not installed.
            OverflowError: There is an integer too large for a column.
            TypeError: The values have several types, which no column holds.
            ValueError: As `TypeError`, inside of lists.
        """
        arrow = _installed("to_arrow", "pyarrow")
        columns = self._columns()
        columns["step"] = arrow.array(self.steps, arrow.int64())
        columns["timestamp"] = arrow.array(self.timestamps, arrow.timestamp("us", "UTC"))
        if not self.values:
            columns["value"] = arrow.array([], arrow.float64())
        return arrow.table(columns)

    def _columns(self) -> dict[str, Any]:
        values = self.values
        if set(map(type, values)) - {type(None)} == {int, float}:
            # One type for the column. What is an integer throughout stays one.
            values = list(map(_as_floats, values))
        return {"step": self.steps, "value": values, "timestamp": self.timestamps}

    @classmethod
    def from_models(cls, name: str, metrics: Iterable[models.Metric]) -> Self:
        """The history made of the answers to `listMetrics`, which may come in any order."""
        steps: list[Any] = []
        values: list[Any] = []
        timestamps: list[Any] = []
        remaining = iter(metrics)
        while page := list(islice(remaining, METRICS_PAGE)):
            steps += [metric.step for metric in page]
            values += [metric.value for metric in page]
            timestamps += [metric.timestamp for metric in page]
        # Asking for the types there are takes a fraction of the time of asking each value for its
        # own, and says of nearly all histories that nothing is to be done.
        field = _AnswerFields("listMetrics")
        if not set(map(type, steps)) <= {int}:
            for step in steps:
                field.integer("step", step)
        if not all(map(operator.le, steps, steps[1:])):
            order = sorted(range(len(steps)), key=steps.__getitem__)
            steps = [steps[index] for index in order]
            values = [values[index] for index in order]
            timestamps = [timestamps[index] for index in order]
        if not set(map(type, values)) <= {int, float} and all(map(_is_numeric, values)):
            values = [_as_numbers(value) for value in values]
        if set(map(type, timestamps)) != {dt.datetime} or any(
            date.tzinfo is None for date in timestamps
        ):
            timestamps = [field.optional_date("timestamp", date) for date in timestamps]
        return cls(name, steps, values, timestamps)

    @classmethod
    def by_name(cls, metrics: Iterable[models.Metric]) -> dict[str, Self]:
        """The histories made of the answers to a `listMetrics` of all metrics."""
        named: dict[str, list[models.Metric]] = {}
        field = _AnswerFields("listMetrics")
        for metric in metrics:
            named.setdefault(field.text("name", metric.name), []).append(metric)
        return {name: cls.from_models(name, named[name]) for name in sorted(named)}


def _check_lengths(operation: str, first: Any, *others: Any) -> None:
    for column in (first, *others):
        if not isinstance(column, list) or len(column) != len(first):  # pyright: ignore[reportUnknownArgumentType]
            raise InvalidResponseError(
                f"{operation}: the backend answered with columns that do not belong together",
                operation=operation,
            )


@attrs.frozen
class MetricCurve:
    """One metric of one run as a line to draw: a point for each range of steps that has a value.

    Attributes:
        run_uuid: The run.
        name: The metric's name.
        steps: The greatest step of each range that has a value.
        values: The value there; NaN where it is no number, which breaks the line.
        minima: The smallest number of each range; `None` where there is none.
        maxima: The greatest number of each range; `None` where there is none.
        timestamps: When the value was measured; `None` where the backend does not say.
    """

    run_uuid: str
    name: str
    steps: list[int] = attrs.field(repr=False)
    values: list[float] = attrs.field(repr=False)
    minima: list[float | None] = attrs.field(repr=False)
    maxima: list[float | None] = attrs.field(repr=False)
    timestamps: list[dt.datetime | None] = attrs.field(repr=False)

    @classmethod
    def from_model(cls, model: models.SampledSeries) -> Self:
        """The curve of an answer to `sampleProjectMetrics`."""
        operation = "sampleProjectMetrics"
        field = _AnswerFields(operation)
        columns = (model.step, model.last, model.minimum, model.maximum, model.timestamp)
        _check_lengths(operation, *columns)
        values = [field.optional_number("last", value) for value in model.last]
        return cls(
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
    """One metric of a run in short.

    Attributes:
        count: How many values are recorded.
        first_step: The smallest step.
        last_step: The greatest step.
        last: The value at the greatest step, the one that arrived last where there are several.
        minimum: The smallest number, NaN aside; `None` when there is none.
        maximum: The greatest number, NaN aside; `None` when there is none.
        last_timestamp: When `last` was measured; `None` where the backend does not say.
    """

    count: int
    first_step: int
    last_step: int
    last: Any
    minimum: float | None
    maximum: float | None
    last_timestamp: dt.datetime | None

    @classmethod
    def from_model(cls, model: models.MetricSummary, operation: str = "summarizeMetrics") -> Self:
        """The summary of an answer to `summarizeMetrics`, or to an operation like it."""
        field = _AnswerFields(operation)
        numeric = model.minimum is not None or model.last == "NaN"
        return cls(
            count=field.integer("count", model.count),
            first_step=field.integer("first_step", model.first_step),
            last_step=field.integer("last_step", model.last_step),
            last=_as_numbers(model.last) if numeric and _is_numeric(model.last) else model.last,
            minimum=field.optional_number("minimum", model.minimum),
            maximum=field.optional_number("maximum", model.maximum),
            last_timestamp=field.date("last_timestamp", model.last_timestamp),
        )

    @classmethod
    def from_columns(cls, columns: models.SummaryColumns) -> dict[str, Self]:
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
        _check_lengths("summarizeProjectMetrics", columns.run_uuid, *lists)
        return {
            str(run): cls.from_model(models.MetricSummary(*of_run), "summarizeProjectMetrics")
            for run, *of_run in zip(columns.run_uuid, *lists, strict=True)
        }

    @classmethod
    def from_history(cls, history: MetricHistory) -> Self:
        """The summary of a history, for a backend that gives none."""
        numbers = [
            value
            for value in history.values
            if isinstance(value, int | float)
            and not isinstance(value, bool)
            and not math.isnan(value)
        ]
        return cls(
            count=len(history),
            first_step=history.steps[0],
            last_step=history.steps[-1],
            last=history.values[-1],
            minimum=min(numbers, default=None),
            maximum=max(numbers, default=None),
            last_timestamp=history.timestamps[-1],
        )


def _installed(call: str, package: str) -> Any:
    try:
        return import_module(package)
    except ImportError as error:
        raise ImportError(
            f"{call}: {package} cannot be imported ({error}); install it: pip install {package}",
            name=package,
        ) from error


_PANDAS_TYPES = {"step": "int64", "value": "float64", "timestamp": "datetime64[us, UTC]"}


def _kinds(values: list[Any]) -> set[type]:
    """The types of the values, and of what is in lists."""
    kinds = set(map(type, values))
    if list in kinds:
        kinds.discard(list)
        kinds.update(*(_kinds(value) for value in values if isinstance(value, list)))  # pyright: ignore[reportUnknownArgumentType]
    return kinds


def _as_floats(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_floats(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return value if value is None else float(value)


_SPECIAL_NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def is_finite_number(value: Any) -> bool:
    """Whether a value can be drawn: it is a number, and one that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _is_numeric(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_numeric, value))  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(value, str):
        return value in _SPECIAL_NUMBERS
    return isinstance(value, int | float) and not isinstance(value, bool)


def _as_numbers(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_numbers(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return _SPECIAL_NUMBERS[value] if isinstance(value, str) else value


for _kind in (
    MetricCurve,
    MetricHistory,
    MetricSummary,
    Project,
    RunOrg,
    RunProject,
    RunStatus,
    RunUser,
):
    # Tracebacks and reprs name a class as users import it; which module holds it may change.
    _kind.__module__ = "afnio_tellurio"
