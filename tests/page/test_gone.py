"""A run that somebody deletes while, or before, a person looks at it."""

import re
from urllib.parse import urlsplit

import pytest
from browser_pages import HOSTILE, REVERSED, eventually, serious_barriers
from playwright.sync_api import expect

import afnio_tellurio as te

PROJECT = "/acme/projects/digits/"


@pytest.fixture
def run(client):
    with te.init("acme", "Digits", "only", client=client) as run:
        run.log("loss", 1)
    return run


def delete(client, run, **options):
    te.delete_run("acme", "digits", run.uuid, client=client, **options)


def in_trash(page):
    return page.get_by_text("This run is in the trash")


@pytest.mark.parametrize("by", ["uuid", "name"])
def test_the_address_of_a_deleted_run_leads_to_the_trash(open_page, client, run, by):
    delete(client, run)
    # Newer in the trash: a run of the same name in another project, and another run.
    te.init("acme", "Other", "only", client=client).finish()
    te.delete_run("acme", "other", "only", client=client)
    other = te.init("acme", "Digits", "other", client=client)
    other.finish()
    delete(client, other)
    page = open_page(f"{PROJECT}runs/{getattr(run, by)}/")
    expect(in_trash(page)).to_be_visible()
    expect(page.locator("h1")).to_have_text("only")
    assert serious_barriers(page) == []
    page.get_by_role("link", name="Open trash").click()
    expect(page.locator("tbody th")).to_have_text(["other", "only"])
    page.go_back()
    page.get_by_role("button", name="Restore").click()
    expect(page.locator("figure canvas")).to_be_visible()
    expect(in_trash(page)).to_have_count(0)
    assert [one.name for one in te.runs("acme", "digits", client=client)] == ["only"]


def test_a_run_that_another_person_deletes_says_so_and_is_restored(open_page, client, run):
    page = open_page(f"{PROJECT}runs/{run.uuid}/")
    expect(page.get_by_role("button", name="Edit")).to_be_visible()
    for _time in range(2):
        delete(client, run)
        eventually(page, expect(in_trash(page)).to_be_visible)
        expect(page.get_by_role("button", name="Edit")).to_have_count(0)
        # What was known of it stays.
        expect(page.locator("h1")).to_contain_text("only")
        page.get_by_role("button", name="Restore").click()
        expect(in_trash(page)).to_have_count(0)
        eventually(page, expect(page.get_by_role("button", name="Edit")).to_be_visible)
    page.get_by_role("button", name="Delete").click()
    expect(in_trash(page)).to_be_visible()
    # Once the page knows of it from the server, another person restores it. Lists of the run's
    # metrics are not found either.
    path = f"{PROJECT}runs/{run.uuid}/"
    with page.expect_response(
        lambda response: response.status == 404 and urlsplit(response.url).path.endswith(path)
    ):
        eventually(page, expect(in_trash(page)).to_be_visible)
    client.post(f"/api/v0{PROJECT}runs/{run.uuid}/restore/")
    eventually(page, expect(page.get_by_role("button", name="Edit")).to_be_visible)


def test_what_a_person_typed_stays_when_the_run_is_deleted(open_page, client, run):
    page = open_page(f"{PROJECT}runs/{run.uuid}/")
    page.get_by_role("button", name="Edit").click()
    page.locator("[name=notes]").fill("long thoughts")
    delete(client, run)
    eventually(page, expect(in_trash(page)).to_be_visible)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("form [role=alert]")).to_contain_text("is in the trash")
    page.get_by_role("button", name="Restore").click()
    expect(in_trash(page)).to_have_count(0)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("button", name="Edit")).to_be_visible()
    assert client.get(f"/api/v0{PROJECT}runs/{run.uuid}/").json()["notes"] == "long thoughts"


def test_a_run_that_was_deleted_for_good_is_not_found(open_page, client, run):
    page = open_page(f"{PROJECT}runs/{run.uuid}/")
    expect(page.get_by_role("button", name="Edit")).to_be_visible()
    delete(client, run, purge=True)
    eventually(page, expect(page.get_by_text("This run no longer exists.")).to_be_visible)
    expect(page.get_by_role("button", name="Restore")).to_have_count(0)
    page.reload()
    expect(page.locator("h1")).to_have_text("Not found")


def test_names_of_deleted_runs_are_text(open_page, client):
    for name in HOSTILE[:3]:
        run = te.init("acme", "Digits", name, client=client)
        run.finish()
        delete(client, run)
        page = open_page(f"{PROJECT}runs/{run.uuid}/")
        expect(page.locator("h1")).to_have_text(re.compile(re.escape(name.split("\n")[0])))
        assert page.locator("main script, main img, main iframe").count() == 0
        assert page.evaluate(REVERSED) == []
