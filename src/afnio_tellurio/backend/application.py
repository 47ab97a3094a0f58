"""The embedded backend's WSGI application: routing, authentication and error responses."""

from __future__ import annotations

import hmac
import json
import logging
import re
import sqlite3
from email.message import Message
from http import HTTPStatus
from importlib import resources
from typing import TYPE_CHECKING, Any

from afnio_tellurio.backend import auth, charts, metrics, projects, runs, structs
from afnio_tellurio.backend.pace import Pace
from afnio_tellurio.backend.requests import Answer, BackendUser, Call, Refusal, path_of, query_of
from afnio_tellurio.backend.store import projects as stored_projects
from afnio_tellurio.backend.store import removal
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

#: A batch of 1,000 metrics is about 100 kB; this leaves room for large JSON values.
MAX_BODY_BYTES = 8 * 2**20

#: Seconds that a request that deletes spends on removing, well below the clients' timeouts.
REMOVAL_TIME = 10.0

_METHODS = ("get", "post", "patch", "delete")


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
    return Backend(database, user, api_key=api_key, any_namespace=any_namespace)


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

    def close(self) -> None:
        """Closes the database."""
        self._database.close()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Handles one request as PEP 3333 specifies."""
        answer = self._answer(environ)
        phrase = HTTPStatus(answer.status).phrase
        headers = [*answer.headers, ("Content-Length", str(len(answer.body)))]
        if answer.body:
            headers.append(("Content-Type", "application/json"))
        if answer.status == HTTPStatus.NO_CONTENT:
            headers = list(answer.headers)
        start_response(f"{answer.status} {phrase}", headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [answer.body]

    def _answer(self, environ: WSGIEnvironment) -> Answer:
        try:
            return self._operate(environ)
        except Refusal as refusal:
            return Answer(refusal.status, structs.encode(refusal.body), refusal.headers)
        except (sqlite3.Error, DatabaseError) as error:
            self._report(str(error))
            return Answer(503, structs.encode({"detail": str(error)}))
        except Exception as error:  # noqa: BLE001
            # In process, this is the application's thread.
            raise_foreign(error)
            # The application must see a bug in the backend as a failed request only.
            log(logging.ERROR, "the embedded backend failed", error)
            return Answer(503, structs.encode({"detail": "The backend failed; see its log."}))

    def _report(self, trouble: str) -> None:
        """Logs why the database cannot be used, once: a client asks again for hours."""
        if trouble != self._trouble:
            self._trouble = trouble
            log(logging.WARNING, f"the embedded backend could not use its database: {trouble}")

    @works_in_sqlite
    def _operate(self, environ: WSGIEnvironment) -> Answer:
        self._authenticate(environ)
        operate, path = self._route(environ)
        answer = operate(
            Call(
                database=self._database,
                pace=self._pace,
                user=self._user,
                any_namespace=self._any_namespace,
                path=path,
                query=query_of(environ),
                headers=_headers(environ),
                body=_body(environ),
            )
        )
        self._trouble = None
        if environ["REQUEST_METHOD"] != "GET":
            self._remove_deleted(REMOVAL_TIME if environ["REQUEST_METHOD"] == "DELETE" else 0.0)
        return answer

    def _remove_deleted(self, seconds: float) -> None:
        try:
            removal.remove_deleted(self._database, seconds=seconds)
        except (sqlite3.Error, DatabaseError) as error:
            # The request itself succeeded, and a later one removes the rest.
            log(
                logging.WARNING, f"what was deleted could not be removed from the disk yet: {error}"
            )

    def _authenticate(self, environ: WSGIEnvironment) -> None:
        if self._authorization is None:
            return
        authorization = environ.get("HTTP_AUTHORIZATION", "").encode("latin-1")
        if not hmac.compare_digest(authorization, self._authorization):
            raise Refusal(401, {"detail": "The API key is missing or wrong."})

    def _route(self, environ: WSGIEnvironment) -> tuple[Callable[[Call], Answer], dict[str, str]]:
        path = path_of(environ)
        for pattern, operators in self._routes:
            match = pattern.fullmatch(path)
            if match:
                operate = operators.get(environ["REQUEST_METHOD"])
                if operate is None:
                    allowed = ", ".join(sorted(operators))
                    message = f"Method not allowed; use one of: {allowed}."
                    raise Refusal(405, {"detail": message}, [("Allow", allowed)])
                return operate, match.groupdict()
        raise Refusal(404, {"detail": "Not found."})


_PATTERNS = {
    "namespace_slug": SLUG_PATTERN,
    "project_slug": SLUG_PATTERN,
    "run_uuid": UUID_PATTERN,
}


def _routes() -> list[tuple[re.Pattern[str], dict[str, Callable[[Call], Answer]]]]:
    """Returns the function for each path and method of the contract."""
    text = resources.files("tellurio_api").joinpath("openapi.json").read_text("utf-8")
    paths: dict[str, dict[str, Any]] = json.loads(text)["paths"]
    routes: list[tuple[re.Pattern[str], dict[str, Callable[[Call], Answer]]]] = []
    for path, item in paths.items():
        expression = re.sub(
            r"\{(\w+)\}", lambda match: f"(?P<{match[1]}>{_PATTERNS[match[1]]})", path
        )
        operators = {
            method.upper(): _function_of(item[method]["operationId"])
            for method in _METHODS
            if method in item
        }
        routes.append((re.compile(expression), operators))
    return routes


def _function_of(operation_id: str) -> Callable[[Call], Answer]:
    name = _snake_case(operation_id)
    (function,) = (
        getattr(module, name)
        for module in (auth, projects, runs, metrics, charts)
        if getattr(module, name, None) is not None
    )
    operation: Callable[[Call], Answer] = function
    return operation


def _snake_case(operation_id: str) -> str:
    return re.sub(r"(?=[A-Z])", "_", operation_id).lower()


def _headers(environ: WSGIEnvironment) -> dict[str, str]:
    key = environ.get("HTTP_IDEMPOTENCY_KEY")
    return {} if key is None else {"idempotency-key": key}


def _body(environ: WSGIEnvironment) -> bytes:
    if environ["REQUEST_METHOD"] not in {"POST", "PATCH"}:
        return b""
    content_type = Message()
    content_type["Content-Type"] = environ.get("CONTENT_TYPE") or "application/octet-stream"
    if content_type.get_content_type() != "application/json":
        unsupported = environ.get("CONTENT_TYPE", "")
        message = f'Unsupported media type "{unsupported}"; send application/json.'
        raise Refusal(415, {"detail": message})
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if length <= MAX_BODY_BYTES:
        # In process, the length may be missing; one extra byte shows that the body is too large.
        data: bytes = environ["wsgi.input"].read(length or MAX_BODY_BYTES + 1)
        if len(data) <= MAX_BODY_BYTES:
            return data
    raise Refusal(413, {"detail": f"The request body is larger than {MAX_BODY_BYTES} bytes."})
