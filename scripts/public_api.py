"""Writes docs/public-api.txt: all that an application may rely on, one line each.

    scripts/public_api.py            writes it
    scripts/public_api.py --check    writes nothing; fails where it is not what the sources make,
                                     or where CHANGELOG.md does not mention what changed since the
                                     last release
    scripts/public_api.py --release  keeps the listing as that of the last release

The rule is `__all__` of the package, and in its classes the underscore.
"""

from __future__ import annotations

import argparse
import difflib
import inspect
import re
import shutil
import sys
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

#: What Python calls by itself, and applications rely on without naming it.
DUNDERS = {"__aenter__", "__aexit__", "__enter__", "__exit__", "__len__"}


def lines() -> list[str]:
    """The listing."""
    package: Any = griffe.load(
        PACKAGE,
        search_paths=[ROOT / "src", ROOT / "generated"],
        allow_inspection=False,
        resolve_aliases=True,
    )
    found: list[str] = []
    for name in sorted(package.exports):
        thing = package[name].final_target
        if thing.is_class:
            found += class_lines(name, thing, set(package.exports))
        else:
            found += function_lines(name, thing)
    return found


def class_lines(name: str, thing: Any, exports: set[str]) -> Iterator[str]:
    # A base that is not public is no promise; what it gives is listed with the class.
    bases = [str(base) for base in thing.bases]
    promised = [base for base in bases if base in exports or not own(thing, base)]
    yield f"class {name}({', '.join(promised)})" if promised else f"class {name}"
    members = {**inherited(thing, exports), **thing.members}
    if is_attrs(name):
        yield attrs_constructor(name, members)
    for member, what in sorted(members.items()):
        path = f"{name}.{member}"
        if member == "__init__" or member in DUNDERS or not member.startswith("_"):
            yield from member_lines(path, what)


def own(thing: Any, base: str) -> bool:
    return any(parent.name == base and parent.path.startswith(PACKAGE) for parent in thing.mro())


def inherited(thing: Any, exports: set[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for parent in reversed(thing.mro()):
        if parent.name not in exports:
            found |= parent.members
    return found


def member_lines(path: str, what: Any) -> Iterator[str]:
    if what.is_function:
        yield from function_lines(path, what)
    else:
        value = (
            f" = {what.value}" if "class-attribute" in what.labels and not what.annotation else ""
        )
        kind = f": {what.annotation}" if what.annotation else ""
        yield f"{path}{kind}{value}"


def function_lines(path: str, function: Any) -> Iterator[str]:
    marks = sorted(function.labels & {"async", "classmethod", "staticmethod"})
    for one in function.overloads or [function]:
        # A method's `self` is what stands before the dot.
        signature = re.sub(r"\((self|cls)(, )?", "(", one.signature(), count=1)
        yield " ".join([*marks, path + signature[signature.index("(") :]])


def is_attrs(name: str) -> bool:
    return hasattr(runtime(name), "__attrs_attrs__")


def runtime(name: str) -> Any:
    return getattr(__import__(PACKAGE), name)


def attrs_constructor(name: str, members: dict[str, Any]) -> str:
    """What attrs makes: the fields in their order, with the defaults that they have."""
    words = [
        f"{field}: {members[field].annotation}"
        + ("" if parameter.default is parameter.empty else f" = {parameter.default!r}")
        for field, parameter in inspect.signature(runtime(name)).parameters.items()
    ]
    return f"{name}.__init__({', '.join(words)})"


def unmentioned(listing: list[str], released: list[str], changelog: str) -> list[str]:
    """What differs from the last release's listing and is not in the newest part of the changelog.

    Where a whole class or function is new or gone, its name is enough.
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
        if not any(re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", word) for word in mentioned):
            missing.add(name)
    return sorted(missing)


def path_of(line: str) -> str:
    words = re.split(r"[(:=]", line)[0].split()
    return words[-1]


def read(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines() if path.exists() else []


def check() -> list[str]:
    """What is wrong with the checked-in listing, or with the changelog."""
    listing = lines()
    found = list(
        difflib.unified_diff(
            read(LISTING), listing, str(LISTING.relative_to(ROOT)), "the sources", lineterm="", n=0
        )
    )
    if found:
        found.append("run scripts/public_api.py and commit what it writes, if it is meant")
    changelog = CHANGELOG.read_text("utf-8")
    return found + [
        f"CHANGELOG.md: {name} has changed since the last release; mention `{name}`"
        for name in unmentioned(listing, read(RELEASED), changelog)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--check", action="store_true", help="write nothing; fail on a difference")
    action.add_argument("--release", action="store_true", help="keep it as the last release's")
    chosen = parser.parse_args()
    if chosen.check:
        problems = check()
        sys.exit("\n".join(problems) if problems else 0)
    LISTING.write_text("\n".join([*lines(), ""]), "utf-8", newline="\n")
    if chosen.release:
        shutil.copyfile(LISTING, RELEASED)


if __name__ == "__main__":
    main()
