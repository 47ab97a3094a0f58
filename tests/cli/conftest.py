"""The command, the way tests run it."""

import contextlib
import os
import shutil
import sys
import threading
from types import SimpleNamespace

import pytest
from faulty_proxy import FaultyProxy
from terminal import Terminal

import afnio_tellurio as te
from afnio_tellurio.api.calling import RunPath
from afnio_tellurio.bundles.writing import write_bundle
from afnio_tellurio.client import connection_of


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
def no_connect_delay(monkeypatch):
    """A backend that is away is tried again at once."""
    monkeypatch.setattr("afnio_tellurio.api.retries.CONNECT_RETRY_DELAY", 0.0)


@pytest.fixture
def at_terminal(invoke, monkeypatch):
    """Runs `afnio-tellurio` in this process, at a terminal that shows `shown`.

    It is not for signals, nor for what opens the terminal of the process: see `terminal`.
    """
    import fcntl
    import pty
    import struct
    import termios

    def run(*arguments, columns=80, typed="", streams=("stdin", "stdout", "stderr"), **variables):
        screen, side = pty.openpty()
        fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        os.write(screen, typed.encode())
        parts = []

        def read():
            # Linux reports an error when no process has the terminal open anymore.
            with contextlib.suppress(OSError):
                while part := os.read(screen, 65536):
                    parts.append(part)

        reader = threading.Thread(target=read)
        reader.start()
        with contextlib.ExitStack() as files, monkeypatch.context() as patch:
            patch.setenv("TERM", "xterm")
            patch.setenv("PAGER", "cat")
            for name in ("COLUMNS", "LINES", "NO_COLOR"):
                patch.delenv(name, raising=False)
            opened = {
                name: files.enter_context(
                    open(os.dup(side), "r" if name == "stdin" else "w", encoding="utf-8")
                )
                for name in streams
            }
            if "stdout" in opened:
                # The size is that of the first stdout of the process.
                patch.setattr(sys, "__stdout__", opened["stdout"])
            os.close(side)
            finished = invoke(*arguments, streams=opened, **variables)
        reader.join()
        os.close(screen)
        return SimpleNamespace(
            status=finished.returncode, out=finished.stdout, shown=b"".join(parts).decode()
        )

    return run


def _log_files(run):
    """The artifacts and files that the examples name."""
    run.log_text("samples", "a sample")
    for version in range(2):
        model = te.Artifact("model", "model", f"round {version}", {"round": version})
        model.add_text(f"round\n{version}\n", "notes.txt").add_bytes(b"\0\1", "weights.bin")
        run.log_artifact(model, aliases=["best"], wait=True)
    run.use_artifact("model:best")
    old = run.log_artifact(b"old", "old", type="data", wait=True)
    old.delete()


@pytest.fixture(scope="session")
def _home_of_examples(tmp_path_factory):
    home = tmp_path_factory.mktemp("examples") / "home"
    with (
        pytest.MonkeyPatch.context() as patch,
        te.TellurioClient.local(home / "tellurio.db") as client,
    ):
        patch.setenv("TELLURIO_HOME", str(home))
        for name in ("calm_curry_7", "first", "second", "brave_pasta_123"):
            details = {"config": {"lr": 0.1}, "tags": ["draft"]}
            with te.init(
                "acme", "Digits", name, "learning rate 0.1", client=client, **details
            ) as run:
                for step in range(20):
                    run.log("val/loss", 1 / (step + 1), step=step)
                run.log("note", f"{name} is done")
                run.log("odd", float("nan"))
                run.log_rows("candidates", [{"id": 0}, {"id": 1, "score": 0.5}], key="id")
                if name == "first":
                    _log_files(run)
                if name == "second":
                    run.log("only/here", 3)
        te.init("acme", "Digits", "fold", parent=run, client=client).finish()
        te.delete_run("acme", "digits", "calm_curry_7", client)
        first = te.get_run("acme", "digits", "first", client)
        with (home.parent / "first.zip").open("wb") as file:
            path = RunPath("acme", "digits", first.uuid)
            write_bundle(connection_of(client), path, file, lambda _count: None)
    return home


@pytest.fixture
def runs_of_examples(_home_of_examples, home):
    """A database with everything that the examples name."""
    shutil.copytree(_home_of_examples, home)


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
