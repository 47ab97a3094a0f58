"""The command, the way tests run it."""

import threading

import pytest
from faulty_proxy import FaultyProxy
from terminal import Terminal

import afnio_tellurio as te


@pytest.fixture
def terminal():
    """Runs `afnio-tellurio` with these arguments in a terminal."""
    started = []

    def start(*arguments, **keywords):
        if "executable" not in keywords:
            arguments = ("-m", "afnio_tellurio.cli", *arguments)
        started.append(Terminal(*arguments, **keywords))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def runs_of_examples(home):
    """A database with everything that the examples name."""
    with te.TellurioClient.local(home / "tellurio.db") as client:
        for name in ("first", "second", "brave_pasta_123"):
            with te.init("acme", "Digits", name, "learning rate 0.1", client=client) as run:
                for step in range(20):
                    run.log("val/loss", 1 / (step + 1), step=step)
                run.log("note", f"{name} is done")
                run.log("odd", float("nan"))
                if name == "second":
                    run.log("only/here", 3)


@pytest.fixture
def served(home, runs_of_examples):
    """The URL of a server of that database."""
    from afnio_tellurio.backend import BackendUser, open_backend
    from afnio_tellurio.backend.server import Server

    backend = open_backend(
        home / "tellurio.db",
        user=BackendUser.of_this_machine(),
        api_key="the-key",
        namespaces=("acme",),
        any_namespace=False,
    )
    server = Server(backend, "127.0.0.1", 0)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield server.url
    server.stop()
    thread.join()
    server.close()
    backend.close()


@pytest.fixture
def proxy(served, monkeypatch):
    """The URL in the environment: a proxy in front of that server, with the faults that a test sets."""
    proxy = FaultyProxy(served)
    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", proxy.url)
    monkeypatch.setenv("TELLURIO_API_KEY", "the-key")
    yield proxy
    proxy.close()
