"""What a change of a schema breaks, for the values of it that requests or answers contain."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import contract_advice as advice
from contract_documents import Node, as_node, as_schema, name_of_reference
from contract_kinds import DOCUMENTATION, ENUM_VALUES, MARKS, Change, Changes, Kind, Side
from contract_pairing import choices_by_kind, pair_alternatives, renamed_keys
from contract_schemas import Alternative, Schemas, covers, rejects

if TYPE_CHECKING:
    from contract_documents import Document

#: Keywords of one alternative that have rules of their own.
_OWN_RULES = {
    "additionalProperties", "allOf", "const", "default", "enum", "format", "items", "properties",
    "readOnly", "required", "type", "writeOnly",
}  # fmt: skip
#: Keywords of JSON Schema that are compared together, by which values they accept.
_GROUPS = (
    ("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum"), ("multipleOf",),
    ("minLength",), ("maxLength",), ("pattern",), ("minItems",), ("maxItems",), ("uniqueItems",),
    ("prefixItems",), ("contains", "minContains", "maxContains"), ("unevaluatedItems",),
    ("minProperties",), ("maxProperties",), ("propertyNames",), ("patternProperties",),
    ("dependentRequired",), ("dependentSchemas",), ("if", "then", "else"), ("not",),
)  # fmt: skip
#: Keywords that JSON Schema does not check; a value of theirs means less than none.
_ANNOTATIONS = ("format", "contentEncoding", "contentMediaType", "contentSchema")
#: Formats, and those that accept more.
_WIDER_FORMATS = {
    ("int32", "int64"), ("float", "double"), ("email", "idn-email"), ("uri", "iri"),
    ("hostname", "idn-hostname"), ("uri", "uri-reference"),
}  # fmt: skip
#: Keywords that name something in the generated client.
_NAMING = {"title": "the class", "x-enum-varnames": "the members of the enum"}


class _Place(NamedTuple):
    """Where two schemas are compared, and on which side."""

    name: str
    side: Side


class ValueComparison:
    """Compares schemas, each pair of named ones once."""

    def __init__(self, old: Document, new: Document, changes: Changes) -> None:
        self.old = Schemas(old)
        self.new = Schemas(new)
        self._changes = changes
        self._compared: set[tuple[str, str, Side, bool]] = set()
        self._active: set[str] = set()
        #: The new name of each class of the generated client whose other name was reported.
        self._renames: dict[str, str] = {}
        #: Whether a part of what is compared was passed over, because it was compared before.
        self._passed_over = False

    def compare(self, place: str, old: Any, new: Any, side: Side) -> None:
        """Compares the schemas of one place."""
        old, new = as_schema(old), as_schema(new)
        if old == new and '"$ref"' not in json.dumps(old):
            return
        self._documentation(place, old, new)
        names = name_of_reference(old), name_of_reference(new)
        if all(names) and not any(map(_has_siblings, (old, new))):
            self._named(place, names, old, new, side)
            return
        key = json.dumps([old, new, side.name])
        if key in self._active:
            self._passed_over = True
            return
        self._active.add(key)
        self._values(_Place(place, side), old, new)
        self._active.remove(key)

    def _named(self, place: str, names: tuple[str, str], old: Node, new: Node, side: Side) -> None:
        if names[0] != names[1]:
            self._renamed(place, names, self.old.alternatives(old), self.new.alternatives(new))
        key = (*names, side, False)
        if key in self._compared:
            self._passed_over = True
            return
        self._compared.add(key)
        # What stands beside a reference belongs to its place.
        nodes = (
            self.old.document.resolve({"$ref": old["$ref"]}),
            self.new.document.resolve({"$ref": new["$ref"]}),
        )
        self._documentation(names[1], *nodes)
        self._changes.compare_marks(names[1], *nodes)
        self._values(_Place(names[1], side), old, new)

    def _renamed(
        self, place: str, names: tuple[str, str], old: list[Alternative], new: list[Alternative]
    ) -> None:
        has_class = any(one.name == names[0] and one.has_class for one in old) and any(
            one.name == names[1] and one.has_class for one in new
        )
        if has_class and self._renames.get(names[0]) != names[1]:
            self._renames[names[0]] = names[1]
            text = f"schema {names[0]} is now named {names[1]}"
            self._changes.add(Kind.BREAKS_CALLERS, place, text, advice.RENAMED)

    def _documentation(self, place: str, old: Node, new: Node) -> None:
        """Compares what people read; fields are places of their own."""
        for key in sorted(old.keys() | new.keys()):
            if old.get(key) == new.get(key):
                continue
            if key in _NAMING and {"enum", "properties"} & new.keys():
                text = f"{key} changed, which names {_NAMING[key]} in the generated client"
                self._changes.add(Kind.BREAKS_CALLERS, place, text, advice.GENERATED)
            elif key in DOCUMENTATION or (key.startswith("x-") and key not in MARKS):
                self._changes.add(Kind.DOCUMENTATION, place, f"{key} changed")
        for key in ("allOf", "anyOf", "oneOf"):
            for before, after in zip(old.get(key, []), new.get(key, []), strict=False):
                self._documentation(place, as_schema(before), as_schema(after))

    def _values(self, place: _Place, old: Node, new: Node) -> None:
        start, passed_over = len(self._changes.all), self._passed_over
        self._passed_over = False
        before, after = self.old.alternatives(old), self.new.alternatives(new)
        pairs, gone, come = pair_alternatives(before, after)
        for one, other in pairs:
            self._pair(place, one, other, after)
        side, name = place.side, place.name
        for one in gone:
            is_covered = covers(self.new, _any_of(after), self.old, one.schema)
            text = f"can no longer be {one.name or one.type} {side.text}"
            self._choice(name, text, side.less, is_covered=is_covered)
        for one in come:
            is_covered = covers(self.old, _any_of(before), self.new, one.schema)
            text = f"can now be {one.name or one.type} {side.text}"
            self._choice(name, text, side.more, is_covered=is_covered)
        self._union(place, old, new)
        self._default(place, old, new)
        found = self._changes.all[start:]
        self._generated_type(place, before, after, found)
        if not self._passed_over and all(change.kind is Kind.DOCUMENTATION for change in found):
            self._anything_else(place, old, new)
        self._passed_over |= passed_over

    def _choice(self, place: str, text: str, kind: Kind, *, is_covered: bool) -> None:
        if is_covered:
            kind = Kind.COMPATIBLE
            text += "; another choice accepts the same values"
        self._changes.add(kind, place, text)

    def _pair(
        self, place: _Place, old: Alternative, new: Alternative, others: list[Alternative]
    ) -> None:
        """Compares what was one alternative with what it is now."""
        side = place.side
        is_covered = any(
            one.type == new.type and one is not new and one.is_free() for one in others
        )
        where = place
        if old.name and new.name and old.name != new.name:
            self._renamed(place.name, (old.name, new.name), [old], [new])
        elif old.name and old.name == new.name and self._is_known(old, new):
            # The values of an enum belong to the schema of the enum, and once is enough.
            where = _Place(new.name, side)
            key = (old.name, new.name, side, is_covered)
            if key in self._compared and place.name != new.name:
                self._passed_over = True
                return
            self._compared.add(key)
        if old.type != new.type:
            kind = side.more if _is_wider(new.type, old.type) else side.less
            text = f"can be {new.type} {side.text}, was {old.type}"
            self._changes.add(kind, where.name, text)
        self._enums(where, old, new, is_covered=is_covered)
        if not is_covered:
            self._constraints(where, old, new)
        self._parts(where, old, new)

    def _is_known(self, old: Alternative, new: Alternative) -> bool:
        """Whether both are what their names mean, with nothing beside."""
        return all(
            schemas.alternatives({"$ref": f"#/components/schemas/{one.name}"})[:1] == [one]
            for schemas, one in ((self.old, old), (self.new, new))
        )

    def _constraints(self, place: _Place, old: Alternative, new: Alternative) -> None:
        known = _OWN_RULES | {*_ANNOTATIONS} | {key for group in _GROUPS for key in group}
        self._changes.compare_rest(place.name, old.schema, new.schema, known)
        for group in _GROUPS:
            before, after = _kept(old, group), _kept(new, group)
            if before == after and "$ref" not in json.dumps(before):
                continue
            kind: Node = {} if new.type == "any" else {"type": new.type}
            before, after = {**before, **kind}, {**after, **kind}
            kinds: list[Kind] = []
            if not covers(self.new, after, self.old, before):
                kinds.append(place.side.less)
            if not covers(self.old, before, self.new, after):
                kinds.append(place.side.more)
            self._keyword_changes(place, kinds, group, old, new)
        for key in _ANNOTATIONS:
            was, now = old.schema.get(key), new.schema.get(key)
            if was != now:
                kinds = _kinds_of_annotation(was, now, place.side)
                self._keyword_changes(place, kinds, (key,), old, new)

    def _keyword_changes(
        self,
        place: _Place,
        kinds: list[Kind],
        keys: tuple[str, ...],
        old: Alternative,
        new: Alternative,
    ) -> None:
        texts = [
            f"{key} is {_written(new, key)}, was {_written(old, key)}"
            for key in keys
            if _written(new, key) != _written(old, key)
        ]
        text = "; ".join(texts) or f"what {keys[0]} refers to changed"
        for kind in kinds:
            self._changes.add(kind, place.name, f"{text}, {place.side.text}", advice.BOUND)

    def _enums(
        self, place: _Place, old: Alternative, new: Alternative, *, is_covered: bool
    ) -> None:
        """Compares enums; one is open if a value can also be any string."""
        side, name, before, after = place.side, place.name, old.values, new.values
        if before is None and after is not None:
            self._changes.add(side.less, name, f"now only {_listed(after)} {side.text}")
        elif before is not None and after is None:
            self._changes.add(side.more, name, f"now any value {side.text}, was {_listed(before)}")
        elif before is not None and after is not None:
            noun = "value" if not is_covered else "value of the open enum"
            if added := [value for value in after if value not in before]:
                kind = Kind.COMPATIBLE if is_covered else side.more
                self._changes.add(kind, name, f"{noun} {_listed(added)} added {side.text}")
            marks = as_node(old.schema.get(ENUM_VALUES)), as_node(new.schema.get(ENUM_VALUES))
            for value in map(str, (value for value in before if value in after)):
                nodes = (as_node(each.get(value)) for each in marks)
                self._changes.compare_marks(f"{name} value {value}", *nodes)
            kind = Kind.COMPATIBLE if is_covered else side.less
            self._removed_values(place, noun, old, new, kind)

    def _removed_values(
        self, place: _Place, noun: str, old: Alternative, new: Alternative, kind: Kind
    ) -> None:
        """Reports values that an enum no longer has, one by one if they have marks of their own."""
        marks = as_node(old.schema.get(ENUM_VALUES))
        gone = [value for value in old.values or [] if value not in (new.values or [])]
        for value in (value for value in gone if str(value) in marks):
            kinds = {kind, Kind.BREAKS_CALLERS} if old.has_class else {kind}
            text = f"{noun} {value} removed {place.side.text}"
            self._changes.add_removal(sorted(kinds), place.name, text, marks[str(value)])
        if removed := [value for value in gone if str(value) not in marks]:
            text = f"{noun} {_listed(removed)} removed {place.side.text}"
            self._changes.add(kind, place.name, text)
            if old.has_class and kind is not Kind.BREAKS_CALLERS:
                text = f"the generated enum no longer has {_listed(removed)}"
                self._changes.add(Kind.BREAKS_CALLERS, place.name, text, advice.GENERATED)

    def _parts(self, place: _Place, old: Alternative, new: Alternative) -> None:
        side = place.side
        if "items" in old.schema or "items" in new.schema:
            self.compare(
                f"{place.name}[]", old.schema.get("items", {}), new.schema.get("items", {}), side
            )
        before, after = self._fields(self.old, old, side), self._fields(self.new, new, side)
        required = [
            set(one.schema.get("required", [])) - (one.schema.get("properties", {}).keys() - fields)
            for one, fields in ((old, before.keys()), (new, after.keys()))
        ]
        renamed = renamed_keys(before, after)
        for name in sorted(before.keys() | after.keys() | required[0] | required[1]):
            field, is_required = f"{place.name}.{name}", [name in names for names in required]
            if name in before and name not in after:
                hint = ""
                if name in new.schema.get("properties", {}):
                    hint = f", because it is {side.hiding_keyword} now"
                elif name in renamed:
                    hint = f", or renamed to {renamed[name]}"
                self._removed_field(field, before[name], side, hint, is_required=is_required[0])
            elif name in after and name not in before:
                self._added_field(field, after[name], side, is_required=is_required[1])
            else:
                if name in before:
                    self._field(field, before[name], after[name], side)
                self._changes.compare_required(
                    field, side, before=is_required[0], after=is_required[1]
                )
        self._other_fields(place, old, new)

    def _fields(self, schemas: Schemas, one: Alternative, side: Side) -> Node:
        """The fields that such values contain."""
        if one.type not in {"object", "any"}:
            return {}
        fields = one.schema.get("properties", {})
        hidden = {
            name
            for name, schema in fields.items()
            if any(part.get(side.hiding_keyword) is True for part in schemas.parts(schema))
        }
        self._passed_over |= bool(hidden)
        return {name: schema for name, schema in fields.items() if name not in hidden}

    def _field(self, place: str, old: Any, new: Any, side: Side) -> None:
        self._changes.compare_marks(place, _marks(self.old, old), _marks(self.new, new))
        self.compare(place, old, new, side)

    def _removed_field(
        self, place: str, schema: Any, side: Side, hint: str, *, is_required: bool
    ) -> None:
        kinds = [Kind.BREAKS_CALLERS]
        text = f"removed {side.text}{hint}"
        if is_required and side is Side.REQUEST:
            kinds.append(Kind.BREAKS_BACKENDS)
            text += "; existing backends require it"
        self._changes.add_removal(kinds, place, text, _marks(self.old, schema))

    def _added_field(self, place: str, schema: Any, side: Side, *, is_required: bool) -> None:
        node = _marks(self.new, schema)
        if is_required:
            text = f"added {side.text}, required"
            self._changes.add(side.less, place, text, advice.NOW_REQUIRED)
        elif side is Side.REQUEST:
            self._changes.add_addition(place, f"added {side.text}", node)
        else:
            text = f"added {side.text}"
            self._changes.add(Kind.COMPATIBLE, place, text, advice.ANSWERED_MORE)

    def _other_fields(self, place: _Place, old: Alternative, new: Alternative) -> None:
        before = old.schema.get("additionalProperties", True)
        after = new.schema.get("additionalProperties", True)
        side = place.side
        if before is False or after is False:
            if before is not after:
                kind, state = (side.less, "forbidden") if after is False else (side.more, "allowed")
                self._changes.add(kind, place.name, f"unknown fields {state} {side.text}")
        elif before is not after:
            self.compare(f"{place.name}.*", before, after, side)

    def _union(self, place: _Place, old: Node, new: Node) -> None:
        """Compares what a union requires besides its choices."""
        side, name = place.side, place.name
        before, after = self.old.union_of(old), self.new.union_of(new)
        if before[0] and after[0] and before[0] != after[0]:
            # Of the old choices: what the new ones accept was compared above.
            one, other = {before[0]: before[1]}, {after[0]: before[1]}
            text = f"{after[0]}, was {before[0]}, {side.text}"
            if not covers(self.old, other, self.old, one):
                text += ": a value may no longer match several choices"
                self._changes.add(side.less, name, text)
            if not covers(self.old, one, self.old, other):
                text += ": a value may now match several choices"
                self._changes.add(side.more, name, text)
        self._discriminators(place, before, after)

    def _discriminators(
        self, place: _Place, old: tuple[str, list[Any], Node], new: tuple[str, list[Any], Node]
    ) -> None:
        side, name = place.side, place.name
        before, after = old[2], new[2]
        if bool(before) != bool(after):
            kind, word = (side.less, "added") if after else (side.more, "removed")
            self._changes.add(kind, name, f"discriminator {word} {side.text}")
            return
        if before.get("propertyName") != after.get("propertyName"):
            text = f"the discriminator is {after['propertyName']}, was {before['propertyName']}"
            for kind in (side.less, side.more):
                self._changes.add(kind, name, f"{text}, {side.text}")
        kinds_of = choices_by_kind(before, old[1]), choices_by_kind(after, new[1])
        components = self.old.document.component("schemas"), self.new.document.component("schemas")
        for value in sorted(kinds_of[0].keys() | kinds_of[1].keys()):
            was, now = kinds_of[0].get(value), kinds_of[1].get(value)
            text = f"discriminator value {value}"
            if now is None:
                self._changes.add(side.less, name, f"{text} removed {side.text}")
            elif was is None:
                self._changes.add(side.more, name, f"{text} added {side.text}")
            elif was != now and (was in components[1] or now in components[0]):
                for kind in (side.less, side.more):
                    self._changes.add(kind, name, f"{text} is {now}, was {was}, {side.text}")

    def _default(self, place: _Place, old: Node, new: Node) -> None:
        before, after = (
            next((part["default"] for part in schemas.parts(node) if "default" in part), None)
            for schemas, node in ((self.old, old), (self.new, new))
        )
        if before != after:
            text = f"default is {_json(after)}, was {_json(before)}"
            is_request = place.side is Side.REQUEST
            kind = Kind.BREAKS_CALLERS if is_request else Kind.DOCUMENTATION
            self._changes.add(kind, place.name, text)

    def _generated_type(
        self,
        place: _Place,
        old: list[Alternative],
        new: list[Alternative],
        found: list[Change],
    ) -> None:
        """Reports another type in the generated client, unless it breaks callers for more."""
        names = {place.name, *(one.name for one in new)}
        if any(change.kind is Kind.BREAKS_CALLERS and change.place in names for change in found):
            return
        after = {one.python_type for one in new}
        before = {one.python_type for one in old}
        before = {
            name if (new_name := self._renames.get(name)) not in after else new_name
            for name in before
        }
        lost, gained = before - after, after - before
        if "float" in after or "Any" in after:
            lost -= {"int", *(before if "Any" in after else ())}
        if "float" in before or "Any" in before:
            gained -= {"int", *(after if "Any" in before else ())}
        wrong = {Side.REQUEST: lost, Side.ANSWER: gained, Side.MODEL: lost | gained}[place.side]
        if wrong:
            text = f"the generated type is {_joined(after)}, was {_joined(before)}, "
            text += place.side.text
            self._changes.add(Kind.BREAKS_CALLERS, place.name, text, advice.GENERATED)

    def _anything_else(self, place: _Place, old: Node, new: Node) -> None:
        """Reports what no rule above explains, so that no change goes unnoticed."""
        side = place.side
        for kind, is_found in (
            (side.less, rejects(self.new, new, self.old, old)),
            (side.more, rejects(self.old, old, self.new, new)),
        ):
            if is_found and side is not Side.MODEL:
                word = "fewer" if kind is place.side.less else "more"
                text = f"accepts {word} values {place.side.text}; there is no rule that names why"
                self._changes.add(kind, place.name, text, advice.NO_RULE)


def _has_siblings(schema: Node) -> bool:
    """Whether a reference has keywords beside it that constrain values."""
    passive = DOCUMENTATION | {"$ref", "deprecated", "default", "readOnly", "writeOnly"}
    return any(key not in passive and not key.startswith("x-") for key in schema)


def _any_of(alternatives: list[Alternative]) -> Node:
    return {"anyOf": [one.schema for one in alternatives]} if alternatives else {"not": {}}


def _is_wider(one: str, other: str) -> bool:
    return one == "any" or (one, other) == ("number", "integer")


def _kept(one: Alternative, keys: tuple[str, ...]) -> Node:
    """The keywords of an alternative that are compared together."""
    parts = [
        {key: part[key] for key in keys if key in part}
        for part in (one.schema, *one.schema.get("allOf", []))
    ]
    parts = [part for part in parts if part]
    return {"allOf": parts} if len(parts) > 1 else dict(*parts)


def _kinds_of_annotation(before: Any, after: Any, side: Side) -> list[Kind]:
    if before is None or (after, before) in _WIDER_FORMATS:
        return [side.less]
    if after is None or (before, after) in _WIDER_FORMATS:
        return [side.more]
    return [side.less, side.more]


def _marks(schemas: Schemas, schema: Any) -> Node:
    """A schema with what stands beside its reference, which counts first."""
    node = as_schema(schema)
    return {**schemas.document.resolve(node), **node}


def _written(one: Alternative, key: str) -> str:
    values = [part[key] for part in (one.schema, *one.schema.get("allOf", [])) if key in part]
    return " and ".join(map(_json, values)) or "unset"


def _json(value: Any) -> str:
    return "unset" if value is None else json.dumps(value, ensure_ascii=False)


def _listed(values: list[Any]) -> str:
    return ", ".join(map(str, values))


def _joined(types: set[str]) -> str:
    return " | ".join(sorted(types))
