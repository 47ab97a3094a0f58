"""The artifacts of a project, in a real browser."""

import re

import pytest
from browser_pages import Requests, eventually, serious_barriers
from playwright.sync_api import expect

import afnio_tellurio as te

PROJECT = "/acme/projects/digits/"
HOSTILE = "<img src=x onerror=alert(1)>\u202e"


def begin(client, name="training"):
    return te.init("acme", "Digits", name, client=client)


def log(run, files, name="model", **fields):
    """Logs an artifact with these files: path -> bytes."""
    artifact = te.Artifact(name, fields.pop("type", "model"), **fields)
    for path, data in files.items():
        artifact.add_bytes(data, path)
    return run.log_artifact(artifact, wait=True)


def rows(page, label):
    return page.get_by_role("region", name=label).locator("tbody tr")


def item(page, path):
    """A file of a version."""
    return page.locator(".files li").filter(has=page.locator("summary", has_text=path))


def open_file(page, path):
    item(page, path).locator("summary").click()
    return item(page, path)


def open_version(open_page, name="model", version="v0", **options):
    page = open_page(f"{PROJECT}artifacts/{name}/{version}/", **options)
    expect(page.locator("h1")).to_contain_text(f"{name}:")
    return page


def test_the_way_from_a_project_to_a_version(open_page, client):
    with begin(client) as run:
        log(run, {"a": b"one"})
        log(run, {"a": b"other"}).alias("best")
        log(run, {"rows": b"1"}, "data", type="dataset")
    page = open_page(PROJECT)
    tabs = page.get_by_role("navigation", name="Project").get_by_role("link")
    expect(tabs).to_have_text(["Charts", "Table", "Explore", "Artifacts"])
    expect(tabs.first).to_have_attribute("aria-current", "page")
    tabs.last.click()
    expect(page).to_have_url(re.compile(f"{PROJECT}artifacts/$"))
    expect(page).to_have_title("Artifacts, Digits · Tellurio")
    expect(page.locator("h2")).to_have_text(["dataset", "model"])
    cells = rows(page, "Artifacts of type model").locator("th, td")
    expect(cells.nth(0)).to_have_text("model")
    expect(cells.nth(1)).to_have_text("model:v1")
    expect(cells.nth(2)).to_have_text("2")
    expect(cells.nth(3)).to_have_text("8 B")
    cells.nth(0).get_by_role("link").click()
    versions = rows(page, "Versions")
    expect(versions.locator("th")).to_have_text(["v1", "v0"])
    expect(versions.first.locator(".tag")).to_have_text(["best", "latest"])
    expect(versions.last.locator(".tag")).to_have_count(0)
    expect(versions.first.locator("td").last).to_have_text("training")
    versions.last.get_by_role("link", name="v0").click()
    expect(page.locator("h1")).to_have_text("model:v0")
    expect(page.locator(".files summary")).to_have_text("a 3 B")
    page.locator("header").get_by_role("link", name="model").click()
    expect(versions).to_have_count(2)


def test_a_project_without_artifacts_tells_how_to_log_one(open_page, client):
    begin(client).finish()
    page = open_page(f"{PROJECT}artifacts/")
    expect(page.locator("pre")).to_contain_text("log_artifact")


def test_a_version_that_is_not_there_is_an_error(open_page, client):
    with begin(client) as run:
        log(run, {"a": b"one"})
    page = open_page(f"{PROJECT}artifacts/model/v7/")
    expect(page.locator("main [role=alert]")).to_contain_text("v7")


def test_an_address_can_have_an_alias_and_follows_it(open_page, client):
    run = begin(client)
    log(run, {"a": b"one"}, metadata={"epoch": 3}, description="the first").alias("best")
    page = open_version(open_page, version="best")
    expect(page.locator("h1")).to_have_text("model:v0")
    expect(page.locator("main")).to_contain_text("the first")
    expect(page.get_by_role("region", name="Metadata")).to_have_text("epoch3")
    log(run, {"a": b"other!"}).alias("best")
    run.flush()
    eventually(page, expect(page.locator("h1")).to_have_text, "model:v1")
    expect(page.locator(".files summary")).to_have_text("a 6 B")
    run.finish()


def test_files_are_shown_once_they_are_opened(open_page, client):
    files = {
        "config.json": b'{"layers": 2}',
        "notes.md": b"# One\n\n<b>two</b>",
        "rows.csv": b'name,text\n"a, ""b""","two\nlines"\nlast,\n',
        "rows.npy": b"PAR1",
        "weights.pt": b"\x80\x04",
        "page.html": b"<script>document.write('it ran')</script>",
    }
    with begin(client) as run:
        log(run, files)
    page = open_version(open_page)
    expect(page.locator(".files summary")).to_have_count(6)
    assert Requests(page, "/file/").all() == []
    expect(open_file(page, "config.json").locator("pre")).to_have_text('{"layers": 2}')
    assert len(Requests(page, "/file/").all()) == 1
    expect(open_file(page, "notes.md").locator("pre")).to_contain_text("<b>two</b>")
    table = open_file(page, "rows.csv").locator("table")
    expect(table.locator("thead th")).to_have_text(["name", "text"])
    assert table.locator("td").all_text_contents() == ['a, "b"', "two\nlines", "last", ""]
    array = open_file(page, "rows.npy")
    expect(array).to_contain_text("4 B")
    expect(array).to_contain_text("No preview of this type.")
    expect(array.get_by_role("button", name="Download rows.npy")).to_be_visible()
    expect(open_file(page, "weights.pt")).to_contain_text("can run code")
    frame = open_file(page, "page.html").frame_locator("iframe")
    expect(frame.locator("body")).to_contain_text("it ran")


def test_the_page_decides_what_a_file_is(open_page, client):
    with begin(client) as run:
        log(run, {"notes.txt": b"plain", "picture.png": b"<svg></svg>"})
    page = open_version(open_page)
    for content_type in ("text/html", "image/svg+xml"):
        page.route(
            re.compile("/file/"),
            lambda route, kind=content_type: route.fulfill(
                body="<svg id='bad'></svg>", content_type=kind
            ),
        )
        page.reload()
        expect(open_file(page, "notes.txt").locator("pre")).to_have_text("<svg id='bad'></svg>")
        expect(open_file(page, "picture.png")).to_contain_text("cannot be shown")
        assert page.locator(".files svg, main iframe").count() == 0


def test_large_files_are_shown_in_part(open_page, client):
    table = "number,twice\n" + "".join(f"{number},{2 * number}\n" for number in range(100_000))
    files = {"long.txt": "ä".encode() * 200_000, "long.csv": table.encode()}
    files["short.csv"] = b"number\n" + b"1\n" * 201
    with begin(client) as run:
        log(run, files)
    page = open_version(open_page)
    text = open_file(page, "long.txt")
    expect(text).to_contain_text("Only the first 256 kB are shown.")
    assert text.locator("pre").text_content() == "ä" * 128_000
    for name in ("long.csv", "short.csv"):
        part = open_file(page, name)
        expect(part).to_contain_text("Only the first 200 rows are shown.")
        expect(part.locator("tbody tr")).to_have_count(200)
    sizes = [request["size"] for request in page.evaluate("asked") if "/file/" in request["url"]]
    assert sorted(sizes) == [len(files["short.csv"]), 256_000, 256_000]


def test_some_of_many_files_are_listed_and_found(open_page, client):
    with begin(client) as run:
        log(run, {f"part-{number:04}": b"x" for number in range(1001)})
    page = open_version(open_page)
    expect(page.locator(".files li")).to_have_count(1000)
    expect(page.get_by_text("Only the first 1,000 files are shown.")).to_be_visible()
    page.get_by_role("searchbox", name="Path starts with").fill("part-100")
    expect(page.locator(".files summary")).to_have_text(["part-1000 1 B"])


def test_a_reference_is_text(open_page, client):
    artifact = te.Artifact("data", "dataset")
    artifact.add_reference("s3://acme/reviews.csv", size=8_000_000_000)
    with begin(client) as run:
        run.log_artifact(artifact, wait=True)
    page = open_version(open_page, "data")
    shown = open_file(page, "reviews.csv")
    expect(shown).to_contain_text("s3://acme/reviews.csv")
    expect(shown.locator("summary")).to_contain_text("8 GB")
    assert Requests(page, "/file/").all() == []
    expect(shown.locator("a, button")).to_have_count(0)


def stage(page, label):
    """The nodes of a stage of the lineage."""
    return page.get_by_role("list", name=label).get_by_role("listitem")


def stages(page):
    """The texts of the lineage by the labels of its stages."""
    expect(page.locator(".lineage")).to_be_visible()
    read = (
        "all => all.map(one => [one.querySelector('h3').textContent,"
        " [...one.querySelectorAll('li')].map(node => node.textContent)])"
    )
    return dict(page.locator(".stage").evaluate_all(read))


def test_the_lineage_links_runs_and_their_other_artifacts(open_page, client):
    with begin(client, "preparing") as run:
        log(run, {"rows": b"1"}, "data", type="dataset")
    with begin(client, "training") as run:
        run.use_artifact("data")
        log(run, {"a": b"one"})
    with begin(client, "evaluation") as run:
        run.use_artifact("model")
        log(run, {"r": b"good"}, "report", type="text")
    page = open_version(open_page)
    assert stages(page) == {
        "From": ["data:v0"],
        "Created by": ["training"],
        "This version": ["model:v0"],
        "Used by": ["evaluation"],
        "To create": ["report:v0"],
    }
    assert stage(page, "This version").get_by_role("link").count() == 0
    expect(stage(page, "Used by").get_by_role("link")).to_have_attribute(
        "href", f"{PROJECT}runs/{run.uuid}/"
    )
    # Without a pointer, in the order in which it happened.
    stage(page, "From").get_by_role("link").focus()
    for _ in range(3):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("report:v0")
    expect(stage(page, "From")).to_have_text(["model:v0"])
    assert stages(page) == {
        "From": ["model:v0"],
        "Created by": ["evaluation"],
        "This version": ["report:v0"],
    }


def ends_of_edges(page):
    """Where each line of the lineage starts and ends, and the nodes that are there."""
    return page.evaluate("""() => {
        const nodeAt = (x, y) => document.elementFromPoint(x, y)?.closest('li')?.textContent;
        return [...document.querySelectorAll('.edges')].flatMap(svg => {
            const box = svg.getBoundingClientRect();
            const height = svg.viewBox.baseVal.height;
            const lines = svg.firstChild.getAttribute('d').split('M').slice(1);
            return lines.map(line => {
                const from = Number(line.split(/[ C]/)[1]);
                const to = Number(line.split(' ').at(-1));
                const y = part => box.top + (part / height) * box.height;
                return [nodeAt(box.left - 4, y(from)), nodeAt(box.right + 4, y(to))];
            });
        });
    }""")


def test_lines_lead_from_node_to_node(open_page, client):
    with begin(client, "preparing") as run:
        for name in ("one", "two", "three"):
            log(run, {"rows": name.encode()}, name, type="dataset")
    with begin(client, "training") as run:
        for name in ("one", "two", "three"):
            run.use_artifact(name)
        log(run, {"a": b"one"})
    for name in ("first", "second"):
        with begin(client, name) as run:
            run.use_artifact("model")
            log(run, {"r": b"the same"}, "report", type="text")
    page = open_version(open_page)
    expect(page.locator(".stage")).to_have_count(5)
    assert sorted(ends_of_edges(page)) == sorted(
        [
            *[[f"{name}:v0", "training"] for name in ("one", "two", "three")],
            ["training", "model:v0"],
            ["model:v0", "first"],
            ["model:v0", "second"],
            ["first", "report:v0"],
            ["second", "report:v0"],
        ]
    )


def test_many_runs_and_artifacts_are_bounded(open_page, client):
    with begin(client, "preparing") as run:
        for number in range(12):
            log(run, {"rows": f"{number}".encode()}, f"data-{number:02}", type="dataset")
    with begin(client, "training") as run:
        for number in range(12):
            run.use_artifact(f"data-{number:02}")
        log(run, {"a": b"one"})
    for number in range(10):
        with begin(client, f"use-{number}") as run:
            run.use_artifact("model")
            log(run, {"r": f"{number}".encode()}, f"report-{number}", type="text")
    page = open_version(open_page)
    shown = stages(page)
    assert shown["From"] == [*(f"data-{number:02}:v0" for number in range(8)), "and 4 more"]
    assert shown["Used by"] == [*(f"use-{number}" for number in range(8)), "and 2 more"]
    assert shown["To create"] == ["report-0:v0", "report-1:v0"]
    assert len(Requests(page, "/artifacts/?direction").all()) == 3
    page.get_by_role("button", name="Load the artifacts of 6 more runs").click()
    expect(stage(page, "To create")).to_have_text([f"report-{number}:v0" for number in range(8)])
    expect(page.get_by_role("button", name="more runs")).to_have_count(0)


def test_the_lineage_is_loaded_once_it_is_in_view(open_page, client):
    with begin(client) as run:
        log(run, {"a": b"1"}, metadata={f"key {n}": n for n in range(8)}, description="x\n" * 200)
    page = open_version(open_page)
    expect(page.locator(".files summary")).to_have_count(1)
    assert Requests(page, "/v0/runs/").all() == []
    page.get_by_role("heading", name="Lineage").scroll_into_view_if_needed()
    expect(stage(page, "Created by")).to_have_text(["training"])


def test_what_is_deleted_is_no_link(open_page, client):
    with begin(client, "training") as run:
        version = log(run, {"a": b"one"})
    with begin(client, "evaluation") as other:
        other.use_artifact(version)
        log(other, {"r": b"good"}, "report", type="text").delete(force=True)
    te.delete_run("acme", "digits", run.uuid, client=client)
    page = open_version(open_page)
    assert stages(page) == {
        "This version": ["model:v0"],
        "Used by": ["evaluation"],
    }
    expect(page.locator(".lineage a")).to_have_text(["evaluation"])
    # It is deleted between two answers.
    page.route(
        re.compile("/artifacts/.direction"),
        lambda route: route.fulfill(status=404, json={"detail": "Not found."}),
    )
    page.reload()
    expect(stage(page, "Used by")).to_have_text(["evaluation"])
    expect(page.locator(".lineage a")).to_have_count(0)


def test_a_long_name_keeps_its_end(open_page, client):
    name = f"start-{'x' * 100}-end"
    with begin(client, name) as run:
        log(run, {"a": b"one"})
    with begin(client, "מודל" * 20) as run:
        run.use_artifact("model")
    page = open_version(open_page)
    node = stage(page, "Created by").get_by_role("link", name=name)
    expect(node).to_have_attribute("title", name)
    start, end = node.locator("span").all()
    expect(end).to_have_text("xxxx-end")
    assert start.evaluate("part => part.scrollWidth > part.clientWidth")
    assert node.evaluate("link => link.scrollWidth <= link.clientWidth")
    # A name from right to left ends at the left.
    start, end = stage(page, "Used by").locator("span").all()
    assert end.bounding_box()["x"] < start.bounding_box()["x"]


def test_what_changed_between_two_versions(open_page, client):
    numbers = [f"line {number}" for number in range(40)]
    changed = [*numbers[:20], "new", *numbers[21:]]
    with begin(client) as run:
        log(run, {"prompt.txt": "\n".join(numbers).encode(), "same": b"1"})
        log(run, {"prompt.txt": "\n".join(changed).encode(), "same": b"1", "added": b"2"})
    page = open_version(open_page, version="v1")
    shown = open_file(page, "prompt.txt")
    shown.get_by_label("Changes since").select_option("v0")
    lines = shown.locator(".diff > *")
    expect(lines).to_have_text(
        ["… 17 equal lines", "line 17", "line 18", "line 19", "- line 20", "+ new", "line 21",
         "line 22", "line 23", "… 16 equal lines"]
    )  # fmt: skip
    for path, words in (("same", "The file is the same in v0."), ("added", "does not have")):
        shown = open_file(page, path)
        shown.get_by_label("Changes since").select_option("v0")
        expect(shown.get_by_role("status")).to_contain_text(words)


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        ("a\nb\nc", "b\nc\nd", ["- a", "b", "c", "+ d"]),
        ("a\nx\nb\ny", "a\nb", ["a", "- x", "b", "- y"]),
        ("", HOSTILE, ["-", f"+ {HOSTILE}"]),
    ],
)
def test_few_lines_are_said_to_be_changed(open_page, client, before, after, lines):
    with begin(client) as run:
        log(run, {"prompt.txt": before.encode()})
        log(run, {"prompt.txt": after.encode()})
    page = open_version(open_page, version="v1")
    shown = open_file(page, "prompt.txt")
    shown.get_by_label("Changes since").select_option("v0")
    expect(shown.locator(".diff > *")).to_have_text(lines)
    assert page.locator("main img").count() == 0


def test_files_with_too_many_changes_are_still_compared(open_page, client):
    with begin(client) as run:
        for word in ("old", "new"):
            log(run, {"a.txt": "\n".join(f"{word} {n}" for n in range(3000)).encode()})
        log(run, {"a.txt": b"x" * 256_001})
    page = open_version(open_page, version="v1")
    shown = open_file(page, "a.txt")
    shown.get_by_label("Changes since").select_option("v0")
    expect(shown.locator(".diff del")).to_have_count(3000)
    expect(shown.locator(".diff ins")).to_have_count(3000)
    shown.get_by_label("Changes since").select_option("v2")
    expect(shown.get_by_role("status")).to_have_text("The files are too large to compare.")


def test_what_users_wrote_is_text(open_page, client):
    with begin(client, HOSTILE) as run:
        files = {"rows.csv": f"{HOSTILE},b\n{HOSTILE},c\n".encode()}
        log(run, files, type=HOSTILE, description=HOSTILE, metadata={HOSTILE: HOSTILE})
    for path in ("", "model/", "model/v0/"):
        page = open_page(f"{PROJECT}artifacts/{path}")
        expect(page.locator("main bdi", has_text=HOSTILE).first).to_be_visible()
        if path == "model/v0/":
            expect(stage(page, "Created by").locator("a")).to_have_text(HOSTILE)
            shown = open_file(page, "rows.csv")
            expect(shown.locator("th, td")).to_have_text([HOSTILE, "b", HOSTILE, "c"])
        assert page.locator("main script, main img, main svg:not(.edges), main iframe").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_artifacts_are_for_everybody_and_any_width(open_page, client, scheme):
    with begin(client, "r" * 200) as run:
        log(run, {"long/" + "x" * 200: b"1", "prompt.txt": b"a\n" + b"y" * 500}, "m" * 100)
        aliases = [f"{letter * 60}" for letter in "abc"]
        files = {"long/" + "x" * 200: b"1", "prompt.txt": b"b\n" + b"y" * 500, "t.csv": b"a\n1"}
        log(run, files, "m" * 100, metadata={"k" * 100: 1}).alias(*aliases)
    for path in ("", "m" * 100 + "/", "m" * 100 + "/v1/"):
        page = open_page(f"{PROJECT}artifacts/{path}", scheme=scheme, width=1280)
        expect(page.locator("main a").last).to_be_visible()
        if "v1" in path:
            expect(page.locator(".lineage")).to_be_visible()
            open_file(page, "t.csv")
            shown = open_file(page, "prompt.txt")
            shown.get_by_label("Changes since").select_option("v0")
            expect(shown.locator(".diff ins")).to_be_visible()
        assert serious_barriers(page) == []
        for width in (1280, 360):
            page.set_viewport_size({"width": width, "height": 900})
            page.wait_for_function(
                "(width) => document.documentElement.scrollWidth <= width", arg=width
            )


def test_a_file_opens_with_the_keyboard(open_page, client):
    with begin(client) as run:
        log(run, {"notes.txt": b"here"})
    page = open_version(open_page)
    page.get_by_role("button", name="Download notes.txt").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".files pre")).to_have_text("here")
