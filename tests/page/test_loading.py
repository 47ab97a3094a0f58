"""How the page loads its code and its runs: early, once, and only what it shows."""

import re

import pytest
from playwright.sync_api import expect

import afnio_tellurio as te

PROJECT = "/acme/projects/digits/"
MODULE = re.compile(r"/assets/(.+\.(?:js|css))$")
LINKED = re.compile(r'<link rel="\w+" href="/assets/(.+?\.(?:js|css))">')
#: Files that every view needs, and the classic script of the charts.
ALWAYS = {"page.js", "page.css"}
CLASSIC = {"uPlot.iife.min.js"}
#: Files of a part that is loaded with the first value that needs it.
LATER = {"matrices.js", "matrices.css"}
RUNS = re.compile(r"/runs/\?limit=1000$")
#: Addresses of views, and what is shown once all of their code has been loaded.
VIEWS = {
    "/": "tbody tr",
    PROJECT: "canvas",
    f"{PROJECT}?tab=table": "tbody tr",
    f"{PROJECT}?tab=explore": "circle",
    f"{PROJECT}?tab=trash": "main .empty, main table, main p:not([role])",
    f"{PROJECT}compare/?run=HIGH&run=LOW": "canvas",
    f"{PROJECT}artifacts/": "main p",
    f"{PROJECT}runs/HIGH/": "canvas",
    f"{PROJECT}runs/HIGH/?tab=media": ".tabs ~ * bdi",
    f"{PROJECT}runs/HIGH/?tab=tables": ".tabs ~ .empty",
    f"{PROJECT}runs/HIGH/?tab=files": ".tabs ~ *",
    f"{PROJECT}runs/HIGH/?tab=config": ".tabs ~ *",
    f"{PROJECT}runs/HIGH/?tab=nothing": "canvas",
}


def without_links(route):
    html = route.fetch().text()
    assert LINKED.search(html)
    route.fulfill(
        body=re.sub(r"<link rel=\"modulepreload\".*?>", "", html), content_type="text/html"
    )


@pytest.mark.parametrize("address", VIEWS)
def test_the_html_of_a_view_links_the_code_that_the_view_loads(open_digits, digits, address):
    """A browser that ignores the links loads the same modules, one after another."""
    path = address.replace("HIGH", digits.high).replace("LOW", digits.low)
    page = open_digits("/acme/")
    expect(page.locator("h1")).to_be_visible()
    page.route(lambda url: "/assets/" not in url and "/api/" not in url, without_links)
    loaded = set()
    page.on("request", lambda request: loaded.update(MODULE.findall(request.url)))
    page.goto(page.url.replace("/acme/", path))
    expect(page.locator(VIEWS[address]).first).to_be_visible()
    page.wait_for_load_state("networkidle")
    html = page.context.request.get(page.url).text()
    assert {*LINKED.findall(html), *ALWAYS} == loaded - CLASSIC - LATER


def test_charts_are_made_when_they_come_into_view(open_page, client):
    run = te.init("acme", "Many", client=client)
    for step in range(3):
        run.log_metrics({f"metric-{number:03}": step * number for number in range(1, 121)})
    run.finish()
    page = open_page("/acme/projects/many/")
    charts = page.locator("figure.chart")
    expect(charts.first.locator("canvas")).to_be_visible()
    # All of them have their room at once, so that nothing moves under a reader.
    expect(charts).to_have_count(120)
    last = page.locator('figure[data-metric="metric-120"]')
    expect(last.locator("figcaption")).to_have_text("metric-120")
    expect(last.get_by_role("button")).to_have_count(0)
    place = last.evaluate("figure => figure.getBoundingClientRect().y + scrollY")
    last.scroll_into_view_if_needed()
    expect(last.locator("canvas")).to_be_visible()
    expect(last.get_by_role("button", name="Table: metric-120")).to_be_attached()
    assert last.evaluate("figure => figure.getBoundingClientRect().y + scrollY") == place


def test_the_next_view_of_a_project_shows_the_runs_that_the_last_one_loaded(open_digits):
    page = open_digits(PROJECT)
    expect(page.locator("figure canvas")).to_have_count(3)
    # The list is not answered any more.
    page.route(RUNS, lambda _route: None)
    page.get_by_role("link", name="Compare 3 runs").click()
    expect(page.get_by_role("region", name="Differences").locator("thead a")).to_have_count(3)
    page.get_by_role("region", name="Differences").get_by_role("link", name="middle").click()
    expect(page.locator("h1")).to_contain_text("middle")
    expect(page.locator("figure canvas")).to_have_count(3)
    page.locator("nav").get_by_role("link", name="Digits").click()
    expect(page.locator("[aria-label=Runs] a.name")).to_have_count(3)


def test_a_run_that_this_page_changed_is_loaded_again(open_page, client):
    for name in ("kept", "deleted"):
        te.init("acme", "Digits!", name=name, client=client).finish()
    page = open_page(PROJECT)
    page.get_by_role("region", name="Runs").get_by_role("link", name="deleted").click()
    page.get_by_role("button", name="Delete").click()
    expect(page.locator(".notice")).to_contain_text("This run is in the trash")
    held = []

    def hold(route):
        held.append(route)

    page.route(RUNS, hold)
    with page.expect_request(RUNS):
        page.locator("nav").get_by_role("link", name="Digits!").click()
    expect(page.get_by_role("status")).to_have_text("Loading…")
    for route in held:
        route.continue_()
    page.unroute(RUNS)
    expect(page.locator("[aria-label=Runs] a.name")).to_have_text(["kept"])
