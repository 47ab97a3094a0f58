"""The main ways through the page in Firefox: the other tests use Chromium."""

import json
import os
import shutil

import pytest
from firefox import Firefox

import afnio_tellurio as te

PROJECT = "/acme/projects/digits/"
FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
NAMES = "[...document.querySelectorAll('[aria-label=Runs] a.name')].map(one => one.textContent)"
#: The canvases that show something other than a gray.
DRAWN = """
[...document.querySelectorAll("figure canvas")].filter(canvas => {
    const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    for (let at = 0; at < data.length; at += 4) {
        const [red, green, blue, alpha] = data.slice(at, at + 4);
        if (alpha > 128 && Math.max(red, green, blue) - Math.min(red, green, blue) > 64) return true;
    }
    return false;
}).length
"""
# One browser for all of them, beside the Chromium of the other tests.
pytestmark = pytest.mark.xdist_group("firefox")


@pytest.fixture(scope="module")
def _firefox(tmp_path_factory):
    if FIREFOX is None:
        message = "firefox is not installed; scripts/test.sh installs it on Debian"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    browser = Firefox(FIREFOX, tmp_path_factory.mktemp("firefox"))
    yield browser
    browser.close()


@pytest.fixture
def tab(_firefox):
    """The tab, whose console must have no errors."""
    yield _firefox
    assert _firefox.take_messages() == []


@pytest.fixture
def show(tab):
    """Shows a page of a server, signed in."""

    def go(serving, path, width=1280):
        tab.resize(width)
        tab.goto(f"{serving.url}/assets/page.css")
        session = serving.signed_in().removeprefix("Session ")
        tab.evaluate(f"localStorage.session = {json.dumps(session)}")
        tab.goto(f"{serving.url}{path}")
        return tab

    return go


def shows(tab, *names):
    tab.wait_for(f"JSON.stringify({NAMES}) === JSON.stringify({json.dumps(names)})")


def test_the_link_signs_in_and_signing_out_ends_it(tab, digits):
    tab.goto(f"{digits.serving.url}{PROJECT}#token={digits.serving.site.token}")
    shows(tab, "high", "middle", "low")
    assert tab.evaluate("location.hash") == ""
    assert tab.evaluate("document.cookie") == ""
    tab.click("button", "Sign out")
    tab.click("input[name=key]")
    tab.press(*"the-key", "Enter")
    shows(tab, "high", "middle", "low")


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("path", ["/", PROJECT, f"{PROJECT}?tab=table", "comparison", "run"])
def test_no_view_is_wider_than_the_window(show, digits, width, path):
    places = {
        "comparison": f"{PROJECT}compare/?run={digits.low}&run={digits.high}",
        "run": f"{PROJECT}runs/{digits.low}/",
    }
    tab = show(digits.serving, places.get(path, path), width)
    tab.wait_for(
        "document.querySelector('h1')?.textContent && !document.querySelector('[aria-busy=true]')"
    )
    tab.wait_for("document.querySelector('main a, main canvas') && true")
    assert tab.evaluate("innerWidth") == width
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_the_way_from_projects_to_the_curves_of_a_run(show, digits):
    tab = show(digits.serving, "/")
    tab.click("main a", "Digits")
    shows(tab, "high", "middle", "low")
    tab.wait_for(f"{DRAWN} === 3")
    tab.click("[aria-label=Runs] a.name", "middle")
    tab.wait_for("document.querySelector('h1')?.textContent.includes('middle')")
    tab.wait_for(f"{DRAWN} === 3")
    assert tab.evaluate("location.pathname") == f"{PROJECT}runs/{digits.middle}/"
    names = "[...document.querySelectorAll('figure')].map(one => one.dataset.metric)"
    assert tab.evaluate(names) == ["train/flat", "train/loss", "val/loss"]


def test_a_filter_and_the_order_of_the_table(show, digits):
    tab = show(digits.serving, f"{PROJECT}?tab=table")
    shows(tab, "high", "middle", "low")
    tab.click("th button", "val/loss")
    shows(tab, "low", "middle", "high")
    tab.click("#filter")
    tab.press(*'metric("val/loss") > 1', "Enter")
    shows(tab, "middle", "high")


def test_a_comparison_draws_its_runs_and_their_difference(show, digits):
    tab = show(digits.serving, f"{PROJECT}compare/?run={digits.low}&run={digits.high}")
    tab.wait_for(f"{DRAWN} === 3")
    tab.wait_for("document.querySelector('table')?.textContent.includes('2.5')")


def test_the_keyboard_finds_a_run_and_opens_it(show, digits):
    tab = show(digits.serving, PROJECT)
    shows(tab, "high", "middle", "low")
    tab.press("/")
    tab.wait_for("document.activeElement.id === 'filter'")
    tab.press(*"low")
    shows(tab, "low")
    for _ in range(20):
        tab.press("Tab")
        if tab.evaluate("document.activeElement.matches('a.name')"):
            break
    tab.press("Enter")
    tab.wait_for("document.querySelector('h1')?.textContent.includes('low')")


def test_an_artifact_shows_its_files(show, serving, client):
    with te.init("acme", "Digits", "stored", client=client) as run:
        model = te.Artifact("model", "model").add_text("a note", "notes.txt")
        run.log_artifact(model, wait=True)
    tab = show(serving, f"{PROJECT}artifacts/")
    tab.click("main a", "model")
    tab.click("main a", "v0")
    tab.wait_for("document.querySelector('main')?.textContent.includes('notes.txt')")
    tab.click("summary, button", "notes.txt")
    tab.wait_for("document.querySelector('main')?.textContent.includes('a note')")


def test_a_session_continues_in_firefox_too(show, digits):
    """Its own code makes the proof that a server asks for after a restart."""
    tab = show(digits.serving, "/")
    credentials = digits.serving.sign_in(api_key="the-key").body.decode()
    # As an earlier start of the server had it.
    tab.evaluate(
        f"Object.assign(localStorage, {credentials},"
        f"{{session: ({credentials}).session.split('.')[0] + '.old'}})"
    )
    tab.goto(f"{digits.serving.url}{PROJECT}")
    shows(tab, "high", "middle", "low")
