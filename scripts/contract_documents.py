"""Reading an OpenAPI document: where references lead, its operations, and what they are made of."""

from __future__ import annotations

import json
import re
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple, cast

if TYPE_CHECKING:
    from collections.abc import Sequence

Node = dict[str, Any]

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


class ContractError(Exception):
    """A document that cannot be compared."""


class Operation(NamedTuple):
    """An operation, its name, where it is and the path item that it belongs to."""

    name: str
    method: str
    path: str
    item: Node
    node: Node

    @property
    def request(self) -> str:
        return f"{self.method.upper()} {self.path}"

    @property
    def key(self) -> tuple[str, str]:
        """The method and the path; the names of path parameters are not sent."""
        return self.method, re.sub(r"\{[^}]*\}", "{}", self.path)


class Document:
    """An OpenAPI document, whose references can be followed.

    Args:
        name: What errors call it, "old" or "new".
        content: What was read from its file.

    Raises:
        ContractError: The content is not an OpenAPI document.
    """

    def __init__(self, name: str, content: Node) -> None:
        if not isinstance(content.get("paths"), dict):
            raise ContractError(f"the {name} document is not an OpenAPI document: it has no paths")
        # Dates become text, and keys such as 200 as well.
        self.content: Node = json.loads(json.dumps(content, default=str))
        if str(self.content.get("openapi")).startswith("3.0"):
            self.content = _upgraded(self.content)
        #: The names of the schemas that were reached by a reference.
        self.reached: set[str] = set()

    def component(self, section: str) -> Node:
        return as_node(self.content.get("components", {}).get(section, {}))

    def target(self, reference: str) -> Node:
        """What a reference leads to, which may be a reference again."""
        target: Any = self.content
        for part in reference.removeprefix("#/").split("/"):
            key = part.replace("~1", "/").replace("~0", "~").replace("%7B", "{").replace("%7D", "}")
            target = as_node(target).get(key)
        if not isinstance(target, dict):
            raise ContractError(f"the reference {reference} does not resolve in the document")
        self.reached.add(reference.rpartition("/")[2])
        return as_node(target)

    def resolve(self, node: Node) -> Node:
        """The node that a reference leads to, with the keywords beside the reference."""
        seen: set[str] = set()
        while "$ref" in node:
            reference = node["$ref"]
            if reference in seen:
                raise ContractError(f"the reference {reference} does not resolve in the document")
            seen.add(reference)
            beside = {key: value for key, value in node.items() if key != "$ref"}
            node = {**self.target(reference), **beside}
        return node

    def operations(self) -> list[Operation]:
        operations: list[Operation] = []
        for path, node in self.content["paths"].items():
            item = self.resolve(node)
            for method in METHODS:
                if method in item:
                    name = item[method].get("operationId", f"{method.upper()} {path}")
                    operations.append(Operation(name, method, path, item, item[method]))
        return operations

    def parameters(self, operation: Operation) -> dict[tuple[str, str], Node]:
        """By location and name; an operation's own ones replace those of its path."""
        parameters: dict[tuple[str, str], Node] = {}
        for node in [
            *operation.item.get("parameters", []),
            *operation.node.get("parameters", []),
        ]:
            parameter = self.resolve(node)
            name = parameter["name"]
            key = parameter["in"], name.lower() if parameter["in"] == "header" else name
            parameters[key] = parameter
        return parameters


def _upgraded(value: Any) -> Any:
    """A part of an OpenAPI 3.0 document, with the keywords of 3.1."""
    if isinstance(value, list):
        return [_upgraded(item) for item in cast("Sequence[Any]", value)]
    if not isinstance(value, dict):
        return value
    node = {key: _upgraded(item) for key, item in cast("Node", value).items()}
    if isinstance(node.get("$ref"), str):
        # What stands beside a reference does not count.
        return {"$ref": node["$ref"]}
    if node.get("nullable") is True and isinstance(node.get("type"), str):
        node["type"] = [node["type"], "null"]
    if isinstance(node.get("nullable"), bool):
        del node["nullable"]
    for bound in ("minimum", "maximum"):
        exclusive = f"exclusive{bound.capitalize()}"
        if isinstance(node.get(exclusive), bool) and node.pop(exclusive):
            node[exclusive] = node.pop(bound)
    return node


def name_of_reference(schema: Node) -> str:
    name: str = schema.get("$ref", "").rpartition("/")[2]
    return name


def as_schema(schema: Any) -> Node:
    return {"not": {}} if schema is False else as_node(schema)


def as_node(value: Any) -> Node:
    """The value, if it is an object; else an empty one."""
    return cast("Node", value) if isinstance(value, dict) else {}


def media_type(text: str) -> str:
    """A content type as it is compared: case and the default character set do not matter."""
    kind, *parameters = (part.strip() for part in text.lower().split(";"))
    parameters = [part.replace('"', "").replace(" ", "") for part in parameters]
    return ";".join([kind, *sorted(set(parameters) - {"charset=utf-8", ""})])


def urls_of(servers: list[Node]) -> dict[str, Node]:
    """Servers by their URL, each variable with its values written out."""
    urls: dict[str, Node] = {}
    for server in servers:
        variables = {
            name: variable.get("enum", [f"{{{name}}}"])
            for name, variable in server.get("variables", {}).items()
        }
        for values in product(*variables.values()):
            url = server["url"]
            for name, value in zip(variables, values, strict=True):
                url = url.replace(f"{{{name}}}", value)
            urls[url.rstrip("/") or "/"] = server
    return urls
