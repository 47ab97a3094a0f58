"""The metrics of a run, listed by the backend in columns or as objects."""

from __future__ import annotations

import datetime as dt
import itertools
import operator
import sys
import uuid
from array import array
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec
from tellurio_api.api.metrics import list_metrics as list_metrics_operation
from tellurio_api.types import UNSET, Response

from afnio_tellurio.api.answers import AnswerFields, as_numbers, is_numeric
from afnio_tellurio.api.pages import list_pages
from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.settings.limits import MAX_STEP, METRICS_PAGE
from afnio_tellurio.special_numbers import restore

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import tellurio_api

    from afnio_tellurio.api.calling import RunPath
    from afnio_tellurio.api.connection import Connection

#: The content type of metrics in columns.
COLUMNS = "application/vnd.tellurio.columns+json"
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
_FIRST_TIME = (dt.datetime.min.replace(tzinfo=dt.UTC) - _EPOCH) // _MICROSECOND
_LAST_TIME = (dt.datetime.max.replace(tzinfo=dt.UTC) - _EPOCH) // _MICROSECOND
_NATIVE = {int, float}
_CODES = {"int64": "q", "float64": "d"}


class ListedMetrics(NamedTuple):
    """Metrics of one name, in columns.

    Attributes:
        name: Their name.
        steps: Their steps.
        values: Their values; those that are not `exact` have words for NaN and the infinities.
        times: When they were measured, in microseconds since 1970; None if the backend does not
            say.
        is_exact: Whether the backend tells words from numbers.
    """

    name: str
    steps: Sequence[int]
    values: Sequence[Any]
    times: Sequence[int | None]
    is_exact: bool


#: The index of `is_exact`, after the columns.
_IS_EXACT = ListedMetrics._fields.index("is_exact")


def list_metrics(
    connection: Connection,
    path: RunPath,
    *,
    name: str | None = None,
    after_step: int | None = None,
) -> Iterator[list[ListedMetrics]]:
    """The metrics of a run, page by page.

    Args:
        connection: The backend.
        path: The run.
        name: Only metrics with this name.
        after_step: Only metrics with a greater step; a backend may ignore it.
    """
    query: dict[str, Any] = {
        "namespace_slug": path.namespace_slug,
        "project_slug": path.project_slug,
        "run_uuid": uuid.UUID(path.run_uuid),
        "client": connection.api,
        "name": UNSET if name is None else name,
        "after_step": UNSET if after_step is None else after_step,
        "limit": METRICS_PAGE,
    }
    page: list[ListedMetrics]
    for page in list_pages(connection, "listMetrics", _page, query):
        # A backend without the filter returns all of them.
        yield page if name is None else [metrics for metrics in page if metrics.name == name]


def _page(*, client: tellurio_api.Client, **query: Any) -> Response[Any]:
    """Does what the generated listMetrics does, in columns, and for millions of metrics.

    The generated parser makes a dict and a model of each, which takes ten times as long. It still
    parses every list of objects that msgspec refuses: it decides what is valid.
    """
    arguments = list_metrics_operation._get_kwargs(**query)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    arguments["headers"] = {"Accept": f"{COLUMNS}, application/json"}
    response = client.get_httpx_client().request(**arguments)
    parsed: Any
    is_valid = response.status_code == HTTPStatus.OK
    if is_valid and COLUMNS in response.headers.get("Content-Type", ""):
        parsed = list(map(_read_columns, _decode_columns(response.content)))
        return Response(HTTPStatus.OK, response.content, dict(response.headers), parsed)
    if is_valid:
        try:
            parsed = _read_objects(_decode_objects(response.content))
            return Response(HTTPStatus.OK, response.content, dict(response.headers), parsed)
        except (msgspec.DecodeError, UnicodeDecodeError, TypeError, ValueError) as error:
            raise_foreign(error)
    built = list_metrics_operation._build_response(client=client, response=response)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    parsed = built.parsed
    if isinstance(parsed, list):
        parsed = _read_objects(parsed)  # pyright: ignore[reportUnknownArgumentType]
    return Response(built.status_code, built.content, built.headers, parsed)


class _Packed(msgspec.Struct):
    kind: str
    base64: bytes


class _Columns(msgspec.Struct):
    name: str
    step: list[int] | _Packed
    value: list[Any] | _Packed
    timestamp: list[int] | _Packed


_decode_columns = msgspec.json.Decoder(list[_Columns]).decode


def _read_columns(columns: _Columns) -> ListedMetrics:
    steps, times = _integers("step", columns.step), _integers("timestamp", columns.timestamp)
    values = _unpacked(columns.value)
    if not len(steps) == len(values) == len(times):
        raise ValueError("columns of one metric have different lengths")
    if times and not (min(times) >= _FIRST_TIME and max(times) <= _LAST_TIME):
        raise ValueError("a timestamp is not in the years 1 to 9999")
    if isinstance(values, list) and not set(map(type, values)) <= _NATIVE:
        values = [restore(value) for value in values]
    return ListedMetrics(columns.name, steps, values, times, is_exact=True)


def _integers(name: str, column: list[int] | _Packed) -> Sequence[int]:
    numbers = _unpacked(column)
    if isinstance(numbers, list):
        _check_integers(name, numbers)
    elif numbers.typecode != "q":
        raise ValueError(f"the column {name!r} has floats")
    return numbers


def _check_integers(name: str, numbers: list[int]) -> None:
    """Raises ValueError for one that NumPy and frames cannot hold."""
    if numbers and not (min(numbers) >= -MAX_STEP and max(numbers) <= MAX_STEP):
        raise ValueError(f"a {name} does not fit into 64 bits")


def _unpacked(column: list[Any] | _Packed) -> list[Any] | array[Any]:
    if isinstance(column, list):
        return column
    if column.kind not in _CODES:
        raise ValueError(f"a column has numbers of the unknown kind {column.kind!r}")
    numbers: array[Any] = array(_CODES[column.kind], column.base64)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


class _Object(msgspec.Struct, gc=False):
    """The fields of a `models.Metric`, of any type, as in that class."""

    name: Any
    value: Any
    step: Any
    timestamp: Any = UNSET


_decode_objects = msgspec.json.Decoder(list[_Object]).decode


def _read_objects(objects: list[Any]) -> list[ListedMetrics]:
    field = AnswerFields("listMetrics")
    page: list[ListedMetrics] = []
    for name, group in itertools.groupby(objects, operator.attrgetter("name")):
        metrics = list(group)
        steps = [metric.step for metric in metrics]
        if not set(map(type, steps)) <= {int}:
            steps = [field.integer("step", step) for step in steps]
        _check_integers("step", steps)
        times = [_microseconds(field, metric.timestamp) for metric in metrics]
        values = [metric.value for metric in metrics]
        page.append(ListedMetrics(field.text("name", name), steps, values, times, is_exact=False))
    return page


def _microseconds(field: AnswerFields, timestamp: Any) -> int | None:
    if isinstance(timestamp, str):
        timestamp = dt.datetime.fromisoformat(timestamp)
    date = field.optional_date("timestamp", timestamp)
    return None if date is None else microseconds_of(date)


def restored(metrics: ListedMetrics) -> Sequence[Any]:
    """The values with floats for the words of numbers, as far as the backend tells them."""
    if metrics.is_exact or set(map(type, metrics.values)) <= _NATIVE:
        return metrics.values
    # A metric of which each value is a number, or a list of numbers at any depth.
    if all(map(is_numeric, metrics.values)):
        return [as_numbers(value) for value in metrics.values]
    return metrics.values


def joined(parts: list[ListedMetrics]) -> ListedMetrics:
    """Metrics of one name of several pages, in the order of their steps."""
    steps, values, times = (
        _concatenated([part[index] for part in parts]) for index in range(1, _IS_EXACT)
    )
    is_exact = all(part.is_exact for part in parts)
    # By the contract, columns are in order.
    if not is_exact and not all(map(operator.le, steps, steps[1:])):
        order = sorted(range(len(steps)), key=steps.__getitem__)
        steps, values, times = (
            [column[index] for index in order] for column in (steps, values, times)
        )
    return ListedMetrics(parts[0].name, steps, values, times, is_exact)


def _concatenated(columns: list[Any]) -> Sequence[Any]:
    codes = {getattr(column, "typecode", "") for column in columns}
    whole: Any = columns[0][:0] if len(codes) == 1 else []
    for column in columns:
        whole.extend(column)
    return cast("Sequence[Any]", whole)


def microseconds_of(time: dt.datetime) -> int:
    """A time in microseconds since 1970."""
    return (time - _EPOCH) // _MICROSECOND


def datetime_of(microseconds: int) -> dt.datetime:
    """The time of a metric."""
    return _EPOCH + microseconds * _MICROSECOND
