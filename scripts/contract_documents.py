"""Reading an OpenAPI document: its operations and parameters, and what a schema means.

References are followed, `allOf` is merged, and a schema without `type` has that of its values.
"""

from __future__ import annotations

from typing import Any, cast

Node = dict[str, Any]

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


class ContractError(Exception):
    """A document that cannot be compared."""


def operations_of(document: Node) -> dict[tuple[str, str], tuple[str, Node, Node]]:
    """By method and path: the operation's name, its path item and the operation."""
    operations: dict[tuple[str, str], tuple[str, Node, Node]] = {}
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                name = item[method].get("operationId", f"{method.upper()} {path}")
                operations[method, path] = (name, item, item[method])
    return operations


def parameters_of(document: Node, item: Node, operation: Node) -> dict[tuple[str, str], Node]:
    """By location and name; an operation's own ones replace those of its path."""
    parameters: dict[tuple[str, str], Node] = {}
    for node in [*item.get("parameters", []), *operation.get("parameters", [])]:
        parameter = resolve(document, node)
        name = parameter["name"]
        key = parameter["in"], name.lower() if parameter["in"] == "header" else name
        parameters[key] = parameter
    return parameters


def ways_in(document: Node, operation: Node) -> set[str]:
    """The alternatives of `security`, as text; an operation without security has "none"."""
    ways: list[Node] = operation.get("security", document.get("security", [])) or [{}]
    return {" and ".join(sorted(way)) or "none" for way in ways}


def resolve(document: Node, node: Node) -> Node:
    """The node that a reference leads to, with the keywords beside the reference."""
    seen: set[str] = set()
    while "$ref" in node:
        reference = node["$ref"]
        target: Any = document
        for part in reference.removeprefix("#/").split("/"):
            key = part.replace("~1", "/").replace("~0", "~")
            target = as_node(target).get(key)
        if not isinstance(target, dict) or reference in seen:
            raise ContractError(f"the reference {reference} does not resolve in the document")
        seen.add(reference)
        node = {**as_node(target), **{key: value for key, value in node.items() if key != "$ref"}}
    return node


def name_of_reference(schema: Node) -> str:
    name: str = schema.get("$ref", "").rpartition("/")[2]
    return name


def as_schema(schema: Any) -> Node:
    return {"not": {}} if schema is False else as_node(schema)


def as_node(value: Any) -> Node:
    """The value, if it is an object; else an empty one."""
    return cast("Node", value) if isinstance(value, dict) else {}


def merge(document: Node, schema: Node) -> Node:
    """A schema with its `allOf` merged into it."""
    merged = {key: value for key, value in schema.items() if key != "allOf"}
    for part in schema.get("allOf", []):
        more = merge(document, resolve(document, part))
        fields = {**more.get("properties", {}), **merged.get("properties", {})}
        required = [*more.get("required", []), *merged.get("required", [])]
        merged = {**more, **merged}
        if fields:
            merged["properties"] = fields
        if required:
            merged["required"] = required
    return merged


def type_of_values(schema: Node) -> str | list[str]:
    """The type of a schema without `type`: that of its values, else any."""
    names: dict[type, str] = {
        str: "string",
        bool: "boolean",
        int: "integer",
        float: "number",
        type(None): "null",
    }
    types: list[type] = [type(value) for value in values_of(schema) or []]
    kinds = sorted({names.get(kind, "any") for kind in types})
    if kinds:
        return kinds
    return "object" if "properties" in schema else "any"


def values_of(schema: Node) -> list[Any] | None:
    values: list[Any] | None = [schema["const"]] if "const" in schema else schema.get("enum")
    return values
