"""The basis of every test: checked exchanges, its own home, real child processes."""

from __future__ import annotations

import io
import itertools
import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import exchanges
import pytest
from children import AFNIO_PYTHON, GUARD, INTEGRATIONS_PYTHON, child_environment
from forking import ForkingHost
from hypothesis import HealthCheck, settings
from leftovers import (
    close_default_clients,
    drop_outboxes,
    end_active_run,
    own_default_clients,
)

from afnio_tellurio.delivery import settling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

exchanges.install()
# Before any file of tests imports it.
pytest.register_assert_rewrite("code_blocks")
for number in (signal.SIGINT, getattr(signal, "SIGHUP", signal.SIGINT)):
    # A shell starts background jobs with these ignored, and children would inherit that; a handler
    # they do not inherit.
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, lambda *_: None)


#: Files that cannot be imported without a development tool.
NEEDING = {
    "contract/test_freezing.py": "PyInstaller",
    "contract/test_backend_against_the_contract.py": "schemathesis",
    "contract/test_packaging.py": "cyclonedx",
    "docs/test_github.py": "check_jsonschema",
    "notebook": "jupyter_client",
    "page": "playwright",
    "unit/test_reading.py": "pandas",
}
collect_ignore = [path for path, tool in NEEDING.items() if find_spec(tool) is None]
if not AFNIO_PYTHON.exists():
    NEEDING["afnio"] = f"afnio in {AFNIO_PYTHON.parent.parent}"
    collect_ignore.append("afnio")
if not INTEGRATIONS_PYTHON.exists():
    NEEDING["integrations"] = f"frameworks in {INTEGRATIONS_PYTHON.parent.parent}"
    collect_ignore.append("integrations")
#: Tests that use one of these start processes or use sockets.
LEAVING_THE_PROCESS = {
    "afnio_python", "browser", "faulty", "kernel", "start_python", "start_server", "start_serving",
    "served", "terminal",
}  # fmt: skip
#: The folders and modules of tests whose child processes are measured too.
MEASURED_CHILDREN = {
    "delivery", "notebook", "safeguard", "serving", "test_account", "test_bridge",
    "test_read_only_homes",
    "test_in_a_terminal", "test_lines", "test_programs",
}  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    # Each run of each test would ask git. The tests of it turn it on.
    os.environ["TELLURIO_CAPTURE"] = "0"
    # The same examples each time, even if a busy machine generates them slowly.
    settings.register_profile(
        "any machine",
        derandomize=True,
        database=None,
        deadline=None,
        max_examples=200 if config.getoption("--long") else 25,
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile("any machine")


def pytest_report_header() -> list[str]:
    return [f"not collected, for want of {NEEDING[path]}: tests/{path}" for path in collect_ignore]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--long", action="store_true", help="send, log and interrupt as much as before a release"
    )


def pytest_itemcollected(item: pytest.Item) -> None:
    """Groups tests that share a module's fixture, or the browser, on one worker."""
    if item.get_closest_marker("xdist_group"):
        return
    if item.path.parent.name == "page":
        item.add_marker(pytest.mark.xdist_group("page"))
        return
    fixtures = item._fixtureinfo.name2fixturedefs.values()
    if any(fixture.scope == "module" for each in fixtures for fixture in each):
        item.add_marker(pytest.mark.xdist_group(item.path.stem))


def pytest_collection_finish(session: pytest.Session) -> None:
    # pytest-xdist changes the IDs, which it cannot do in each version of pytest.
    if getattr(session.config.option, "loadgroup", False):
        grouped = [item for item in session.items if item.get_closest_marker("xdist_group")]
        assert all("@" in item.nodeid for item in grouped), "these tests are not grouped"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks quick tests, and starts slow tests first."""
    for item in items:
        names = set(getattr(item, "fixturenames", ()))
        stays = not names & LEAVING_THE_PROCESS and "over HTTP" not in item.name
        repeats = takes_seconds(item) or hasattr(getattr(item, "function", None), "hypothesis")
        if stays and not repeats:
            item.add_marker("quick")
        # Many repetitions of what other tests cover, and tracing doubles their time.
        if repeats:
            item.add_marker("no_cover")
    # The tests of the page run one after another: first.
    items.sort(
        key=lambda item: (item.path.parent.name == "page", takes_seconds(item)), reverse=True
    )


def takes_seconds(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(name) for name in ("slow", "tools"))


@pytest.fixture(autouse=True)
def only_some_children_are_measured(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measures the coverage of child processes only where they show most: it takes time."""
    if not MEASURED_CHILDREN & {request.path.parent.name, request.path.stem}:
        monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


@pytest.fixture(autouse=True)
def every_exchange_keeps_the_contract(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    monkeypatch.setenv(exchanges.DEPARTURES_FILE, str(tmp_path / "departures.txt"))
    exchanges.take_departures()
    yield
    departures = exchanges.take_departures()
    assert not departures, "these exchanges depart from the contract:\n" + "\n".join(departures)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sets up a separate TELLURIO_HOME and configuration for each test, and removes the user's own settings."""
    for name in list(os.environ):
        if name.startswith("TELLURIO_"):
            monkeypatch.delenv(name)
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    monkeypatch.setenv("TELLURIO_HOME", str(tmp_path / "home"))
    # A run ends when everything is delivered, however busy the machine is.
    monkeypatch.setenv("TELLURIO_EXIT_TIMEOUT", str(GUARD))
    monkeypatch.setenv("TELLURIO_CAPTURE", "0")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "configuration"))
    return tmp_path / "home"


@pytest.fixture(autouse=True)
def journals_are_delivered_when_a_test_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves journals that appear after a backend was opened to the test."""
    monkeypatch.setattr(settling, "_watch", lambda *_: None)


@pytest.fixture(autouse=True)
def runs_get_the_same_names_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fixes random names: a random name could be any word that a test looks for."""
    seeds = itertools.count()
    monkeypatch.setattr(random, "SystemRandom", lambda: random.Random(next(seeds)))


@pytest.fixture(autouse=True)
def no_run_stays_active() -> Iterator[None]:
    yield
    end_active_run()
    close_default_clients()
    drop_outboxes()


@pytest.fixture
def start_python() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a Python program in a child process, which is killed if it still runs at the test's end."""
    children: list[subprocess.Popen[str]] = []

    def start(
        *arguments: str,
        may_depart: tuple[str, ...] = (),
        executable: str = sys.executable,
        stdin: bool = False,
        **variables: str,
    ) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [executable, *arguments],
            env=child_environment(*may_depart, **variables),
            stdin=subprocess.PIPE if stdin else None,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        children.append(child)
        return child

    yield start
    for child in children:
        if child.poll() is None:
            child.send_signal(signal.SIGKILL)
        child.communicate()


@pytest.fixture
def run_python(
    start_python: Callable[..., subprocess.Popen[str]],
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a program, passed as text, in a child process until it ends."""

    def run(program: str, **keywords: Any) -> subprocess.CompletedProcess[str]:
        timeout = keywords.pop("timeout", GUARD)
        child = start_python("-c", textwrap.dedent(program), **keywords)
        out, err = child.communicate(timeout=timeout)
        return subprocess.CompletedProcess(child.args, child.returncode, out, err)

    return run


@pytest.fixture(scope="session")
def _forking_host() -> Iterator[ForkingHost | None]:
    # Elsewhere, a fork is missing, or may not use what the system's libraries have set up.
    host = ForkingHost() if sys.platform == "linux" else None
    yield host
    if host:
        host.close()


@pytest.fixture
def run_forked(
    _forking_host: ForkingHost | None,
    run_python: Callable[..., subprocess.CompletedProcess[str]],
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a program as `run_python` does, in a fork of a process that has imported the SDK.

    This takes a sixth of the time. It is a process with its own end, but not for tests of the
    start: of imports, command lines, or what a closed stdin or stdout means.
    """
    return _forking_host.run if _forking_host else run_python


@pytest.fixture
def command(
    start_python: Callable[..., subprocess.Popen[str]],
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `afnio-tellurio` with these arguments in its own process until it ends."""

    def run(
        *arguments: str, stdin: str | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        child = start_python(
            "-m", "afnio_tellurio.cli", *arguments, stdin=stdin is not None, **variables
        )
        out, err = child.communicate(stdin, timeout=GUARD)
        return subprocess.CompletedProcess(arguments, child.returncode, out, err)

    return run


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `afnio-tellurio` with these arguments in this process until it ends.

    stdin is empty and the logger has no handler, as in a new process. A stream that a test passes
    is used in the place of the command's own; None is a closed one.
    """

    from afnio_tellurio import notices
    from afnio_tellurio.cli import main

    def run(
        *arguments: str,
        stdin: str = "",
        may_depart: tuple[str, ...] = (),
        streams: dict[str, Any] | None = None,
        **variables: str,
    ) -> subprocess.CompletedProcess[str]:
        with (
            tempfile.TemporaryFile("w+", encoding="utf-8") as out,
            tempfile.TemporaryFile("w+", encoding="utf-8") as err,
            monkeypatch.context() as patch,
            exchanges.departing(*may_depart),
            own_default_clients(),
        ):
            for name, value in variables.items():
                patch.setenv(name, value)
            own = {"stdin": io.StringIO(stdin), "stdout": out, "stderr": err}
            for name, stream in {**own, **(streams or {})}.items():
                patch.setattr(sys, name, stream)
            # In a new process no warning was shown yet, and pytest's handlers receive none.
            patch.setattr(notices, "_shown", set())
            patch.setattr(logging.getLogger("afnio_tellurio"), "propagate", False)
            try:
                status: Any = main(arguments)
            except SystemExit as error:
                status = error.code
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(arguments, status, out.read(), err.read())

    return run


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Serves a backend over a real socket, from threads of this process, and returns its URL."""
    from afnio_tellurio.backend import BackendUser, open_backend
    from afnio_tellurio.backend.server import Server

    started: list[tuple[Any, Any, threading.Thread]] = []

    def start(
        api_key: str | None = None,
        user: str = "ada",
        namespaces: tuple[str, ...] = ("acme",),
        email: str | None = None,
    ) -> str:
        backend = open_backend(
            tmp_path / "server" / "tellurio.db",
            user=BackendUser(user, email or f"{user}@example.com"),
            api_key=api_key,
            namespaces=namespaces,
            any_namespace=False,
        )
        server = Server(backend, "127.0.0.1", 0)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        started.append((server, backend, thread))
        return server.url

    yield start
    end_active_run()
    for server, backend, thread in started:
        server.stop()
        thread.join()
        server.close()
        backend.close()


@pytest.fixture
def sign_in() -> Callable[[str, str], None]:
    """Stores a key for a backend, as a login does."""
    from afnio_tellurio.api.credentials import write_key

    return write_key


@pytest.fixture
def server(start_server: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> str:
    """A running server with the namespace `acme`; its URL and key are in the environment."""
    url = start_server(api_key="the-key")
    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", url)
    monkeypatch.setenv("TELLURIO_API_KEY", "the-key")
    return url


@pytest.fixture(params=["in process", "over HTTP"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Sets a backend in the environment: the same test runs in process and over HTTP."""
    if request.param == "over HTTP":
        request.getfixturevalue("server")
    else:
        monkeypatch.setenv("TELLURIO_MODE", "local")
    return str(request.param)
