"""The files of the web page, and the links by which a browser loads all modules of a view at once.

Without the links, a browser requests a module only after it has read the one that imports it.
"""

from __future__ import annotations

import hashlib
import re
from importlib import resources
from typing import NamedTuple

_CONTENT_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}
#: What browsers do not need of the page's files: comments, most of them types, and indentation.
_COMMENTS = re.compile(rb"[ \t]*/\*\*.*?\*/ ?|^\t*//[^\n]*|^\t+", re.DOTALL | re.MULTILINE)
_IMPORT = re.compile(rb'^(?:import|export) [^"]*?from "\./([\w/.-]+)";', re.MULTILINE)
#: The classic script that chart.js loads.
_CHARTS = "uPlot.iife.min.js"
#: What a view loads when it is shown, besides what its modules import; see `VIEWS` in page.js.
_OF_VIEWS: dict[str, tuple[str, ...]] = {
    "projects": ("projects.js",),
    "project": ("project.js",),
    "compare": ("compare.js", "compare.css", _CHARTS),
    "run": ("run.js", "run.css", "neighbors.js"),
    "artifacts": ("artifacts.js", "heads.js", "run.css", "stored.css"),
}
#: And by the tab in its address; see `TABS` in project.js and run.js. The first one is the default.
_OF_TABS: dict[str, dict[str, tuple[str, ...]]] = {
    "project": {
        "": ("curves.js", _CHARTS),
        "table": ("table.js", "table.css"),
        "explore": ("explore.js", "explore.css"),
        "trash": ("trash.js", "many.css"),
    },
    "run": {
        "": ("curves.js", _CHARTS),
        "media": ("steps.js", "stored.css"),
        "tables": ("rows.js", "stored.css"),
        "files": ("files.js", "stored.css"),
        "config": ("config.js", "stored.css"),
    },
}


class PageFile(NamedTuple):
    """A file as the server sends it.

    Attributes:
        body: Its bytes.
        content_type: The media type with the encoding.
        tag: The entity tag, with its quotes.
    """

    body: bytes
    content_type: str
    tag: str


class PageFiles:
    """All files of the page, in memory. Threads may share it."""

    def __init__(self) -> None:
        self._files = _read_files()
        self._views = {
            (view, tab): self._view((*own, *others))
            for view, own in _OF_VIEWS.items()
            for tab, others in _OF_TABS.get(view, {"": ()}).items()
        }

    def asset(self, name: str) -> PageFile | None:
        """Returns a file by its name, or None if the page has no such file."""
        return self._files.get(name)

    def view(self, view: str, tab: str) -> PageFile:
        """Returns the HTML of a view, with links to what this view loads.

        Args:
            view: Its name in page.js.
            tab: The tab that its address names; an unknown one is shown as the default tab.
        """
        return self._views.get((view, tab)) or self._views[view, ""]

    def _view(self, names: tuple[str, ...]) -> PageFile:
        loaded = ["page.js", *names]
        for name in loaded:
            imported = _IMPORT.findall(self._files[name].body) if name.endswith(".js") else []
            loaded += [each for each in map(bytes.decode, imported) if each not in loaded]
        index = self._files["index.html"]
        head, end, rest = index.body.partition(b"</head>")
        links = "".join(map(_link, loaded[1:])).encode()
        return _file(head + links + end + rest, index.content_type)


def _link(name: str) -> str:
    if name.endswith(".css"):
        return f'<link rel="stylesheet" href="/assets/{name}">\n'
    if name == _CHARTS:
        return f'<link rel="preload" as="script" href="/assets/{name}">\n'
    return f'<link rel="modulepreload" href="/assets/{name}">\n'


def _read_files() -> dict[str, PageFile]:
    """Returns the page's files by name; no other files are served."""
    page = resources.files("afnio_tellurio.backend").joinpath("page")
    vendor = page.joinpath("vendor")
    files: dict[str, PageFile] = {}
    for folder, prefix in ((page, ""), (vendor, ""), (vendor.joinpath("hyparquet"), "hyparquet/")):
        for entry in folder.iterdir():
            content_type = _CONTENT_TYPES.get(entry.name[entry.name.rfind(".") :])
            if content_type is not None:
                body = entry.read_bytes()
                if folder is page:
                    body = _COMMENTS.sub(_blank_lines, body)
                files[prefix + entry.name] = _file(body, f"{content_type}; charset=utf-8")
    return files


def _file(body: bytes, content_type: str) -> PageFile:
    return PageFile(body, content_type, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


def _blank_lines(comment: re.Match[bytes]) -> bytes:
    # A browser's messages name the lines of the files.
    return b"\n" * comment[0].count(b"\n")
