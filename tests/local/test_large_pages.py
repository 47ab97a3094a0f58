"""Lists of large items: the pages are bounded, and a program can read all of them."""

import httpx
import pytest

from afnio_tellurio.backend import BackendUser, open_backend
from afnio_tellurio.backend.requests import MAX_PAGE_LENGTH

RUNS = "/api/v0/acme/projects/digits/runs/"
LARGE = 3_000_000


@pytest.fixture
def api(tmp_path):
    backend = open_backend(tmp_path / "x.db", user=BackendUser("ada", "ada@example.com"))
    transport = httpx.WSGITransport(app=backend)
    with httpx.Client(base_url="http://embedded", transport=transport) as client:
        client.post("/api/v0/acme/projects/", json={"display_name": "Digits"})
        yield client
    backend.close()


def pages(api, path, limit):
    """The pages of a list."""
    query = {"limit": limit}
    while True:
        answer = api.get(path, params=query)
        assert answer.status_code == 200, answer.text[:300]
        assert len(answer.content) < MAX_PAGE_LENGTH + LARGE
        yield answer.json()
        if "Next-Cursor" not in answer.headers:
            return
        query["cursor"] = answer.headers["Next-Cursor"]


@pytest.mark.parametrize("field", ["config", "notes", "description"])
def test_large_runs_end_a_page_of_runs(api, field):
    text = "x" * LARGE
    names = [f"r{number}" for number in range(7)]
    for name in names:
        api.post(RUNS, json={"name": name, field: {"text": text} if field == "config" else text})
    parts = list(pages(api, RUNS, 1000))
    assert [run["name"] for part in parts for run in part] == names[::-1]
    assert [len(part) for part in parts] == [2, 2, 2, 1]
    assert [len(part) for part in pages(api, RUNS, 2)] == [2, 2, 2, 1]
    assert [len(part) for part in pages(api, RUNS, 1)] == [1] * 7


def test_large_patches_end_a_page_of_config_changes(api):
    path = f"{RUNS}{api.post(RUNS, json={}).json()['uuid']}/"
    for number in range(7):
        api.patch(path, json={"config_patch": {"text": f"{number}" * LARGE}})
    parts = list(pages(api, f"{path}config-changes/", 1000))
    assert [item["patch"]["text"][0] for part in parts for item in part] == list("0123456")
    assert [len(part) for part in parts] == [2, 2, 2, 1]


def test_an_item_that_is_larger_than_a_page_is_a_page(api, monkeypatch):
    monkeypatch.setattr("afnio_tellurio.backend.requests.MAX_PAGE_LENGTH", 1000)
    for _ in range(3):
        api.post(RUNS, json={"config": {"text": "x" * 2000}})
    assert [len(part) for part in pages(api, RUNS, 1000)] == [1, 1, 1]


def test_a_list_without_a_limit_is_whole(api, monkeypatch):
    monkeypatch.setattr("afnio_tellurio.backend.requests.MAX_PAGE_LENGTH", 1000)
    for _ in range(3):
        api.post(RUNS, json={"config": {"text": "x" * 2000}})
    answer = api.get(RUNS)
    assert "Next-Cursor" not in answer.headers
    assert len(answer.json()) == 3
