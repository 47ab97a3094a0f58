"""What a change of an operation breaks: its parameters, bodies, answers, servers and names."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import contract_advice as advice
from contract_documents import METHODS, Document, Node, Operation, as_node, media_type, urls_of
from contract_kinds import EXTENSION, Changes, Kind, Side
from contract_pairing import renamed_keys
from contract_security import SecurityComparison
from contract_values import ValueComparison

if TYPE_CHECKING:
    from collections.abc import Iterable

    #: The location and name of a parameter.
    ParameterKey = tuple[str, str]

_STYLES = {"query": "form", "cookie": "form", "path": "simple", "header": "simple"}


class OperationComparison:
    """Compares operations, of which each pair has one old and one new."""

    def __init__(self, old: Document, new: Document, changes: Changes) -> None:
        self._old = old
        self._new = new
        self._changes = changes
        self._security = SecurityComparison(old, new, changes)
        self.values = ValueComparison(old, new, changes)

    def compare_all(self) -> None:
        self._security.schemes()
        gone = {operation.key: operation for operation in self._old.operations()}
        come = {operation.key: operation for operation in self._new.operations()}
        pairs = [(gone.pop(key), come.pop(key)) for key in [*gone] if key in come]
        names = {operation.name: operation for operation in come.values()}
        for key, operation in [*gone.items()]:
            if operation.name in names:
                moved = names[operation.name]
                pairs.append((gone.pop(key), come.pop(moved.key)))
                self._moved(operation, moved)
        for old, new in pairs:
            self._operation(old, new)
        for operation in gone.values():
            self._changes.add_removal(
                [Kind.BREAKS_CALLERS], operation.name, "operation removed", operation.node
            )
        for operation in come.values():
            self._changes.add_addition(operation.name, "operation added", operation.node)

    def _moved(self, old: Operation, new: Operation) -> None:
        kinds = [Kind.BREAKS_CALLERS, Kind.BREAKS_BACKENDS]
        if new.node.get(EXTENSION) is True:
            kinds.pop()
        for kind in kinds:
            text = f"moved: {new.request}, was {old.request}"
            self._changes.add(kind, old.name, text, advice.MOVED)

    def _operation(self, old: Operation, new: Operation) -> None:
        name, changes = old.name, self._changes
        if old.name != new.name:
            text = f"operation is now named {new.name}"
            changes.add(Kind.BREAKS_CALLERS, name, text, advice.RENAMED)
        tags = old.node.get("tags", []), new.node.get("tags", [])
        if tags[0][:1] != tags[1][:1]:
            # The first tag is a module of the generated client.
            text = "tag changed, which is a module of the generated client"
            changes.add(Kind.BREAKS_CALLERS, name, text, advice.GENERATED)
        elif tags[0] != tags[1]:
            changes.add(Kind.DOCUMENTATION, name, "tags changed")
        changes.compare_rest(
            f"path {new.path}", old.item, new.item, {*METHODS, "parameters", "servers", "$ref"}
        )
        handled = {
            "operationId", "tags", "parameters", "requestBody", "responses", "security", "servers",
            "callbacks",
        }  # fmt: skip
        changes.compare_rest(name, old.node, new.node, handled)
        changes.compare_marks(name, old.node, new.node)
        self._security.operation(old, new)
        self._servers(old, new)
        self._parameters(old, new)
        self._request_body(
            name,
            self._old.resolve(old.node.get("requestBody", {})),
            self._new.resolve(new.node.get("requestBody", {})),
        )
        self._answers(name, old.node.get("responses", {}), new.node.get("responses", {}))
        self._callbacks(name, old.node.get("callbacks", {}), new.node.get("callbacks", {}))

    def _servers(self, old: Operation, new: Operation) -> None:
        """Compares servers of an operation or its path; users choose those of the document."""
        own = [one.node.get("servers") or one.item.get("servers") for one in (old, new)]
        if not any(own):
            return
        before, after = (
            urls_of(servers or document.content.get("servers") or [{"url": "/"}])
            for servers, document in zip(own, (self._old, self._new), strict=True)
        )
        for url in sorted(before.keys() - after.keys()):
            self._changes.add(Kind.BREAKS_CALLERS, old.name, f"no longer served at {url}")
        for url in sorted(after.keys() - before.keys()):
            self._changes.add(Kind.BREAKS_BACKENDS, old.name, f"now served at {url}")

    def _parameters(self, old: Operation, new: Operation) -> None:
        before, after = self._old.parameters(old), self._new.parameters(new)
        renamed = _renamed_path_parameters(old, new, before, after)
        for key, new_key in renamed.items():
            place = f"{old.name} path parameter {key[1]}"
            text = f"is now named {new_key[1]}, in the generated client too"
            self._changes.add(Kind.BREAKS_CALLERS, place, text, advice.RENAMED)
            before[new_key] = before.pop(key)
        similar = renamed_keys(before, after)
        for key in sorted(before.keys() | after.keys()):
            place = f"{old.name} {key[0]} parameter {key[1]}"
            if key not in after:
                text = "removed"
                if key in similar:
                    text += f", or renamed to {similar[key][1]} in {similar[key][0]}"
                kinds = [Kind.BREAKS_CALLERS]
                if before[key].get("required"):
                    kinds.append(Kind.BREAKS_BACKENDS)
                    text += "; existing backends require it"
                self._changes.add_removal(kinds, place, text, before[key])
            elif key not in before:
                self._added(place, after[key])
            else:
                self._parameter(place, before[key], after[key])

    def _added(self, place: str, node: Node) -> None:
        if node.get("required"):
            text = "added, required"
            self._changes.add(Kind.BREAKS_CALLERS, place, text, advice.NOW_REQUIRED)
        else:
            self._changes.add_addition(place, "added", node)

    def _parameter(self, place: str, old: Node, new: Node) -> None:
        handled = {
            "name", "in", "required", "schema", "content", "style", "explode", "allowReserved",
            "allowEmptyValue",
        }  # fmt: skip
        self._changes.compare_rest(place, old, new, handled)
        self._changes.compare_marks(place, old, new)
        self._changes.compare_required(
            place, Side.REQUEST, before=bool(old.get("required")), after=bool(new.get("required"))
        )
        self._flags(place, old, new)
        before, after = self._written_as(self._old, old), self._written_as(self._new, new)
        if before != after:
            for kind in (Kind.BREAKS_CALLERS, Kind.BREAKS_BACKENDS):
                self._changes.add(kind, place, f"is written as {after}, was {before}")
        if "content" in old and "content" in new:
            self._contents(place, old["content"], new["content"], Side.REQUEST)
        else:
            self.values.compare(place, _schema_of(old), _schema_of(new), Side.REQUEST)

    def _flags(self, place: str, old: Node, new: Node) -> None:
        for key in ("allowReserved", "allowEmptyValue"):
            before, after = bool(old.get(key)), bool(new.get(key))
            if before != after:
                kind = Kind.BREAKS_BACKENDS if after else Kind.BREAKS_CALLERS
                self._changes.add(kind, place, f"{key} is {after}, was {before}")

    def _written_as(self, document: Document, parameter: Node) -> str:
        """How the values of a parameter are written into a request."""
        if "content" in parameter:
            return "a media type"
        style = parameter.get("style", _STYLES[parameter["in"]])
        explode = parameter.get("explode", style == "form")
        schemas = self.values.old if document is self._old else self.values.new
        types = {one.type for one in schemas.alternatives(parameter.get("schema", {}))}
        # Only lists and objects can be taken apart.
        if not types & {"array", "object", "any"}:
            return f"style {style}"
        return f"style {style} with explode {'true' if explode else 'false'}"

    def _request_body(self, name: str, old: Node, new: Node) -> None:
        place = f"{name} request body"
        if old and not new:
            kinds = [Kind.BREAKS_CALLERS]
            if old.get("required"):
                kinds.append(Kind.BREAKS_BACKENDS)
            self._changes.add_removal(kinds, place, "removed", old)
        elif new and not old:
            self._added(place, new)
        elif old:
            self._changes.compare_rest(place, old, new, {"required", "content"})
            self._changes.compare_marks(place, old, new)
            before, after = bool(old.get("required")), bool(new.get("required"))
            self._changes.compare_required(place, Side.REQUEST, before=before, after=after)
            self._contents(place, old.get("content", {}), new.get("content", {}), Side.REQUEST)

    def _contents(self, place: str, old: Node, new: Node, side: Side) -> None:
        before = {media_type(name): (name, node) for name, node in old.items()}
        after = {media_type(name): (name, node) for name, node in new.items()}
        if side is Side.ANSWER and bool(before) != bool(after):
            for kind in (side.less, side.more):
                self._changes.add(kind, place, f"{'has' if after else 'no longer has'} a body")
            return
        for media in sorted(before.keys() | after.keys()):
            if media not in after:
                if not _accepts(after, media):
                    self._changes.add(side.less, place, f"content type {media} removed")
            elif media not in before:
                if not _accepts(before, media):
                    self._content_added(place, media, after[media][1], side)
            else:
                (old_name, old_node), (new_name, new_node) = before[media], after[media]
                if old_name != new_name:
                    text = f"content type is written {new_name}, was {old_name}"
                    self._changes.add(Kind.DOCUMENTATION, place, text)
                self._changes.compare_rest(place, old_node, new_node, {"schema"})
                self._changes.compare_marks(f"{place} {media}", old_node, new_node)
                self.values.compare(
                    place, old_node.get("schema", {}), new_node.get("schema", {}), side
                )

    def _content_added(self, place: str, media: str, node: Node, side: Side) -> None:
        text = f"content type {media} added"
        if node.get(EXTENSION) is True:
            # Released backends refuse it with 415, and released callers do not ask for it.
            text += ", as an extension"
            self._changes.add(Kind.COMPATIBLE, place, text, advice.EXTENSION_ADDED)
        else:
            self._changes.add(side.more, place, text)

    def _answers(self, name: str, old: Node, new: Node) -> None:
        for status in sorted(old.keys() | new.keys()):
            place = f"{name} answer {status}"
            is_success = not status.startswith(("4", "5", "default"))
            before, after = _answer_to(old, status), _answer_to(new, status)
            if after is None:
                text = "removed, and existing backends return it"
                self._changes.add(Kind.BREAKS_BACKENDS, place, text)
                if is_success:
                    self._changes.add(Kind.BREAKS_CALLERS, place, "removed")
            elif before is None:
                # Callers handle errors of any status, but cannot read a new success.
                kind = Kind.BREAKS_CALLERS if is_success else Kind.COMPATIBLE
                self._changes.add(kind, place, "added")
            else:
                self._answer(place, self._old.resolve(before), self._new.resolve(after))

    def _answer(self, place: str, old: Node, new: Node) -> None:
        self._changes.compare_rest(place, old, new, {"headers", "content"})
        self._changes.compare_marks(place, old, new)
        self._contents(place, old.get("content", {}), new.get("content", {}), Side.ANSWER)
        before, after = (
            {name.lower(): (name, document.resolve(node)) for name, node in headers.items()}
            for document, headers in (
                (self._old, old.get("headers", {})),
                (self._new, new.get("headers", {})),
            )
        )
        for key in sorted(before.keys() | after.keys()):
            if key not in after:
                name, node = before[key]
                self._changes.add_removal(
                    [Kind.BREAKS_CALLERS], f"{place} header {name}", "removed", node
                )
            elif key not in before:
                name, node = after[key]
                kind = Kind.BREAKS_BACKENDS if node.get("required") else Kind.COMPATIBLE
                header = f"{place} header {name}"
                self._changes.add(kind, header, "added", advice.ANSWERED_MORE)
            else:
                self._header(f"{place} header {after[key][0]}", before[key][1], after[key][1])

    def _header(self, place: str, old: Node, new: Node) -> None:
        self._changes.compare_marks(place, old, new)
        before, after = bool(old.get("required")), bool(new.get("required"))
        self._changes.compare_required(place, Side.ANSWER, before=before, after=after)
        handled = {"required", "schema", "style", "explode"}
        self._changes.compare_rest(place, old, new, handled)
        ways = [self._written_as(doc, {"in": "header", **node}) for doc, node in
                ((self._old, old), (self._new, new))]  # fmt: skip
        if ways[0] != ways[1]:
            for kind in (Kind.BREAKS_CALLERS, Kind.BREAKS_BACKENDS):
                self._changes.add(kind, place, f"is written as {ways[1]}, was {ways[0]}")
        self.values.compare(place, old.get("schema", {}), new.get("schema", {}), Side.ANSWER)

    def _callbacks(self, name: str, old: Node, new: Node) -> None:
        before, after = (
            {
                f"{callback} {expression}": item
                for callback, node in callbacks.items()
                for expression, item in document.resolve(node).items()
                if not expression.startswith("x-")
            }
            for document, callbacks in ((self._old, old), (self._new, new))
        )
        self.compare_incoming(f"{name} callback", before, after)

    def compare_incoming(self, prefix: str, old: Node, new: Node) -> None:
        """Compares webhooks or callbacks: requests that a backend sends to a caller."""
        for key in sorted(old.keys() | new.keys()):
            items = [
                document.resolve(as_node(nodes.get(key)))
                for document, nodes in ((self._old, old), (self._new, new))
            ]
            for method in METHODS:
                if not any(method in item for item in items):
                    continue
                place = f"{prefix} {key} {method}"
                if method not in items[1]:
                    self._changes.add_removal(
                        [Kind.BREAKS_CALLERS], place, "removed", items[0][method]
                    )
                elif method not in items[0]:
                    text = "added, and backends may not send it"
                    self._changes.add(Kind.COMPATIBLE, place, text, advice.ANSWERED_MORE)
                else:
                    self._incoming(place, items[0][method], items[1][method])

    def _incoming(self, place: str, old: Node, new: Node) -> None:
        handled = {"operationId", "tags", "requestBody", "responses"}
        self._changes.compare_rest(place, old, new, handled)
        self._changes.compare_marks(place, old, new)
        before = self._old.resolve(old.get("requestBody", {})).get("content", {})
        after = self._new.resolve(new.get("requestBody", {})).get("content", {})
        self._contents(f"{place} body", before, after, Side.ANSWER)
        answers = old.get("responses", {}), new.get("responses", {})
        for status in sorted(answers[0].keys() | answers[1].keys()):
            before, after = _answer_to(answers[0], status), _answer_to(answers[1], status)
            where = f"{place} answer {status}"
            if before is None or after is None:
                kind, word = (
                    (Kind.BREAKS_BACKENDS, "added")
                    if before is None
                    else (Kind.BREAKS_CALLERS, "removed")
                )
                self._changes.add(kind, where, word)
                continue
            nodes = self._old.resolve(before), self._new.resolve(after)
            self._changes.compare_rest(where, *nodes, {"content", "headers"})
            contents = [node.get("content", {}) for node in nodes]
            self._contents(where, contents[0], contents[1], Side.REQUEST)


def _accepts(contents: Iterable[str], media: str) -> bool:
    """Whether a range of content types, such as `text/*`, includes this one."""
    return any(fnmatchcase(media, name) for name in contents)


def _schema_of(parameter: Node) -> Node:
    """The schema of a parameter, which may be that of its only content type."""
    contents = as_node(parameter.get("content"))
    return parameter.get("schema") or {
        key: value
        for content in contents.values()
        for key, value in as_node(content).get("schema", {}).items()
    }


def _answer_to(answers: Node, status: str) -> Node | None:
    """The answer that describes a status: its own, that of its range, or of any error."""
    keys = [status, f"{status[0]}XX"]
    if status.startswith(("4", "5")):
        keys.append("default")
    return next((answers[key] for key in keys if key in answers), None)


def _renamed_path_parameters(
    old: Operation,
    new: Operation,
    before: dict[ParameterKey, Node],
    after: dict[ParameterKey, Node],
) -> dict[ParameterKey, ParameterKey]:
    """The new key of each path parameter that has another name at the same position."""
    names = [re.findall(r"\{([^}]*)\}", operation.path) for operation in (old, new)]
    gone = [name for name in names[0] if name not in names[1]]
    come = [name for name in names[1] if name not in names[0]]
    if len(gone) != len(come):
        return {}
    keys = [(("path", one), ("path", other)) for one, other in zip(gone, come, strict=True)]
    return {one: other for one, other in keys if one in before and other in after}
