"""What to do next about each sort of change. The report prints it below the changes."""

from __future__ import annotations

_ACCEPT = "or accept the line in openapi/accepted-changes.txt, with the reason"

#: By the name of the kind, for changes without a rule of their own here.
BY_KIND = {
    "BREAKS_CALLERS": f"keep what released callers send and read, {_ACCEPT}",
    "BREAKS_BACKENDS": f"keep what released backends accept and return, {_ACCEPT}",
    "COMPATIBLE": "add it to openapi/CHANGELOG.md",
    "DOCUMENTATION": "nothing; scripts/regen.sh copies the words into the client and the page",
}
EXTENSION_ADDED = (
    "serve it from the local backend, and test the library without it (needs_extension)"
)
UNMARKED_ADDITION = (
    "mark it `x-tellurio-extension: true` if the library works without it, "
    "or release the backends first and accept the line in openapi/accepted-changes.txt"
)
REMOVED = (
    "keep it, with `deprecated: true` and an `x-sunset` date, and remove it after that date, "
    + _ACCEPT
)
SUNSET_PASSED = "remove it from the backend and the library too"
NOW_AN_EXTENSION = (
    "let the library work against a backend without it, and mark its tests needs_extension"
)
DEPRECATED = "move the library off it, and remove it after that date"
DEPRECATED_WITHOUT_SUNSET = "set `x-sunset` to the date after which it may be removed"
NOW_REQUIRED = f"keep it optional, {_ACCEPT}"
NOT_REQUIRED = f"keep it required, {_ACCEPT}"
MOVED = f"keep the old path as a deprecated operation with an `x-sunset` date, {_ACCEPT}"
RENAMED = f"keep the old name, {_ACCEPT}; what uses it in src/ and tests/ must follow"
GENERATED = "keep the generated name or type: programs that import tellurio_api use it, " + _ACCEPT
BOUND = f"keep the bound, {_ACCEPT}; settings/limits.py has the bounds that the library checks"
NO_RULE = "read what the keyword means, and add a rule to scripts/contract_kinds.py or its callers"
ANSWERED_MORE = "read it in the library if applications need it; backends may lack it"
