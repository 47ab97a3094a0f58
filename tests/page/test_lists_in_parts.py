"""The page reads lists to their end, also those that a backend divides on its own account."""

import pytest
from playwright.sync_api import expect

import afnio_tellurio as te
from afnio_tellurio.backend import charts, projects, run_lists

LISTS = {projects: {"projects", "namespaces"}, charts: {"metrics", "summary"}, run_lists: {"runs"}}


@pytest.fixture
def dividing(monkeypatch):
    """Makes the backend divide lists into parts of two; returns the paths that were continued."""
    continued = set()
    for module, names in LISTS.items():
        integer_of = module.integer_of

        def divided(call, name, low, high, integer_of=integer_of, names=names):
            number = integer_of(call, name, low, high)
            if name != "limit":
                return number
            if call.parameter("cursor") is not None:
                continued.update(names)
            return min(number or 2, 2)

        monkeypatch.setattr(module, "integer_of", divided)
    return continued


def test_all_projects_and_metrics_are_shown(open_page, client, dividing):
    for number in range(5):
        te.create_project("acme", f"Project {number}", client=client)
        run = te.init("acme", "Digits", f"r{number}", client=client)
        for metric in range(5):
            run.log(f"metric_{metric}", number + metric / 8)
        run.finish()
    dividing.clear()
    page = open_page("/")
    for number in range(5):
        expect(page.get_by_role("link", name=f"Project {number}")).to_be_visible()
    page = open_page("/acme/projects/digits/")
    expect(page.locator("[aria-label=Runs] li")).to_have_count(5)
    for metric in range(5):
        expect(page.get_by_text(f"metric_{metric}").first).to_be_attached()
    page = open_page("/acme/projects/digits/?tab=table")
    expect(page.locator("[aria-label=Runs] tbody tr")).to_have_count(5)
    assert dividing == set().union(*LISTS.values())
