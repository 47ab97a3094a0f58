"""The operations of the contract, one function each, named after its operationId.

Each takes a `Call` and gives an `Answer`. What cannot be done is raised as a `Refusal`.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import functools
import getpass
import itertools
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from msgspec import UNSET, UnsetType
from slugify import slugify

from afnio_tellurio.local import structs, values
from afnio_tellurio.local.run_names import random_run_name

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from afnio_tellurio.local.database import Database

T = TypeVar("T")

_MAX_METRICS = 10_000
_MAX_RUNS = 1000
_MAX_BUCKETS = 10_000
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


@dataclass(frozen=True)
class BackendUser:
    """Who uses a backend.

    Attributes:
        username: The user's name.
        email: The user's e-mail address.
    """

    username: str
    email: str

    @classmethod
    def of_this_machine(cls) -> BackendUser:
        """Whoever runs this process."""
        try:
            username = getpass.getuser()
        except (OSError, KeyError, ImportError):
            # A container may run as a number without a name.
            username = "local"
        return cls(username, f"{username}@localhost")

    @property
    def slug(self) -> str:
        """The slug of the user's own namespace."""
        return slugify(self.username) or "local"


@dataclass
class Call:
    """One request, taken apart."""

    database: Database
    user: BackendUser
    any_namespace: bool
    path: dict[str, str]
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    def decoded(self, decoder: msgspec.json.Decoder[T]) -> T:
        """The body, held to its struct."""
        try:
            try:
                return decoder.decode(self.body)
            except msgspec.ValidationError:
                return decoder.decode(_with_integers(self.body))
        except msgspec.ValidationError as error:
            raise _field_refusal(str(error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Refusal(400, {"detail": f"The request body is not JSON: {error}"}) from None


_INTEGERS = ("first_sequence_number", "step")


def _with_integers(body: bytes) -> bytes:
    """The body with integers written as such: JSON Schema takes 3.0 for one. Values stay."""
    try:
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError:
        return body
    with suppress(msgspec.ValidationError):
        metrics = msgspec.json.decode(fields.get("metrics", b"[]"), type=list[msgspec.Raw])
        if metrics:
            encoded = b",".join(_with_integers(bytes(metric)) for metric in metrics)
            fields["metrics"] = msgspec.Raw(b"[" + encoded + b"]")
    for name in _INTEGERS:
        if name in fields:
            fields[name] = _integer_of(fields[name])
    return structs.encode(fields)


def _integer_of(raw: msgspec.Raw) -> msgspec.Raw:
    text = bytes(raw).decode("utf-8")
    try:
        number = float(text)
    except ValueError:
        return raw
    if not number.is_integer() or abs(number) > structs.MAX_STEP:
        return raw
    # Not through the float, which holds no more than 53 bits.
    exact = Decimal(text) if number else Decimal(0)
    return msgspec.Raw(b"%d" % int(exact)) if exact == int(exact) else raw


@dataclass
class Answer:
    """What a request is answered with."""

    status: int
    body: bytes = b""
    headers: Sequence[tuple[str, str]] = ()


class Refusal(Exception):  # noqa: N818 - it is no fault of ours
    """A request that cannot be carried out; nothing of it is recorded."""

    def __init__(self, status: int, body: Any, headers: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body
        self.headers = headers


def _not_found(what: str) -> Refusal:
    return Refusal(404, {"detail": f"There is no {what}."})


def _field_refusal(message: str) -> Refusal:
    """`Expected int - at $.metrics[3].step` becomes an error of the field `metrics`."""
    what, _, place = message.partition(" - at `$")
    path = place.rstrip("`").lstrip(".")
    if not path:
        if "missing required field `" in what:
            return Refusal(400, {what.split("`")[1]: ["This field is required."]})
        return Refusal(400, {"detail": f"{what}."})
    name, mark, rest = path.partition("[")
    return Refusal(400, {name.partition(".")[0]: [f"{mark}{rest}: {what}" if mark else what]})


# Time, as it is kept and as it travels


def _now() -> int:
    return time.time_ns() // 1000


def _microseconds(when: dt.datetime) -> int:
    return (when - _EPOCH) // _MICROSECOND


def _rfc3339(microseconds: int) -> str:
    seconds, fraction = divmod(microseconds, 1_000_000)
    return f"{_second(seconds)}.{fraction:06d}Z"


@functools.lru_cache(maxsize=1024)
def _second(seconds: int) -> str:
    """The time without its fraction: what is logged in a loop shares it with its neighbours."""
    return (_EPOCH + dt.timedelta(seconds=seconds)).isoformat()[:19]


# Query parameters


def _integer(call: Call, name: str, low: int, high: int) -> int | None:
    word = call.query.get(name)
    if word is None:
        return None
    if not (word.isascii() and word.isdecimal() and low <= int(word) <= high):
        raise Refusal(400, {name: [f'"{word}" is not an integer from {low} to {high}.']})
    return int(word)


def _required(call: Call, name: str) -> str:
    if name not in call.query:
        raise Refusal(400, {name: ["This parameter is required."]})
    return call.query[name]


def _time(call: Call, name: str) -> int | None:
    word = call.query.get(name)
    if word is None:
        return None
    try:
        return _microseconds(msgspec.convert(word, structs.Time))
    except msgspec.ValidationError:
        raise Refusal(400, {name: [f'"{word}" is not an RFC 3339 time with a zone.']}) from None


def _cursor(call: Call, kind: type[T]) -> T | None:
    word = call.query.get("cursor")
    if word is None:
        return None
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(word), type=kind)
    except (binascii.Error, msgspec.DecodeError, ValueError):
        raise Refusal(400, {"cursor": [f'"{word}" is no cursor of this list.']}) from None


def _next_cursor(place: Any) -> tuple[str, str]:
    """The header that tells where the next page of a list starts."""
    return "Next-Cursor", base64.urlsafe_b64encode(structs.encode(place)).decode("ascii")


# Looking up what a path names


def _namespace(connection: sqlite3.Connection, call: Call, *, create: bool = False) -> int | None:
    slug = call.path["namespace_slug"]
    row = connection.execute("SELECT id FROM namespaces WHERE slug = ?", (slug,)).fetchone()
    if row is not None:
        namespace: int = row[0]
        return namespace
    if not call.any_namespace:
        raise _not_found(f"namespace {slug}")
    return add_namespace(connection, slug) if create else None


def add_namespace(connection: sqlite3.Connection, slug: str) -> int:
    """Makes a namespace, where there is none with this slug, and gives its id."""
    connection.execute(
        "INSERT INTO namespaces (uuid, slug, display_name) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        (str(uuid.uuid4()), slug, slug),
    )
    row = connection.execute("SELECT id FROM namespaces WHERE slug = ?", (slug,)).fetchone()
    namespace: int = row[0]
    return namespace


def _project(connection: sqlite3.Connection, call: Call) -> int:
    slug, project = call.path["namespace_slug"], call.path["project_slug"]
    namespace = _namespace(connection, call)
    row = connection.execute(
        "SELECT id FROM projects WHERE namespace = ? AND slug = ?", (namespace, project)
    ).fetchone()
    if row is None:
        raise _not_found(f"project {slug}/{project}")
    found: int = row[0]
    return found


def _run(connection: sqlite3.Connection, call: Call) -> int:
    project, name = _project(connection, call), call.path["run_uuid"].lower()
    row = connection.execute(
        "SELECT id FROM runs WHERE project = ? AND uuid = ?", (project, name)
    ).fetchone()
    if row is None:
        raise _not_found(f"run {name} in this project")
    run: int = row[0]
    return run


def _user(connection: sqlite3.Connection, user: BackendUser) -> int:
    connection.execute(
        "INSERT INTO users (uuid, username, slug) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        (str(uuid.uuid4()), user.username, user.slug),
    )
    row = connection.execute("SELECT id FROM users WHERE username = ?", (user.username,)).fetchone()
    found: int = row[0]
    return found


# The operations: who


def verify_api_key(call: Call) -> Answer:
    """Says whom the API key belongs to."""
    owner = structs.ApiKeyOwner(call.user.email, call.user.username, "API key is valid.")
    return Answer(200, structs.encode(owner))


# The operations: projects

_PROJECT = """
SELECT p.uuid, p.display_name, p.slug, p.created, (SELECT max(created) FROM runs WHERE project =
p.id), p.visibility, n.uuid, n.display_name, n.slug FROM projects p JOIN namespaces n ON n.id =
p.namespace
"""
_project_create = msgspec.json.Decoder(structs.ProjectCreate)


def _project_answer(row: Any) -> structs.Project:
    identity, name, slug, created, last_run, visibility, *organisation = row
    last = None if last_run is None else _rfc3339(last_run)
    return structs.Project(
        identity, name, slug, _rfc3339(created), last, visibility, "OWNER", *organisation
    )


def list_projects(call: Call) -> Answer:
    """All projects of the namespace, by slug."""
    with call.database.reading() as connection:
        namespace = _namespace(connection, call)
        rows = connection.execute(
            f"{_PROJECT} WHERE p.namespace = ? ORDER BY p.slug", (namespace,)
        ).fetchall()
    return Answer(200, structs.encode([_project_answer(row) for row in rows]))


def create_project(call: Call) -> Answer:
    """Creates a project in the namespace."""
    wanted = call.decoded(_project_create)
    slug = slugify(wanted.display_name)
    if not slug:
        raise Refusal(400, {"display_name": ["It has no letter or digit to make a slug of."]})
    with call.database.writing() as connection:
        namespace = _namespace(connection, call, create=True)
        made = connection.execute(
            "INSERT INTO projects (uuid, namespace, slug, display_name, visibility, created) "
            "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id",
            (str(uuid.uuid4()), namespace, slug, wanted.display_name, wanted.visibility, _now()),
        ).fetchone()
        if made is None:
            where = call.path["namespace_slug"]
            raise Refusal(409, {"detail": f"A project with the slug {slug} exists in {where}."})
        row = connection.execute(f"{_PROJECT} WHERE p.id = ?", made).fetchone()
    return Answer(201, structs.encode(_project_answer(row)))


def get_project(call: Call) -> Answer:
    """The project with this slug."""
    with call.database.reading() as connection:
        project = _project(connection, call)
        row = connection.execute(f"{_PROJECT} WHERE p.id = ?", (project,)).fetchone()
    return Answer(200, structs.encode(_project_answer(row)))


def delete_project(call: Call) -> Answer:
    """Deletes the project, its runs and their metrics."""
    with call.database.writing() as connection:
        connection.execute("DELETE FROM projects WHERE id = ?", (_project(connection, call),))
    return Answer(204)


# The operations: runs

_RUN = """
SELECT r.id, r.uuid, r.name, r.description, r.status, r.created, r.updated,
  p.uuid, p.display_name, p.slug, u.uuid, u.username, u.slug
FROM runs r JOIN projects p ON p.id = r.project JOIN users u ON u.id = r.user
"""
_run_create = msgspec.json.Decoder(structs.RunCreate)
_run_update = msgspec.json.Decoder(structs.RunUpdate)


def _run_answer(row: Any) -> structs.Run:
    _id, identity, name, description, status, created, updated, *others = row
    project, user = structs.RunProject(*others[:3]), structs.RunUser(*others[3:])
    return structs.Run(
        identity, name, description, status, _rfc3339(created), _rfc3339(updated), project, user
    )


def _one_run(connection: sqlite3.Connection, run: int) -> bytes:
    return structs.encode(
        _run_answer(connection.execute(f"{_RUN} WHERE r.id = ?", (run,)).fetchone())
    )


def _free_name(
    connection: sqlite3.Connection, project: int, name: str | UnsetType, run: int
) -> str:
    """The name, or the first of `name_1`, `name_2`, ... that no other run of the project has."""
    wanted = random_run_name() if isinstance(name, UnsetType) else name
    candidate, number = wanted, 0
    while connection.execute(
        "SELECT 1 FROM runs WHERE project = ? AND name = ? AND id <> ?", (project, candidate, run)
    ).fetchone():
        number += 1
        candidate = f"{wanted}_{number}"
    return candidate


def list_runs(call: Call) -> Answer:
    """The runs of the project that pass all filters given, newest first."""
    limit = _integer(call, "limit", 1, _MAX_RUNS)
    status = call.query.get("status")
    if status is not None and status not in list(structs.RunStatus):
        raise Refusal(400, {"status": [f'"{status}" is not a valid choice.']})
    filters = [
        ("r.status = ?", status),
        ("r.name = ?", call.query.get("name")),
        ("r.created >= ?", _time(call, "created_after")),
        ("r.created < ?", _time(call, "created_before")),
        ("r.id < ?", _cursor(call, int)),
    ]
    given = [(condition, value) for condition, value in filters if value is not None]
    where = " AND ".join(["r.project = ?", *(condition for condition, _ in given)])
    with call.database.reading() as connection:
        rows = connection.execute(
            f"{_RUN} WHERE {where} ORDER BY r.id DESC LIMIT ?",
            (
                _project(connection, call),
                *(value for _, value in given),
                -1 if limit is None else limit + 1,
            ),
        ).fetchall()
    # One more than a page holds was read, to tell whether there is another.
    shown = rows if limit is None else rows[:limit]
    headers = [_next_cursor(shown[-1][0])] if len(rows) > len(shown) else []
    return Answer(200, structs.encode([_run_answer(row) for row in shown]), headers)


def create_run(call: Call) -> Answer:
    """Creates a run, once for each idempotency key."""
    wanted = call.decoded(_run_create)
    key = call.headers.get("idempotency-key")
    if key is not None and not 1 <= len(key) <= 255:  # noqa: PLR2004 - the contract's bound
        raise Refusal(400, {"Idempotency-Key": ["Give 1 to 255 characters."]})
    with call.database.writing() as connection:
        project = _project(connection, call)
        made = connection.execute(
            "SELECT id FROM runs WHERE project = ? AND idempotency_key = ?", (project, key)
        ).fetchone()
        if made is None:
            now = _now()
            made = connection.execute(
                "INSERT INTO runs (uuid, project, user, name, description, status, created, "
                "updated, idempotency_key) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
                (
                    str(uuid.uuid4()),
                    project,
                    _user(connection, call.user),
                    _free_name(connection, project, wanted.name, 0),
                    wanted.description,
                    wanted.status,
                    now,
                    now,
                    key,
                ),
            ).fetchone()
        return Answer(201, _one_run(connection, made[0]))


def get_run(call: Call) -> Answer:
    """The run with this UUID."""
    with call.database.reading() as connection:
        return Answer(200, _one_run(connection, _run(connection, call)))


def update_run(call: Call) -> Answer:
    """Changes the fields given and leaves the others as they are."""
    wanted = call.decoded(_run_update)
    with call.database.writing() as connection:
        run = _run(connection, call)
        changes: dict[str, Any] = {}
        if wanted.status is not UNSET:
            changes["status"] = wanted.status
        if wanted.name is not UNSET:
            changes["name"] = _free_name(connection, _project(connection, call), wanted.name, run)
        if wanted.description is not UNSET:
            changes["description"] = wanted.description
        if changes:
            changes["updated"] = _now()
            columns = ", ".join(f"{column} = ?" for column in changes)
            connection.execute(
                f"UPDATE runs SET {columns} WHERE id = ?",  # noqa: S608 - the columns are ours
                (*changes.values(), run),
            )
        return Answer(200, _one_run(connection, run))


def delete_run(call: Call) -> Answer:
    """Deletes the run and its metrics."""
    with call.database.writing() as connection:
        connection.execute("DELETE FROM runs WHERE id = ?", (_run(connection, call),))
    return Answer(204)


# The operations: metrics

_metric_create = msgspec.json.Decoder(structs.MetricCreate)
_metric_batch = msgspec.json.Decoder(structs.MetricBatch)


_SERIES = (
    "id, count, first_step, last_step, last_value, last_json, last_timestamp, minimum, maximum"
)


class _Series:
    """The series row of one metric of a run, and the points that come to it in a transaction."""

    def __init__(self, row: tuple[Any, ...]) -> None:
        self.points: list[tuple[Any, ...]] = []
        self._id: int = row[0]
        self._count: int = row[1]
        self._first: int = row[2]
        self._last: int = row[3]
        self._last_point: tuple[Any, ...] = row[4:7]
        self._low: float | None = row[7]
        self._high: float | None = row[8]

    def add(self, asked: int | UnsetType, value: values.Stored, timestamp: int) -> int:
        """Adds one point, and gives the step that it has."""
        step = self._last + 1 if isinstance(asked, UnsetType) else asked
        if step > structs.MAX_STEP:
            raise Refusal(400, {"step": ["There is no greater step left; give one."]})
        number, text = value.number, value.text
        self.points.append((self._id, step, self._count, number, text, timestamp))
        if step >= self._last:
            self._last = step
            self._last_point = (number, text, timestamp)
        if self._count == 0 or step < self._first:
            self._first = step
        self._count += 1
        if number is None:
            number = value.comparable()
            if number is None:
                return step
        if self._low is None or number < self._low:
            self._low = number
        if self._high is None or number > self._high:
            self._high = number
        return step

    def row(self) -> tuple[Any, ...]:
        """What becomes of the row: its columns but for the id, and then that."""
        return (
            self._count,
            self._first,
            self._last,
            *self._last_point,
            self._low,
            self._high,
            self._id,
        )


def _series_of(connection: sqlite3.Connection, run: int, names: set[str]) -> dict[str, _Series]:
    """The series of these metrics, made where they are new."""
    marks = ", ".join("?" * len(names))
    query = f"SELECT name, {_SERIES} FROM series WHERE run = ? AND name IN ({marks})"  # noqa: S608
    rows = connection.execute(query, (run, *names))
    found = {row[0]: _Series(row[1:]) for row in rows}
    for name in names - found.keys():
        (number,) = connection.execute(
            "INSERT INTO series (run, name, count, first_step, last_step, last_timestamp) "
            "VALUES (?, ?, 0, 0, -1, 0) RETURNING id",
            (run, name),
        ).fetchone()
        found[name] = _Series((number, 0, 0, -1, None, None, 0, None, None))
    return found


def _write(connection: sqlite3.Connection, found: Iterable[_Series]) -> None:
    """Writes the points that came to these series, and their rows."""
    series = list(found)
    connection.executemany(
        "INSERT INTO points VALUES (?, ?, ?, ?, ?, ?)",
        itertools.chain.from_iterable(each.points for each in series),
    )
    connection.executemany(
        "UPDATE series SET count = ?, first_step = ?, last_step = ?, last_value = ?, "
        "last_json = ?, last_timestamp = ?, minimum = ?, maximum = ? WHERE id = ?",
        [each.row() for each in series],
    )


def _stored(raw: msgspec.Raw, field_name: str, index: int | None = None) -> values.Stored:
    try:
        return values.stored(raw)
    except (ValueError, RecursionError) as error:
        place = "" if index is None else f"[{index}].value: "
        raise Refusal(400, {field_name: [f"{place}{error}."]}) from None


def _stored_all(metrics: Sequence[structs.MetricCreate]) -> list[values.Stored]:
    numbers = values.native_numbers([metric.value for metric in metrics])
    return [
        _stored(metric.value, "metrics", index) if number is None else values.Stored(number, None)
        for index, (metric, number) in enumerate(zip(metrics, numbers, strict=True))
    ]


def log_metric(call: Call) -> Answer:
    """Records one metric."""
    metric = call.decoded(_metric_create)
    value = _stored(metric.value, "value")
    timestamp = _now() if metric.timestamp is UNSET else _microseconds(metric.timestamp)
    with call.database.writing() as connection:
        series = _series_of(connection, _run(connection, call), {metric.name})[metric.name]
        step = series.add(metric.step, value, timestamp)
        _write(connection, [series])
    recorded = structs.Metric(
        metric.name, values.raw(value.number, value.text), step, _rfc3339(timestamp)
    )
    return Answer(201, structs.encode(recorded))


def log_metric_batch(call: Call) -> Answer:
    """Records a writer's metrics, all or none, skipping those that it has recorded before."""
    batch = call.decoded(_metric_batch)
    now = _now()
    points = [
        (
            metric.name,
            metric.step,
            value,
            now if metric.timestamp is UNSET else _microseconds(metric.timestamp),
        )
        for metric, value in zip(batch.metrics, _stored_all(batch.metrics), strict=True)
    ]
    writer, first = str(batch.writer), batch.first_sequence_number
    with call.database.writing() as connection:
        run = _run(connection, call)
        row = connection.execute(
            "SELECT next FROM writers WHERE run = ? AND writer = ?", (run, writer)
        ).fetchone()
        expected: int = row[0] if row else 0
        if first > expected:
            words = f"The next sequence number is {expected} and the batch starts at {first}."
            raise Refusal(409, structs.SequenceGapError(words, expected))
        fresh = points[expected - first :]
        series = _series_of(connection, run, {point[0] for point in fresh})
        for name, step, value, timestamp in fresh:
            series[name].add(step, value, timestamp)
        _write(connection, series.values())
        following = expected + len(fresh)
        connection.execute(
            "INSERT INTO writers VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET next = excluded.next",
            (run, writer, following),
        )
    return Answer(200, structs.encode(structs.MetricBatchReceipt(len(fresh), following)))


def list_metrics(call: Call) -> Answer:
    """The metrics of the run by name, then by step, then in order of arrival."""
    limit = _integer(call, "limit", 1, _MAX_METRICS)
    after_step = _integer(call, "after_step", 0, structs.MAX_STEP)
    name = call.query.get("name")
    cursor = _cursor(call, tuple[str, int, int])
    with call.database.reading() as connection:
        run = _run(connection, call)
        series = connection.execute(
            "SELECT name, id FROM series WHERE run = ? AND name >= ? ORDER BY name",
            (run, cursor[0] if cursor else ""),
        ).fetchall()
        metrics: list[structs.Metric] = []
        for found, identity in series:
            if name is not None and found != name:
                continue
            after = cursor[1:] if cursor and found == cursor[0] else (-1, -1)
            left = None if limit is None else limit - len(metrics)
            rows = connection.execute(
                "SELECT value, json, step, timestamp, arrival FROM points "
                "WHERE series = ? AND (step, arrival) > (?, ?) AND step > ? "
                "ORDER BY step, arrival LIMIT ?",
                (
                    identity,
                    *after,
                    -1 if after_step is None else after_step,
                    -1 if left is None else left + 1,
                ),
            ).fetchall()
            metrics += _metric_answers(found, rows[:left])
            if left is not None and len(rows) > left:
                # Where the next page starts: behind the last that is shown, or at this name.
                place = (found, rows[left - 1][2], rows[left - 1][4]) if left else (found, -1, -1)
                return Answer(200, structs.encode(metrics), [_next_cursor(place)])
    return Answer(200, structs.encode(metrics))


def _metric_answers(name: str, rows: Iterable[tuple[Any, ...]]) -> list[structs.Metric]:
    # Without a call for each where there need be none: there are millions of them. A number that
    # is finite is written by the encoder as `values.raw` writes it.
    return [
        structs.Metric(
            name,
            number if number is not None and number - number == 0 else values.raw(number, text),
            step,
            f"{_second(timestamp // 1_000_000)}.{timestamp % 1_000_000:06d}Z",
        )
        for number, text, step, timestamp, _arrival in rows
    ]


def summarize_metrics(call: Call) -> Answer:
    """One summary for each metric name of the run."""
    with call.database.reading() as connection:
        rows = connection.execute(
            "SELECT name, count, first_step, last_step, last_value, last_json, minimum, maximum, "
            "last_timestamp FROM series WHERE run = ? ORDER BY name",
            (_run(connection, call),),
        ).fetchall()
    summaries = {
        name: structs.MetricSummary(
            count,
            first,
            last_step,
            values.raw(number, text),
            values.raw_number(low),
            values.raw_number(high),
            _rfc3339(timestamp),
        )
        for name, count, first, last_step, number, text, low, high, timestamp in rows
    }
    return Answer(200, structs.encode(summaries))


def sample_metric(call: Call) -> Answer:
    """Describes each range of steps that holds at least one value."""
    name = _required(call, "name")
    _required(call, "buckets")
    buckets = _integer(call, "buckets", 1, _MAX_BUCKETS) or 1
    from_step = _integer(call, "from_step", 0, structs.MAX_STEP)
    to_step = _integer(call, "to_step", 0, structs.MAX_STEP)
    with call.database.reading() as connection:
        row = connection.execute(
            "SELECT id, first_step, last_step FROM series WHERE run = ? AND name = ?",
            (_run(connection, call), name),
        ).fetchone()
        if row is None:
            return Answer(200, b"[]")
        series, first, last = row
        first = first if from_step is None else from_step
        last = last if to_step is None else to_step
        # In Python, where the sum of two steps does not overflow.
        width = max(1, -(-(last - first + 1) // buckets))
        points = connection.execute(
            "SELECT step, value, json FROM points WHERE series = ? AND step BETWEEN ? AND ? "
            "ORDER BY step, arrival",
            (series, first, last),
        )
        sampled = _sampled(points, first, last, width)
    return Answer(200, structs.encode(sampled))


def _sampled(
    points: sqlite3.Cursor, first: int, last: int, width: int
) -> list[structs.MetricBucket]:
    found: list[structs.MetricBucket] = []
    bucket: list[tuple[Any, ...]] = []
    start = first
    for point in points:
        if point[0] >= start + width:
            if bucket:
                found.append(_bucket(bucket, start, last, width))
            bucket = []
            start += (point[0] - start) // width * width
        bucket.append(point)
    if bucket:
        found.append(_bucket(bucket, start, last, width))
    return found


def _bucket(
    points: list[tuple[Any, ...]], start: int, last: int, width: int
) -> structs.MetricBucket:
    numbers = [values.Stored(*point[1:]).comparable() for point in points]
    comparable = [number for number in numbers if number is not None]
    return structs.MetricBucket(
        start,
        min(start + width - 1, last),
        values.raw_number(min(comparable, default=None)),
        values.raw_number(max(comparable, default=None)),
        values.raw(*points[-1][1:]),
        len(points),
    )
