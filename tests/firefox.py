"""Firefox as the distribution has it, without a window, driven by WebDriver BiDi.

Playwright drives a Firefox that is patched for it. Its protocol for others knows commands that an
ESR does not have yet. WebDriver BiDi itself is a standard, and Firefox has it without a driver.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import subprocess
from pathlib import Path

from browser_pages import EXPECTED
from tornado.websocket import websocket_connect

#: Nothing that reaches other servers, or that a person is asked about.
PREFERENCES = {
    "app.normandy.enabled": False,
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,",
    "toolkit.telemetry.enabled": False,
}
#: Seconds to wait for anything: a start took 50 on a machine with ten times too much to do.
PATIENCE = 120
MAX_MESSAGE = 64 * 2**20
KEYS = {"Enter": "\ue007", "Tab": "\ue004", "Space": " "}
#: Clicks the element once it is there. A script does it: nothing can come between the search for it
#: and the click, and the tests of Chromium use the mouse.
CLICK = """
(selector, text) => new Promise(resolve => {
    const look = () => {
        const element = [...document.querySelectorAll(selector)]
            .find(one => one.checkVisibility() && !one.disabled && one.textContent.includes(text));
        if (!element) return requestAnimationFrame(look);
        element.focus();
        element.click();
        resolve(0);
    };
    look();
})
"""


class Firefox:
    """A Firefox with one tab, and the messages of its console."""

    def __init__(self, executable, profile):
        lines = [f"user_pref({json.dumps(k)}, {json.dumps(v)});" for k, v in PREFERENCES.items()]
        (Path(profile) / "user.js").write_text("\n".join(lines))
        self._process = subprocess.Popen(
            [executable, "--headless", "--no-remote", "--profile", str(profile),
             "--remote-debugging-port", "0"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._loop = asyncio.new_event_loop()
        self._numbers = itertools.count(1)
        self._messages = []
        try:
            self._begin()
        except BaseException:  # raised again: no process must stay behind
            self._process.kill()
            raise

    def _begin(self):
        address = self._address()
        self._socket = self._run(self._connect(f"{address}/session"))
        self.send("session.new", capabilities={})
        self.send("session.subscribe", events=["log.entryAdded"])
        (tab,) = self.send("browsingContext.getTree")["contexts"]
        self._tab = tab["context"]

    def _address(self):
        for line in self._process.stderr:
            found = re.search(r"WebDriver BiDi listening on (ws://\S+)", line)
            if found:
                return found[1]
        raise AssertionError("Firefox ended before it could be reached")

    @staticmethod
    async def _connect(address):
        return await websocket_connect(address, max_message_size=MAX_MESSAGE)

    def _run(self, coroutine):
        return self._loop.run_until_complete(asyncio.wait_for(coroutine, PATIENCE))

    def send(self, method, **params):
        """Sends a command and returns its result."""
        return self._run(self._send(method, params))

    async def _close(self):
        # In its event loop, which tornado looks for.
        self._socket.close()

    async def _send(self, method, params):
        number = next(self._numbers)
        await self._socket.write_message(
            json.dumps({"id": number, "method": method, "params": params})
        )
        while True:
            text = await self._socket.read_message()
            assert text is not None, "Firefox has ended"
            message = json.loads(text)
            if message.get("method") == "log.entryAdded":
                entry = message["params"]
                self._messages.append(f"{entry['level']}: {entry['text']}")
            if message.get("id") == number:
                assert message["type"] == "success", message
                return message["result"]

    def goto(self, url):
        """Loads a page, also one whose address differs only in its fragment."""
        for address in ("about:blank", url):
            self.send("browsingContext.navigate", context=self._tab, url=address, wait="complete")

    def resize(self, width, height=900):
        viewport = {"width": width, "height": height}
        self.send("browsingContext.setViewport", context=self._tab, viewport=viewport)

    def evaluate(self, expression):
        """Returns the value of an expression, as JSON has it."""
        result = self.send(
            "script.evaluate",
            expression=f"(async () => JSON.stringify(await ({expression})) ?? null)()",
            target={"context": self._tab},
            awaitPromise=True,
        )
        assert result["type"] == "success", result
        text = result["result"].get("value")
        return None if text is None else json.loads(text)

    def wait_for(self, expression):
        """Returns the value of an expression once it is true."""
        return self.evaluate(
            "new Promise(resolve => { const look = () => {"
            f"const found = {expression};"
            "found ? resolve(found) : requestAnimationFrame(look) }; look() })"
        )

    def click(self, selector, text=""):
        """Clicks the first visible element that has the text, once it is there."""
        self.evaluate(f"({CLICK})({json.dumps(selector)}, {json.dumps(text)})")

    def press(self, *keys):
        """Presses keys one after another: characters, or names such as Enter."""
        values = [KEYS.get(key, key) for key in keys]
        actions = [
            {"type": kind, "value": value} for value in values for kind in ("keyDown", "keyUp")
        ]
        self._act({"type": "key", "id": "keyboard", "actions": actions})

    def _act(self, source):
        self.send("input.performActions", context=self._tab, actions=[source])

    def take_messages(self):
        """Returns the warnings and errors of the console since the last call."""
        # A command that is answered after all that came before it.
        self.evaluate("0")
        taken = [line for line in self._messages if line.startswith(("error", "warn"))]
        self._messages.clear()
        return [line for line in taken if not EXPECTED.search(line)]

    def close(self):
        self._run(self._close())
        self._process.terminate()
        self._process.wait(timeout=PATIENCE)
        self._process.stderr.close()
        self._loop.close()
