"""Tables of a run, through HTTP: rows in batches, exact values, pages, deletion."""

import contextlib
import json
import sqlite3
import uuid

import exchanges
import httpx
import pytest

from afnio_tellurio.backend import BackendUser, application, open_backend
from afnio_tellurio.backend.store import removal

PROJECTS = "/api/v0/acme/projects/"
RUNS = f"{PROJECTS}digits/runs/"
JSON = {"Content-Type": "application/json"}


def rows_in(path, query):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def row(name="table", *, key=None, **fields):
    """A row as requests have it."""
    return {"name": name, "value": fields, "is_row": True} | (
        {} if key is None else {"row_key": key}
    )


def log_batch(api, run, metrics, first=0, writer=None):
    body = {
        "writer": writer or str(uuid.uuid4()), "first_sequence_number": first, "metrics": metrics,
    }  # fmt: skip
    answer = api.post(f"{run}metrics/batch/", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def list_rows(api, run, name="table", **query):
    answer = api.get(f"{run}tables/rows/", params={"name": name, **query})
    assert answer.status_code == 200, answer.text
    return answer


def values(api, run, name="table"):
    return [each["value"] for each in list_rows(api, run, name).json()]


def test_rows_and_metrics_of_a_batch_go_where_they_belong(api, run):
    receipt = log_batch(
        api, run,
        [{"name": "loss", "value": 1}, row(a=1), {"name": "loss", "value": {"a": 2}}, row("other", a=3),
         row(a=4)],
    )  # fmt: skip
    assert receipt == {"accepted": 5, "next_sequence_number": 5}
    assert values(api, run) == [{"a": 1}, {"a": 4}]
    assert values(api, run, "other") == [{"a": 3}]
    assert [each["value"] for each in api.get(f"{run}metrics/").json()] == [1, {"a": 2}]
    assert [each["number"] for each in list_rows(api, run).json()] == [0, 1]


def test_a_repeated_batch_records_a_row_once(api, run):
    writer = str(uuid.uuid4())
    metrics = [row(a=0), {"name": "loss", "value": 0}, row(a=1), {"name": "loss", "value": 1}]
    log_batch(api, run, metrics[:2], writer=writer)
    receipt = log_batch(api, run, metrics, writer=writer)
    assert receipt == {"accepted": 2, "next_sequence_number": 4}
    assert log_batch(api, run, metrics, writer=writer)["accepted"] == 0
    assert values(api, run) == [{"a": 0}, {"a": 1}]
    assert [each["value"] for each in api.get(f"{run}metrics/").json()] == [0, 1]


def test_a_single_row_is_answered_with_its_number(api, run):
    time = "2026-11-23T10:15:30.123456Z"
    for number in range(2):
        body = row(a=number) | {"timestamp": time, "step": 99}
        answer = api.post(f"{run}metrics/", json=body)
        assert answer.status_code == 201
        assert answer.json() == {
            "name": "table", "value": {"a": number}, "step": number, "timestamp": time,
        }  # fmt: skip
    assert list_rows(api, run).json()[1] == {"number": 1, "value": {"a": 1}, "timestamp": time}


def test_values_are_kept_as_they_were_sent(api, run):
    value = '{"z":1e5,"a":0.10,"big":123456789012345678901234567890,"\\u00e4":[{"b":null}]}'
    body = f'{{"name":"table","value":{value},"is_row":true}}'
    assert api.post(f"{run}metrics/", content=body, headers=JSON).status_code == 201
    assert f'"value":{value},' in list_rows(api, run).text


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"value": 5}, "must be an object, because it is a row."),
        ({"value": [{"a": 1}]}, "must be an object, because it is a row."),
        ({"value": None}, "must be an object, because it is a row."),
        ({"value": {"a": 1}, "row_key": "b"}, "must have the field 'b', because row_key names it."),
        ({"value": {"a": 1}, "row_key": ""}, "row_key"),
        ({"value": {"a": 1}, "is_row": "yes"}, "is_row"),
    ],
)
def test_what_is_not_a_row_is_refused_and_nothing_is_recorded(api, run, fields, words):
    body = {
        "writer": str(uuid.uuid4()), "first_sequence_number": 0,
        "metrics": [row(a=1), {"name": "loss", "value": 1}, row() | fields],
    }  # fmt: skip
    with exchanges.departing("request"):
        single = api.post(f"{run}metrics/", json=row() | fields)
        batch = api.post(f"{run}metrics/batch/", json=body)
    for answer in (single, batch):
        assert answer.status_code == 400
        assert words in json.dumps(answer.json())
    assert values(api, run) == []
    assert api.get(f"{run}tables/").json() == api.get(f"{run}metrics/").json() == []


@pytest.mark.parametrize(
    "value",
    ['{"a":1e400}', '{"a":"\\ud800"}', '{"a":' * 101 + "1" + "}" * 101],
    ids=["overflow", "half of a pair", "deep"],
)
def test_a_row_that_cannot_be_kept_exactly_is_refused(api, run, value):
    body = f'{{"name":"table","value":{value},"is_row":true}}'
    answer = api.post(f"{run}metrics/", content=body, headers=JSON)
    assert answer.status_code == 400, answer.text


def test_a_value_with_the_key_of_a_row_needs_no_other_field(api, run):
    assert api.post(f"{run}metrics/", json=row(key="a", a=None)).status_code == 201
    assert api.get(f"{run}tables/").json()[0]["row_key"] == "a"


def test_the_last_key_counts_and_no_key_leaves_it(api, run):
    for key in (None, "a", "b", None):
        log_batch(api, run, [row(key=key, a=1, b=2)])
    log_batch(api, run, [row("second", key="a", a=1), row("second", key="b", b=1), row("second")])
    tables = api.get(f"{run}tables/").json()
    assert [(table["name"], table["count"], table["row_key"]) for table in tables] == [
        ("second", 3, "b"),
        ("table", 4, "b"),
    ]


def test_lists_are_read_page_by_page(api, run):
    log_batch(api, run, [row(a=number) for number in range(7)])
    log_batch(api, run, [row(f"t{number}", a=1) for number in range(4)])
    found, cursor = [], {}
    while True:
        answer = list_rows(api, run, limit=3, **cursor)
        found.append([each["value"]["a"] for each in answer.json()])
        if "Next-Cursor" not in answer.headers:
            break
        cursor = {"cursor": answer.headers["Next-Cursor"]}
    assert found == [[0, 1, 2], [3, 4, 5], [6]]
    first = api.get(f"{run}tables/", params={"limit": 3})
    rest = api.get(f"{run}tables/", params={"cursor": first.headers["Next-Cursor"]})
    assert [each["name"] for each in first.json() + rest.json()] == [
        "t0",
        "t1",
        "t2",
        "t3",
        "table",
    ]
    with exchanges.departing("request"):
        answer = api.get(f"{run}tables/rows/")
    assert answer.json()["name"] == ["This parameter is required."]


def test_a_page_of_large_rows_is_shorter(api, run):
    for number in range(5):
        log_batch(api, run, [row(a=number, text="x" * 3_000_000)])
    found, cursor = [], {}
    while True:
        answer = list_rows(api, run, limit=1000, **cursor)
        found.append([each["value"]["a"] for each in answer.json()])
        if "Next-Cursor" not in answer.headers:
            break
        cursor = {"cursor": answer.headers["Next-Cursor"]}
    assert found == [[0, 1], [2, 3], [4]]


@pytest.fixture
def embedded(tmp_path):
    path = tmp_path / "x.db"
    backend = open_backend(path, user=BackendUser("ada", "ada@example.com"))
    with httpx.Client(base_url="http://x", transport=httpx.WSGITransport(app=backend)) as client:
        client.post(PROJECTS, json={"display_name": "Digits"})
        yield client, path
    backend.close()


def create(api):
    return f"{RUNS}{api.post(RUNS, json={}).json()['uuid']}/"


@pytest.mark.parametrize("deleted", ["run", "project"])
def test_tables_go_with_a_deleted_run(embedded, deleted):
    api, database = embedded
    run = create(api)
    log_batch(api, run, [row(a=number) for number in range(300)])
    assert rows_in(database, "SELECT count(*) FROM table_rows") == [(300,)]
    gone = run if deleted == "run" else f"{PROJECTS}digits/"
    assert api.delete(gone, params={"purge": "true"}).status_code == 204
    for table in ("tables", "table_rows", "runs"):
        assert rows_in(database, f"SELECT count(*) FROM {table}") == [(0,)]


def test_rows_are_removed_in_slices(embedded, monkeypatch):
    api, database = embedded
    run = create(api)
    for name in ("a", "b"):
        log_batch(api, run, [row(name, a=number) for number in range(200)])
    monkeypatch.setattr(removal, "SLICE_ROWS", 100)
    monkeypatch.setattr(application, "REMOVAL_TIME", 0)
    assert api.delete(run, params={"purge": "true"}).status_code == 204
    ((left,),) = rows_in(database, "SELECT count(*) FROM table_rows")
    assert 250 <= left < 400
    while rows_in(database, "SELECT 1 FROM runs WHERE project IS NULL"):
        create(api)
    assert rows_in(database, "SELECT count(*) FROM table_rows") == [(0,)]


def test_the_trash_counts_the_bytes_of_tables(embedded):
    api, _ = embedded
    run = create(api)
    log_batch(api, run, [row(text="x" * 10_000) for _ in range(100)])
    api.delete(run)
    (item,) = api.get("/api/v0/acme/trash/").json()
    assert 1_000_000 <= item["bytes"] < 1_100_000
