"""The trash of the local backend: what expires, what is counted, and what others see of it."""

from __future__ import annotations

import contextlib
import sqlite3
import time
import uuid

import exchanges
import httpx
import pytest
from stored_points import count_points

from afnio_tellurio.backend import BackendUser, open_backend
from afnio_tellurio.backend.store import removal, trash

PROJECTS = "/api/v0/acme/projects/"
PROJECT = f"{PROJECTS}digits/"
RUNS = f"{PROJECT}runs/"
TRASH = "/api/v0/acme/trash/"
PURGE = {"purge": "true"}
DAY = 24 * 60 * 60 * 10**9


def rows(database, query, *parameters):
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return connection.execute(query, parameters).fetchall()


@contextlib.contextmanager
def opened(database):
    backend = open_backend(database, user=BackendUser("ada", "ada@example.com"))
    transport = httpx.WSGITransport(app=backend)
    with httpx.Client(base_url="http://embedded", transport=transport) as api:
        yield api
    backend.close()


@pytest.fixture
def embedded(database):
    with opened(database) as api:
        api.post(PROJECTS, json={"display_name": "Digits"})
        yield api


@pytest.fixture
def clock(monkeypatch):
    """Moves the clock of what is in the trash by days."""
    days, time_ns = [0], time.time_ns
    monkeypatch.setattr(trash.time, "time_ns", lambda: time_ns() + int(days[0] * DAY))
    return lambda number: days.__setitem__(0, number)


def start(api, **fields):
    return api.post(RUNS, json=fields).json()


def log(api, run, number, value=0.5):
    names = ("loss", "accuracy")
    batch = [
        {"name": names[index % 2], "value": value, "step": index // 2} for index in range(number)
    ]
    body = {"writer": str(uuid.uuid4()), "first_sequence_number": 0, "metrics": batch}
    assert api.post(f"{RUNS}{run['uuid']}/metrics/batch/", json=body).status_code == 200


def fill(api):
    """Deletes a run, and a project with a run; returns their paths."""
    run = start(api, name="first", tags=["a"])
    log(api, run, 10)
    api.post(PROJECTS, json={"display_name": "Other"})
    api.post(f"{PROJECTS}other/runs/", json={"name": "second"})
    for path in (f"{RUNS}{run['uuid']}/", f"{PROJECTS}other/"):
        assert api.delete(path).status_code == 204
    return f"{RUNS}{run['uuid']}/", f"{PROJECTS}other/"


def names_in(api):
    return [item["name"] for item in api.get(TRASH).json()]


def counts(database):
    projects, runs, tags = (
        rows(database, f"SELECT count(*) FROM {table}")[0][0]
        for table in ("projects", "runs", "run_tags")
    )
    return [projects, runs, count_points(database), tags]


# Expiry


def test_what_was_deleted_29_days_ago_is_restored(embedded, database, clock):
    run, other = fill(embedded)
    clock(29)
    embedded.post(RUNS, json={})
    assert names_in(embedded) == ["Other", "first"]
    assert embedded.post(f"{run}restore/").status_code == 200
    assert embedded.post(f"{other}restore/").status_code == 200
    assert counts(database) == [2, 3, 10, 1]


def test_what_was_deleted_30_days_ago_is_removed_by_the_next_write(embedded, database, clock):
    run, other = fill(embedded)
    before = counts(database)
    clock(30)
    assert names_in(embedded) == []
    assert counts(database) == before
    for path in (run, other):
        assert embedded.post(f"{path}restore/").status_code == 404
        assert embedded.delete(path, params=PURGE).status_code == 404
    embedded.post(RUNS, json={"name": "third"})
    assert counts(database) == [1, 1, 0, 0]
    missing = embedded.get(run)
    assert (missing.status_code, missing.json()["deleted"]) == (404, True)


def test_what_was_deleted_30_days_ago_is_removed_when_the_database_is_opened(database, clock):
    with opened(database) as api:
        api.post(PROJECTS, json={"display_name": "Digits"})
        fill(api)
    clock(29)
    with opened(database):
        assert counts(database) == [2, 2, 10, 1]
    clock(31)
    with opened(database):
        assert counts(database) == [1, 0, 0, 0]


def test_a_clock_that_was_set_back_restores_nothing_that_was_removed_in_part(
    embedded, database, clock, monkeypatch
):
    run, other = fill(embedded)
    monkeypatch.setattr(removal, "SLICE_ROWS", 5)
    clock(30)
    embedded.post(RUNS, json={})
    assert 0 < counts(database)[2] < 10
    clock(0)
    assert names_in(embedded) == []
    for path in (run, other):
        assert embedded.post(f"{path}restore/").status_code == 404


def test_a_project_takes_the_runs_that_were_deleted_before_it(embedded, database, clock):
    run = start(embedded, name="first")
    embedded.delete(f"{RUNS}{run['uuid']}/")
    clock(10)
    embedded.delete(PROJECT)
    clock(31)
    embedded.post(PROJECTS, json={"display_name": "Another"})
    # The run has expired, its project has not.
    assert counts(database)[:2] == [2, 0]
    embedded.post(f"{PROJECT}restore/")
    run = start(embedded, name="second")
    embedded.delete(f"{RUNS}{run['uuid']}/")
    embedded.delete(PROJECT, params=PURGE)
    assert counts(database)[:2] == [1, 0]
    # Its id may be used again.
    embedded.post(PROJECTS, json={"display_name": "Digits"})
    assert names_in(embedded) == []
    assert embedded.post(f"{RUNS}{run['uuid']}/restore/").json()["deleted"] is True


# What others see


def test_the_uuid_of_a_run_in_the_trash_is_a_conflict(api, run):
    gone = api.get(run).json()["uuid"]
    api.delete(run)
    refused = api.post(RUNS, json={"uuid": gone})
    assert (refused.status_code, refused.json()["code"]) == (409, "run_deleted")
    assert api.post(f"{run}restore/").status_code == 200
    assert api.post(RUNS, json={"uuid": gone}).json()["uuid"] == gone


def test_an_idempotency_key_that_was_used_again_stays_with_the_later_run(api):
    key = {"Idempotency-Key": "k"}
    first = api.post(RUNS, json={"name": "a"}, headers=key).json()
    api.delete(f"{RUNS}{first['uuid']}/")
    second = api.post(RUNS, json={"name": "a"}, headers=key).json()
    restored = api.post(f"{RUNS}{first['uuid']}/restore/").json()
    assert (restored["uuid"], restored["name"]) == (first["uuid"], "a_1")
    assert api.post(RUNS, json={}, headers=key).json() == second


def test_an_idempotency_key_and_an_etag_come_back(api):
    key = {"Idempotency-Key": "k"}
    first = api.post(RUNS, json={"name": "a"}, headers=key)
    api.delete(f"{RUNS}{first.json()['uuid']}/")
    restored = api.post(f"{RUNS}{first.json()['uuid']}/restore/")
    assert restored.json() == first.json()
    assert restored.headers["ETag"] == first.headers["ETag"]
    assert api.post(RUNS, json={}, headers=key).json() == first.json()


def test_a_writer_goes_on_after_a_run_was_restored(api, run):
    batch = {
        "writer": str(uuid.uuid4()), "first_sequence_number": 0,
        "metrics": [{"name": "loss", "value": 1}],
    }  # fmt: skip
    assert api.post(f"{run}metrics/batch/", json=batch).json()["accepted"] == 1
    api.delete(run)
    assert api.post(f"{run}metrics/batch/", json=batch).status_code == 404
    api.post(f"{run}restore/")
    api.post(f"{run}metrics/batch/", json=batch)
    assert len(api.get(f"{run}metrics/").json()) == 1


def test_a_run_is_restored_from_the_trash_of_its_own_project_only(api, run):
    api.post(PROJECTS, json={"display_name": "Other"})
    api.delete(run)
    elsewhere = run.replace("digits", "other")
    assert api.post(f"{elsewhere}restore/").status_code == 404
    assert api.delete(elsewhere, params=PURGE).status_code == 404
    assert api.post(f"{run}restore/").status_code == 200


@pytest.mark.parametrize("word", ["", "1", "True", "maybe"])
def test_another_word_for_purge_is_refused_and_deletes_nothing(api, run, word):
    for path in (run, PROJECT):
        with exchanges.departing("request"):
            refused = api.delete(path, params={"purge": word})
        assert (refused.status_code, list(refused.json())) == (400, ["purge", "code"])
    assert api.get(run).status_code == 200


def test_not_to_purge_is_to_delete(api, run):
    assert api.delete(run, params={"purge": "false"}).status_code == 204
    assert api.post(f"{run}restore/").status_code == 200


# The list


def test_the_list_is_read_in_pages(api):
    made = [api.post(RUNS, json={"name": f"r{number}"}).json() for number in range(5)]
    for run in made:
        api.delete(f"{RUNS}{run['uuid']}/")
    whole = api.get(TRASH).json()
    assert [item["name"] for item in whole] == ["r4", "r3", "r2", "r1", "r0"]
    found, cursor = [], {}
    for size in (2, 2, 1):
        page = api.get(TRASH, params={"limit": 2, **cursor})
        assert len(page.json()) == size
        found += page.json()
        cursor = {"cursor": page.headers.get("Next-Cursor")}
    assert found == whole
    assert cursor == {"cursor": None}


def test_items_of_one_moment_are_each_on_one_page(embedded, monkeypatch):
    now = time.time_ns()
    monkeypatch.setattr(trash.time, "time_ns", lambda: now)
    for number in range(3):
        run = start(embedded, name=f"r{number}")
        embedded.delete(f"{RUNS}{run['uuid']}/")
    embedded.post(PROJECTS, json={"display_name": "Other"})
    embedded.delete(f"{PROJECTS}other/")
    names, cursor = [], {}
    for _ in range(4):
        page = embedded.get(TRASH, params={"limit": 1, **cursor})
        names += [item["name"] for item in page.json()]
        cursor = {"cursor": page.headers.get("Next-Cursor")}
    assert sorted(names) == ["Other", "r0", "r1", "r2"]
    assert cursor == {"cursor": None}


def test_a_namespace_has_a_trash_of_its_own(embedded):
    embedded.delete(PROJECT)
    assert embedded.get("/api/v0/other/trash/").json() == []
    assert names_in(embedded) == ["Digits"]


@pytest.mark.parametrize("value", [0.5, "x" * 500])
def test_the_bytes_are_about_those_that_purging_frees(embedded, database, value):
    def used():
        ((pages, free, size),) = rows(
            database,
            "SELECT page_count, freelist_count, page_size "
            "FROM pragma_page_count, pragma_freelist_count, pragma_page_size",
        )
        return (pages - free) * size

    run = start(embedded)
    for _ in range(10):
        log(embedded, run, 1000, value)
    path = f"{RUNS}{run['uuid']}/"
    embedded.delete(path)
    (item,) = embedded.get(TRASH).json()
    before = used()
    embedded.delete(path, params=PURGE)
    freed = before - used()
    assert freed > 100_000
    assert 0.6 * freed < item["bytes"] < 1.4 * freed


def test_the_bytes_count_texts_and_changes(embedded):
    big, small = start(embedded, config={"a": "x" * 10_000}), start(embedded)
    path = f"{RUNS}{big['uuid']}/"
    embedded.patch(path, json={"notes": "n" * 20_000, "config_patch": {"b": "y" * 40_000}})
    for run in (big, small):
        embedded.delete(f"{RUNS}{run['uuid']}/")
    of_small, of_big = (item["bytes"] for item in embedded.get(TRASH).json())
    assert 110_000 < of_big - of_small < 111_000


def test_the_lists_and_the_removal_use_indexes(embedded, database):
    for query in (
        trash._TRASH.replace(":namespace", "1").replace(":expired", "1"),
        removal._DELETED_RUN,
        "SELECT 1 FROM runs WHERE deleted <= 5",
        "SELECT 1 FROM projects WHERE deleted <= 5",
    ):
        plan = [row[-1] for row in rows(database, f"EXPLAIN QUERY PLAN {query}")]
        assert not any(step.startswith("SCAN runs") or step == "SCAN r" for step in plan), plan
