"""What the generated client tells programs about what the contract deprecates.

An operation, a parameter, a field, a schema, a response header, or a value of an enum is deprecated
with `deprecated: true`, and may have the date after which it may be removed in `x-sunset`. What to
use instead stands in a sentence of its description that begins with "Use".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from contract_documents import ContractError, as_node
from contract_kinds import ENUM_VALUES, sunset_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from contract_documents import Node

    Resolve = Callable[[Node], Node]

#: What the templates read at a schema: the deprecated fields of an object.
FIELDS = "x-deprecated-fields"
#: The same for the schema itself.
WARNING = "x-deprecated-warning"


def is_deprecated(node: Node) -> bool:
    return node.get("deprecated") is True


def note(place: str, node: Node) -> str:
    """What a docstring says of a deprecated thing, before its description."""
    sunset = sunset_of(place, node)
    return f"Deprecated; may be removed after {sunset}." if sunset else "Deprecated."


def warning(place: str, node: Node) -> str:
    """What a warning says after the name of a deprecated thing."""
    sunset = sunset_of(place, node)
    words = f"is deprecated and may be removed after {sunset}." if sunset else "is deprecated."
    sentences = re.split(r"(?<=[.;!])\s+", " ".join(node.get("description", "").split()))
    return " ".join([words, *(each for each in sentences if each.startswith("Use "))])


def describe(place: str, node: Node) -> str:
    """The description of a thing, with the note before it if it is deprecated."""
    description: str = node.get("description", "")
    return f"{note(place, node)} {description}".strip() if is_deprecated(node) else description


def mark_schemas(document: Node, resolve: Resolve) -> Node:
    """Notes at each schema what of it is deprecated, where the templates find it.

    Returns:
        What the templates do not find there: the descriptions of enums, by their names.

    Raises:
        ContractError: An enum without a name has deprecated values.
    """
    enums: Node = {}
    for name, schema in as_node(as_node(document.get("components")).get("schemas")).items():
        if is_deprecated(schema):
            schema[WARNING] = warning(name, schema)
            schema["description"] = describe(name, schema)
        values = schema.pop(ENUM_VALUES, {})
        if "enum" in schema and (values or is_deprecated(schema)):
            enums[name] = {
                "description": schema.get("description", ""),
                "values": {value: describe(value, marks) for value, marks in values.items()},
            }
    for schema in list(_schemas(document)):
        fields = {
            name: {
                "warning": warning(name, field),
                "note": note(name, field),
                "description": field.get("description", ""),
            }
            for name, field in _fields_of(schema, resolve).items()
            if is_deprecated(field)
        }
        if fields:
            schema[FIELDS] = fields
        if ENUM_VALUES in schema:
            values = ", ".join(map(str, schema.get("enum", [])))
            raise ContractError(
                f"{ENUM_VALUES} of {values} is not in a schema with a name; move the enum to "
                "components/schemas"
            )
    return enums


def is_used(schema: Any, resolve: Resolve) -> bool:
    """Whether something in a schema, or in what it refers to, is deprecated."""
    seen: set[int] = set()
    waiting: list[Any] = [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            node = as_node(node)
            if isinstance(node.get("$ref"), str):
                node = resolve(node)
            if id(node) in seen:
                continue
            seen.add(id(node))
            if FIELDS in node or WARNING in node:
                return True
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)  # pyright: ignore[reportUnknownArgumentType]
    return False


def _schemas(node: Any) -> Iterator[Node]:
    """The schemas of objects and enums anywhere in a document."""
    if isinstance(node, dict):
        fields = as_node(node)
        if isinstance(fields.get("properties"), dict) or "allOf" in fields or ENUM_VALUES in fields:
            yield fields
        for child in fields.values():
            yield from _schemas(child)
    elif isinstance(node, list):
        for child in node:  # pyright: ignore[reportUnknownVariableType]
            yield from _schemas(child)


def _fields_of(schema: Node, resolve: Resolve) -> Node:
    """The fields of an object, those of `allOf` too."""
    fields: Node = {}
    for part in schema.get("allOf", []):
        fields |= _fields_of(resolve(part), resolve)
    return fields | as_node(schema.get("properties"))
