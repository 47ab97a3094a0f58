"""What changes while somebody looks."""

import re
import time

from playwright.sync_api import expect

import afnio_tellurio as te

PROJECT = "/acme/projects/digits/"
# A tab asks every two seconds; benchmarks/page.py measures what that comes to. Here, other tests
# have the machine as well.
SOON = 10_000


def test_a_point_a_run_and_an_end_appear_within_seconds(open_page, client):
    run = te.init("acme", "Digits", "first", client=client)
    run.log("loss", 0.5)
    run.flush()
    page = open_page(PROJECT)
    cell = page.locator("[aria-label=Runs] tbody tr", has_text="first")
    expect(cell).to_contain_text("0.5")
    run.log("loss", 0.25)
    run.flush()
    expect(cell).to_contain_text("0.25", timeout=SOON)
    run.log("accuracy", 0.9)
    run.flush()
    expect(page.locator('figure[data-metric="accuracy"] canvas')).to_be_visible(timeout=SOON)
    run.finish(status=te.RunStatus.FAILED)
    expect(cell).to_contain_text("failed", timeout=SOON)
    te.init("acme", "Digits", "second", client=client).finish()
    expect(page.locator("[aria-label=Runs] tbody tr")).to_have_count(2, timeout=SOON)


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
    page.get_by_role("link", name="Digits").click()
    page.get_by_role("region", name="Runs").get_by_role("link", name="training").click()
    page.get_by_role("button", name="Table of loss").click()
    rows = page.locator("figure table tbody tr")
    before = 0
    for _ in range(3):
        page.wait_for_function(
            "(before) => document.querySelectorAll('figure table tbody tr').length > before",
            arg=before,
        )
        before = rows.count()
    (tmp_path / "end").touch()
    out, err = child.communicate(timeout=30)
    assert child.returncode == 0, err
    expect(rows).to_have_count(int(out), timeout=2 * SOON)
    expect(page.locator("h1 .status")).to_have_text(re.compile("completed"), timeout=SOON)


def test_a_running_run_looks_alive_and_a_crashed_one_crashed(open_page, client):
    run = te.init("acme", "Digits", "alive", client=client)
    page = open_page(f"{PROJECT}runs/{run.uuid}/")
    status = page.locator("h1 .status")
    expect(status).to_contain_text("running")
    assert (
        page.evaluate("getComputedStyle(document.querySelector('h1 .status i')).animationName")
        == "pulse"
    )
    first = page.locator("dl").inner_text()
    page.wait_for_timeout(1500)
    assert page.locator("dl").inner_text() != first
    run.finish(status=te.RunStatus.CRASHED)
    expect(status).to_contain_text("✕ crashed", timeout=SOON)
    assert (
        page.evaluate("getComputedStyle(document.querySelector('h1 .status i')).animationName")
        == "none"
    )


def test_who_wants_no_motion_gets_none(open_page, client):
    run = te.init("acme", "Digits", "alive", client=client)
    page = open_page(f"{PROJECT}runs/{run.uuid}/", reduced_motion="reduce")
    expect(page.locator("h1 .status")).to_contain_text("running")
    assert (
        page.evaluate("getComputedStyle(document.querySelector('h1 .status i')).animationName")
        == "none"
    )
    run.finish()


def test_a_hidden_tab_asks_for_nothing_and_catches_up_when_it_is_seen(open_page, client, digits):
    page = open_page(PROJECT)
    expect(page.locator("[aria-label=Runs] tbody tr")).to_have_count(3)
    page.evaluate(
        "() => { Object.defineProperty(document, 'hidden', { value: true, configurable: true });"
        "document.dispatchEvent(new Event('visibilitychange')); }"
    )
    page.wait_for_timeout(2500)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(3000)
    assert asked == []
    te.init("acme", "Digits", "unseen", client=client).finish()
    page.evaluate(
        "() => { Object.defineProperty(document, 'hidden', { value: false, configurable: true });"
        "document.dispatchEvent(new Event('visibilitychange')); }"
    )
    expect(page.locator("[aria-label=Runs] tbody tr")).to_have_count(4, timeout=SOON)


def test_a_poll_brings_only_what_changed(open_page, client, digits):
    page = open_page(PROJECT)
    sizes = []
    expect(page.locator("figure canvas")).to_have_count(3)
    page.wait_for_timeout(500)
    page.on("response", lambda response: sizes.append((response.url, len(response.body()))))
    page.wait_for_timeout(5000)
    sampled = [size for url, size in sizes if "/metrics/sample/" in url]
    assert sampled
    assert max(sampled) < 1000
    listed = [size for url, size in sizes if "/runs/?" in url]
    assert listed
    assert max(listed) < 1000


def test_names_of_metrics_are_asked_of_running_runs_alone(open_page, client, digits):
    page = open_page(PROJECT)
    expect(page.locator("figure canvas")).to_have_count(3)
    page.wait_for_timeout(3000)
    asked = []
    page.on("request", lambda request: asked.append(request.url.partition("/digits/")[2]))
    page.wait_for_timeout(5000)
    assert any(path.startswith("runs/") for path in asked)
    assert [path for path in asked if path.startswith("metrics/?") or path == "metrics/"] == []
    run = te.init("acme", "Digits", "live", client=client)
    run.log("train/new", 1)
    run.flush()
    expect(page.locator('figure[data-metric="train/new"] canvas')).to_be_visible(timeout=SOON)
    asked.clear()
    page.wait_for_timeout(5000)
    named = {path for path in asked if path.startswith("metrics/?") or path == "metrics/"}
    assert named == {f"metrics/?run={run.uuid}"}
    run.finish()


def test_a_backend_that_goes_away_is_said_and_comes_back_by_itself(open_page, digits, serving):
    page = open_page(PROJECT)
    expect(page.locator("[aria-label=Runs] tbody tr")).to_have_count(3)
    page.route("**/api/**", lambda route: route.abort())
    expect(page.get_by_role("alert").first).to_contain_text(
        "The backend does not answer", timeout=SOON
    )
    expect(page.locator("[aria-label=Runs] tbody tr")).to_have_count(3)
    page.unroute("**/api/**")
    expect(page.get_by_role("alert").first).to_have_text("", timeout=2 * SOON)
    assert time.monotonic()
