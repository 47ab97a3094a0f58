"""A real browser, and the data that the pages show."""

import asyncio
import os
import shutil
from types import SimpleNamespace

import pytest
from browser_pages import PATIENCE, Opener, SharedPage
from playwright.sync_api import expect, sync_playwright
from site_server import Serving

import afnio_tellurio as te

expect.set_options(timeout=1000 * PATIENCE)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="session")
def _chromium():
    """One browser for all tests of a worker."""
    if CHROMIUM is None:
        message = "chromium is not installed; scripts/test.sh installs it on Debian"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    with sync_playwright() as playwright:
        # Chromium's sandbox does not work as root, as in containers.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        # Names of test_proxies.py.
        names = "MAP runs.example.com 127.0.0.1, MAP gpu-box 127.0.0.1"
        arguments.append(f"--host-resolver-rules={names}")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        shared = SharedPage(browser)
        loop = asyncio.get_running_loop()
        asyncio._set_running_loop(None)
        yield shared, loop
        asyncio._set_running_loop(loop)
        shared.close()
        browser.close()


@pytest.fixture
def browser(_chromium):
    # Playwright leaves its event loop running, but the tests of other folders start their own.
    shared, loop = _chromium
    asyncio._set_running_loop(loop)
    yield shared
    asyncio._set_running_loop(None)


@pytest.fixture
def serving(tmp_path):
    started = Serving(tmp_path / "server")
    yield started
    started.close()


@pytest.fixture
def client(serving):
    """Writes to the served database, as a local application does."""
    with te.TellurioClient.local(serving.backend.path) as client:
        yield client


@pytest.fixture
def open_page(browser, serving):
    """Opens pages of this test's own database."""
    opener = Opener(browser, serving)
    yield opener
    opener.close()


@pytest.fixture
def open_digits(browser, digits):
    """Opens pages of the database with `digits`, which no test changes."""
    opener = Opener(browser, digits.serving)
    yield opener
    opener.close()


def log_digits(client):
    """Three finished runs with curves in two groups, a matrix, a gap and a crash."""
    runs = {}
    for number, name in enumerate(("low", "middle", "high")):
        run = te.init("acme", "Digits", name, f"the {name} one", client=client)
        for step in range(100):
            run.log("train/loss", (number + 1) / (step + 1), step=step)
            value = float("nan") if 40 <= step < 60 else 1.0 + number
            run.log("train/flat", value, step=step)
        run.log("val/loss", number + 0.5)
        run.log("confusion", [[50, 2], [3, 44]])
        run.finish(status=te.RunStatus.CRASHED if name == "high" else te.RunStatus.COMPLETED)
        runs[name] = run
    return runs


@pytest.fixture
def logged_digits(client):
    """The runs of `digits` in this test's own database."""
    return log_digits(client)


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """The UUIDs of three finished runs by name, and the server that shows them."""
    folder = tmp_path_factory.mktemp("digits")
    serving = Serving(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TELLURIO_HOME", str(folder / "home"))
        with te.TellurioClient.local(serving.backend.path) as client:
            runs = {name: run.uuid for name, run in log_digits(client).items()}
            te.create_project("acme", "Empty", client=client)
    yield SimpleNamespace(serving=serving, **runs)
    serving.close()
