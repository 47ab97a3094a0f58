"""Prepares the contract for the generator, which overlooks or rejects parts of it.

openapi-python-client reads a copy of the contract with these differences:

- each response has one content type; further ones are under a status of their own, such as 1200;
- binary bodies have a binary schema, and each line or event of a stream is an item of an array;
- headers that every operation has are not repeated at each: the client's README describes them;
- a union of objects also has the schema `UnknownKind`, for the objects of a newer backend;
- the schemas of a union with a discriminator have the values of their kind, as `x-kinds`;
- descriptions say what is deprecated, and schemas have what to warn of: see generator_deprecation.

The templates also read what the generator does not pass to them: see `Preparation.facts`.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import generator_deprecation as deprecation
from contract_documents import METHODS, ContractError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: Content types whose every line is a JSON document.
_LINES = {
    "application/jsonl",
    "application/jsonlines",
    "application/ndjson",
    "application/x-jsonl",
    "application/x-jsonlines",
    "application/x-ndjson",
}
_FORMS = {"application/x-www-form-urlencoded", "multipart/form-data"}
_BINARY = {"type": "string", "format": "binary"}
_SCHEMAS = "#/components/schemas/"
_UNKNOWN = "UnknownKind"
_UNKNOWN_SCHEMA = {
    "type": "object",
    "description": "An object of a kind that this version of the contract does not have: its "
    "fields are in `additional_properties`.",
    "additionalProperties": True,
}
#: A content type of each kind that the generator knows.
_KNOWN_TYPES = {
    "binary": "application/octet-stream",
    "events": "application/json",
    "lines": "application/json",
}
_STATUS_DIGITS = 3
#: Names in the generated code, in the form of a Python name. A field with one of the first would
#: replace it there, in part without a type error: no object of its class could be parsed.
_FIELD_NAMES = {
    *("additional_keys", "additional_properties", "cls", "d", "field_dict", "from_dict"),
    *("prop", "prop_name", "src_dict", "to_dict", "to_multipart"),
}
_PARAMETER_NAMES = {"kwargs", "params", "response"}


@dataclass
class Preparation:
    """What the generator and the templates read.

    Attributes:
        document: The contract as the generator reads it.
        content_types: The content type to generate each other one as.
        facts: By the names that the templates import: `facts_by_id`, the descriptions of the
            parameters and the body of each operation, and what it warns of; `kinds`, the kind of
            each content type; `enums_by_name`, the descriptions of deprecated enums and values.
    """

    document: dict[str, Any]
    content_types: dict[str, str]
    facts: dict[str, Any]


def prepare(contract: dict[str, Any]) -> Preparation:
    """Prepares the contract for the generator.

    Raises:
        ContractError: The contract has something that cannot be generated.
    """
    document = copy.deepcopy(contract)
    operations: dict[str, Any] = {}
    _check_fields(document)
    enums = deprecation.mark_schemas(document, partial(_resolve, document))
    bodies = _Bodies(document)
    for path, item in document.get("paths", {}).items():
        for method in METHODS:
            if method in item:
                name = item[method].get("operationId", "")
                operations[name] = _describe(document, item, item[method])
                bodies.prepare(item[method], f"{method} {path}")
    _open_unions(document)
    facts = {"facts_by_id": operations, "kinds": bodies.kinds, "enums_by_name": enums}
    return Preparation(document, bodies.content_types, facts)


def _resolve(document: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """Returns the node that a reference leads to, or the node itself."""
    seen: set[str] = set()
    while "$ref" in node:
        reference: str = node["$ref"]
        target: Any = document
        for part in reference.removeprefix("#/").split("/"):
            key = part.replace("~1", "/").replace("~0", "~")
            target = cast("dict[str, Any]", target).get(key) if isinstance(target, dict) else None
        if not isinstance(target, dict) or reference in seen:
            raise ContractError(f"the reference {reference} does not resolve in the document")
        seen.add(reference)
        node = cast("dict[str, Any]", target)
    return node


def _describe(
    document: dict[str, Any], item: dict[str, Any], operation: dict[str, Any]
) -> dict[str, Any]:
    """Returns the descriptions that stand beside schemas, where the generator does not look."""
    parameters = [*item.get("parameters", []), *operation.get("parameters", [])]
    descriptions, warnings = {}, {}
    name = operation.get("operationId", "")
    for parameter in (_resolve(document, parameter) for parameter in parameters):
        key = f"{parameter['in']} {parameter['name']}"
        place = f"{name}: the {parameter['in']} parameter {parameter['name']}"
        _check_name(place, parameter["name"], _PARAMETER_NAMES)
        descriptions[key] = deprecation.describe(place, parameter)
        if deprecation.is_deprecated(parameter):
            warnings[key] = f"{place} {deprecation.warning(place, parameter)}"
    if deprecation.is_deprecated(operation):
        warnings["operation"] = f"{name} {deprecation.warning(name, operation)}"
        operation["description"] = deprecation.describe(name, operation)
    body = _resolve(document, operation.get("requestBody", {}))
    return {
        "id": name,
        "body": body.get("description", ""),
        "checks_body": deprecation.is_used(body, partial(_resolve, document)),
        "parameters": descriptions,
        "warnings": warnings,
    }


def _check_fields(node: Any, place: str = "") -> None:
    """Checks the names of the fields of all schemas below a node."""
    if isinstance(node, dict):
        children = cast("dict[str, Any]", node)
        fields = children.get("properties")
        for name in cast("dict[str, Any]", fields) if isinstance(fields, dict) else ():
            _check_name(f"{place}: the field {name}", name, _FIELD_NAMES)
        for name, child in children.items():
            _check_fields(child, f"{place}/{name}" if place else name)
    elif isinstance(node, list):
        for child in node:  # pyright: ignore[reportUnknownVariableType]
            _check_fields(child, place)


def _check_name(place: str, name: str, names: set[str]) -> None:
    """Checks that the generated code does not use a name itself."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+", "_", name)
    if words.strip("_").lower() in names:
        raise ContractError(f"{place} has a name that the generator uses; choose another")


# Bodies


def kind_of(content_type: str, media: dict[str, Any]) -> str:
    """Returns how a body is written: json, lines, events, form, text, or binary."""
    name = content_type.partition(";")[0].strip().lower()
    schema = media.get("schema", _BINARY)
    if name in _LINES:
        return "lines"
    if name == "text/event-stream":
        return "events"
    if name in _FORMS:
        return "form"
    if name.startswith("text/"):
        return "text"
    # The generator refuses another format of structured data, and has to.
    is_binary = name == "application/octet-stream" or schema.get("type", "string") == "string"
    if name == "application/json" or name.endswith("+json") or not is_binary or "$ref" in schema:
        return "json"
    return "binary"


class _Bodies:
    """Prepares the bodies of operations, and collects their content types."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._common_headers = _common_headers(document)
        self.kinds: dict[str, str] = {}
        self.content_types: dict[str, str] = {}

    def prepare(self, operation: dict[str, Any], where: str) -> None:
        """Prepares the request body and the responses of an operation."""
        if "requestBody" in operation:
            body = copy.deepcopy(_resolve(self._document, operation["requestBody"]))
            self._prepare_content(body.get("content", {}), in_request=True)
            operation["requestBody"] = body
        responses: dict[str, Any] = {}
        for status, reference in operation.get("responses", {}).items():
            response = copy.deepcopy(_resolve(self._document, reference))
            headers = response.get("headers", {})
            response["headers"] = {
                name: self._describe_header(f"{where} {status} {name}", headers[name])
                for name in headers
                if name not in self._common_headers
            }
            content = response.get("content", {})
            self._prepare_content(content, in_request=False)
            if len(content) > 1 and not (status.isdecimal() and len(status) == _STATUS_DIGITS):
                raise ContractError(
                    f"{where}: the response {status} has several content types; only a response "
                    "with a single status can have them"
                )
            responses[status] = response
            for number, content_type in enumerate(content):
                responses[f"{number or ''}{status}"] = {
                    **response,
                    "content": {content_type: content[content_type]},
                }
        operation["responses"] = responses

    def _describe_header(self, place: str, reference: dict[str, Any]) -> dict[str, Any]:
        header = _resolve(self._document, reference)
        return {**header, "description": deprecation.describe(place, header)}

    def _prepare_content(self, content: dict[str, Any], *, in_request: bool) -> None:
        for content_type, media in content.items():
            kind = self.kinds[content_type] = kind_of(content_type, media)
            if kind in _KNOWN_TYPES:
                self.content_types[content_type] = _KNOWN_TYPES[kind]
            elif kind == "text" and in_request:
                self.content_types[content_type] = _KNOWN_TYPES["binary"]
            if kind == "binary":
                media["schema"] = dict(_BINARY)
            elif kind in {"lines", "events"}:
                items = media.pop("itemSchema", media.get("schema", {}))
                media["schema"] = {"type": "array", "items": items}


def _common_headers(document: dict[str, Any]) -> set[str]:
    """Returns the names of the response headers that all operations have, if there are several."""
    names: list[set[str]] = [
        {
            name
            for reference in operation.get("responses", {}).values()
            for name in _resolve(document, reference).get("headers", {})
        }
        for item in document.get("paths", {}).values()
        for method, operation in item.items()
        if method in METHODS
    ]
    return names[0].intersection(*names) if len(names) > 1 else set()


# Unions


def _open_unions(document: dict[str, Any]) -> None:
    """Lets unions of objects have further kinds, and marks the kinds that they have."""
    schemas = document.get("components", {}).get("schemas", {})
    is_used = False
    for union in list(_unions(document)):
        choices = union.get("oneOf") or union["anyOf"]
        names = [
            choice["$ref"].removeprefix(_SCHEMAS)
            for choice in choices
            if choice.get("$ref", "").startswith(_SCHEMAS)
            and _is_object(_resolve(document, choice))
        ]
        if len(names) > 1:
            is_used = True
            _mark_kinds(union.get("discriminator", {}), names, schemas)
            choices.append({"$ref": f"{_SCHEMAS}{_UNKNOWN}"})
    if is_used:
        if _UNKNOWN in schemas:
            raise ContractError(f"the schema {_UNKNOWN} has a name that the generator uses")
        schemas[_UNKNOWN] = _UNKNOWN_SCHEMA


def _unions(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        fields = cast("dict[str, Any]", node)
        if isinstance(fields.get("oneOf", fields.get("anyOf")), list):
            yield fields
        for child in fields.values():
            yield from _unions(child)
    elif isinstance(node, list):
        for child in cast("Sequence[Any]", node):
            yield from _unions(child)


def _is_object(schema: dict[str, Any]) -> bool:
    return schema.get("type") == "object" or "properties" in schema or "allOf" in schema


def _mark_kinds(discriminator: dict[str, Any], names: list[str], schemas: dict[str, Any]) -> None:
    """Notes at each schema of a union which values of the discriminator mean it."""
    if not discriminator:
        return
    mapping: dict[str, str] = discriminator.get("mapping", {})
    field = discriminator["propertyName"]
    for name in names:
        values = [kind for kind, target in mapping.items() if target.rpartition("/")[2] == name]
        marks = schemas[name].setdefault("x-kinds", {})
        if marks.setdefault(field, values or [name]) != (values or [name]):
            raise ContractError(f"two unions have different values of {field} for {name}")
