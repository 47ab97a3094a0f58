"""docs/architecture.md names every module, and only existing ones."""

import re
from pathlib import Path

from code_blocks import PAGES, ROOT, blocks_of

PACKAGE = ROOT / "src" / "afnio_tellurio"
PAGE = PAGES["docs/architecture.md"]


def listed_modules(listing):
    """The modules in a listing of folders, in which the content of a folder is indented."""
    folders: list[str] = []
    modules = []
    for line in listing.splitlines():
        indent, name = re.match(r"( *)(\S+)", line).groups()
        del folders[len(indent) // 2 :]
        if name.endswith("/"):
            folders.append(name)
        elif name.endswith(".py"):
            modules.append("".join([*folders, name]))
    return modules


def test_the_listing_names_every_module_and_no_other():
    listed = listed_modules(blocks_of(PAGE)[0].text)
    root = "src/afnio_tellurio/"
    assert all(name.startswith(root) for name in listed)
    # A folder's name stands for its __init__.py.
    modules = {
        path.relative_to(ROOT).as_posix()
        for path in PACKAGE.rglob("*.py")
        if path.name != "__init__.py" or path.parent == PACKAGE
    }
    assert sorted(modules - set(listed)) == [], "docs/architecture.md does not name these"
    assert sorted(set(listed) - modules) == [], "docs/architecture.md names these"
    assert len(listed) == len(set(listed))


def test_every_file_named_in_the_text_is_in_the_listing():
    listed = listed_modules(blocks_of(PAGE)[0].text)
    for name in re.findall(r"`([\w/]+\.py)`", PAGE):
        assert any(Path(module).match(name) for module in listed), name


def test_every_module_of_the_page_is_named_and_no_other():
    named = set(re.findall(r"`(\w+\.js)`", PAGE))
    own = {path.name for path in (PACKAGE / "backend" / "page").glob("*.js")}
    assert sorted(own - named) == [], "docs/architecture.md does not name these"
    assert sorted(named - own) == [], "docs/architecture.md names these"


def test_a_listing_is_read_by_its_indentation():
    listing = "scripts/\nsrc/a/\n  b.py   c.py is another\n  d/\n    e.py\n  f.py\n"
    assert listed_modules(listing) == ["src/a/b.py", "src/a/d/e.py", "src/a/f.py"]
