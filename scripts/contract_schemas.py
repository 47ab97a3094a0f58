"""What a JSON schema accepts: its alternatives, and which of two schemas accepts more.

References are followed, `allOf` is merged, and a union is written out, so that each alternative has
one type. Whether one schema accepts all that another does is decided by jsonschema-rs.
"""

from __future__ import annotations

import json
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import jsonschema_rs
from contract_documents import ContractError, Document, Node, as_node, as_schema, name_of_reference
from contract_kinds import DOCUMENTATION, ENUM_VALUES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_UNION = ("anyOf", "oneOf")
_UPPER_BOUNDS = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_LOWER_BOUNDS = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_FORMATS = {"date-time": "datetime", "date": "date", "uuid": "UUID", "binary": "File"}
_TYPES = {
    "string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None",
    "array": "list", "object": "a model", "any": "Any",
}  # fmt: skip
#: Keywords that only mean something together.
_JOINED = (("if", "then", "else"), ("contains", "minContains", "maxContains"))


class Alternative(NamedTuple):
    """One way to be valid: its type, the name of its schema, and its keywords, merged.

    Keywords that cannot be merged, such as a second pattern, are left in `allOf`.
    """

    type: str
    name: str
    schema: Node

    @property
    def values(self) -> list[Any] | None:
        return values_of(self.schema)

    @property
    def has_class(self) -> bool:
        """Whether the generated client has a class for it: an enum or a model."""
        if self.type == "object":
            return bool(self.name or "properties" in self.schema)
        return "enum" in self.schema and self.type in {"string", "integer"}

    @property
    def python_type(self) -> str:
        """The type in the generated client."""
        if self.has_class:
            kind = "model" if self.type == "object" else "enum"
            return self.name or f"{kind} of its own"
        if self.type == "string":
            return _FORMATS.get(self.schema.get("format", ""), "str")
        return _TYPES[self.type]

    def is_free(self) -> bool:
        """Whether it accepts every value of its type."""
        return self.schema.keys() <= {"type", "default"}


def values_of(schema: Node) -> list[Any] | None:
    values: list[Any] | None = [schema["const"]] if "const" in schema else schema.get("enum")
    return values


class Schemas:
    """The schemas of a document."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self._canonical: dict[str, jsonschema_rs.CanonicalSchema] = {}

    def canonical(self, schema: Node) -> jsonschema_rs.CanonicalSchema:
        key = json.dumps(schema)
        if key not in self._canonical:
            root = self._written_out(schema)
            if '"$ref"' in json.dumps(root):
                # It contains itself: the reference leads through the whole document.
                root = {**self.document.content, **root}
            try:
                self._canonical[key] = jsonschema_rs.canonicalize(
                    root, draft=jsonschema_rs.Draft202012, offline=True
                )
            except ValueError as error:
                raise ContractError(
                    f"one of them is not valid OpenAPI ({error}); "
                    "run scripts/lint_contract.sh to see where"
                ) from error
        return self._canonical[key]

    def _written_out(self, value: Any, trail: tuple[str, ...] = ()) -> Any:
        """A schema with what its references lead to, as far as it does not contain itself."""
        if isinstance(value, list):
            return [self._written_out(item, trail) for item in cast("Sequence[Any]", value)]
        if not isinstance(value, dict):
            return value
        node = cast("Node", value)
        reference = node.get("$ref")
        kept = {
            key: self._written_out(item, trail)
            for key, item in node.items()
            if key != "$ref" and (key not in DOCUMENTATION or isinstance(item, dict))
        }
        if not isinstance(reference, str):
            return kept if reference is None else {**kept, "$ref": self._written_out(reference)}
        if reference in trail:
            return {**kept, "$ref": reference}
        target = self._written_out(self.document.target(reference), (*trail, reference))
        return {"allOf": [target, kept]} if kept else target

    def parts(self, schema: Any, trail: tuple[str, ...] = ()) -> Iterator[Node]:
        """The schemas that a value must match all: references followed, `allOf` taken apart."""
        node = as_schema(schema)
        reference = node.get("$ref")
        beside = {
            key: value
            for key, value in node.items()
            if key not in DOCUMENTATION | {"$ref", "allOf", "deprecated"}
            and (not key.startswith("x-") or key == ENUM_VALUES)
        }
        if beside:
            yield beside
        if reference:
            if reference in trail:
                raise ContractError(f"the reference {reference} does not resolve in the document")
            yield from self.parts(self.document.target(reference), (*trail, reference))
        for part in node.get("allOf", []):
            yield from self.parts(part, trail)

    def alternatives(self, schema: Any, name: str = "") -> list[Alternative]:
        parts: list[Node] = []
        for part in self.parts(schema):
            if part not in parts:
                parts.append(part)
        unions = [part[key] for part in parts for key in _UNION if key in part]
        plain = [
            {key: value for key, value in part.items() if key not in {*_UNION, "discriminator"}}
            for part in parts
        ]
        name = self.class_name(schema) or name
        if not unions:
            return list(_split_types(name, _merged(plain)))
        return [
            alternative
            for choices in product(*unions)
            for alternative in self.alternatives(
                {"allOf": [*plain, *choices]}, self.class_name(choices[-1])
            )
        ]

    def class_name(self, schema: Any) -> str:
        """The name that the generated client uses for a schema; empty for an inline one."""
        node = as_schema(schema)
        choices = [choice for key in ("allOf", *_UNION) for choice in node.get(key, [])]
        if "$ref" not in node and len(choices) == 1:
            return self.class_name(choices[0])
        return name_of_reference(node)

    def union_of(self, schema: Any) -> tuple[str, list[Any], Node]:
        """The first union that a schema has: its keyword, choices and discriminator."""
        for part in self.parts(schema):
            for key in _UNION:
                if key in part:
                    return key, part[key], as_node(part.get("discriminator"))
        return "", [], {}


def covers(schemas: Schemas, schema: Node, others: Schemas, other: Node) -> bool:
    """Whether every value that `other` accepts is accepted by `schema`, as far as can be proved."""
    containment = schemas.canonical(schema).covers(others.canonical(other))
    return containment == jsonschema_rs.canonical.Containment.YES


def rejects(schemas: Schemas, schema: Node, others: Schemas, other: Node) -> bool:
    """Whether a value that `other` accepts is proved not to be accepted by `schema`."""
    containment = schemas.canonical(schema).covers(others.canonical(other))
    return containment == jsonschema_rs.canonical.Containment.NO


def _merged(parts: list[Node]) -> Node:
    """One schema that accepts what all of the parts accept."""
    merged: Node = {}
    rest: list[Node] = []
    for part in parts:
        for keys in _grouped(part):
            group = {key: part[key] for key in keys}
            if not merged.keys() & keys:
                merged.update(group)
            elif len(keys) == 1 and (both := _both(keys[0], merged.get(keys[0]), part[keys[0]])):
                merged[keys[0]] = both[0]
            elif any(merged.get(key) != value for key, value in group.items()):
                rest.append(group)
    if rest:
        merged["allOf"] = rest
    if "unevaluatedProperties" in merged:
        # All that would be evaluated elsewhere is merged here.
        merged.setdefault("additionalProperties", merged.pop("unevaluatedProperties"))
    return merged


def _grouped(part: Node) -> Iterator[tuple[str, ...]]:
    """The keywords of a schema; those that mean something together only, together."""
    joined = {key for keys in _JOINED for key in keys}
    for keys in _JOINED:
        if keys[0] in part:
            yield tuple(key for key in keys if key in part)
    yield from ((key,) for key in part if key not in joined)


def _both(key: str, one: Any, other: Any) -> tuple[Any, ...]:
    """The value of a keyword that means the same as two values; empty if there is no such value."""
    if one == other or key in {"readOnly", "writeOnly", "default"}:
        return (one,)
    if False in (one, other) and key in {"items", *_FURTHER}:
        return (False,)
    merge = _MERGES.get(key)
    return (merge(one, other),) if merge else ()


def _both_fields(one: Node, other: Node) -> Node:
    fields = {**one, **other}
    for name in one.keys() & other.keys():
        fields[name] = {"allOf": [one[name], other[name]]}
    return fields


def _common_types(one: str | list[str], other: str | list[str]) -> list[str]:
    first, second = ([types] if isinstance(types, str) else types for types in (one, other))
    common = [kind for kind in first if kind in second]
    for types, others in ((first, second), (second, first)):
        if "integer" in types and "number" in others and "integer" not in common:
            common.append("integer")
    return common


#: Keywords about the fields or items that other keywords leave.
_FURTHER = ("additionalProperties", "unevaluatedProperties")
_MERGES: dict[str, Callable[[Any, Any], Any]] = {
    **dict.fromkeys(_UPPER_BOUNDS, min),
    **dict.fromkeys(_LOWER_BOUNDS, max),
    **dict.fromkeys(("items", *_FURTHER), lambda one, other: {"allOf": [one, other]}),
    "enum": lambda one, other: [value for value in one if value in other],
    "properties": _both_fields,
    ENUM_VALUES: lambda one, other: {**one, **other},
    "required": lambda one, other: list(dict.fromkeys([*one, *other])),
    "type": _common_types,
}


def _split_types(name: str, schema: Node) -> Iterator[Alternative]:
    kinds: list[str] | str = schema.get("type", _types_of_values(schema))
    values = values_of(schema)
    if schema.get("not") in ({}, True):
        return
    for kind in [kinds] if isinstance(kinds, str) else kinds:
        if kind == "null":
            yield Alternative(kind, "", {"type": "null"})
            continue
        one = {key: value for key, value in schema.items() if key != "type"}
        if kind != "any":
            one["type"] = kind
        if values and isinstance(kinds, list):
            one["enum"] = [value for value in values if _type_of(value) in {kind, "any"}]
            one.pop("const", None)
            if not one["enum"]:
                continue
        yield Alternative(kind, name, one)


def _types_of_values(schema: Node) -> str | list[str]:
    """The type of a schema without `type`: that of its values, else any."""
    kinds = sorted({_type_of(value) for value in values_of(schema) or []})
    if kinds:
        return kinds if len(kinds) > 1 else kinds[0]
    return "object" if "properties" in schema else "any"


def _type_of(value: Any) -> str:
    if value is None:
        return "null"
    kinds: dict[type, str] = {str: "string", bool: "boolean", int: "integer", float: "number"}
    return next((name for kind, name in kinds.items() if isinstance(value, kind)), "any")
