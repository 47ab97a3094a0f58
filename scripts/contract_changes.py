"""What changed between two versions of the contract, and whom each change breaks.

A *caller* was written against the old document and meets a backend that serves the new one; a
*backend* serves the old document and meets a caller written against the new one. So one rule
decides nearly everything: what a request may hold no more breaks callers, what it may hold anew
breaks backends; in an answer it is the other way round. The exceptions are what the document
promises of its own: unknown fields are ignored, open enums may grow, and a backend may lack what is
marked `x-tellurio-extension`. The names of operations, tags and schemas count as well: they are
names in the generated client.

A keyword without a rule here counts as breaking for both, so that nothing passes unseen.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Node = dict[str, Any]

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
EXTENSION = "x-tellurio-extension"
#: What says something to people and nothing to programs.
_DOCUMENTATION = {
    "$comment",
    "contact",
    "deprecated",
    "description",
    "example",
    "examples",
    "externalDocs",
    "license",
    # They tell how operations go together, and bind no request or answer.
    "links",
    "summary",
    "termsOfService",
    "title",
    "version",
}
_UPPER_BOUNDS = {"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"}
_LOWER_BOUNDS = {"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"}
_RESTRICTIONS = {"pattern", "format", "multipleOf", "uniqueItems", "contentEncoding"}
#: Keywords of a schema that are taken apart on their own.
_STRUCTURE = {
    "$ref", "additionalProperties", "allOf", "anyOf", "const", "default", "enum", "items", "oneOf",
    "properties", "required", "type",
}  # fmt: skip


class Kind(StrEnum):
    """Whom a change breaks."""

    BREAKS_CALLERS = "breaking for callers"
    BREAKS_BACKENDS = "breaking for backends"
    COMPATIBLE = "compatible"
    DOCUMENTATION = "documentation"

    @property
    def is_breaking(self) -> bool:
        return self in {Kind.BREAKS_CALLERS, Kind.BREAKS_BACKENDS}


class Side(Enum):
    """Where a value travels. The kinds are those of allowing less than before, and of more."""

    REQUEST = ("in requests", Kind.BREAKS_CALLERS, Kind.BREAKS_BACKENDS)
    ANSWER = ("in answers", Kind.BREAKS_BACKENDS, Kind.BREAKS_CALLERS)

    def __init__(self, words: str, less: Kind, more: Kind) -> None:
        self.words = words
        self.less = less
        self.more = more


@dataclass(frozen=True)
class Change:
    """One change: whom it breaks, where it is and what it is."""

    kind: Kind
    place: str
    words: str


class ContractError(Exception):
    """A document that cannot be compared."""


def changes_between(old: Node, new: Node) -> list[Change]:
    """Every change from the old document to the new one, the breaking ones first.

    Raises:
        ContractError: A document is no OpenAPI document, or refers to something that it does not
            hold.
    """
    for name, document in (("old", old), ("new", new)):
        if not isinstance(document, dict) or not isinstance(document.get("paths"), dict):
            raise ContractError(f"the {name} document is no OpenAPI document: it has no paths")
    comparison = _Comparison(old, new)
    try:
        comparison.documents()
    except (AttributeError, KeyError, TypeError) as error:
        # The linter says where; here it is enough that something is not of the kind it must be.
        raise ContractError(
            f"one of them is no valid OpenAPI document ({type(error).__name__}: {error}); "
            "scripts/lint_contract.sh says where"
        ) from error
    # One place may be reached on several ways, and a change is told once.
    found = dict.fromkeys(comparison.found)
    return sorted(found, key=lambda one: (list(Kind).index(one.kind), one.place, one.words))


def report(changes: Iterable[Change], what: str) -> str:
    """The changes as text, by kind; `what` names the two documents."""
    changes = list(changes)
    if not changes:
        return f"{what}: no change"
    counts = Counter(change.kind for change in changes)
    lines = [f"{what}: " + ", ".join(f"{counts[kind]} {kind}" for kind in Kind if counts[kind])]
    for kind in Kind:
        if counts[kind]:
            lines.append(f"  {kind}")
            lines += [
                f"    {change.place}: {change.words}" for change in changes if change.kind is kind
            ]
    return "\n".join(lines)


class _Comparison:
    """Walks both documents side by side and collects what differs."""

    def __init__(self, old: Node, new: Node) -> None:
        self._old = old
        self._new = new
        self._compared: set[tuple[str, str, Side, bool]] = set()
        self.found: list[Change] = []

    def _tell(self, kind: Kind, place: str, words: str) -> None:
        self.found.append(Change(kind, place, words))

    def documents(self) -> None:
        self._rest("document", self._old.get("info", {}), self._new.get("info", {}), set())
        told = {"openapi", "info", "paths", "components", "servers", "security", "tags"}
        self._rest("document", self._old, self._new, told)
        if self._old.get("tags") != self._new.get("tags"):
            self._tell(Kind.DOCUMENTATION, "document", "tags changed")
        self._servers()
        self._security_schemes()
        before, after = _operations(self._old), _operations(self._new)
        for key, (name, _, operation) in before.items():
            if key not in after:
                self._tell(Kind.BREAKS_CALLERS, name, "operation removed")
            else:
                self._operation(name, *before[key][1:], *after[key][1:])
                new_name = after[key][0]
                if new_name != name:
                    self._tell(Kind.BREAKS_CALLERS, name, f"operation is now named {new_name}")
                if operation.get("tags") != after[key][2].get("tags"):
                    # The tag is a module of the generated client.
                    self._tell(Kind.BREAKS_CALLERS, name, "tag changed")
        for key, (name, _, operation) in after.items():
            if key not in before:
                self._added(name, "operation added", operation)

    def _added(self, place: str, words: str, node: Node) -> None:
        """Something that requests may use anew, and that old backends do not know."""
        if node.get(EXTENSION) is True:
            self._tell(Kind.COMPATIBLE, place, f"{words}, as an extension")
        else:
            self._tell(Kind.BREAKS_BACKENDS, place, f"{words}, and not marked {EXTENSION}")

    def _servers(self) -> None:
        before = {server["url"]: server for server in self._old.get("servers", [])}
        after = {server["url"]: server for server in self._new.get("servers", [])}
        for url in before.keys() | after.keys():
            if url not in after:
                self._tell(Kind.BREAKS_CALLERS, "document", f"server {url} removed")
            elif url not in before:
                self._tell(Kind.COMPATIBLE, "document", f"server {url} added")
            else:
                self._rest(f"server {url}", before[url], after[url], set())

    def _security_schemes(self) -> None:
        before = self._old.get("components", {}).get("securitySchemes", {})
        after = self._new.get("components", {}).get("securitySchemes", {})
        for name in before.keys() & after.keys():
            # One that was added or removed shows in the operations that use it.
            self._rest(f"security scheme {name}", before[name], after[name], set())

    def _operation(self, name: str, old_item: Node, old: Node, new_item: Node, new: Node) -> None:
        told = {
            "operationId", "tags", "parameters", "requestBody", "responses", "security", EXTENSION,
        }  # fmt: skip
        self._rest(name, old, new, told)
        self._extension_mark(name, old, new)
        ways = _ways_in(self._old, old), _ways_in(self._new, new)
        for way in ways[0] - ways[1]:
            self._tell(Kind.BREAKS_CALLERS, name, f"security {way} is accepted no more")
        for way in ways[1] - ways[0]:
            self._tell(Kind.BREAKS_BACKENDS, name, f"security {way} is accepted now")
        self._parameters(
            name, _parameters(self._old, old_item, old), _parameters(self._new, new_item, new)
        )
        self._request_body(
            name,
            _resolved(self._old, old.get("requestBody", {})),
            _resolved(self._new, new.get("requestBody", {})),
        )
        self._answers(name, old.get("responses", {}), new.get("responses", {}))

    def _extension_mark(self, place: str, old: Node, new: Node) -> None:
        before, after = old.get(EXTENSION) is True, new.get(EXTENSION) is True
        if before and not after:
            self._tell(Kind.BREAKS_BACKENDS, place, "is an extension no more: all must have it")
        if after and not before:
            self._tell(Kind.BREAKS_CALLERS, place, "is an extension now: a backend may lack it")

    def _parameters(
        self, name: str, old: dict[tuple[str, str], Node], new: dict[tuple[str, str], Node]
    ) -> None:
        for key in old.keys() | new.keys():
            place = f"{name} {key[0]} parameter {key[1]}"
            if key not in new:
                self._tell(Kind.BREAKS_CALLERS, place, "removed")
                if old[key].get("required"):
                    self._tell(Kind.BREAKS_BACKENDS, place, "removed, and existing ones require it")
            elif key not in old:
                if new[key].get("required"):
                    self._tell(Kind.BREAKS_CALLERS, place, "added, required")
                else:
                    self._added(place, "added", new[key])
            else:
                self._rest(
                    place, old[key], new[key], {"name", "in", "required", "schema", EXTENSION}
                )
                self._extension_mark(place, old[key], new[key])
                self._required(place, old[key], new[key], Side.REQUEST)
                self._schema(
                    place, old[key].get("schema", {}), new[key].get("schema", {}), Side.REQUEST
                )

    def _required(self, place: str, old: Node, new: Node, side: Side) -> None:
        before, after = bool(old.get("required")), bool(new.get("required"))
        if after and not before:
            self._tell(side.less, place, f"required now {side.words}")
        if before and not after:
            self._tell(side.more, place, f"required no more {side.words}")

    def _request_body(self, name: str, old: Node, new: Node) -> None:
        place = f"{name} request body"
        if old and not new:
            self._tell(Kind.BREAKS_CALLERS, place, "removed")
            if old.get("required"):
                self._tell(Kind.BREAKS_BACKENDS, place, "removed, and existing ones require it")
        elif new and not old:
            if new.get("required"):
                self._tell(Kind.BREAKS_CALLERS, place, "added, required")
            else:
                self._added(place, "added", new)
        elif old:
            self._rest(place, old, new, {"required", "content", EXTENSION})
            self._required(place, old, new, Side.REQUEST)
            self._contents(place, old.get("content", {}), new.get("content", {}), Side.REQUEST)

    def _contents(self, place: str, old: Node, new: Node, side: Side) -> None:
        for media in old.keys() | new.keys():
            if media not in new:
                self._tell(side.less, place, f"content type {media} removed")
            elif media not in old:
                self._tell(side.more, place, f"content type {media} added")
            else:
                self._rest(place, old[media], new[media], {"schema"})
                self._schema(
                    place, old[media].get("schema", {}), new[media].get("schema", {}), side
                )

    def _answers(self, name: str, old: Node, new: Node) -> None:
        for status in old.keys() | new.keys():
            place = f"{name} answer {status}"
            is_success = not str(status).startswith(("4", "5"))
            if status not in new:
                self._tell(Kind.BREAKS_BACKENDS, place, "removed, and existing ones give it")
                if is_success:
                    self._tell(Kind.BREAKS_CALLERS, place, "removed")
            elif status not in old:
                # Callers are prepared for errors of any status; a new success they cannot read.
                kind = Kind.BREAKS_CALLERS if is_success else Kind.COMPATIBLE
                self._tell(kind, place, "added")
            else:
                before = _resolved(self._old, old[status])
                after = _resolved(self._new, new[status])
                self._rest(place, before, after, {"headers", "content", EXTENSION})
                self._extension_mark(place, before, after)
                self._headers(place, before.get("headers", {}), after.get("headers", {}))
                self._contents(
                    place, before.get("content", {}), after.get("content", {}), Side.ANSWER
                )

    def _headers(self, answer: str, old: Node, new: Node) -> None:
        for name in old.keys() | new.keys():
            place = f"{answer} header {name}"
            before = _resolved(self._old, old.get(name, {}))
            after = _resolved(self._new, new.get(name, {}))
            if name not in new:
                self._tell(Kind.BREAKS_CALLERS, place, "removed")
            elif name not in old:
                kind = Kind.BREAKS_BACKENDS if after.get("required") else Kind.COMPATIBLE
                self._tell(kind, place, "added")
            else:
                self._rest(place, before, after, {"required", "schema", EXTENSION})
                self._extension_mark(place, before, after)
                self._required(place, before, after, Side.ANSWER)
                self._schema(place, before.get("schema", {}), after.get("schema", {}), Side.ANSWER)

    def _schema(self, place: str, old: Any, new: Any, side: Side) -> None:
        old, new = _as_schema(old), _as_schema(new)
        names = _reference_name(old), _reference_name(new)
        if names[0] and names[1]:
            # What stands beside a reference belongs to this place, the rest to the named schema.
            beside = [
                {key: value for key, value in node.items() if key != "$ref"} for node in (old, new)
            ]
            self._constraints(place, beside[0], beside[1], side, is_covered=False)
            if names[0] != names[1]:
                words = f"schema {names[0]} is now named {names[1]}"
                self._tell(Kind.BREAKS_CALLERS, place, words)
            if (key := (names[0], names[1], side, False)) not in self._compared:
                self._compared.add(key)
                old, new = {"$ref": old["$ref"]}, {"$ref": new["$ref"]}
                self._schema(names[1], _resolved(self._old, old), _resolved(self._new, new), side)
            return
        self._rest_of_union(place, old, new)
        self._union(place, list(self._branches(self._old, old)),
                    list(self._branches(self._new, new)), side)  # fmt: skip

    def _rest_of_union(self, place: str, old: Node, new: Node) -> None:
        """Compares what stands beside `anyOf`; what stands in a branch is compared there."""
        if any("anyOf" in node or "oneOf" in node for node in (old, new)):
            for key in (old.keys() | new.keys()) & _DOCUMENTATION:
                if old.get(key) != new.get(key):
                    self._tell(Kind.DOCUMENTATION, place, f"{key} changed")

    def _branches(self, document: Node, schema: Node) -> Iterator[tuple[str, str, Node]]:
        """The type, name and schema of each thing that a value may be, one type each."""
        name = _reference_name(schema)
        schema = _merged(document, _resolved(document, schema))
        choices = schema.get("anyOf") or schema.get("oneOf")
        if choices:
            beside = {
                key: value
                for key, value in schema.items()
                if key not in _DOCUMENTATION | {"anyOf", "oneOf"}
            }
            for choice in choices:
                yield from self._branches(document, {**beside, **_as_schema(choice)})
            return
        kinds = schema.get("type", _type_of_values(schema))
        for kind in kinds if isinstance(kinds, list) else [kinds]:
            yield kind, name, {"type": "null"} if kind == "null" else schema

    def _union(
        self,
        place: str,
        old: list[tuple[str, str, Node]],
        new: list[tuple[str, str, Node]],
        side: Side,
    ) -> None:
        pairs, gone, come = _paired(old, new)
        for before, after in pairs:
            if before[0] != after[0]:
                words = f"may be {after[0]} {side.words}, was {before[0]}"
                self._tell(side.more if _is_wider(after[0], before[0]) else side.less, place, words)
            is_covered = any(
                one[0] == after[0] and one[2] is not after[2] and _is_free(one[2]) for one in new
            )
            if before[1] and after[1]:
                # Once is enough, and a schema that holds itself would never end.
                key = (before[1], after[1], side, is_covered)
                if key in self._compared:
                    continue
                self._compared.add(key)
            # The words of an open enum belong to the schema of the enum.
            where = after[1] if after[1] and after[1] == before[1] else place
            self._constraints(where, before[2], after[2], side, is_covered=is_covered)
            self._parts(where, before[2], after[2], side)
        for what, name, _ in gone:
            self._tell(side.less, place, f"may be {name or what} no more {side.words}")
        for what, name, _ in come:
            self._tell(side.more, place, f"may be {name or what} now {side.words}")

    def _constraints(
        self, place: str, old: Node, new: Node, side: Side, *, is_covered: bool
    ) -> None:
        self._rest(
            place,
            old,
            new,
            _STRUCTURE | _UPPER_BOUNDS | _LOWER_BOUNDS | _RESTRICTIONS | {EXTENSION},
        )
        for key in sorted(_UPPER_BOUNDS | _LOWER_BOUNDS | _RESTRICTIONS):
            before, after = old.get(key), new.get(key)
            if before != after:
                words = f"{key} is {_said(after)}, was {_said(before)}, {side.words}"
                for kind in _kinds_of_bound(key, before, after, side):
                    self._tell(kind, place, words)
        self._words(place, old, new, side, is_covered=is_covered)
        if old.get("default") != new.get("default"):
            words = f"default is {_said(new.get('default'))}, was {_said(old.get('default'))}"
            kind = Kind.BREAKS_CALLERS if side is Side.REQUEST else Kind.DOCUMENTATION
            self._tell(kind, place, words)

    def _words(self, place: str, old: Node, new: Node, side: Side, *, is_covered: bool) -> None:
        """Compares enums; one is open where a value may also be any string."""
        before, after = _values(old), _values(new)
        if before is None and after is not None:
            self._tell(side.less, place, f"only {_listed(after)} now {side.words}")
        elif before is not None and after is None:
            self._tell(side.more, place, f"any value now {side.words}, was {_listed(before)}")
        elif before is not None and after is not None:
            what = "value" if not is_covered else "value of the open enum"
            if added := [value for value in after if value not in before]:
                kind = Kind.COMPATIBLE if is_covered else side.more
                self._tell(kind, place, f"{what} {_listed(added)} added {side.words}")
            if removed := [value for value in before if value not in after]:
                kind = Kind.COMPATIBLE if is_covered else side.less
                self._tell(kind, place, f"{what} {_listed(removed)} removed {side.words}")

    def _parts(self, place: str, old: Node, new: Node, side: Side) -> None:
        if "items" in old or "items" in new:
            self._schema(f"{place}[]", old.get("items", {}), new.get("items", {}), side)
        before, after = old.get("properties", {}), new.get("properties", {})
        for name in before.keys() | after.keys():
            must = [{"required": name in node.get("required", [])} for node in (old, new)]
            field = f"{place}.{name}"
            if name not in after:
                self._tell(Kind.BREAKS_CALLERS, field, f"removed {side.words}")
                if must[0]["required"] and side is Side.REQUEST:
                    self._tell(Kind.BREAKS_BACKENDS, field, "removed, and existing ones require it")
            elif name not in before:
                self._added_field(field, after[name], side, is_required=must[1]["required"])
            else:
                self._extension_mark(field, _as_schema(before[name]), _as_schema(after[name]))
                self._required(field, must[0], must[1], side)
                self._schema(field, before[name], after[name], side)
        self._other_fields(place, old, new, side)

    def _added_field(self, place: str, schema: Node, side: Side, *, is_required: bool) -> None:
        if is_required:
            self._tell(side.less, place, f"added {side.words}, required")
        elif side is Side.REQUEST:
            self._added(place, f"added {side.words}", _as_schema(schema))
        else:
            self._tell(Kind.COMPATIBLE, place, f"added {side.words}")

    def _other_fields(self, place: str, old: Node, new: Node, side: Side) -> None:
        before = old.get("additionalProperties", True)
        after = new.get("additionalProperties", True)
        if before is False or after is False:
            if before is not after:
                kind, word = (side.less, "forbidden") if after is False else (side.more, "allowed")
                self._tell(kind, place, f"unknown fields {word} {side.words}")
        elif before is not after:
            self._schema(f"{place}.*", before, after, side)

    def _rest(self, place: str, old: Node, new: Node, told: set[str]) -> None:
        """Whatever else differs: documentation, or a keyword that has no rule."""
        for key in sorted((old.keys() | new.keys()) - told):
            if old.get(key) == new.get(key):
                continue
            if key in _DOCUMENTATION or key.startswith("x-"):
                self._tell(Kind.DOCUMENTATION, place, f"{key} changed")
            else:
                words = f"{key} changed; no rule says what that breaks"
                self._tell(Kind.BREAKS_CALLERS, place, words)
                self._tell(Kind.BREAKS_BACKENDS, place, words)


def _operations(document: Node) -> dict[tuple[str, str], tuple[str, Node, Node]]:
    """By method and path: the operation's name, its path item and the operation."""
    found: dict[tuple[str, str], tuple[str, Node, Node]] = {}
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                name = item[method].get("operationId", f"{method.upper()} {path}")
                found[method, path] = (name, item, item[method])
    return found


def _parameters(document: Node, item: Node, operation: Node) -> dict[tuple[str, str], Node]:
    """By place and name; an operation's own stand before those of its path."""
    found: dict[tuple[str, str], Node] = {}
    for node in [*item.get("parameters", []), *operation.get("parameters", [])]:
        parameter = _resolved(document, node)
        name = parameter["name"]
        key = parameter["in"], name.lower() if parameter["in"] == "header" else name
        found[key] = parameter
    return found


def _ways_in(document: Node, operation: Node) -> set[str]:
    """The alternatives of `security`, as text; no security is one that asks for nothing."""
    ways = operation.get("security", document.get("security", [])) or [{}]
    return {" and ".join(sorted(way)) or "none" for way in ways}


def _resolved(document: Node, node: Node) -> Node:
    """The node that a reference leads to, with what stands beside the reference."""
    seen: set[str] = set()
    while "$ref" in node:
        reference = node["$ref"]
        found: Any = document
        for part in reference.removeprefix("#/").split("/"):
            key = part.replace("~1", "/").replace("~0", "~")
            found = found.get(key) if isinstance(found, dict) else None
        if not isinstance(found, dict) or reference in seen:
            raise ContractError(f"the reference {reference} leads nowhere in the document")
        seen.add(reference)
        node = {**found, **{key: value for key, value in node.items() if key != "$ref"}}
    return node


def _reference_name(schema: Node) -> str:
    name: str = schema.get("$ref", "").rpartition("/")[2]
    return name


def _as_schema(schema: Any) -> Node:
    if schema is False:
        return {"not": {}}
    return schema if isinstance(schema, dict) else {}


def _merged(document: Node, schema: Node) -> Node:
    """A schema with its `allOf` laid into it."""
    merged = {key: value for key, value in schema.items() if key != "allOf"}
    for part in schema.get("allOf", []):
        more = _merged(document, _resolved(document, part))
        fields = {**more.get("properties", {}), **merged.get("properties", {})}
        required = [*more.get("required", []), *merged.get("required", [])]
        merged = {**more, **merged}
        if fields:
            merged["properties"] = fields
        if required:
            merged["required"] = required
    return merged


def _type_of_values(schema: Node) -> str | list[str]:
    """The type of a schema that names none: that of its enum, else any."""
    names = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
    kinds = sorted({names.get(type(value), "any") for value in _values(schema) or []})
    if kinds:
        return kinds
    return "object" if "properties" in schema else "any"


def _paired(
    old: list[tuple[str, str, Node]], new: list[tuple[str, str, Node]]
) -> tuple[list[tuple[Any, Any]], list[tuple[str, str, Node]], list[tuple[str, str, Node]]]:
    """Pairs what is of one type and name, then of one type, then of a wider type."""
    pairs: list[tuple[Any, Any]] = []
    gone, come = list(old), list(new)
    for is_match in (
        lambda one, other: one[:2] == other[:2],
        lambda one, other: one[0] == other[0],
        lambda one, other: _is_wider(one[0], other[0]) or _is_wider(other[0], one[0]),
    ):
        for before in list(gone):
            after = next((other for other in come if is_match(before, other)), None)
            if after is not None:
                pairs.append((before, after))
                gone = [one for one in gone if one is not before]
                come = [one for one in come if one is not after]
    return pairs, gone, come


def _is_wider(one: str, other: str) -> bool:
    return one != other and (one == "any" or (one, other) == ("number", "integer"))


def _is_free(schema: Node) -> bool:
    """Whether a schema takes every value of its type."""
    limits = {"enum", "const", "not"} | _UPPER_BOUNDS | _LOWER_BOUNDS | _RESTRICTIONS
    return not limits & schema.keys()


def _kinds_of_bound(key: str, before: Any, after: Any, side: Side) -> list[Kind]:
    if key == "uniqueItems":
        before, after = before or None, after or None
    if before is None or after is None:
        if before is after:
            return []
        return [side.less if before is None else side.more]
    if key in _RESTRICTIONS:
        return [side.less, side.more]
    is_less = after < before if key in _UPPER_BOUNDS else after > before
    return [side.less if is_less else side.more]


def _values(schema: Node) -> list[Any] | None:
    values: list[Any] | None = [schema["const"]] if "const" in schema else schema.get("enum")
    return values


def _said(value: Any) -> str:
    return "none" if value is None else json.dumps(value, ensure_ascii=False, default=str)


def _listed(values: list[Any]) -> str:
    return ", ".join(map(str, values))
