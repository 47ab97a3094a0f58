"""The focus of the keyboard stays on the page when a press removes what has it."""

import re

import pytest
from browser_pages import serious_barriers
from playwright.sync_api import expect

import afnio_tellurio as te

PROJECT = "/acme/projects/digits/"


@pytest.fixture
def run(client):
    with te.init("acme", "Digits", "only", client=client) as run:
        run.log("loss", 1)
    return run


def use_keys(page):
    """Presses Tab, as people do who have no mouse, and waits for what the page then loads."""
    with page.expect_response("**/assets/focus.js"):
        page.keyboard.press("Tab")
    page.evaluate("() => import('/assets/focus.js')")


def press(page, name):
    button = page.get_by_role("button", name=name, exact=True)
    expect(button).to_be_enabled()
    button.focus()
    page.keyboard.press("Enter")


def expect_focus_in(page, selector):
    """The focus is on an element that is part of another one, and seen."""
    page.wait_for_function(
        "(selector) => document.activeElement !== document.body"
        " && !document.activeElement.matches(':disabled')"
        " && document.activeElement.closest(selector) !== null",
        arg=selector,
    )
    assert page.evaluate(
        "() => document.activeElement.matches(':focus-visible')"
        " && getComputedStyle(document.activeElement).outlineStyle !== 'none'"
    )


def test_the_focus_stays_at_a_run_that_is_edited_deleted_and_restored(open_page, run):
    page = open_page(f"{PROJECT}runs/{run.uuid}/")
    expect(page.locator("figure canvas")).to_be_visible()
    use_keys(page)
    press(page, "Edit")
    expect(page.get_by_label("Notes")).to_be_visible()
    expect_focus_in(page, ".title")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Name")).to_be_focused()
    press(page, "Cancel")
    expect(page.get_by_label("Notes")).to_have_count(0)
    expect_focus_in(page, ".title")
    press(page, "Delete")
    expect(page.get_by_text("This run is in the trash")).to_be_visible()
    expect_focus_in(page, ".title")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Restore")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Edit")).to_be_visible()
    expect_focus_in(page, ".title")
    assert serious_barriers(page) == []


def test_the_focus_stays_at_buttons_that_are_disabled_or_removed(open_page, run):
    page = open_page(f"{PROJECT}?tab=table")
    expect(page.get_by_role("link", name="only")).to_be_visible()
    use_keys(page)
    press(page, "Edit")
    page.get_by_label("Select only", exact=True).check()
    page.get_by_label("Tags, separated by commas").fill("new")
    press(page, "Add tag")
    expect(page.get_by_text("1 run tagged.")).to_be_visible()
    expect_focus_in(page, ".bulk")
    page = open_page(f"{PROJECT}?run=")
    expect(page.get_by_text("No runs are selected.")).to_be_visible()
    use_keys(page)
    button = page.locator(".empty").get_by_role("button", name="Reset selection")
    button.focus()
    page.keyboard.press("Enter")
    expect(page.locator("figure canvas")).to_be_visible()
    expect_focus_in(page, "main")


def test_the_focus_follows_a_link_to_another_view(open_page, run):
    page = open_page(PROJECT)
    link = page.get_by_role("region", name="Runs").get_by_role("link", name="only")
    expect(link).to_be_visible()
    use_keys(page)
    link.focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(run.uuid))
    expect(page.locator("figure canvas")).to_be_visible()
    expect_focus_in(page, "main")


def test_a_menu_closes_with_escape_or_a_click_beside_it(open_page, client):
    for number in range(2):
        with te.init("acme", "Digits", config={"n": number}, client=client) as run:
            run.log("loss", number)
    page = open_page(f"{PROJECT}?tab=explore&plot=parallel")
    menu = page.locator(".menu")
    summary = menu.locator("summary")
    summary.click()
    # What a press inside removes closes nothing.
    menu.get_by_role("button", name="Remove n").click()
    expect(menu.get_by_role("button", name="Remove n")).to_have_count(0)
    expect(menu).to_have_attribute("open", "")
    menu.get_by_label("Start of loss").focus()
    page.keyboard.press("Escape")
    expect(menu).not_to_have_attribute("open", "")
    expect(summary).to_be_focused()
    summary.click()
    expect(menu).to_have_attribute("open", "")
    page.locator("h1").click()
    expect(menu).not_to_have_attribute("open", "")
