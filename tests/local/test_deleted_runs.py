"""What the backend reports about missing runs, and creating a run with a UUID."""

import contextlib
import sqlite3
import uuid

import exchanges
import golden_homes
import httpx
import pytest
import valid_requests

from afnio_tellurio.backend import BackendUser, open_backend
from afnio_tellurio.backend.store.schema import FORMAT

PROJECTS = "/api/v0/acme/projects/"
RUNS = f"{PROJECTS}digits/runs/"
KEY = {"Idempotency-Key": "k"}

#: Each operation on one run: its method, and its path after that of the run.
OPERATIONS = {
    operation["operationId"]: (method, path.partition("{run_uuid}/")[2], operation)
    for path, item in exchanges.CONTRACT["paths"].items()
    if "{run_uuid}" in path
    for method, operation in item.items()
    if method != "parameters"
}


@pytest.fixture(params=OPERATIONS)
def ask(request, api):
    """Sends the request of one operation on the run with this path, and returns the response."""
    method, rest, _ = OPERATIONS[request.param]
    query = valid_requests.QUERIES.get(request.param, {})
    body, headers = valid_requests.body_of(request.param)
    return lambda run: api.request(
        method.upper(), f"{run}{rest}", params=query, headers=headers, **body
    )


@pytest.fixture
def other_project(api):
    assert api.post(PROJECTS, json={"display_name": "Other"}).status_code == 201
    return f"{PROJECTS}other/runs/"


def new_uuid():
    return str(uuid.uuid4())


# A run that is not found


def not_found(answer):
    assert answer.status_code == 404
    body = answer.json()
    assert body.pop("detail")
    assert body.pop("code") == "not_found"
    return body


def test_a_run_that_was_never_there_was_not_deleted(ask, api, run):
    valid_requests.fill(api, run.split("/")[-2])
    assert not_found(ask(f"{RUNS}{new_uuid()}/")) == {"deleted": False}
    assert ask(run).status_code < 300


@pytest.mark.parametrize("query", [{}, {"purge": "true"}])
def test_a_deleted_run_was_deleted(ask, api, run, query, request):
    if request.node.callspec.params["ask"] == "restoreRun" and not query:
        pytest.skip("it is found in the trash")
    assert api.delete(run, params=query).status_code == 204
    assert not_found(ask(run)) == {"deleted": True}
    assert not_found(ask(run.replace(RUNS, RUNS.replace("digits", "missing")))) == {"deleted": True}
    assert not_found(ask(f"{RUNS}{run.split('/')[-2].upper()}/")) == {"deleted": True}


def test_a_run_of_a_deleted_project_was_deleted(ask, api, run):
    assert api.delete(f"{PROJECTS}digits/").status_code == 204
    assert not_found(ask(run)) == {"deleted": True}
    api.post(PROJECTS, json={"display_name": "Digits"})
    assert not_found(ask(run)) == {"deleted": True}
    assert not_found(ask(f"{RUNS}{new_uuid()}/")) == {"deleted": False}


def test_a_run_of_a_missing_project_or_namespace_was_never_there(ask):
    for place in ("acme/projects/missing", "nobody/projects/digits"):
        assert not_found(ask(f"/api/v0/{place}/runs/{new_uuid()}/")) == {"deleted": False}


def test_of_a_run_in_another_project_nothing_is_said(ask, run, other_project):
    assert not_found(ask(run.replace(RUNS, other_project))) == {}


def test_deleting_a_run_tells_nothing_of_the_others_of_its_project(api, run):
    other = f"{RUNS}{api.post(RUNS, json={}).json()['uuid']}/"
    api.delete(run)
    assert api.get(other).status_code == 200
    assert not_found(api.get(run)) == {"deleted": True}


# Creating a run with a UUID


def test_a_run_has_the_uuid_that_it_was_created_with(api):
    wanted = new_uuid()
    made = api.post(RUNS, json={"uuid": wanted.upper(), "name": "a", "status": "FAILED"})
    assert made.status_code == 201
    run = made.json()
    assert (run["uuid"], run["name"], run["status"]) == (wanted, "a", "FAILED")
    assert api.get(f"{RUNS}{wanted}/").json() == run


def test_a_run_created_again_with_its_uuid_is_one_run_and_stays_as_it_is(api, run):
    before = api.get(run).json()
    again = api.post(RUNS, json={"uuid": before["uuid"], "name": "new", "status": "FAILED"})
    assert (again.status_code, again.json()) == (201, before)
    assert api.get(RUNS).json() == [before]


def test_the_name_of_a_run_with_a_uuid_gets_a_number_too(api):
    api.post(RUNS, json={"name": "a"})
    assert api.post(RUNS, json={"uuid": new_uuid(), "name": "a"}).json()["name"] == "a_1"


def refusal(answer):
    assert answer.status_code == 409
    return answer.json()["detail"]


def test_the_uuid_of_a_run_in_another_project_is_a_conflict(api, run, other_project):
    taken = api.get(run).json()["uuid"]
    words = refusal(api.post(other_project, json={"uuid": taken}))
    assert words == f"The run {taken} belongs to another project."
    assert api.get(other_project).json() == []


@pytest.mark.parametrize("deleted", ["run", "project"])
def test_the_uuid_of_a_deleted_run_is_a_conflict(api, run, deleted):
    gone = api.get(run).json()["uuid"]
    api.delete(run if deleted == "run" else f"{PROJECTS}digits/")
    api.post(PROJECTS, json={"display_name": "Digits"})
    assert refusal(api.post(RUNS, json={"uuid": gone})) == f"The run {gone} was deleted."
    assert api.get(RUNS).json() == []


def test_a_uuid_and_an_idempotency_key_go_together(api):
    first = api.post(RUNS, json={"uuid": new_uuid()}, headers=KEY).json()
    same = {"uuid": first["uuid"]}
    for body, headers in ((same, KEY), (same, {}), ({}, KEY), (same, {"Idempotency-Key": "l"})):
        again = api.post(RUNS, json=body, headers=headers)
        assert (again.status_code, again.json()) == (201, first)
    assert len(api.get(RUNS).json()) == 1


def test_the_idempotency_key_of_a_run_with_another_uuid_is_a_conflict(api, run):
    first = api.post(RUNS, json={}, headers=KEY).json()["uuid"]
    for other in (new_uuid(), api.get(run).json()["uuid"]):
        words = refusal(api.post(RUNS, json={"uuid": other}, headers=KEY))
        assert words == f"The idempotency key belongs to the run {first}."
    assert len(api.get(RUNS).json()) == 2


@pytest.mark.parametrize("wrong", ["", "17", "9b2f4f9e", None, 17, ["x"]])
def test_what_is_not_a_uuid_is_refused(api, wrong):
    with exchanges.departing("request"):
        answer = api.post(RUNS, json={"uuid": wrong})
    assert (answer.status_code, list(answer.json())) == (400, ["uuid", "code"])
    assert api.get(RUNS).json() == []


# Databases created before the backend kept deleted runs


def opened(path):
    backend = open_backend(path, user=BackendUser("ada", "ada@example.com"))
    return backend, httpx.Client(
        base_url="http://embedded", transport=httpx.WSGITransport(app=backend)
    )


def older(path, *, deleting):
    """Writes a database of format 2, and returns the paths of a run in it and of another."""
    golden_homes.unpack_database(2, path)
    if not deleting:
        # The last run was deleted; without it, the ids are those of a database without deletions.
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE sqlite_sequence SET seq = seq - 1")
    return f"{RUNS}{golden_homes.uuids_of(path)['kept']}/", f"{RUNS}{new_uuid()}/"


@pytest.mark.parametrize("deleting", [False, True])
def test_a_database_of_the_second_format_is_upgraded_in_place(tmp_path, deleting):
    path = tmp_path / "old.db"
    kept, other = older(path, deleting=deleting)
    backend, api = opened(path)
    assert api.get(kept).status_code == 200
    # If runs were deleted before, the backend cannot know which.
    assert not_found(api.get(other)) == ({} if deleting else {"deleted": False})
    assert api.delete(kept).status_code == 204
    assert not_found(api.get(kept)) == {"deleted": True}
    backend.close()
    backend, api = opened(path)
    assert not_found(api.get(kept)) == {"deleted": True}
    backend.close()
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (FORMAT,)
    connection.close()
