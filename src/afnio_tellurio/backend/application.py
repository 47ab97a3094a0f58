"""The embedded backend's WSGI application: routing, authentication and error responses."""

from __future__ import annotations

import hmac
import json
import logging
import re
import sqlite3
from email.message import Message
from fnmatch import fnmatchcase
from http import HTTPStatus
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

from afnio_tellurio.backend import (
    aliases,
    artifact_versions,
    artifacts,
    auth,
    blobs,
    charts,
    lineage,
    metrics,
    projects,
    run_files,
    run_lists,
    run_tables,
    runs,
    tables,
    uploads,
)
from afnio_tellurio.backend.artifact_structs import NAME_PATTERN
from afnio_tellurio.backend.blob_structs import DIGEST_PATTERN
from afnio_tellurio.backend.pace import Pace
from afnio_tellurio.backend.requests import (
    Answer,
    BackendUser,
    Body,
    Call,
    Refusal,
    common_headers,
    path_of,
    query_of,
    too_large,
)
from afnio_tellurio.backend.store import blob_removal, removal
from afnio_tellurio.backend.store import projects as stored_projects
from afnio_tellurio.backend.store.blob_writing import adopt_files
from afnio_tellurio.backend.store.connections import works_in_sqlite
from afnio_tellurio.backend.store.database import Database
from afnio_tellurio.backend.structs import SLUG_PATTERN, UUID_PATTERN
from afnio_tellurio.errors import DatabaseError
from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.logs import log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path
    from wsgiref.types import StartResponse, WSGIEnvironment

#: A batch of 10,000 metrics is about 400 kB; this leaves room for large JSON values.
MAX_BODY_BYTES = 8 * 2**20
#: Those with the bytes of blobs are read in pieces. The largest is a part of the largest upload.
MAX_STREAM_BYTES = uploads.MAX_PART_BYTES
_STREAMED = ("application/octet-stream", blobs.FRAMES)

#: Seconds that a request that deletes spends on removing, well below the clients' timeouts.
REMOVAL_TIME = 10.0

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_JSON = "application/json"
#: The headers of requests that operations read.
_HEADERS = (
    "accept",
    "content-digest",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "if-range",
    "range",
)
#: The modules of the operations.
_MODULES = (
    auth,
    projects,
    run_lists,
    run_tables,
    runs,
    metrics,
    tables,
    charts,
    blobs,
    uploads,
    artifacts,
    artifact_versions,
    aliases,
    lineage,
    run_files,
)


def open_backend(
    path: Path,
    *,
    user: BackendUser | None = None,
    api_key: str | None = None,
    namespaces: Sequence[str] = (),
    any_namespace: bool = True,
    create: bool = True,
) -> Backend:
    """Opens a backend on a database file.

    Args:
        path: The database file.
        user: The user of the backend; default the user who runs this process.
        api_key: The key that every request requires; by default, no key is required.
        namespaces: Slugs of namespaces to create besides the user's own.
        any_namespace: Whether namespaces are created on first use.
        create: Whether to create the file if it does not exist.

    Raises:
        DatabaseError: The file does not exist or cannot be used as the embedded backend's
            database.
        ValueError: A namespace is not a valid slug.
    """
    for slug in namespaces:
        if not re.fullmatch(SLUG_PATTERN, slug):
            raise ValueError(f"namespace {slug!r} isn't a valid slug; use letters, digits, - and _")
    user = user or BackendUser.of_this_machine()
    database = Database(path, create=create)
    if not any_namespace:
        _add_namespaces(database, (user.slug, *namespaces))
    backend = Backend(database, user, api_key=api_key, any_namespace=any_namespace)
    backend.remove_expired()
    return backend


@works_in_sqlite
def _add_namespaces(database: Database, slugs: Iterable[str]) -> None:
    with database.writing() as connection:
        for slug in slugs:
            stored_projects.add_namespace(connection, slug)


class Backend:
    """The contract's operations as a WSGI application. Threads may share it."""

    def __init__(
        self, database: Database, user: BackendUser, *, api_key: str | None, any_namespace: bool
    ) -> None:
        self._database = database
        self._pace = Pace()
        self._user = user
        self._authorization = None if api_key is None else f"Api-Key {api_key}".encode()
        self._any_namespace = any_namespace
        self._routes = _routes()
        # Why the last request could not use the database, or None.
        self._trouble: str | None = None

    @property
    def path(self) -> Path:
        """The database file."""
        return self._database.path

    @property
    def is_read_only(self) -> bool:
        """Whether this user can only read the database."""
        return self._database.is_read_only

    @works_in_sqlite
    def remove_expired(self) -> None:
        """Removes a slice of what is not kept any more, unless this user can only read."""
        if not self.is_read_only:
            self._remove_deleted(0.0)
            self._remove_stale_parts()

    def close(self) -> None:
        """Closes the database."""
        self._database.close()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Handles one request as PEP 3333 specifies."""
        answer = self._answer(environ)
        phrase = HTTPStatus(answer.status).phrase
        headers = [*answer.headers, *common_headers(environ)]
        body = [answer.body] if isinstance(answer.body, bytes) else answer.body
        if answer.status != HTTPStatus.NO_CONTENT:
            if isinstance(answer.body, bytes):
                headers.append(("Content-Length", str(len(answer.body))))
            if answer.body:
                headers.append(("Content-Type", answer.content_type))
        start_response(f"{answer.status} {phrase}", headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else body

    def _answer(self, environ: WSGIEnvironment) -> Answer:
        try:
            return self._operate(environ)
        except Refusal as refusal:
            return refusal.answer()
        except (sqlite3.Error, DatabaseError) as error:
            self._report(str(error))
            return Refusal(503, {"detail": str(error)}).answer()
        except Exception as error:  # noqa: BLE001
            # In process, this is the application's thread.
            raise_foreign(error)
            # The application must see a bug in the backend as a failed request only.
            log(logging.ERROR, "the embedded backend failed", error)
            return Refusal(503, {"detail": "The backend failed; see its log."}).answer()

    def _report(self, trouble: str) -> None:
        """Logs why the database cannot be used, once: a client asks again for hours."""
        if trouble != self._trouble:
            self._trouble = trouble
            log(logging.WARNING, f"the embedded backend could not use its database: {trouble}")

    @works_in_sqlite
    def _operate(self, environ: WSGIEnvironment) -> Answer:
        self._authenticate(environ)
        operation, path = self._route(environ)
        answer = operation.operate(
            Call(
                database=self._database,
                pace=self._pace,
                user=self._user,
                any_namespace=self._any_namespace,
                path=path,
                query=query_of(environ),
                headers=_headers(environ),
                body=_body(environ, operation.content_types),
            )
        )
        self._trouble = None
        if environ["REQUEST_METHOD"] != "GET":
            self._remove_deleted(REMOVAL_TIME if environ["REQUEST_METHOD"] == "DELETE" else 0.0)
        return answer

    def _remove_deleted(self, seconds: float) -> None:
        try:
            removal.remove_deleted(self._database, seconds=seconds)
            if blob_removal.remove_some(self._database, seconds=seconds):
                # A project is removed after its blobs.
                removal.remove_deleted(self._database, seconds=seconds)
        except (sqlite3.Error, DatabaseError) as error:
            # The request itself succeeded, and a later one removes the rest.
            log(
                logging.WARNING, f"what was deleted could not be removed from the disk yet: {error}"
            )

    def _remove_stale_parts(self) -> None:
        try:
            blob_removal.remove_stale_parts(self._database)
        except (sqlite3.Error, DatabaseError) as error:
            # They only take room.
            log(logging.WARNING, f"unfinished files could not be removed: {error}")

    @works_in_sqlite
    def adopt_blobs(
        self, namespace_slug: str, project_slug: str, files: Sequence[tuple[Path, str, int]]
    ) -> None:
        """Stores blobs for a client in this process: links to its files, not copies.

        The files become read-only, and must not be changed. On a disk without links they are
        copied. The files of one call, up to about 1000, take one transaction.

        Args:
            namespace_slug: The namespace of the project.
            project_slug: The project that gets the blobs.
            files: Each with the SHA-256 and the number of its bytes. The SHA-256 is only checked
                where the bytes have to be copied.

        Raises:
            LookupError: The project does not exist.
            ValueError: One is not a regular file of this size, or its digest is not the one of its
                bytes.
            DatabaseError: The database or the disk does not take them.
        """
        for _, digest, _ in files:
            if not re.fullmatch(DIGEST_PATTERN, digest):
                raise ValueError(f"{digest!r} is not a SHA-256")
        try:
            adopt_files(self._database, (namespace_slug, project_slug), files)
        except sqlite3.Error as error:
            raise DatabaseError(f"the database {self.path} cannot be used: {error}") from error

    def _authenticate(self, environ: WSGIEnvironment) -> None:
        if self._authorization is None:
            return
        authorization = environ.get("HTTP_AUTHORIZATION", "").encode("latin-1")
        if not hmac.compare_digest(authorization, self._authorization):
            raise Refusal(401, {"detail": "The API key is missing or wrong."})

    def _route(self, environ: WSGIEnvironment) -> tuple[_Operation, dict[str, str]]:
        path = path_of(environ)
        for pattern, operations in self._routes:
            match = pattern.fullmatch(path)
            if match:
                operation = operations.get(environ["REQUEST_METHOD"])
                if operation is None:
                    allowed = ", ".join(sorted(operations))
                    message = f"Method not allowed; use one of: {allowed}."
                    raise Refusal(405, {"detail": message}, [("Allow", allowed)])
                return operation, match.groupdict()
        raise Refusal(404, {"detail": "Not found."})


class _Operation(NamedTuple):
    """An operation of the contract.

    Attributes:
        operate: The function that performs it.
        content_types: Those that the contract has for its request body; empty without a body.
    """

    operate: Callable[[Call], Answer]
    content_types: tuple[str, ...]


_PATTERNS = {
    "namespace_slug": SLUG_PATTERN,
    "project_slug": SLUG_PATTERN,
    "run_uuid": UUID_PATTERN,
    "digest": DIGEST_PATTERN,
    "upload_uuid": UUID_PATTERN,
    "part_number": "[1-9][0-9]{0,4}",
    "artifact_name": NAME_PATTERN,
    "version": f"sha256:{DIGEST_PATTERN}|{NAME_PATTERN}",
    "alias": NAME_PATTERN,
}


def _routes() -> list[tuple[re.Pattern[str], dict[str, _Operation]]]:
    """Returns the operation for each path and method of the contract."""
    contract = _contract()
    routes: list[tuple[re.Pattern[str], dict[str, _Operation]]] = []
    for path, item in contract["paths"].items():
        expression = re.sub(
            r"\{(\w+)\}", lambda match: f"(?P<{match[1]}>{_PATTERNS.get(match[1], '[^/]+')})", path
        )
        operations = {
            method.upper(): _Operation(
                _function_of(item[method]["operationId"]), _content_types(contract, item[method])
            )
            for method in _METHODS
            if method in item
        }
        routes.append((re.compile(expression), operations))
    return routes


def _contract() -> dict[str, Any]:
    text = resources.files("tellurio_api").joinpath("openapi.json").read_text("utf-8")
    contract: dict[str, Any] = json.loads(text)
    return contract


def _content_types(contract: dict[str, Any], operation: dict[str, Any]) -> tuple[str, ...]:
    body: dict[str, Any] = operation.get("requestBody", {})
    if "$ref" in body:
        body = contract["components"]["requestBodies"][body["$ref"].rpartition("/")[2]]
    return tuple(body.get("content", {}))


def _function_of(operation_id: str) -> Callable[[Call], Answer]:
    """Returns the function of an operation; if this backend lacks it, one that answers 501."""
    name = _snake_case(operation_id)
    for module in _MODULES:
        function: Callable[[Call], Answer] | None = getattr(module, name, None)
        if function is not None:
            return function

    def refuse(_call: Call) -> Answer:
        message = f"This backend does not have the operation {operation_id}."
        raise Refusal(HTTPStatus.NOT_IMPLEMENTED, {"detail": message})

    return refuse


def _snake_case(operation_id: str) -> str:
    return re.sub(r"(?=[A-Z])", "_", operation_id).lower()


def _headers(environ: WSGIEnvironment) -> dict[str, str]:
    variables = {name: f"HTTP_{name.upper().replace('-', '_')}" for name in _HEADERS}
    return {name: environ[key] for name, key in variables.items() if key in environ}


def _body(environ: WSGIEnvironment, content_types: tuple[str, ...]) -> Body:
    if not content_types:
        return Body()
    message = Message()
    message["Content-Type"] = environ.get("CONTENT_TYPE") or "application/octet-stream"
    content_type = message.get_content_type()
    if not any(fnmatchcase(content_type, declared) for declared in content_types):
        unsupported = environ.get("CONTENT_TYPE", "")
        known = " or ".join(content_types)
        raise Refusal(415, {"detail": f'Unsupported media type "{unsupported}"; send {known}.'})
    if content_type == _JSON or content_type.endswith("+json"):
        return Body(content_type, _json_body(environ))
    length = environ.get("CONTENT_LENGTH")
    if int(length or 0) > body_limit(environ.get("CONTENT_TYPE", "")):
        raise too_large(body_limit(environ.get("CONTENT_TYPE", "")))
    return Body(
        content_type,
        stream=environ["wsgi.input"],
        length=int(length) if length else None,
        parameters=dict(message.get_params([])[1:]),
    )


def body_limit(content_type: str) -> int:
    """Returns the bytes of the largest body with this content type."""
    is_streamed = content_type.partition(";")[0].strip().lower() in _STREAMED
    return MAX_STREAM_BYTES if is_streamed else MAX_BODY_BYTES


def _json_body(environ: WSGIEnvironment) -> bytes:
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if length <= MAX_BODY_BYTES:
        # In process, the length may be missing; one extra byte shows that the body is too large.
        data: bytes = environ["wsgi.input"].read(length or MAX_BODY_BYTES + 1)
        if len(data) <= MAX_BODY_BYTES:
            return data
    raise too_large(MAX_BODY_BYTES)
