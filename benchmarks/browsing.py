"""What people wait for at the page, in a real browser; see `page.py`.

python benchmarks/browsing.py views|updates ADDRESS KEY RUN
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import browser
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

# The page's clock at the first frame in which so many of something stand there, drawn.
ARRIVAL = """
globalThis.arrival = (selector, count) => new Promise((resolve, reject) => {
  const began = performance.now();
  const look = () => {
    if (performance.now() > began + 30000) reject(new Error(`no ${selector} comes`));
    const found = document.querySelectorAll(selector).length >= count;
    requestAnimationFrame(() => (found ? resolve(performance.now()) : look()));
  };
  look();
});
"""
#: Selectors, and how many there must be.
PROJECTS = ("[aria-label=Projects] tbody tr", 3)
# A cell of a metric has its number only when the summaries are there.
TABLE = ("[aria-label=Runs] tbody tr:nth-child(50) td:last-child:not(:empty)", 1)
GRID = ("figure canvas", 20)
CURVE = ("main:has(h1 .status) figure canvas", 1)
DIFFERENCES = ("[aria-label=Differences] tbody tr:nth-child(24)", 1)
#: Seconds between two polls, and how often we look at it.
POLL, POLLS = 2, 10


class Visitor:
    """Somebody with a browser."""

    def __init__(self, chromium: Browser, address: str, key: str) -> None:
        self._chromium = chromium
        self.address = address
        self.key = key

    @contextmanager
    def tab(self, path: str) -> Iterator[Page]:
        """A page in a new context, without anything from before but the key's cookie."""
        context: BrowserContext = self._chromium.new_context(
            viewport={"width": 1600, "height": 2400}
        )
        signed_in = context.request.post(
            f"{self.address}/session",
            data=json.dumps({"api_key": self.key}),
            headers={"Content-Type": "application/json", "Origin": self.address},
        )
        assert signed_in.ok, signed_in.status
        page = context.new_page()
        page.add_init_script(ARRIVAL)
        page.goto(f"{self.address}{path}", wait_until="commit")
        yield page
        context.close()


def arrival(page: Page, what: tuple[str, int]) -> float:
    """Milliseconds since the navigation began."""
    return float(page.evaluate("([selector, count]) => arrival(selector, count)", list(what)))


def switched(page: Page, link: str, what: tuple[str, int]) -> float:
    """Milliseconds from the click to the view."""
    script = """async ([link, selector, count]) => {
      const before = performance.now();
      document.querySelector(link).click();
      return (await arrival(selector, count)) - before;
    }"""
    return float(page.evaluate(script, [link, *what]))


def first_views(visitor: Visitor, run: str) -> dict[str, float]:
    found = {}
    with visitor.tab("/") as page:
        found["projects"] = arrival(page, PROJECTS)
    with visitor.tab("/bench/projects/many/") as page:
        found["table"] = arrival(page, TABLE)
    with visitor.tab("/bench/projects/many/") as page:
        found["grid"] = arrival(page, GRID)
    with visitor.tab(f"/bench/projects/long/runs/{run}/") as page:
        found["long"] = arrival(page, CURVE)
    return found


def switches(visitor: Visitor) -> dict[str, float]:
    found = {}
    with visitor.tab("/") as page:
        arrival(page, PROJECTS)
        link = '[aria-label=Projects] a[href="/bench/projects/many/"]'
        found["to the project"] = switched(page, link, ("[aria-label=Runs] tbody tr", 50))
        arrival(page, GRID)
        link = "[aria-label=Runs] tbody tr a"
        found["to a run"] = switched(page, link, CURVE)
        link = 'nav a[href="/bench/projects/many/"]'
        found["back to the project"] = switched(page, link, ("[aria-label=Runs] tbody tr", 50))
        arrival(page, GRID)
        page.wait_for_selector("a[href*='/compare/']")
        found["to the comparison"] = switched(page, "a[href*='/compare/']", DIFFERENCES)
        link = "nav a[href='/']"
        found["to the projects"] = switched(page, link, PROJECTS)
    return found


def appearance(visitor: Visitor) -> float:
    """Milliseconds from the answer to a request that logs a point until the page shows it."""
    with visitor.tab("/bench/projects/fresh/") as page:
        shown = page.locator("[aria-label=Runs] tbody tr:first-child td:last-child")
        runs = f"{visitor.address}/api/v0/bench/projects/fresh/runs/"

        def send(path: str, body: dict[str, Any]) -> Any:
            headers = {"Authorization": f"Api-Key {visitor.key}"}
            answer = page.context.request.post(f"{runs}{path}", data=body, headers=headers)
            assert answer.ok, answer.text()
            return answer.json()

        run = send("", {})["uuid"]
        send(f"{run}/metrics/", {"name": "loss", "value": 1})
        shown.filter(has_text="1").wait_for()
        longest = 0.0
        for value in range(2, 2 + POLLS):
            # At any moment between two polls.
            page.wait_for_timeout(1000 * POLL * (value / POLLS % 1))
            send(f"{run}/metrics/", {"name": "loss", "value": value})
            before = time.perf_counter()
            shown.filter(has_text=str(value)).wait_for()
            longest = max(longest, (time.perf_counter() - before) * 1000)
    return longest


def updates(visitor: Visitor) -> dict[str, float]:
    """Milliseconds of script, and of all work of the page, for each of its polls."""
    with visitor.tab("/bench/projects/live/") as page:
        arrival(page, GRID)
        page.wait_for_timeout(3 * POLL * 1000)
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable")

        def spent() -> dict[str, float]:
            metrics: list[dict[str, Any]] = session.send("Performance.getMetrics")["metrics"]
            return {one["name"]: one["value"] for one in metrics}

        samples = [spent()]
        for _ in range(POLLS):
            page.wait_for_timeout(POLL * 1000)
            samples.append(spent())
    periods = list(itertools.pairwise(samples))
    script = [
        (after["ScriptDuration"] - before["ScriptDuration"]) * 1000 for before, after in periods
    ]
    whole = [(after["TaskDuration"] - before["TaskDuration"]) * 1000 for before, after in periods]
    return {
        "script": sum(script) / POLLS,
        "script, most": max(script),
        "all work": sum(whole) / POLLS,
    }


def main() -> None:
    _, what, address, key, run = sys.argv
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=browser.executable(), args=browser.arguments()
        )
        visitor = Visitor(chromium, address, key)
        if what == "views":
            found = first_views(visitor, run) | switches(visitor)
            found["appearance"] = appearance(visitor)
        else:
            found = updates(visitor)
        version = chromium.version
        chromium.close()
    print(json.dumps({"version": version, "found": found}))


if __name__ == "__main__":
    main()
