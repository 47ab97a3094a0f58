"""One request, taken apart: its parameters, its body, and what its path names."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import functools
import getpass
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from msgspec import UNSET, UnsetType
from slugify import slugify

from afnio_tellurio.backend import structs
from afnio_tellurio.backend.store.database import UNKNOWN_DELETED_RUNS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from afnio_tellurio.backend.pace import Pace
    from afnio_tellurio.backend.store.database import Database

T = TypeVar("T")

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
    pace: Pace
    user: BackendUser
    any_namespace: bool
    path: dict[str, str]
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes

    def word(self, name: str) -> str | None:
        """A query parameter; the last where there are several."""
        return dict(self.query).get(name)

    def words(self, name: str) -> list[str]:
        """A query parameter that may be repeated, each word once."""
        return list(dict.fromkeys(word for key, word in self.query if key == name))

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


def not_found(what: str) -> Refusal:
    """What is answered where a path names nothing."""
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


def current_time() -> int:
    """The time, as it is kept: microseconds since 1970."""
    return time.time_ns() // 1000


def microseconds_of(when: dt.datetime) -> int:
    """A time as it is kept."""
    return (when - _EPOCH) // _MICROSECOND


def rfc3339(microseconds: int) -> str:
    """A time as it travels."""
    seconds, fraction = divmod(microseconds, 1_000_000)
    return f"{second_of(seconds)}.{fraction:06d}Z"


@functools.lru_cache(maxsize=1024)
def second_of(seconds: int) -> str:
    """The time without its fraction: what is logged in a loop shares it with its neighbours."""
    return (_EPOCH + dt.timedelta(seconds=seconds)).isoformat()[:19]


# Query parameters


def integer_of(call: Call, name: str, low: int, high: int) -> int | None:
    """An integer among the query parameters, or None where it is not given."""
    word = call.word(name)
    if word is None:
        return None
    if not (word.isascii() and word.isdecimal() and low <= int(word) <= high):
        raise Refusal(400, {name: [f'"{word}" is not an integer from {low} to {high}.']})
    return int(word)


def required_word(call: Call, name: str) -> str:
    """A query parameter that must be there."""
    word = call.word(name)
    if word is None:
        raise Refusal(400, {name: ["This parameter is required."]})
    return word


def time_of(call: Call, name: str) -> int | None:
    """A time among the query parameters, as it is kept."""
    word = call.word(name)
    if word is None:
        return None
    try:
        return microseconds_of(msgspec.convert(word, structs.Time))
    except msgspec.ValidationError:
        raise Refusal(400, {name: [f'"{word}" is not an RFC 3339 time with a zone.']}) from None


def cursor_of(call: Call, kind: type[T]) -> T | None:
    """The place that a cursor stands for, or None where there is none."""
    word = call.word("cursor")
    if word is None:
        return None
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(word), type=kind)
    except (binascii.Error, msgspec.DecodeError, ValueError):
        raise Refusal(400, {"cursor": [f'"{word}" is no cursor of this list.']}) from None


def next_cursor(place: Any) -> tuple[str, str]:
    """The header that tells where the next page of a list starts."""
    return "Next-Cursor", base64.urlsafe_b64encode(structs.encode(place)).decode("ascii")


# Looking up what a path names


def namespace_of(connection: sqlite3.Connection, call: Call, *, create: bool = False) -> int | None:
    """The id of the namespace that the path names, or None where it may come to be."""
    slug = call.path["namespace_slug"]
    row = connection.execute("SELECT id FROM namespaces WHERE slug = ?", (slug,)).fetchone()
    if row is not None:
        namespace: int = row[0]
        return namespace
    if not call.any_namespace:
        raise not_found(f"namespace {slug}")
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


def project_of(connection: sqlite3.Connection, call: Call) -> int:
    """The id of the project that the path names."""
    slug, project = call.path["namespace_slug"], call.path["project_slug"]
    namespace = namespace_of(connection, call)
    row = connection.execute(
        "SELECT id FROM projects WHERE namespace = ? AND slug = ?", (namespace, project)
    ).fetchone()
    if row is None:
        raise not_found(f"project {slug}/{project}")
    found: int = row[0]
    return found


def run_of(connection: sqlite3.Connection, call: Call) -> int:
    """The id of the run that the path names."""
    run_uuid = call.path["run_uuid"].lower()
    try:
        project = project_of(connection, call)
        row = connection.execute(
            "SELECT id FROM runs WHERE project = ? AND uuid = ?", (project, run_uuid)
        ).fetchone()
        if row is None:
            raise not_found(f"run {run_uuid} in this project")
    except Refusal as refusal:
        error = structs.RunNotFoundError(refusal.body["detail"], _was_deleted(connection, run_uuid))
        raise Refusal(refusal.status, error) from None
    run: int = row[0]
    return run


def _was_deleted(connection: sqlite3.Connection, run_uuid: str) -> bool | UnsetType:
    """Whether a run that was not found was deleted; unset where it is elsewhere, or unknown."""
    if is_deleted_run(connection, run_uuid):
        return True
    is_elsewhere = connection.execute("SELECT 1 FROM runs WHERE uuid = ?", (run_uuid,)).fetchone()
    if is_elsewhere or is_deleted_run(connection, UNKNOWN_DELETED_RUNS):
        return UNSET
    return False


def is_deleted_run(connection: sqlite3.Connection, run_uuid: str) -> bool:
    """Whether a run with this UUID was deleted."""
    row = connection.execute("SELECT 1 FROM deleted_runs WHERE uuid = ?", (run_uuid,)).fetchone()
    return row is not None


def user_of(connection: sqlite3.Connection, user: BackendUser) -> int:
    """The id of a user, who is made where there is none."""
    connection.execute(
        "INSERT INTO users (uuid, username, slug) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        (str(uuid.uuid4()), user.username, user.slug),
    )
    row = connection.execute("SELECT id FROM users WHERE username = ?", (user.username,)).fetchone()
    found: int = row[0]
    return found
