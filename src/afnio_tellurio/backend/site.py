"""The application that `serve` runs: the web page and the backend behind one access check.

Any website that a person visits can send requests to a server on the person's own machine. So
every request passes `_rejection` first, and a request without the API key needs a session. Only the
link printed by `serve`, or the API key, opens one.
"""

from __future__ import annotations

import ipaddress
import json
import re
import socket
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from afnio_tellurio.backend import structs
from afnio_tellurio.backend.artifact_structs import NAME_PATTERN
from afnio_tellurio.backend.page_files import PageFiles
from afnio_tellurio.backend.requests import Refusal, common_headers, path_of, query_of
from afnio_tellurio.backend.sessions import Sessions, is_same
from afnio_tellurio.backend.structs import SLUG_PATTERN
from afnio_tellurio.settings.limits import PAGE_HEADER

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from afnio_tellurio.backend.page_files import PageFile

_API = "/api/v0/"
_SESSION = "/session"
_ASSETS = "/assets/"
_MAX_SESSION_BODY = 4096
_PROJECT = rf"/{SLUG_PATTERN}/projects/{SLUG_PATTERN}/"
#: The paths of the page's views, by their names in page.js.
_VIEWS = {
    "projects": rf"/(?:{SLUG_PATTERN}/)?",
    "project": _PROJECT,
    "compare": rf"{_PROJECT}compare/",
    "run": rf"{_PROJECT}runs/.+/",
    "artifacts": rf"{_PROJECT}artifacts/(?:{NAME_PATTERN}/(?:{NAME_PATTERN}/)?)?",
}
_VIEW = re.compile("|".join(f"(?P<{view}>{path})" for view, path in _VIEWS.items()), re.DOTALL)
_SAFE_METHODS = {"GET", "HEAD"}
#: The page loads nothing from other servers, and runs no scripts except its own files.
_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src blob:; frame-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
#: The frame that shows HTML of users. It has an origin of its own, and can load nothing.
_FRAME = "frame.html"
_FRAME_POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data: blob:; media-src data: blob:; font-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
_FRAME_HEADERS = (
    ("Content-Security-Policy", _FRAME_POLICY),
    ("X-Frame-Options", "SAMEORIGIN"),
)
_HEADERS = [
    ("Content-Security-Policy", _SECURITY_POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
]


class _Answer(NamedTuple):
    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


class _Credentials(msgspec.Struct):
    """The body of a sign-in: either of them."""

    api_key: str | None = None
    token: str | None = None


class Site:
    """The page and the backend as one WSGI application. Threads may share it.

    Attributes:
        token: For ten minutes, in the fragment of any page's address, it signs browsers in.

    Args:
        backend: The backend.
        api_key: The API key of the backend.
        host: The name or address that it listens on, besides those of this machine.
        public_url: Where browsers and programs reach it, if that is another name: scheme, host and
            port.
    """

    def __init__(
        self, backend: WSGIApplication, *, api_key: str, host: str, public_url: str | None = None
    ) -> None:
        self._backend = backend
        self._authorization = f"Api-Key {api_key}"
        self._host_names = {"localhost", host.lower(), socket.gethostname().lower()}
        self._public_origin = public_url and public_url.lower()
        if public_url is not None:
            self._host_names.add(urlsplit(public_url).hostname or "")
        self._files = PageFiles()
        self._sessions = Sessions(api_key)
        self.token = self._sessions.token

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Handles one request as PEP 3333 specifies."""
        path = path_of(environ)
        problem = self._rejection(environ, path)
        if problem is None and path.startswith(_API):
            return self._forward(environ, start_response)
        if problem is None:
            answer = self._serve(environ, path)
        elif path.startswith(_API):
            answer = _error(environ, problem)
        else:
            answer = _text(403, problem)
        phrase = HTTPStatus(answer.status).phrase
        own = {name for name, _ in answer.headers}
        shared = [header for header in _HEADERS if header[0] not in own]
        headers = [*shared, *answer.headers, ("Content-Length", str(len(answer.body)))]
        start_response(f"{answer.status} {phrase}", headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [answer.body]

    def keep_sessions(self, path: Path, api_key: str | None) -> None:
        """Continues the sessions of browsers that a file keeps, before the first request.

        Args:
            path: The file, which may be missing.
            api_key: The API key that they belong to; None for one that changes with each start.
        """
        self._sessions.keep_in(path, api_key)

    # Access

    def authorizes(self, environ: WSGIEnvironment) -> bool:
        """Returns True if the head of a request is allowed and has the API key or a session."""
        authorization = environ.get("HTTP_AUTHORIZATION", "")
        return self._rejection(environ, path_of(environ)) is None and (
            is_same(authorization, self._authorization) or self._sessions.allows(authorization)
        )

    def _rejection(self, environ: WSGIEnvironment, path: str) -> str | None:
        """Returns why a request is not allowed, before anything else happens, or None."""
        host = environ.get("HTTP_HOST", "")
        if not self._is_own_host(host):
            # DNS rebinding: an attacker's host name that resolves to this machine.
            return (
                "Unknown host name; use the link that the server printed, or start it with "
                "--public-url and this name."
            )
        origin: str | None = environ.get("HTTP_ORIGIN")
        if origin is not None and not self._is_own_origin(origin.lower(), host.lower()):
            # Or a proxy has replaced the host.
            return (
                "Cross-site requests are rejected; for a server behind a proxy, start it with "
                "--public-url and the URL that browsers use."
            )
        site = environ.get("HTTP_SEC_FETCH_SITE", "none")
        if site in {"none", "same-origin"}:
            return None
        is_visit = environ.get("HTTP_SEC_FETCH_MODE") == "navigate"
        if is_visit and environ["REQUEST_METHOD"] in _SAFE_METHODS and not path.startswith(_API):
            # A person follows a link.
            return None
        return "Cross-site requests are rejected."

    def _is_own_host(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in self._host_names or name.endswith(".localhost")
        # DNS can't change what an IP address refers to.
        return True

    def _is_own_origin(self, origin: str, host: str) -> bool:
        # A proxy may replace the host by the name that it uses for this server.
        return origin == self._public_origin or origin.partition("://")[2] == host

    # The backend

    def _forward(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if self._sessions.allows(environ.get("HTTP_AUTHORIZATION", "")):
            environ["HTTP_AUTHORIZATION"] = self._authorization

        def start(status: str, headers: list[tuple[str, str]], *others: Any) -> Any:
            extra = [*_HEADERS, ("Cache-Control", "no-store"), (PAGE_HEADER, "runs by UUID")]
            # A browser ignores some headers that are repeated.
            names = {name for name, _ in headers}
            missing = [header for header in extra if header[0] not in names]
            return start_response(status, [*headers, *missing], *others)

        return self._backend(environ, start)

    # The page

    def _serve(self, environ: WSGIEnvironment, path: str) -> _Answer:
        method = environ["REQUEST_METHOD"]
        if path == _SESSION:
            return self._session(environ)
        if method not in _SAFE_METHODS:
            return _text(405, "Method not allowed; use GET or HEAD.", ("Allow", "GET, HEAD"))
        shown = _VIEW.fullmatch(path)
        if shown is not None and shown.lastgroup is not None:
            tab = dict(query_of(environ)).get("tab", "")
            return _file(environ, self._files.view(shown.lastgroup, tab))
        asset = self._files.asset(path.removeprefix(_ASSETS)) if path.startswith(_ASSETS) else None
        if asset is not None:
            extra = _FRAME_HEADERS if path == _ASSETS + _FRAME else ()
            return _file(environ, asset, *extra)
        if _VIEW.fullmatch(f"{path}/"):
            return _Answer(303, headers=_redirect(f"{path}/", query_of(environ)))
        return self._not_found(environ)

    def _not_found(self, environ: WSGIEnvironment) -> _Answer:
        page = self._files.asset("index.html")
        if page is None or "text/html" not in environ.get("HTTP_ACCEPT", ""):
            return _text(404, "Page not found.")
        # In a browser, with a link to the projects.
        headers = (("Content-Type", page.content_type), ("Cache-Control", "no-store"))
        return _Answer(404, page.body, headers)

    def _session(self, environ: WSGIEnvironment) -> _Answer:
        """Opens a session for a valid API key or token, or ends the session of the request.

        The response to GET is what the page needs to continue a session after a restart.
        """
        method = environ["REQUEST_METHOD"]
        if method == "DELETE":
            self._sessions.close(environ.get("HTTP_AUTHORIZATION", ""))
            return _Answer(204)
        if method == "GET":
            return _json({"start": self._sessions.start})
        if method != "POST":
            allowed = ("Allow", "GET, POST, DELETE")
            return _text(405, "Method not allowed; use GET, POST or DELETE.", allowed)
        # A form on another site can't send this type.
        if environ.get("CONTENT_TYPE", "").partition(";")[0].strip() != "application/json":
            return _text(415, "Send the key as application/json.")
        length = int(environ.get("CONTENT_LENGTH") or 0)
        if length > _MAX_SESSION_BODY:
            return _text(413, "The request body is too long for an API key.")
        return self._sign_in(environ["wsgi.input"].read(length))

    def _sign_in(self, body: bytes) -> _Answer:
        try:
            credentials = msgspec.json.decode(body, type=_Credentials)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return _text(400, 'Send {"api_key": "..."} or {"token": "..."}.')
        if credentials.api_key is not None:
            session = self._sessions.open_with_key(credentials.api_key)
        else:
            session = self._sessions.open_with_token(credentials.token or "")
        if session is None:
            return _text(401, "The API key is wrong, or the link has expired.")
        return _json({"session": session.authorization, "secret": session.secret})


def _redirect(path: str, query: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Returns the headers of a redirect. Slashes in a run's name are escaped."""
    before, separator, run = path.partition("/runs/")
    escaped_run = f"{separator}{quote(run.removesuffix('/'), safe='')}/" if separator else ""
    query_string = f"?{urlencode(query)}" if query else ""
    location = f"{quote(before)}{escaped_run}{query_string}"
    return ("Location", location), ("Cache-Control", "no-store")


def _file(environ: WSGIEnvironment, file: PageFile, *extra: tuple[str, str]) -> _Answer:
    # Browsers always revalidate, so that an upgrade takes effect immediately.
    headers = (*extra, ("ETag", file.tag), ("Cache-Control", "no-cache"))
    if environ.get("HTTP_IF_NONE_MATCH") == file.tag:
        return _Answer(304, headers=headers)
    return _Answer(200, file.body, (*headers, ("Content-Type", file.content_type)))


def _error(environ: WSGIEnvironment, problem: str) -> _Answer:
    """Returns the contract's error for a request to the backend that is not allowed."""
    refusal = Refusal(403, {"detail": problem})
    headers = (("Content-Type", "application/json"), *common_headers(environ))
    return _Answer(403, structs.encode(refusal.body), headers)


def _json(body: dict[str, str]) -> _Answer:
    headers = (("Content-Type", "application/json"), ("Cache-Control", "no-store"))
    return _Answer(200, json.dumps(body).encode(), headers)


def _text(status: int, text: str, *headers: tuple[str, str]) -> _Answer:
    content_type = ("Content-Type", "text/plain; charset=utf-8")
    return _Answer(status, f"{text}\n".encode(), (content_type, *headers))
