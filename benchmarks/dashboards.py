"""How long each tool's own page takes to show the first curve of the same project."""

from __future__ import annotations

import json
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from environments import (
    OURS,
    PEERS,
    Tool,
    environment_of,
    environment_with,
    options,
    python_of,
)
from page import served
from processes import WORKLOAD, fresh_folder, run_workload, variables_of
from results import figure, table, write_section

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextlib import AbstractContextManager
    from pathlib import Path

OPENING = WORKLOAD.parent / "opening.py"
MEASURES = ("first curve, s", "transferred, KiB", "requests", "JavaScript heap, MiB")
LOOPBACK = "127.0.0.1"
#: Seconds that a server has to answer.
PATIENCE = 180.0
#: TensorBoard's server, which is not part of the tool that writes its files.
TENSORBOARD = Tool("tensorboard")


class Dashboard(NamedTuple):
    """A tool's page.

    Attributes:
        label: What it shows.
        serve: Starts the tool's server on a folder, and yields the page's address once the server
            answers.
    """

    label: str
    serve: Callable[[Path], AbstractContextManager[str]]


def main() -> None:
    parser = options(__doc__, rounds=5, peers="trackio,mlflow,tensorboardX")
    parser.add_argument("--runs", default=10, type=int)
    parser.add_argument("--metrics", default=10, type=int)
    parser.add_argument("--points", default=1000, type=int, help="steps of each metric")
    chosen = parser.parse_args()
    tools = [tool for tool in chosen.tools if tool.name in DASHBOARDS]
    browser = environment_with("playwright")
    version = ""
    measured: dict[str, list[dict[str, float]]] = {}
    with fresh_folder() as root:
        folders = {tool.name: root / tool.name for tool in tools}
        for tool in tools:
            folders[tool.name].mkdir()
            print(f"recording with {tool.name}", file=sys.stderr)
            shape = (chosen.runs, chosen.metrics, chosen.points)
            run_workload(tool, folders[tool.name], "project", *shape)
        for number in range(chosen.rounds):
            for tool in tools:
                dashboard = DASHBOARDS[tool.name]
                with dashboard.serve(folders[tool.name]) as address:
                    answer = _open(browser, address)
                version = answer["version"]
                measured.setdefault(dashboard.label, []).append(answer["measured"])
                print(f"round {number + 1}: {dashboard.label}: {answer}", file=sys.stderr)
    rows: list[list[str]] = []
    for label, rounds in measured.items():
        typical = [
            figure(statistics.median(round_[measure] for round_ in rounds)) for measure in MEASURES
        ]
        rows.append([label, *typical, figure(max(round_[MEASURES[0]] for round_ in rounds))])
    shown = [TENSORBOARD if tool.name == "tensorboardX" else tool for tool in tools]
    write_section(
        chosen.results,
        "Dashboards",
        shown,
        f"The same project with each tool: {chosen.runs} runs with {chosen.metrics} metrics of "
        f"{chosen.points:,} points each. Each tool's own server runs with its default settings on "
        f"this machine; once it answers, headless Chromium {version} opens the page "
        "in a new context, with an empty cache and without other hosts. Measured are the time from "
        "the navigation to the first curve in the window (a canvas with colored pixels, or a path "
        "of SVG, looked for every 100 ms), the bytes and requests until then, and the JavaScript "
        "heap after a garbage collection. "
        f"Medians of {chosen.rounds} rounds, in which the tools take turns.",
        table(["page", *MEASURES, "slowest first curve, s"], rows),
    )


def _open(environment: Path, address: str) -> Any:
    finished = subprocess.run(
        [python_of(environment), OPENING, address], stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(finished.stdout)


@contextmanager
def _ours(folder: Path) -> Generator[str]:
    with served(environment_of(OURS), folder) as (address, token):
        yield f"{address}/bench/projects/bench/#token={token}"


@contextmanager
def _trackio(folder: Path) -> Generator[str]:
    port = _free_port()
    show = f"import trackio; trackio.show('bench', open_browser=False, server_port={port})"
    with _server(_tool("trackio"), folder, "-c", show):
        address = f"http://{LOOPBACK}:{port}"
        _wait(address)
        yield f"{address}/?project=bench"


@contextmanager
def _mlflow(folder: Path) -> Generator[str]:
    port = _free_port()
    store = f"sqlite:///{folder}/mlflow.db"
    command = ["-m", "mlflow", "server", "--backend-store-uri", store, "--port", str(port)]
    with _server(_tool("mlflow"), folder, *command):
        address = f"http://{LOOPBACK}:{port}"
        _wait(f"{address}/health")
        yield f"{address}/#/experiments/0/runs?compareRunsMode=CHART"


@contextmanager
def _tensorboard(folder: Path) -> Generator[str]:
    port = _free_port()
    events = str(folder / "events")
    command = ["-m", "tensorboard.main", "--logdir", events, "--port", str(port)]
    with _server(TENSORBOARD, folder, *command):
        address = f"http://{LOOPBACK}:{port}"
        # It answers before it has read its files.
        runs = len(list((folder / "events").iterdir()))
        deadline = time.monotonic() + PATIENCE
        while len(_wait(f"{address}/data/plugin/scalars/tags")) < runs:
            if time.monotonic() > deadline:
                sys.exit("tensorboard does not load its files")
            time.sleep(0.2)
        yield f"{address}/"


#: By the tool that writes the data.
DASHBOARDS = {
    OURS.name: Dashboard("afnio_tellurio: the project", _ours),
    "trackio": Dashboard("trackio: the project", _trackio),
    "mlflow": Dashboard("mlflow: charts of the experiment", _mlflow),
    "tensorboardX": Dashboard("tensorboard: time series", _tensorboard),
}


def _tool(name: str) -> Tool:
    return next(peer for peer in PEERS if peer.name == name)


@contextmanager
def _server(tool: Tool, folder: Path, *command: str) -> Generator[None]:
    """A tool's server."""
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [python_of(environment_of(tool)), *command],
            cwd=folder,
            env=variables_of(tool, folder),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            yield
        finally:
            server.terminate()
            server.wait()


def _wait(address: str) -> Any:
    """The answer of a server, as JSON if it is; it may still be starting."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(address, timeout=PATIENCE) as answer:
                content = answer.read()
                is_json = "json" in answer.headers.get("Content-Type", "")
                return json.loads(content) if is_json else content
        except urllib.error.URLError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
