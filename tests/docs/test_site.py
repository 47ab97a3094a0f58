"""The built site loads nothing from elsewhere, and shows every public name and operation."""

import hashlib
import html.parser
import re
import subprocess
import sys

import exchanges
import pytest
from code_blocks import PAGES, ROOT

import afnio_tellurio as te

#: Attributes that make a browser load something. The link of an `a` needs a click.
LOADING = {"src", "srcset", "href", "data", "poster", "action", "background", "manifest"}
#: A namespace name; browsers do not load it.
SVG_NAMESPACE = "http://www.w3.org/2000/svg"
COMMENT = re.compile(r"/\*.*?\*/|^\s*//.*?$", re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def site():
    """The site, built with warnings as errors, unless this has passed with the same sources.

    scripts/docs.sh builds the same site.
    """
    output = ROOT / ".cache" / "docs" / "html"
    # A build with warnings writes pages too, so their presence proves nothing.
    passed = output.parent / "passed.txt"
    sources = [
        *(ROOT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "pyproject.toml")),
        *(path for path in (ROOT / "docs").rglob("*") if path.is_file()),
        *(path for name in ("src", "generated") for path in (ROOT / name).rglob("*.py")),
    ]
    digest = hashlib.sha256()
    for path in sorted(sources):
        digest.update(f"{path}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    present = digest.hexdigest()
    if not (output / "index.html").exists() or read(passed) != present:
        command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going"]
        command += ["--fresh-env", "--write-all", "--doctree-dir", output.parent / "doctrees"]
        finished = subprocess.run(
            [*command, ROOT / "docs", output], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert finished.returncode == 0, finished.stderr
        passed.write_text(present)
    return output


def read(path):
    return path.read_text() if path.exists() else None


class Markup(html.parser.HTMLParser):
    """The URLs that a page's markup loads."""

    def __init__(self, page):
        super().__init__()
        self.loaded = []
        self._is_style = False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self._is_style = tag == "style"
        for name, value in attrs:
            if name in LOADING and tag != "a" and value:
                self.loaded.append(value)
            if name == "style":
                self.loaded += loaded_by_styles(value)

    def handle_data(self, data):
        if self._is_style:
            self.loaded += loaded_by_styles(data)


def loaded_by_styles(styles):
    return re.findall(r"(?:url\(|@import)\s*[\"']?\s*([^\"')]+)", styles or "")


def is_elsewhere(address):
    return re.match(r"\s*(?:https?:|ftp:)?//", address) is not None


@pytest.mark.tools
def test_no_page_loads_anything_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) >= len([name for name in PAGES if name.startswith("docs/")])
    for path in pages:
        loaded = Markup(path.read_text("utf-8")).loaded
        assert [address for address in loaded if is_elsewhere(address)] == [], path.name


@pytest.mark.tools
def test_no_style_or_script_loads_anything_from_elsewhere(site):
    for path in site.rglob("*.css"):
        loaded = loaded_by_styles(path.read_text("utf-8"))
        assert [address for address in loaded if is_elsewhere(address)] == [], path.name
    for path in site.rglob("*.js"):
        code = COMMENT.sub("", path.read_text("utf-8"))
        named = set(re.findall(r"[\"'`]((?:https?:)?//[^\"'`]+)", code))
        assert named - {SVG_NAMESPACE} == set(), path.name


@pytest.mark.tools
def test_everything_that_a_page_loads_is_there(site):
    for path in site.glob("*.html"):
        for address in Markup(path.read_text("utf-8")).loaded:
            name = re.split(r"[?#]", address)[0]
            if name and not re.match(r"\w+:", address):
                assert (path.parent / name).exists(), f"{path.name} loads {address}"


@pytest.mark.parametrize(
    "page",
    [
        '<script src="//cdn.example.com/x.js"></script>',
        '<link rel="stylesheet" href="https://fonts.example.com/css">',
        '<style>@import "https://example.com/x.css";</style>',
        "<p style='background: url(http://example.com/x.png)'>",
        '<img srcset="//example.com/x.png 2x">',
    ],
)
def test_a_page_that_loads_something_would_be_noticed(page):
    assert [address for address in Markup(page).loaded if is_elsewhere(address)]


def test_a_link_loads_nothing():
    assert Markup('<a href="https://example.com/">x</a>').loaded == []


@pytest.mark.tools
def test_the_reference_shows_every_public_name(site):
    reference = (site / "reference.html").read_text("utf-8")
    shown = set(re.findall(r'<dt [^>]*id="afnio_tellurio\.(\w+)"', reference))
    assert shown == set(te.__all__)


def test_the_page_of_the_http_api_lists_every_operation():
    listed = re.findall(
        r"^\| `(\w+)` \| `(\w+) ([^`]+)` \| (.*?) \|", PAGES["docs/http-api.md"], re.MULTILINE
    )
    operations = [
        (item[method]["operationId"], method.upper(), path, item[method]["summary"])
        for path, item in exchanges.CONTRACT["paths"].items()
        for method in ("get", "post", "put", "patch", "delete")
        if method in item
    ]
    assert listed == operations


def test_every_page_is_in_the_table_of_contents():
    pages = {name.removeprefix("docs/") for name in PAGES if name.startswith("docs/")}
    entries = re.findall(r"^([\w-]+)$", PAGES["docs/index.md"], re.MULTILINE)
    assert {f"{entry}.md" for entry in entries} == pages - {"index.md"}
