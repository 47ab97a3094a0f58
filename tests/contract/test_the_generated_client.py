"""The generated client by itself: its README's examples and known pitfalls.

tests/typing/ checks the types of the examples.
"""

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import exchanges
import httpx
import pytest
import tellurio_api
from tellurio_api.api.auth import verify_api_key

GENERATED = Path(__file__).parent.parent.parent / "generated"
README = (GENERATED / "tellurio_api" / "README.md").read_text("utf-8")
CLIENTS = [
    tellurio_api.Client("http://backend"),
    tellurio_api.AuthenticatedClient("http://backend", "the-key"),
]


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


EXAMPLES = list(zip(blocks("python"), blocks("text"), strict=True))


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(("program", "shown"), EXAMPLES, ids=["sync", "async"])
def test_an_example_gives_the_output_shown(program, shown, run_python):
    finished = run_python(program)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout == shown


def test_the_readme_names_every_operation():
    for path, item in exchanges.CONTRACT["paths"].items():
        for operation in item.values():
            if isinstance(operation, dict):
                assert f"`{path}` | {operation['summary']} |" in README
    modules = re.findall(r"^\| `(\w+)\.(\w+)` \|", README, re.MULTILINE)
    assert len(modules) == sum(len(set(item) - {"parameters"}) for item in exchanges.CONTRACT["paths"].values())  # fmt: skip
    for tag, name in modules:
        assert (GENERATED / "tellurio_api" / "api" / tag / f"{name}.py").exists()


def test_it_imports_nothing_of_the_ergonomic_layer():
    program = (
        "import importlib, pkgutil, sys\n"
        "sys.modules['afnio_tellurio'] = None  # an import of it fails\n"
        "import tellurio_api\n"
        "for found in pkgutil.walk_packages(tellurio_api.__path__, 'tellurio_api.'):\n"
        "    importlib.import_module(found.name)\n"
        "assert not any(name.startswith('afnio_tellurio.') for name in sys.modules)\n"
        "print(tellurio_api.__file__)"
    )
    environment = {**os.environ, "PYTHONPATH": str(GENERATED)}
    finished = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert finished.stderr == ""
    assert finished.stdout.strip() == str(GENERATED / "tellurio_api" / "__init__.py")


@pytest.mark.parametrize("client", CLIENTS, ids=["Client", "AuthenticatedClient"])
def test_requests_have_a_timeout_unless_told_otherwise(client):
    wanted = httpx.Timeout(30, connect=5)
    assert client.get_httpx_client().timeout == wanted
    assert client.get_async_httpx_client().timeout == wanted
    endless = client.with_timeout(None).get_httpx_client().timeout
    assert endless == httpx.Timeout(None)


def test_a_repr_shows_no_secret():
    client = tellurio_api.AuthenticatedClient(
        "http://backend",
        "the-secret",
        headers={"X-Key": "the-secret"},
        cookies={"session": "the-secret"},
        httpx_args={"auth": ("ada", "the-secret")},
    )
    client.get_httpx_client()
    assert "http://backend" in repr(client)
    assert "the-secret" not in repr(client)
    assert "the-secret" not in repr(client.with_headers({"Y-Key": "the-secret"}))


def test_the_key_is_sent_as_the_contract_wants_it_and_headers_given_stay_as_they_are(server):
    headers = {"X-Name": "value"}
    with tellurio_api.AuthenticatedClient(server, "the-key", headers=headers) as client:
        assert verify_api_key.sync(client=client).username == "ada"
    assert headers == {"X-Name": "value"}
    with tellurio_api.AuthenticatedClient(server, "another-key") as client:
        assert verify_api_key.sync_detailed(client=client).status_code == 401


def test_threads_share_one_pool_from_the_first_request_on(monkeypatch):
    together = threading.Barrier(8)
    slow = threading.Event()

    class SlowClient(httpx.Client):
        def __init__(self, **keywords):
            slow.wait(0.05)
            super().__init__(**keywords)

    monkeypatch.setattr("tellurio_api.client.httpx.Client", SlowClient)
    client = tellurio_api.Client("http://backend")
    found = []

    def get():
        together.wait()
        found.append(client.get_httpx_client())

    threads = [threading.Thread(target=get) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(map(id, found))) == 1


def test_a_client_made_from_another_leaves_that_one_as_it_was():
    client = tellurio_api.AuthenticatedClient("http://backend", "the-key")
    pool = client.get_httpx_client()
    other = client.with_headers({"X-Name": "value"}).with_timeout(httpx.Timeout(1))
    assert "X-Name" not in pool.headers
    assert pool.timeout == httpx.Timeout(30, connect=5)
    assert other.get_httpx_client() is not pool
    assert other.get_httpx_client().headers["X-Name"] == "value"
    assert other.get_httpx_client().headers["Authorization"] == "Api-Key the-key"
