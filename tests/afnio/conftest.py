"""afnio, from PyPI and in an environment of its own, with a stand-in for its platform."""

import json
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from children import AFNIO_PYTHON, GUARD
from forking import ForkingHost

import afnio_tellurio as te

#: What afnio imports, which takes most of a second.
REQUIREMENTS = (
    "IPython.display",
    "dotenv",
    "keyring",
    "openai",
    "rich.progress",
    "websockets.client",
)


@pytest.fixture(scope="session")
def afnio_python():
    return str(AFNIO_PYTHON)


@dataclass
class Platform:
    """The stand-in for afnio's WebSocket, and our backend, which `serve` serves."""

    url: str
    variables: dict[str, str]
    calls_file: Path

    def client(self):
        """A client of the backend."""
        client = te.TellurioClient(self.url)
        client.login("the-key")
        return client

    @property
    def calls(self):
        """The calls that it received on its WebSocket."""
        if not self.calls_file.exists():
            return []
        return [json.loads(line) for line in self.calls_file.read_text().splitlines()]


@pytest.fixture
def platform(start_server, start_python, afnio_python, tmp_path):
    url = start_server(
        api_key="the-key",
        user="testuser",
        email="test@tellurio.ai",
        namespaces=("acme", "your-username", "tellurio-test"),
    )
    calls = tmp_path / "calls.ndjson"
    stand_in = start_python(
        str(Path(__file__).parent / "stand_in.py"),
        str(calls),
        executable=afnio_python,
        STAND_IN_KEY="the-key",
    )
    started = json.loads(stand_in.stdout.readline())
    base, _, port = url.rpartition(":")
    variables = {
        "TELLURIO_BACKEND_HTTP_BASE_URL": base,
        "TELLURIO_BACKEND_HTTP_PORT": port,
        "TELLURIO_BACKEND_WS_BASE_URL": "ws://127.0.0.1",
        "TELLURIO_BACKEND_WS_PORT": str(started["websocket"]),
        "TELLURIO_API_KEY": "the-key",
        "OPENAI_API_KEY": "model-key",
        "ALLOW_API_KEY_SHARING": "true",
    }
    return Platform(url, variables, calls)


@pytest.fixture
def home_of_afnio(tmp_path, monkeypatch):
    # Its home has afnio's own file, and programs of afnio write checkpoints to where they run.
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def start_afnio(start_python, afnio_python, home_of_afnio):
    """Runs Python in the environment of afnio until it ends."""

    def start(*arguments, **variables):
        child = start_python(*arguments, executable=afnio_python, **variables)
        out, err = child.communicate(timeout=GUARD)
        return subprocess.CompletedProcess(child.args, child.returncode, out, err)

    return start


@pytest.fixture(scope="session")
def host(afnio_python):
    # Not afnio itself, which starts a thread: a fork would lose it.
    host = ForkingHost(afnio_python, REQUIREMENTS)
    yield host
    host.close()


@pytest.fixture
def run_afnio(host, home_of_afnio):
    """Runs a program that uses afnio until it ends."""
    return host.run


@pytest.fixture
def silent_port():
    """A port whose listener accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]
