"""How the page looks to everybody: any width, any colours, any reader, any name."""

import hashlib
import json
from pathlib import Path

import pytest
from playwright.sync_api import expect

import afnio_tellurio as te

ROOT = Path(__file__).parent.parent.parent
AXE = ROOT / ".cache" / "node" / "node_modules" / "axe-core" / "axe.min.js"
PROJECT = "/acme/projects/digits/"
HOSTILE = [
    "<script>alert(1)</script>", "'\"><img src=x onerror=alert(1)>", "\u202etxt.exe\n\x1b[2J", "__proto__",
    "../../%2e%00%ff", "=1+1", "x" * 255,
]  # fmt: skip


@pytest.fixture
def addresses(digits):
    uuids = [run.uuid for run in digits.values()]
    compared = "&".join(f"run={uuid}" for uuid in uuids)
    return {
        "projects": "/",
        "project": PROJECT,
        "run": f"{PROJECT}runs/{uuids[2]}/",
        "comparison": f"{PROJECT}compare/?{compared}",
    }


VIEWS = ["projects", "project", "run", "comparison"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_no_serious_hindrance_to_anybody(open_page, addresses, view, scheme):
    page = open_page(addresses[view], scheme=scheme)
    expect(page.locator("table").first).to_be_visible()
    if view != "projects":
        expect(page.locator("figure canvas").first).to_be_visible()
    # Past the page's own policy, which lets no other script in.
    page.evaluate(AXE.read_text("utf-8"))
    found = page.evaluate("async () => (await axe.run()).violations")
    serious = [
        (one["id"], [node["html"][:120] for node in one["nodes"]][:3])
        for one in found
        if one["impact"] in {"serious", "critical"}
    ]
    assert serious == []


@pytest.mark.parametrize("width", [360, 768, 3840])
@pytest.mark.parametrize("view", VIEWS)
def test_nothing_runs_over_the_edge(open_page, addresses, view, width):
    page = open_page(addresses[view], width=width)
    expect(page.locator("table").first).to_be_visible()
    if view != "projects":
        expect(page.locator("figure canvas").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if view == "project" and width > 1000:
        charts = page.locator("section").first.locator("figure")
        assert charts.nth(0).bounding_box()["y"] == charts.nth(1).bounding_box()["y"]


def test_colours_are_those_of_the_system_until_others_are_chosen(open_page, digits):
    page = open_page(PROJECT, scheme="dark")
    background = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(background)
    page.get_by_role("button", name="light colours").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    light = page.evaluate(background)
    assert light != dark
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    assert page.evaluate(background) == light


def hover_until_told(page):
    """Points at the first chart until it says its values; it may be drawn anew under a pointer at rest."""
    chart, tip = page.locator("figure .u-over").first, page.locator(".tip").first
    for tenth in range(50):
        chart.hover(position={"x": 20 + tenth, "y": 20})
        if tip.is_visible():
            return
        page.wait_for_timeout(100)
    expect(tip).to_be_visible()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_text_wherever_it_stands(open_page, client, name):
    with te.init("acme", f"Digits {name[:200]}", name, name, client=client) as run:
        run.log(name, 1)
        run.log(name, 2)
        run.log(f"{name[:240]}/other", {name: name})
        run.log("list", [[name, 1], [2, 3]])
    with te.init("acme", f"Digits {name[:200]}", name, client=client) as second:
        second.log(name, 3)
    project = f"/acme/projects/{run.project.slug}/"
    compared = f"{project}compare/?run={run.uuid}&run={second.uuid}"
    for path in ("/", project, f"{project}runs/{run.uuid}/", compared):
        page = open_page(path)
        expect(page.locator("table").first).to_be_visible()
        assert page.locator("main script, main img, main svg, main iframe").count() == 0
    page = open_page(project)
    expect(page.locator("figure canvas").first).to_be_visible()
    hover_until_told(page)
    assert page.locator(".tip script, .tip img, .tip svg").count() == 0
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").first.click()
    assert not any(line.startswith("=") for line in download.value.path().read_text().split("\n"))
    assert page.locator("[aria-label=Runs] tbody th").count() == 2


def test_the_page_is_small_and_its_libraries_are_the_published_ones():
    folder = ROOT / "src" / "afnio_tellurio" / "local" / "page"
    sizes = {path.name: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    assert sum(sizes.values()) <= 120 * 1024
    assert sum(sizes.values()) - sizes["LICENSES.txt"] <= 120_000
    licences = (folder / "vendor" / "LICENSES.txt").read_text("utf-8")
    published = {
        "uPlot.iife.min.js": "uplot/dist/uPlot.iife.min.js",
        "preact.js": "htm/preact/standalone.module.js",
    }
    assert {path.name for path in (folder / "vendor").glob("*.js")} == set(published)
    for name, source in published.items():
        original = ROOT / ".cache" / "node" / "node_modules" / source
        assert (folder / "vendor" / name).read_bytes() == original.read_bytes(), name
        assert hashlib.sha256(original.read_bytes()).hexdigest() in licences
    wanted = json.loads((ROOT / "openapi" / "package.json").read_text())["dependencies"]
    for library in ("uplot", "htm"):
        assert f"{library} {wanted[library]}" in licences
