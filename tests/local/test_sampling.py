"""Samples for charts: their content, their changes, and that tiles match the points."""

import json
import math
import sqlite3
import uuid

import golden_homes
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afnio_tellurio.backend import BackendUser, open_backend
from afnio_tellurio.backend.store import sampling, schema
from afnio_tellurio.backend.store.database import Database
from afnio_tellurio.backend.store.upgrades import UPGRADES

PROJECT = "/api/v0/acme/projects/digits/"


def log_all(api, run, points, name="loss"):
    """Logs (step, value) pairs in one batch of a new writer."""
    metrics = [{"name": name, "value": value, "step": step} for step, value in points]
    batch = {"writer": str(uuid.uuid4()), "first_sequence_number": 0, "metrics": metrics}
    assert api.post(f"{run}metrics/batch/", json=batch).status_code == 200


def samples(api, path, cursor=None, **query):
    query = {"run": path.split("/")[-2], "name": "loss", "buckets": 8, **query}
    if cursor:
        query["cursor"] = cursor
    answer = api.get(f"{PROJECT}metrics/sample/", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def expected(points, first, last, width):
    """The content of ranges, computed from the points in order of arrival."""
    found = {}
    for step, value in sorted(points, key=lambda point: point[0]):
        if first <= step <= last:
            found.setdefault(step // width, []).append((step, value))
    numbers = {
        place: [value for _, value in held if isinstance(value, int | float)]
        for place, held in found.items()
    }
    return {
        "step": [held[-1][0] for _, held in sorted(found.items())],
        "count": [len(held) for _, held in sorted(found.items())],
        "last": [
            held[-1][1] if isinstance(held[-1][1], int | float) or held[-1][1] == "NaN" else None
            for _, held in sorted(found.items())
        ],
        "minimum": [min(numbers[place], default=None) for place in sorted(found)],
        "maximum": [max(numbers[place], default=None) for place in sorted(found)],
    }


def facts(series):
    return {key: series[key] for key in ("step", "count", "last", "minimum", "maximum")}


def test_a_series_is_given_in_ranges_of_a_power_of_two(api, run):
    points = [(step, (step - 50) ** 2) for step in range(100)]
    log_all(api, run, points)
    answer = samples(api, run)
    (series,) = answer["series"]
    assert (series["width"], series["replaces_from"]) == (16, 0)
    assert facts(series) == expected(points, 0, 99, 16)
    (fine,) = samples(api, run, buckets=4, from_step=10, to_step=13)["series"]
    assert fine["width"] == 1
    assert fine["step"] == [10, 11, 12, 13]


def test_nothing_new_is_an_empty_answer(api, run):
    log_all(api, run, [(step, step) for step in range(10)])
    cursor = samples(api, run)["cursor"]
    again = samples(api, run, cursor)
    assert again == {"cursor": cursor, "series": []}


def test_what_is_appended_is_given_from_the_range_that_changed(api, run):
    log_all(api, run, [(step, step) for step in range(100)])
    first = samples(api, run)
    log_all(api, run, [(step, step) for step in range(100, 105)])
    (series,) = samples(api, run, first["cursor"])["series"]
    assert (series["width"], series["replaces_from"]) == (16, 96)
    assert facts(series) == expected([(s, s) for s in range(105)], 96, 104, 16)


@pytest.mark.parametrize("step", [3, 99])
def test_a_step_that_comes_late_gives_the_series_whole(api, run, step):
    log_all(api, run, [(step, step) for step in range(100)])
    cursor = samples(api, run)["cursor"]
    log_all(api, run, [(step, -7), (100, 1)])
    (series,) = samples(api, run, cursor)["series"]
    assert series["replaces_from"] == 0
    assert sum(series["count"]) == 102
    assert min(series["minimum"]) == -7


def test_a_series_that_outgrows_its_ranges_is_given_whole_in_wider_ones(api, run):
    log_all(api, run, [(step, step) for step in range(8)])
    first = samples(api, run)
    assert first["series"][0]["width"] == 1
    log_all(api, run, [(step, step) for step in range(8, 20)])
    (series,) = samples(api, run, first["cursor"])["series"]
    assert (series["width"], series["replaces_from"]) == (4, 0)


def test_only_the_series_that_changed_are_given(api, run):
    for name in ("a", "b", "c"):
        log_all(api, run, [(0, 1)], name)
    first = samples(api, run, name=["a", "b", "c"])
    assert [series["name"] for series in first["series"]] == ["a", "b", "c"]
    log_all(api, run, [(1, 1)], "b")
    second = samples(api, run, first["cursor"], name=["a", "b", "c"])
    assert [series["name"] for series in second["series"]] == ["b"]
    assert samples(api, run, second["cursor"], name=["a", "b", "c"])["series"] == []


def test_what_a_run_or_a_project_does_not_have_is_left_out(api, run):
    log_all(api, run, [(0, 1)])
    others = [run.split("/")[-2], str(uuid.uuid4())]
    answer = samples(api, run, run=others, name=["loss", "none"])
    assert len(answer["series"]) == 1


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", 2**70, "text", [1], None, True])
def test_a_value_that_is_no_plain_number_is_told_apart(api, run, value):
    log_all(api, run, [(0, 1.5), (1, value)])
    (series,) = samples(api, run)["series"]
    told = value if value in ("NaN", "Infinity", "-Infinity") else None
    assert series["last"][1] == (float(2**70) if value == 2**70 else told)
    assert (series["minimum"][0], series["maximum"][0]) == (1.5, 1.5)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"buckets": 0}, "buckets"), ({"buckets": "x"}, "buckets"), ({"from_step": -1}, "from_step"),
        ({"run": "not-a-uuid"}, "run"), ({"cursor": "x"}, "cursor"), ({"cursor": "ü"}, "cursor"),
        ({"cursor": "eyIxIjpbMSwyLDNdfQ=="}, "cursor"), ({"cursor": "W10="}, "cursor"),
        ({"name": [f"m{number}" for number in range(101)]}, "name"), ({"name": ["m"] * 101}, "name"),
    ],
)  # fmt: skip
def test_a_request_that_makes_no_sense_names_the_parameter(api, run, query, field, monkeypatch):
    from exchanges import departing

    wanted = {"run": run.split("/")[-2], "name": "loss", "buckets": 8, **query}
    with departing("request"):
        answer = api.get(f"{PROJECT}metrics/sample/", params=wanted)
    assert (answer.status_code, list(answer.json())) == (400, [field, "code"])


def test_a_cursor_outlives_the_server(database):
    def served():
        backend = open_backend(database, user=BackendUser("ada", "ada@example.com"))
        import httpx

        return backend, httpx.Client(
            base_url="http://embedded", transport=httpx.WSGITransport(app=backend)
        )

    backend, api = served()
    api.post("/api/v0/acme/projects/", json={"display_name": "Digits"})
    made = api.post(f"{PROJECT}runs/", json={}).json()
    run = f"{PROJECT}runs/{made['uuid']}/"
    log_all(api, run, [(0, 1)])
    cursor = samples(api, run)["cursor"]
    backend.close()
    backend, api = served()
    assert samples(api, run, cursor)["series"] == []
    backend.close()


# Many runs at once


def test_metrics_of_a_project_are_listed_and_summarized_in_columns(api, run):
    other = f"{PROJECT}runs/{api.post(f'{PROJECT}runs/', json={}).json()['uuid']}/"
    log_all(api, run, [(0, 3.0), (1, 1.0)])
    log_all(api, other, [(0, "NaN")])
    log_all(api, other, [(4, {"a": 1})], "report")
    listed = api.get(f"{PROJECT}metrics/").json()
    assert [(one["name"], one["runs"], one["is_numeric"]) for one in listed] == [
        ("loss", 2, True),
        ("report", 1, False),
    ]
    uuids = [run.split("/")[-2], other.split("/")[-2]]
    (only,) = api.get(f"{PROJECT}metrics/", params={"run": uuids[0]}).json()
    assert (only["name"], only["runs"]) == ("loss", 1)
    # NaN is a number too, though it has no minimum.
    of_other = api.get(f"{PROJECT}metrics/", params={"run": uuids[1]}).json()
    assert [(one["name"], one["is_numeric"]) for one in of_other] == [
        ("loss", True),
        ("report", False),
    ]
    assert api.get(f"{PROJECT}metrics/", params={"run": uuids}).json() == listed
    loss, report = api.get(f"{PROJECT}metrics/summary/").json()
    assert (loss["name"], loss["run_uuid"], loss["count"]) == ("loss", uuids, [2, 1])
    assert (loss["last"], loss["minimum"], loss["maximum"]) == (
        [1.0, "NaN"],
        [1.0, None],
        [3.0, None],
    )
    assert (report["last"], report["first_step"], report["last_step"]) == ([{"a": 1}], [4], [4])
    (chosen,) = api.get(
        f"{PROJECT}metrics/summary/", params={"name": ["loss", "none"], "run": uuids[1]}
    ).json()
    assert chosen["run_uuid"] == [uuids[1]]


@pytest.mark.parametrize("runs", [["not-a-uuid"], [str(uuid.uuid4())] * 101])
def test_runs_that_make_no_sense_are_refused_when_metrics_are_listed(api, runs):
    from exchanges import departing

    with departing("request"):
        answer = api.get(f"{PROJECT}metrics/", params={"run": runs})
    assert (answer.status_code, list(answer.json())) == (400, ["run", "code"])


def test_namespaces_are_listed_by_slug(api):
    api.post("/api/v0/acme/projects/", json={"display_name": "Other"})
    listed = api.get("/api/v0/namespaces/").json()
    slugs = [one["slug"] for one in listed]
    assert "acme" in slugs
    assert slugs == sorted(slugs)


def test_runs_can_be_asked_for_by_their_last_change(api, run):
    second = api.post(f"{PROJECT}runs/", json={"name": "second"}).json()
    listed = api.get(f"{PROJECT}runs/", params={"updated_after": second["date_updated"]}).json()
    assert [one["name"] for one in listed] == ["second"]
    changed = api.patch(run, json={"status": "CRASHED"}).json()
    listed = api.get(f"{PROJECT}runs/", params={"updated_after": changed["date_updated"]}).json()
    assert [one["uuid"] for one in listed] == [changed["uuid"]]


# Tiles


NUMBERS = st.one_of(
    st.integers(-1000, 1000),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.just("NaN"),
    st.just("text"),
)
BATCHES = st.lists(
    st.lists(st.tuples(st.integers(0, 400) | st.integers(0, 2**40), NUMBERS), min_size=1, max_size=40),
    min_size=1, max_size=6,
)  # fmt: skip


@settings(deadline=None)
@given(BATCHES, st.integers(1, 40), st.integers(0, 500), st.integers(0, 500))
def test_tiles_say_what_the_points_say(tmp_path_factory, batches, buckets, start, length):
    import httpx

    limits = sampling.MAX_UNTILED_POINTS, sampling.FANOUT
    sampling.MAX_UNTILED_POINTS, sampling.FANOUT = 5, 2
    path = tmp_path_factory.mktemp("tiles") / "x.db"
    backend = open_backend(path, user=BackendUser("ada", "ada@example.com"))
    try:
        api = httpx.Client(base_url="http://x", transport=httpx.WSGITransport(app=backend))
        api.post("/api/v0/acme/projects/", json={"display_name": "Digits"})
        run = f"{PROJECT}runs/{api.post(f'{PROJECT}runs/', json={}).json()['uuid']}/"
        points = []
        cursor = None
        for batch in batches:
            log_all(api, run, batch)
            points += batch
            # Polled between the batches too: a poll must not lose its position.
            cursor = samples(api, run, cursor, buckets=buckets)["cursor"]
        steps = [step for step, _ in points]
        (series,) = samples(api, run, buckets=buckets)["series"]
        assert len(series["step"]) <= buckets
        assert facts(series) == expected(points, min(steps), max(steps), series["width"])
        for part in samples(api, run, buckets=buckets, from_step=start, to_step=start + length)[
            "series"
        ]:
            assert facts(part) == expected(points, start, start + length, part["width"])
        assert samples(api, run, cursor, buckets=buckets)["series"] == []
        with sqlite3.connect(path) as connection:
            (tiled,) = connection.execute("SELECT count(*) FROM tiles").fetchone()
        connection.close()
        assert (tiled > 0) == (len(points) > 5)
    finally:
        backend.close()
        sampling.MAX_UNTILED_POINTS, sampling.FANOUT = limits


@settings(deadline=None)
@given(BATCHES, st.integers(1, 20))
def test_what_polls_give_adds_up_to_the_whole(tmp_path_factory, batches, buckets):
    import httpx

    backend = open_backend(tmp_path_factory.mktemp("polls") / "x.db", user=BackendUser("a", "a@b"))
    try:
        api = httpx.Client(base_url="http://x", transport=httpx.WSGITransport(app=backend))
        api.post("/api/v0/acme/projects/", json={"display_name": "Digits"})
        run = f"{PROJECT}runs/{api.post(f'{PROJECT}runs/', json={}).json()['uuid']}/"
        held, cursor = None, None
        points = []
        for batch in batches:
            log_all(api, run, batch)
            points += batch
            answer = samples(api, run, cursor, buckets=buckets)
            cursor = answer["cursor"]
            (series,) = answer["series"]
            if series["replaces_from"] == 0:
                held = facts(series)
            else:
                kept = sum(step < series["replaces_from"] for step in held["step"])
                held = {key: held[key][:kept] + value for key, value in facts(series).items()}
        steps = [step for step, _ in points]
        assert held == expected(points, min(steps), max(steps), series["width"])
    finally:
        backend.close()


@pytest.mark.parametrize("api", ["in process"], indirect=True)
def test_a_long_series_is_sampled_from_tiles_alone(database, api, run):
    for start in range(0, 6000, 1000):
        log_all(api, run, [(step, step) for step in range(start, start + 1000)])
    with sqlite3.connect(database) as connection:
        connection.execute("DELETE FROM chunks")
    connection.close()
    (series,) = samples(api, run, buckets=100)["series"]
    assert sum(series["count"]) == 6000


@pytest.mark.parametrize("api", ["in process"], indirect=True)
def test_purging_a_run_deletes_its_tiles(database, api, run):
    for start in range(0, 3000, 1000):
        log_all(api, run, [(step, math.sin(step)) for step in range(start, start + 1000)])
    connection = sqlite3.connect(database)
    assert connection.execute("SELECT count(*) FROM tiles").fetchone()[0] > 0
    assert api.delete(run, params={"purge": "true"}).status_code == 204
    assert connection.execute("SELECT count(*) FROM tiles").fetchone() == (0,)
    connection.close()


# Older formats


@pytest.mark.parametrize("number", golden_homes.FORMATS)
def test_a_long_series_of_an_older_format_gets_its_tiles(tmp_path, number):
    import httpx

    path = tmp_path / "old.db"
    golden_homes.unpack_database(number, path)
    run = f"{PROJECT}runs/{golden_homes.uuids_of(path)['kept']}/"
    backend = open_backend(path, user=BackendUser("ada", "ada@example.com"))
    api = httpx.Client(base_url="http://x", transport=httpx.WSGITransport(app=backend))
    points = list(zip(*golden_homes.KEPT["loss"], strict=True))
    (series,) = samples(api, run)["series"]
    assert facts(series) == expected(points, 0, len(points) - 1, series["width"])
    log_all(api, run, [(len(points), 9)])
    (series,) = samples(api, run)["series"]
    assert (sum(series["count"]), series["maximum"][-1]) == (len(points) + 1, 9)
    backend.close()
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (database_format(),)
    assert connection.execute("SELECT count(DISTINCT series) FROM tiles").fetchone() == (1,)
    connection.close()


def database_format():
    return schema.FORMAT


def test_an_upgrade_that_fails_leaves_the_database_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "old.db"
    golden_homes.unpack_database(1, path)

    def fail(*arguments):
        raise RuntimeError("killed")

    monkeypatch.setitem(UPGRADES, 6, fail)
    with pytest.raises(RuntimeError, match="killed"):
        Database(path)
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    assert "tile_width" not in json.dumps(
        connection.execute("PRAGMA table_info(series)").fetchall()
    )
    connection.close()
