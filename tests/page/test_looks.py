"""The page works for everybody: any width, any theme, screen readers, any name."""

import hashlib
import itertools
import json
import math
import re
from pathlib import Path

import pytest
from browser_pages import HOSTILE, REVERSED, serious_barriers
from color_vision import OKLAB, VISIONS, linear, luminance, styles_of, times
from playwright.sync_api import expect

import afnio_tellurio as te
from afnio_tellurio.backend import site

ROOT = Path(__file__).parent.parent.parent
PROJECT = "/acme/projects/digits/"


@pytest.fixture
def open_view(open_digits, digits):
    """Opens a view, and waits until it is complete."""
    addresses = {
        "projects": "/",
        "project": PROJECT,
        "table": f"{PROJECT}?tab=table",
        "scatter": f"{PROJECT}?tab=explore&color=status",
        "parallel": f"{PROJECT}?tab=explore&plot=parallel",
        "empty": "/acme/projects/empty/",
        "nothing": "/acme/projects/nothing/",
        "nothing-selected": f"{PROJECT}?run=",
        "invalid": f"{PROJECT}?q=shade+%3D+red",
        "run": f"{PROJECT}runs/{digits.high}/",
        "comparison": f"{PROJECT}compare/?run={digits.low}&run={digits.middle}&run={digits.high}",
    }

    def start(view, **options):
        page = open_digits(addresses[view], **options)
        ready = {
            "project": "[aria-label=Runs] li",
            "scatter": "circle",
            "parallel": ".axis-head",
            "empty": "pre",
            "nothing": ".empty",
            "nothing-selected": ".empty",
            "invalid": "[aria-invalid=true]",
            "run": ".facts",
        }
        expect(page.locator(ready.get(view, "table")).first).to_be_visible()
        has_charts = view in {"project", "run", "comparison", "invalid"}
        expect(page.locator("figure canvas")).to_have_count(3 if has_charts else 0)
        return page

    return start


VIEWS = ["projects", "project", "table", "scatter", "parallel", "run", "comparison"]
STATES = ["empty", "nothing", "nothing-selected", "invalid"]


@pytest.mark.parametrize("view", VIEWS + STATES)
def test_no_serious_barrier_for_anybody(open_view, view):
    page = open_view(view)
    for scheme in ("Light", "Dark"):
        button = page.get_by_role("button", name=f"{scheme} mode")
        if button.count():
            button.click()
        expect(page.locator("html")).to_have_attribute("data-theme", scheme.lower())
        assert serious_barriers(page) == [], scheme


@pytest.mark.parametrize("view", VIEWS)
def test_nothing_runs_over_the_edge(open_view, view):
    page = open_view(view, width=3840)
    if view == "project":
        charts = page.locator(".main section").first.locator("figure")
        assert charts.nth(0).bounding_box()["y"] == charts.nth(1).bounding_box()["y"]
    for width in (3840, 1440, 1024, 768, 390, 360):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function(
            "(width) => document.documentElement.scrollWidth <= width"
            " && [...document.querySelectorAll('figure canvas')]"
            ".every((canvas) => canvas.clientWidth <= canvas.closest('figure').clientWidth)",
            arg=width,
        )


def test_the_theme_is_the_system_s_until_another_one_is_chosen(open_digits):
    page = open_digits(PROJECT, scheme="dark")
    background = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(background)
    page.get_by_role("button", name="Light mode").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    light = page.evaluate(background)
    assert light != dark
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    assert page.evaluate(background) == light


def test_a_name_is_text_everywhere(open_page, client):
    runs = []
    for name in HOSTILE:
        with te.init("acme", "Digits", name, name, client=client) as run:
            for metric in HOSTILE:
                run.log(metric, 1)
                run.log(metric, 2)
                run.log(f"{metric[:240]}/other", {metric: metric})
            run.log("list", [[name, 1], [2, 3]])
        runs.append(run.uuid)
        te.create_project("acme", f"Digits {name[:200]}", client=client)
    compared = "&".join(f"run={uuid}" for uuid in runs)
    for path in ("/", f"{PROJECT}runs/{runs[0]}/", f"{PROJECT}compare/?{compared}", PROJECT):
        page = open_page(path)
        if path == "/":
            expect(page.locator("table").first).to_be_visible()
        else:
            expect(page.locator("figure canvas").first).to_be_visible()
        assert (
            page.locator("main script, main img, main svg:not(.icon, .spark), main iframe").count()
            == 0
        )
    assert page.locator("[aria-label=Runs] a.name").all_text_contents() == HOSTILE[::-1]
    page.locator("figure .u-over").first.hover(position={"x": 20, "y": 20})
    tip = page.locator(".tip:visible")
    expect(tip).to_be_visible()
    expect(tip.locator("bdi")).to_have_count(len(HOSTILE))
    assert tip.locator("script, img, svg").count() == 0
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").first.press("Enter")
    assert not any(line.startswith("=") for line in download.value.path().read_text().split("\n"))


@pytest.mark.parametrize("name", ["open\u202e\u2066", "closed\u2069\u202e"])
def test_a_name_does_not_reverse_what_follows_it(open_page, client, name):
    with te.init("acme", "Digits", name, name, tags=[name, "other"], client=client) as run:
        run.log("list " + name, [[1]])
        run.log(name, 1)
        run.log(name, 2)
        run.log_rows(name, [{name: name}])
        te.init("acme", "Digits", f"child {name}", parent=run, client=client).finish()
    for path, words in (
        (f"{PROJECT}?tab=table", "th small"),
        (f"{PROJECT}runs/{run.uuid}/?tab=tables", "summary"),
        (f"{PROJECT}runs/{run.uuid}/?tab=media", "figcaption"),
    ):
        page = open_page(path)
        expect(page.locator(words, has_text=re.compile("last|1 row|list"))).to_be_visible()
        assert page.evaluate(REVERSED) == []


def test_the_first_charts_are_in_view_without_scrolling(open_view):
    page = open_view("project")
    page.set_viewport_size({"width": 1280, "height": 720})
    for chart in page.locator(".main section").first.locator("figure").all():
        box = chart.bounding_box()
        assert box["y"] + box["height"] <= 720
    runs = page.get_by_role("region", name="Runs").bounding_box()
    assert runs["x"] + runs["width"] <= page.locator("figure").first.bounding_box()["x"]


def test_what_stands_side_by_side_is_aligned(open_view):
    page = open_view("project")
    title = page.locator("h1").bounding_box()
    runs = page.get_by_placeholder("Search or filter (/)").bounding_box()
    charts = page.get_by_role("group", name="Charts", exact=True).bounding_box()
    assert runs["x"] == title["x"]
    assert runs["y"] == charts["y"]
    tabs = page.locator(".title .tab")
    places = [tab.bounding_box() for tab in tabs.all()]
    tabs.get_by_text("Table").click()
    expect(page.locator("thead")).to_be_visible()
    assert [tab.bounding_box() for tab in tabs.all()] == places
    # One of these heads sorts, the other one does not.
    lines = page.evaluate("""() => ["Duration", "Tags"].map((text) => {
        const range = document.createRange();
        const heads = [...document.querySelectorAll("thead th")];
        range.selectNodeContents(heads.find((head) => head.textContent.includes(text)));
        return range.getClientRects();
    }).map((rects) => rects[rects.length - 1].bottom)""")
    assert lines[0] == pytest.approx(lines[1], abs=0.6)


def test_on_a_phone_an_axis_is_chosen_in_one_line(open_view):
    page = open_view("scatter", width=360)
    for choice in page.locator(".axis-choice").all():
        assert choice.bounding_box()["height"] < 32
        for select in choice.locator("select").all():
            box = select.bounding_box()
            assert box["x"] + box["width"] <= 360


def test_on_a_phone_the_runs_are_folded_above_the_charts(open_view):
    page = open_view("project")
    page.set_viewport_size({"width": 390, "height": 800})
    expect(page.locator("[aria-label=Runs] li").first).to_be_hidden()
    assert page.locator("figure").first.bounding_box()["y"] < 450
    button = page.get_by_role("button", name="Runs 3 in charts")
    button.click()
    expect(button).to_have_attribute("aria-expanded", "true")
    expect(page.locator("[aria-label=Runs] li").first).to_be_visible()
    assert serious_barriers(page) == []


def test_on_a_phone_the_path_leaves_room_for_the_buttons(open_view):
    page = open_view("run", width=390)
    button = page.get_by_role("button", name="Dark mode").bounding_box()
    path = page.get_by_role("navigation", name="Path").bounding_box()
    assert button["y"] < path["y"] + 28
    assert path["x"] + path["width"] <= button["x"]


def test_the_head_of_a_section_with_a_long_name_is_in_one_piece(open_page, client):
    with te.init("acme", "Digits", client=client) as run:
        run.log(f"{'b' * 120}/loss", 1)
    page = open_page(PROJECT)
    head = page.locator("h2 button")
    parts = [head.locator(part).bounding_box() for part in (".fold-mark", "bdi", "small")]
    assert all(abs(part["y"] - parts[1]["y"]) < 10 for part in parts)
    assert parts[0]["x"] < parts[1]["x"] < parts[2]["x"]


def test_long_notes_stay_off_their_edge_and_leave_room_for_the_charts(open_page, client):
    notes = "\n".join(f"line {number}" for number in range(100))
    with te.init("acme", "Digits", notes=notes, client=client) as run:
        run.log("loss", 1)
    page = open_page(f"{PROJECT}runs/{run.uuid}/", height=720)
    box = page.get_by_role("region", name="Notes").bounding_box()
    text = page.get_by_role("region", name="Notes").locator("bdi").bounding_box()
    assert text["x"] >= box["x"] + 8
    assert text["y"] >= box["y"] + 4
    assert page.locator("figure").first.bounding_box()["y"] < 720


def test_a_long_name_is_shortened_before_its_end(open_page, client):
    name = "a_run_with_a_very_long_name_that_differs_at_the_end_seed_17"
    te.init("acme", "Digits", name, client=client).finish()
    page = open_page(PROJECT)
    link = page.get_by_role("link", name=name)
    expect(link).to_have_attribute("title", name)
    end = link.get_by_text("_seed_17").last.bounding_box()
    column = page.get_by_role("region", name="Runs").bounding_box()
    assert end["x"] + end["width"] <= column["x"] + column["width"]


def test_on_a_phone_the_projects_show_how_many_runs_crashed(open_page, client):
    for name in ("Digits", "A project with a very long name that does not fit"):
        run = te.init("acme", name, client=client)
        run.finish(status=te.RunStatus.CRASHED)
    page = open_page("/", width=360)
    for count in page.locator("[data-status=CRASHED]").all():
        box = count.bounding_box()
        assert box["x"] + box["width"] <= page.locator(".scroll").bounding_box()["width"]
    expect(page.locator("[data-status=CRASHED]")).to_have_count(2)


def test_a_long_name_of_a_run_leaves_a_comparison_within_the_page(open_page, client):
    uuids = []
    for number in range(2):
        with te.init("acme", "Digits", f"{'x' * 198}_{number}", client=client) as run:
            run.log("loss", number)
        uuids.append(run.uuid)
    page = open_page(f"{PROJECT}compare/?run={uuids[0]}&run={uuids[1]}")
    base = page.get_by_label("Compared with")
    expect(base).to_be_visible()
    # Its head has both ends of the name, and not only an ellipsis.
    head = page.locator(".compared thead th").first
    name = head.locator("a span").last.bounding_box()
    box = head.bounding_box()
    assert name["width"] > 20
    assert box["x"] < name["x"]
    assert name["x"] + name["width"] <= box["x"] + box["width"]
    for width in (1280, 768, 390, 360):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function(
            "(width) => document.documentElement.scrollWidth <= width", arg=width
        )
        box = base.bounding_box()
        assert box["x"] + box["width"] <= width
        # The label is on one line.
        assert page.locator("label", has=base).bounding_box()["height"] < 40


def test_on_a_phone_the_names_of_runs_leave_room_for_the_table(open_page, client):
    te.init("acme", "Digits", "x" * 200, client=client).finish()
    page = open_page(f"{PROJECT}?tab=table", width=390)
    status = page.locator("tbody .status")
    expect(status).to_be_visible()
    box = status.bounding_box()
    assert box["x"] + box["width"] <= 390


def test_the_choice_of_columns_fits_a_narrow_screen(open_view):
    page = open_view("table", width=360)
    page.get_by_text("Columns").click()
    panel = page.locator(".panel")
    expect(panel.locator("select").first).to_be_visible()
    for width in (360, 320, 480, 768):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function(
            "(width) => document.documentElement.scrollWidth <= width", arg=width
        )
        box = panel.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width


@pytest.mark.parametrize("path", ["?tab=table", "?tab=explore&plot=parallel", "run"])
def test_a_long_name_leaves_the_fields_of_a_menu_in_view(open_page, client, path):
    for number in range(2):
        config = {"c" * 150: number}
        with te.init("acme", "Digits", f"{'r' * 150}{number}", config=config, client=client) as run:
            run.log("layers/" * 14 + "loss", number)
    page = open_page(PROJECT + (f"runs/{run.uuid}/" if path == "run" else path))
    page.locator(".menu summary").click()
    fields = page.locator(".panel :is(input, select, button, a)")
    expect(fields.nth(1)).to_be_visible()
    for width in (1280, 768, 390, 320):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function(
            """() => {
                const panel = document.querySelector(".panel");
                const {left, right} = panel.getBoundingClientRect();
                return [...panel.querySelectorAll("input, select, button, a, bdi")].every((one) => {
                    const box = one.getBoundingClientRect();
                    return box.left >= left && box.right <= right;
                });
            }"""
        )
        assert page.locator(".panel").evaluate("one => one.scrollWidth <= one.clientWidth")


@pytest.mark.parametrize(
    ("view", "limit"),
    [
        ("projects", 65_000), ("project", 153_000), ("table", 83_000), ("scatter", 115_000),
        ("run", 155_000), ("comparison", 153_000),
    ],
)  # fmt: skip
def test_what_a_browser_loads_is_small(open_view, view, limit):
    page = open_view(view)
    urls = set()
    page.on("request", lambda request: urls.add(request.url))
    page.reload()
    expect(page.locator("figure canvas")).to_have_count(
        0 if view in {"projects", "table", "scatter"} else 3
    )
    expect(page.locator("a.name, table, circle, .facts").first).to_be_visible()
    files = [url for url in urls if "/api/" not in url]
    sizes = {url: len(page.context.request.get(url).body()) for url in files}
    names = {url.partition("?")[0].rpartition("/")[2] for url in sizes}
    assert names >= {"", "page.css", "page.js", "preact.js"}
    # What a view does not need is not loaded.
    parts = {
        "uPlot.iife.min.js", "curves.js", "saving.js", "table.js", "explore.js", "grouping.js", "bulk.js",
        "details.js", "editing.js", "files.js"
    }  # fmt: skip
    needed = {
        "projects": set(),
        "project": {"uPlot.iife.min.js", "curves.js"},
        "table": {"table.js"},
        "scatter": {"explore.js"},
        "run": {"uPlot.iife.min.js", "curves.js", "details.js"},
        "comparison": {"uPlot.iife.min.js", "curves.js"},
    }
    assert names & parts == needed[view]
    assert sum(sizes.values()) <= limit, sizes


@pytest.mark.parametrize(
    ("view", "name", "limit"),
    [
        ("runs/stored/?tab=files", "files.js", 96_000),
        ("artifacts/model/v0/", "artifacts.js", 155_000),
    ],
)
def test_what_a_browser_loads_for_files_is_small(open_page, client, view, name, limit):
    with te.init("acme", "Digits", "stored", client=client) as run:
        run.log_artifact(b"x", "model", wait=True)
    page = open_page(PROJECT)
    urls = set()
    page.on("request", lambda request: urls.add(request.url))
    page.reload()
    expect(page.locator("figure canvas").or_(page.get_by_text("No numeric"))).to_be_visible()
    modules = ("/files.js", "/artifacts.js", "/previews.js", "/differences.js", "/details.js")
    assert {"page.js"} <= {url.rpartition("/")[2] for url in urls}
    assert not [url for url in urls if url.endswith(modules)]
    urls.clear()
    page.goto(page.url + view)
    expect(page.locator(".files li")).to_be_visible()
    files = [url for url in urls if "/api/" not in url]
    names = {url.rpartition("/")[2] for url in files}
    assert name in names
    # Nothing is opened.
    assert not names & {"differences.js", "parquet.js", "decoding.js", "fzstd.js"}
    sizes = {url: len(page.context.request.get(url).body()) for url in files}
    assert sum(sizes.values()) <= limit, sizes


def test_the_libraries_are_the_published_ones():
    folder = Path(site.__file__).parent / "page"
    licenses = (folder / "vendor" / "LICENSES.txt").read_text("utf-8")
    published = {
        "uPlot.iife.min.js": "uplot/dist/uPlot.iife.min.js",
        "preact.js": "htm/preact/standalone.module.js",
        "fzstd.js": "fzstd/esm/index.mjs",
    }
    scripts = {path.relative_to(folder / "vendor") for path in (folder / "vendor").rglob("*.js")}
    names = {path.as_posix() for path in scripts}
    published |= {name: f"hyparquet/src/{name[10:]}" for name in names if "hyparquet/" in name}
    assert names == set(published)
    for name, source in published.items():
        original = ROOT / ".cache" / "node" / "node_modules" / source
        assert (folder / "vendor" / name).read_bytes() == original.read_bytes(), name
        assert hashlib.sha256(original.read_bytes()).hexdigest() in licenses
    wanted = json.loads((ROOT / "openapi" / "package.json").read_text())["dependencies"]
    for library in ("uplot", "htm", "fzstd", "hyparquet"):
        assert f"{library} {wanted[library]}" in licenses


@pytest.mark.parametrize("theme", [0, 1])
def test_the_colors_of_lines_differ_for_any_color_vision(theme):
    styles = styles_of("page.css")
    start = re.split(r"--line-0:", styles)[theme + 1]
    lines = re.findall("#[0-9a-f]{6}", start)[:8]
    card = re.findall("--card: (#[0-9a-f]{3,6})", styles)[theme].ljust(7, "f")
    for vision in VISIONS:
        seen = []
        for line in lines:
            light = [min(1, max(0, part)) for part in times(vision, linear(line))]
            seen.append(times(OKLAB[1], [part ** (1 / 3) for part in times(OKLAB[0], light)]))
        distances = [math.dist(a, b) for a, b in itertools.combinations(seen, 2)]
        assert min(distances) > 0.1
    # As WCAG requires of graphics.
    for line in lines:
        dark, bright = sorted([luminance(line), luminance(card)])
        assert (bright + 0.05) / (dark + 0.05) >= 3
