"""Checks every HTTP exchange of a test against the contract: the request and the response.

The check is in httpx's transports, which send every request of the SDK, the generated client and
the tests, in process or over a socket. In child processes, `child/sitecustomize.py` installs it;
their departures reach the test through a file.
"""

from __future__ import annotations

import json
import os
import re
import threading
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

if TYPE_CHECKING:
    from collections.abc import Iterator

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

_lock = threading.Lock()
_departures: list[str] = []
_checked: list[str] = []
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
    return list(_checked)


def install() -> None:
    """Installs the check in the transports of httpx."""
    import httpx

    for transport in (httpx.HTTPTransport, httpx.WSGITransport):
        transport.handle_request = _checking(transport.handle_request)  # type: ignore[method-assign]
    handle_async = httpx.AsyncHTTPTransport.handle_async_request

    async def handle_async_request(self: Any, request: httpx.Request) -> httpx.Response:
        response = await handle_async(self, request)
        await response.aread()
        _check_exchange(request, response)
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
        request.read()
        operation = _operation(request)
        if "request" not in _may_depart:
            _note(_request_departures(request, operation))
        response = handle(self, request)
        # Read by the client, not here: how it reads is a part of what is tested.
        response.stream = _checked_stream(request, response, operation)
        return response

    return handle_request


def _checked_stream(request: httpx.Request, response: httpx.Response, operation: Any) -> Any:
    """The body of a response that is checked as soon as the client has read it."""
    import httpx

    stream: Any = response.stream

    class CheckedStream(httpx.SyncByteStream):
        is_read = False

        def __iter__(self) -> Iterator[bytes]:
            parts = []
            try:
                for part in stream:
                    parts.append(part)
                    yield part
            except httpx.TransportError:
                # The backend was killed while it answered: nobody can read the rest.
                self.is_read = True
                raise
            self.is_read = True
            if "answer" not in _may_depart:
                whole = httpx.Response(
                    response.status_code, headers=response.headers, content=b"".join(parts)
                )
                _check_answer(request, whole, operation)

        def close(self) -> None:
            stream.close()
            if not self.is_read and "answer" not in _may_depart:
                _note([f"{request.method} {request.url.path}: the answer was not read"])

    return CheckedStream()


def _check_exchange(request: httpx.Request, response: httpx.Response) -> None:
    operation = _operation(request)
    if "request" not in _may_depart:
        _note(_request_departures(request, operation))
    _check_answer(request, response, operation)


def _check_answer(request: httpx.Request, response: httpx.Response, operation: Any) -> None:
    if operation is not None:
        _checked.append(operation[0]["operationId"])
    if "answer" not in _may_depart:
        what = f"{request.method} {request.url.path} -> {response.status_code}"
        _note(f"{what}: {found}" for found in answer_departures(response, operation))


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


# The contract, ready to be checked against


def _resolved(node: Any) -> Any:
    while isinstance(node, dict) and "$ref" in node:
        node = _component(node["$ref"])
    return node


@cache
def _component(reference: str) -> Any:
    target: Any = CONTRACT
    for part in reference.removeprefix("#/").split("/"):
        target = target[part]
    return target


def _validator(schema: Any) -> Any:
    # Many processes import httpx and send nothing.
    import jsonschema_rs

    # Most parameters refer to no component, and the components take longer than all the rest.
    has_references = '"$ref"' in json.dumps(schema)
    document = {**schema, "components": CONTRACT["components"]} if has_references else schema
    return jsonschema_rs.Draft202012Validator(document, validate_formats=True)


def _json_schema(content_holder: Any) -> Any:
    return content_holder["content"]["application/json"]["schema"]


@cache
def _compiled(path: str, method: str) -> Any:
    """The checks of one operation, compiled at its first exchange: most processes need only a few."""
    item = CONTRACT["paths"][path]
    operation = item[method]
    parameters = [
        _resolved(one) for one in [*item.get("parameters", []), *operation.get("parameters", [])]
    ]
    checks = {
        (one["in"], one["name"].lower()): (one, _validator(one["schema"])) for one in parameters
    }
    body = operation.get("requestBody")
    return checks, body and _validator(_json_schema(body))


@cache
def _compiled_answer(path: str, method: str, status: int) -> Any:
    """The check of an operation's responses with one status; None if the status is not declared."""
    responses = CONTRACT["paths"][path][method]["responses"]
    if str(status) not in responses:
        return None
    answer = _resolved(responses[str(status)])
    schema = _json_schema(answer) if "content" in answer else None
    headers = {
        name: _validator(_resolved(header)["schema"])
        for name, header in answer.get("headers", {}).items()
    }
    return schema, _validator(schema) if schema else None, headers


_OPERATIONS = [
    (method, path, re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(path))))
    for path, item in CONTRACT["paths"].items()
    for method in ("get", "post", "patch", "delete")
    if method in item
]


def _operation(request: httpx.Request) -> Any:
    raw_path = request.url.raw_path.decode("ascii").partition("?")[0]
    for method, path, pattern in _OPERATIONS:
        match = pattern.fullmatch(raw_path)
        if method.upper() == request.method and match:
            values = {name: unquote(word) for name, word in match.groupdict().items()}
            return (CONTRACT["paths"][path][method], path, method, values)
    return None


def _request_departures(request: httpx.Request, operation: Any) -> Iterator[str]:
    what = f"{request.method} {request.url.path}"
    if operation is None:
        yield f"{what}: the contract has no such operation"
        return
    _, path, method, path_values = operation
    checks, body = _compiled(path, method)
    query = parse_qsl(request.url.query.decode("ascii"), keep_blank_values=True)
    given: dict[tuple[str, str], Any] = {("path", name): word for name, word in path_values.items()}
    given.update({("query", name): word for name, word in query})
    given.update({("header", name): word for name, word in request.headers.items()})
    lists = {name for (place, name), (parameter, _) in checks.items() if _is_list(place, parameter)}
    for name in lists & {name for name, _ in query}:
        given["query", name] = [word for key, word in query if key == name]
    single = [name for name, _ in query if name not in lists]
    if len(single) != len(set(single)):
        yield f"{what}: a query parameter is given twice"
    for place, name in given:
        if place == "query" and (place, name) not in checks:
            yield f"{what}: the contract has no query parameter {name}"
    for key, (parameter, validator) in checks.items():
        if key not in given:
            if parameter.get("required"):
                yield f"{what}: {parameter['name']} is missing"
        else:
            yield from _errors(
                f"{what}: {parameter['name']}", validator, _number(given[key], parameter)
            )
    yield from _body_departures(what, request, body)


def _body_departures(what: str, request: httpx.Request, body: Any) -> Iterator[str]:
    if body is None:
        if request.content:
            yield f"{what}: the contract has no request body"
    elif request.headers.get("content-type") != "application/json":
        yield f"{what}: the body is {request.headers.get('content-type')}, not application/json"
    else:
        yield from _errors(
            f"{what}: body", body, json.loads(request.content, parse_constant=_no_constant)
        )


def _is_list(place: str, parameter: Any) -> bool:
    return place == "query" and parameter["schema"].get("type") == "array"


def _number(word: str, parameter: Any) -> Any:
    if parameter["schema"].get("type") == "integer" and re.fullmatch(r"-?\d+", word):
        return int(word)
    return word


def answer_departures(response: httpx.Response, operation: Any) -> Iterator[str]:
    """The departures of a response from the contract of its operation."""
    if operation is None:
        yield "the contract has no such operation"
        return
    declared, path, method, _ = operation
    answer = _compiled_answer(path, method, response.status_code)
    if answer is None:
        yield f"the contract does not declare this status for {declared['operationId']}"
        return
    schema, validator, headers = answer
    for name, header in headers.items():
        if name in response.headers:
            yield from _errors(f"header {name}", header, response.headers[name])
    if validator is None:
        if response.content:
            yield f"a body where the contract has none: {response.content[:80]!r}"
        return
    if response.headers.get("content-type") != "application/json":
        yield f"the content type is {response.headers.get('content-type')}, not application/json"
        return
    try:
        document = json.loads(response.content, parse_constant=_no_constant)
    except ValueError as error:
        yield f"the body is not JSON: {error}"
        return
    yield from _errors("body", validator, document)
    yield from _undeclared("body", schema, document)


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def _errors(what: str, validator: Any, document: Any) -> Iterator[str]:
    for error in validator.iter_errors(document):
        yield f"{what}{''.join(f'[{key!r}]' for key in error.instance_path)}: {error.message[:300]}"


def _undeclared(what: str, schema: Any, document: Any) -> Iterator[str]:
    """Fields that the contract does not name: clients ignore them, but our backend sends none."""
    if not isinstance(document, list | dict):
        return
    schema = _resolved(schema)
    for choice in schema.get("anyOf", []):
        if isinstance(document, dict) and _resolved(choice).get("type") == "object":
            schema = _resolved(choice)
    if isinstance(document, list) and "items" in schema:
        for index, item in enumerate(document):
            yield from _undeclared(f"{what}[{index}]", schema["items"], item)
    if isinstance(document, dict) and schema.get("type") == "object":
        fields = schema.get("properties", {})
        for name, value in document.items():
            if name in fields:
                yield from _undeclared(f"{what}.{name}", fields[name], value)
            elif "additionalProperties" in schema:
                yield from _undeclared(f"{what}.{name}", schema["additionalProperties"], value)
            else:
                yield f"{what}.{name}: the contract has no such field"
