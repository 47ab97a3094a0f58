"""Checks of requests and responses against a contract, for tests/exchanges.py."""

from __future__ import annotations

import json
import re
from email.message import Message
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
LINES = ("application/jsonl", "application/x-ndjson")
JSON = "application/json"


class BodyCheck:
    """Checks a body whose parts are fed to it.

    Attributes:
        may_stop: Whether a client may stop reading it before its end.
    """

    may_stop = False

    def __init__(self, check: Callable[[bytes], Iterator[str]]) -> None:
        self._check = check
        self._parts: list[bytes] = []

    def feed(self, part: bytes) -> None:
        """Takes a part of the body."""
        self._parts.append(part)

    def departures(self) -> Iterator[str]:
        """The departures of the body, which is complete."""
        return self._check(b"".join(self._parts))


class BinaryCheck(BodyCheck):
    """Any bytes are allowed, and none are kept."""

    may_stop = True

    def feed(self, part: bytes) -> None:
        """Takes a part of the body."""


class ItemsCheck(BodyCheck):
    """Each line, or event, is checked when it is complete, and not kept."""

    may_stop = True

    def __init__(self, separator: bytes, check: Callable[[bytes], Iterator[str]]) -> None:
        super().__init__(check)
        self._separator = separator
        self._found: list[str] = []
        self._rest = b""

    def feed(self, part: bytes) -> None:
        """Takes a part of the body."""
        *items, self._rest = (self._rest + part).split(self._separator)
        for item in items:
            self._found.extend(self._check(item))

    def departures(self) -> Iterator[str]:
        """The departures of the body, which is complete."""
        yield from self._found
        if self._rest.strip():
            yield from self._check(self._rest)


class FormCheck(BodyCheck):
    """Checks the fields of a multipart form; their contents are not kept."""

    def __init__(self, boundary: str, schema: Any) -> None:
        self._delimiter = b"\r\n--" + boundary.encode()
        self._schema = schema
        self._names: list[str] = []
        # As if a line had ended before the first delimiter.
        self._rest = b"\r\n"

    def feed(self, part: bytes) -> None:
        """Takes a part of the body."""
        self._rest += part
        while True:
            _, found, rest = self._rest.partition(self._delimiter)
            if not found:
                self._rest = self._rest[-len(self._delimiter) :]
                return
            headers, is_complete, after = rest.partition(b"\r\n\r\n")
            if rest.startswith(b"--"):
                self._rest = b""
                return
            if not is_complete:
                return
            self._names += re.findall(r'; name="([^"]*)"', headers.decode())
            self._rest = b"\r\n\r\n" + after

    def departures(self) -> Iterator[str]:
        """The departures of the body, which is complete."""
        fields = self._schema.get("properties", {})
        for name in set(self._names) - set(fields):
            yield f"the contract has no form field {name}"
        for name in set(self._schema.get("required", [])) - set(self._names):
            yield f"the form field {name} is missing"
        for name in set(self._names):
            if self._names.count(name) > 1 and fields.get(name, {}).get("type") != "array":
                yield f"the form field {name} is sent twice"


class Checks:
    """The checks of one contract, each compiled at its first exchange: most processes need a few."""

    def __init__(self, contract: dict[str, Any]) -> None:
        self.contract = contract
        self._compiled: dict[Any, Any] = {}
        self._operations = [
            (method, path, re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(path))))
            for path, item in contract["paths"].items()
            for method in METHODS
            if method in item
        ]

    def resolved(self, node: Any) -> Any:
        """What a reference leads to, or the node itself."""
        while isinstance(node, dict) and "$ref" in node:
            target: Any = self.contract
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            node = target
        return node

    def operation(self, request: httpx.Request) -> Any:
        """The operation of a request, its path and method, and the values in its path."""
        raw_path = request.url.raw_path.decode("ascii").partition("?")[0]
        for method, path, pattern in self._operations:
            match = pattern.fullmatch(raw_path)
            if method.upper() == request.method and match:
                values = {name: unquote(word) for name, word in match.groupdict().items()}
                return (self.contract["paths"][path][method], path, method, values)
        return None

    def request_departures(self, request: httpx.Request, operation: Any) -> Iterator[str]:
        """The departures of a request, except for those of its body."""
        what = f"{request.method} {request.url.path}"
        if operation is None:
            yield f"{what}: the contract has no such operation"
            return
        _, path, method, path_values = operation
        checks = self._parameters(path, method)
        query = parse_qsl(request.url.query.decode("ascii"), keep_blank_values=True)
        given: dict[Any, Any] = {("path", name): word for name, word in path_values.items()}
        given.update({("query", name): word for name, word in query})
        given.update({("header", name): word for name, word in request.headers.items()})
        lists = {name for (place, name), (one, _) in checks.items() if _is_list(place, one)}
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
                    f"{what}: {parameter['name']}", validator, _decoded(given[key], parameter)
                )

    def request_body(self, request: httpx.Request, operation: Any) -> BodyCheck:
        """The check of the body of a request."""
        if operation is None:
            return BodyCheck(_always())
        what = f"{request.method} {request.url.path}"
        body = self.resolved(operation[0].get("requestBody"))
        if body is None:
            return BodyCheck(
                lambda content: iter(
                    [f"{what}: the contract has no request body"] if content else []
                )
            )
        key = (*operation[1:3], "body")
        return self._body(f"{what}: body", "the body is", body["content"], request.headers, key)

    def response_body(self, response: httpx.Response, operation: Any) -> BodyCheck:
        """The check of a response and its body."""
        if operation is None:
            return BodyCheck(_always("the contract has no such operation"))
        declared, path, method, _ = operation
        responses, status = declared["responses"], str(response.status_code)
        key = next((key for key in (status, f"{status[0]}XX", "default") if key in responses), None)
        if key is None:
            problem = f"the contract does not declare this status for {declared['operationId']}"
            return BodyCheck(_always(problem))
        answer = self.resolved(responses[key])
        place = (path, method, key)
        if "content" not in answer:
            check = BodyCheck(_no_body)
        else:
            what = "the content type is"
            check = self._body(
                "body", what, answer["content"], response.headers, place, strict=True
            )
        departures = list(self._header_departures(answer, response, place))
        if departures:
            body_departures = check.departures
            check.departures = lambda: iter([*departures, *body_departures()])  # type: ignore[method-assign]
        return check

    def _header_departures(
        self, answer: Any, response: httpx.Response, place: Any
    ) -> Iterator[str]:
        for name, reference in answer.get("headers", {}).items():
            header = self.resolved(reference)
            if name in response.headers:
                validator = self._validator((*place, name), header["schema"])
                yield from _errors(
                    f"header {name}", validator, _decoded(response.headers[name], header)
                )

    def _body(
        self,
        what: str,
        problem: str,
        content: Any,
        headers: httpx.Headers,
        place: Any,
        *,
        strict: bool = False,
    ) -> BodyCheck:
        """The check of a body that has one of the declared content types.

        Args:
            strict: Whether fields of JSON that the contract does not name are departures.
        """
        sent = headers.get("content-type", "")
        name = sent.partition(";")[0].strip().lower()
        declared = next(
            (
                one
                for one in content
                if one == name or re.fullmatch(one.replace("*", "[^/]*"), name)
            ),
            None,
        )
        if declared is None or (name == JSON and sent != JSON):
            expected = " or ".join(content)
            line = f"{problem} {sent or None}, not {expected}"
            prefix = what.rpartition(": ")[0]
            return BodyCheck(_always(f"{prefix}: {line}" if prefix else line))
        schema = self.resolved(content[declared].get("schema", {}))
        if name == "multipart/form-data":
            message = Message()
            message["Content-Type"] = sent
            return FormCheck(str(message.get_param("boundary")), schema)
        structured = name == JSON or name.endswith("+json") or name in LINES
        if not structured and name != "text/event-stream":
            return BinaryCheck(_always())
        validator = self._validator((*place, declared), schema)

        def check(text: bytes) -> Iterator[str]:
            try:
                document = json.loads(text, parse_constant=_no_constant)
            except ValueError as error:
                yield f"the {what.rpartition(' ')[2]} is not JSON: {error}"
                return
            yield from _errors(what, validator, document)
            if strict:
                yield from self._undeclared("body", schema, document)

        if name in LINES:
            return ItemsCheck(b"\n", check)
        if name == "text/event-stream":
            return ItemsCheck(b"\n\n", lambda event: _event_departures(event, schema, check))
        return BodyCheck(check)

    def _parameters(self, path: str, method: str) -> Any:
        key = (path, method)
        if key not in self._compiled:
            item = self.contract["paths"][path]
            nodes = [*item.get("parameters", []), *item[method].get("parameters", [])]
            self._compiled[key] = {
                (one["in"], one["name"].lower()): (one, self._validator(None, one["schema"]))
                for one in map(self.resolved, nodes)
            }
        return self._compiled[key]

    def _validator(self, key: Any, schema: Any) -> Any:
        # Many processes import httpx and send nothing.
        import jsonschema_rs

        if key is None or key not in self._compiled:
            # Most parameters refer to no component, and the components take longer than the rest.
            has_references = '"$ref"' in json.dumps(schema)
            components = {"components": self.contract["components"]} if has_references else {}
            document = {**schema, **components}
            self._compiled[key] = jsonschema_rs.Draft202012Validator(
                document, validate_formats=True
            )
        return self._compiled[key]

    def _undeclared(self, what: str, schema: Any, document: Any) -> Iterator[str]:
        """Fields that the contract does not name: clients ignore them, but our backend sends none."""
        if schema is True or not isinstance(document, list | dict):
            return
        schema = self.resolved(schema)
        for choice in schema.get("anyOf", []):
            if isinstance(document, dict) and self.resolved(choice).get("type") == "object":
                schema = self.resolved(choice)
        if isinstance(document, list) and "items" in schema:
            for index, item in enumerate(document):
                yield from self._undeclared(f"{what}[{index}]", schema["items"], item)
        if isinstance(document, dict) and schema.get("type") == "object":
            fields = schema.get("properties", {})
            for name, value in document.items():
                if name in fields:
                    yield from self._undeclared(f"{what}.{name}", fields[name], value)
                elif "additionalProperties" in schema:
                    yield from self._undeclared(
                        f"{what}.{name}", schema["additionalProperties"], value
                    )
                else:
                    yield f"{what}.{name}: the contract has no such field"


def _event_departures(
    event: bytes, schema: Any, check: Callable[[bytes], Iterator[str]]
) -> Iterator[str]:
    lines = [line.removeprefix(b"data:") for line in event.split(b"\n") if line[:5] == b"data:"]
    if lines and schema.get("type") != "string":
        yield from check(b"\n".join(lines))


def _always(*departures: str) -> Callable[[bytes], Iterator[str]]:
    """A check whose outcome depends on no body."""
    return lambda _content: iter(departures)


def _no_body(content: bytes) -> Iterator[str]:
    if content:
        yield f"a body where the contract has none: {content[:80]!r}"


def _is_list(place: str, parameter: Any) -> bool:
    return place == "query" and parameter["schema"].get("type") == "array"


def _decoded(word: str, parameter: Any) -> Any:
    if parameter["schema"].get("type") == "integer" and re.fullmatch(r"-?\d+", word):
        return int(word)
    if parameter["schema"].get("type") == "boolean":
        return {"true": True, "false": False}.get(word, word)
    return word


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def _errors(what: str, validator: Any, document: Any) -> Iterator[str]:
    for error in validator.iter_errors(document):
        yield f"{what}{''.join(f'[{key!r}]' for key in error.instance_path)}: {error.message[:300]}"
