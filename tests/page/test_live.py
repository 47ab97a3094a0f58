"""Live updates of the page. The tests move the page's clock, so they never wait for a poll."""

import re

from browser_pages import Requests, eventually, let_time_pass
from playwright.sync_api import expect

import afnio_tellurio as te

PROJECT = "/acme/projects/digits/"
ROWS = "[aria-label=Runs] li"
ANIMATION = "getComputedStyle(document.querySelector('h1 .status i')).animationName"


def show(page, *, is_shown):
    """Brings the tab to the front or hides it."""
    page.evaluate(
        """(isShown) => {
            Object.defineProperty(document, "hidden", { value: !isShown, configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        is_shown,
    )


def asked(page):
    """The paths and queries, within the project, that the page has requested."""
    return [url.partition("/digits/")[2] for url in page.evaluate("asked.map(({ url }) => url)")]


def test_a_point_a_run_and_an_end_appear(open_page, client):
    run = te.init("acme", "Digits", "first", client=client)
    run.log("loss", 0.5)
    run.flush()
    page = open_page(f"{PROJECT}?tab=table")
    row = page.locator("[aria-label=Runs] tbody tr", has_text="first")
    expect(row).to_contain_text("0.5")
    run.log("loss", 0.25)
    run.flush()
    eventually(page, expect(row).to_contain_text, "0.25")
    run.log("accuracy", 0.9)
    run.flush()
    page.get_by_role("link", name="Charts").click()
    row = page.locator(ROWS, has_text="first")
    eventually(page, expect(page.locator('figure[data-metric="accuracy"] canvas')).to_be_visible)
    run.finish(status=te.RunStatus.FAILED)
    eventually(page, expect(row).to_contain_text, "Failed")
    te.init("acme", "Digits", "second", client=client).finish()
    eventually(page, expect(page.locator(ROWS)).to_have_count, 2)


def test_a_curve_grows_while_a_program_trains(open_page, start_python, serving, tmp_path):
    program = (
        "import sys, time\nfrom pathlib import Path\nimport afnio_tellurio as te\n"
        "with te.init('acme', 'Digits', 'training') as run:\n"
        "    while not Path(sys.argv[1]).exists():\n"
        "        run.log('loss', 0.5)\n"
        "        time.sleep(0.05)\n"
        "print(run.metrics('loss').steps[-1] + 1)\n"
    )
    child = start_python(
        "-c",
        program,
        str(tmp_path / "end"),
        TELLURIO_MODE="local",
        TELLURIO_HOME=str(serving.backend.path.parent),
    )
    page = open_page("/")
    link = page.get_by_role("link", name="Digits")
    eventually(page, expect(link).to_be_visible)
    link.click()
    page.get_by_role("region", name="Runs").get_by_role("link", name="training").click()
    button = page.get_by_role("button", name="Table: loss")
    eventually(page, expect(button).to_be_visible)
    button.click()
    rows = page.locator("figure table tbody tr")
    for _ in range(3):
        grown = rows.count()
        eventually(page, expect(rows).not_to_have_count, grown)
        assert rows.count() > grown
    (tmp_path / "end").touch()
    out, err = child.communicate(timeout=30)
    assert child.returncode == 0, err
    eventually(page, expect(rows).to_have_count, int(out))
    eventually(page, expect(page.locator("h1 .status")).to_have_text, re.compile("Completed"))


def test_a_running_run_looks_alive_and_a_crashed_one_crashed(open_page, client):
    run = te.init("acme", "Digits", "alive", client=client)
    page = open_page(f"{PROJECT}runs/{run.uuid}/")
    status = page.locator("h1 .status")
    expect(status).to_contain_text("Running")
    assert page.evaluate(ANIMATION) == "pulse"
    duration = page.locator("dl div", has_text="Duration").locator("dd")
    expect(duration).to_have_text(re.compile(r"^\d+\.\d s$"))
    # The page sends no requests meanwhile, so that the next poll is not late.
    show(page, is_shown=False)
    let_time_pass(page, 3_600_000)
    expect(duration).to_have_text(re.compile("^1 h [01] min$"))
    show(page, is_shown=True)
    run.finish(status=te.RunStatus.CRASHED)
    eventually(page, expect(status).to_contain_text, "✕ Crashed")
    assert page.evaluate(ANIMATION) == "none"


def test_nothing_moves_if_the_system_asks_for_less_motion(open_page, client):
    run = te.init("acme", "Digits", "alive", client=client)
    page = open_page(f"{PROJECT}runs/{run.uuid}/", reduced_motion="reduce")
    expect(page.locator("h1 .status")).to_contain_text("Running")
    assert page.evaluate(ANIMATION) == "none"
    run.finish()


def test_a_hidden_tab_asks_for_nothing_and_catches_up_when_it_is_seen(
    open_page, client, logged_digits
):
    page = open_page(PROJECT)
    expect(page.locator(ROWS)).to_have_count(3)
    show(page, is_shown=False)
    before = asked(page)
    let_time_pass(page, 60_000)
    assert asked(page) == before
    te.init("acme", "Digits", "unseen", client=client).finish()
    show(page, is_shown=True)
    eventually(page, expect(page.locator(ROWS)).to_have_count, 4)


def test_a_poll_brings_only_what_changed(open_digits):
    page = open_digits(PROJECT)
    expect(page.locator("figure canvas")).to_have_count(3)
    # The charts are in two groups, which send their own requests.
    for path, mark, groups in (
        ("/metrics/sample/?", "cursor=", 2),
        ("/runs/?", "updated_after=", 1),
    ):
        requests = Requests(page, path)
        eventually(page, requests.to_be_more_than, 3 * groups)
        whole = [request["size"] for request in requests.all() if mark not in request["url"]]
        polls = [request["size"] for request in requests.all() if mark in request["url"]]
        assert len(whole) == groups
        assert max(whole) > 1000
        assert polls
        assert max(polls) < 1000


def test_only_running_runs_are_asked_for_new_metrics(open_page, client, logged_digits):
    def is_list(path):
        return path == "metrics/" or path.startswith("metrics/?")

    page = open_page(PROJECT)
    expect(page.locator("figure canvas")).to_have_count(3)
    lists_of_runs = Requests(page, "/runs/?")
    eventually(page, lists_of_runs.to_be_more_than, 3)
    before = len(asked(page))
    eventually(page, lists_of_runs.to_be_more_than, 6)
    assert list(filter(is_list, asked(page)[before:])) == []
    run = te.init("acme", "Digits", "live", client=client)
    run.log("train/new", 1)
    run.flush()
    canvas = page.locator('figure[data-metric="train/new"] canvas')
    eventually(page, expect(canvas).to_be_visible)
    # The whole list is requested once more if the list of runs came later than the metric.
    of_the_run = Requests(page, f"/metrics/?run={run.uuid}")
    eventually(page, of_the_run.to_be_more_than, len(of_the_run.all()) + 2)
    before = len(asked(page))
    eventually(page, of_the_run.to_be_more_than, len(of_the_run.all()) + 2)
    assert set(filter(is_list, asked(page)[before:])) == {f"metrics/?run={run.uuid}"}
    run.finish()


def test_the_page_tells_that_the_server_is_gone_and_recovers(open_digits):
    page = open_digits(PROJECT)
    expect(page.locator("figure canvas")).to_have_count(3)
    page.route("**/api/**", lambda route: route.abort())
    banner = page.locator(".banner")
    eventually(page, expect(banner).to_contain_text, "Can't reach the server.")
    expect(page.get_by_text("Can't reach the server.")).to_have_count(1)
    expect(page.locator(ROWS)).to_have_count(3)
    expect(page.locator("figure canvas")).to_have_count(3)
    page.unroute("**/api/**")
    eventually(page, expect(banner).to_have_text, "")
