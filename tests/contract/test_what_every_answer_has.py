"""What the local backend promises for every answer: an ID, a version, and a code in errors."""

from __future__ import annotations

import sqlite3

import exchanges
import httpx
import pytest
import valid_requests
from valid_requests import OPERATIONS, send, values_of

from afnio_tellurio.backend import BackendUser, open_backend
from afnio_tellurio.backend.requests import common_headers
from afnio_tellurio.backend.site import Site

CONTRACT = exchanges.CONTRACT
KEY = {"Authorization": "Api-Key the-key"}
COMMON = {"X-Request-ID", "Tellurio-Contract-Version"}
WITH_ETAG = {
    "createRun", "getRun", "updateRun", "restoreRun", "downloadArtifactFile", "downloadRunFile",
}  # fmt: skip


@pytest.fixture
def backend(tmp_path):
    backend = open_backend(
        tmp_path / "x.db", user=BackendUser("ada", "ada@example.com"), api_key="the-key"
    )
    yield backend
    backend.close()


@pytest.fixture
def api(backend):
    transport = httpx.WSGITransport(app=backend)
    with httpx.Client(base_url="http://embedded", transport=transport, headers=KEY) as client:
        yield client


@pytest.fixture
def run(api):
    api.post("/api/v0/acme/projects/", json={"display_name": "Digits"})
    run = api.post("/api/v0/acme/projects/digits/runs/", json={"name": "first"}).json()
    path = f"/api/v0/acme/projects/digits/runs/{run['uuid']}/"
    api.post(f"{path}metrics/", json={"name": "loss", "value": 0.5})
    return run


@pytest.fixture
def values(api, run):
    """The path parameters of what each operation is about."""
    return valid_requests.fill(api, run["uuid"])


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_answer_declares_the_headers_that_all_have(name):
    answers = OPERATIONS[name][2]["responses"]
    assert {"401", "403", "405", "429", "501", "503"} <= set(answers)
    for status, reference in answers.items():
        headers = exchanges._resolved(reference)["headers"]
        assert set(headers) >= COMMON, status
        assert ("Retry-After" in headers) == (status in {"429", "503"}), status
        assert ("Allow" in headers) == (status == "405"), status
        assert ("ETag" in headers) == (name in WITH_ETAG and status[0] == "2")


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_success_and_an_error_have_the_id_of_their_request_and_the_version(api, values, name):
    sent = {"X-Request-ID": "r-17"}
    # Without the key, no operation deletes anything.
    for headers in ({**sent, "Authorization": ""}, sent):
        answer = send(api, name, values, headers=headers)
        assert answer.is_success == ("Authorization" not in headers), answer.text
        assert answer.headers["X-Request-ID"] == "r-17"
        assert answer.headers["Tellurio-Contract-Version"] == CONTRACT["info"]["version"]


@pytest.mark.parametrize("sent", [None, "", "a b", "x" * 129, "a\tb"])
def test_another_id_is_replaced_by_one_of_the_backend(api, sent):
    headers = {} if sent is None else {"X-Request-ID": sent}
    answers = [api.get("/api/v0/verify-api-key/", headers=headers) for _ in range(2)]
    ids = [answer.headers["X-Request-ID"] for answer in answers]
    assert len(set(ids)) == 2
    assert all(len(each) == 32 and each.isalnum() for each in ids)


@pytest.mark.parametrize("sent", ["\u00e4", "a\nb", "a\x7f"])
def test_an_id_that_is_not_ascii_is_replaced(sent):
    (_, request_id), _version = common_headers({"HTTP_X_REQUEST_ID": sent})
    assert len(request_id) == 32


def test_the_longest_id_is_returned(api):
    headers = {"X-Request-ID": "~" * 128}
    assert api.get("/api/v0/verify-api-key/", headers=headers).headers["X-Request-ID"] == "~" * 128


def error_of(answer):
    return answer.status_code, answer.json()["code"]


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_path_with_another_method_answers_405_with_the_allowed_ones(api, run, name):
    _, path, _ = OPERATIONS[name]
    declared = {method.upper() for method in CONTRACT["paths"][path]} - {"PARAMETERS"}
    other = min({"PUT", "TRACE"} - declared)
    with exchanges.departing("request", "answer"):
        answer = api.request(other, path.format(**values_of(run["uuid"])), json={})
    assert error_of(answer) == (405, "method_not_allowed")
    assert set(answer.headers["Allow"].split(", ")) == declared


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_that_the_backend_lacks_answers_501(tmp_path, monkeypatch, run, name):
    from afnio_tellurio.backend import application

    monkeypatch.setattr(application, "_MODULES", ())
    backend = open_backend(tmp_path / "y.db", user=BackendUser("ada", "ada@example.com"))
    with httpx.Client(
        base_url="http://embedded", transport=httpx.WSGITransport(app=backend)
    ) as api:
        answer = send(api, name, values_of(run["uuid"]))
    backend.close()
    assert error_of(answer) == (501, "not_implemented")
    assert name in answer.json()["detail"]


def test_each_error_of_the_backend_has_a_code(api, run):
    runs = "/api/v0/acme/projects/digits/runs/"
    path = f"{runs}{run['uuid']}/"
    other = api.post(runs, json={}, headers={"Idempotency-Key": "k"}).json()
    api.post("/api/v0/acme/projects/", json={"display_name": "Other"})
    values = valid_requests.fill(api, run["uuid"])
    artifacts = "/api/v0/acme/projects/digits/artifacts/model/"
    missing = {"path": "a", "digest": "0" * 64, "size": 1}
    upload = {"digest": "0" * 64, "size": 1}
    batch = {
        "writer": other["uuid"],
        "first_sequence_number": 5,
        "metrics": [{"name": "a", "value": 1}],
    }
    with exchanges.departing("request", "answer"):
        seen = [
            error_of(answer)
            for answer in (
                api.post(runs, json={"name": ""}),
                api.post(runs, content=b"{", headers={"Content-Type": "application/json"}),
                api.get("/api/v0/verify-api-key/", headers={"Authorization": "no"}),
                api.get("/nothing/"),
                api.get("/api/v0/acme/projects/none/"),
                api.get(f"{runs}{'0' * 8}-0000-0000-0000-{'0' * 12}/"),
                api.post("/api/v0/acme/projects/", json={"display_name": "digits"}),
                api.post(
                    runs, json={"uuid": run["uuid"]}, headers={"Idempotency-Key": "k"}
                ),
                api.post("/api/v0/acme/projects/other/runs/", json={"uuid": run["uuid"]}),
                api.post(f"{path}metrics/batch/", json=batch),
                api.post(f"{artifacts}versions/", json={"type": "model", "files": [missing]}),
                api.post(f"{artifacts}versions/", json={"type": "data", "files": []}),
                api.delete(f"{artifacts}versions/v0/"),
                api.post(
                    "/api/v0/acme/projects/digits/uploads/{uuid}/complete/".format(
                        **api.post("/api/v0/acme/projects/digits/uploads/", json=upload).json()
                    )
                ),
                send(api, "downloadRunFile", values, headers={"Range": "bytes=9-"}),
                send(api, "setArtifactAlias", values, headers={"If-None-Match": "*"}),
                api.patch(path, json={}, headers={"If-Match": '"0"'}),
                api.post(runs, content=b" " * (8 * 2**20 + 1), headers={"Content-Type": "application/json"}),
                api.post(runs, content=b"{}", headers={"Content-Type": "text/plain"}),
            )
        ]  # fmt: skip
    assert seen == [
        (400, "invalid"),
        (400, "invalid"),
        (401, "unauthorized"),
        (404, "not_found"),
        (404, "not_found"),
        (404, "not_found"),
        (409, "slug_taken"),
        (409, "key_taken"),
        (409, "uuid_taken"),
        (409, "sequence_gap"),
        (409, "blobs_missing"),
        (409, "type_taken"),
        (409, "version_aliased"),
        (409, "upload_incomplete"),
        (416, "range_not_satisfiable"),
        (412, "precondition_failed"),
        (412, "precondition_failed"),
        (413, "too_large"),
        (415, "unsupported_media_type"),
    ]


def test_a_database_that_cannot_be_used_is_unavailable(api, run, monkeypatch):
    def fail(*_):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("afnio_tellurio.backend.store.runs.find_run", fail)
    answer = send(api, "getRun", values_of(run["uuid"]))
    assert error_of(answer) == (503, "unavailable")
    assert answer.headers.keys() >= {"x-request-id", "tellurio-contract-version"}


def test_a_request_from_another_site_is_refused_as_the_contract_says(backend):
    site = Site(backend, api_key="the-key", host="127.0.0.1")
    transport = httpx.WSGITransport(app=site)
    with httpx.Client(base_url="http://localhost", transport=transport, headers=KEY) as api:
        headers = {"Origin": "https://evil.example", "X-Request-ID": "r-17"}
        answer = api.get("/api/v0/verify-api-key/", headers=headers)
        assert error_of(answer) == (403, "forbidden")
        assert answer.headers["X-Request-ID"] == "r-17"
        assert answer.headers["Tellurio-Contract-Version"] == CONTRACT["info"]["version"]
        assert api.get("/api/v0/verify-api-key/").status_code == 200


# Idempotency


def create(api, body, key=None, project="digits"):
    headers = {} if key is None else {"Idempotency-Key": key}
    return api.post(f"/api/v0/acme/projects/{project}/runs/", json=body, headers=headers)


@pytest.mark.parametrize("how", ["key", "uuid"])
def test_a_repeated_creation_returns_the_run_as_it_is_and_ignores_its_body(api, run, how):
    uuid = "9b2f4f9e-3c0d-4b0a-8a53-5a3c8e0f7f21"
    identity, key = ({}, "k") if how == "key" else ({"uuid": uuid}, None)
    first = create(api, {**identity, "name": "a", "description": "x"}, key)
    path = f"/api/v0/acme/projects/digits/runs/{first.json()['uuid']}/"
    current = api.patch(path, json={"name": "b", "status": "FAILED"})
    again = create(api, {**identity, "name": "c", "description": None, "status": "CRASHED"}, key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == current.json()
    assert again.headers["ETag"] == current.headers["ETag"]
    with exchanges.departing("request"):
        assert create(api, {**identity, "name": ""}, key).status_code == 400, "it must be valid"
    assert len(api.get("/api/v0/acme/projects/digits/runs/").json()) == 2


def test_a_key_belongs_to_one_project(api, run):
    api.post("/api/v0/acme/projects/", json={"display_name": "Other"})
    here, there = create(api, {}, "k"), create(api, {}, "k", "other")
    assert here.json()["uuid"] != there.json()["uuid"]


@pytest.mark.parametrize("deleted", ["run", "project"])
def test_the_key_of_a_deleted_run_is_free_and_its_uuid_never(api, run, deleted):
    uuid = "9b2f4f9e-3c0d-4b0a-8a53-5a3c8e0f7f21"
    assert create(api, {"uuid": uuid}, "k").status_code == 201
    project = "/api/v0/acme/projects/digits/"
    assert api.delete(f"{project}runs/{uuid}/" if deleted == "run" else project).status_code == 204
    if deleted == "project":
        api.post("/api/v0/acme/projects/", json={"display_name": "Digits"})
    assert error_of(create(api, {"uuid": uuid}, "k")) == (409, "run_deleted")
    again = create(api, {}, "k")
    assert (again.status_code, again.json()["uuid"] == uuid) == (201, False)
