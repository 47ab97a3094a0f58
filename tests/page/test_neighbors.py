"""The ways from a run to other runs of the list that a person came from, in a real browser."""

import re
from urllib.parse import urlencode

import pytest
from browser_pages import Requests, eventually, serious_barriers
from playwright.sync_api import expect

import afnio_tellurio as te

PROJECT = "/acme/projects/digits/"
HOSTILE = "<img src=x onerror=alert(1)>\u202e"


def begin(client, *names):
    runs = {}
    for number, name in enumerate(names):
        with te.init("acme", "Digits", name, config={"lr": number % 2}, client=client) as run:
            run.log("loss", number % 3)
        runs[name] = run.uuid
    return runs


def turn(page, label):
    return page.get_by_label(re.compile(f"^{label} run"))


def expect_name(page, name):
    expect(page.locator("h1 bdi")).to_have_text(name)


def test_the_next_run_is_an_older_one_and_the_tab_stays(open_page, client):
    runs = begin(client, "a", "b", "c")
    page = open_page(f"{PROJECT}runs/{runs['b']}/?tab=config")
    expect(turn(page, "Next")).to_have_attribute("title", "Next run: a")
    turn(page, "Next").click()
    expect_name(page, "a")
    expect(turn(page, "Next")).to_be_disabled()
    expect(page).to_have_url(re.compile(f"{runs['a']}/.tab=config$"))
    turn(page, "Previous").click()
    expect_name(page, "b")
    expect(turn(page, "Previous")).to_have_attribute("title", "Previous run: c")
    turn(page, "Previous").press("Enter")
    expect_name(page, "c")
    expect(turn(page, "Previous")).to_be_disabled()


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"q": "config.lr = 0", "sort": 'metric("loss").last'}, ["x", "try 3", "try 1"]),
        ({"q": "TRY", "sort": "name"}, ["try 0", "try 1", "try 2", "try 3", "try 4"]),
        ({"q": "try", "status": "COMPLETED"}, ["try 4", "try 3", "try 2", "try 1", "try 0"]),
    ],
)
def test_the_list_that_a_person_came_from_decides_the_next_run(open_page, client, query, names):
    begin(client, "x", "try 0", "try 1", "try 2", "try 3", "try 4")
    te.init("acme", "Digits", "crashed try", client=client).finish(status=te.RunStatus.CRASHED)
    if "status" not in query:
        te.delete_run("acme", "digits", "crashed try", client=client)
    page = open_page(f"{PROJECT}?{urlencode(query)}")
    expect(page.locator("[aria-label=Runs] a.name")).to_have_text(names)
    page.get_by_role("link", name=names[0], exact=True).click()
    for name in names:
        expect_name(page, name)
        if name != names[-1]:
            turn(page, "Next").click()
    expect(turn(page, "Next")).to_be_disabled()
    # The way back leads to the same list.
    page.get_by_role("navigation", name="Path").get_by_role("link", name="Digits").click()
    expect(page.locator("[aria-label=Runs] a.name")).to_have_text(names)


def test_the_list_that_the_page_has_is_not_loaded_again(open_page, client):
    begin(client, "x", "try 0", "try 1", "try 2")
    te.init("acme", "Digits", "crashed try", client=client).finish(status=te.RunStatus.CRASHED)
    page = open_page(f"{PROJECT}?q=try&status=COMPLETED")
    listed = Requests(page, "runs/?")
    names = page.get_by_role("region", name="Runs").locator("a.name")
    expect(names).to_have_text(["try 2", "try 1", "try 0"])
    names.filter(has_text="try 1").click()
    expect(turn(page, "Previous")).to_have_attribute("title", "Previous run: try 2")
    expect(turn(page, "Next")).to_have_attribute("title", "Next run: try 0")
    assert not [request for request in listed.all() if "limit=200" in request["url"]]


def test_a_run_that_the_list_lacks_has_no_neighbors(open_page, client):
    runs = begin(client, "a", "b")
    page = open_page(f"{PROJECT}runs/{runs['b']}/?q=name+%3D+a")
    expect(page.get_by_text("Compare", exact=True)).to_be_visible()
    expect(turn(page, "Previous")).to_be_disabled()
    expect(turn(page, "Next")).to_be_disabled()


def test_the_list_is_read_up_to_the_run_and_once(open_page, client):
    client.post("/api/v0/acme/projects/", {"display_name": "Digits"})
    uuids = [
        client.post(f"/api/v0{PROJECT}runs/", {"name": f"run {number}"}).json()["uuid"]
        for number in range(405)
    ]
    page = open_page(f"{PROJECT}runs/{uuids[205]}/")
    expect(turn(page, "Previous")).to_have_attribute("title", "Previous run: run 206")
    expect(turn(page, "Next")).to_have_attribute("title", "Next run: run 204")
    polls = Requests(page, "parent_uuid=")
    eventually(page, polls.to_be_more_than, 2)
    # The 200th run is the last of its page, so the one after it is in the next page.
    assert len(Requests(page, "/runs/?limit=200").all()) == 2


def test_a_run_is_compared_with_another_one_of_the_list(open_page, client):
    runs = begin(client, "a", "b", HOSTILE)
    page = open_page(f"{PROJECT}runs/{runs['a']}/", width=390)
    page.get_by_text("Compare", exact=True).press("Enter")
    panel = page.locator(".panel")
    expect(panel.locator("a bdi")).to_have_text([HOSTILE, "b"])
    assert serious_barriers(page) == []
    page.get_by_label("Search runs to compare").fill("B")
    expect(panel.locator("a bdi")).to_have_text(["b"])
    page.get_by_label("Search runs to compare").fill("zzz")
    expect(panel.get_by_text("No matching runs.")).to_be_visible()
    page.get_by_label("Search runs to compare").fill("b")
    panel.get_by_role("link", name="Compare with b").click()
    expect(page.locator("h1")).to_have_text("Comparison of 2 runs")
    expect(page.locator("thead a.name")).to_have_text(["a", "b"])


def test_the_uuid_and_the_reference_are_copied(open_page, client):
    (uuid,) = begin(client, "a").values()
    path = f"{PROJECT}runs/{uuid}/"
    page = open_page(path, permissions=["clipboard-read", "clipboard-write"])
    for label, text in (("Copy UUID", uuid), ("Copy reference", f"acme/digits/{uuid}")):
        page.get_by_role("button", name=label).click()
        expect(page.get_by_text("Copied", exact=True).first).to_be_visible()
        page.wait_for_function(
            "async (text) => await navigator.clipboard.readText() === text", arg=text
        )


def test_without_a_clipboard_a_text_is_copied_as_well(open_page, client):
    (uuid,) = begin(client, "a").values()
    page = open_page(f"{PROJECT}runs/{uuid}/")
    # As in a page that comes unencrypted from another machine.
    page.evaluate(
        "Object.defineProperty(navigator, 'clipboard', { value: undefined });"
        "document.addEventListener('copy', () => { globalThis.taken = String(getSelection()"
        " || document.activeElement.value) })"
    )
    page.get_by_role("button", name="Copy UUID").click()
    expect(page.get_by_text("Copied", exact=True)).to_be_visible()
    assert page.evaluate("taken") == uuid
    expect(page.locator("textarea")).to_have_count(0)
