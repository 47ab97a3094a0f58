"""Which old thing became which new one: alternatives of a schema, and what has another name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from contract_documents import as_node, as_schema, name_of_reference
from contract_kinds import DOCUMENTATION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeVar

    from contract_documents import Node
    from contract_schemas import Alternative

    Key = TypeVar("Key")


def pair_alternatives(
    old: list[Alternative], new: list[Alternative]
) -> tuple[list[tuple[Alternative, Alternative]], list[Alternative], list[Alternative]]:
    """Pairs alternatives that are equal, then of one name, then the most similar of one type."""
    pairs: list[tuple[Alternative, Alternative]] = []
    gone, come = list(old), list(new)
    matches: tuple[Callable[[Alternative, Alternative], bool], ...] = (
        lambda one, other: one == other,
        lambda one, other: one[:2] == other[:2] and bool(one.name),
        lambda one, other: one.type == other.type,
        lambda one, other: _is_wider(one.type, other.type) or _is_wider(other.type, one.type),
    )
    for is_match in matches:
        candidates = sorted(
            ((one, other) for one in gone for other in come if is_match(one, other)),
            key=lambda pair: -_similarity(*pair),
        )
        for one, other in candidates:
            if any(one is each for each in gone) and any(other is each for each in come):
                pairs.append((one, other))
                gone = [each for each in gone if each is not one]
                come = [each for each in come if each is not other]
    return pairs, gone, come


def renamed_keys(old: Mapping[Key, Any], new: Mapping[Key, Any]) -> dict[Key, Key]:
    """By old key: the new key, if one value that went is the only one that came like it."""
    gone = {key: _meaning(value) for key, value in old.items() if key not in new}
    come = {key: _meaning(value) for key, value in new.items() if key not in old}
    renamed: dict[Key, Key] = {}
    for key, value in gone.items():
        matches = [other for other, meaning in come.items() if meaning == value]
        if len(matches) == 1 and list(gone.values()).count(value) == 1:
            renamed[key] = matches[0]
    return renamed


def _is_wider(one: str, other: str) -> bool:
    return one == "any" or (one, other) == ("number", "integer")


def _similarity(one: Alternative, other: Alternative) -> int:
    """The number of fields and keywords that two alternatives share."""
    fields = [each.schema.get("properties", {}).keys() for each in (one, other)]
    shared = one.schema.keys() & other.schema.keys()
    equal = [key for key in shared if one.schema[key] == other.schema[key]]
    return 2 * len(fields[0] & fields[1]) + len(equal)


def _meaning(value: Any) -> str:
    """A node as text, without what only people read and without its own name."""
    node = as_node(value)
    is_parameter = "schema" in node
    kept = {
        key: item
        for key, item in node.items()
        if key not in DOCUMENTATION and not (key == "name" and is_parameter)
    }
    return json.dumps(kept, sort_keys=True)


def choices_by_kind(discriminator: Node, choices: list[Any]) -> dict[str, str]:
    """The schema of each value of a discriminator; without a mapping, its name is the value."""
    if not discriminator:
        return {}
    mapping = as_node(discriminator.get("mapping"))
    if mapping:
        return {value: target.rpartition("/")[2] for value, target in mapping.items()}
    names = [name_of_reference(as_schema(choice)) for choice in choices]
    return {name: name for name in names if name}
