"""What a change of the security of operations breaks, and of the schemes that they use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contract_kinds import DOCUMENTATION, Changes, Kind
from contract_pairing import renamed_keys

if TYPE_CHECKING:
    from contract_documents import Document, Node, Operation

    #: The schemes that a request must satisfy, each with its scopes.
    Way = frozenset[tuple[str, str]]

#: Where callers get tokens; backends do not see it.
_ADDRESSES = {"authorizationUrl", "openIdConnectUrl", "refreshUrl", "tokenUrl"}


class SecurityComparison:
    """Compares security schemes, and what operations require of them."""

    def __init__(self, old: Document, new: Document, changes: Changes) -> None:
        self._old = old
        self._new = new
        self._changes = changes
        self._schemes = [
            {name: _core(document.resolve(node)) for name, node in nodes.items()}
            for document in (old, new)
            for nodes in [document.component("securitySchemes")]
        ]
        #: New names of schemes by their old names.
        self._renamed = renamed_keys(*self._schemes)

    def schemes(self) -> None:
        before, after = self._schemes
        for name, new_name in self._renamed.items():
            self._changes.add(
                Kind.DOCUMENTATION, f"security scheme {name}", f"is now named {new_name}"
            )
        for name in before:
            new_name = self._renamed.get(name, name)
            if new_name in after:
                self._scheme(f"security scheme {new_name}", before[name], after[new_name])

        # What that breaks shows in the operations that use them.
        for name in sorted(before.keys() - after.keys() - self._renamed.keys()):
            self._changes.add(Kind.DOCUMENTATION, f"security scheme {name}", "removed")
        for name in sorted(after.keys() - before.keys() - set(self._renamed.values())):
            self._changes.add(Kind.DOCUMENTATION, f"security scheme {name}", "added")

    def _scheme(self, place: str, old: Node, new: Node) -> None:
        for key in ("type", "in", "name", "scheme"):
            if old.get(key) != new.get(key):
                text = f"{key} is {new.get(key)}, was {old.get(key)}"
                for kind in (Kind.BREAKS_CALLERS, Kind.BREAKS_BACKENDS):
                    self._changes.add(kind, place, text)
        handled = {"flows", "type", "in", "name", "scheme", *_ADDRESSES}
        self._changes.compare_rest(place, old, new, handled)
        self._addresses(place, old, new)
        before, after = old.get("flows", {}), new.get("flows", {})
        for flow in sorted(before.keys() | after.keys()):
            if flow not in after:
                self._changes.add(Kind.BREAKS_CALLERS, place, f"flow {flow} removed")
            elif flow not in before:
                self._changes.add(Kind.BREAKS_BACKENDS, place, f"flow {flow} added")
            else:
                self._flow(f"{place} {flow}", before[flow], after[flow])

    def _flow(self, place: str, old: Node, new: Node) -> None:
        self._addresses(place, old, new)
        self._changes.compare_rest(place, old, new, {"scopes", *_ADDRESSES})
        before, after = old.get("scopes", {}), new.get("scopes", {})
        for scope in sorted(before.keys() | after.keys()):
            if scope not in after:
                text = f"scope {scope} can no longer be asked for"
                self._changes.add(Kind.BREAKS_CALLERS, place, text)
            elif scope not in before:
                # What requires it shows in the operations.
                self._changes.add(Kind.COMPATIBLE, place, f"scope {scope} can be asked for")
            elif before[scope] != after[scope]:
                self._changes.add(Kind.DOCUMENTATION, place, f"description of {scope} changed")

    def _addresses(self, place: str, old: Node, new: Node) -> None:
        for key in sorted(_ADDRESSES):
            if old.get(key) != new.get(key):
                text = f"{key} is {new.get(key)}, was {old.get(key)}"
                self._changes.add(Kind.BREAKS_CALLERS, place, text)

    def operation(self, old: Operation, new: Operation) -> None:
        before, after = (
            [
                frozenset((self._name(scheme, own, other), scope) for scheme, scope in way)
                for way in _ways_in(document, operation)
            ]
            for document, operation, own, other in (
                (self._old, old, self._schemes[0], self._schemes[1]),
                (self._new, new, self._schemes[1], self._schemes[0]),
            )
        )
        for way in before:
            # A backend that requires less accepts what it accepted before.
            if not any(other <= way for other in after):
                text = f"security {_text(way)} is no longer enough"
                self._changes.add(Kind.BREAKS_CALLERS, old.name, text)
        for way in after:
            if not any(other <= way for other in before):
                text = f"security {_text(way)} is now enough"
                self._changes.add(Kind.BREAKS_BACKENDS, old.name, text)

    def _name(self, name: str, own: Node, other: Node) -> str:
        """The name that both documents have for a scheme, as far as they have one."""
        same = [each for each in sorted(own) if own[each] == own.get(name) and each in other]
        return same[0] if same else self._renamed.get(name, name)


def _core(scheme: Node) -> Node:
    """A scheme without what only people read, and without the case that does not matter."""
    core = {key: value for key, value in scheme.items() if key not in DOCUMENTATION}
    for key in ("scheme", *(("name",) if scheme.get("in") == "header" else ())):
        if key in core:
            core[key] = core[key].lower()
    return core


def _ways_in(document: Document, operation: Operation) -> list[Way]:
    """The alternatives of `security`; an operation without security has an empty one."""
    default: list[dict[str, list[str]]] = document.content.get("security", [])
    ways: list[dict[str, list[str]]] = operation.node.get("security", default)
    return [
        frozenset((scheme, scope) for scheme, scopes in way.items() for scope in ["", *scopes])
        for way in ways or [{}]
    ]


def _text(way: Way) -> str:
    scopes: dict[str, list[str]] = {}
    for scheme, scope in sorted(way):
        scopes.setdefault(scheme, []).extend([scope] if scope else [])
    parts = [
        f"{name} with {', '.join(listed)}" if listed else name for name, listed in scopes.items()
    ]
    return " and ".join(parts) or "none"
