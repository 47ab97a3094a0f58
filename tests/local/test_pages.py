"""The pages of the lists that the local backend divides by name."""

import uuid

import exchanges
import httpx
import pytest

from afnio_tellurio.backend import BackendUser, open_backend

PROJECTS = "/api/v0/acme/projects/"
PROJECT = f"{PROJECTS}digits/"
NAMES = ["A", "a", "a\x00", "a\x00b", "b/1", "b/10", "b/2", "\u00e9", "\U0001f600"]


@pytest.fixture
def api(tmp_path):
    backend = open_backend(tmp_path / "x.db", user=BackendUser("ada", "ada@example.com"))
    transport = httpx.WSGITransport(app=backend)
    with httpx.Client(base_url="http://embedded", transport=transport) as client:
        for slug in ("zebra", "acme", "Acme", "b_2", "b-1"):
            client.post(f"/api/v0/{slug}/projects/", json={"display_name": "Digits"})
        for number in range(7):
            client.post(PROJECTS, json={"display_name": f"P {number}"})
        for start in range(3):
            run = client.post(f"{PROJECT}runs/", json={"uuid": str(uuid.UUID(int=start + 1))})
            path = f"{PROJECT}runs/{run.json()['uuid']}/metrics/"
            for name in NAMES[start:]:
                client.post(path, json={"name": name, "value": start})
        yield client
    backend.close()


LISTS = {
    "/api/v0/namespaces/": 5,
    PROJECTS: 8,
    f"{PROJECT}metrics/": 9,
    f"{PROJECT}metrics/summary/": 9,
    f"{PROJECT}metrics/summary/?name=a&name=b/2&name=b/1&name=none": 3,
    f"{PROJECT}metrics/?run={uuid.UUID(int=3)}": 7,
    f"{PROJECT}metrics/summary/?run={uuid.UUID(int=3)}&run={uuid.UUID(int=1)}": 9,
}


def pages(api, path, limit):
    cursor = None
    while True:
        query = {"limit": limit} | ({} if cursor is None else {"cursor": cursor})
        answer = api.get(httpx.URL(path).copy_merge_params(query))
        assert answer.status_code == 200, answer.text
        yield answer.json()
        cursor = answer.headers.get("Next-Cursor")
        if cursor is None:
            return


@pytest.mark.parametrize("path", LISTS)
def test_pages_are_the_whole_list_and_full_but_for_the_last(api, path):
    whole = api.get(path)
    assert "Next-Cursor" not in whole.headers
    assert len(whole.json()) == LISTS[path]
    for limit in (1, 2, LISTS[path] - 1, LISTS[path], LISTS[path] + 1, 1000):
        parts = list(pages(api, path, limit))
        assert [item for part in parts for item in part] == whole.json()
        assert all(len(part) == limit for part in parts[:-1])
        assert len(parts[-1]) > 0, "there is no empty page"


@pytest.mark.parametrize("path", LISTS)
def test_what_appears_or_goes_between_two_pages_repeats_and_hides_nothing_else(api, path):
    whole = api.get(path).json()
    following = pages(api, path, 2)
    seen = next(following)
    if "metrics" in path:
        run = f"{PROJECT}runs/{uuid.UUID(int=3)}/metrics/"
        api.post(run, json={"name": "0", "value": 1})
    else:
        api.post("/api/v0/0/projects/", json={"display_name": "x"})
        api.delete(f"{PROJECTS}digits/")
        whole = [item for item in whole if item["slug"] != "digits" or item in seen]
    for part in following:
        seen += part
    name = "name" if "metrics" in path else "slug"
    assert [item[name] for item in seen] == [item[name] for item in whole]


@pytest.mark.parametrize("path", [path for path in LISTS if "?" not in path])
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"), ("limit=1001", "limit"), ("limit=x", "limit"), ("limit=", "limit"),
        ("cursor=x", "cursor"), ("cursor=MTIz", "cursor"), ("cursor=", "cursor"),
        ("cursor=Ilx1ZDgwMCI=", "cursor"),
    ],
)  # fmt: skip
def test_another_limit_or_cursor_is_refused(api, path, query, field):
    with exchanges.departing("request"):
        answer = api.get(f"{path}?{query}")
    assert (answer.status_code, list(answer.json())) == (400, [field, "code"])


def test_a_namespace_or_selection_without_anything_has_one_empty_page(api):
    for path in ("/api/v0/nobody/projects/", f"{PROJECT}metrics/summary/?name=none"):
        assert list(pages(api, path, 2)) == [[]]
