"""The page for looking at runs, and the backend, behind one door: what `serve` serves.

Any web page that a person visits can send requests to a server on the person's own machine. So
every request passes `_refusal` first, and whoever comes without an API key must have a cookie that
only the address printed by `serve`, or the key, gives.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import re
import secrets
import socket
import threading
from http import HTTPStatus
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from afnio_tellurio.settings.limits import PAGE_HEADER

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_API = "/api/v0/"
_SESSION = "/session"
_ASSETS = "/assets/"
_MAX_SESSION_BODY = 4096
_SLUG = "[-a-zA-Z0-9_]+"
#: The addresses of the page's views: projects, a project, a comparison and a run.
_VIEW = re.compile(rf"/(?:{_SLUG}/(?:projects/{_SLUG}/(?:compare/|runs/.+/)?)?)?", re.DOTALL)
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
#: The comments of the page's scripts, most of them types: they stay in the files.
_COMMENTS = re.compile(rb"[ \t]*/\*\*.*?\*/ ?|^\t*//[^\n]*", re.DOTALL | re.MULTILINE)
_SAFE_METHODS = {"GET", "HEAD"}
#: The page needs nothing from anywhere else, and no script but its files.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = [
    ("Content-Security-Policy", _POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
]


class _File(NamedTuple):
    body: bytes
    content_type: str
    tag: str


class _Answer(NamedTuple):
    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


class Site:
    """The page and the backend as one WSGI application. Threads may share it.

    Attributes:
        token: What gives a browser its cookie, once, in the query of any of the page's addresses.

    Args:
        backend: The backend.
        api_key: Its key.
        host: The name or address that it is served under, besides those of this machine.
    """

    def __init__(self, backend: WSGIApplication, *, api_key: str, host: str) -> None:
        self._backend = backend
        self._authorization = f"Api-Key {api_key}"
        self._names = {"localhost", host.lower(), socket.gethostname().lower()}
        self._files = _read_files()
        self._lock = threading.Lock()
        self._is_token_used = False
        self.token = secrets.token_urlsafe(32)
        # Browsers share cookies between the ports of a host, and so between servers.
        self._cookie_name = f"tellurio-{secrets.token_hex(4)}"
        self._cookie = secrets.token_urlsafe(32)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answers one request, as PEP 3333 has it."""
        path = _path(environ)
        answer = self._refusal(environ, path)
        if answer is None and path.startswith(_API):
            return self._answer_of_backend(environ, start_response)
        if answer is None:
            answer = self._own_answer(environ, path)
        phrase = HTTPStatus(answer.status).phrase
        headers = [*_HEADERS, *answer.headers, ("Content-Length", str(len(answer.body)))]
        start_response(f"{answer.status} {phrase}", headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [answer.body]

    # Who may come in

    def _refusal(self, environ: WSGIEnvironment, path: str) -> _Answer | None:
        """Why this request is turned away, before anything else is done with it."""
        host = environ.get("HTTP_HOST", "")
        if not self._is_ours(host):
            # A name that somebody else has made to mean this machine.
            return _words(403, "This server is not called so; use the address that it printed.")
        origin: str | None = environ.get("HTTP_ORIGIN")
        if origin is not None and origin.partition("://")[2].lower() != host.lower():
            return _words(403, "Another site may not send requests here.")
        site = environ.get("HTTP_SEC_FETCH_SITE", "none")
        if site in {"none", "same-origin"}:
            return None
        is_visit = environ.get("HTTP_SEC_FETCH_MODE") == "navigate"
        if is_visit and environ["REQUEST_METHOD"] in _SAFE_METHODS and not path.startswith(_API):
            # Somebody follows a link.
            return None
        return _words(403, "Another site may not send requests here.")

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in self._names or name.endswith(".localhost")
        # Nobody can make an address mean another machine.
        return True

    def _has_cookie(self, environ: WSGIEnvironment) -> bool:
        # By hand: the standard library's parser gives up at the cookies of other programs, which
        # browsers send to every port of this machine.
        held = [pair.strip() for pair in environ.get("HTTP_COOKIE", "").split(";")]
        return any(_is_same(pair, f"{self._cookie_name}={self._cookie}") for pair in held)

    # The backend

    def _answer_of_backend(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        if "HTTP_AUTHORIZATION" not in environ and self._has_cookie(environ):
            is_own = "HTTP_ORIGIN" in environ or environ.get("HTTP_SEC_FETCH_SITE") == "same-origin"
            if is_own or environ["REQUEST_METHOD"] in _SAFE_METHODS:
                environ["HTTP_AUTHORIZATION"] = self._authorization

        def start(status: str, headers: list[tuple[str, str]], *others: Any) -> Any:
            extra = [*_HEADERS, ("Cache-Control", "no-store"), (PAGE_HEADER, "runs by UUID")]
            return start_response(status, [*headers, *extra], *others)

        return self._backend(environ, start)

    # The page

    def _own_answer(self, environ: WSGIEnvironment, path: str) -> _Answer:
        method = environ["REQUEST_METHOD"]
        if path == _SESSION:
            return self._session(environ)
        if method not in _SAFE_METHODS:
            return _words(405, "Only GET and HEAD are answered here.", ("Allow", "GET, HEAD"))
        if _VIEW.fullmatch(path):
            return self._view(environ, path)
        asset = self._files.get(path.removeprefix(_ASSETS)) if path.startswith(_ASSETS) else None
        if asset is not None:
            return _file(environ, asset)
        if _VIEW.fullmatch(f"{path}/"):
            return _Answer(303, headers=_to(f"{path}/", _query(environ)))
        return _words(404, "There is no such page.")

    def _view(self, environ: WSGIEnvironment, path: str) -> _Answer:
        """The page; for the token, the first time, the cookie and the address without the token."""
        query = _query(environ)
        token = dict(query).get("token")
        if token is None or environ["REQUEST_METHOD"] != "GET":
            return _file(environ, self._files["index.html"])
        with self._lock:
            is_good = not self._is_token_used and _is_same(token, self.token)
            self._is_token_used |= is_good
        headers = _to(path, [(name, value) for name, value in query if name != "token"])
        return _Answer(303, headers=(*headers, *([self._set_cookie(self._cookie)] * is_good)))

    def _session(self, environ: WSGIEnvironment) -> _Answer:
        """Gives the cookie for the API key, and takes it back."""
        method = environ["REQUEST_METHOD"]
        if method == "DELETE":
            return _Answer(204, headers=(self._set_cookie("", "Max-Age=0"),))
        if method != "POST":
            return _words(405, "Only POST and DELETE are answered here.", ("Allow", "POST, DELETE"))
        # No form of another site can send this type.
        if environ.get("CONTENT_TYPE", "").partition(";")[0].strip() != "application/json":
            return _words(415, "Send the key as application/json.")
        length = int(environ.get("CONTENT_LENGTH") or 0)
        if length > _MAX_SESSION_BODY:
            return _words(413, "That is longer than any key.")
        return self._signed_in(environ["wsgi.input"].read(length))

    def _signed_in(self, body: bytes) -> _Answer:
        try:
            document: Any = json.loads(body)
            key = document["api_key"]
        except (ValueError, TypeError, KeyError, RecursionError):
            return _words(400, 'Send {"api_key": "..."}.')
        if not _is_same(f"Api-Key {key}", self._authorization):
            return _words(401, "The API key is wrong.")
        return _Answer(204, headers=(self._set_cookie(self._cookie),))

    def _set_cookie(self, value: str, *others: str) -> tuple[str, str]:
        parts = [f"{self._cookie_name}={value}", "Path=/", "HttpOnly", "SameSite=Strict", *others]
        return "Set-Cookie", "; ".join(parts)


def _query(environ: WSGIEnvironment) -> list[tuple[str, str]]:
    return parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True)


def _to(path: str, query: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Where a browser is sent. A slash in a run's name is no slash of the path."""
    before, mark, run = path.partition("/runs/")
    place = quote(before) + (f"{mark}{quote(run.removesuffix('/'), safe='')}/" if mark else "")
    search = f"?{urlencode(query)}" if query else ""
    return ("Location", f"{place}{search}"), ("Cache-Control", "no-store")


def _path(environ: WSGIEnvironment) -> str:
    # WSGI hands over the bytes of the path as if they were Latin-1.
    raw: str = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    return raw.encode("latin-1", "replace").decode("utf-8", "replace")


def _is_same(given: str, wanted: str) -> bool:
    """In a time that tells nothing of how much of it was right."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode("utf-8"))


def _read_files() -> dict[str, _File]:
    """The page's files by name: what is not among them is in no folder for anybody."""
    folder = resources.files("afnio_tellurio.backend").joinpath("page")
    found: dict[str, _File] = {}
    for place in (folder, folder.joinpath("vendor")):
        for entry in place.iterdir():
            kind = _TYPES.get(entry.name[entry.name.rfind(".") :])
            if kind is not None:
                body = entry.read_bytes()
                if place is folder:
                    body = _COMMENTS.sub(_blank_lines, body)
                tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
                found[entry.name] = _File(body, f"{kind}; charset=utf-8", tag)
    return found


def _blank_lines(comment: re.Match[bytes]) -> bytes:
    # A browser's messages name the lines of the files.
    return b"\n" * comment[0].count(b"\n")


def _file(environ: WSGIEnvironment, file: _File) -> _Answer:
    # Always asked for again, so that an upgrade is seen at once.
    headers = (("ETag", file.tag), ("Cache-Control", "no-cache"))
    if environ.get("HTTP_IF_NONE_MATCH") == file.tag:
        return _Answer(304, headers=headers)
    return _Answer(200, file.body, (*headers, ("Content-Type", file.content_type)))


def _words(status: int, text: str, *headers: tuple[str, str]) -> _Answer:
    content_type = ("Content-Type", "text/plain; charset=utf-8")
    return _Answer(status, f"{text}\n".encode(), (content_type, *headers))
