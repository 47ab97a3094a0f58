"""Changes to a run that a person makes in the page, in a real browser."""

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
    page.get_by_role("button", name="Save").click()
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
    page.get_by_role("button", name="Save").click()
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
