"""A request: its parameters, its body, and the rows that its path refers to."""

from __future__ import annotations

import base64
import datetime as dt
import functools
import getpass
import re
import sys
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from msgspec import UNSET, UnsetType
from slugify import slugify

from afnio_tellurio.backend import structs
from afnio_tellurio.backend.integer_fields import with_integers
from afnio_tellurio.backend.store import projects as stored_projects
from afnio_tellurio.backend.store import runs as stored_runs
from afnio_tellurio.backend.store import trash
from afnio_tellurio.backend.structs import ErrorCode
from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.settings.limits import CONTRACT_VERSION, VERSION_HEADER

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Sequence
    from wsgiref.types import InputStream, WSGIEnvironment

    from afnio_tellurio.backend.pace import Pace
    from afnio_tellurio.backend.store.database import Database

R = TypeVar("R")
T = TypeVar("T")

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
#: Characters of a parameter in an error message.
_MAX_QUOTED = 100
#: Characters of values after which a page ends: clients do not read endless answers.
MAX_PAGE_LENGTH = 8 * 2**20
#: The IDs of requests that are returned: others could break up a line of a log.
_REQUEST_ID = re.compile(r"[!-~]{1,128}")
#: The word for programs in an error with this status.
_CODES = {
    400: ErrorCode.INVALID,
    401: ErrorCode.UNAUTHORIZED,
    403: ErrorCode.FORBIDDEN,
    404: ErrorCode.NOT_FOUND,
    405: ErrorCode.METHOD_NOT_ALLOWED,
    412: ErrorCode.PRECONDITION_FAILED,
    413: ErrorCode.TOO_LARGE,
    415: ErrorCode.UNSUPPORTED_MEDIA_TYPE,
    416: ErrorCode.RANGE_NOT_SATISFIABLE,
    501: ErrorCode.NOT_IMPLEMENTED,
    503: ErrorCode.UNAVAILABLE,
}


@dataclass(frozen=True)
class BackendUser:
    """The user of a backend.

    Attributes:
        username: The user's name.
        email: The user's e-mail address.
    """

    username: str
    email: str

    @classmethod
    def of_this_machine(cls) -> BackendUser:
        """Returns the user who runs this process."""
        try:
            username = getpass.getuser()
        except (OSError, KeyError, ImportError) as error:
            raise_foreign(error)
            # In a container, the user may have a number but no name.
            username = "local"
        # The environment may hold bytes that are not UTF-8.
        username = username.encode("utf-8", "replace").decode()
        return cls(username, f"{username}@localhost")

    @property
    def slug(self) -> str:
        """The slug of the user's own namespace."""
        return slugify(self.username) or "local"


@dataclass
class Body:
    """The body of a request.

    Attributes:
        content_type: Its content type, without parameters; empty if there is no body.
        content: The whole body, if it is JSON.
        stream: The body of another content type, to read in parts.
        length: Its bytes, if they are known.
        parameters: Those of the content type, such as the boundary of a form.
    """

    content_type: str = ""
    content: bytes = b""
    stream: InputStream | None = None
    length: int | None = None
    parameters: dict[str, str] = field(default_factory=dict[str, str])


@dataclass
class Call:
    """A request that was parsed, except for its body."""

    database: Database
    pace: Pace
    user: BackendUser
    any_namespace: bool
    path: dict[str, str]
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: Body

    def parameter(self, name: str) -> str | None:
        """Returns a query parameter; if it is repeated, the last one."""
        return dict(self.query).get(name)

    def parameters(self, name: str) -> list[str]:
        """Returns the distinct values of a query parameter that may be repeated."""
        return list(dict.fromkeys(value for key, value in self.query if key == name))

    def decode_body(self, decoder: msgspec.json.Decoder[T]) -> T:
        """Decodes and validates the body."""
        try:
            try:
                return decoder.decode(self.body.content)
            except msgspec.ValidationError:
                return decoder.decode(with_integers(self.body.content))
        except msgspec.ValidationError as error:
            raise _field_refusal(str(error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Refusal(400, {"detail": f"The request body is not JSON: {error}"}) from None


def path_of(environ: WSGIEnvironment) -> str:
    """Returns the path of a request."""
    # WSGI passes the bytes of the path decoded as Latin-1.
    raw: str = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    return raw.encode("latin-1", "replace").decode("utf-8", "replace")


def query_of(environ: WSGIEnvironment) -> list[tuple[str, str]]:
    """Returns the query parameters of a request, in order."""
    return parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True)


def common_headers(environ: WSGIEnvironment) -> list[tuple[str, str]]:
    """Returns the headers of every response: the ID of its request, and the contract's version."""
    request_id = environ.get("HTTP_X_REQUEST_ID", "")
    if not _REQUEST_ID.fullmatch(request_id):
        request_id = uuid.uuid4().hex
    return [("X-Request-ID", request_id), (VERSION_HEADER, CONTRACT_VERSION)]


@dataclass
class Answer:
    """The response to a request.

    Attributes:
        status: Its status.
        body: Its body; one that is not bytes is sent in parts.
        headers: Its headers, except for those of the body.
        content_type: The content type of the body.
    """

    status: int
    body: bytes | Iterable[bytes] = b""
    headers: Sequence[tuple[str, str]] = ()
    content_type: str = "application/json"


class Refusal(Exception):  # noqa: N818 - not an error of the backend
    """Raised if a request cannot be performed; nothing is recorded.

    Args:
        status: The status of the response.
        body: Its body; fields without a code get one.
        headers: Its headers.
        code: The code of the fields, if their status can mean several.
    """

    def __init__(
        self,
        status: int,
        body: msgspec.Struct | dict[str, Any],
        headers: Sequence[tuple[str, str]] = (),
        *,
        code: ErrorCode | None = None,
    ) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = {**body, "code": code or _CODES[status]} if isinstance(body, dict) else body
        self.headers = headers

    def answer(self) -> Answer:
        """Returns the response."""
        return Answer(self.status, structs.encode(self.body), self.headers)


def not_found(item: str) -> Refusal:
    """Returns the refusal for a path to an item that does not exist."""
    return Refusal(404, {"detail": f"{item} not found."})


def too_large(limit: int) -> Refusal:
    """Returns the refusal of a body above a limit in bytes."""
    return Refusal(413, {"detail": f"The request body is larger than {limit} bytes."})


def _field_refusal(message: str) -> Refusal:
    """Turns `Expected int - at $.metrics[3].step` into an error of the field `metrics`."""
    reason, _, location = message.partition(" - at `$")
    path = location.rstrip("`").lstrip(".")
    if not path:
        if "missing required field `" in reason:
            return Refusal(400, {reason.split("`")[1]: ["This field is required."]})
        return Refusal(400, {"detail": f"{reason}."})
    name, bracket, rest = path.partition("[")
    field_name = name.partition(".")[0]
    return Refusal(400, {field_name: [f"{bracket}{rest}: {reason}" if bracket else reason]})


# Time: microseconds in the database, RFC 3339 in JSON


_FIRST_TIME = (dt.datetime.min.replace(tzinfo=dt.UTC) - _EPOCH) // _MICROSECOND
_LAST_TIME = (dt.datetime.max.replace(tzinfo=dt.UTC) - _EPOCH) // _MICROSECOND


def current_time() -> int:
    """Returns the current time in microseconds since 1970."""
    return time.time_ns() // 1000


def microseconds_of(date: dt.datetime) -> int:
    """Returns a time in microseconds since 1970."""
    return (date - _EPOCH) // _MICROSECOND


def storable_microseconds_of(date: dt.datetime) -> int:
    """Returns a time in microseconds since 1970.

    Raises:
        ValueError: In UTC, it is not in the years 1 to 9999.
    """
    microseconds = microseconds_of(date)
    if not _FIRST_TIME <= microseconds <= _LAST_TIME:
        raise ValueError("is not in the years 1 to 9999 in UTC")
    return microseconds


def rfc3339(microseconds: int) -> str:
    """Returns a time in RFC 3339."""
    seconds, fraction = divmod(microseconds, 1_000_000)
    return f"{second_of(seconds)}.{fraction:06d}Z"


@functools.lru_cache(maxsize=1024)
def second_of(seconds: int) -> str:
    """Returns a time without its fraction; cached, since metrics in a loop share their seconds."""
    return (_EPOCH + dt.timedelta(seconds=seconds)).isoformat()[:19]


# Query parameters


def integer_of(call: Call, name: str, low: int, high: int) -> int | None:
    """Returns an optional query parameter that must be an integer."""
    text = call.parameter(name)
    if text is None:
        return None
    # Python refuses to convert thousands of digits.
    digits = text.lstrip("0") or text[-1:]
    is_short = text.isascii() and text.isdecimal() and len(digits) <= len(str(high))
    if not (is_short and low <= int(digits) <= high):
        raise Refusal(400, {name: [f"{quoted(text)} is not an integer from {low} to {high}."]})
    return int(digits)


def quoted(text: str) -> str:
    """Returns the beginning of a parameter for an error message."""
    return f'"{text}"' if len(text) <= _MAX_QUOTED else f'"{text[:_MAX_QUOTED]}..."'


def required_parameter(call: Call, name: str) -> str:
    """Returns a query parameter that must be present."""
    value = call.parameter(name)
    if value is None:
        raise Refusal(400, {name: ["This parameter is required."]})
    return value


def boolean_of(call: Call, name: str) -> bool:
    """Returns an optional query parameter that must be true or false; False if it is missing."""
    text = call.parameter(name)
    if text not in {None, "true", "false"}:
        raise Refusal(400, {name: [f"{quoted(text or '')} is not true or false."]})
    return text == "true"


def time_of(call: Call, name: str) -> int | None:
    """Returns an optional query parameter that must be a time, in microseconds since 1970."""
    text = call.parameter(name)
    if text is None:
        return None
    try:
        return microseconds_of(msgspec.convert(text, structs.Time))
    except msgspec.ValidationError:
        message = f"{quoted(text)} is not an RFC 3339 time with a zone."
        raise Refusal(400, {name: [message]}) from None


def uuid_of(call: Call, name: str) -> str | None:
    """Returns an optional query parameter that must be a UUID, in lower case."""
    text = call.parameter(name)
    if text is None:
        return None
    if not re.fullmatch(structs.UUID_PATTERN, text):
        raise Refusal(400, {name: [f"{quoted(text)} is not a UUID."]})
    return text.lower()


def cursor_of(call: Call, kind: type[T]) -> T | None:
    """Returns the content of the cursor parameter, if it is present."""
    text = call.parameter("cursor")
    if text is None:
        return None
    try:
        return decode_cursor(text, kind)
    except ValueError:
        message = f"{quoted(text)} isn't a valid cursor of this list."
        raise Refusal(400, {"cursor": [message]}) from None


def next_cursor(position: Any) -> tuple[str, str]:
    """Returns the header with the cursor of the next page."""
    return "Next-Cursor", encode_cursor(position)


def rows_for(limit: int | None) -> int:
    """Returns the rows to read for a page: one more shows that there is another; -1 for all."""
    return -1 if limit is None else limit + 1


def length_for(limit: int | None) -> int:
    """Returns the characters after which a page ends; a list without a limit has no end."""
    return sys.maxsize if limit is None else MAX_PAGE_LENGTH


def page_of(
    rows: list[R],
    limit: int | None,
    position: Callable[[R], Any],
    length_of: Callable[[R], int] | None = None,
) -> tuple[list[R], list[tuple[str, str]]]:
    """Returns a page, and the header with the cursor of the next one if there is more.

    Args:
        rows: The rows, up to `rows_for` the limit.
        limit: The number of rows that the page may have; None for all.
        position: The place of a row in the list.
        length_of: The characters of a row, if the rows are those up to `length_for` the limit.
    """
    if length_of is not None and len(rows) > 1 and sum(map(length_of, rows)) > length_for(limit):
        # The last one only shows that there is another.
        limit = len(rows) - 1
    if limit is None or len(rows) <= limit:
        return rows, []
    return rows[:limit], [next_cursor(position(rows[limit - 1]))]


def encode_cursor(content: Any) -> str:
    """Returns an opaque cursor with this content."""
    return base64.urlsafe_b64encode(structs.encode(content)).decode("ascii")


def decode_cursor(text: str, kind: type[T]) -> T:
    """Returns the content of a cursor.

    Raises:
        ValueError: The cursor is invalid.
    """
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(text), type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(str(error)) from error


# Rows that a path refers to


def namespace_of(connection: sqlite3.Connection, call: Call, *, create: bool = False) -> int | None:
    """Returns the id of the path's namespace, or None if it doesn't exist yet but may."""
    slug = call.path["namespace_slug"]
    namespace = stored_projects.find_namespace(connection, slug)
    if namespace is not None:
        return namespace
    if not call.any_namespace:
        raise not_found(f"Namespace {slug}")
    return stored_projects.add_namespace(connection, slug) if create else None


def project_of(connection: sqlite3.Connection, call: Call, *, or_trashed: bool = False) -> int:
    """Returns the id of the path's project.

    Args:
        connection: A connection in a transaction.
        call: The request.
        or_trashed: Whether the project may be in the trash, if no other has its slug.
    """
    slug, project_slug = call.path["namespace_slug"], call.path["project_slug"]
    namespace = namespace_of(connection, call)
    project = stored_projects.find_project(connection, namespace, project_slug)
    if project is None and or_trashed:
        project = trash.find_project(connection, namespace, project_slug)
    if project is None:
        raise not_found(f"Project {slug}/{project_slug}")
    return project


def run_of(connection: sqlite3.Connection, call: Call, *, or_trashed: bool = False) -> int:
    """Returns the id of the path's run.

    Args:
        connection: A connection in a transaction.
        call: The request.
        or_trashed: Whether the run may be in the trash.
    """
    run_uuid = call.path["run_uuid"].lower()
    try:
        project = project_of(connection, call)
        run = stored_runs.find_run(connection, project, run_uuid)
        if run is None and or_trashed:
            run = trash.find_run(connection, project, run_uuid)
        if run is None:
            raise _missing_run(connection, project, call)
    except Refusal as refusal:
        detail = str(refusal.args[1]["detail"])
        error = structs.RunNotFoundError(detail, _was_deleted(connection, run_uuid))
        raise Refusal(refusal.status, error) from None
    return run


def _missing_run(connection: sqlite3.Connection, project: int, call: Call) -> Refusal:
    """Returns the refusal of a run that the project lacks, or how to restore it."""
    run_uuid = call.path["run_uuid"].lower()
    slug, project_slug = call.path["namespace_slug"], call.path["project_slug"]
    item = f"Run {run_uuid} of project {project_slug}"
    if trash.find_run(connection, project, run_uuid) is None:
        return not_found(item)
    command = f"afnio-tellurio restore {slug}/{project_slug}/{run_uuid}"
    return Refusal(404, {"detail": f"{item} is in the trash. To restore it: {command}"})


def _was_deleted(connection: sqlite3.Connection, run_uuid: str) -> bool | UnsetType:
    """Returns whether a missing run was deleted; UNSET if unknown or in another project."""
    if stored_runs.is_deleted(connection, run_uuid):
        return True
    is_elsewhere = stored_runs.find_in_any_project(connection, run_uuid) is not None
    if is_elsewhere or stored_runs.has_unknown_deletions(connection):
        return UNSET
    return False
