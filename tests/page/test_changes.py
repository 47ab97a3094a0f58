"""Charts while something around them changes: the theme, the groups, the selected runs, or the server."""

import pytest
from browser_pages import eventually
from playwright.sync_api import expect

import afnio_tellurio as te

PROJECT = "/acme/projects/digits/"
CHARTS = "figure.chart"
#: Whether the chart has some of these colors of the styles, and none of the others.
HAS_COLORS = """
([wanted, others]) => {
  const canvas = document.querySelector('figure[data-metric="common"] canvas');
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const seen = new Set();
  for (let at = 0; at < data.length; at += 4)
    if (data[at + 3] === 255) seen.add([...data.slice(at, at + 3)].join());
  const styles = getComputedStyle(document.documentElement);
  const has = (name) => {
    const digits = styles.getPropertyValue(name).match(/[0-9a-f]{2}/g);
    return seen.has(digits.map((two) => parseInt(two, 16)).join());
  };
  return wanted.every(has) && !others.some(has);
}
"""
#: Each text of a chart, or in its place, that has been on the page.
RECORD_TEXTS = """
() => {
  globalThis.texts = new Set();
  new MutationObserver(() => {
    for (const one of document.querySelectorAll("figure .none, main p.quiet")) texts.add(one.textContent);
  }).observe(document.body, { subtree: true, childList: true, characterData: true });
}
"""
#: Delivers what an observer sees only on demand, as a busy browser does.
LATE_OBSERVER = """
globalThis.IntersectionObserver = class extends IntersectionObserver {
  constructor(call, options) {
    let held = [];
    super((entries) => held.push(...entries), options);
    (globalThis.deliveries ??= []).push(() => {
      if (held.length) call(held, this);
      held = [];
    });
    this.count = () => held.length;
    (globalThis.observers ??= []).push(this);
  }
};
"""


@pytest.fixture
def apart(client):
    """The UUIDs of two runs by name. They have one metric in common, and others of their own."""
    runs = {}
    for size, name in enumerate(("one", "other")):
        with te.init("acme", "Digits", name, client=client) as run:
            for step in range(30):
                run.log_metrics({f"{name}-only": step, "common": size + 1}, step=step)
        runs[name] = run.uuid
    return runs


def hold_back(page, pattern):
    """Holds requests back, and returns a function that lets them pass."""
    held = []

    def hold(route):
        held.append(route)

    page.route(pattern, hold)

    def let_pass():
        for route in held:
            route.continue_()
        page.unroute(pattern)

    return let_pass


def metrics_of(page):
    return page.locator(CHARTS).evaluate_all("all => all.map(one => one.dataset.metric)")


def test_a_chart_has_the_colors_of_a_theme_that_is_chosen_later(open_page, apart):
    page = open_page(PROJECT)
    expect(page.locator("figure canvas")).to_have_count(3)
    page.wait_for_function(HAS_COLORS, arg=[["--grid"], []])
    for label in ("Dark mode", "Light mode"):
        page.get_by_role("button", name=label).click()
        page.wait_for_function(HAS_COLORS, arg=[["--grid"], []])


def test_a_chart_has_the_colors_of_groups_that_are_chosen_later(open_page, apart):
    page = open_page(PROJECT)
    expect(page.locator("figure canvas")).to_have_count(3)
    marks = page.locator("[aria-label=Runs] li:not(.group) .mark")
    lines = [f"--line-{number}" for number in range(8)]

    def used():
        styles = " ".join(marks.evaluate_all("all => all.map(one => one.style.background)"))
        return [line for line in lines if line in styles]

    before = used()
    assert len(before) == 2
    page.wait_for_function(HAS_COLORS, arg=[before, []])
    page.get_by_role("button", name="Group", exact=True).click()
    page.get_by_label("Group by").select_option("status")
    expect(page.locator(".group")).to_have_count(1)
    after = used()
    assert len(after) == 1
    page.wait_for_function(HAS_COLORS, arg=[after, sorted({*lines} - {*after})])


def test_a_selection_that_is_chosen_again_has_its_metrics_again(open_page, apart):
    page = open_page(PROJECT)
    expect(page.locator("figure canvas")).to_have_count(3)
    page.get_by_role("region", name="Runs").get_by_role("link", name="one", exact=True).click()
    expect(page.locator("h1")).to_contain_text("one")
    page.go_back()
    # The view begins with the metrics that the last one had.
    expect(page.locator(CHARTS)).to_have_count(3)
    page.get_by_label("Show other", exact=True).uncheck()
    expect(page.locator(CHARTS)).to_have_count(2)
    page.get_by_role("button", name="Reset selection").click()
    expect(page.locator(CHARTS)).to_have_count(3)
    expect(page.locator("figure canvas")).to_have_count(3)


@pytest.mark.parametrize("part", ["metrics/?run", "metrics/sample/"])
def test_a_chart_of_other_runs_is_empty_only_if_it_stays_empty(open_page, apart, part):
    page = open_page(f"{PROJECT}?run={apart['one']}")
    expect(page.locator("figure canvas")).to_have_count(2)
    page.evaluate(RECORD_TEXTS)
    let_pass = hold_back(page, lambda url: part in url)
    page.get_by_label("Show only other").click()
    expect(page.get_by_text("Loading…").first).to_be_visible()
    let_pass()
    expect(page.locator('figure[data-metric="other-only"] canvas')).to_be_visible()
    expect(page.locator("figure canvas")).to_have_count(2)
    assert metrics_of(page) == ["common", "other-only"]
    assert page.evaluate("[...texts]") == ["Loading…"]


def test_a_comparison_has_metrics_from_the_beginning(open_page, apart):
    query = "&".join(f"run={uuid}" for uuid in apart.values())
    page = open_page("/")
    page.evaluate(RECORD_TEXTS)
    let_pass = hold_back(page, "**/metrics/summary/**")
    page.evaluate(
        "to => { history.pushState(null, '', to); dispatchEvent(new Event('popstate')); }",
        f"{PROJECT}compare/?{query}",
    )
    expect(page.get_by_role("region", name="Differences")).to_be_visible()
    let_pass()
    expect(page.locator("figure canvas")).to_have_count(3)
    assert "No numeric metrics yet." not in page.evaluate("[...texts]")


def test_a_comparison_of_runs_without_metrics_gets_the_first_one(open_page, client):
    te.init("acme", "Digits", "one", client=client).finish()
    run = te.init("acme", "Digits", "other", client=client)
    uuids = [te.get_run("acme", "digits", "one", client=client).uuid, run.uuid]
    page = open_page(f"{PROJECT}compare/?{'&'.join(f'run={uuid}' for uuid in uuids)}")
    expect(page.get_by_text("No numeric metrics yet.")).to_be_visible()
    run.log("loss", 1)
    run.flush()
    eventually(page, expect(page.locator("figure canvas")).to_be_visible)
    expect(page.get_by_text("No numeric metrics yet.")).to_have_count(0)
    run.finish()


@pytest.mark.parametrize("name", ["project.js", "curves.js", "chart.js", "uPlot.iife.min.js"])
def test_code_that_can_not_be_loaded_is_requested_again(open_page, apart, name):
    page = open_page("/")
    pattern = f"**/assets/{name}"
    page.route(pattern, lambda route: route.abort())
    link = page.get_by_role("link", name="Digits")
    with page.expect_event("requestfailed", lambda request: request.url.endswith(name)):
        link.click()
    expect(page.get_by_text("Loading…").first).to_be_visible()
    # The script of the charts is not a module.
    if name != "uPlot.iife.min.js":
        expect(page.locator(".banner")).to_contain_text("Failed to fetch")
    page.unroute(pattern)
    eventually(page, expect(page.locator("figure canvas")).to_have_count, 3)
    expect(page.locator(".banner")).to_have_text("")


def test_charts_that_come_into_view_while_the_browser_is_busy_are_made(open_page, client):
    with te.init("acme", "Many", client=client) as run:
        run.log_metrics({f"metric-{number:03}": number for number in range(120)})
    page = open_page("/acme/projects/many/", has_touch=True)
    page.add_init_script(LATE_OBSERVER)
    page.reload()
    expect(page.locator(CHARTS)).to_have_count(120)
    # Each observer reports its element once, whatever it sees.
    page.wait_for_function("() => observers.every((one) => one.count() === 1)")
    page.evaluate("deliveries.forEach((deliver) => deliver())")
    let_pass = hold_back(page, "**/metrics/sample/**")
    # The last ones begin to load, and are out of the window for a moment.
    for places in (["scrollHeight"], ["scrollHeight / 4", "scrollHeight"]):
        for seen, place in enumerate(places, 1):
            page.evaluate(f"scrollTo(0, document.body.{place})")
            page.wait_for_function("(seen) => observers.at(-1).count() === seen", arg=seen)
        page.evaluate("deliveries.forEach((deliver) => deliver())")
    let_pass()
    expect(page.locator('figure[data-metric="metric-119"] canvas')).to_be_visible()
