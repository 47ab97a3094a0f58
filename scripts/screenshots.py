"""Takes the pictures of the page in docs/, from runs made for them.

Run it in the environment of the tests: .cache/test/bin/python scripts/screenshots.py
"""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import sync_playwright

import afnio_tellurio as te
from afnio_tellurio.backend import BackendUser, open_backend
from afnio_tellurio.backend.server import Server
from afnio_tellurio.backend.site import Site

if TYPE_CHECKING:
    from playwright.sync_api import Browser

DOCS = Path(__file__).resolve().parent.parent / "docs"
KEY = "the-key"
STEPS = 400
#: Name, learning rate, and how it ends.
TRAININGS = [
    ("baseline", 0.3, te.RunStatus.COMPLETED),
    ("wider", 0.6, te.RunStatus.COMPLETED),
    ("no_warmup", 1.4, te.RunStatus.CRASHED),
    ("long_prompts", 0.45, te.RunStatus.COMPLETED),
    ("distilled", 0.8, te.RunStatus.FAILED),
    ("distilled_2", 0.9, te.RunStatus.RUNNING),
]


def train(client: te.TellurioClient, name: str, rate: float, status: te.RunStatus) -> te.Run:
    noise = random.Random(name)  # noqa: S311 - the same pictures each time
    run = te.init("ada", "Answer Quality", name, f"learning rate {rate}", client=client)
    last = STEPS // 2 if status != te.RunStatus.COMPLETED else STEPS
    for step in range(last):
        progress = 1 - math.exp(-rate * step / 60)
        loss = 2.2 * (1 - 0.8 * progress) + noise.gauss(0, 0.06)
        if status == te.RunStatus.CRASHED and step > last - 20:
            loss = math.nan if step > last - 8 else loss + (step - last + 20) ** 2 / 30
        run.log("train/loss", loss, step=step)
        run.log("train/learning_rate", rate * (1 + math.cos(math.pi * step / STEPS)) / 2, step=step)
        run.log(
            "train/gradient_norm", 0.2 + 1.5 / (1 + step * rate / 8) * noise.random(), step=step
        )
        if step % 10 == 0:
            accuracy = 0.1 + 0.8 * progress + noise.gauss(0, 0.01)
            run.log("validation/accuracy", accuracy, step=step)
            run.log("validation/refusals", 0.3 * math.exp(-step / 90) + 0.02 * rate, step=step)
            run.log("validation/loss", 2.3 * (1 - 0.7 * progress) + rate * 0.05, step=step)
    run.log("confusion_matrix", [[48, 2, 0], [3, 44, 3], [1, 4, 45]])
    if status == te.RunStatus.RUNNING:
        run.flush()
    else:
        run.finish(status=status)
    return run


def take(browser: Browser, address: str, name: str, scheme: str, width: int, height: int) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if scheme else "light"
    )
    url = address.partition("/ada/")[0]
    signed_in = context.request.post(f"{url}/session", data={"api_key": KEY})
    session = json.dumps(signed_in.json()["session"])
    page = context.new_page()
    page.add_init_script(f"localStorage.session = {session}")
    page.goto(address)
    page.locator("figure canvas").first.wait_for()
    page.wait_for_timeout(1500)
    page.screenshot(path=DOCS / name)
    context.close()


def main() -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("chromium is not on PATH: install it")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        database = Path(folder) / "tellurio.db"
        user = BackendUser("ada", "ada@example.com")
        backend = open_backend(database, user=user, api_key=KEY, any_namespace=False)
        server = Server(Site(backend, api_key=KEY, host="127.0.0.1"), "127.0.0.1", 0)
        threading.Thread(target=server.run, daemon=True).start()
        os.environ |= {"TELLURIO_API_KEY": KEY, "TELLURIO_BACKEND_HTTP_BASE_URL": server.url}
        os.environ |= {"TELLURIO_HOME": folder, "TELLURIO_QUIET": "1"}
        with te.TellurioClient() as client:
            runs = [train(client, *training) for training in TRAININGS]
            project = f"{server.url}/ada/projects/answer-quality/"
            compared = "&".join(f"run={run.uuid}" for run in runs[:3])
            browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
            take(browser, f"{project}?smooth=5", "page-project.png", "", 1280, 1060)
            take(browser, f"{project}runs/{runs[0].uuid}/", "page-run.png", "dark", 1280, 1060)
            take(browser, f"{project}compare/?{compared}", "page-comparison.png", "", 1280, 1060)
            take(browser, f"{project}?smooth=5", "page-narrow.png", "dark", 360, 780)
            browser.close()
            runs[-1].finish(client=client)
        server.stop()
        server.close()
        backend.close()


if __name__ == "__main__":
    main()
