"""The script and the style of the live view: its own, and parts of the page's."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

_HERE = Path(__file__).parent / "page"
_PAGE = Path(__file__).parent.parent / "backend" / "page"
_FOLDERS = (_HERE, _PAGE, _PAGE / "vendor")
#: The class of the view's element.
_ROOT = ".afnio-tellurio"

_IMPORT = re.compile(r'^import (\{[^}]*\}) from "\./([\w.]+)\.js";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export ((?:async )?(?:const|function|class) (\w+))", re.MULTILINE)
#: How a minified module ends.
_EXPORTS = re.compile(r"export\{([^{}]*)\};?\s*$")
#: The colors, and the rules for tips and what uPlot draws.
_SHARED_STYLE = re.compile(
    r"^(:root|\[data-theme=dark\]|\.tip|\.u-|\.uplot)([^{}]*\{[^}]*\})", re.MULTILINE
)


@cache
def read_script() -> str:
    """The script as one module: a notebook has no server that other modules could come from."""
    chart = (_PAGE / "vendor" / "uPlot.iife.min.js").read_text("utf-8")
    parts = [f"const uPlot = (() => {{\n{chart}\nreturn uPlot;\n}})();\n"]
    _append_module("widget", parts, set())
    return "".join([*parts, "export default {render: $widget.render};\n"])


def _append_module(name: str, parts: list[str], known: set[str]) -> None:
    """Appends a module as an object of its exports, after those that it imports."""
    known.add(name)
    file = next(path for folder in _FOLDERS if (path := folder / f"{name}.js").is_file())
    text = file.read_text("utf-8")
    for imported in _IMPORT.finditer(text):
        if imported[2] not in known:
            _append_module(imported[2], parts, known)
    body = _IMPORT.sub(lambda found: f"const {_renamed(found[1])} = ${found[2]};\n", text)
    exports = [found[2] for found in _EXPORT.finditer(body)]
    body = _EXPORT.sub(r"\1", body)
    end = _EXPORTS.search(body)
    if end is not None:
        pairs = [pair.split(" as ") for pair in end[1].split(",")]
        exports += [f"{outer}: {inner}" for inner, outer in pairs]
        body = body[: end.start()]
    parts.append(f"const ${name} = (() => {{\n{body}\nreturn {{{', '.join(exports)}}};\n}})();\n")


def _renamed(names: str) -> str:
    return names.replace(" as ", ": ")


@cache
def read_style() -> str:
    """The style, which applies to the view only."""
    page = (_PAGE / "page.css").read_text("utf-8")
    shared = [
        ("&" if start == ":root" else f"&{start}" if start[0] == "[" else start) + rest
        for start, rest in _SHARED_STYLE.findall(page)
    ]
    return "\n".join([f"{_ROOT} {{", *shared, "}", (_HERE / "widget.css").read_text("utf-8")])
