"""What a run is besides its metrics: config, tags, group, notes, its end, its environment."""

import contextlib
import json
import sqlite3
import threading
import uuid

import exchanges
import golden_homes
import httpx
import pytest
from children import GUARD

from afnio_tellurio.backend import BackendUser, application, configs, open_backend, runs
from afnio_tellurio.backend.store import removal
from afnio_tellurio.backend.store.schema import FORMAT

PROJECTS = "/api/v0/acme/projects/"
RUNS = f"{PROJECTS}digits/runs/"
JSON = {"Content-Type": "application/json"}
OTHER = "9b2f4f9e-3c0d-4b0a-8a53-5a3c8e0f7f21"
REASON = {"kind": "exception", "type": "ValueError", "message": "The loss is NaN."}
NO_REASON = {"type": None, "message": None, "traceback": None, "signal": None}


def create(api, **fields):
    """Creates a run, and returns its path."""
    answer = api.post(RUNS, json=fields)
    assert answer.status_code == 201, answer.text
    return f"{RUNS}{answer.json()['uuid']}/"


def update(api, path, key=None, **fields):
    headers = {} if key is None else {"Idempotency-Key": key}
    answer = api.patch(path, json=fields, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def send(api, method, path, text):
    """Sends a body whose numbers are written by hand."""
    return api.request(method, path, content=text.encode(), headers=JSON)


def exact(text):
    """JSON whose floats are compared digit by digit."""
    return json.loads(text, parse_float=lambda number: ("float", number))


def rows(path, query):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


# Fields


def test_a_new_run_has_no_details(api, run):
    found = api.get(run).json()
    assert (found["config"], found["tags"]) == ({}, [])
    names = ("group", "job_type", "notes", "parent_uuid", "date_ended", "ended_because")
    assert [found[name] for name in names] == [None] * 6
    assert "environment" not in found
    assert api.get(f"{run}config-changes/").json() == []


def test_a_run_has_the_details_that_it_was_created_with(api):
    fields = {
        "config": {"optim": {"lr": 0.01}, "none": None},
        "tags": ["b", "a", "é", "b"],
        "group": "sweep-7",
        "job_type": "train",
        "notes": "",
        "parent_uuid": OTHER,
    }
    path = create(api, **fields)
    fields["tags"] = ["a", "b", "é"]
    for found in (api.get(path).json(), api.get(RUNS).json()[0]):
        assert {name: found[name] for name in fields} == fields
    assert api.get(f"{path}config-changes/").json() == []


def test_details_are_changed_and_removed_one_by_one(api, run):
    fields = {"group": "g", "job_type": "j", "notes": "n"}
    for name, text in fields.items():
        assert update(api, run, **{name: text})[name] == text
    assert {name: api.get(run).json()[name] for name in fields} == fields
    for name in fields:
        assert update(api, run, **{name: None})[name] is None


def test_an_environment_replaces_the_one_before_and_lists_leave_it_out(api, run):
    assert update(api, run, environment={"a": {"b": 1}})["environment"] == {"a": {"b": 1}}
    assert update(api, run, environment={"c": None})["environment"] == {"c": None}
    assert api.get(run).json()["environment"] == {"c": None}
    assert api.post(RUNS, json={"uuid": run.split("/")[-2]}).json()["environment"] == {"c": None}
    assert "environment" not in api.get(RUNS).json()[0]


@pytest.mark.parametrize(
    ("method", "field", "value"),
    [
        *(("POST", name, value) for name in ("config",) for value in ([], None, "x", 1, True)),
        *(("PATCH", name, value) for name in ("config_patch", "environment") for value in ([], None, 7)),
        ("POST", "tags", ["a"] * 101), ("POST", "tags", [""]), ("POST", "tags", [" "]), ("POST", "tags", ["x" * 256]),
        ("POST", "tags", None), ("POST", "tags", "a"), ("PATCH", "add_tags", [1]), ("PATCH", "remove_tags", ["a"] * 101),
        ("POST", "group", ""), ("PATCH", "group", "\t"), ("POST", "job_type", "x" * 256), ("PATCH", "job_type", 1),
        ("POST", "notes", 1), ("POST", "parent_uuid", "17"), ("PATCH", "date_ended", "2026-11-23T10:15:30"),
        ("PATCH", "date_ended", "0001-01-01T00:00:00+00:01"), ("PATCH", "config_changed", "soon"),
        ("PATCH", "config_changed", "9999-12-31T23:59:59-00:01"), ("PATCH", "ended_because", {}),
        ("PATCH", "ended_because", {"kind": "x" * 65}), ("PATCH", "ended_because", {"kind": "x", "signal": 9}),
        ("PATCH", "ended_because", {"kind": "x", "message": "x" * 16385}),
    ],
)  # fmt: skip
def test_a_bad_detail_is_named_and_nothing_is_changed(api, run, method, field, value):
    before = api.get(RUNS).json()
    with exchanges.departing("request"):
        answer = api.request(method, RUNS if method == "POST" else run, json={field: value})
    assert (answer.status_code, list(answer.json())) == (400, [field, "code"]), answer.text
    assert api.get(RUNS).json() == before


# Configs

NUMBERS = ["0.1", "0.10", "1.0", "1", "-0.0", "1e5", "1E-400", "1e-99999999999999999999", str(10**30), str(-(10**400)),
           "1.7976931348623157e308", "123456789012345678901234567890.5", str(2**64), "9" * 4300]  # fmt: skip


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_are_kept_exactly(api, number):
    document = f'{{"a": {number}, "b": [{number}, {{"c": {number}}}]}}'
    made = send(api, "POST", RUNS, f'{{"config": {document}}}')
    assert made.status_code == 201, made.text
    path = f"{RUNS}{made.json()['uuid']}/"
    # Merging a patch must not round what it does not touch.
    patched = send(api, "PATCH", path, f'{{"config_patch": {{"d": {number}, "e": null}}}}')
    kept = send(api, "PATCH", path, f'{{"environment": {document}}}')
    for answer in (made, patched, kept, api.get(path), api.get(RUNS)):
        assert answer.is_success, answer.text
    wanted = exact(document)
    assert exact(made.text)["config"] == wanted
    read = exact(api.get(path).text)
    assert read["config"] == {**wanted, "d": exact(number)}
    assert read["environment"] == wanted
    assert exact(api.get(RUNS).text)[0]["config"] == read["config"]
    (change,) = exact(api.get(f"{path}config-changes/").text)
    assert change["patch"] == {"d": exact(number), "e": None}


def test_a_number_written_in_another_way_is_a_change(api):
    path = create(api, config={"a": 1})
    for text in ("1.0", "true", "1"):
        before = api.get(path).headers["ETag"]
        answer = send(api, "PATCH", path, f'{{"config_patch": {{"a": {text}}}}}')
        assert answer.headers["ETag"] != before, text
    assert len(api.get(f"{path}config-changes/").json()) == 3


@pytest.mark.parametrize(
    "text", ["1e400", "-1e999", "[1e400]", '"\\ud800"', '{"\\udfff": 1}', "[" * 100 + "]" * 100,
             '{"a":' * 100 + "1" + "}" * 100, "9" * 4301, "[" * 5000 + "]" * 5000],
)  # fmt: skip
@pytest.mark.parametrize("field", ["config", "config_patch", "environment"])
def test_what_cannot_be_kept_exactly_is_refused(api, run, field, text):
    before = api.get(RUNS).json()
    method, path = ("POST", RUNS) if field == "config" else ("PATCH", run)
    with exchanges.departing("request"):
        answer = send(api, method, path, f'{{"{field}": {{"a": {text}}}}}')
    assert answer.status_code == 400, text
    assert set(answer.json()) <= {field, "detail", "code"}
    assert api.get(RUNS).json() == before


def test_a_config_may_be_nested_100_levels_deep(api):
    config = {}
    for _ in range(99):
        config = {"a": config}
    path = create(api, config=config)
    assert api.get(path).json()["config"] == config
    assert update(api, path, config_patch=config)["config"] == config


#: The examples of RFC 7396, appendix A, whose target and patch are objects; and more.
MERGES = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ({"a": 1}, {"a": {"b": None, "c": 2}}, {"a": {"c": 2}}),
    ({"a": {"b": 1}}, {"a": [None, {"c": None}]}, {"a": [None, {"c": None}]}),
    ({"a": {"b": 1}}, {"a": 7}, {"a": 7}),
]


@pytest.mark.parametrize(("before", "patch", "after"), MERGES)
def test_a_patch_is_merged(api, before, patch, after):
    path = create(api, config=before)
    assert update(api, path, config_patch=patch)["config"] == after
    (change,) = api.get(f"{path}config-changes/").json()
    assert change["patch"] == patch


def test_changes_are_listed_in_order_with_their_times(api, run):
    update(api, run, config_patch={"a": 1}, config_changed="2026-11-23T12:00:00+02:00")
    update(api, run, config_patch={"a": 2})
    update(api, run, name="other", config_changed="2026-11-23T10:00:00Z")
    first, second = api.get(f"{run}config-changes/").json()
    assert first == {"timestamp": "2026-11-23T10:00:00.000000Z", "patch": {"a": 1}}
    assert second["patch"] == {"a": 2}
    assert second["timestamp"] >= api.get(run).json()["date_created"]


def test_changes_come_in_pages(api, run):
    for number in range(5):
        # Other updates lie between them.
        update(api, run, key=f"k{number}", name=f"n{number}")
        update(api, run, key=f"c{number}", config_patch={"a": number})
    whole = api.get(f"{run}config-changes/").json()
    assert [change["patch"] for change in whole] == [{"a": number} for number in range(5)]
    for limit in (1, 2, 4, 5, 6):
        found, query = [], {"limit": limit}
        while True:
            answer = api.get(f"{run}config-changes/", params=query)
            assert 0 < len(answer.json()) <= limit
            found += answer.json()
            if "Next-Cursor" not in answer.headers:
                break
            query["cursor"] = answer.headers["Next-Cursor"]
        assert found == whole


def test_a_patch_that_changes_nothing_is_no_change(api):
    path = create(api, config={"a": {"b": 0.10}, "é": "\u00e9"})
    before = api.get(path).json()
    for patch in ({}, {"a": {}}, {"a": {"b": 0.1}}, {"x": None}, {"a": {"x": None}}):
        assert update(api, path, config_patch=patch) == before
    escaped = '{"config_patch": { "\\u00e9" : "\\u00e9" , "a" : { } } }'
    assert send(api, "PATCH", path, escaped).json() == before
    assert api.get(f"{path}config-changes/").json() == []


def test_a_config_has_a_greatest_size(api, run):
    room = configs.MAX_OBJECT_BYTES - len('{"a":"","b":""}')
    half = "x" * (room // 2)
    config = {"a": half, "b": "x" * (room - len(half))}
    path = create(api, config=config)
    before = api.get(path).json()
    for answer in (
        api.patch(path, json={"config_patch": {"a": f"{half}x"}}),
        api.patch(path, json={"config_patch": {"c": 1}}),
        api.post(RUNS, json={"config": {**config, "c": 1}}),
        api.patch(run, json={"environment": {**config, "c": 1}}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
        assert "8000000" in answer.json()["detail"]
    assert api.get(path).json() == before
    assert len(api.get(RUNS).json()) == 2
    assert update(api, path, config_patch={"a": None, "c": 1})["config"].keys() == {"b", "c"}


# Tags


def test_tags_are_added_and_then_removed(api, run):
    assert update(api, run, add_tags=["b", "a"])["tags"] == ["a", "b"]
    assert update(api, run, add_tags=["c", "d", "d"], remove_tags=["a", "d", "x"])["tags"] == [
        "b",
        "c",
    ]
    assert update(api, run, remove_tags=["b", "c"])["tags"] == []


def test_a_run_may_have_more_tags_than_a_request(api, run):
    for start in range(0, 300, 100):
        update(api, run, add_tags=[f"t{number:03}" for number in range(start, start + 100)])
    assert api.get(run).json()["tags"] == [f"t{number:03}" for number in range(300)]


@pytest.mark.parametrize(
    "tag", ["\x00", "a\x00b", '"', "\\", "a\u2028", "\U0010ffff", "x" * 255, "a,b", "'"]
)
def test_any_tag_is_read_back_and_found(api, run, tag):
    assert update(api, run, add_tags=[tag, "other"])["tags"] == sorted([tag, "other"])
    assert [found["tags"] for found in api.get(RUNS, params={"tag": tag}).json()] == [
        sorted([tag, "other"])
    ]
    assert update(api, run, remove_tags=[tag])["tags"] == ["other"]


def test_threads_that_tag_at_once_lose_nothing(api, run):
    failures, start = [], threading.Barrier(4)

    def tag(number):
        start.wait(GUARD)
        for each in range(20):
            answer = api.patch(
                run,
                json={"add_tags": [f"{number}-{each}"], "config_patch": {f"{number}-{each}": 1}},
            )
            if answer.status_code != 200:
                failures.append(answer.text)

    threads = [threading.Thread(target=tag, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(GUARD)
    assert failures == []
    wanted = {f"{number}-{each}" for number in range(4) for each in range(20)}
    found = api.get(run).json()
    assert (set(found["tags"]), found["config"].keys()) == (wanted, wanted)
    changes = api.get(f"{run}config-changes/").json()
    assert {name for change in changes for name in change["patch"]} == wanted


# Updates that change nothing, and repeated ones


@pytest.mark.parametrize(
    "fields",
    [
        {}, {"add_tags": ["a"]}, {"remove_tags": ["x"]}, {"add_tags": ["x"], "remove_tags": ["x"]}, {"group": "g"},
        {"job_type": None}, {"notes": "n"}, {"name": "first"}, {"description": None}, {"status": "FAILED"},
        {"environment": {"e": 1}}, {"config_patch": {"c": 1}}, {"date_ended": "2026-01-01T00:00:00Z"},
        {"ended_because": REASON}, {"config_changed": "2026-01-01T00:00:00Z"},
    ],
)  # fmt: skip
def test_an_update_without_an_effect_moves_neither_tag_nor_time(api, fields):
    path = create(
        api, name="first", tags=["a"], group="g", notes="n", status="FAILED", config={"c": 1}
    )
    before = update(api, path, environment={"e": 1})
    assert update(api, path, **fields) == before
    assert update(api, path, key="k", **fields) == before
    assert api.get(path).json() == before


@pytest.mark.parametrize(
    "fields",
    [{"add_tags": ["b"]}, {"remove_tags": ["a"]}, {"group": "h"}, {"notes": None}, {"environment": {}},
     {"config_patch": {"c": None}}, {"status": "FAILED"}],
)  # fmt: skip
def test_each_change_moves_the_tag_and_needs_it_to_be_that_of_if_match(api, fields):
    path = create(api, tags=["a"], group="g", notes="n", config={"c": 1})
    before = api.get(path).headers["ETag"]
    changed = api.patch(path, json=fields, headers={"If-Match": before})
    assert changed.status_code == 200
    assert changed.headers["ETag"] != before
    refused = api.patch(path, json={"add_tags": ["late"]}, headers={"If-Match": before})
    assert refused.status_code == 412
    assert api.get(path).json() == changed.json()


def test_a_repeated_update_changes_nothing_and_returns_the_run_as_it_is(api, run):
    tag = api.get(run).headers["ETag"]
    headers = {"Idempotency-Key": "k", "If-Match": tag}
    body = {"config_patch": {"a": 1}, "add_tags": ["x"], "name": "n", "status": "FAILED"}
    assert api.patch(run, json=body, headers=headers).status_code == 200
    update(api, run, config_patch={"a": 2}, remove_tags=["x"], name="m", status="RUNNING")
    current = api.get(run)
    again = api.patch(run, json=body, headers=headers)
    assert (again.status_code, again.json()) == (200, current.json())
    assert again.headers["ETag"] == current.headers["ETag"]
    assert api.patch(run, json={"name": "z"}, headers=headers).json() == current.json()
    with exchanges.departing("request"):
        assert api.patch(run, json={"name": ""}, headers=headers).status_code == 400
    assert len(api.get(f"{run}config-changes/").json()) == 2
    assert update(api, run, key="l", config_patch={"a": 3})["config"] == {"a": 3}


def test_an_update_that_was_refused_can_be_repeated(api, run):
    headers = {"Idempotency-Key": "k"}
    refused = api.patch(run, json={"name": "a"}, headers={**headers, "If-Match": '"x"'})
    assert refused.status_code == 412
    assert api.patch(run, json={"name": "a"}, headers=headers).json()["name"] == "a"


def test_a_key_belongs_to_one_run(api, run):
    other = create(api)
    for path in (run, other):
        assert update(api, path, key="k", notes="n")["notes"] == "n"
    assert api.post(RUNS, json={"name": "k"}, headers={"Idempotency-Key": "k"}).status_code == 201


@pytest.mark.parametrize(
    ("key", "status"), [("", 400), ("x" * 256, 400), ("x" * 255, 200), ("x", 200)]
)
def test_a_key_has_1_to_255_characters(api, run, key, status):
    with exchanges.departing("request"):
        answer = api.patch(run, json={"notes": "n"}, headers={"Idempotency-Key": key})
    assert answer.status_code == status
    if status == 400:
        assert list(answer.json()) == ["Idempotency-Key", "code"]
        assert api.get(run).json()["notes"] is None


# The end of a run


@pytest.mark.parametrize("status", ["COMPLETED", "CRASHED", "FAILED"])
def test_a_run_ends_with_its_status_and_runs_again(api, run, status):
    before = api.get(run).json()["date_created"]
    ended = update(api, run, status=status)
    assert before <= ended["date_ended"] <= ended["date_updated"]
    assert ended["ended_because"] is None
    assert api.get(RUNS).json()[0]["date_ended"] == ended["date_ended"]
    update(api, run, status=status, ended_because=REASON)
    again = update(api, run, status="RUNNING")
    assert (again["date_ended"], again["ended_because"]) == (None, None)


def test_a_run_that_is_created_with_its_end_has_ended_then(api):
    found = api.get(create(api, status="CRASHED")).json()
    assert found["date_ended"] == found["date_created"]


def test_the_first_end_counts_unless_another_one_is_given(api, run):
    given = {"status": "FAILED", "date_ended": "2026-11-23T10:20:30.5+01:00"}
    first = update(api, run, **given)
    assert first["date_ended"] == "2026-11-23T09:20:30.500000Z"
    for status in ("FAILED", "COMPLETED"):
        assert update(api, run, status=status)["date_ended"] == first["date_ended"]
    moved = update(api, run, status="COMPLETED", date_ended="2026-11-24T00:00:00Z")
    assert moved["date_ended"] == "2026-11-24T00:00:00.000000Z"
    assert update(api, run, notes="n")["date_ended"] == moved["date_ended"]


def test_the_last_reason_counts_and_needs_a_status(api, run):
    reason = {**NO_REASON, **REASON}
    assert update(api, run, status="CRASHED", ended_because=REASON)["ended_because"] == reason
    assert update(api, run, ended_because={"kind": "x"})["ended_because"] == reason
    assert update(api, run, status="CRASHED")["ended_because"] == reason
    newer = {"kind": "signal", "signal": "SIGTERM"}
    assert update(api, run, status="FAILED", ended_because=newer)["ended_because"] == {
        **NO_REASON,
        **newer,
    }
    assert api.get(RUNS).json()[0]["ended_because"]["signal"] == "SIGTERM"
    assert update(api, run, status="FAILED", ended_because=None)["ended_because"] is None


def test_an_end_is_ignored_with_a_status_that_ends_nothing(api, run):
    fields = {"date_ended": "2026-11-23T10:20:30Z", "ended_because": REASON}
    for body in (fields, {**fields, "status": "RUNNING"}):
        found = update(api, run, **body)
        assert (found["date_ended"], found["ended_because"]) == (None, None)


# Lists


def test_lists_are_filtered_by_details(api):
    parent = create(api, name="parent", tags=["a", "b"], group="g")
    create(
        api,
        name="child",
        tags=["b"],
        group="g",
        job_type="train",
        parent_uuid=parent.split("/")[-2],
    )
    create(api, name="alone", job_type="train")

    def names(**query):
        return [found["name"] for found in api.get(RUNS, params=query).json()]

    assert names(tag="b") == ["child", "parent"]
    assert names(tag="a") == ["parent"]
    assert names(tag="B") == []
    assert names(group="g") == ["child", "parent"]
    assert names(group="g", job_type="train") == ["child"]
    assert names(job_type="train") == ["alone", "child"]
    assert names(parent_uuid=parent.split("/")[-2].upper()) == ["child"]
    assert names(tag="b", limit=1) == ["child"]
    assert names(tag="b", status="FAILED") == []
    api.post(PROJECTS, json={"display_name": "Other"})
    elsewhere = RUNS.replace("digits", "other")
    api.post(elsewhere, json={"name": "there", "tags": ["b"]})
    assert names(tag="b") == ["child", "parent"]
    with exchanges.departing("request"):
        answer = api.get(RUNS, params={"parent_uuid": "17"})
    assert (answer.status_code, list(answer.json())) == (400, ["parent_uuid", "code"])


# The database


@pytest.fixture
def embedded(tmp_path):
    path = tmp_path / "x.db"
    backend = open_backend(path, user=BackendUser("ada", "ada@example.com"))
    with httpx.Client(base_url="http://x", transport=httpx.WSGITransport(app=backend)) as client:
        client.post(PROJECTS, json={"display_name": "Digits"})
        yield client, path
    backend.close()


@pytest.mark.parametrize("deleted", ["run", "project"])
def test_tags_and_changes_go_with_a_deleted_run(embedded, deleted):
    api, database = embedded
    path = create(api, tags=["a", "b"])
    for number in range(300):
        update(api, path, key=str(number), config_patch={"a": number})
    assert rows(database, "SELECT count(*) FROM run_changes") == [(300,)]
    gone = path if deleted == "run" else f"{PROJECTS}digits/"
    assert api.delete(gone, params={"purge": "true"}).status_code == 204
    for table in ("run_tags", "run_changes", "runs"):
        assert rows(database, f"SELECT count(*) FROM {table}") == [(0,)]


def test_changes_are_removed_in_slices(embedded, monkeypatch):
    api, database = embedded
    path = create(api)
    for number in range(300):
        update(api, path, key=str(number), notes=str(number))
    monkeypatch.setattr(removal, "SLICE_ROWS", 100)
    monkeypatch.setattr(application, "REMOVAL_TIME", 0)
    assert api.delete(path, params={"purge": "true"}).status_code == 204
    ((left,),) = rows(database, "SELECT count(*) FROM run_changes")
    assert 150 <= left < 300
    while rows(database, "SELECT 1 FROM runs WHERE project IS NULL"):
        create(api)
    assert rows(database, "SELECT count(*) FROM run_changes") == [(0,)]


def test_a_filter_by_tag_uses_its_index(embedded):
    api, database = embedded
    create(api, tags=["a"])
    plan = rows(database, "EXPLAIN QUERY PLAN SELECT run FROM run_tags WHERE tag = 'a'")
    assert "run_tags_by_tag" in plan[0][-1]


def test_a_clock_that_was_set_back_keeps_the_end_as_it_is(embedded, monkeypatch):
    api, _ = embedded
    path = create(api)
    monkeypatch.setattr(runs, "current_time", lambda: 0)
    ended = update(api, path, status="FAILED")
    assert ended["date_ended"] == "1970-01-01T00:00:00.000000Z"
    assert update(api, path, status="CRASHED")["date_ended"] == ended["date_ended"]


def schema_of(path):
    """The columns and indexes of each table."""
    tables = [name for (name,) in rows(path, "SELECT name FROM sqlite_schema WHERE type = 'table'")]
    return {
        table: (
            [column[1:] for column in rows(path, f"PRAGMA table_info({table})")],
            sorted(index[1:3] for index in rows(path, f"PRAGMA index_list({table})")),
        )
        for table in tables
        if table in {"run_tags", "run_changes"}
    } | {"runs": {column[1:4] for column in rows(path, "PRAGMA table_info(runs)")}}


@pytest.mark.parametrize("number", range(1, 5))
def test_an_older_database_gets_the_details(tmp_path, embedded, number):
    path = tmp_path / "old.db"
    golden_homes.unpack_database(number, path)
    uuids = golden_homes.uuids_of(path)
    updated = dict(rows(path, "SELECT uuid, updated FROM runs"))
    backend = open_backend(path, user=BackendUser("ada", "ada@example.com"))
    api = httpx.Client(base_url="http://x", transport=httpx.WSGITransport(app=backend))
    kept, left = (api.get(f"{RUNS}{uuids[name]}/").json() for name in ("kept", "left"))
    assert rows(path, "PRAGMA user_version") == [(FORMAT,)]
    assert dict(rows(path, "SELECT uuid, updated FROM runs")) == updated
    assert (kept["status"], kept["date_ended"]) == ("COMPLETED", kept["date_updated"])
    assert (left["status"], left["date_ended"]) == ("RUNNING", None)
    for found in (kept, left):
        assert (found["config"], found["tags"], found["ended_because"]) == ({}, [], None)
    changed = update(
        api, f"{RUNS}{kept['uuid']}/", key="k", config_patch={"a": 10**30}, add_tags=["t"]
    )
    assert (changed["config"], changed["tags"]) == ({"a": 10**30}, ["t"])
    assert [found["uuid"] for found in api.get(RUNS, params={"tag": "t"}).json()] == [kept["uuid"]]
    backend.close()
    assert schema_of(path) == schema_of(embedded[1])


def test_a_key_is_known_after_the_backend_was_opened_again(tmp_path):
    path = tmp_path / "x.db"
    run = None
    for value in (1, 2):
        backend = open_backend(path, user=BackendUser("ada", "ada@example.com"))
        api = httpx.Client(base_url="http://x", transport=httpx.WSGITransport(app=backend))
        if run is None:
            api.post(PROJECTS, json={"display_name": "Digits"})
            run = create(api, uuid=str(uuid.UUID(int=7)))
        assert update(api, run, key="k", config_patch={"a": value})["config"] == {"a": 1}
        backend.close()


def test_a_copy_of_a_run_keeps_the_time_of_its_creation(api):
    time = "2020-02-29T23:59:59.123456Z"
    path = create(api, name="copy", date_created=time)
    run = api.get(path).json()
    assert run["date_created"] == time
    # A list of what has changed since the last request has it.
    assert run["date_updated"] > time
    since = {"updated_after": run["date_updated"]}
    assert [each["name"] for each in api.get(RUNS, params=since).json()] == ["copy"]
    create(api, name="new")
    assert [each["name"] for each in api.get(RUNS).json()] == ["new", "copy"]


def test_a_run_is_not_created_in_the_future_or_before_the_year_1(api):
    run = api.get(create(api, date_created="2999-01-01T00:00:00Z")).json()
    assert run["date_created"] == run["date_updated"]
    answer = api.post(RUNS, json={"date_created": "0001-01-01T00:00:00+01:00"})
    assert answer.status_code == 400
    assert answer.json()["date_created"] == ["is not in the years 1 to 9999 in UTC."]
