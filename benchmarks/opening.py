"""Opens one page in a new browser, until it shows a curve; see `dashboards.py`.

python benchmarks/opening.py ADDRESS
"""

from __future__ import annotations

import json
import sys
from typing import Any

import browser
from playwright.sync_api import sync_playwright

# A curve is a canvas with colored pixels, or a path of SVG with many points. What is outside of the
# window, or small as an icon is, does not count. A canvas that a worker draws can be read as well.
FIRST_CURVE = """
globalThis.firstCurve = patience => new Promise((resolve, reject) => {
  const scratch = document.createElement("canvas");
  scratch.width = 200;
  scratch.height = 100;
  const context = scratch.getContext("2d", {willReadFrequently: true});
  const isColored = (red, green, blue) =>
    Math.max(red, green, blue) - Math.min(red, green, blue) > 40;
  const isShown = element => {
    const {width, height, top} = element.getBoundingClientRect();
    return width > 60 && height > 50 && top < innerHeight;
  };
  const hasColors = canvas => {
    context.clearRect(0, 0, scratch.width, scratch.height);
    if (!canvas.width || !canvas.height) return false;
    context.drawImage(canvas, 0, 0, scratch.width, scratch.height);
    const {data} = context.getImageData(0, 0, scratch.width, scratch.height);
    let count = 0;
    for (let at = 0; at < data.length; at += 4)
      if (data[at + 3] > 60 && isColored(data[at], data[at + 1], data[at + 2])) count += 1;
    return count > 50;
  };
  const isCurve = path => {
    if ((path.getAttribute("d") ?? "").length < 300) return false;
    const {stroke} = getComputedStyle(path);
    return isColored(...(stroke.match(/\\d+/g) ?? [0, 0, 0]).map(Number));
  };
  const roots = root => [
    root,
    ...[...root.querySelectorAll("*")].flatMap(one => (one.shadowRoot ? roots(one.shadowRoot) : []))
  ];
  const look = () => {
    for (const root of roots(document)) {
      const canvases = [...root.querySelectorAll("canvas")];
      const paths = [...root.querySelectorAll("svg path")];
      if (
        canvases.some(one => isShown(one) && hasColors(one)) ||
        paths.some(one => isShown(one) && isCurve(one))
      )
        return resolve(performance.now());
    }
    if (performance.now() > patience) return reject(new Error("The page shows no curve."));
    // More often, it would hold up pages that draw when they are idle.
    setTimeout(look, 100);
  };
  look();
});
"""
#: Milliseconds.
PATIENCE = 120_000


def opened(chromium: Any, address: str) -> dict[str, float]:
    """What the first curve of a page takes, in a new context."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.add_init_script(FIRST_CURVE)
    session = context.new_cdp_session(page)
    counts = {"bytes": 0.0, "requests": 0.0}

    def on_request(_event: object) -> None:
        counts["requests"] += 1

    def on_finished(event: dict[str, Any]) -> None:
        counts["bytes"] += event["encodedDataLength"]

    session.on("Network.requestWillBeSent", on_request)
    session.on("Network.loadingFinished", on_finished)
    session.send("Network.enable")
    page.goto(address, wait_until="commit")
    milliseconds = page.evaluate("patience => firstCurve(patience)", PATIENCE)
    until_then = dict(counts)
    session.send("HeapProfiler.collectGarbage")
    session.send("Performance.enable")
    metrics = session.send("Performance.getMetrics")["metrics"]
    (heap,) = (metric["value"] for metric in metrics if metric["name"] == "JSHeapUsedSize")
    if PICTURE:
        page.screenshot(path=PICTURE[0])
    context.close()
    return {
        "first curve, s": milliseconds / 1000,
        "transferred, KiB": until_then["bytes"] / 1024,
        "requests": until_then["requests"],
        "JavaScript heap, MiB": heap / 2**20,
    }


#: For checks by eye: the file of a screenshot, taken just after the first curve.
PICTURE = sys.argv[2:]


def main() -> None:
    # A page that asks for fonts or telemetry elsewhere gets no answer, as without a network.
    local = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=browser.executable(), args=[*browser.arguments(), local]
        )
        measured = opened(chromium, sys.argv[1])
        version = chromium.version
        chromium.close()
    print(json.dumps({"version": version, "measured": measured}))


if __name__ == "__main__":
    main()
