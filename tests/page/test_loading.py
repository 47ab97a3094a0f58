"""How the page loads its code and its runs: early, once, and only what it shows."""

import re

import pytest
from playwright.sync_api import expect

import afnio_tellurio as te

PROJECT = "/acme/projects/digits/"
MODULE = re.compile(r"/assets/(.+\.(?:js|css))$")
LINKED = re.compile(r'<link rel="\w+"(?: as="script")? href="/assets/(.+?\.(?:js|css))">')
#: Files that every view needs.
ALWAYS = {"page.js", "page.css"}
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
    route.fulfill(body=re.sub(r"<link rel=\"\w*preload\".*?>", "", html), content_type="text/html")


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
    assert {*LINKED.findall(html), *ALWAYS} == loaded - LATER


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


#: A clock by which making a chart takes 100 ms, and the numbers of elements before each frame.
SLOW_CHARTS = """
(selector) => {
  let now = performance.now();
  performance.now = () => (now += 100);
  globalThis.counts = [];
  const before = requestAnimationFrame;
  globalThis.requestAnimationFrame = (call) =>
    before((time) => {
      counts.push(document.querySelectorAll(selector).length);
      call(time);
    });
}
"""
RISES = "() => counts.map((count, at) => count - (counts[at - 1] ?? 0)).filter((by) => by > 0)"


def test_the_first_charts_are_on_the_screen_before_the_others_are_made(open_page, client):
    run = te.init("acme", "Many", client=client)
    run.log_metrics({f"metric-{number:02}": number for number in range(12)})
    run.finish()
    page = open_page("/")
    page.evaluate(SLOW_CHARTS, "figure canvas")
    page.get_by_role("link", name="Many").click()
    expect(page.locator("figure canvas")).to_have_count(12)
    # One more frame counts the last ones.
    page.evaluate("() => new Promise((resolve) => requestAnimationFrame(resolve))")
    assert page.evaluate(RISES) == [1] * 12


def test_the_rows_of_a_comparison_are_on_the_screen_before_its_charts(open_page, client):
    names = [f"metric-{number:03}" for number in range(120)]
    for name in ("one", "other"):
        with te.init("acme", "Many", name, client=client) as run:
            run.log_metrics(dict.fromkeys(names, 1.5))
    page = open_page("/acme/projects/many/")
    expect(page.locator("figure canvas").first).to_be_visible()
    page.evaluate(SLOW_CHARTS, "main h1 ~ * tbody tr, main h1 ~ section figure")
    page.get_by_role("link", name="Compare 2 runs").click()
    expect(page.locator("figure canvas").first).to_be_visible()
    rows = page.get_by_role("region", name="Differences").locator("tbody tr")
    count = rows.count()
    assert page.evaluate(RISES)[-1] == len(names)
    assert sum(page.evaluate(RISES)) == count + len(names)
    page.get_by_role("button", name="Show all 120").click()
    # A request has up to 100 metrics.
    for name in (names[0], names[-1]):
        expect(rows.filter(has_text=name)).to_contain_text("1.5")
        expect(page.locator(f'figure[data-metric="{name}"]')).to_have_count(1)


def test_the_code_of_a_view_is_loaded_when_the_pointer_or_the_focus_reaches_a_link(open_digits):
    page = open_digits(PROJECT)
    expect(page.locator("figure canvas")).to_have_count(3)
    runs = page.get_by_role("region", name="Runs")
    with page.expect_response(lambda response: response.url.endswith("/assets/details.js")):
        runs.get_by_role("link", name="high").hover()
    with page.expect_response(lambda response: response.url.endswith("/assets/compare.js")):
        runs.get_by_role("link", name="Compare 3 runs").focus()
    assert page.locator("h1").inner_text() == "Digits"
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    runs.get_by_role("link", name="middle").hover()
    runs.get_by_role("link", name="middle").click()
    expect(page.locator("h1")).to_contain_text("middle")
    expect(page.locator("figure canvas")).to_have_count(3)
    # Its code is here already, and the HTML of another run is the same.
    assert not [url for url in asked if "/api/" not in url and url.endswith((".js", "/"))]


def test_a_link_works_if_the_code_behind_it_can_not_be_loaded_early(open_digits):
    page = open_digits(PROJECT)
    expect(page.locator("figure canvas")).to_have_count(3)
    lost = []

    def abort(route):
        lost.append(route.request.url)
        route.abort()

    page.route(lambda url: "/runs/" in url and "/api/" not in url, abort)
    link = page.get_by_role("region", name="Runs").get_by_role("link", name="high")
    with page.expect_event("requestfailed"):
        link.hover()
    assert lost
    link.click()
    expect(page.locator("h1")).to_contain_text("high")
    expect(page.locator("figure canvas")).to_have_count(3)


def test_the_runs_are_loaded_beside_the_code_that_shows_them(open_digits):
    page = open_digits("/")
    held = []

    def hold(route):
        held.append(route)

    page.route("**/assets/project.js", hold)
    with page.expect_response(RUNS):
        page.get_by_role("link", name="Digits").click()
    expect(page.get_by_role("status")).to_have_text("Loading…")
    for route in held:
        route.continue_()
    page.unroute("**/assets/project.js")
    expect(page.locator("figure canvas")).to_have_count(3)


def test_only_the_metrics_of_the_selected_runs_are_loaded(open_page, client):
    for name in ("loss", "accuracy"):
        with te.init("acme", "Digits", name, client=client) as run:
            run.log(name, 1)
    page = open_page(f"{PROJECT}?run={run.uuid}")
    expect(page.locator("figure[data-metric]")).to_have_count(1)
    assert page.locator("figure").get_attribute("data-metric") == "accuracy"
    asked = page.evaluate("asked.filter(({url}) => /metrics[/]([?]|$)/.test(url))")
    assert [one["url"].rpartition("?")[2] for one in asked] == [f"run={run.uuid}"]
    page.get_by_label("Show loss").check()
    expect(page.locator("figure canvas")).to_have_count(2)


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
