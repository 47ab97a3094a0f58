"""Pages in a real browser: what no page may do, and how a test waits for an expectation."""

import re
import time
import weakref
from pathlib import Path

from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

#: Milliseconds until a poll is due: two seconds, or ten times the duration of the last one.
POLL = 30_000
#: Seconds to wait for something to appear. Other tests need the machine as well.
PATIENCE = 30
# Messages of the browser itself: about error responses, and about a test that reads a canvas.
EXPECTED = re.compile(
    r"Failed to load resource|Password forms should have|Canvas2D: Multiple readback"
)
# The page's requests, and the bytes of their responses.
RECORD_REQUESTS = """
globalThis.asked = [];
const send = globalThis.fetch;
globalThis.fetch = async (url, ...others) => {
  const request = { url: String(url), size: 0, isOver: false };
  asked.push(request);
  try {
    const answer = await send(url, ...others);
    request.size = (await answer.clone().arrayBuffer()).byteLength;
    return answer;
  } finally {
    request.isOver = true;
  }
};
"""
AXE = Path(__file__).parent.parent / ".cache" / "node" / "node_modules" / "axe-core" / "axe.min.js"
ANSWERED = "(part) => asked.filter(({ url, isOver }) => isOver && url.includes(part))"


#: Names that a page must show as they are.
HOSTILE = [
    "<script>alert(1)</script>", "'\"><img src=x onerror=alert(1)>", "\u202etxt.exe\n\x1b[2J", "__proto__",
    "../../%2e%00%ff", "=1+1", "x" * 255,
]  # fmt: skip
#: The page's own words, outside of names, that are written from right to left.
REVERSED = """
() => {
  const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const left = (node, index) => {
    const range = document.createRange();
    range.setStart(node, index);
    range.setEnd(node, index + 1);
    return range.getBoundingClientRect().left;
  };
  const reversed = [];
  while (words.nextNode()) {
    const node = words.currentNode;
    const first = node.data.search(/[a-z]{2}/);
    if (node.parentElement.closest("bdi, option, style, svg text") || first < 0) continue;
    if (left(node, first) > left(node, first + 1)) reversed.push(node.data);
  }
  return reversed;
}
"""

#: Pages whose clock a test has moved: no other test can use them.
_moved = weakref.WeakSet()


class SharedPage:
    """A page that one test after another uses: a new one takes four times as long to load."""

    def __init__(self, browser):
        self.browser = browser
        self._page = None

    def take(self):
        """The page, with nothing that an earlier test has left."""
        if self._page is None:
            self._page = _new_page(self.browser.new_context())
        return self._page

    def put_back(self, url):
        """Removes what a test leaves, and stops the page's scripts."""
        page = self._page
        page.unroute_all()
        page.mouse.move(0, 0)
        page.evaluate("localStorage.clear(), sessionStorage.clear()")
        # A file of the same site, so that the browser keeps the process.
        page.goto(f"{url}/assets/page.css")
        if page in _moved:
            self.close()

    def close(self):
        if self._page is not None:
            self._page.context.close()
            self._page = None


def _new_page(context):
    page = context.new_page()
    page.set_default_timeout(1000 * PATIENCE)
    page.add_init_script(RECORD_REQUESTS)
    # Time passes as usual, and a test can also move it forward: see `eventually`.
    page.clock.install()
    return page


class Opener:
    """Opens pages of a server, signed in, and checks what they do.

    A test has one page at a time, unless it opens one with options of its own.
    """

    def __init__(self, shared, serving):
        self._shared = shared
        self._serving = serving
        self._page = None
        self._contexts = []
        self._messages = []
        self._foreign_requests = []
        self._listeners = {
            "console": lambda message: self._messages.append(f"{message.type}: {message.text}"),
            "pageerror": lambda error: self._messages.append(f"error: {error} {error.stack}"),
            "dialog": self._dismiss,
            "request": self._watch,
        }

    def __call__(
        self, path="/", *, width=1280, height=900, scheme="light", signed_in=True, **options
    ):
        if options:
            context = self._shared.browser.new_context(**options)
            self._contexts.append(context)
            page = _new_page(context)
            self._listen(page)
        elif self._page is None:
            page = self._page = self._shared.take()
            self._listen(page)
        else:
            page = self._page
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme=scheme)
        if signed_in:
            # The storage of an origin can be set from any of its files.
            page.goto(f"{self._serving.url}/assets/page.css")
            session = self._serving.signed_in().removeprefix("Session ")
            page.evaluate("session => { localStorage.session = session }", session)
        page.goto(f"{self._serving.url}{path}")
        return page

    def _listen(self, page):
        for event, listener in self._listeners.items():
            page.on(event, listener)

    def _dismiss(self, dialog):
        self._messages.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _watch(self, request):
        if not request.url.startswith((self._serving.url, "data:", "blob:")):
            self._foreign_requests.append(request.url)

    def take_messages(self):
        """Returns what the browser has written so far, which the test then has to judge."""
        taken = [line for line in self._messages if not EXPECTED.search(line)]
        self._messages.clear()
        return taken

    def close(self):
        for context in self._contexts:
            context.close()
        if self._page is not None:
            for event, listener in self._listeners.items():
                self._page.remove_listener(event, listener)
            self._shared.put_back(self._serving.url)
        assert self._foreign_requests == [], self._foreign_requests
        unexpected = self.take_messages()
        assert unexpected == [], unexpected


def serious_barriers(page):
    """The elements of a page that some people cannot read or use, by the rule that they break."""
    # This bypasses the page's own policy, which allows no other script.
    page.evaluate(AXE.read_text("utf-8"))
    # What users have logged has frames of another origin, to which axe can't send messages.
    run = "async () => (await axe.run(document, {iframes: false})).violations"
    violations = page.evaluate(run)
    return [
        (violation["id"], [node["html"][:120] for node in violation["nodes"]][:3])
        for violation in violations
        if violation["impact"] in {"serious", "critical"}
    ]


def let_time_pass(page, milliseconds):
    """Moves the page's clock forward at once, and then calls each timer that is due.

    No request is in flight meanwhile: a request that seems slow makes the page poll less often.
    """
    page.wait_for_function("() => asked.every(({ isOver }) => isOver)")
    _moved.add(page)
    page.clock.fast_forward(milliseconds)


def eventually(page, expectation, *arguments):
    """Moves the page's clock from poll to poll until an expectation holds.

    Args:
        page: The page.
        expectation: A method of `expect(...)`, or of `Requests`.
        arguments: Its arguments.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        let_time_pass(page, POLL)
        try:
            return expectation(*arguments, timeout=250)
        except AssertionError:
            if time.monotonic() > deadline:
                raise


class Requests:
    """The answered requests of a page whose addresses contain a text."""

    def __init__(self, page, part):
        self._page = page
        self._part = part

    def all(self):
        return self._page.evaluate(ANSWERED, self._part)

    def to_be_more_than(self, count, timeout=1000 * PATIENCE):
        try:
            self._page.wait_for_function(
                f"([part, count]) => ({ANSWERED})(part).length > count",
                arg=[self._part, count],
                timeout=timeout,
            )
        except PlaywrightTimeoutError as error:
            raise AssertionError(f"no more than {count} requests for {self._part}") from error
