"""A browser stays signed in while `serve` is killed and started again."""

import re
import signal
import time

import pytest
from browser_pages import EXPECTED, POLL, eventually, let_time_pass
from children import GUARD
from playwright.sync_api import expect
from ports import port_to_reuse

import afnio_tellurio as te

PROJECT = "acme/projects/digits/"
LOST = re.compile("Can't reach the server")


@pytest.fixture
def serve(start_python):
    """Starts `serve`, on the same port each time; returns the process and the printed link."""
    port = port_to_reuse()

    def start(*arguments, port=port):
        child = start_python(
            "-m", "afnio_tellurio.cli", "serve", "--no-browser", "--port", str(port), *arguments
        )
        while not (line := child.stdout.readline()).startswith("Open in your browser"):
            assert line, child.stderr.read()
        return child, line.split()[-1]

    return start


@pytest.fixture
def open_tab(browser):
    """Opens an address in a browser of its own, whose messages are judged at the end."""
    contexts, messages = [], []

    def open_in_new_browser(address):
        context = browser.browser.new_context()
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(1000 * GUARD)
        page.add_init_script("globalThis.asked = []")
        page.clock.install()
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.goto(address)
        return page

    yield open_in_new_browser
    for context in contexts:
        context.close()
    assert [text for text in messages if not EXPECTED.search(text)] == []


@pytest.fixture
def run():
    with te.TellurioClient.local() as client:
        with te.init("acme", "Digits", "first", client=client) as run:
            run.log("loss", 0.5)
        yield run


def killed(child):
    child.send_signal(signal.SIGKILL)
    child.wait(timeout=GUARD)


def address_in(link, path):
    return link.replace("/#", f"/{path}#")


def runs_of(page):
    return page.locator("[aria-label=Runs] a.name")


def test_an_open_tab_goes_on_after_a_restart(serve, open_tab, run):
    child, link = serve()
    page = open_tab(address_in(link, PROJECT))
    expect(runs_of(page)).to_have_text(["first"])
    secret = page.evaluate("localStorage.secret")
    sent = []
    page.on("request", lambda request: sent.append(str(request.all_headers()) + request.url))
    killed(child)
    eventually(page, expect(page.locator(".banner")).to_have_text, LOST)
    serve()
    with te.TellurioClient.local() as client:
        te.init("acme", "Digits", "second", client=client).finish()
    eventually(page, expect(runs_of(page)).to_have_text, ["second", "first"])
    expect(page.locator(".banner")).to_have_text("")
    page.reload()
    expect(runs_of(page)).to_have_text(["second", "first"])
    assert not [text for text in sent if secret in text]


def test_a_page_that_is_opened_after_a_restart_is_signed_in(serve, open_tab, run):
    child, link = serve()
    page = open_tab(link)
    expect(page.get_by_role("link", name="Digits")).to_be_visible()
    killed(child)
    child, _link = serve()
    page.goto(address_in(link, PROJECT).partition("#")[0])
    expect(runs_of(page)).to_have_text(["first"])
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("API key")).to_be_visible()
    assert page.evaluate("[localStorage.session, localStorage.secret]") == [None, None]
    killed(child)
    serve()
    page.reload()
    expect(page.get_by_label("API key")).to_be_visible()


def test_signing_out_right_after_a_restart_ends_the_session(serve, open_tab, run):
    child, link = serve()
    page = open_tab(link)
    expect(page.get_by_role("link", name="Digits")).to_be_visible()
    stored = page.evaluate("({...localStorage})")
    killed(child)
    serve()
    # Before a poll: the page's clock stands between two of them.
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("API key")).to_be_visible()
    # Even if somebody has kept what the browser had.
    page.evaluate("stored => Object.assign(localStorage, stored)", stored)
    page.reload()
    expect(page.get_by_label("API key")).to_be_visible()


def test_a_poll_that_is_slower_than_signing_out_does_not_sign_in_again(serve, open_tab, run):
    child, link = serve()
    page = open_tab(link)
    expect(page.get_by_role("link", name="Digits")).to_be_visible()
    killed(child)
    serve()
    held = []
    asks = lambda request: request.method == "GET" and request.url.endswith("/session")  # noqa: E731
    page.route(
        "**/session", lambda route: held.append(route) if asks(route.request) else route.continue_()
    )

    def take_next():
        deadline = time.monotonic() + GUARD
        while not held:
            assert time.monotonic() < deadline
            page.evaluate("0")
        return held.pop(0)

    let_time_pass(page, POLL)
    poll = take_next()
    page.get_by_role("button", name="Sign out").click()
    take_next().continue_()
    expect(page.get_by_label("API key")).to_be_visible()
    with page.expect_response(lambda response: response.request == poll.request):
        poll.continue_()
    page.unroute_all()
    # This takes the steps that the poll still has to take, after it.
    page.evaluate(
        """async () => {
            await (await fetch("/session")).json();
            const algorithm = {name: "HMAC", hash: "SHA-256"};
            const key = await crypto.subtle.importKey("raw", new Uint8Array(64), algorithm, false, ["sign"]);
            await crypto.subtle.sign("HMAC", key, new Uint8Array(64));
        }"""
    )
    assert page.evaluate("localStorage.session ?? null") is None


def test_the_printed_link_lets_several_browsers_in_until_a_restart(serve, open_tab, run):
    child, link = serve()
    for _ in range(2):
        page = open_tab(link)
        expect(page.get_by_role("link", name="Digits")).to_be_visible()
        assert page.url == link.partition("#")[0]
    killed(child)
    _child, new_link = serve()
    page = open_tab(link)
    expect(page.get_by_label("API key")).to_be_visible()
    # In a tab that has the page already, as people paste it.
    page.evaluate("link => { location.href = link }", new_link)
    expect(page.get_by_role("link", name="Digits")).to_be_visible()
    assert page.url == link.partition("#")[0]


def test_two_servers_of_a_host_do_not_sign_each_others_browsers_out(serve, open_tab, run):
    _first, link = serve()
    page = open_tab(link)
    expect(page.get_by_role("link", name="Digits")).to_be_visible()
    _second, other_link = serve(port=port_to_reuse())
    page.goto(other_link)
    expect(page.get_by_role("link", name="Digits")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("API key")).to_be_visible()
    page.goto(link.partition("#")[0])
    expect(page.get_by_role("link", name="Digits")).to_be_visible()
