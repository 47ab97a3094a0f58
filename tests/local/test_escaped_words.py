"""A word for a number means the same however a program's encoder escapes it."""

import json

import httpx
import pytest

from afnio_tellurio.backend import BackendUser, open_backend

COLUMNS = "application/vnd.tellurio.columns+json"
RUNS = "/api/v0/acme/projects/digits/runs/"
#: JSON, the value that it is in an object, and the value in columns.
VALUES = [
    (r'"\u004eaN"', "NaN", "NaN"),
    (r'"\u005cNaN"', "\\NaN", "\\\\NaN"),
    (r'["\u005C\\Infinity"]', ["\\\\Infinity"], ["\\\\\\Infinity"]),
    (r'{"\u005cNaN": "-\u0049nfinity"}', {"\\NaN": "-Infinity"}, {"\\NaN": "-Infinity"}),
]


@pytest.fixture
def metrics(tmp_path):
    """Sends a request to the metrics of a run: a method, the end of the path, and more."""
    backend = open_backend(tmp_path / "x.db", user=BackendUser("ada", "ada@example.com"))
    transport = httpx.WSGITransport(app=backend)
    with httpx.Client(base_url="http://embedded", transport=transport) as client:
        client.post("/api/v0/acme/projects/", json={"display_name": "Digits"})
        path = f"{RUNS}{client.post(RUNS, json={}).json()['uuid']}/metrics/"
        yield lambda method, end="", **more: client.request(method, path + end, **more)
    backend.close()


def listed(metrics):
    """The values in objects, and those in columns."""
    objects = [metric["value"] for metric in metrics("GET").json()]
    (columns,) = metrics("GET", headers={"Accept": COLUMNS}).json()
    return objects, columns["value"]


def test_words_in_objects(metrics):
    for text, _, _ in VALUES:
        body = f'{{"name": "m", "value": {text}}}'
        answer = metrics("POST", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 201
    objects, columns = listed(metrics)
    assert objects == [value for _, value, _ in VALUES]
    assert columns == [value for _, _, value in VALUES]


def test_words_in_columns(metrics):
    texts = [json.dumps(value).replace("\\\\", "\\u005c") for _, _, value in VALUES]
    count = len(texts)
    columns = {"name": [0] * count, "timestamp": [1] * count, "names": ["m"]}
    columns |= {"writer": "7d444840-9dc0-11d1-b245-5ffdce74fad2", "first_sequence_number": 0}
    body = f'{json.dumps(columns)[:-1]}, "value": [{", ".join(texts)}]}}'
    answer = metrics("POST", "batch/", content=body, headers={"Content-Type": COLUMNS})
    assert answer.json()["accepted"] == count
    assert listed(metrics) == ([value for _, value, _ in VALUES], [value for _, _, value in VALUES])
