"""What each operation does, in process and over HTTP."""

import datetime as dt
import json
import math
import uuid

import httpx
import pytest
from exchanges import departing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

PROJECTS = "/api/v0/acme/projects/"
RUNS = "/api/v0/acme/projects/digits/runs/"
NOBODY = "9b2f4f9e-3c0d-4b0a-8a53-5a3c8e0f7f21"


def test_the_key_belongs_to_its_user(api):
    owner = api.get("/api/v0/verify-api-key/").json()
    assert (owner["email"], owner["username"]) == ("ada@example.com", "ada")


def test_projects_are_listed_by_slug(api):
    for name in ("Zeta", "Alpha"):
        api.post(PROJECTS, json={"display_name": name})
    assert [project["slug"] for project in api.get(PROJECTS).json()] == ["alpha", "digits", "zeta"]


def test_a_project_without_a_visibility_is_for_the_team(api):
    (project,) = api.get(PROJECTS).json()
    assert (project["visibility"], project["role"], project["org_slug"]) == (
        "TEAM",
        "OWNER",
        "acme",
    )


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "display_name"),
        ({"display_name": ""}, "display_name"),
        ({"display_name": None}, "display_name"),
        ({"display_name": "x" * 256}, "display_name"),
        ({"display_name": "New", "visibility": "SECRET"}, "visibility"),
        ({"display_name": "New", "visibility": None}, "visibility"),
    ],
)
def test_a_bad_field_is_named(api, body, field):
    with departing("request"):
        answer = api.post(PROJECTS, json=body)
    assert answer.status_code == 400
    assert list(answer.json()) == [field, "code"]


def test_a_project_name_without_a_slug_is_refused(api):
    answer = api.post(PROJECTS, json={"display_name": "!!!"})
    assert (answer.status_code, list(answer.json())) == (400, ["display_name", "code"])


def test_deleting_a_project_deletes_its_runs_and_metrics(api, run):
    api.post(f"{run}metrics/", json={"name": "loss", "value": 1})
    assert api.delete(f"{PROJECTS}digits/").status_code == 204
    assert api.get(run).status_code == 404
    api.post(PROJECTS, json={"display_name": "Digits"})
    assert api.get(RUNS).json() == []


def test_deleting_a_run_deletes_it_and_no_other(api, run):
    other = api.post(RUNS, json={"name": "other"}).json()
    assert api.delete(run).status_code == 204
    assert api.delete(run).status_code == 404
    assert [found["name"] for found in api.get(RUNS).json()] == [other["name"]]


def test_a_run_created_twice_with_one_key_is_one_run(api):
    first = api.post(RUNS, json={"name": "same"}, headers={"Idempotency-Key": "k"})
    again = api.post(RUNS, json={"name": "same"}, headers={"Idempotency-Key": "k"})
    other = api.post(RUNS, json={"name": "same"}, headers={"Idempotency-Key": "l"})
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert other.json()["name"] == "same_1"
    assert len(api.get(RUNS).json()) == 2


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_key_of_a_bad_length_is_refused(api, key):
    with departing("request"):
        answer = api.post(RUNS, json={}, headers={"Idempotency-Key": key})
    assert answer.status_code == 400
    assert answer.json() == {
        "Idempotency-Key": ["Must have 1 to 255 characters."],
        "code": "invalid",
    }
    assert api.get(RUNS).json() == []


def test_one_key_in_two_projects_makes_two_runs(api):
    api.post(PROJECTS, json={"display_name": "Other"})
    key = {"Idempotency-Key": "k"}
    first = api.post(RUNS, json={}, headers=key).json()
    second = api.post(f"{PROJECTS}other/runs/", json={}, headers=key).json()
    assert first["uuid"] != second["uuid"]


def test_a_name_that_is_taken_gets_the_next_number(api):
    names = [api.post(RUNS, json={"name": name}).json()["name"] for name in ("a", "a_1", "a", "a")]
    assert names == ["a", "a_1", "a_2", "a_3"]


def test_only_the_fields_given_are_changed(api):
    path = f"{RUNS}{api.post(RUNS, json={'name': 'a', 'description': 'd'}).json()['uuid']}/"
    before = api.get(path).json()
    assert api.patch(path, json={}).json() == before
    changed = api.patch(path, json={"status": "FAILED"}).json()
    assert {key for key in changed if changed[key] != before[key]} == {
        "status",
        "date_updated",
        "date_ended",
        "etag",
    }
    assert api.patch(path, json={"description": None}).json()["description"] is None
    assert api.patch(path, json={"name": "a"}).json()["name"] == "a"
    api.post(RUNS, json={"name": "b"})
    assert api.patch(path, json={"name": "b"}).json()["name"] == "b_1"


@pytest.mark.parametrize(
    "body", [{"status": "ARCHIVED"}, {"status": None}, {"name": ""}, {"name": " "}, {"name": None}]
)
def test_a_bad_update_changes_nothing(api, run, body):
    before = api.get(run).json()
    with departing("request"):
        answer = api.patch(run, json=body)
    assert (answer.status_code, list(answer.json())) == (400, [*body, "code"])
    assert api.get(run).json() == before


def test_runs_are_filtered(api):
    for name, status in [("a", "RUNNING"), ("b", "FAILED"), ("c", "FAILED")]:
        api.post(RUNS, json={"name": name, "status": status})
    everything = api.get(RUNS).json()
    assert [found["name"] for found in everything] == ["c", "b", "a"]
    middle = everything[1]["date_created"]

    def names(**query):
        return [found["name"] for found in api.get(RUNS, params=query).json()]

    assert names(status="FAILED") == ["c", "b"]
    assert names(name="a") == ["a"]
    assert names(created_after=middle) == ["c", "b"]
    assert names(created_before=middle) == ["a"]
    elsewhere = dt.datetime.fromisoformat(middle).astimezone(dt.timezone(dt.timedelta(hours=5)))
    assert names(created_after=elsewhere.isoformat()) == ["c", "b"]
    assert names(status="RUNNING", name="b") == []


def pages(api, path, **query):
    """All pages of a list, followed by cursor."""
    found = []
    while True:
        answer = api.get(path, params=query)
        found.append(answer.json())
        if "Next-Cursor" not in answer.headers:
            return found
        query["cursor"] = answer.headers["Next-Cursor"]


def test_runs_come_in_pages(api):
    names = [api.post(RUNS, json={}).json()["name"] for _ in range(5)]
    found = pages(api, RUNS, limit=2)
    assert [len(page) for page in found] == [2, 2, 1]
    assert [run["name"] for page in found for run in page] == names[::-1]
    assert [len(page) for page in pages(api, RUNS, limit=5)] == [5]


def test_metrics_come_in_pages_by_name_step_and_arrival(api, run):
    for name, step, value in [("b", 2, 1), ("b", 1, 2), ("a", 5, 3), ("b", 1, 4), ("b", 1, 5)]:
        api.post(f"{run}metrics/", json={"name": name, "value": value, "step": step})
    for limit in (1, 2, 3, 4, 5):
        found = pages(api, f"{run}metrics/", limit=limit)
        assert all(len(page) == limit for page in found[:-1])
        assert [metric["value"] for page in found for metric in page] == [3, 2, 4, 5, 1]
    assert [m["value"] for p in pages(api, f"{run}metrics/", name="b", limit=2) for m in p] == [
        2,
        4,
        5,
        1,
    ]
    assert [m["value"] for m in api.get(f"{run}metrics/?name=b&after_step=1").json()] == [1]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("limit=0", "limit"), ("limit=1001", "limit"), ("limit=x", "limit"), ("limit=", "limit"),
        ("cursor=%3F", "cursor"), ("cursor=YQ", "cursor"), ("cursor=ImEi", "cursor"),
        ("status=ARCHIVED", "status"), ("created_after=soon", "created_after"),
        ("created_after=2026-11-23T10:15:30", "created_after"), ("created_before=1", "created_before"),
    ],
)  # fmt: skip
def test_a_bad_parameter_of_a_list_is_named(api, query, parameter):
    with departing("request"):
        answer = api.get(f"{RUNS}?{query}")
    assert (answer.status_code, list(answer.json())) == (400, [parameter, "code"])


@pytest.mark.parametrize(
    "query", ["", "name=a", "buckets=3", "name=a&buckets=0", "name=a&buckets=2&from_step=-1"]
)
def test_a_bad_sample_is_refused(api, run, query):
    with departing("request"):
        assert api.get(f"{run}metrics/sample/?{query}").status_code == 400


def test_what_does_not_exist_is_not_found(api, run):
    missing = f"{RUNS}{NOBODY}/"
    for path in (missing, f"{missing}metrics/", f"{missing}metrics/summary/", f"{PROJECTS}nothing/",
                 f"{missing}metrics/sample/?name=a&buckets=1", f"{PROJECTS}nothing/runs/"):  # fmt: skip
        answer = api.get(path)
        assert answer.status_code == 404
        assert answer.json().keys() - {"deleted"} == {"detail", "code"}
    metric = {"name": "loss", "value": 1}
    batch = {"writer": NOBODY, "first_sequence_number": 0, "metrics": [metric]}
    assert api.post(f"{missing}metrics/", json=metric).status_code == 404
    assert api.post(f"{missing}metrics/batch/", json=batch).status_code == 404
    assert api.patch(missing, json={"status": "FAILED"}).status_code == 404
    other = run.replace("/digits/", "/other/")
    api.post(PROJECTS, json={"display_name": "Other"})
    assert api.get(other).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404), ("GET", "/api/v0/verify-api-key", 404), ("GET", f"{RUNS}17/", 404),
        ("GET", "/api/v0/a%2Fb/projects/", 404), ("GET", "/api/v0/%ff/projects/", 404),
        ("GET", "/api/v0/ä b/projects/", 404), ("PUT", RUNS, 405), ("DELETE", RUNS, 405),
        ("HEAD", RUNS, 405), ("OPTIONS", RUNS, 405),
    ],
)  # fmt: skip
def test_paths_and_methods_that_the_contract_lacks(api, method, path, status):
    with departing("request", "answer"):
        answer = api.request(method, path)
    assert answer.status_code == status
    if status == 405:
        assert answer.headers["Allow"] == "GET, POST"


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b"{}", "text/plain", 415), (b"{}", None, 415), (b"<a/>", "application/xml", 415),
        (b"", "application/json", 400), (b"{", "application/json", 400),
        (b"[]", "application/json", 400), (b'"x"', "application/json", 400),
        (b'{"name": "\xff"}', "application/json", 400), (b"[" * 100_000, "application/json", 400),
        (b'{"name": "' + b"x" * 9_000_000 + b'"}', "application/json", 413),
        (b"{}", "application/json; charset=utf-8", 201),
    ],
)  # fmt: skip
def test_bodies_that_are_no_json_object(api, content, content_type, status):
    headers = {} if content_type is None else {"Content-Type": content_type}
    with departing("request"):
        answer = api.post(RUNS, content=content, headers=headers)
    assert answer.status_code == status
    assert len(api.get(RUNS).json()) == (1 if status == 201 else 0)


def test_unknown_fields_are_ignored(api, run):
    answer = api.post(f"{run}metrics/", json={"name": "loss", "value": 1, "unit": "nat"})
    assert answer.status_code == 201


@pytest.mark.parametrize(
    ("metric", "field"),
    [
        ({"value": 1}, "name"), ({"name": "", "value": 1}, "name"), ({"name": " ", "value": 1}, "name"),
        ({"name": "x" * 256, "value": 1}, "name"), ({"name": "a"}, "value"),
        ({"name": "a", "value": 1, "step": -1}, "step"), ({"name": "a", "value": 1, "step": 2**63}, "step"),
        ({"name": "a", "value": 1, "step": 1.5}, "step"), ({"name": "a", "value": 1, "step": True}, "step"),
        ({"name": "a", "value": 1, "timestamp": "2026-11-23T10:15:30"}, "timestamp"),
        ({"name": "a", "value": 1, "timestamp": 17}, "timestamp"),
    ],
)  # fmt: skip
def test_a_bad_metric_is_refused_and_nothing_of_its_batch_is_recorded(api, run, metric, field):
    good = {"name": "good", "value": 1}
    batch = {"writer": NOBODY, "first_sequence_number": 0, "metrics": [good, metric]}
    with departing("request"):
        single = api.post(f"{run}metrics/", json=metric)
        several = api.post(f"{run}metrics/batch/", json=batch)
    assert (single.status_code, list(single.json())) == (400, [field, "code"])
    assert (several.status_code, list(several.json())) == (400, ["metrics", "code"])
    assert "[1]" in several.json()["metrics"][0]
    assert api.get(f"{run}metrics/").json() == []


@pytest.mark.parametrize(
    "text",
    ["1e400", "-1e999", "[1e400]", '"\\ud800"', '["\\udfff"]', "[" * 101 + "]" * 101, "1" * 5000],
)
def test_a_value_that_cannot_be_kept_exactly_is_refused(api, run, text):
    for path, body in [
        (f"{run}metrics/", f'{{"name": "a", "value": {text}}}'),
        (f"{run}metrics/batch/",
         f'{{"writer": "{NOBODY}", "first_sequence_number": 0, "metrics": [{{"name": "a", "value": {text}}}]}}'),
    ]:  # fmt: skip
        with departing("request"):
            answer = api.post(path, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400, text
    assert api.get(f"{run}metrics/").json() == []


def same(read, written):
    """Equal, and of the same type: 1 is not 1.0, and 0.0 is not -0.0."""
    return json.dumps(read) == json.dumps(written)


TEXT = st.text(st.characters(codec="utf-8"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT
    | st.integers(-(10**400), 10**400)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(value=VALUES)
def test_any_json_value_is_given_back_as_it_came(api, run, value):
    name = uuid.uuid4().hex
    answer = api.post(f"{run}metrics/", json={"name": name, "value": value})
    assert same(answer.json()["value"], value)
    (read,) = api.get(f"{run}metrics/?name={name}").json()
    assert same(read["value"], value)
    assert same(api.get(f"{run}metrics/summary/").json()[name]["last"], value)


def test_steps_go_on_from_the_greatest(api, run):
    steps = [
        api.post(f"{run}metrics/", json={"name": "loss", "value": 1, **step}).json()["step"]
        for step in ({}, {}, {"step": 10}, {}, {"step": 3}, {})
    ]
    assert steps == [0, 1, 10, 11, 3, 12]


def test_after_the_greatest_step_of_all_one_must_be_given(api, run):
    greatest = {"name": "loss", "value": 1, "step": 2**63 - 1}
    assert api.post(f"{run}metrics/", json=greatest).json()["step"] == 2**63 - 1
    assert api.post(f"{run}metrics/", json={"name": "loss", "value": 1}).status_code == 400
    assert api.post(f"{run}metrics/", json=greatest).status_code == 201


def test_a_timestamp_is_kept_to_the_microsecond_and_given_in_utc(api, run):
    metric = {"name": "loss", "value": 1, "timestamp": "2026-11-23T12:15:30.123456+02:00"}
    assert (
        api.post(f"{run}metrics/", json=metric).json()["timestamp"] == "2026-11-23T10:15:30.123456Z"
    )


def batch(api, run, writer, first, values, **fields):
    metrics = [{"name": "loss", "value": value, **fields} for value in values]
    body = {"writer": str(writer), "first_sequence_number": first, "metrics": metrics}
    return api.post(f"{run}metrics/batch/", json=body)


def values(api, run):
    return [metric["value"] for metric in api.get(f"{run}metrics/?name=loss").json()]


def test_a_batch_is_recorded_once_however_often_it_comes(api, run):
    writer = uuid.uuid4()
    for _ in range(3):
        answer = batch(api, run, writer, 0, [1, 2, 3])
        assert answer.json()["next_sequence_number"] == 3
    assert answer.json()["accepted"] == 0
    assert batch(api, run, writer, 2, [3, 4, 5]).json() == {
        "accepted": 2,
        "next_sequence_number": 5,
    }
    assert batch(api, run, writer, 1, [2, 3]).json() == {"accepted": 0, "next_sequence_number": 5}
    assert values(api, run) == [1, 2, 3, 4, 5]


def test_writers_count_apart(api, run):
    for _ in range(2):
        assert batch(api, run, uuid.uuid4(), 0, [1]).json()["accepted"] == 1
    assert values(api, run) == [1, 1]


def test_a_gap_is_a_conflict_that_tells_what_is_expected(api, run):
    writer = uuid.uuid4()
    batch(api, run, writer, 0, [1])
    answer = batch(api, run, writer, 2, [3])
    assert (answer.status_code, answer.json()["next_sequence_number"]) == (409, 1)
    assert values(api, run) == [1]


def test_a_batch_holds_a_thousand_metrics_and_no_more(api, run):
    assert batch(api, run, uuid.uuid4(), 0, range(1000)).json()["accepted"] == 1000
    with departing("request"):
        assert batch(api, run, uuid.uuid4(), 0, range(1001)).status_code == 400
        assert batch(api, run, uuid.uuid4(), 0, []).status_code == 400


def test_a_batch_of_many_metrics_is_summarized_like_single_ones(api, run):
    series = [(f"m{number % 7}", math.sin(number), number // 7 * 3 % 50) for number in range(300)]
    metrics = [{"name": name, "value": value, "step": step} for name, value, step in series]
    other = f"{RUNS}{api.post(RUNS, json={}).json()['uuid']}/"
    body = {"writer": NOBODY, "first_sequence_number": 0, "metrics": metrics}
    assert api.post(f"{run}metrics/batch/", json=body).status_code == 200
    for metric in metrics:
        api.post(f"{other}metrics/", json=metric)
    summaries = []
    for path in (run, other):
        summary = api.get(f"{path}metrics/summary/").json()
        for one in summary.values():
            del one["last_timestamp"]
        summaries.append(summary)
    assert summaries[0] == summaries[1]
    wanted = [value for name, value, _ in series if name == "m3"]
    assert summaries[0]["m3"]["minimum"] == min(wanted)
    assert summaries[0]["m3"]["maximum"] == max(wanted)
    assert summaries[0]["m3"]["count"] == len(wanted)


def test_minimum_and_maximum_take_numbers_only(api, run):
    for value in (True, "9", None, [99], "NaN", 3, 2.5, 10**30):
        api.post(f"{run}metrics/", json={"name": "loss", "value": value})
    summary = api.get(f"{run}metrics/summary/").json()["loss"]
    assert (summary["count"], summary["minimum"], summary["maximum"]) == (8, 2.5, 1e30)
    api.post(f"{run}metrics/", json={"name": "loss", "value": 10**400})
    api.post(f"{run}metrics/", json={"name": "loss", "value": "-Infinity"})
    summary = api.get(f"{run}metrics/summary/").json()["loss"]
    assert (summary["minimum"], summary["maximum"]) == ("-Infinity", 1e30)


def sample(api, run, **query):
    return api.get(f"{run}metrics/sample/", params={"name": "loss", **query}).json()


def test_a_sample_divides_the_steps_into_equal_ranges(api, run):
    for step in range(100):
        value = "NaN" if step == 7 else (step - 50) ** 2
        api.post(f"{run}metrics/", json={"name": "loss", "value": value, "step": step})
    buckets = sample(api, run, buckets=10)
    # Ten ranges of ten steps would do; sixteen is the next power of two.
    assert [(bucket["first_step"], bucket["last_step"]) for bucket in buckets] == [
        (0, 15), (16, 31), (32, 47), (48, 63), (64, 79), (80, 95), (96, 99),
    ]  # fmt: skip
    assert [bucket["count"] for bucket in buckets] == [16] * 6 + [4]
    assert [bucket["last"] for bucket in buckets] == [
        (step - 50) ** 2 for step in (15, 31, 47, 63, 79, 95, 99)
    ]
    assert (buckets[0]["minimum"], buckets[0]["maximum"]) == (35**2, 50**2)
    inner = sample(api, run, buckets=3, from_step=10, to_step=17)
    assert [(b["first_step"], b["last_step"], b["count"]) for b in inner] == [
        (10, 11, 2), (12, 15, 4), (16, 17, 2)
    ]  # fmt: skip


def test_a_sample_leaves_out_empty_ranges_and_survives_huge_steps(api, run):
    for step in (0, 5, 2**63 - 1):
        api.post(f"{run}metrics/", json={"name": "loss", "value": step, "step": step})
    for buckets in (1, 2, 7, 10_000):
        found = sample(api, run, buckets=buckets)
        assert sum(bucket["count"] for bucket in found) == 3
        assert len(found) <= buckets
        assert found[-1]["last_step"] == 2**63 - 1
    assert sample(api, run, buckets=5, from_step=6, to_step=5) == []
    assert api.get(f"{run}metrics/sample/?name=none&buckets=5").json() == []


def test_a_wrong_or_missing_key_is_refused_before_anything_else(start_server):
    url = start_server(api_key="the-key")
    with httpx.Client(base_url=url) as client:
        for headers in ({}, {"Authorization": "Api-Key wrong"}, {"Authorization": "Bearer the-key"},
                        {"Authorization": "Api-Key the-keyy"}, {"Authorization": "Api-Key \xe4".encode("latin-1")}):  # fmt: skip
            answer = client.get("/api/v0/acme/projects/", headers=headers)
            assert (answer.status_code, list(answer.json())) == (401, ["detail", "code"])
            assert "the-key" not in answer.text


def test_over_http_only_known_namespaces_exist(start_server):
    url = start_server(user="Ada Lovelace", namespaces=("acme",))
    with httpx.Client(base_url=url) as client:
        assert client.get("/api/v0/acme/projects/").json() == []
        assert client.get("/api/v0/ada-lovelace/projects/").json() == []
        for _ in range(2):
            created = client.post("/api/v0/nobody/projects/", json={"display_name": "x"})
            assert created.status_code == 404
            assert client.get("/api/v0/nobody/projects/").status_code == 404


def test_a_page_of_large_values_is_shorter(api, run):
    for step in range(5):
        for name in ("a", "b"):
            log = {"name": name, "value": "x" * 3_000_000 if name == "b" else step, "step": step}
            assert api.post(f"{run}metrics/", json=log).status_code == 201
    found, cursor = [], {}
    while True:
        answer = api.get(f"{run}metrics/", params={"limit": 6, **cursor})
        found.append([(each["name"], each["step"]) for each in answer.json()])
        if "Next-Cursor" not in answer.headers:
            break
        cursor = {"cursor": answer.headers["Next-Cursor"]}
    whole = [(name, step) for name in ("a", "b") for step in range(5)]
    assert [point for page in found for point in page] == whole
    # The page with the first of them is full; the next ends after 8 million characters.
    assert [len(page) for page in found] == [6, 3, 1]
