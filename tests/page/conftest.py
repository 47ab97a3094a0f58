"""A real browser, and what no page may do in any test."""

import os
import re
import shutil

import pytest
from playwright.sync_api import sync_playwright
from site_server import KEY, Serving

import afnio_tellurio as te

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# What a browser itself writes: of answers that are errors, of a test that reads a canvas.
EXPECTED = re.compile(
    r"Failed to load resource|Password forms should have|Canvas2D: Multiple readback"
)


@pytest.fixture(scope="module")
def browser():
    # While it is there, an event loop runs, which the tests of other modules could not start one beside.
    if CHROMIUM is None:
        message = "there is no chromium; scripts/test.sh installs it on Debian"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    with sync_playwright() as playwright:
        # Root, as in containers, has no sandbox.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield opened
        opened.close()


@pytest.fixture
def serving(tmp_path):
    started = Serving(tmp_path / "server")
    yield started
    started.close()


@pytest.fixture
def client(serving):
    """Writes to the database that is served, as an application on this machine does."""
    with te.TellurioClient.local(serving.backend.path) as client:
        yield client


@pytest.fixture
def open_page(browser, serving):
    """Opens an address, signed in, and watches what the page does."""
    contexts, told, elsewhere = [], [], []

    def start(path="/", *, width=1280, height=900, scheme="light", signed_in=True, **options):
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, **options
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: told.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: told.append(f"error: {error} {error.stack}"))
        page.on(
            "dialog", lambda dialog: (told.append(f"dialog: {dialog.message}"), dialog.dismiss())
        )
        page.on(
            "request",
            lambda request: (
                request.url.startswith((serving.url, "data:", "blob:"))
                or elsewhere.append(request.url)
            ),
        )
        if signed_in:
            body = f'{{"api_key": "{KEY}"}}'
            context.request.post(
                f"{serving.url}/session",
                data=body,
                headers={"Content-Type": "application/json", "Origin": serving.url},
            )
        page.goto(f"{serving.url}{path}")
        return page

    yield start
    for context in contexts:
        context.close()
    assert elsewhere == []
    assert [line for line in told if not EXPECTED.search(line)] == []


@pytest.fixture
def digits(client):
    """Three finished runs with curves in two groups, a matrix, a gap and a crash."""
    made = {}
    for number, name in enumerate(("low", "middle", "high")):
        run = te.init("acme", "Digits", name, f"the {name} one", client=client)
        for step in range(100):
            run.log("train/loss", (number + 1) / (step + 1), step=step)
            value = float("nan") if 40 <= step < 60 else 1.0 + number
            run.log("train/flat", value, step=step)
        run.log("val/loss", number + 0.5)
        run.log("confusion", [[50, 2], [3, 44]])
        run.finish(status=te.RunStatus.CRASHED if name == "high" else te.RunStatus.COMPLETED)
        made[name] = run
    return made
