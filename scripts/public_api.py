"""Writes docs/public-api.txt: everything that an application may rely on, one line each.

    scripts/public_api.py            writes it
    scripts/public_api.py --check    writes nothing; fails if the listing is out of date, or if
                                     CHANGELOG.md does not mention a change since the last release
    scripts/public_api.py --release  checks the same, and saves the listing as the last release's

The rule is `__all__` of the package and of its integrations, and in its classes the underscore.
"""

from __future__ import annotations

import argparse
import difflib
import inspect
import re
import shutil
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import griffe

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
LISTING = ROOT / "docs" / "public-api.txt"
RELEASED = ROOT / "docs" / "public-api.released.txt"
CHANGELOG = ROOT / "CHANGELOG.md"
PACKAGE = "afnio_tellurio"
INTEGRATIONS = (
    "integrations.afnio",
    "integrations.dspy",
    "integrations.gepa",
    "integrations.keras",
    "integrations.lightning",
    "integrations.log_handler",
    "integrations.optuna",
    "integrations.transformers",
    "integrations.xgboost",
)

#: Methods that Python calls, and applications rely on without naming them.
DUNDERS = {"__aenter__", "__aexit__", "__enter__", "__exit__", "__len__"}


def lines() -> list[str]:
    """The listing."""
    package: Any = griffe.load(
        PACKAGE,
        search_paths=[ROOT / "src", ROOT / "generated"],
        allow_inspection=False,
        resolve_aliases=True,
    )
    listing: list[str] = []
    for name in sorted(package.exports):
        listing += item_lines(name, package[name].final_target, set(package.exports))
    for module in INTEGRATIONS:
        for name in sorted(set(package[module].exports) - set(package.exports)):
            item = package[module][name]
            listing += item_lines(f"{module}.{name}", item, set(package.exports))
    return listing


def item_lines(name: str, item: Any, exports: set[str]) -> Iterator[str]:
    if item.is_class:
        yield from class_lines(name, item, exports)
    else:
        yield from function_lines(name, item)


def class_lines(name: str, item: Any, exports: set[str]) -> Iterator[str]:
    # A base that is not public is not promised; its members are listed with the class.
    bases = [str(base) for base in item.bases]
    promised = [base for base in bases if base in exports or not is_own(item, base)]
    yield f"class {name}({', '.join(promised)})" if promised else f"class {name}"
    members = {**inherited(item, exports), **item.members}
    if is_attrs(name):
        yield attrs_constructor(name, members)
    for member, definition in sorted(members.items()):
        path = f"{name}.{member}"
        if member == "__init__" or member in DUNDERS or not member.startswith("_"):
            yield from member_lines(path, definition)


def is_own(item: Any, base: str) -> bool:
    return any(parent.name == base and parent.path.startswith(PACKAGE) for parent in item.mro())


def inherited(item: Any, exports: set[str]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for parent in reversed(item.mro()):
        if parent.name not in exports:
            members |= parent.members
    return members


def member_lines(path: str, member: Any) -> Iterator[str]:
    if member.is_function:
        yield from function_lines(path, member)
    else:
        is_constant = "class-attribute" in member.labels and not member.annotation
        value = f" = {member.value}" if is_constant else ""
        kind = f": {member.annotation}" if member.annotation else ""
        yield f"{path}{kind}{value}"


def function_lines(path: str, function: Any) -> Iterator[str]:
    labels = sorted(function.labels & {"async", "classmethod", "staticmethod"})
    for overload in function.overloads or [function]:
        # A method's `self` is the object before the dot.
        signature = re.sub(r"\((self|cls)(, )?", "(", overload.signature(), count=1)
        yield " ".join([*labels, path + signature[signature.index("(") :]])


def is_attrs(name: str) -> bool:
    # The frameworks of integrations may be missing.
    return "." not in name and hasattr(runtime(name), "__attrs_attrs__")


def runtime(name: str) -> Any:
    module, _, attribute = f"{PACKAGE}.{name}".rpartition(".")
    return getattr(import_module(module), attribute)


def attrs_constructor(name: str, members: dict[str, Any]) -> str:
    """The constructor that attrs makes: the fields in order, with their defaults."""
    parameters = [
        f"{field}: {members[field].annotation}"
        + ("" if parameter.default is parameter.empty else f" = {parameter.default!r}")
        for field, parameter in inspect.signature(runtime(name)).parameters.items()
    ]
    return f"{name}.__init__({', '.join(parameters)})"


def unmentioned(listing: list[str], released: list[str], changelog: str) -> list[str]:
    """The changes since the last release's listing that the newest part of the changelog lacks.

    If a whole class or function is new or gone, its name is enough.
    """
    newest = changelog.partition("\n## ")[2].partition("\n## ")[0]
    mentioned = re.findall(r"`([^`]*)`", newest)
    before, now = {path_of(line) for line in released}, {path_of(line) for line in listing}
    missing: set[str] = set()
    for path in map(path_of, {*listing} ^ {*released}):
        top = path.partition(".")[0]
        name = path if top in before and top in now else top
        # A constructor is called by the name of its class.
        name = name.removesuffix(".__init__")
        if not any(re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", code) for code in mentioned):
            missing.add(name)
    return sorted(missing)


def path_of(line: str) -> str:
    return re.split(r"[(:=]", line)[0].split()[-1]


def read(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines() if path.exists() else []


def check() -> list[str]:
    """The problems of the checked-in listing, and of the changelog."""
    listing = lines()
    problems = list(
        difflib.unified_diff(
            read(LISTING), listing, str(LISTING.relative_to(ROOT)), "the sources", lineterm="", n=0
        )
    )
    if problems:
        problems.append("if that is intended, run scripts/public_api.py and commit the listing")
    changelog = CHANGELOG.read_text("utf-8")
    return problems + [
        f"CHANGELOG.md: {name} has changed since the last release; mention `{name}`"
        for name in unmentioned(listing, read(RELEASED), changelog)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--check", action="store_true", help="write nothing; fail on a difference")
    action.add_argument(
        "--release", action="store_true", help="check, and save the listing as the last release's"
    )
    chosen = parser.parse_args()
    if not chosen.check and not chosen.release:
        LISTING.write_text("\n".join([*lines(), ""]), "utf-8", newline="\n")
    elif problems := check():
        sys.exit("\n".join(problems))
    elif chosen.release:
        shutil.copyfile(LISTING, RELEASED)


if __name__ == "__main__":
    main()
