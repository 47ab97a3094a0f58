"""Changes of many runs at once, in a real browser."""

import re

import pytest
from awaiting_events import wait_until
from browser_pages import HOSTILE, REVERSED, eventually, serious_barriers
from playwright.sync_api import expect

import afnio_tellurio as te

PROJECT = "/acme/projects/digits/"
TABLE = f"{PROJECT}?tab=table"
NAMES = "tbody a.name"


@pytest.fixture
def some(client):
    """Five finished runs, `r0` to `r4`; the first one has tags."""
    runs = {}
    for number in range(5):
        tags = ["old", "kept"] if number == 0 else []
        runs[f"r{number}"] = te.init("acme", "Digits", f"r{number}", tags=tags, client=client)
        runs[f"r{number}"].finish()
    return runs


@pytest.fixture
def editing(open_page, some):
    """The table in its mode that changes runs, and the changes that it has asked for."""
    page = open_page(TABLE)
    page.get_by_role("button", name="Edit").click()
    expect(page.get_by_text("0 runs selected")).to_be_visible()
    asked = []
    page.on(
        "request",
        lambda request: request.method == "GET" or asked.append((request.method, request.url)),
    )
    return page, asked


def tags_of(client, name):
    return sorted(te.get_run("acme", "digits", name, client=client).tags)


def select(page, *names):
    for name in names:
        page.get_by_label(f"Select {name}", exact=True).check()


def names_of(client):
    return sorted(run.name for run in te.runs("acme", "digits", client=client))


def test_selected_runs_get_and_lose_tags(editing, client):
    page, _ = editing
    select(page, "r0", "r1")
    page.get_by_label("Tags, separated by commas").fill("old, <b>new</b>")
    page.get_by_role("button", name="Add tag").click()
    expect(page.get_by_text("2 runs tagged.")).to_be_visible()
    expect(page.get_by_text("0 runs selected")).to_be_visible()
    assert tags_of(client, "r0") == ["<b>new</b>", "kept", "old"]
    assert tags_of(client, "r1") == ["<b>new</b>", "old"]
    assert tags_of(client, "r2") == []
    eventually(page, expect(page.locator("tr .tag", has_text="<b>new</b>")).to_have_count, 2)
    select(page, "r0", "r2")
    page.get_by_label("Tags, separated by commas").fill("old")
    page.get_by_role("button", name="Remove tag").click()
    expect(page.get_by_text("2 runs without the tag.")).to_be_visible()
    assert tags_of(client, "r0") == ["<b>new</b>", "kept"]
    assert tags_of(client, "r1") == ["<b>new</b>", "old"]


def test_all_runs_of_a_filter_are_selected_and_no_others(editing, client):
    page, asked = editing
    select(page, "r4")
    page.get_by_role("searchbox", name="Search or filter runs").fill("r1")
    # What the filter hides is not changed.
    expect(page.get_by_text("0 runs selected")).to_be_visible()
    page.get_by_label("Select all 1 run").check()
    page.get_by_label("Tags, separated by commas").fill("one")
    page.get_by_role("button", name="Add tag").click()
    expect(page.get_by_text("1 run tagged.")).to_be_visible()
    assert [tags_of(client, f"r{number}") for number in (1, 4)] == [["one"], []]
    assert len(asked) == 1
    page.get_by_role("searchbox", name="Search or filter runs").fill("")
    every = page.get_by_label("Select all 5 runs")
    select(page, "r4")
    expect(every).not_to_be_checked()
    assert every.evaluate("one => one.indeterminate")
    every.check()
    expect(page.get_by_text("5 runs selected")).to_be_visible()
    every.uncheck()
    expect(page.get_by_text("0 runs selected")).to_be_visible()


def test_deleting_asks_first_and_can_be_undone(editing, client):
    page, asked = editing
    te.init("acme", "Digits", "live", client=client)
    eventually(page, expect(page.locator(NAMES)).to_have_count, 6)
    select(page, "r1", "r3", "live")
    page.get_by_role("button", name="Delete…").click()
    dialog = page.get_by_role("dialog", name="Delete 3 runs?")
    expect(dialog).to_contain_text("1 of them is still running.")
    assert serious_barriers(page) == []
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_be_hidden()
    assert asked == []
    page.get_by_label("Select live", exact=True).uncheck()
    page.get_by_role("button", name="Delete…").click()
    page.get_by_role("button", name="Delete 2 runs").click()
    expect(page.get_by_text("2 runs moved to the trash.")).to_be_visible()
    # At once, and not with the next list.
    expect(page.locator(NAMES)).to_have_text(["live", "r4", "r2", "r0"])
    assert names_of(client) == ["live", "r0", "r2", "r4"]
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("2 runs restored.")).to_be_visible()
    assert names_of(client) == ["live", "r0", "r1", "r2", "r3", "r4"]
    eventually(page, expect(page.locator(NAMES)).to_have_count, 6)


def test_a_double_click_does_nothing_twice(editing, client):
    page, asked = editing
    select(page, "r1", "r2")
    page.get_by_label("Tags, separated by commas").fill("once")
    page.get_by_role("button", name="Add tag").evaluate("one => { one.click(); one.click() }")
    expect(page.get_by_text("2 runs tagged.")).to_be_visible()
    assert len(asked) == 2
    select(page, "r1", "r2")
    page.get_by_role("button", name="Delete…").dblclick()
    page.get_by_role("button", name="Delete 2 runs").evaluate("one => { one.click(); one.click() }")
    expect(page.get_by_text("2 runs moved to the trash.")).to_be_visible()
    page.get_by_role("button", name="Undo").evaluate("one => { one.click(); one.click() }")
    expect(page.get_by_text("2 runs restored.")).to_be_visible()
    assert [method for method, _ in asked[2:]] == ["DELETE"] * 2 + ["POST"] * 2


def test_what_fails_is_named_and_stays_selected(editing, some, client):
    page, _ = editing
    page.route(
        f"**/runs/{some['r2'].uuid}/",
        lambda route: route.fulfill(status=500, json={"detail": "The disk is full."}),
    )
    page.get_by_label("Select all 5 runs").check()
    page.get_by_label("Tags, separated by commas").fill("new")
    page.get_by_role("button", name="Add tag").click()
    expect(page.get_by_text("4 runs tagged.")).to_be_visible()
    expect(page.locator(".work [role=alert]")).to_have_text(
        re.compile(
            r"1 run failed: r2 \(The disk is full\.\)\.\s+What is not done is still selected\."
        )
    )
    expect(page.get_by_text("1 run selected")).to_be_visible()
    page.unroute_all()
    page.get_by_role("button", name="Add tag").click()
    expect(page.get_by_text("1 run tagged.")).to_be_visible()
    expect(page.locator(".work [role=alert]")).to_have_count(0)
    assert tags_of(client, "r2") == ["new"]


def test_a_server_that_is_gone_ends_the_work(editing):
    page, asked = editing
    page.route(
        "**/api/**",
        lambda route: route.abort() if route.request.method != "GET" else route.fallback(),
    )
    page.get_by_label("Select all 5 runs").check()
    page.get_by_label("Tags, separated by commas").fill("new")
    page.get_by_role("button", name="Add tag").click()
    expect(page.locator(".work [role=alert]")).to_contain_text("4 runs failed")
    expect(page.locator(".work [role=alert]")).to_contain_text("Stopped before 1 run.")
    expect(page.get_by_text("5 runs selected")).to_be_visible()
    assert len(asked) == 4


def test_the_work_shows_how_far_it_is_and_can_be_stopped(editing):
    page, asked = editing
    held = []

    def hold(route):
        held.append(route)

    page.route("**/runs/*/", hold)
    page.get_by_label("Select all 5 runs").check()
    page.get_by_label("Tags, separated by commas").fill("new")
    with page.expect_request("**/runs/*/"):
        page.get_by_role("button", name="Add tag").click()
    expect(page.get_by_text("0 of 5")).to_be_visible()
    expect(page.get_by_role("button", name="Add tag")).to_be_disabled()
    assert serious_barriers(page) == []
    page.get_by_role("button", name="Stop").click()
    page.wait_for_function(
        "() => asked.filter(({ url }) => /runs\\/[^/]+\\/$/.test(url)).length === 4"
    )
    for route in held:
        route.continue_()
    expect(page.get_by_text("4 runs tagged.")).to_be_visible()
    expect(page.get_by_text("Stopped before 1 run.")).to_be_visible()
    expect(page.get_by_text("1 run selected")).to_be_visible()
    assert len(asked) == 4


def test_deleted_runs_are_listed_and_restored(editing, client):
    page, _ = editing
    te.init("acme", "Other", "elsewhere", client=client).finish()
    for project, name in [("digits", "r1"), ("digits", "r2"), ("other", "elsewhere")]:
        te.delete_run("acme", project, name, client=client)
    page.get_by_role("link", name="Trash").click()
    expect(page.locator("tbody th")).to_have_text(["r2", "r1"])
    assert serious_barriers(page) == []
    page.reload()
    page.get_by_label("Select all deleted runs").check()
    page.get_by_label("Select r2", exact=True).uncheck()
    page.get_by_role("button", name="Restore").click()
    expect(page.get_by_text("1 run restored.")).to_be_visible()
    expect(page.locator("tbody th")).to_have_text(["r2"])
    assert names_of(client) == ["r0", "r1", "r3", "r4"]
    page.get_by_role("link", name="Back to the table").click()
    expect(page.locator(NAMES)).to_have_text(["r4", "r3", "r1", "r0"])


def test_work_goes_on_and_shows_its_result_when_its_view_is_left(editing, open_page, client):
    page, _ = editing
    for name in ("r1", "r2", "r3"):
        te.delete_run("acme", "digits", name, client=client)
    page.get_by_role("link", name="Trash").click()
    held = []

    def hold(route):
        held.append(route)

    page.route("**/restore/", hold)
    page.get_by_label("Select all deleted runs").check()
    with page.expect_request("**/restore/"):
        page.get_by_role("button", name="Restore").click()
    progress = page.get_by_role("region", name="Progress")
    for leave in ("Back to the table", "Tellurio"):
        page.get_by_role("link", name=leave).click()
        expect(page.locator("tbody th").first).to_be_visible()
        expect(progress).to_contain_text("0 of 3")
    page.go_back()
    # One change at a time.
    page.get_by_role("button", name="Edit").click()
    page.get_by_label("Select r0", exact=True).check()
    expect(page.get_by_role("button", name="Delete…")).to_be_disabled()
    wait_until(lambda: page.evaluate("true") and len(held) == 3)
    # Closing the page would stop it: a dialog asks, and the test answers no.
    page.evaluate("location.reload()")
    assert open_page.take_messages() == ["dialog: "]
    stop = progress.get_by_role("button", name="Stop")
    stop.focus()
    held.pop().fulfill(status=500, json={"detail": "The disk is full."})
    expect(progress).to_contain_text("1 of 3")
    expect(stop).to_be_focused()
    for route in held:
        route.continue_()
    expect(progress).to_contain_text("2 runs restored.")
    expect(progress).to_contain_text("1 run failed")
    # The trash that had them selected is left.
    expect(progress).not_to_contain_text("still selected")
    expect(page.get_by_role("button", name="Delete…")).to_be_enabled()
    assert serious_barriers(page) == []
    progress.get_by_role("button", name="Close").click()
    expect(progress).to_have_count(0)
    assert len(names_of(client)) == 4


def test_when_all_runs_are_deleted_no_old_counts_are_shown(editing, client):
    page, _ = editing
    expect(page.locator(".title")).to_contain_text("5 runs")
    held = []

    def hold(route):
        held.append(route)

    page.get_by_label("Select all 5 runs").check()
    page.get_by_role("button", name="Delete…").click()
    page.route("**/runs/?*", hold)
    page.get_by_role("button", name="Delete 5 runs").click()
    # Before the next list.
    expect(page.get_by_text("No runs yet")).to_be_visible()
    expect(page.locator(".title")).not_to_contain_text("5 runs")
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("5 runs restored.")).to_be_visible()
    for route in held:
        route.continue_()
    page.unroute_all()
    eventually(page, expect(page.locator(NAMES)).to_have_count, 5)
    assert len(names_of(client)) == 5


def test_the_head_of_the_artifacts_counts_the_runs_that_there_are(open_page, some, client):
    page = open_page(PROJECT)
    expect(page.locator(".title")).to_contain_text("5 runs")
    te.delete_run("acme", "digits", "r1", client=client)
    page.get_by_role("link", name="Artifacts").click()
    expect(page.locator(".title")).to_contain_text("4 runs")
    te.delete_run("acme", "digits", "r2", client=client)
    eventually(page, expect(page.locator(".title")).to_contain_text, "3 runs")


def test_the_trash_is_reached_without_any_run(editing, client):
    page, _ = editing
    page.get_by_label("Select all 5 runs").check()
    page.get_by_role("button", name="Delete…").click()
    page.get_by_role("button", name="Delete 5 runs").click()
    # With the next list, which is a whole one.
    expect(page.get_by_text("No runs yet")).to_be_visible()
    page.get_by_role("link", name="Deleted runs").click()
    page.get_by_label("Select all deleted runs").check()
    page.get_by_role("button", name="Restore").click()
    expect(page.get_by_text("No deleted runs.")).to_be_visible()
    assert len(names_of(client)) == 5


def test_names_of_changed_runs_are_text(open_page, client):
    for name in HOSTILE:
        te.init("acme", "Digits", name, client=client).finish()
    page = open_page(TABLE)
    page.get_by_role("button", name="Edit").click()
    page.get_by_label(f"Select all {len(HOSTILE)} runs").check()
    page.route("**/runs/*/", lambda route: route.fulfill(status=409, json={"detail": HOSTILE[0]}))
    page.get_by_label("Tags, separated by commas").fill(HOSTILE[0])
    page.get_by_role("button", name="Add tag").click()
    expect(page.locator(".work [role=alert] bdi")).to_have_text(HOSTILE[::-1])
    assert page.evaluate(REVERSED) == []
    page.unroute_all()
    page.get_by_role("button", name="Delete…").click()
    page.get_by_role("button", name=re.compile("^Delete .* runs$")).click()
    eventually(page, expect(page.get_by_text("No runs yet")).to_be_visible)
    page.get_by_role("link", name="Deleted runs").click()
    expect(page.locator("tbody th")).to_have_count(len(HOSTILE))
    assert page.locator("main script, main img, main iframe").count() == 0
    assert page.evaluate(REVERSED) == []
