"""The local backend, used only through HTTP."""

from __future__ import annotations

import httpx
import pytest

from afnio_tellurio.backend import BackendUser, open_backend

RUNS = "/api/v0/acme/projects/digits/runs/"


def _parameters(request):
    return request.node.callspec.params.values() if hasattr(request.node, "callspec") else ()


@pytest.fixture
def database(request, tmp_path):
    """The database file of `api`, or of a backend that the test opens."""
    is_served = "over HTTP" in _parameters(request)
    return tmp_path / ("server/tellurio.db" if is_served else "backend.db")


@pytest.fixture(params=["in process", "over HTTP"])
def api(request, database):
    """An HTTP client of the backend, in process or over a socket, with the project acme/digits."""
    if request.param == "over HTTP":
        headers = {"Authorization": "Api-Key the-key"}
        url = request.getfixturevalue("start_server")(api_key="the-key")
        client = httpx.Client(base_url=url, headers=headers)
        backend = None
    else:
        backend = open_backend(database, user=BackendUser("ada", "ada@example.com"))
        client = httpx.Client(
            base_url="http://embedded", transport=httpx.WSGITransport(app=backend)
        )
    with client:
        created = client.post("/api/v0/acme/projects/", json={"display_name": "Digits"})
        assert created.status_code == 201
        yield client
    if backend is not None:
        backend.close()


@pytest.fixture
def run(api):
    """The path of a new run."""
    return f"{RUNS}{api.post(RUNS, json={}).json()['uuid']}/"


@pytest.fixture
def embedded(database):
    """An HTTP client of a backend in this process, with the project acme/digits."""
    backend = open_backend(database, user=BackendUser("ada", "ada@example.com"))
    transport = httpx.WSGITransport(app=backend)
    with httpx.Client(base_url="http://embedded", transport=transport) as client:
        client.backend = backend
        client.post("/api/v0/acme/projects/", json={"display_name": "Digits"})
        yield client
    backend.close()
