"""What changed between two versions of the contract, and what each change breaks.

What breaks callers and what breaks backends is explained in contract_kinds. The exceptions are the
document's own promises: unknown fields are ignored, open enums may grow, a backend may lack
everything marked `x-tellurio-extension`, and what was deprecated may be removed after its
`x-sunset`. The names and types of the generated client count as well. A keyword without a rule
counts as breaking for both, so that no change goes unnoticed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from contract_documents import ContractError, Document, Node, urls_of
from contract_kinds import Change, Changes, Kind, Side
from contract_operations import OperationComparison
from contract_pairing import renamed_keys

if TYPE_CHECKING:
    from datetime import date

__all__ = ["Change", "ContractError", "Kind", "Side", "changes_between"]


def changes_between(old: Node, new: Node, today: date | None = None) -> list[Change]:
    """Every change from the old document to the new one, the breaking ones first.

    Args:
        old: The content of the old document.
        new: The content of the new document.
        today: The day on which removals are judged; by default, this one.

    Raises:
        ContractError: A document is not an OpenAPI document, or has a reference that does not
            resolve.
    """
    try:
        changes = Changes(today)
        _compare(Document("old", old), Document("new", new), changes)
    except (AttributeError, KeyError, TypeError) as error:
        # The linter reports where; here it is enough that something has the wrong type.
        raise ContractError(
            f"one of them is not valid OpenAPI ({type(error).__name__}: {error}); "
            "run scripts/lint_contract.sh to see where"
        ) from error
    # A place may be reached in several ways, and a change is reported once.
    order = list(Kind)
    return sorted(
        dict.fromkeys(changes.all),
        key=lambda change: (order.index(change.kind), change.place, change.text),
    )


def _compare(old: Document, new: Document, changes: Changes) -> None:
    changes.compare_rest("document", old.content.get("info", {}), new.content.get("info", {}), ())
    handled = {"openapi", "info", "paths", "components", "servers", "security", "tags", "webhooks"}
    changes.compare_rest("document", old.content, new.content, handled)
    if old.content.get("tags") != new.content.get("tags"):
        changes.add(Kind.DOCUMENTATION, "document", "tags changed")
    for section in ("examples", "links"):
        if old.component(section) != new.component(section):
            changes.add(Kind.DOCUMENTATION, "document", f"{section} changed")
    _compare_servers(old, new, changes)
    operations = OperationComparison(old, new, changes)
    operations.compare_all()
    operations.compare_incoming(
        "webhook", old.content.get("webhooks", {}), new.content.get("webhooks", {})
    )
    _compare_unused_schemas(operations, old, new, changes)


def _compare_servers(old: Document, new: Document, changes: Changes) -> None:
    before = urls_of(old.content.get("servers", []))
    after = urls_of(new.content.get("servers", []))
    for url in sorted(before.keys() | after.keys()):
        if url not in after:
            changes.add(Kind.BREAKS_CALLERS, "document", f"server {url} removed")
        elif url not in before:
            changes.add(Kind.COMPATIBLE, "document", f"server {url} added")
        else:
            place = f"server {url}"
            changes.compare_rest(place, before[url], after[url], {"url", "variables"})
            defaults = [
                {name: node.get("default") for name, node in server.get("variables", {}).items()}
                for server in (before[url], after[url])
            ]
            if defaults[0] != defaults[1]:
                changes.add(Kind.BREAKS_CALLERS, place, "the default of a variable changed")


def _compare_unused_schemas(
    operations: OperationComparison, old: Document, new: Document, changes: Changes
) -> None:
    """Compares schemas that no operation uses: the generated client has classes for them too."""
    before, after = old.component("schemas"), new.component("schemas")
    values = operations.values
    used = old.reached & new.reached
    reached = set(old.reached)
    renamed = renamed_keys(before, after)
    reported = {change.text for change in changes.all}
    for name, schema in before.items():
        is_reported = any(text.startswith(f"schema {name} is now named") for text in reported)
        has_class = any(
            one.has_class
            for one in values.old.alternatives({"$ref": f"#/components/schemas/{name}"})
        )
        if name in after:
            if name not in used:
                reference = {"$ref": f"#/components/schemas/{name}"}
                values.compare(name, reference, reference, Side.MODEL)
        elif has_class and not is_reported:
            where = "" if name in reached else ", which no operation used"
            text = f"schema removed{where}; the generated client has no such class now"
            if name in renamed:
                text = f"schema {name} is now named {renamed[name]}"
            changes.add_removal([Kind.BREAKS_CALLERS], name, text, schema)
