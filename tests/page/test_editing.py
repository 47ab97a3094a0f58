"""Changes to a run that a person makes in the page, in a real browser."""

import pytest
from browser_pages import eventually, serious_barriers
from playwright.sync_api import expect

import afnio_tellurio as te

PROJECT = "/acme/projects/digits/"


def begin(client, **fields):
    run = te.init("acme", "Digits", "before", client=client, **fields)
    run.finish()
    return run


def stored(client, run):
    return client.get(f"/api/v0{PROJECT}runs/{run.uuid}/").json()


def test_a_name_notes_and_tags_are_changed_and_nothing_else(open_page, client):
    run = begin(client, tags=["a", "b"], config={"lr": 1})
    page = open_page(f"{PROJECT}runs/{run.uuid}/")
    page.get_by_role("button", name="Edit").click()
    assert serious_barriers(page) == []
    expect(page.get_by_label("Name")).to_have_value("before")
    page.get_by_label("Name").fill("<b>after</b>")
    page.get_by_label("Tags").fill("b, c,, c ")
    page.get_by_label("Notes").fill("one\ntwo")
    # What a program changes while the form is open stays.
    client.patch(f"/api/v0{PROJECT}runs/{run.uuid}/", {"group": "sweep"})
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("button", name="Edit")).to_be_visible()
    eventually(page, expect(page.locator("h1 bdi")).to_have_text, "<b>after</b>")
    fields = stored(client, run)
    assert (fields["name"], fields["notes"]) == ("<b>after</b>", "one\ntwo")
    assert fields["tags"] == ["b", "c"]
    assert (fields["group"], fields["config"]) == ("sweep", {"lr": 1})


def test_what_the_server_rejects_is_explained_and_the_form_stays(open_page, client):
    run = begin(client)
    page = open_page(f"{PROJECT}runs/{run.uuid}/")
    page.get_by_role("button", name="Edit").click()
    page.get_by_label("Name").fill("   ")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("form [role=alert]")).not_to_have_text("")
    expect(page.get_by_label("Name")).to_have_value("   ")
    page.get_by_role("button", name="Cancel").click()
    assert stored(client, run)["name"] == "before"


def test_a_run_is_deleted_and_restored(open_page, client):
    run = begin(client)
    page = open_page(f"{PROJECT}runs/{run.uuid}/")
    page.get_by_role("button", name="Delete").click()
    notice = page.get_by_text("This run is in the trash")
    expect(notice).to_be_visible()
    assert list(te.runs("acme", "digits", client=client)) == []
    page.get_by_role("button", name="Restore").click()
    expect(notice).to_have_count(0)
    assert [one.name for one in te.runs("acme", "digits", client=client)] == ["before"]


def edit(page, **fields):
    """Opens the form of a run in a page, and fills fields of it."""
    page.get_by_role("button", name="Edit").click()
    for name, text in fields.items():
        page.locator(f"form [name={name}]").fill(text)


def save(page):
    page.get_by_role("button", name="Save", exact=True).click()


@pytest.fixture
def pair(open_page, client):
    """One run in the browsers of two people."""
    run = begin(client, notes="old", tags=["a"])
    path = f"{PROJECT}runs/{run.uuid}/"
    return run, *[open_page(path, service_workers="block") for _person in range(2)]


@pytest.mark.parametrize("kept", ["mine", "theirs"])
def test_notes_that_two_people_edit_are_lost_only_if_one_says_so(pair, client, kept):
    run, first, second = pair
    edit(first, notes="of the first", name="first")
    edit(second, notes="of the second", tags="a, b")
    save(first)
    expect(first.get_by_role("button", name="Edit")).to_be_visible()
    save(second)
    notice = second.get_by_role("alert").filter(has_text="The notes changed")
    expect(notice.get_by_role("region", name="Saved notes")).to_have_text("of the first")
    expect(second.locator("[name=notes]")).to_have_value("of the second")
    assert stored(client, run)["notes"] == "of the first"
    assert serious_barriers(second) == []
    if kept == "theirs":
        notice.get_by_role("button", name="Use saved notes").click()
        expect(second.locator("[name=notes]")).to_have_value("of the first")
    save(second)
    expect(second.get_by_role("button", name="Edit")).to_be_visible()
    fields = stored(client, run)
    assert fields["notes"] == ("of the first" if kept == "theirs" else "of the second")
    # What only one of them changed.
    assert (fields["name"], fields["tags"]) == ("first", ["a", "b"])


def test_a_change_after_the_notice_is_shown_as_well(pair, client):
    run, page, _ = pair
    path = f"/api/v0{PROJECT}runs/{run.uuid}/"
    edit(page, notes="mine")
    saved = page.get_by_role("region", name="Saved notes")
    for text in ("one", "two"):
        client.patch(path, {"notes": text})
        save(page)
        expect(saved).to_have_text(text)
    save(page)
    expect(saved).to_have_count(0)
    assert stored(client, run)["notes"] == "mine"


def test_a_change_between_the_check_and_the_save_is_not_lost(pair, client):
    run, page, _ = pair
    path = f"/api/v0{PROJECT}runs/{run.uuid}/"

    def change_first(route):
        if route.request.method == "PATCH":
            client.patch(path, {"notes": "theirs"})
        route.fallback()

    edit(page, notes="mine")
    page.route(f"**{path}", change_first)
    save(page)
    expect(page.get_by_role("region", name="Saved notes")).to_have_text("theirs")
    assert stored(client, run)["notes"] == "theirs"


def test_the_same_change_by_two_people_needs_no_question(pair, client):
    run, page, _ = pair
    edit(page, notes="same")
    client.patch(f"/api/v0{PROJECT}runs/{run.uuid}/", {"notes": "same"})
    save(page)
    expect(page.get_by_role("button", name="Edit")).to_be_visible()
    assert stored(client, run)["notes"] == "same"
