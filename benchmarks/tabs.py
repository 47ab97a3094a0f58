"""Open tabs of the page, without their browser, and who records meanwhile; see `polling.py`."""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from urllib.parse import urlencode, urlsplit

import afnio_tellurio as te

PROJECT = "polled"
API = f"/api/v0/bench/projects/{PROJECT}/"
NAMES = [f"{'train' if number % 2 else 'val'}/metric_{number}" for number in range(20)]
#: As `backend.js` and `page.js` have it: seconds between two polls, how many times as long as the
#: answer took they are apart at least, and the metrics and runs that are asked for at once.
POLL, SHARE, PART, SELECTED = 2.0, 10, 12, 10
COLUMNS = 3


def record(number: int, count: int) -> object:
    """Logs so many metrics as fast as it can, when it is told to go.

    Returns:
        The clock when it began, and when all was delivered.
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
    # What waits or was rejected is an error here.
    assert receipt.accepted == len(NAMES) + count, receipt
    return [began, ended]


class Tab:
    """A tab that shows a project's table and the first of its charts.

    Attributes:
        durations: The seconds that each answer took.
        problems: The answers that were none.
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
        polls = [self._list, self._name, self._summarize]
        polls += [lambda start=start: self._sample(start) for start in range(0, len(NAMES), PART)]
        due = [0.0] * len(polls)
        while not ended.wait(max(0.0, min(due) - time.monotonic())):
            place = due.index(min(due))
            before = time.monotonic()
            polls[place]()
            after = time.monotonic()
            due[place] = after + max(POLL, SHARE * (after - before))

    def _list(self) -> None:
        asked = {"updated_after": self._updated} if self._updated else {}
        found = json.loads(self._answer("runs/", {"limit": 1000, **asked}) or b"[]")
        self._runs = self._runs or [run["uuid"] for run in found[:SELECTED]]
        self._updated = max((run["date_updated"] for run in found), default=self._updated)

    def _name(self) -> None:
        self._answer("metrics/", {"run": self._runs})

    def _summarize(self) -> None:
        self._answer("metrics/summary/", {"name": NAMES[:COLUMNS], "run": self._runs})

    def _sample(self, start: int) -> None:
        asked = {"run": self._runs, "name": NAMES[start : start + PART], "buckets": 300}
        cursor = self._cursors.get(start)
        body = self._answer("metrics/sample/", {**asked, **({"cursor": cursor} if cursor else {})})
        if body:
            # A browser parses it all; that is another machine's work.
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
    """Opens tabs until standard input ends: `tabs.py ADDRESS KEY COUNT`."""
    _, address, key, count = sys.argv
    ended = threading.Event()
    tabs = [Tab(address, key) for _ in range(int(count))]
    threads = [threading.Thread(target=tab.show, args=(ended,)) for tab in tabs]
    for thread in threads:
        thread.start()
        # Nobody opens so many at once.
        time.sleep(POLL / len(tabs))
    print("ready", flush=True)
    sys.stdin.readline()
    first = [len(tab.durations) for tab in tabs]
    sys.stdin.readline()
    ended.set()
    for thread in threads:
        thread.join()
    measured = [
        one for tab, start in zip(tabs, first, strict=True) for one in tab.durations[start:]
    ]
    problems = [problem for tab in tabs for problem in tab.problems]
    print(json.dumps({"durations": measured, "problems": problems}))


if __name__ == "__main__":
    main()
