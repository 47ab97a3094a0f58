"""docs/api.html: the whole API on one page that needs no network."""

import html.parser
import json
import re
from pathlib import Path

import exchanges

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "api.html").read_text("utf-8")


class Markup(html.parser.HTMLParser):
    """The elements of a page, with the text of its scripts and styles."""

    def __init__(self, page):
        super().__init__()
        self.elements = []
        self.texts = {"script": [], "style": []}
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag in self.texts:
            self.texts[tag].append("")

    def handle_data(self, data):
        if self.elements and self.elements[-1][0] in self.texts:
            self.texts[self.elements[-1][0]][-1] += data


MARKUP = Markup(PAGE)


def shown():
    """The document that the page passes to its viewer."""
    _, start = MARKUP.texts["script"]
    text = start.partition("spec: ")[2]
    return json.JSONDecoder().raw_decode(text)[0]


def test_the_page_names_every_operation():
    for item in exchanges.CONTRACT["paths"].values():
        for operation in item.values():
            if isinstance(operation, dict):
                assert f'"operationId": "{operation["operationId"]}"' in PAGE
                assert f'"summary": "{operation["summary"]}"' in PAGE
    assert "displayOperationId: true" in MARKUP.texts["script"][1]


def test_the_page_shows_the_whole_contract():
    contract = {key: value for key, value in exchanges.CONTRACT.items() if key != "x-generated"}
    assert shown() == contract


def test_the_page_contains_the_notices_of_what_it_bundles():
    script = MARKUP.texts["script"][0]
    (name,) = re.findall(r"license information please see (\S+)", script)
    notices, _, bundle = script.partition("/*! For license information")
    assert name in notices
    assert bundle
    published = ROOT / ".cache" / "node" / "node_modules" / "swagger-ui-dist" / name
    assert published.read_text("utf-8").strip() in notices


def test_the_page_loads_nothing():
    for tag, attributes in MARKUP.elements:
        for name in ("src", "href", "srcset", "data", "action"):
            if attributes.get(name) and tag != "a":
                assert attributes[name].startswith("data:"), (tag, attributes)
    styles = "\n".join(MARKUP.texts["style"])
    assert len(styles) > 100_000
    assert "@import" not in styles
    places = re.findall(r"url\(\s*[\"']?([^\"')]{0,40})", styles)
    assert places
    assert all(place.startswith(("data:", "#")) for place in places), places
    assert "sourceMappingURL" not in PAGE


def test_the_browser_is_told_to_load_nothing():
    (policy,) = [
        attributes["content"]
        for tag, attributes in MARKUP.elements
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives["default-src"] == "'none'"
    assert not re.search(r"https?:|\*|'self'|eval", policy)


def test_a_page_that_loads_something_would_be_seen():
    markup = Markup('<style>a { b: url("//x/y") }</style><script src="//x/z"></script>')
    assert markup.elements[1] == ("script", {"src": "//x/z"})
    assert "//x/y" in markup.texts["style"][0]
