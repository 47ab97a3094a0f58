"""What changed between two versions of the contract, and what each change breaks.

A *caller* was written for the old document and meets a backend that serves the new one; a
*backend* serves the old document and meets a caller written for the new one. So one rule decides
nearly everything: something that requests can no longer contain breaks callers, something new in
requests breaks backends; in answers it is the other way around. The exceptions are the document's
own promises: unknown fields are ignored, open enums may grow, and a backend may lack everything
marked `x-tellurio-extension`. The names of operations, tags and schemas count as well: they are
names in the generated client.

A keyword without a rule here counts as breaking for both, so that no change goes unnoticed.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Any

from contract_documents import (
    ContractError,
    as_schema,
    merge,
    name_of_reference,
    operations_of,
    parameters_of,
    resolve,
    type_of_values,
    values_of,
    ways_in,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from contract_documents import Node

    #: The type, name and schema of a value.
    Alternative = tuple[str, str, Node]

EXTENSION = "x-tellurio-extension"
#: Keywords for people, which programs ignore.
_DOCUMENTATION = {
    "$comment",
    "contact",
    "deprecated",
    "description",
    "example",
    "examples",
    "externalDocs",
    "license",
    # They describe how operations relate, and constrain no request or answer.
    "links",
    "summary",
    "termsOfService",
    "title",
    "version",
}
_UPPER_BOUNDS = {"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"}
_LOWER_BOUNDS = {"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"}
_RESTRICTIONS = {"pattern", "format", "multipleOf", "uniqueItems", "contentEncoding"}
#: Keywords of a schema that have rules of their own.
_STRUCTURE = {
    "$ref", "additionalProperties", "allOf", "anyOf", "const", "default", "enum", "items", "oneOf",
    "properties", "required", "type",
}  # fmt: skip


class Kind(StrEnum):
    """What a change breaks."""

    BREAKS_CALLERS = "breaking for callers"
    BREAKS_BACKENDS = "breaking for backends"
    COMPATIBLE = "compatible"
    DOCUMENTATION = "documentation"

    @property
    def is_breaking(self) -> bool:
        return self in {Kind.BREAKS_CALLERS, Kind.BREAKS_BACKENDS}


class Side(Enum):
    """Where a value travels, and the kinds of a change that allows less or more than before."""

    REQUEST = ("in requests", Kind.BREAKS_CALLERS, Kind.BREAKS_BACKENDS)
    ANSWER = ("in answers", Kind.BREAKS_BACKENDS, Kind.BREAKS_CALLERS)

    def __init__(self, text: str, less: Kind, more: Kind) -> None:
        self.text = text
        self.less = less
        self.more = more


@dataclass(frozen=True)
class Change:
    """One change: what it breaks, where and how."""

    kind: Kind
    place: str
    text: str


def changes_between(old: Node, new: Node) -> list[Change]:
    """Every change from the old document to the new one, the breaking ones first.

    Raises:
        ContractError: A document is not an OpenAPI document, or has a reference that does not
            resolve.
    """
    for name, document in (("old", old), ("new", new)):
        if not isinstance(document.get("paths"), dict):
            raise ContractError(f"the {name} document is not an OpenAPI document: it has no paths")
    comparison = _Comparison(old, new)
    try:
        comparison.documents()
    except (AttributeError, KeyError, TypeError) as error:
        # The linter reports where; here it is enough that something has the wrong type.
        raise ContractError(
            f"one of them is not valid OpenAPI ({type(error).__name__}: {error}); "
            "run scripts/lint_contract.sh to see where"
        ) from error
    # A place may be reached in several ways, and a change is reported once.
    changes = dict.fromkeys(comparison.changes)
    order = list(Kind)
    return sorted(changes, key=lambda change: (order.index(change.kind), change.place, change.text))


def report(changes: Iterable[Change], title: str) -> str:
    """The changes as text, by kind; `title` names the two documents."""
    changes = list(changes)
    if not changes:
        return f"{title}: no change"
    counts = Counter(change.kind for change in changes)
    lines = [f"{title}: " + ", ".join(f"{counts[kind]} {kind}" for kind in Kind if counts[kind])]
    for kind in Kind:
        if counts[kind]:
            lines.append(f"  {kind}")
            lines += [
                f"    {change.place}: {change.text}" for change in changes if change.kind is kind
            ]
    return "\n".join(lines)


class _Comparison:
    """Walks both documents side by side and collects what differs."""

    def __init__(self, old: Node, new: Node) -> None:
        self._old = old
        self._new = new
        self._compared: set[tuple[str, str, Side, bool]] = set()
        self.changes: list[Change] = []

    def _add(self, kind: Kind, place: str, text: str) -> None:
        self.changes.append(Change(kind, place, text))

    def documents(self) -> None:
        self._rest("document", self._old.get("info", {}), self._new.get("info", {}), set())
        handled = {"openapi", "info", "paths", "components", "servers", "security", "tags"}
        self._rest("document", self._old, self._new, handled)
        if self._old.get("tags") != self._new.get("tags"):
            self._add(Kind.DOCUMENTATION, "document", "tags changed")
        self._servers()
        self._security_schemes()
        before, after = operations_of(self._old), operations_of(self._new)
        for key, (name, _, operation) in before.items():
            if key not in after:
                self._add(Kind.BREAKS_CALLERS, name, "operation removed")
            else:
                self._operation(name, *before[key][1:], *after[key][1:])
                new_name = after[key][0]
                if new_name != name:
                    self._add(Kind.BREAKS_CALLERS, name, f"operation is now named {new_name}")
                if operation.get("tags") != after[key][2].get("tags"):
                    # The tag is a module of the generated client.
                    self._add(Kind.BREAKS_CALLERS, name, "tag changed")
        for key, (name, _, operation) in after.items():
            if key not in before:
                self._addition(name, "operation added", operation)

    def _addition(self, place: str, text: str, node: Node) -> None:
        """Something new in requests, which old backends do not know."""
        if node.get(EXTENSION) is True:
            self._add(Kind.COMPATIBLE, place, f"{text}, as an extension")
        else:
            self._add(Kind.BREAKS_BACKENDS, place, f"{text}, and not marked {EXTENSION}")

    def _servers(self) -> None:
        before = {server["url"]: server for server in self._old.get("servers", [])}
        after = {server["url"]: server for server in self._new.get("servers", [])}
        for url in before.keys() | after.keys():
            if url not in after:
                self._add(Kind.BREAKS_CALLERS, "document", f"server {url} removed")
            elif url not in before:
                self._add(Kind.COMPATIBLE, "document", f"server {url} added")
            else:
                self._rest(f"server {url}", before[url], after[url], set())

    def _security_schemes(self) -> None:
        before = self._old.get("components", {}).get("securitySchemes", {})
        after = self._new.get("components", {}).get("securitySchemes", {})
        for name in before.keys() & after.keys():
            # An added or removed one shows in the operations that use it.
            self._rest(f"security scheme {name}", before[name], after[name], set())

    def _operation(self, name: str, old_item: Node, old: Node, new_item: Node, new: Node) -> None:
        handled = {
            "operationId", "tags", "parameters", "requestBody", "responses", "security", EXTENSION,
        }  # fmt: skip
        self._rest(name, old, new, handled)
        self._extension_mark(name, old, new)
        ways = ways_in(self._old, old), ways_in(self._new, new)
        for way in ways[0] - ways[1]:
            self._add(Kind.BREAKS_CALLERS, name, f"security {way} is no longer accepted")
        for way in ways[1] - ways[0]:
            self._add(Kind.BREAKS_BACKENDS, name, f"security {way} is now accepted")
        self._parameters(
            name, parameters_of(self._old, old_item, old), parameters_of(self._new, new_item, new)
        )
        self._request_body(
            name,
            resolve(self._old, old.get("requestBody", {})),
            resolve(self._new, new.get("requestBody", {})),
        )
        self._answers(name, old.get("responses", {}), new.get("responses", {}))

    def _extension_mark(self, place: str, old: Node, new: Node) -> None:
        before, after = old.get(EXTENSION) is True, new.get(EXTENSION) is True
        if before and not after:
            self._add(
                Kind.BREAKS_BACKENDS, place, "no longer an extension: every backend must have it"
            )
        if after and not before:
            self._add(Kind.BREAKS_CALLERS, place, "now an extension: a backend may lack it")

    def _parameters(
        self, name: str, old: dict[tuple[str, str], Node], new: dict[tuple[str, str], Node]
    ) -> None:
        for key in old.keys() | new.keys():
            place = f"{name} {key[0]} parameter {key[1]}"
            if key not in new:
                self._add(Kind.BREAKS_CALLERS, place, "removed")
                if old[key].get("required"):
                    self._add(
                        Kind.BREAKS_BACKENDS, place, "removed, and existing backends require it"
                    )
            elif key not in old:
                if new[key].get("required"):
                    self._add(Kind.BREAKS_CALLERS, place, "added, required")
                else:
                    self._addition(place, "added", new[key])
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
            self._add(side.less, place, f"now required {side.text}")
        if before and not after:
            self._add(side.more, place, f"no longer required {side.text}")

    def _request_body(self, name: str, old: Node, new: Node) -> None:
        place = f"{name} request body"
        if old and not new:
            self._add(Kind.BREAKS_CALLERS, place, "removed")
            if old.get("required"):
                self._add(Kind.BREAKS_BACKENDS, place, "removed, and existing backends require it")
        elif new and not old:
            if new.get("required"):
                self._add(Kind.BREAKS_CALLERS, place, "added, required")
            else:
                self._addition(place, "added", new)
        elif old:
            self._rest(place, old, new, {"required", "content", EXTENSION})
            self._required(place, old, new, Side.REQUEST)
            self._contents(place, old.get("content", {}), new.get("content", {}), Side.REQUEST)

    def _contents(self, place: str, old: Node, new: Node, side: Side) -> None:
        for media in old.keys() | new.keys():
            if media not in new:
                self._add(side.less, place, f"content type {media} removed")
            elif media not in old:
                self._add(side.more, place, f"content type {media} added")
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
                self._add(Kind.BREAKS_BACKENDS, place, "removed, and existing backends return it")
                if is_success:
                    self._add(Kind.BREAKS_CALLERS, place, "removed")
            elif status not in old:
                # Callers handle errors of any status, but cannot read a new success.
                kind = Kind.BREAKS_CALLERS if is_success else Kind.COMPATIBLE
                self._add(kind, place, "added")
            else:
                before = resolve(self._old, old[status])
                after = resolve(self._new, new[status])
                self._rest(place, before, after, {"headers", "content", EXTENSION})
                self._extension_mark(place, before, after)
                self._headers(place, before.get("headers", {}), after.get("headers", {}))
                self._contents(
                    place, before.get("content", {}), after.get("content", {}), Side.ANSWER
                )

    def _headers(self, answer: str, old: Node, new: Node) -> None:
        for name in old.keys() | new.keys():
            place = f"{answer} header {name}"
            before = resolve(self._old, old.get(name, {}))
            after = resolve(self._new, new.get(name, {}))
            if name not in new:
                self._add(Kind.BREAKS_CALLERS, place, "removed")
            elif name not in old:
                kind = Kind.BREAKS_BACKENDS if after.get("required") else Kind.COMPATIBLE
                self._add(kind, place, "added")
            else:
                self._rest(place, before, after, {"required", "schema", EXTENSION})
                self._extension_mark(place, before, after)
                self._required(place, before, after, Side.ANSWER)
                self._schema(place, before.get("schema", {}), after.get("schema", {}), Side.ANSWER)

    def _schema(self, place: str, old: Any, new: Any, side: Side) -> None:
        old, new = as_schema(old), as_schema(new)
        names = name_of_reference(old), name_of_reference(new)
        if names[0] and names[1]:
            # Keywords beside a reference belong to this place, the rest to the named schema.
            beside = [
                {key: value for key, value in node.items() if key != "$ref"} for node in (old, new)
            ]
            self._constraints(place, beside[0], beside[1], side, is_covered=False)
            if names[0] != names[1]:
                text = f"schema {names[0]} is now named {names[1]}"
                self._add(Kind.BREAKS_CALLERS, place, text)
            if (key := (names[0], names[1], side, False)) not in self._compared:
                self._compared.add(key)
                old, new = {"$ref": old["$ref"]}, {"$ref": new["$ref"]}
                self._schema(names[1], resolve(self._old, old), resolve(self._new, new), side)
            return
        self._rest_of_union(place, old, new)
        self._union(place, list(self._branches(self._old, old)),
                    list(self._branches(self._new, new)), side)  # fmt: skip

    def _rest_of_union(self, place: str, old: Node, new: Node) -> None:
        """Compares the keywords beside `anyOf`; those in a branch are compared there."""
        if any("anyOf" in node or "oneOf" in node for node in (old, new)):
            for key in (old.keys() | new.keys()) & _DOCUMENTATION:
                if old.get(key) != new.get(key):
                    self._add(Kind.DOCUMENTATION, place, f"{key} changed")

    def _branches(self, document: Node, schema: Node) -> Iterator[Alternative]:
        """The type, name and schema of each alternative, one type each."""
        name = name_of_reference(schema)
        schema = merge(document, resolve(document, schema))
        choices = schema.get("anyOf") or schema.get("oneOf")
        if choices:
            beside = {
                key: value
                for key, value in schema.items()
                if key not in _DOCUMENTATION | {"anyOf", "oneOf"}
            }
            for choice in choices:
                yield from self._branches(document, {**beside, **as_schema(choice)})
            return
        kinds: list[str] | str = schema.get("type", type_of_values(schema))
        for kind in [kinds] if isinstance(kinds, str) else kinds:
            yield kind, name, {"type": "null"} if kind == "null" else schema

    def _union(
        self,
        place: str,
        old: list[Alternative],
        new: list[Alternative],
        side: Side,
    ) -> None:
        pairs, gone, come = _paired(old, new)
        for before, after in pairs:
            if before[0] != after[0]:
                text = f"can be {after[0]} {side.text}, was {before[0]}"
                self._add(side.more if _is_wider(after[0], before[0]) else side.less, place, text)
            is_covered = any(
                one[0] == after[0] and one[2] is not after[2] and _is_free(one[2]) for one in new
            )
            if before[1] and after[1]:
                # Once is enough, and a schema that contains itself would never end.
                key = (before[1], after[1], side, is_covered)
                if key in self._compared:
                    continue
                self._compared.add(key)
            # The values of an open enum belong to the schema of the enum.
            where = after[1] if after[1] and after[1] == before[1] else place
            self._constraints(where, before[2], after[2], side, is_covered=is_covered)
            self._parts(where, before[2], after[2], side)
        for kind, name, _ in gone:
            self._add(side.less, place, f"can no longer be {name or kind} {side.text}")
        for kind, name, _ in come:
            self._add(side.more, place, f"can now be {name or kind} {side.text}")

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
                text = f"{key} is {_written(after)}, was {_written(before)}, {side.text}"
                for kind in _kinds_of_bound(key, before, after, side):
                    self._add(kind, place, text)
        self._enums(place, old, new, side, is_covered=is_covered)
        if old.get("default") != new.get("default"):
            text = f"default is {_written(new.get('default'))}, was {_written(old.get('default'))}"
            kind = Kind.BREAKS_CALLERS if side is Side.REQUEST else Kind.DOCUMENTATION
            self._add(kind, place, text)

    def _enums(self, place: str, old: Node, new: Node, side: Side, *, is_covered: bool) -> None:
        """Compares enums; one is open if a value can also be any string."""
        before, after = values_of(old), values_of(new)
        if before is None and after is not None:
            self._add(side.less, place, f"now only {_listed(after)} {side.text}")
        elif before is not None and after is None:
            self._add(side.more, place, f"now any value {side.text}, was {_listed(before)}")
        elif before is not None and after is not None:
            noun = "value" if not is_covered else "value of the open enum"
            if added := [value for value in after if value not in before]:
                kind = Kind.COMPATIBLE if is_covered else side.more
                self._add(kind, place, f"{noun} {_listed(added)} added {side.text}")
            if removed := [value for value in before if value not in after]:
                kind = Kind.COMPATIBLE if is_covered else side.less
                self._add(kind, place, f"{noun} {_listed(removed)} removed {side.text}")

    def _parts(self, place: str, old: Node, new: Node, side: Side) -> None:
        if "items" in old or "items" in new:
            self._schema(f"{place}[]", old.get("items", {}), new.get("items", {}), side)
        before, after = old.get("properties", {}), new.get("properties", {})
        for name in before.keys() | after.keys():
            must = [{"required": name in node.get("required", [])} for node in (old, new)]
            field = f"{place}.{name}"
            if name not in after:
                self._add(Kind.BREAKS_CALLERS, field, f"removed {side.text}")
                if must[0]["required"] and side is Side.REQUEST:
                    self._add(
                        Kind.BREAKS_BACKENDS, field, "removed, and existing backends require it"
                    )
            elif name not in before:
                self._added_field(field, after[name], side, is_required=must[1]["required"])
            else:
                self._extension_mark(field, as_schema(before[name]), as_schema(after[name]))
                self._required(field, must[0], must[1], side)
                self._schema(field, before[name], after[name], side)
        self._other_fields(place, old, new, side)

    def _added_field(self, place: str, schema: Node, side: Side, *, is_required: bool) -> None:
        if is_required:
            self._add(side.less, place, f"added {side.text}, required")
        elif side is Side.REQUEST:
            self._addition(place, f"added {side.text}", as_schema(schema))
        else:
            self._add(Kind.COMPATIBLE, place, f"added {side.text}")

    def _other_fields(self, place: str, old: Node, new: Node, side: Side) -> None:
        before = old.get("additionalProperties", True)
        after = new.get("additionalProperties", True)
        if before is False or after is False:
            if before is not after:
                kind, state = (side.less, "forbidden") if after is False else (side.more, "allowed")
                self._add(kind, place, f"unknown fields {state} {side.text}")
        elif before is not after:
            self._schema(f"{place}.*", before, after, side)

    def _rest(self, place: str, old: Node, new: Node, handled: set[str]) -> None:
        """All other differences: documentation, or a keyword without a rule."""
        for key in sorted((old.keys() | new.keys()) - handled):
            if old.get(key) == new.get(key):
                continue
            if key in _DOCUMENTATION or key.startswith("x-"):
                self._add(Kind.DOCUMENTATION, place, f"{key} changed")
            else:
                text = f"{key} changed; there is no rule for what that breaks"
                self._add(Kind.BREAKS_CALLERS, place, text)
                self._add(Kind.BREAKS_BACKENDS, place, text)


def _paired(
    old: list[Alternative], new: list[Alternative]
) -> tuple[list[tuple[Alternative, Alternative]], list[Alternative], list[Alternative]]:
    """Pairs alternatives of one type and name, then of one type, then of a wider type."""
    pairs: list[tuple[Alternative, Alternative]] = []
    gone, come = list(old), list(new)
    for is_match in (_is_same, _is_same_type, _is_related):
        for before in list(gone):
            after = next((other for other in come if is_match(before, other)), None)
            if after is not None:
                pairs.append((before, after))
                gone = [one for one in gone if one is not before]
                come = [one for one in come if one is not after]
    return pairs, gone, come


def _is_same(one: Alternative, other: Alternative) -> bool:
    return one[:2] == other[:2]


def _is_same_type(one: Alternative, other: Alternative) -> bool:
    return one[0] == other[0]


def _is_related(one: Alternative, other: Alternative) -> bool:
    return _is_wider(one[0], other[0]) or _is_wider(other[0], one[0])


def _is_wider(one: str, other: str) -> bool:
    return one != other and (one == "any" or (one, other) == ("number", "integer"))


def _is_free(schema: Node) -> bool:
    """Whether a schema accepts every value of its type."""
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


def _written(value: Any) -> str:
    return "unset" if value is None else json.dumps(value, ensure_ascii=False, default=str)


def _listed(values: list[Any]) -> str:
    return ", ".join(map(str, values))
