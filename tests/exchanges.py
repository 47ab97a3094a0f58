"""Checks every HTTP exchange of a test against the contract: the request and the response.

The check is in httpx's transports, which send every request of the SDK, the generated client and
the tests, in process or over a socket. In child processes, `child/sitecustomize.py` installs it;
their departures reach the test through a file.
"""

from __future__ import annotations

import json
import os
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contract_checks import Checks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import httpx

CONTRACT: dict[str, Any] = json.loads(
    (Path(__file__).parent.parent / "generated" / "tellurio_api" / "openapi.json").read_text(
        "utf-8"
    )
)
#: Child processes write the departures that they find to this file.
DEPARTURES_FILE = "EXCHANGES_DEPARTURES_FILE"
#: What may depart in a child process from its start: "request", "answer", or both with a comma.
MAY_DEPART = "EXCHANGES_MAY_DEPART"

_checks = Checks(CONTRACT)
_lock = threading.Lock()
_departures: list[str] = []
_checked_operations: list[str] = []
_may_depart: list[str] = [side for side in os.environ.get(MAY_DEPART, "").split(",") if side]


@contextmanager
def departing(*sides: str) -> Iterator[None]:
    """Lets exchanges depart from the contract on purpose, in the whole process.

    Args:
        sides: "request" if a test sends what the contract forbids, "answer" if a test fakes a faulty
            backend.
    """
    with _lock:
        _may_depart.extend(sides)
    try:
        yield
    finally:
        with _lock:
            for side in sides:
                _may_depart.remove(side)


def take_departures() -> list[str]:
    """The departures from the contract since the last call, here and in child processes."""
    with _lock:
        found = list(_departures)
        _departures.clear()
    path = Path(os.environ[DEPARTURES_FILE]) if DEPARTURES_FILE in os.environ else None
    if path is not None and path.exists():
        found += path.read_text("utf-8").splitlines()
        path.unlink()
    return found


def checked_operations() -> list[str]:
    """The operations of all exchanges checked in this process."""
    return list(_checked_operations)


@contextmanager
def of_contract(document: dict[str, Any]) -> Iterator[None]:
    """Checks the exchanges of this process against another contract."""
    global _checks  # noqa: PLW0603 - the transports of httpx are global, too
    previous, _checks = _checks, Checks(document)
    try:
        yield
    finally:
        _checks = previous


def install() -> None:
    """Installs the check in the transports of httpx."""
    import httpx

    for transport in (httpx.HTTPTransport, httpx.WSGITransport):
        transport.handle_request = _checking(transport.handle_request)  # type: ignore[method-assign]
    handle_async = httpx.AsyncHTTPTransport.handle_async_request

    async def handle_async_request(self: Any, request: httpx.Request) -> httpx.Response:
        operation = _check_request(request)
        response = await handle_async(self, request)
        _check_response(request, response, operation)
        return response

    httpx.AsyncHTTPTransport.handle_async_request = handle_async_request  # type: ignore[method-assign]
    _share_tls_contexts(httpx)


def _share_tls_contexts(httpx: Any) -> None:
    """Reads the certificate authorities once, not per client: this takes longer than most tests."""
    transports = httpx._transports.default
    create = transports.create_ssl_context
    made: dict[Any, Any] = {}

    def create_once(**keywords: Any) -> Any:
        if keywords.get("verify") is not True or keywords.get("cert"):
            return create(**keywords)
        named = (os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
        if named not in made:
            made[named] = create(**keywords)
        return made[named]

    transports.create_ssl_context = create_once


def _checking(handle: Any) -> Any:
    def handle_request(self: Any, request: httpx.Request) -> httpx.Response:
        operation = _check_request(request)
        response = handle(self, request)
        _check_response(request, response, operation)
        return response

    return handle_request


def _check_request(request: httpx.Request) -> Any:
    """Checks a request, its body as soon as it is sent; returns its operation."""
    operation = _checks.operation(request)
    if "request" in _may_depart:
        return operation
    _note(_checks.request_departures(request, operation))
    check = _checks.request_body(request, operation)
    if hasattr(request, "_content"):
        check.feed(request.content)
        _note(check.departures())
    else:
        # Sent in parts, and not read here: what is kept in memory is a part of what is tested.
        request.stream = _checked(
            request.stream, check, lambda is_whole: is_whole and _note(check.departures())
        )
    return operation


def _check_response(request: httpx.Request, response: httpx.Response, operation: Any) -> None:
    """Checks a response as soon as the client has read it: how it reads is a part of what is tested."""
    check = _checks.response_body(response, operation)

    def finish(*, is_whole: bool) -> None:
        if is_whole and operation is not None:
            _checked_operations.append(operation[0]["operationId"])
        if "answer" in _may_depart:
            return
        what = f"{request.method} {request.url.path} -> {response.status_code}"
        if is_whole:
            _note(f"{what}: {departure}" for departure in check.departures())
        elif not check.may_stop:
            _note([f"{request.method} {request.url.path}: the answer was not read"])

    if response.is_stream_consumed:
        check.feed(response.content)
        finish(is_whole=True)
    else:
        response.stream = _checked(response.stream, check, finish)


class _End:
    """Checks a body once, at its end."""

    def __init__(self, finish: Any) -> None:
        self._finish = finish
        self._is_reached = False

    def reach(self, *, is_whole: bool) -> None:
        if not self._is_reached:
            self._is_reached = True
            self._finish(is_whole=is_whole)

    @contextmanager
    def after(self) -> Iterator[None]:
        import httpx

        try:
            yield
        except httpx.TransportError:
            # The backend was killed while it answered: nobody can read the rest.
            self._is_reached = True
            raise
        self.reach(is_whole=True)


def _checked(stream: Any, check: Any, finish: Any) -> Any:
    """The same stream, whose parts are checked while they pass."""
    import httpx

    end = _End(finish)

    class CheckedStream(httpx.SyncByteStream, httpx.AsyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            with end.after():
                for part in stream:
                    check.feed(part)
                    yield part

        async def __aiter__(self) -> AsyncIterator[bytes]:
            with end.after():
                async for part in stream:
                    check.feed(part)
                    yield part

        def close(self) -> None:
            stream.close()
            end.reach(is_whole=False)

        async def aclose(self) -> None:
            await stream.aclose()
            end.reach(is_whole=False)

    return CheckedStream()


def _note(found: Any) -> None:
    lines = [line.replace("\n", " ") for line in found]
    if not lines:
        return
    path = os.environ.get(DEPARTURES_FILE)
    if path and MAY_DEPART in os.environ:
        with Path(path).open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
    else:
        with _lock:
            _departures.extend(lines)


def _operation(request: httpx.Request) -> Any:
    return _checks.operation(request)


def _resolved(node: Any) -> Any:
    return _checks.resolved(node)


def answer_departures(response: httpx.Response, operation: Any) -> Iterator[str]:
    """The departures of a whole response from the contract of its operation."""
    check = _checks.response_body(response, operation)
    check.feed(response.content)
    return check.departures()
