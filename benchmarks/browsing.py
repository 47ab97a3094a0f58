"""The times that people wait for the page, in a real browser; see `page.py`.

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
    from collections.abc import Generator

# The page's time at the first frame that shows `count` elements.
ARRIVAL = """
globalThis.arrival = (selector, count) => new Promise((resolve, reject) => {
  const began = performance.now();
  const look = () => {
    if (performance.now() > began + 30000) reject(new Error(`${selector} does not appear`));
    const found = document.querySelectorAll(selector).length >= count;
    requestAnimationFrame(() => (found ? resolve(performance.now()) : look()));
  };
  look();
});
"""
#: Selectors, and the least number of elements.
PROJECTS = ("[aria-label=Projects] tbody tr", 3)
# A cell of a metric has its number only after the summaries were loaded.
TABLE = ("[aria-label=Runs] tbody tr:nth-child(50) td:last-child:not(:empty)", 1)
LIST = ("[aria-label=Runs] .runs li", 50)
GRID = ("figure canvas", 20)
CURVE = ("main:has(h1 .status) figure canvas", 1)
# Below the facts, metrics and their summaries.
DIFFERENCES = ("[aria-label=Differences] tbody:nth-of-type(2) tr:nth-child(9)", 1)
#: Seconds between two polls, and the number of polls that are measured.
POLL, POLLS = 2, 10


class Visitor:
    """A person with a browser."""

    def __init__(self, chromium: Browser, address: str, key: str) -> None:
        self._chromium = chromium
        self.address = address
        self.key = key

    @contextmanager
    def tab(self, path: str) -> Generator[Page]:
        """A page in a new context, empty except for a session."""
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
        page.add_init_script(f"localStorage.session = {json.dumps(signed_in.json()['session'])}")
        page.add_init_script(ARRIVAL)
        page.goto(f"{self.address}{path}", wait_until="commit")
        yield page
        context.close()


def arrival(page: Page, elements: tuple[str, int]) -> float:
    """Milliseconds from the start of the navigation until the elements are shown."""
    return float(page.evaluate("([selector, count]) => arrival(selector, count)", list(elements)))


def switch(page: Page, link: str, elements: tuple[str, int]) -> float:
    """Milliseconds from the click to the view."""
    script = """async ([link, selector, count]) => {
      const before = performance.now();
      document.querySelector(link).click();
      return (await arrival(selector, count)) - before;
    }"""
    return float(page.evaluate(script, [link, *elements]))


def first_views(visitor: Visitor, run: str) -> dict[str, float]:
    durations: dict[str, float] = {}
    with visitor.tab("/") as page:
        durations["projects"] = arrival(page, PROJECTS)
    with visitor.tab("/bench/projects/many/?tab=table") as page:
        durations["table"] = arrival(page, TABLE)
    with visitor.tab("/bench/projects/many/") as page:
        durations["grid"] = arrival(page, GRID)
    with visitor.tab(f"/bench/projects/long/runs/{run}/") as page:
        durations["long"] = arrival(page, CURVE)
    return durations


def switches(visitor: Visitor) -> dict[str, float]:
    durations: dict[str, float] = {}
    with visitor.tab("/") as page:
        arrival(page, PROJECTS)
        link = '[aria-label=Projects] a[href="/bench/projects/many/"]'
        durations["to the project"] = switch(page, link, LIST)
        arrival(page, GRID)
        link = "[aria-label=Runs] .runs a"
        durations["to a run"] = switch(page, link, CURVE)
        link = 'nav a[href="/bench/projects/many/"]'
        durations["back to the project"] = switch(page, link, LIST)
        arrival(page, GRID)
        page.wait_for_selector("a[href*='/compare/']")
        durations["to the comparison"] = switch(page, "a[href*='/compare/']", DIFFERENCES)
        link = "nav a[href='/']"
        durations["to the projects"] = switch(page, link, PROJECTS)
    return durations


def appearance(visitor: Visitor) -> float:
    """Milliseconds from logging a point until the page shows it."""
    with visitor.tab("/bench/projects/fresh/?tab=table") as page:
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
        session: Any = page.context.new_cdp_session(page)
        session.send("Performance.enable")

        def spent() -> dict[str, float]:
            metrics: list[dict[str, Any]] = session.send("Performance.getMetrics")["metrics"]
            return {metric["name"]: metric["value"] for metric in metrics}

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
        "script, maximum": max(script),
        "all work": sum(whole) / POLLS,
    }


def main() -> None:
    _, part, address, key, run = sys.argv
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=browser.executable(), args=browser.arguments()
        )
        visitor = Visitor(chromium, address, key)
        if part == "views":
            durations = first_views(visitor, run) | switches(visitor)
            durations["appearance"] = appearance(visitor)
        else:
            durations = updates(visitor)
        version = chromium.version
        chromium.close()
    print(json.dumps({"version": version, "durations": durations}))


if __name__ == "__main__":
    main()
