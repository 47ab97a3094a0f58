"""Open tabs of the page without a browser, and programs that record; see `polling.py`."""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

import afnio_tellurio as te

if TYPE_CHECKING:
    from collections.abc import Callable

PROJECT = "polled"
API = f"/api/v0/bench/projects/{PROJECT}/"
NAMES = [f"{'train' if number % 2 else 'val'}/metric_{number}" for number in range(20)]
#: As in `backend.js` and `page.js`: seconds between two polls, which are at least this many times
#: as long as the answer took; the metrics in one request; the selected runs.
POLL, SHARE, PART, SELECTED = 2.0, 10, 12, 10
COLUMNS = 3


def record(number: int, count: int) -> object:
    """Logs `count` metrics as fast as it can, after a line on stdin.

    Returns:
        The time when it began, and when all was delivered.
    """
    run = te.init("bench", PROJECT, f"writer_{number}")
    for name in NAMES:
        run.log(name, 0.0, step=0)
    run.flush()
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.time()
    for index in range(count):
        run.log(NAMES[index % len(NAMES)], 1 / (index + 1), step=1 + index // len(NAMES))
    receipt = run.finish()
    ended = time.time()
    # Metrics that wait or were rejected are an error here.
    assert receipt.accepted == len(NAMES) + count, receipt
    return [began, ended]


class Tab:
    """A tab that shows a project's table and the first of its charts.

    Attributes:
        durations: The seconds that each answer took.
        problems: The requests that failed.
    """

    def __init__(self, address: str, key: str) -> None:
        parts = urlsplit(address)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        self._headers = {"Authorization": f"Api-Key {key}"}
        self._updated: str | None = None
        self._cursors: dict[int, str] = {}
        self._runs: list[str] = []
        self.durations: list[float] = []
        self.problems: list[str] = []

    def show(self, ended: threading.Event) -> None:
        """Polls until it is closed."""
        # The page has a timer for each of these, and starts them together.
        polls: list[Callable[[], None]] = [self._list, self._name, self._summarize]
        polls += [partial(self._sample, start) for start in range(0, len(NAMES), PART)]
        due = [0.0] * len(polls)
        while not ended.wait(max(0.0, min(due) - time.monotonic())):
            index = due.index(min(due))
            before = time.monotonic()
            polls[index]()
            after = time.monotonic()
            due[index] = after + max(POLL, SHARE * (after - before))

    def _list(self) -> None:
        query: dict[str, object] = {"limit": 1000}
        if self._updated:
            query["updated_after"] = self._updated
        runs: list[dict[str, str]] = json.loads(self._answer("runs/", query) or b"[]")
        self._runs = self._runs or [run["uuid"] for run in runs[:SELECTED]]
        self._updated = max((run["date_updated"] for run in runs), default=self._updated)

    def _name(self) -> None:
        self._answer("metrics/", {"run": self._runs})

    def _summarize(self) -> None:
        self._answer("metrics/summary/", {"name": NAMES[:COLUMNS], "run": self._runs})

    def _sample(self, start: int) -> None:
        names = NAMES[start : start + PART]
        query: dict[str, object] = {"run": self._runs, "name": names, "buckets": 300}
        if cursor := self._cursors.get(start):
            query["cursor"] = cursor
        body = self._answer("metrics/sample/", query)
        if body:
            # A browser parses all of it, usually on another machine.
            self._cursors[start] = body[: body.index(b'"', 12)].partition(b':"')[2].decode()

    def _answer(self, path: str, query: dict[str, object]) -> bytes:
        before = time.monotonic()
        try:
            self._connection.request(
                "GET", f"{API}{path}?{urlencode(query, doseq=True)}", headers=self._headers
            )
            answer = self._connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            self.problems.append(f"{path}: {error!r}")
            return b""
        self.durations.append(time.monotonic() - before)
        if answer.status != http.HTTPStatus.OK:
            self.problems.append(f"{path}: {answer.status} {body[:200]!r}")
            return b""
        return body


def main() -> None:
    """Opens tabs, until two lines have come from stdin: `tabs.py ADDRESS KEY COUNT`."""
    _, address, key, count = sys.argv
    ended = threading.Event()
    tabs = [Tab(address, key) for _ in range(int(count))]
    threads = [threading.Thread(target=tab.show, args=(ended,)) for tab in tabs]
    for thread in threads:
        thread.start()
        # Nobody opens that many at once.
        time.sleep(POLL / len(tabs))
    print("ready", flush=True)
    sys.stdin.readline()
    first = [len(tab.durations) for tab in tabs]
    sys.stdin.readline()
    ended.set()
    for thread in threads:
        thread.join()
    measured = [
        duration
        for tab, start in zip(tabs, first, strict=True)
        for duration in tab.durations[start:]
    ]
    problems = [problem for tab in tabs for problem in tab.problems]
    print(json.dumps({"durations": measured, "problems": problems}))


if __name__ == "__main__":
    main()
